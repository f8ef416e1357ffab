"""Every schema that a command names has its file, and the check of outputs can fail."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests import output_schemas
from tests.output_schemas import SCHEMAS, check, infer

ROOT = Path(__file__).parents[1]
NAME = re.compile(r'"(marsa\.[a-z.-]+/[0-9]+)"')
PREFIX = re.compile(r'f"(marsa\.[a-z.-]+)\{')
NOT_WRITTEN = frozenset(("marsa.ptx/2", "marsa.tx.proof-file/1"))
"""Kinds of files, which are no output of a command."""
NOT_READ = frozenset(
    f"marsa.{name}/1"
    for name in [
        "config.check",
        "devnet.delay",
        "devnet.env",
        "devnet.fund",
        "devnet.kill",
        "devnet.restore",
        "devnet.resume",
        "genesis.hash",
        "node.recover",
        "node.reset",
        "query.object",
        "tx.proof",
        "validator.grant",
        "validator.keys.new",
        "wallet.backup",
        "wallet.verify-backup",
        "wallet.verify-message",
    ]
)
"""Outputs that no test reads as JSON, and so nobody has checked: they have no file."""


def in_source(pattern: re.Pattern[str]) -> set[str]:
    texts = [path.read_text("utf-8") for path in (ROOT / "cli").rglob("*.py")]
    return {name for text in texts for name in pattern.findall(text)}


def test_every_schema_has_its_file_and_every_file_its_command() -> None:
    """Some commands of one kind share a line, which ends with the name of the command."""
    files = {json.loads(path.read_text("utf-8"))["title"] for path in SCHEMAS.glob("*.json")}
    assert in_source(NAME) - NOT_WRITTEN - NOT_READ <= files
    shared = tuple(in_source(PREFIX))
    assert all(name.startswith(shared) for name in files - in_source(NAME))
    assert not files & NOT_READ


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
