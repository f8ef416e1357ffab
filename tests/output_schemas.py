"""The JSON that commands write, against docs/schemas: one file for each `schema` that they name.

Whatever a test reads of a command's output is checked (`check`). A command whose output changed for
good makes its file anew from what the tests see of it, and the difference is reviewed:

    rm -rf /tmp/seen && MARSA_SCHEMAS_SEEN=/tmp/seen pytest tests/cli tests/functional
    python -m tests.output_schemas /tmp/seen
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
SEEN = "MARSA_SCHEMAS_SEEN"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAPS = frozenset(
    ("apis", "details", "factors", "json_schema", "logs", "options", "peers", "refused", "values")
)
"""Members whose own members are data: names of nodes, options, whatever an error tells."""
TYPES_NAME = "types.txt"
TYPES = {bool: "boolean", str: "string", int: "integer", float: "number", type(None): "null"}


def check(output: str) -> None:
    """Every object of ours in an output is as its file says; raises AssertionError."""
    for line in output.splitlines():
        value = _ours(line)
        if value is None:
            continue
        if directory := os.environ.get(SEEN):
            _remember(Path(directory), value["schema"], line)
            continue
        faults = [f"{item.instance_path}: {item.message}" for item in _errors(value)]
        assert not faults, f"{value['schema']} is not as docs/schemas says: {faults[:3]}"


def file_of(name: str) -> Path:
    """'marsa.tx.send/1' is docs/schemas/marsa.tx.send-1.json."""
    return SCHEMAS / f"{name.replace('/', '-')}.json"


def _ours(line: str) -> dict[str, Any] | None:
    if not line.startswith('{"schema": "marsa.'):
        return None
    value: dict[str, Any] = json.loads(line)
    return value


def _errors(value: dict[str, Any]) -> Iterable[Any]:
    path = file_of(value["schema"])
    assert path.exists(), f"{value['schema']} has no file: see tests/output_schemas.py"
    return _validator(path).iter_errors(value)


@cache
def _validator(path: Path) -> Any:
    return jsonschema_rs.validator_for(json.loads(path.read_text("utf-8")))


def _remember(directory: Path, name: str, line: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / file_of(name).name).open("a") as file:  # short lines: others append too
        file.write(line + "\n")


def note_type(name: str, value: object) -> None:
    """While files are made: the struct that a command writes says more than what was seen of it."""
    directory = os.environ.get(SEEN)
    if directory and isinstance(value, msgspec.Struct):
        Path(directory).mkdir(parents=True, exist_ok=True)
        kind = type(value)
        with (Path(directory) / TYPES_NAME).open("a") as file:
            file.write(f"{name} {kind.__module__} {kind.__qualname__}\n")


def of_struct(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Its members and no others; patterns are JavaScript's."""
    text = json.dumps(msgspec.json.schema(kind)).replace(r"\\Z", "$")
    made: dict[str, Any] = json.loads(text)
    defs = made.pop("$defs")
    for item in defs.values():
        if "properties" in item:
            item["additionalProperties"] = False
    top = defs.pop(made["$ref"].rpartition("/")[2])
    return {**top, "$defs": defs} if defs else dict(top)


def infer(values: Sequence[Any], *, is_map: bool = False) -> dict[str, Any]:
    """The narrowest schema of these shapes that all of them meet: no member more, and those that
    all have are required. Any value may be null: tests do not see each that is not there yet."""
    kinds = sorted({TYPES[type(value)] for value in values if type(value) in TYPES} | {"null"})
    found: list[dict[str, Any]] = []
    kinds = [kind for kind in kinds if kind != "integer" or "number" not in kinds]
    found.append({"type": kinds[0] if len(kinds) == 1 else kinds})
    if arrays := [value for value in values if isinstance(value, list)]:
        items = [item for value in arrays for item in value]
        found.append({"type": "array", **({"items": infer(items)} if items else {})})
    if objects := [value for value in values if isinstance(value, dict)]:
        found.append(_object(objects, is_map=is_map))
    return found[0] if len(found) == 1 else {"anyOf": found}


def _object(objects: Sequence[dict[str, Any]], *, is_map: bool) -> dict[str, Any]:
    if is_map:
        return {"type": "object"}
    names = sorted({name for item in objects for name in item})
    return {
        "type": "object",
        "properties": {
            name: infer([item[name] for item in objects if name in item], is_map=name in MAPS)
            for name in names
        },
        "required": [name for name in names if all(name in item for item in objects)],
        "additionalProperties": False,
    }


def main(directory: Path) -> None:
    """Write the files of everything that was seen."""
    SCHEMAS.mkdir(exist_ok=True)
    lines = (directory / TYPES_NAME).read_text("utf-8").splitlines()
    structs = {line.split()[0]: line.split()[1:] for line in lines}
    for path in sorted(directory.glob("*.json")):
        values = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        name = values[0]["schema"]
        if name in structs:
            module, kind = structs[name]
            found = of_struct(getattr(importlib.import_module(module), kind))
        else:
            found = _object(values, is_map=False)
        made = {"$schema": DIALECT, **found, "title": name}
        made["properties"]["schema"] = {"const": name}
        made["required"] = sorted({*made.get("required", ()), "schema"})
        file_of(name).write_text(json.dumps(made, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
