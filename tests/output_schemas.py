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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
SEEN = "MARSA_SCHEMAS_SEEN"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAPS = frozenset(
    (
        *("apis", "details", "factors", "json_schema", "logs", "options", "peers", "refused"),
        *("summary", "values"),
    )
)
"""Members whose own members are data: names of nodes, options, what an error tells, a .ptx file."""
FORMS = {"condition": "node.api.transaction_forms:ConditionForm"}
"""Members that are of one of several structs, of which tests do not see each."""
TYPES_NAME = "types.txt"
REF = "#/$defs/{name}"
TOP = "."
ITEM = "*"
"""In a place: any item of a list."""
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


def noting(plain: Callable[[str, object], str]) -> Callable[[str, object], str]:
    """`cli.output.json_text` that, while files are made, notes which structs it writes: they say
    more than what was seen of them. `tests.cli.conftest` and `commands.py` put it in its place."""
    directory = os.environ.get(SEEN)

    def noted(name: str, value: object) -> str:
        if directory:
            Path(directory).mkdir(parents=True, exist_ok=True)
            lines = [f"{name} {path} {kind}\n" for path, kind in _structs(value, TOP)]
            with (Path(directory) / TYPES_NAME).open("a") as file:
                file.write("".join(lines))
        return plain(name, value)

    return noted


def _structs(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Each struct that is in no other, with its place; of a generic one what is in it."""
    if isinstance(value, msgspec.Struct):
        kind = type(value)
        if not getattr(kind, "__parameters__", ()):
            yield path, f"{kind.__module__}:{kind.__qualname__}"
            return
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name in FORMS and item is not None:
                yield f"{path}/{name}", FORMS[name]
            else:
                yield from _structs(item, f"{path}/{name}")
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for item in value:
            yield from _structs(item, f"{path}/{ITEM}")


class Structs:
    """Those of one output by place, and the schemas of all that they hold."""

    def __init__(self, kinds: Mapping[str, Collection[str]]) -> None:
        found = sorted({name for names in kinds.values() for name in names})
        made, defs = msgspec.json.schema_components(map(_kind, found), ref_template=REF)
        schemas = dict(zip(found, made, strict=True))
        self.at = {path: [schemas[name] for name in sorted(kinds[path])] for path in kinds}
        # Patterns are JavaScript's, and there are no members but those of the struct.
        self.defs: dict[str, Any] = json.loads(json.dumps(defs).replace(r"\\Z", "$"))
        for item in self.defs.values():
            if "properties" in item:
                item["additionalProperties"] = False


def _kind(name: str) -> Any:
    module, _, path = name.partition(":")
    return attrgetter(path)(importlib.import_module(module))


def infer(values: Sequence[Any], structs: Structs, path: str = TOP) -> dict[str, Any]:
    """The narrowest schema of these shapes that all of them meet: no member more, and those that
    all have are required. Any value may be null: tests do not see each that is not there yet."""
    if path in structs.at:
        return {"anyOf": [{"type": "null"}, *structs.at[path]]}
    kinds = sorted({TYPES[type(value)] for value in values if type(value) in TYPES} | {"null"})
    found: list[dict[str, Any]] = []
    kinds = [kind for kind in kinds if kind != "integer" or "number" not in kinds]
    found.append({"type": kinds[0] if len(kinds) == 1 else kinds})
    if arrays := [value for value in values if isinstance(value, list)]:
        items = [item for value in arrays for item in value]
        known = {"items": infer(items, structs, f"{path}/{ITEM}")} if items else {}
        found.append({"type": "array", **known})
    if objects := [value for value in values if isinstance(value, dict)]:
        found.append(_object(objects, structs, path))
    return found[0] if len(found) == 1 else {"anyOf": found}


def _object(objects: Sequence[dict[str, Any]], structs: Structs, path: str) -> dict[str, Any]:
    if path.rpartition("/")[2] in MAPS:
        return {"type": "object"}
    names = sorted({name for item in objects for name in item})
    return {
        "type": "object",
        "properties": {
            name: infer([item[name] for item in objects if name in item], structs, f"{path}/{name}")
            for name in names
        },
        "required": [name for name in names if all(name in item for item in objects)],
        "additionalProperties": False,
    }


def of_output(name: str, values: Sequence[dict[str, Any]], structs: Structs) -> dict[str, Any]:
    """The whole file of one output."""
    if TOP in structs.at:
        (top,) = structs.at[TOP]
        found = structs.defs.pop(top["$ref"].rpartition("/")[2])
    else:
        found = _object(values, structs, TOP)
    made = {"$schema": DIALECT, **found, "title": name}
    if structs.defs:
        made["$defs"] = dict(sorted(structs.defs.items()))
    made["properties"]["schema"] = {"const": name}
    made["required"] = sorted({*made.get("required", ()), "schema"})
    return made


def main(directory: Path) -> None:
    """Write the files of everything that was seen."""
    SCHEMAS.mkdir(exist_ok=True)
    kinds: dict[str, dict[str, set[str]]] = {}
    for line in (directory / TYPES_NAME).read_text("utf-8").splitlines():
        name, path, kind = line.split()
        kinds.setdefault(name, {}).setdefault(path, set()).add(kind)
    for file in sorted(directory.glob("*.json")):
        values = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        name = values[0]["schema"]
        made = of_output(name, values, Structs(kinds.get(name, {})))
        file_of(name).write_text(json.dumps(made, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
