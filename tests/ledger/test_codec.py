"""The codec: one encoding for each value, and nothing but Invalid for everything else."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from ledger import codec
from ledger.codec import AMOUNT_LIMIT, Amount, Bytes32, Slug, UInt, Wire
from ledger.reasons import Invalid, Reason


class Sample(Wire, frozen=True):
    """One field of each kind that travels."""

    TYPE: ClassVar[int] = 99
    identity: Bytes32
    amount: Amount
    height: UInt
    name: Slug
    flag: bool
    items: Annotated[tuple[UInt, ...], Meta(max_length=3)]


SAMPLE = Sample(bytes(32), 5, 7, "val0", True, (1, 2))
samples = st.builds(
    Sample,
    identity=st.binary(min_size=32, max_size=32),
    amount=st.integers(1, AMOUNT_LIMIT - 1),
    height=st.integers(0, codec.UINT_MAX),
    name=st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True),
    flag=st.booleans(),
    items=st.lists(st.integers(0, 300), max_size=3).map(tuple),
)


def reason_of(data: bytes, size_max: int = 1_000) -> Reason:
    with pytest.raises(Invalid) as caught:
        codec.decode(data, Sample, size_max=size_max)
    return caught.value.reason


@given(samples)
def test_decode_is_the_inverse_of_encode(value: Sample) -> None:
    """What is encoded is read back, and from no other bytes of the same length class."""
    data = codec.encode(value)
    assert codec.decode(data, Sample, size_max=len(data)) == value
    assert reason_of(data, size_max=len(data) - 1) is Reason.TOO_LARGE


def test_each_fault_of_an_envelope_has_its_reason() -> None:
    """Size, type, version, shape and rest are told apart."""
    good = codec.encode(SAMPLE)
    assert reason_of(b"") is Reason.MALFORMED
    assert reason_of(bytes([98]) + good[1:]) is Reason.MALFORMED
    assert reason_of(good[:1] + b"\x02" + good[2:]) is Reason.UNSUPPORTED_VERSION
    assert reason_of(good + b"\xc0") is Reason.TRAILING_BYTES
    assert reason_of(good[:-1]) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (b"\x05\x07", b"\xcc\x05\x07"),
        (b"\x05\x07", b"\xd0\x05\x07"),
        (b"\x05\x07", b"\x05\xcd\x00\x07"),
        (b"\xa4val0", b"\xd9\x04val0"),
        (b"\xc4\x20", b"\xc5\x00\x20"),
        (b"\x92\x01\x02", b"\xdc\x00\x02\x01\x02"),
    ],
)
def test_longer_spellings_are_refused(short: bytes, long: bytes) -> None:
    """Each kind of field in a spelling that MessagePack allows and we do not."""
    good = codec.encode(SAMPLE)
    assert short in good
    assert reason_of(good.replace(short, long, 1)) is Reason.NON_CANONICAL


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_LIMIT, 2**64 - 1, True, 1.0, "1", None])
def test_amounts_outside_their_range_or_type_are_refused(amount: object) -> None:
    """Amounts are integers above 0 and below 2^62, nothing that merely looks like one."""
    data = bytes((99, 1)) + msgspec.msgpack.encode((bytes(32), amount, 7, "val0", True, ()))
    assert reason_of(data) is Reason.MALFORMED


@given(st.binary(max_size=200))
def test_random_bytes_give_a_value_or_invalid(data: bytes) -> None:
    """No other error leaves the codec; what is read encodes to the very bytes."""
    try:
        value = codec.decode_payload(data, Sample, size_max=200)
    except Invalid:
        return
    assert codec.encode_payload(value) == data


def test_checked_refuses_what_would_not_be_read() -> None:
    """A builder's value passes the reader's shape check."""
    assert codec.checked(SAMPLE) == SAMPLE
    with pytest.raises(Invalid):
        codec.checked(msgspec.structs.replace(SAMPLE, amount=0))
