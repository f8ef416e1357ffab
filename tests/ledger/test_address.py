"""Addresses: what is typed wrongly is never taken for another address."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import address
from ledger.address import ADDRESS_CHARS_MAX, decode_address, encode_address
from ledger.reasons import Invalid, Reason

LOCK = sha256(b"lock").digest()
ADDRESS = encode_address(LOCK, "mrst")
CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
locks = st.binary(min_size=32, max_size=32)


def refusal(text: str, hrp: str = "mrst") -> str:
    with pytest.raises(Invalid) as caught:
        decode_address(text, hrp)
    assert caught.value.reason is Reason.BAD_ADDRESS
    return caught.value.detail


@given(locks, st.sampled_from(["mrs", "mrst"]))
def test_decode_is_the_inverse_of_encode(lock: bytes, hrp: str) -> None:
    """Lower and upper case both read back, and an address fits its limit."""
    text = encode_address(lock, hrp)
    assert decode_address(text, hrp) == decode_address(text.upper(), hrp) == lock
    assert text.startswith(hrp + "1")
    assert len(text) < ADDRESS_CHARS_MAX


@given(st.data())
def test_up_to_three_wrong_characters_are_found(data: st.DataObject) -> None:
    """The checksum finds every substitution of at most three characters of the payload."""
    begin = len("mrst1")
    places = data.draw(
        st.lists(st.integers(begin, len(ADDRESS) - 1), min_size=1, max_size=3, unique=True)
    )
    text = list(ADDRESS)
    for place in places:
        text[place] = data.draw(st.sampled_from([c for c in CHARSET if c != ADDRESS[place]]))
    assert "checksum" in refusal("".join(text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not an address"),
        ("mrst", "not an address"),
        ("mrst1", "not an address"),
        ("x" * 91, "too long"),
        (ADDRESS[:-1] + ADDRESS[-1].upper(), "mixed case"),
        (ADDRESS[:-1] + "b", "character"),
        (ADDRESS[:-1] + "ｑ", "character"),
        (encode_address(LOCK, "mrs"), "network 'mrs'"),
        (ADDRESS[:-1], "checksum"),
        (encode_address(LOCK + b"\0", "mrst"), "34 bytes"),
    ],
)
def test_each_fault_is_named(text: str, says: str) -> None:
    """The sentence says what is wrong with the address."""
    assert says in refusal(text)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of a later version reads as such, not as damage."""
    monkeypatch.setattr("ledger.address.ADDRESS_VERSION", 1)
    later = encode_address(LOCK, "mrst")
    monkeypatch.undo()
    assert "version 1" in refusal(later)


def test_bech32_checksum_of_the_old_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checksum of BIP 173 differs from that of BIP 350 by its constant."""
    monkeypatch.setattr("ledger.address._BECH32M_CONST", 1)
    old = encode_address(LOCK, "mrst")
    monkeypatch.undo()
    assert "checksum" in refusal(old)


def test_padding_bits_must_be_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock has one address: the spare bit of its last character says nothing."""
    regroup = address._regroup

    def padded(*args: object, pad: bool) -> list[int]:
        values = regroup(*args, pad=pad)  # type: ignore[arg-type]
        return [*values[:-1], values[-1] | 1]

    monkeypatch.setattr(address, "_regroup", padded)
    spare = encode_address(LOCK, "mrst")
    monkeypatch.undo()
    assert spare != ADDRESS
    assert "padding" in refusal(spare)
