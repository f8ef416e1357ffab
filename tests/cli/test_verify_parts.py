"""The offline verifier's parts against the node's own: keys, layouts, chain ids, quorums."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli import verify_bundle, verify_chain, verify_keys, verify_layouts
from cli.verify_bytes import (
    ITEMS_MAX,
    Bin,
    Fault,
    Flag,
    Int,
    Many,
    Record,
    Refused,
    Text,
    check,
    from_json,
    unpack,
)
from cli.verify_chain import Trust
from cli.verify_layouts import BUNDLE, COMMITMENT, GENESIS, IDENTITIES, OBJECTS
from ledger import genesis as genesis_rules
from ledger.crypto import verify
from ledger.genesis import Genesis
from ledger.validators import ValidatorSet, quorum_size
from node import reserve_bundle
from node.reserve_bundle import KINDS, ReserveBundle
from tests.cli.bundle_world import bundle_of, genesis_text, small_node
from tests.ledger import second_rules
from tests.ledger.second_rules import P, multiply, point_of

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
KEYS = json.loads((VECTORS / "ed25519.json").read_bytes())


@pytest.mark.parametrize("row", KEYS, ids=lambda row: row["name"])
def test_signatures_are_judged_as_by_a_node(row: dict[str, Any]) -> None:
    """Every edge of Ed25519: keys and R of small order, other forms of keys and of S."""
    public, message, signature = (bytes.fromhex(row[x]) for x in ("key", "message", "signature"))
    assert verify_keys.is_usable_key(public) == row["canonical"]
    assert verify_keys.is_signed(public, message, signature) == row["valid"]
    assert verify(public, message, signature) == row["valid"]


def test_the_points_of_small_order_are_those_of_the_curve() -> None:
    """Every point on the curve times the group order is one of eight; their y are the table."""
    found = set()
    for y in range(64):
        point = point_of(y.to_bytes(32, "little"))
        if point is not None:
            found.add(multiply(second_rules.L, point)[1])
    assert found == verify_keys.SMALL_ORDER_Y
    assert verify_keys.FIELD_PRIME == P
    assert verify_keys.GROUP_ORDER == second_rules.L


def names_of(kind: Any) -> Any:
    """A struct's fields by position, down to the last one; what is not a struct is None."""
    base = getattr(kind, "__origin__", kind)
    arguments = getattr(base, "__args__", None) or getattr(kind, "__args__", None)
    if isinstance(base, type) and issubclass(base, msgspec.Struct):
        return [(item.name, names_of(item.type)) for item in msgspec.structs.fields(base)]
    if base is tuple or getattr(base, "__origin__", None) is tuple:
        return names_of(arguments[0])
    return None


def names_in(shape: Any) -> Any:
    if isinstance(shape, Many):
        return names_in(shape.item)
    if isinstance(shape, Record):
        return [(name, names_in(kind)) for name, kind in shape.fields]
    return None


SAME_NAME = {"members": "following"}
"""Fields that have another name in the table."""


def renamed(fields: Any) -> Any:
    if fields is None:
        return None
    return [(SAME_NAME.get(name, name), renamed(inner)) for name, inner in fields]


def test_the_table_has_every_field_in_its_place() -> None:
    """Names and order of all structs in a bundle, a genesis file and the objects are the node's.

    A struct that grows has to grow in `cli.verify_layouts` too.
    """
    assert renamed(names_in(BUNDLE)) == names_of(ReserveBundle)
    assert names_in(GENESIS) == names_of(Genesis)
    assert BUNDLE.type_byte == ReserveBundle.TYPE
    assert {kind.TYPE: names_of(kind) for kind in KINDS} == {
        number: names_in(kind) for number, kind in OBJECTS.items()
    }
    assert [kind.TYPE for kind in KINDS] == sorted(OBJECTS)
    assert set(IDENTITIES) < {kind.name for kind in OBJECTS.values()}
    assert set(verify_bundle.SINGLE) == {kind.name for kind in OBJECTS.values()} - set(IDENTITIES)


def test_limits_are_those_of_the_node() -> None:
    """What a node makes is never more than is read."""
    limits = {name: shape for name, shape in BUNDLE.fields if isinstance(shape, Many)}
    assert limits["changes"].high == reserve_bundle.CHANGES_MAX
    assert limits["objects"].high == reserve_bundle.OBJECTS_MAX
    assert verify_bundle.BUNDLE_BYTES_MAX == reserve_bundle.BUNDLE_BYTES_MAX
    assert verify_chain.GENESIS_BYTES_MAX == genesis_rules.GENESIS_BYTES_MAX
    assert max(shape.high for shape in limits.values()) <= ITEMS_MAX


@pytest.mark.parametrize(
    "file", [ROOT / "genesis.json", *sorted(VECTORS.glob("*_genesis.json"))], ids=lambda x: x.name
)
def test_a_genesis_file_gives_the_node_s_chain_id_and_validators(file: Path) -> None:
    """Chain id, members in their order, and the hash of the set, worked out twice."""
    data = file.read_bytes()
    genesis = genesis_rules.load(data)
    trust = Trust.of(data)
    assert trust.chain_id == genesis_rules.chain_id(genesis)
    assert trust.members == [[item.key, item.licence] for item in genesis.validators.members]
    for epoch in (0, 1, 2**40):
        expected = ValidatorSet(epoch, genesis.validators.members).hash
        assert verify_chain.set_hash(epoch, trust.members) == expected


def test_quorums_are_those_of_the_node() -> None:
    """For every size of a set."""
    for n in range(4, 33):
        assert verify_chain.quorum_of([[b"", ""]] * n) == quorum_size(n)


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
    [
        (Int(1, 3), [1, 3], [0, 4, True, 1.0, "1", None, b"\x01"]),
        (Bin(2, 3), [b"ab", b"abc"], [b"a", b"abcd", "ab", 0]),
        (Text("[a-z]+", 3), ["a", "abc"], ["", "A", "abcd", "a\n", b"a"]),
        (Flag(), [True, False], [0, 1, None]),
        (Many(Int(0, 1), 1, 2), [[0], [0, 1]], [[], [0, 1, 0], [2], (0,), {0: 0}]),
        (Record("r", (("x", Int(0, 1)), ("y", Flag()))), [[0, True]], [[0], [0, 0], [0, True, 0]]),
    ],
)
def test_shapes_take_what_they_name(shape: Any, good: list[Any], bad: list[Any]) -> None:
    """Bounds hold on both sides, and no type stands for another."""
    for value in good:
        check(shape, value, "here")
    for value in bad:
        with pytest.raises(Refused, match=r"^malformed: here"):
            check(shape, value, "here")


@pytest.mark.parametrize(
    "data",
    [
        {"x": 0},
        {"x": "0", "y": True},
        {"x": 0, "y": True, "z": 0},
        [0, True],
        None,
        {"x": 0, "y": 0},
    ],
)
def test_json_is_as_strict(data: Any) -> None:
    """Missing, spare and wrong keys, and lists where an object belongs."""
    shape = Record("r", (("x", Int(0, 1)), ("y", Flag())))
    assert from_json(shape, {"y": True, "x": 0}, "here") == [0, True]
    with pytest.raises(Refused, match="here"):
        from_json(shape, data, "here")


def test_a_fault_says_where_it_is() -> None:
    """The path leads to the value, which is shown short and printable."""
    with pytest.raises(Refused, match=r"commitment\.terms\.id: \\xfc cannot stand here"):
        unpack(b"\x9b\x98\xa2\xc3\xbc" + b"\xc0" * 17, COMMITMENT)
    with pytest.raises(Refused, match="9 bytes"):
        check(verify_layouts.HASH, bytes(9), "here")


ALONE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from cli.verify_bundle import Report, verify
from cli.verify_chain import Trust
report = Report()
verify(report, Path("a.reserve").read_bytes(), Trust.of(Path("genesis.json").read_bytes()))
print(report.height, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_the_files_run_by_themselves(tmp_path: Path) -> None:
    """Seven files and two libraries, in a directory of their own: as docs/AUDIT.md says."""
    (tmp_path / "cli").mkdir()
    for file in (ROOT / "cli").glob("verify_*.py"):
        shutil.copy(file, tmp_path / "cli")
    node = small_node()
    (tmp_path / "a.reserve").write_bytes(bundle_of(node))
    (tmp_path / "genesis.json").write_bytes(genesis_text(node))
    command = [sys.executable, "-I", "-c", ALONE, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    height, *modules = done.stdout.split()
    assert height == "1"
    assert not {"ledger", "consensus", "p2p", "node", "msgspec", "nacl", "click"} & set(modules)


def rows_under(heading: str) -> list[list[str]]:
    """Cells of the tables of a section of docs/AUDIT.md, without their heads."""
    text = (ROOT / "docs" / "AUDIT.md").read_text("utf-8")
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    heads = [index - 1 for index, line in enumerate(lines) if line.startswith("| ---")]
    skipped = {*heads, *(index + 1 for index in heads)}
    return [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for index, line in enumerate(lines)
        if index not in skipped
    ]


def test_the_document_lists_fields_limits_kinds_and_reasons() -> None:
    """The tables of docs/AUDIT.md are those of the code."""
    rows = rows_under("The file")
    fields = {row[0]: row[2] for row in rows if not row[0].isdigit()}
    assert fields == {
        name: f"{shape.high:,}" if isinstance(shape, Many) else "" for name, shape in BUNDLE.fields
    }
    kinds = {int(row[0]): row[1] for row in rows if row[0].isdigit()}
    assert kinds == {number: kind.name for number, kind in OBJECTS.items()}
    assert [row[0] for row in rows_under("Reasons")] == [fault.value for fault in Fault]
