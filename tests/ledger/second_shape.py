"""Shapes and hashes of the second implementation; it imports nothing of the node.

Shapes are small functions that check an untyped MessagePack value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any

Shape = Callable[[Any], None]


class Refused(Exception):
    """Bad input, with the reason code."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


def digest(name: str, *parts: bytes) -> bytes:
    """SHA-256 over the tag and the parts, each behind its length."""
    data = _tag(name)
    for part in parts:
        data += len(part).to_bytes(4, "big") + part
    return sha256(data).digest()


@cache
def _tag(name: str) -> bytes:
    tag = b"marsa/1/" + name.encode()
    return bytes([len(tag)]) + tag


def need(condition: bool, code: str = "malformed", detail: str = "") -> None:
    if not condition:
        raise Refused(code, detail)


def integer(low: int, high: int, code: str = "malformed") -> Shape:
    def check(value: Any) -> None:
        need(type(value) is int and low <= value <= high, code, repr(value))

    return check


def among(*values: int) -> Shape:
    def check(value: Any) -> None:
        need(type(value) is int and value in values, detail=repr(value))

    return check


def binary(low: int, high: int | None = None, code: str = "malformed") -> Shape:
    def check(value: Any) -> None:
        need(type(value) is bytes and low <= len(value) <= (high or low), code, repr(value))

    return check


def text(pattern: str, longest: int) -> Shape:
    def check(value: Any) -> None:
        good = type(value) is str and re.fullmatch(pattern, value) and len(value) <= longest
        need(bool(good), detail=repr(value))

    return check


def boolean(value: Any) -> None:
    need(type(value) is bool, detail=repr(value))


def many(item: Shape, low: int, high: int) -> Shape:
    def check(value: Any) -> None:
        need(type(value) is list and low <= len(value) <= high)
        for entry in value:
            item(entry)

    return check


def struct(*fields: Shape) -> Shape:
    def check(value: Any) -> None:
        need(type(value) is list and len(value) == len(fields))
        for field, entry in zip(fields, value, strict=True):
            field(entry)

    return check


def union(shapes: dict[int, Shape], code: str) -> Shape:
    """A struct that begins with its number."""

    def check(value: Any) -> None:
        need(type(value) is list and bool(value))
        tag = value[0]
        need(type(tag) is int and tag in shapes, code, repr(tag))
        shapes[tag](value)

    return check


def coded(shape: Shape, code: str) -> Shape:
    """Whatever is wrong inside has one reason."""

    def check(value: Any) -> None:
        try:
            shape(value)
        except Refused as error:
            raise Refused(code, str(error)) from None

    return check
