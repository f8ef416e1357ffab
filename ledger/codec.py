"""Canonical MessagePack: one encoding for the wire, for hashes and for the disk.

Every object is a positional array decoded into a frozen, typed struct. MessagePack alone is not
canonical (it reads `cc05` and `05` as the same five), so `decode` encodes what it read and
requires the very same bytes. A type byte and a version byte stand in front of the payload, so
that a reader knows what it holds before it parses anything.

Nothing but `Invalid` leaves `decode`, whatever the bytes are.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta

from ledger.reasons import Invalid, Reason

VERSION = 1
ENVELOPE_BYTES = 2
_ARRAY_OF_TWO = b"\x92"  # MessagePack's header of an array with two members
AMOUNT_LIMIT = 1 << 62  # exclusive; sums of 64 amounts still fit into 128 bits
UINT_MAX = (1 << 63) - 1

Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""A hash or an Ed25519 public key."""
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Amount = Annotated[int, Meta(gt=0, lt=AMOUNT_LIMIT)]
"""Base units (µ), strictly positive."""
AmountOrZero = Annotated[int, Meta(ge=0, lt=AMOUNT_LIMIT)]
UInt = Annotated[int, Meta(ge=0, le=UINT_MAX)]
"""A height, view, count or time in milliseconds."""
Slug = Annotated[str, Meta(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z", max_length=32)]
"""A name that people type: ASCII only, because two names must never look alike."""


class Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of everything encoded: frozen, positional, no unknown fields."""

    TYPE: ClassVar[int] = 0


T = TypeVar("T", bound=msgspec.Struct)

_encoder = msgspec.msgpack.Encoder()


@cache
def _decoder(cls: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cls)


def encode_payload(value: object) -> bytes:
    """The canonical bytes of a struct without its envelope, as they are hashed and nested."""
    return _encoder.encode(value)


def decode_payload(data: bytes, cls: type[T], *, size_max: int) -> T:
    """Read one struct; raises Invalid for anything but its canonical encoding."""
    if len(data) > size_max:
        raise Invalid(Reason.TOO_LARGE, f"{len(data)} bytes, at most {size_max} are read")
    try:
        value: T = _decoder(cls).decode(data)
        again = _encoder.encode(value)
    except _UNREADABLE as error:
        raise _malformed(error) from None
    if again != data:
        raise _not_canonical(cls)
    return value


_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError)


def _malformed(error: Exception) -> Invalid:
    text = str(error)
    trailing = "trailing characters" in text
    return Invalid(Reason.TRAILING_BYTES if trailing else Reason.MALFORMED, text)


def _not_canonical(cls: type[Any]) -> Invalid:
    return Invalid(Reason.NON_CANONICAL, f"{cls.__name__} has a shorter or other encoding")


def encode(value: Wire) -> bytes:
    """Type byte, version byte, canonical payload."""
    return bytes((value.TYPE, VERSION)) + _encoder.encode(value)


def decode(data: bytes, cls: type[WireT], *, size_max: int) -> WireT:
    """The inverse of `encode`. Cheapest check first: size, type, version, shape, round trip."""
    _check_envelope(data, cls, size_max)
    return decode_payload(data[ENVELOPE_BYTES:], cls, size_max=size_max)


def decode_pair(data: bytes, cls: type[WireT], *, size_max: int) -> tuple[WireT, bytes, bytes]:
    """As `decode`, of a struct with two fields, and the canonical bytes of each, which its
    caller hashes: encoding them is the round trip."""
    _check_envelope(data, cls, size_max)
    try:
        value: WireT = _decoder(cls).decode(data[ENVELOPE_BYTES:])
        first, second = [_encoder.encode(field) for field in msgspec.structs.astuple(value)]
    except _UNREADABLE as error:
        raise _malformed(error) from None
    if data[ENVELOPE_BYTES:] != _ARRAY_OF_TWO + first + second:
        raise _not_canonical(cls)
    return value, first, second


def _check_envelope(data: bytes, cls: type[Wire], size_max: int) -> None:
    if len(data) > size_max:
        raise Invalid(Reason.TOO_LARGE, f"{len(data)} bytes, at most {size_max} are read")
    if len(data) < ENVELOPE_BYTES or data[0] != cls.TYPE:
        raise Invalid(Reason.MALFORMED, f"expected {cls.__name__}, type {cls.TYPE}")
    if data[1] != VERSION:
        raise Invalid(Reason.UNSUPPORTED_VERSION, f"version {data[1]}, this node reads {VERSION}")


WireT = TypeVar("WireT", bound=Wire)


def checked(value: T) -> T:
    """What we build passes the same shape check as what we read; raises Invalid.

    Constructors of structs check nothing, so a builder calls this once on its result.
    """
    data = _encoder.encode(value)
    return decode_payload(data, type(value), size_max=len(data))
