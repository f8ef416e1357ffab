"""`marsa audit` against a node with the real API: shapes, exit codes, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.client import Client
from ledger import codec
from ledger import genesis as genesis_rules
from ledger.block import Block
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode, live_node
from tests.ledger.world import make_genesis

CHAIN_FIELDS = {
    *("schema", "height", "blocks", "transactions", "unspent_outputs", "chain_id"),
    *("hash", "state_root", "ok", "fault"),
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
