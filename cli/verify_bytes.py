"""Bytes of the protocol, read without any code of a node: shapes, canonical MessagePack, hashes.

This file and its neighbours `cli/verify_*.py` import the standard library, `msgpack` and
`cryptography`, and nothing else: what they find, no fault of the node's own code can hide.

Bytes are good when they unpack to the shape that is expected and pack to themselves again: so
each value has one encoding, and one changed byte is another value or none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from hashlib import sha256
from types import SimpleNamespace
from typing import Any, TypeAlias

import msgpack

VERSION = 1
ENVELOPE_BYTES = 2
ITEMS_MAX = 8_192
"""Entries of the longest list that any shape allows: what is unpacked can be no larger."""
SHOWN_CHARS_MAX = 80


class Fault(StrEnum):
    """Why something does not hold. Codes are only ever added."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    TRAILING_BYTES = "trailing_bytes"
    NON_CANONICAL = "non_canonical"
    UNSUPPORTED_VERSION = "unsupported_version"
    BAD_GENESIS = "bad_genesis"
    WRONG_CHAIN = "wrong_chain"
    BAD_KEY = "bad_key"
    BAD_SET = "bad_set"
    BAD_HEADER = "bad_header"
    BAD_CERTIFICATE = "bad_certificate"
    BAD_SIGNATURE = "bad_signature"
    BAD_STATE_ROOT = "bad_state_root"
    BAD_SUPPLY = "bad_supply"
    BAD_OBJECT = "bad_object"
    BAD_ATTESTATION = "bad_attestation"
    BAD_FIGURE = "bad_figure"


class Refused(Exception):
    """What was given does not hold, and where."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Int:
    """An integer in a range; amounts are written as digits in JSON."""

    low: int
    high: int
    is_amount: bool = False


@dataclass(frozen=True, slots=True)
class Bin:
    """Bytes of a length; lower-case hex in JSON."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Text:
    """ASCII text that matches a pattern as a whole."""

    pattern: str
    longest: int


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Many:
    """A list of one shape."""

    item: Shape
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Record:
    """Named fields by position; `type_byte` where it stands in an envelope."""

    name: str
    fields: tuple[tuple[str, Shape], ...]
    type_byte: int = 0


Shape: TypeAlias = Int | Bin | Text | Flag | Many | Record


def digest(name: str, *parts: bytes) -> bytes:
    """SHA-256 over the tag and the parts, each behind its length."""
    data = _tag(name)
    for part in parts:
        data += len(part).to_bytes(4, "big") + part
    return sha256(data).digest()


@cache
def _tag(name: str) -> bytes:
    """Behind its length; names are few and ours."""
    tag = b"marsa/1/" + name.encode("ascii")
    return bytes((len(tag),)) + tag


def pack(value: Any) -> bytes:
    """Canonical MessagePack of lists, integers, bytes, text and booleans."""
    return bytes(msgpack.packb(value, use_bin_type=True))


def open_envelope(data: bytes, record: Record, size_max: int) -> list[Any]:
    """The positional value behind a type byte and a version byte; raises Refused."""
    if len(data) > size_max:
        raise Refused(Fault.TOO_LARGE, f"{len(data)} bytes, at most {size_max} are read")
    if len(data) < ENVELOPE_BYTES or data[0] != record.type_byte:
        detail = f"no {record.name}: it begins with the byte {record.type_byte}"
        raise Refused(Fault.MALFORMED, detail)
    if data[1] != VERSION:
        detail = f"{record.name} of version {data[1]}, {VERSION} is read"
        raise Refused(Fault.UNSUPPORTED_VERSION, detail)
    return unpack(data[ENVELOPE_BYTES:], record)


def unpack(data: bytes, record: Record) -> list[Any]:
    """The positional value that these bytes are the one encoding of; raises Refused.

    No shape has a map or an extension, and the depth of what is unpacked is bounded by the
    library, so that hostile bytes cost no more than their length.
    """
    try:
        value: list[Any] = msgpack.unpackb(
            data,
            raw=False,
            use_list=True,
            max_array_len=ITEMS_MAX,
            max_map_len=0,
            max_ext_len=0,
        )
    except msgpack.ExtraData:
        raise Refused(Fault.TRAILING_BYTES, f"bytes behind the {record.name}") from None
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        detail = f"{record.name}: no MessagePack of ours: {_shown(str(error))}"
        raise Refused(Fault.MALFORMED, detail) from None
    check(record, value, record.name)
    if pack(value) != data:
        raise Refused(Fault.NON_CANONICAL, f"{record.name}: it has another, canonical encoding")
    return value


def check(shape: Shape, value: Any, where: str) -> None:
    """The value has the shape; raises Refused(MALFORMED) with the place where it has not."""
    misfit = _misfit(shape, value)
    if misfit:
        raise Refused(Fault.MALFORMED, f"{where}{misfit} cannot stand here")


def _misfit(shape: Shape, value: Any) -> str:
    """The path to the first value that has another shape, and that value; empty without one."""
    if isinstance(shape, Int):
        is_good = type(value) is int and shape.low <= value <= shape.high
    elif isinstance(shape, Bin):
        is_good = type(value) is bytes and shape.low <= len(value) <= shape.high
    elif isinstance(shape, Record):
        is_good = type(value) is list and len(value) == len(shape.fields)
        for (name, kind), entry in zip(shape.fields, value if is_good else (), strict=False):
            if misfit := _misfit(kind, entry):
                return f".{name}{misfit}"
    elif isinstance(shape, Many):
        is_good = type(value) is list and shape.low <= len(value) <= shape.high
        for index, entry in enumerate(value if is_good else ()):
            if misfit := _misfit(shape.item, entry):
                return f"[{index}]{misfit}"
    elif isinstance(shape, Text):
        is_good = type(value) is str and len(value) <= shape.longest
        is_good = is_good and re.fullmatch(shape.pattern, value) is not None
    else:
        is_good = type(value) is bool
    return "" if is_good else f": {_described(value)}"


def named(shape: Shape, value: Any) -> Any:
    """A positional value with its fields by name, to read from; hashes need the positions."""
    if isinstance(shape, Many):
        if isinstance(shape.item, Many | Record):
            return [named(shape.item, entry) for entry in value]
        return list(value)
    if isinstance(shape, Record):
        found = SimpleNamespace()
        for (name, kind), entry in zip(shape.fields, value, strict=True):
            is_plain = not isinstance(kind, Many | Record)
            setattr(found, name, entry if is_plain else named(kind, entry))
        return found
    return value


def from_json(shape: Shape, data: Any, where: str) -> Any:
    """The positional value that parsed JSON stands for; raises Refused(MALFORMED)."""
    value = data
    if isinstance(shape, Many) and type(data) is list:
        value = [from_json(shape.item, entry, f"{where}[{i}]") for i, entry in enumerate(data)]
    elif isinstance(shape, Record):
        names = [name for name, _ in shape.fields]
        if type(data) is not dict or sorted(data) != sorted(names):
            raise Refused(Fault.MALFORMED, f"{where}: not exactly the keys {', '.join(names)}")
        value = [from_json(kind, data[name], f"{where}.{name}") for name, kind in shape.fields]
    elif isinstance(shape, Bin) and type(data) is str:
        if not re.fullmatch(r"(?:[0-9a-f]{2})*", data):
            raise Refused(Fault.MALFORMED, f"{where}: no lower-case hex in pairs")
        value = bytes.fromhex(data)
    elif isinstance(shape, Int) and shape.is_amount:
        if type(data) is not str or not re.fullmatch(r"[0-9]{1,19}", data):
            raise Refused(Fault.MALFORMED, f"{where}: no text of 1 to 19 digits")
        value = int(data)
    check(shape, value, where)
    return value


def _described(value: Any) -> str:
    """Somebody else's value in a sentence for people: short and printable, however deep it is."""
    if type(value) is list:
        return f"a list of {len(value)}"
    if type(value) is bytes:
        return f"{len(value)} bytes"
    if type(value) is str:
        return _shown(value)
    return str(value) if type(value) in (int, bool) else type(value).__name__


def _shown(text: str) -> str:
    short = text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "..."
    return short.encode("ascii", "backslashreplace").decode("ascii")
