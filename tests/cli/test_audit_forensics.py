"""`marsa audit forensics` and `marsa node export-forensics`: files in, names and exit codes out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cli import audit_forensics
from consensus.messages import Commit, NewView, NewViewBody
from consensus.testimony import CertifiedHeader, Material
from ledger import codec
from ledger import genesis as genesis_rules
from ledger.block import COMMIT, Block, Header, VotePayload, make_certificate
from ledger.chain import Chain
from ledger.epochs import validators_of
from ledger.execution import Execution
from ledger.leveldb import LevelDB
from ledger.validators import Member
from ledger.witnesses import Witnesses
from node.config import load
from node.disk import DirectoryLock
from tests.cli.conftest import Marsa
from tests.consensus.kit import Kit
from tests.ledger.world import make_genesis
from tests.sim.world import sim_world

SIDE_X, SIDE_Y = (0, 1, 2), (0, 1, 3)


class RealKit(Kit):
    """With the signatures that the command verifies."""

    def __init__(self) -> None:
        super().__init__()
        self.world = sim_world(4, 1, mocked=False)
        self.rules = self.world.rules(self.world.is_valid)
        self.genesis = self.world.changes.head.header


@pytest.fixture(scope="module")
def kit() -> RealKit:
    return RealKit()


class Files:
    """Exports and the genesis in a directory."""

    def __init__(self, kit: RealKit, directory: Path) -> None:
        self.kit, self.directory = kit, directory
        self.genesis = directory / "genesis.json"
        self.genesis.write_bytes(genesis_rules.dump(kit.world.genesis))
        self.x, self.y = kit.header(salt="x"), kit.header(salt="y")

    def material(self, header: Header, view: int, signers: tuple[int, ...]) -> Material:
        certificate = self.kit.certificate(COMMIT, header, view=view, signers=signers)
        blocks = (CertifiedHeader(header, certificate),)
        return Material(self.kit.world.chain_id, self.kit.world.validators, (), blocks, ())

    def write(self, name: str, material: Material) -> Path:
        file = self.directory / name
        file.write_bytes(codec.encode(material))
        return file


@pytest.fixture
def files(kit: RealKit, tmp_path: Path) -> Files:
    return Files(kit, tmp_path)


def test_two_sides_of_a_fork(marsa: Marsa, files: Files) -> None:
    """Exit code 9; the two who signed both are named with licence, key and signed bytes."""
    a = files.write("a", files.material(files.x, 0, SIDE_X))
    b = files.write("b", files.material(files.y, 0, SIDE_Y))
    result = marsa("audit", "forensics", a, b, "--genesis", files.genesis, "--json")
    members = files.kit.world.validators.members
    assert result.code == 9
    found = result.json
    assert found["schema"] == "marsa.audit.forensics/1"
    assert (found["conflict"], found["proved"], found["needed"]) == (True, True, 2)
    assert (found["height"], found["missing"]) == (1, None)
    assert [item["licence"] for item in found["culprits"]] == [m.licence for m in members[:2]]
    for index, culprit in enumerate(found["culprits"]):
        assert culprit["key"] == members[index].key.hex()
        (proof,) = culprit["proofs"]
        assert proof["offence"] == "double_vote"
        votes = [
            codec.decode(bytes.fromhex(item["bytes"]), Commit, size_max=1_000)
            for item in proof["messages"]
        ]
        assert {vote.signer for vote in votes} == {index}
        assert len({vote.block_hash for vote in votes}) == 2
    text = marsa("audit", "forensics", a, b, "--genesis", files.genesis)
    assert text.code == 9
    assert re.search(rf"^{members[0].licence} +two votes at one place", text.out, re.MULTILINE)
    assert "2 proved guilty, at least 2 must be" in text.out


def test_missing_new_view_comes_from_a_third_file(marsa: Marsa, files: Files) -> None:
    """Two files prove nothing and say what is missing; with the third two are named."""
    kit = files.kit
    a = files.write("a", files.material(files.x, 0, SIDE_X))
    y = files.material(files.y, 1, SIDE_Y)
    b = files.write("b", y)
    new_view = kit.new_view(1, [kit.view_change(member, 1) for member in SIDE_Y])
    c = files.write("c", msgspec.structs.replace(y, new_views=(new_view,)))
    result = marsa("audit", "forensics", a, b, "--genesis", files.genesis, "--json")
    names = [kit.world.validators.members[index].licence for index in SIDE_Y]
    assert result.code == 9
    assert (result.json["proved"], result.json["culprits"]) == (False, [])
    assert (result.json["missing"]["view"], result.json["missing"]["holders"]) == (1, names)
    text = marsa("audit", "forensics", a, b, "--genesis", files.genesis).out
    assert f"add the export of whoever of {', '.join(names)} is honest" in text
    whole = marsa("audit", "forensics", a, b, c, "--genesis", files.genesis, "--json")
    assert whole.code == 9
    assert [item["licence"] for item in whole.json["culprits"]] == names[:2]
    (proof,) = whole.json["culprits"][0]["proofs"]
    assert proof["offence"] == "amnesia"
    assert proof["messages"][1]["text"] == "VIEW-CHANGE to view 1 from height 0, entries: none"
    assert len(proof["ancestors"]) == 1


def test_bad_new_view_alone_is_not_enough_and_says_so(marsa: Marsa, files: Files) -> None:
    """Its primary is named, one more is needed."""
    kit = files.kit
    a = files.write("a", files.material(files.x, 0, SIDE_X))
    y = msgspec.structs.replace(
        files.material(files.y, 1, SIDE_Y), new_views=(kit.new_view(1, ()),)
    )
    result = marsa("audit", "forensics", a, files.write("b", y), "--genesis", files.genesis)
    assert result.code == 9
    assert "a NEW-VIEW that proves nothing" in result.out
    assert "1 proved guilty, at least 2 must be" in result.out


def test_no_conflict_is_exit_code_0(marsa: Marsa, files: Files) -> None:
    """The same block with other signers."""
    a = files.write("a", files.material(files.x, 0, SIDE_X))
    b = files.write("b", files.material(files.x, 0, SIDE_Y))
    result = marsa("audit", "forensics", a, b, "--genesis", files.genesis, "--json")
    assert (result.code, result.json["conflict"]) == (0, False)
    assert "do not contradict" in marsa("audit", "forensics", a, b, "--genesis", files.genesis).out


STRANGER = Member(bytes([255]) * 32, "stranger")
Spoil = Callable[[Material], Material]

REFUSED: dict[str, tuple[Spoil, str]] = {
    "another chain": (lambda m: msgspec.structs.replace(m, chain_id=bytes(32)), "wrong_chain"),
    "another first set": (
        lambda m: msgspec.structs.replace(
            m,
            validators=msgspec.structs.replace(
                m.validators, members=(*m.validators.members[:3], STRANGER)
            ),
        ),
        "bad_header",
    ),
    "a set out of order": (
        lambda m: msgspec.structs.replace(
            m,
            validators=msgspec.structs.replace(
                m.validators, members=tuple(reversed(m.validators.members))
            ),
        ),
        "bad_header",
    ),
    "no validators": (
        lambda m: msgspec.structs.replace(
            m, validators=msgspec.structs.replace(m.validators, members=())
        ),
        "bad_genesis",
    ),
    "without the set of the epoch before": (
        lambda m: msgspec.structs.replace(
            m, validators=msgspec.structs.replace(m.validators, epoch=1)
        ),
        "bad_header",
    ),
    "forged certificate": (
        lambda m: msgspec.structs.replace(
            m,
            blocks=(
                CertifiedHeader(
                    m.blocks[0].header,
                    msgspec.structs.replace(m.blocks[0].certificate, signatures=(bytes(64),) * 3),
                ),
            ),
        ),
        "bad_certificate",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_false_files_are_refused(marsa: Marsa, files: Files, name: str) -> None:
    """With the reason and exit code 2, and no verdict; 9 is that of every file of another chain."""
    spoil, code = REFUSED[name]
    good = files.material(files.x, 0, SIDE_X)
    a, b = files.write("a", spoil(good)), files.write("b", spoil(good))
    result = marsa("audit", "forensics", a, b, "--genesis", files.genesis, "--json")
    assert result.code == (9 if code == "wrong_chain" else 2)
    assert f'"{code}"' in result.err + result.out


def test_a_file_that_is_no_export(marsa: Marsa, files: Files) -> None:
    """Random bytes, and a file that is not there."""
    a = files.write("a", files.material(files.x, 0, SIDE_X))
    junk = files.directory / "junk"
    junk.write_bytes(b"junk")
    result = marsa("audit", "forensics", a, junk, "--genesis", files.genesis)
    assert result.code == 2
    assert f"{junk} is no export" in result.err
    assert marsa("audit", "forensics", a, files.directory / "absent").code == 2


def test_genesis_of_another_chain_or_none(marsa: Marsa, files: Files) -> None:
    """Without a genesis file nobody knows who voted: the command says what to name."""
    a = files.write("a", files.material(files.x, 0, SIDE_X))
    other = files.directory / "other.json"
    other.write_bytes(genesis_rules.dump(make_genesis(accounts=("alice",))))
    assert "genesis_needed" in marsa("audit", "forensics", a, a).err
    result = marsa("audit", "forensics", a, a, "--genesis", other)
    assert (result.code, "wrong_chain" in result.err) == (9, True)


@pytest.mark.parametrize(("limit", "code"), [(1, 2), (2, 0), (3, 0)])
def test_number_of_files_is_limited(
    marsa: Marsa, files: Files, monkeypatch: pytest.MonkeyPatch, limit: int, code: int
) -> None:
    """Two files at limits 1, 2 and 3."""
    monkeypatch.setattr(audit_forensics, "FILES_MAX", limit)
    a = files.write("a", files.material(files.x, 0, SIDE_X))
    assert marsa("audit", "forensics", a, a, "--genesis", files.genesis).code == code


@pytest.fixture
def stopped(marsa: Marsa, tmp_path: Path) -> Path:
    """The directory of a node that stopped at height 2 in view 1."""
    network, directory = tmp_path / "network", tmp_path / "val"
    assert marsa("genesis", "new", "--devnet", "--seed", "0", "--out", network).code == 0
    made = marsa(
        *("node", "init", directory, "--genesis", network / "genesis.json"),
        *("--licence", "acme", "--keys", network / "nodes" / "acme"),
    )
    assert made.code == 0, made.err
    store = LevelDB.open(load(directory).chain_path)
    chain = Chain.open(store)
    proposer = validators_of(chain).members[0].key
    for height in (1, 2):
        time_ms = chain.head.header.time_ms + 1
        changes = Execution(chain, time_ms=time_ms, proposer=proposer).finish()
        vote = VotePayload(0, COMMIT, 0, height, changes.head.hash)
        certificate = make_certificate(vote, dict.fromkeys(range(3), bytes(64)))
        chain.append(Block(changes.head.header, ()), certificate, changes)
    new_view = NewView(NewViewBody(0, 1, (), 1), bytes(64))
    Witnesses(store).keep(3, 1, codec.encode(new_view))
    store.close()
    return directory


def test_export_writes_what_the_audit_reads(marsa: Marsa, stopped: Path, tmp_path: Path) -> None:
    """Heights, sets and NEW-VIEWs of the store are in the file, which is never overwritten."""
    file = tmp_path / "export"
    arguments = ("node", "export-forensics", stopped, file, "--from", 1, "--to", 9)
    result = marsa(*arguments, "--json")
    assert result.code == 0, result.err
    assert (result.json["from"], result.json["to"], result.json["new_views"]) == (1, 2, 1)
    material = audit_forensics.read_material(file)
    assert [item.header.height for item in material.blocks] == [1, 2]
    assert material.new_views[0].body.view == 1
    again = marsa(*arguments)
    assert (again.code, "file_exists" in again.err) == (2, True)


def test_export_says_why_it_cannot(marsa: Marsa, stopped: Path, tmp_path: Path) -> None:
    """Heights that are not there, ends in the wrong order, a node that runs, no node at all."""
    command = ("node", "export-forensics")
    file = tmp_path / "export"
    absent = marsa(*command, stopped, file, "--from", 5, "--to", 9)
    assert "this node has blocks 1 to 2, not 5 to 9" in absent.err
    assert marsa(*command, stopped, file, "--from", 2, "--to", 1).code == 2
    with DirectoryLock(stopped):
        assert "directory_in_use" in marsa(*command, stopped, file, "--from", 1, "--to", 2).err
    assert marsa(*command, tmp_path / "none", file, "--from", 1, "--to", 2).code != 0
    assert not file.exists()
