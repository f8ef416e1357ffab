"""Typed structs as JSON for people: objects by field name, bytes as hex, amounts as strings.

Amounts are decimal strings because readers in other languages round integers above 2^53. What is
read is as strict as the codec: unknown, missing and repeated keys, floats and other alphabets'
digits are refused, each with the path of the field at fault.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, NoReturn, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

from ledger.amounts import parse_number
from ledger.codec import AMOUNT_LIMIT, Wire
from ledger.reasons import Invalid, Reason

_HEX = re.compile(r"(?:[0-9a-f]{2})*")

WireT = TypeVar("WireT", bound=Wire)


def dumps(value: Wire) -> bytes:
    """Indented ASCII with fields in their declared order: the same value, the same bytes."""
    return (json.dumps(to_json(value, type(value)), indent=2) + "\n").encode("ascii")


def loads(data: bytes, kind: type[WireT], *, size_max: int) -> WireT:
    """The inverse of `dumps`, whatever the white space and order of keys; raises Invalid."""
    if len(data) > size_max:
        raise Invalid(Reason.TOO_LARGE, f"{len(data)} bytes, at most {size_max} are read")
    try:
        parsed = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_float=_refuse_float,
            parse_constant=_refuse_float,
        )
    except (ValueError, RecursionError) as error:
        raise Invalid(Reason.MALFORMED, f"not JSON: {error}") from None
    value: WireT = from_json(parsed, kind, "")
    return value


def to_json(value: Any, kind: Any) -> Any:
    """The JSON form of a value of the annotated type `kind`."""
    base, meta = _split(kind)
    if _is_struct(base):
        return {name: to_json(getattr(value, name), item) for name, item in _fields(base).items()}
    if get_origin(base) is tuple:
        item_kind = get_args(base)[0]
        return [to_json(item, item_kind) for item in value]
    if base is bytes:
        return value.hex()
    return str(value) if _is_amount(meta) else value


def from_json(data: object, kind: Any, path: str) -> Any:
    """A value of the annotated type `kind`; raises Invalid(MALFORMED) that names the path."""
    base, meta = _split(kind)
    if _is_struct(base):
        return _read_struct(data, base, path)
    if get_origin(base) is tuple:
        return _read_list(data, base, meta, path)
    if base is bytes:
        data = _read_hex(data, path)
    elif _is_amount(meta):
        data = _read_amount(data, path)
    try:
        return msgspec.convert(data, kind, strict=True)
    except msgspec.ValidationError as error:
        raise Invalid(Reason.MALFORMED, f"{path}: {error}") from None


def _read_struct(data: object, kind: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise Invalid(Reason.MALFORMED, f"{path or 'the file'}: expected an object")
    fields = _fields(kind)
    prefix = f"{path}." if path else ""
    for name in data:
        if name not in fields:
            raise Invalid(Reason.MALFORMED, f"{prefix}{name}: unknown key")
    for name in fields:
        if name not in data:
            raise Invalid(Reason.MALFORMED, f"{prefix}{name}: missing")
    return kind(
        **{name: from_json(data[name], item, prefix + name) for name, item in fields.items()}
    )


def _read_list(data: object, base: Any, meta: Meta | None, path: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise Invalid(Reason.MALFORMED, f"{path}: expected a list")
    least = (meta and meta.min_length) or 0
    most = meta.max_length if meta else None
    if len(data) < least or (most is not None and len(data) > most):
        raise Invalid(Reason.MALFORMED, f"{path}: {len(data)} entries, {least} to {most} allowed")
    kind = get_args(base)[0]
    return tuple(from_json(item, kind, f"{path}[{index}]") for index, item in enumerate(data))


def _read_hex(data: object, path: str) -> bytes:
    if not isinstance(data, str) or not _HEX.fullmatch(data):
        raise Invalid(Reason.MALFORMED, f"{path}: expected lower-case hex digits in pairs")
    return bytes.fromhex(data)


def _read_amount(data: object, path: str) -> int:
    amount = parse_number(data) if isinstance(data, str) else None
    if amount is None:
        raise Invalid(Reason.MALFORMED, f"{path}: expected a string of 1 to 19 digits 0-9")
    return amount


@cache
def _fields(kind: type[Wire]) -> dict[str, Any]:
    """Names and annotated types in their order: to work them out costs more than all else here."""
    return {item.name: item.type for item in msgspec.structs.fields(kind)}


def _split(kind: Any) -> tuple[Any, Meta | None]:
    """An annotated type as its base and its bounds."""
    metas = getattr(kind, "__metadata__", ())
    return (kind.__origin__, metas[0]) if metas else (kind, None)


def _is_struct(base: Any) -> bool:
    return isinstance(base, type) and issubclass(base, Wire)


def _is_amount(meta: Meta | None) -> bool:
    return meta is not None and meta.lt == AMOUNT_LIMIT


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise Invalid(Reason.MALFORMED, f"{repeated}: key given twice")
    return result


def _refuse_float(text: str) -> NoReturn:
    raise Invalid(Reason.MALFORMED, f"{text}: only integers and strings are read")
