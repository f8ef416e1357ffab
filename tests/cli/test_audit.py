"""`marsa audit` against a node with the real API: shapes, exit codes, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cli.client import Client
from ledger import codec
from ledger import genesis as genesis_rules
from ledger.block import Block
from ledger.economy.reserve import Solvency
from node.api import schemas
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode, live_node
from tests.cli.test_audit_reserve import reserves_of, signed
from tests.ledger.world import World, make_genesis

CHAIN_FIELDS = {
    *("schema", "height", "blocks", "transactions", "unspent_outputs", "chain_id"),
    *("hash", "state_root", "ok", "fault"),
}
RESERVE_FIELDS = {
    *("issuer", "status", "outstanding", "reserve"),
    *("coverage_ppm", "deliverability_ppm"),
}


@pytest.fixture
def node(marsa_home: Path) -> Iterator[LiveNode]:
    """A live node with three blocks, and its devnet's genesis file in MARSA_HOME."""
    with live_node() as node:
        directory = marsa_home / "devnets" / "default"
        directory.mkdir(parents=True)
        described = directory / "devnet.json"
        described.touch(mode=0o600)
        nodes = [{"name": "val0", "api": node.url}]
        described.write_text(
            json.dumps({"genesis_hash": node.world.chain_id.hex(), "nodes": nodes})
        )
        (directory / "genesis.json").write_bytes(genesis_rules.dump(node.world.genesis))
        for _ in range(3):
            node.inside(lambda: node.decide([node.world.transfer("alice", "bob")]))
        yield node


def test_chain_holds(marsa: Marsa, node: LiveNode) -> None:
    """Audits three blocks over HTTP: figures in both forms, exit code 0."""
    result = marsa("audit", "chain", "--json")
    assert result.code == 0, result.err
    assert set(result.json) == CHAIN_FIELDS
    assert result.json["schema"] == "marsa.audit.chain/1"
    assert (result.json["height"], result.json["transactions"]) == (3, 3)
    assert result.json["ok"] is True
    assert result.json["state_root"] == node.chain.head.header.state_root.hex()
    text = marsa("audit", "chain")
    assert text.code == 0
    assert "the chain holds" in text.out


def test_chain_fault_has_height_reason_and_code_9(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node serves block 2 without its transaction: 9, with the height, in both forms."""
    fetch = Client.raw_block

    def spoiled(self: Client, at: int | str) -> bytes:
        data = fetch(self, at)
        if at != 2:
            return data
        block = codec.decode(data, Block, size_max=len(data))
        return codec.encode(Block(block.header, ()))

    monkeypatch.setattr(Client, "raw_block", spoiled)
    result = marsa("audit", "chain", "--json")
    assert result.code == 9
    assert (result.json["ok"], result.json["height"]) == (False, 1)
    assert result.json["fault"]["height"] == 2
    assert result.json["fault"]["code"] == "bad_body"
    text = marsa("audit", "chain")
    assert text.code == 9
    assert "error[bad_body]: the chain does not hold at height 2" in text.err
    assert text.out == ""


def test_reserve_is_proved_and_shown(marsa: Marsa, node: LiveNode) -> None:
    """Every issuer, then one: exact JSON, table for people, exit code 0."""
    result = marsa("audit", "reserve", "--json")
    assert result.code == 0, result.err
    assert set(result.json) == {"schema", "height", "issuers", "ok"}
    assert (result.json["height"], result.json["ok"]) == (3, True)
    assert [row["issuer"] for row in result.json["issuers"]] == ["val0", "val1", "val2", "val3"]
    assert all(set(row) == RESERVE_FIELDS for row in result.json["issuers"])
    one = marsa("audit", "reserve", "--issuer", "val1", "--json")
    assert one.json["issuers"] == result.json["issuers"][1:2]
    assert "val1" in marsa("audit", "reserve").out


def test_reserve_of_genesis_needs_no_certificate(marsa: Marsa, marsa_home: Path) -> None:
    """A node at height 0: block 0 is the one of the file, and that is all there is to prove."""
    with live_node() as node:
        file = marsa_home / "genesis.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(genesis_rules.dump(node.world.genesis))
        result = marsa(*("audit", "reserve", "--json", "--node", node.url, "--genesis", file))
    assert (result.code, result.json["height"]) == (0, 0)


def test_reserve_of_unknown_issuer(marsa: Marsa, node: LiveNode) -> None:
    """The names that exist are said; exit code 6."""
    result = marsa("audit", "reserve", "--issuer", "nobody", "--json")
    assert (result.code, result.json["error"]["code"]) == (6, "unknown_issuer")
    assert "val0" in result.json["error"]["message"]


def test_reserve_that_is_not_what_was_signed(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node doubles a reserve: refused with exit code 9, no figures shown."""
    ask = Client.reserve

    def doubled(self: Client) -> schemas.Reserve:
        found = ask(self)
        first = found.issuers[0]
        more = msgspec.structs.replace(first, reserve=str(2 * int(first.reserve)))
        return msgspec.structs.replace(found, issuers=[more, *found.issuers[1:]])

    monkeypatch.setattr(Client, "reserve", doubled)
    result = marsa("audit", "reserve", "--json")
    assert (result.code, result.json["error"]["code"]) == (9, "bad_proof")


def test_deficit_is_shown_with_code_9(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signed deficit: the rows, `ok` false and exit code 9; another issuer alone is fine."""
    first, *rest = reserves_of(World())
    short = signed(
        [msgspec.structs.replace(first, reserve=first.supply - 1, solvency=Solvency.DEFICIT), *rest]
    ).answer
    monkeypatch.setattr(Client, "reserve", lambda self: short)
    result = marsa("audit", "reserve", "--json")
    assert (result.code, result.json["ok"]) == (9, False)
    states = {row["issuer"]: row["status"] for row in result.json["issuers"]}
    assert sorted(states.values()) == ["deficit", "healthy", "healthy", "healthy"]
    healthy = next(name for name, state in states.items() if state == "healthy")
    assert marsa("audit", "reserve", "--issuer", healthy).code == 0


def test_the_genesis_file_must_be_there_and_of_this_chain(
    marsa: Marsa, node: LiveNode, marsa_home: Path, tmp_path: Path
) -> None:
    """Another chain's file: 9. No devnet with this chain and no --genesis: 2, with a hint."""
    other = tmp_path / "other.json"
    other.write_bytes(genesis_rules.dump(make_genesis(accounts=("alice",))))
    for command in ("chain", "reserve"):
        result = marsa("audit", command, "--genesis", other, "--json")
        assert (result.code, result.json["error"]["code"]) == (9, "wrong_chain")
    (marsa_home / "devnets" / "default" / "genesis.json").unlink()
    result = marsa("audit", "chain", "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "genesis_needed")
    assert "--genesis" in result.json["error"]["hint"]


def test_nobody_answers(marsa: Marsa) -> None:
    """A port on which nothing listens: exit code 3."""
    result = marsa("audit", "chain", "--node", "http://127.0.0.1:9", "--json")
    assert (result.code, result.json["error"]["code"]) == (3, "unreachable")
