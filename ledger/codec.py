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
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        text = str(error)
        trailing = "trailing characters" in text
        raise Invalid(Reason.TRAILING_BYTES if trailing else Reason.MALFORMED, text) from None
    if again != data:
        raise Invalid(Reason.NON_CANONICAL, f"{cls.__name__} has a shorter or other encoding")
    return value


def encode(value: Wire) -> bytes:
    """Type byte, version byte, canonical payload."""
    return bytes((value.TYPE, VERSION)) + _encoder.encode(value)


def decode(data: bytes, cls: type[WireT], *, size_max: int) -> WireT:
    """The inverse of `encode`. Cheapest check first: size, type, version, shape, round trip."""
    if len(data) > size_max:
        raise Invalid(Reason.TOO_LARGE, f"{len(data)} bytes, at most {size_max} are read")
    if len(data) < ENVELOPE_BYTES or data[0] != cls.TYPE:
        raise Invalid(Reason.MALFORMED, f"expected {cls.__name__}, type {cls.TYPE}")
    if data[1] != VERSION:
        raise Invalid(Reason.UNSUPPORTED_VERSION, f"version {data[1]}, this node reads {VERSION}")
    return decode_payload(data[ENVELOPE_BYTES:], cls, size_max=size_max)


WireT = TypeVar("WireT", bound=Wire)


def checked(value: T) -> T:
    """What we build passes the same shape check as what we read; raises Invalid.

    Constructors of structs check nothing, so a builder calls this once on its result.
    """
    data = _encoder.encode(value)
    return decode_payload(data, type(value), size_max=len(data))
