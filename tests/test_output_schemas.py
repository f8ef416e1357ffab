"""Every schema that a command names has its file, and the check of outputs can fail."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from tests import output_schemas
from tests.cli.command_tree import all_commands
from tests.output_schemas import SCHEMAS, check, infer

ROOT = Path(__file__).parents[1]
NAME = re.compile(r'"(marsa\.[a-z.-]+/[0-9]+)"')
NOT_WRITTEN = frozenset(("marsa.ptx/2",))
"""A kind of file, which is no output of a command."""
WITHOUT_RESULT = frozenset(("node.run", "redeem.serve"))
"""They go on until they are told to end, and then have nothing to say."""


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
    null, found = infer(seen)["anyOf"]
    assert null == {"type": "null"}
    assert found["required"] == ["a"]
    assert found["properties"]["a"] == {"type": ["null", "number"]}
    assert found["properties"]["b"]["anyOf"][1]["items"] == {"type": ["integer", "null"]}
    assert found["properties"]["c"]["anyOf"][1]["additionalProperties"] is False
    assert found["properties"]["logs"]["anyOf"][1] == {"type": "object"}
