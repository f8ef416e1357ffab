"""What may travel, be hashed or be stored: every type of every wire struct is closed and bounded.

The walk follows the types as the decoder itself understands them, so a new struct is covered the
moment it is written.
"""

from __future__ import annotations

import pkgutil
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, inspect

from ledger.codec import Bytes32, UInt, Wire

PACKAGES = ("ledger", "consensus", "p2p", "node", "cli")


def wire_structs() -> list[type[Wire]]:
    """Every subclass of Wire in the packages; importing the modules is what makes them known."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    found: list[type[Wire]] = []
    queue: list[type[Wire]] = [Wire]
    for cls in queue:  # grows while it runs, by each subclass once
        queue.extend(cls.__subclasses__())
        if cls is not Wire and cls.__module__.partition(".")[0] in PACKAGES:
            found.append(cls)
    return sorted(found, key=lambda cls: (cls.__module__, cls.__qualname__))


def faults(kind: inspect.Type, where: str, seen: set[type]) -> Iterator[str]:
    """What is open or unbounded in a type. Only what is named here may be used."""
    match kind:
        case inspect.Metadata(type=inner):
            yield from faults(inner, where, seen)
        case inspect.StructType(cls=cls):
            if cls not in seen:
                seen.add(cls)
                yield from struct_faults(kind, seen)
        case inspect.UnionType(types=types):
            for item in types:
                yield from faults(item, where, seen)
        case inspect.TupleType(item_types=types):
            for item in types:
                yield from faults(item, where, seen)
        case inspect.VarTupleType(item_type=item, max_length=longest):
            if longest is None:
                yield f"{where}: a tuple without a maximum"
            yield from faults(item, where, seen)
        case inspect.BytesType(max_length=None) | inspect.StrType(max_length=None):
            yield f"{where}: {type(kind).__name__} without a maximum"
        case inspect.IntType(gt=None, ge=None) | inspect.IntType(lt=None, le=None):
            yield f"{where}: an integer without a range"
        case (
            inspect.BytesType()
            | inspect.StrType()
            | inspect.IntType()
            | inspect.BoolType()
            | inspect.EnumType()
            | inspect.LiteralType()
        ):
            pass
        case _:
            yield f"{where}: {type(kind).__name__} is not allowed on the wire"


def struct_faults(kind: inspect.StructType, seen: set[type]) -> Iterator[str]:
    """A struct is a positional, frozen Wire whose fields all have to be there."""
    name = kind.cls.__qualname__
    config = kind.cls.__struct_config__
    if not issubclass(kind.cls, Wire):
        yield f"{name} is no Wire"
    if not (config.frozen and config.array_like and config.forbid_unknown_fields):
        yield f"{name} is not frozen, positional and closed"
    for field in kind.fields:
        if not field.required:
            yield f"{name}.{field.name} may be left out"
        yield from faults(field.type, f"{name}.{field.name}", seen)


def test_every_wire_struct_is_closed_and_bounded() -> None:
    """Walk the types of every wire struct of the packages: nothing open, nothing unbounded."""
    structs = wire_structs()
    assert len(structs) > 10, "the walk found no structs: it is broken"
    seen: set[type] = set()
    assert [fault for cls in structs for fault in faults(inspect.type_info(cls), "", seen)] == []
    assert seen >= set(structs)


def test_type_bytes_name_one_struct_each() -> None:
    """A type byte other than 0 (never sent alone) stands for one struct, and fits a byte."""
    numbers = Counter(cls.TYPE for cls in wire_structs() if cls.TYPE != 0)
    assert {number: count for number, count in numbers.items() if count > 1} == {}
    assert all(0 < number < 256 for number in numbers)


class Loose(msgspec.Struct):
    """A struct that is neither frozen nor positional."""

    value: UInt


@pytest.mark.parametrize(
    "annotation",
    [
        Any,
        float,
        int,
        bytes,
        str,
        datetime,
        None,
        Loose,
        dict[str, int],
        UInt | None,
        Annotated[int, Meta(ge=0)],
        Annotated[int, Meta(lt=10)],
        Annotated[bytes, Meta(min_length=1)],
        tuple[UInt, ...],
        tuple[UInt, float],
        list[UInt],
        Annotated[tuple[bytes, ...], Meta(max_length=4)],
        set[Bytes32],
    ],
    ids=str,
)
def test_walk_sees_a_planted_type(annotation: Any) -> None:
    """Each type that must not travel is found where it stands alone in a field."""
    planted = msgspec.defstruct("Planted", [("field", annotation)], bases=(Wire,), frozen=True)
    assert list(faults(inspect.type_info(planted), "", set()))


def test_walk_sees_a_field_that_may_be_left_out() -> None:
    """A default would give one value two encodings."""
    planted = msgspec.defstruct("Planted", [("field", UInt, 0)], bases=(Wire,), frozen=True)
    assert list(faults(inspect.type_info(planted), "", set())) == ["Planted.field may be left out"]


def test_walk_accepts_what_is_closed_and_bounded() -> None:
    """Bounded integers, bytes, and tuples of them pass: the walk does not refuse everything."""
    fields = [
        ("number", UInt),
        ("key", Bytes32),
        ("keys", Annotated[tuple[Bytes32, ...], Meta(max_length=4)]),
        ("pair", tuple[UInt, bool]),
    ]
    planted = msgspec.defstruct("Planted", fields, bases=(Wire,), frozen=True)
    assert list(faults(inspect.type_info(planted), "", set())) == []
