"""Structs as JSON: strict in what is read, stable in what is written."""

from __future__ import annotations

import json
from typing import Annotated, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from ledger import json_form
from ledger.codec import AMOUNT_LIMIT, Amount, Bytes32, Slug, UInt, Wire
from ledger.reasons import Invalid, Reason


class Inner(Wire, frozen=True):
    """One amount and bytes."""

    amount: Amount
    digest: Bytes32


class Outer(Wire, frozen=True):
    """Every kind of field."""

    TYPE: ClassVar[int] = 98
    name: Slug
    height: UInt
    flag: bool
    items: Annotated[tuple[Inner, ...], Meta(min_length=1, max_length=2)]


VALUE = Outer("val0", 7, True, (Inner(AMOUNT_LIMIT - 1, bytes(32)),))


def read(text: str | bytes) -> Outer:
    data = text.encode() if isinstance(text, str) else text
    return json_form.loads(data, Outer, size_max=1_000)


def changed(path: list[str | int], value: object) -> str:
    tree = json.loads(json_form.dumps(VALUE))
    place = tree
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return json.dumps(tree)


@given(
    st.builds(
        Outer,
        name=st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True),
        height=st.integers(0, 2**63 - 1),
        flag=st.booleans(),
        items=st.lists(
            st.builds(Inner, st.integers(1, AMOUNT_LIMIT - 1), st.binary(min_size=32, max_size=32)),
            min_size=1,
            max_size=2,
        ).map(tuple),
    )
)
def test_loads_is_the_inverse_of_dumps(value: Outer) -> None:
    """Every value survives, in ASCII."""
    data = json_form.dumps(value)
    assert read(data) == value
    assert data.isascii()


def test_white_space_and_order_of_keys_do_not_count() -> None:
    """The same value from another spelling."""
    tree = json.loads(json_form.dumps(VALUE))
    assert read(json.dumps(dict(reversed(tree.items())), indent=7)) == VALUE


def test_amounts_are_decimal_strings_and_bytes_are_hex() -> None:
    """Readers in other languages lose nothing."""
    tree = json.loads(json_form.dumps(VALUE))
    assert tree["items"] == [{"amount": str(AMOUNT_LIMIT - 1), "digest": "00" * 32}]


@pytest.mark.parametrize(
    "amount",
    [5, True, None, "", "-5", "+5", " 5", "5\n", "1_0", "0x5", "１２３", "٣", "1e3", "5.0",
     "0", str(AMOUNT_LIMIT), "9" * 20],
)  # fmt: skip
def test_anything_but_a_decimal_string_in_range_is_no_amount(amount: object) -> None:
    """Numbers, signs, spaces, digits of other alphabets, zero, overflow: refused with the path."""
    with pytest.raises(Invalid, match=r"items\[0\]\.amount: ") as caught:
        read(changed(["items", 0, "amount"], amount))
    assert caught.value.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (changed(["colour"], 1), "colour: unknown key"),
        (changed(["items", 0, "colour"], 1), r"items\[0\].colour: unknown key"),
        ('{"name": "a"}', "height: missing"),
        ('{"name": "a", "name": "b"}', "name: key given twice"),
        (changed(["height"], 7.0), "7.0: only integers"),
        ('{"height": NaN}', "NaN: only integers"),
        (changed(["height"], True), "height: Expected `int`, got `bool`"),
        (changed(["height"], -1), "height: "),
        (changed(["flag"], 1), "flag: Expected `bool`"),
        (changed(["name"], "Val0"), "name: "),
        (changed(["items"], []), "items: 0 entries, 1 to 2 allowed"),
        (changed(["items"], [1, 2, 3]), "items: 3 entries"),
        (changed(["items"], {}), "items: expected a list"),
        (changed(["items", 0], []), r"items\[0\]: expected an object"),
        (changed(["items", 0, "digest"], "AB" * 32), r"items\[0\].digest: expected lower-case"),
        (changed(["items", 0, "digest"], "ab" * 31), r"items\[0\].digest: "),
        (changed(["items", 0, "digest"], "a"), r"items\[0\].digest: expected lower-case"),
        ("[]", "the file: expected an object"),
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 900, "not JSON"),
        ('{"height": ' + "9" * 900 + "}", "name: missing"),
        (b"\xff", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_path(text: str | bytes, says: str) -> None:
    """The sentence leads to the place in the file."""
    with pytest.raises(Invalid, match=says) as caught:
        read(text)
    assert caught.value.reason is Reason.MALFORMED


def test_more_than_the_limit_is_not_read() -> None:
    """The size is checked before anything is parsed."""
    with pytest.raises(Invalid) as caught:
        json_form.loads(b" " * 1_001, Outer, size_max=1_000)
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("digits", [5_000, 100_000])
def test_endless_numbers_and_nesting_are_refused_quietly(digits: int) -> None:
    """Integers beyond the interpreter's limit and deep arrays give Invalid, not another error."""
    for text in ('{"height": ' + "9" * digits + "}", "[" * digits):
        with pytest.raises(Invalid):
            json_form.loads(text.encode(), Outer, size_max=200_000)
