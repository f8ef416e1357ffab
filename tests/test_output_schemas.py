"""Every schema that a command names has its file, and the check of outputs can fail."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest

from cli.output import json_text
from node.api.event_schemas import Gap, OrderEvent
from node.api.schemas import Page
from tests import output_schemas
from tests.cli.command_tree import all_commands
from tests.output_schemas import SCHEMAS, Structs, check, infer, noting, of_output

ROOT = Path(__file__).parents[1]
NAME = re.compile(r'"(marsa\.[a-z.-]+/[0-9]+)"')
NOT_WRITTEN = frozenset(("marsa.ptx/2",))
"""A kind of file, which is no output of a command."""
WITHOUT_RESULT = frozenset(("node.run", "redeem.serve", "bench.growth"))
"""Two go on until they are told to end, and then have nothing to say; of the third each of its
measurements has a name."""


def in_source() -> set[str]:
    texts = [path.read_text("utf-8") for path in (ROOT / "cli").rglob("*.py")]
    return {name for text in texts for name in NAME.findall(text)}


def of_commands() -> set[str]:
    """Some commands of one kind share a line, which ends with the name of the command."""
    paths = [path for path, command in all_commands() if not isinstance(command, click.Group)]
    return {f"marsa.{name}/1" for name in map(".".join, paths) if name not in WITHOUT_RESULT}


def test_every_output_has_its_file_and_every_file_its_output() -> None:
    files = {json.loads(path.read_text("utf-8"))["title"] for path in SCHEMAS.glob("*.json")}
    assert files == (in_source() - NOT_WRITTEN) | of_commands()


def always_null(schema: Any, place: str = "") -> list[str]:
    """The members that may be nothing but null."""
    items = enumerate(schema) if isinstance(schema, list) else dict.items(schema)
    found = []
    for name, item in items:
        if isinstance(item, dict | list):
            is_choice = place.endswith("/anyOf")
            found += [f"{place}/{name}"] if item == {"type": "null"} and not is_choice else []
            found += always_null(item, f"{place}/{name}")
    return found


def test_no_member_is_always_null() -> None:
    """A test has to read it with a value once, or the file would refuse all that it may be."""
    schemas = {file.stem: json.loads(file.read_text("utf-8")) for file in SCHEMAS.glob("*.json")}
    found = {name: always_null(schema) for name, schema in schemas.items()}
    assert {name: places for name, places in found.items() if places} == {}
    assert always_null(infer([{"a": None, "b": [{"c": None}]}], Structs({}))) != []


def test_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member more, one less, one of another type; what is no output of ours is not judged."""
    monkeypatch.delenv(output_schemas.SEEN, raising=False)
    good = {"schema": "marsa.devnet.down/1", "name": "default", "stopped": 4}
    check(json.dumps(good) + "\nplain text\n")
    for bad in ({**good, "more": 1}, {**good, "stopped": "4"}, {"schema": good["schema"]}):
        with pytest.raises(AssertionError, match=re.escape(good["schema"])):
            check(json.dumps(bad))
    with pytest.raises(AssertionError, match="no file"):
        check(json.dumps({**good, "schema": "marsa.devnet.explode/1"}))


def test_the_narrowest_schema_of_what_was_seen() -> None:
    """Types are joined, what not all have is optional, members of a map are data."""
    seen = [{"a": 1, "b": [1, None]}, {"a": 1.5, "c": {"x": 1}, "logs": {"val0": []}}]
    null, found = infer(seen, Structs({}))["anyOf"]
    assert null == {"type": "null"}
    assert found["required"] == ["a"]
    assert found["properties"]["a"] == {"type": ["null", "number"]}
    assert found["properties"]["b"]["anyOf"][1]["items"] == {"type": ["integer", "null"]}
    assert found["properties"]["c"]["anyOf"][1]["additionalProperties"] is False
    assert found["properties"]["logs"]["anyOf"][1] == {"type": "object"}


def test_a_struct_says_more_than_what_was_seen_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its place is noted as it is written, in a list and in what is generic, too; there it stands
    whole, with the members and the words that no test met."""
    monkeypatch.setenv(output_schemas.SEEN, str(tmp_path))
    gap, order = Gap(first=1, last=2), OrderEvent(id="00" * 32, state="ready", height=1)
    value = {"gap": gap, "pages": [Page(items=[order, gap], next_cursor=None)]}
    line = noting(json_text)("marsa.x/1", value)
    noted: dict[str, set[str]] = {}
    for words in (tmp_path / output_schemas.TYPES_NAME).read_text().splitlines():
        _, place, kind = words.split()
        noted.setdefault(place, set()).add(kind.rpartition(":")[2])
    assert noted == {"./gap": {"Gap"}, "./pages/*/items/*": {"Gap", "OrderEvent"}}
    module = Gap.__module__
    places = {place: {f"{module}:{kind}" for kind in kinds} for place, kinds in noted.items()}
    made = of_output("marsa.x/1", [json.loads(line)], Structs(places))
    null, of_gap = made["properties"]["gap"]["anyOf"]
    assert (null, of_gap) == ({"type": "null"}, {"$ref": "#/$defs/Gap"})
    assert made["$defs"]["Gap"]["additionalProperties"] is False
    assert made["$defs"]["OrderEvent"]["properties"]["id"]["pattern"] == "^[0-9a-f]{64}$"
    validator = jsonschema_rs.validator_for(made)
    assert validator.is_valid(json.loads(line))
    assert not validator.is_valid(json.loads(line.replace('"from": 1', '"from": -1')))
