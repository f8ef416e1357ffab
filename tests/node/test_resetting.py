"""Giving up a chain: nothing of it is left, and keys and votes stay."""

from __future__ import annotations

from ledger.chain import Chain
from ledger.leveldb import LevelDB
from node.config import NodeConfig
from node.resetting import reset_chain
from node.snapshot_store import new_path, old_path, open_import
from tests.node.test_backup import made, node

__all__ = ["made", "node"]  # fixtures


def test_a_snapshot_that_cannot_be_opened_is_given_up_too(node: NodeConfig) -> None:
    """Its import was damaged: the advice of every refusal leads out of it."""
    key = node.consensus_key_path.read_bytes()
    LevelDB.create(new_path(node.chain_path)).close()
    new_path(node.chain_path).joinpath("CURRENT").unlink()
    old_path(node.chain_path).mkdir()
    reset_chain(node)
    assert not new_path(node.chain_path).exists()
    assert not old_path(node.chain_path).exists()
    kv = LevelDB.open(node.chain_path)
    assert Chain.open(kv).height == 0
    kv.close()
    kv, taking = open_import(node.chain_path)
    assert taking is None
    kv.close()
    assert node.consensus_key_path.read_bytes() == key
