"""The table of records: one prefix a kind, keys in the order of their numbers, docs that agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import schema

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `.` \| .*\|$", re.MULTILINE)
PREFIXES = {
    name: value
    for name, value in vars(schema).items()
    if name.isupper() and isinstance(value, bytes) and not name.endswith("_KEY")
}

heights = st.integers(0, 2**63 - 1)


def test_each_prefix_is_one_byte_and_in_the_table() -> None:
    """No two kinds share a prefix, and the table in the module names exactly those there are."""
    assert schema.__doc__ is not None
    rows = ROW.findall(schema.__doc__)
    assert all(len(prefix) == 1 for prefix in PREFIXES.values())
    assert len(set(PREFIXES.values())) == len(PREFIXES)
    assert {row[3].encode() for row in rows} == set(PREFIXES.values())


def test_the_document_has_the_same_table() -> None:
    """docs/STORAGE.md shows the table of the module, row by row."""
    assert schema.__doc__ is not None
    document = (ROOT / "docs" / "STORAGE.md").read_text("utf-8")
    assert ROW.findall(document) == ROW.findall(schema.__doc__)


@pytest.mark.parametrize(
    ("bits", "key"),
    [
        (63, schema.header_key),
        (63, schema.leaves_key),
        (63, schema.certificate_key),
        (63, schema.nodes_key),
        (63, schema.chunk_key),
        (63, lambda number: schema.body_key(number, 0)),
        (16, lambda number: schema.body_key(7, number)),
        (63, lambda number: schema.coin_key(bytes(32), bytes(32), number)),
        (63, lambda number: schema.history_key(bytes(32), number, 0)),
        (32, lambda number: schema.history_key(bytes(32), 7, number)),
    ],
)
@given(one=heights, two=heights)
def test_keys_sort_like_their_numbers(
    bits: int, key: Callable[[int], bytes], one: int, two: int
) -> None:
    """The order of two keys, of one length, is that of the numbers they were made of."""
    one, two = one % (1 << bits), two % (1 << bits)
    assert (one < two) == (key(one) < key(two))
    assert (one == two) == (key(one) == key(two))
    assert len(key(one)) == len(key(two))


@given(
    txid=st.binary(min_size=32, max_size=32),
    index=st.integers(0, 2**32 - 1),
    height=heights,
    position=st.integers(0, 2**16 - 1),
    amount=st.integers(0, 2**127),
    coins=heights,
)
def test_values_read_back(
    txid: bytes, index: int, height: int, position: int, amount: int, coins: int
) -> None:
    """Packed values give back what went in; one byte more or less is damage."""
    values: list[tuple[bytes, Callable[[bytes], object], object]] = [
        (schema.outpoint_value((txid, index)), schema.read_outpoint, (txid, index)),
        (schema.place_value(height, position), schema.read_place, (height, position)),
        (schema.balance_value(amount, coins), schema.read_balance, (amount, coins)),
    ]
    for packed, read, expected in values:
        assert read(packed) == expected
        for damaged in (packed[:-1], packed + b"\0", b""):
            with pytest.raises(schema.DamagedChain):
                read(damaged)
