"""Giving up a node's chain, so that it fetches all of it again. Keys and votes are never touched.

The vote log stays ahead of the new, empty chain: the node catches up and then goes on voting above
everything that it signed. A new store is made beside the old one and takes its place when it is
complete; whoever was interrupted between the two renames repeats the command.
"""

from __future__ import annotations

import shutil

from ledger.chain import Chain
from ledger.genesis_state import genesis_state
from node.app import read_genesis
from node.config import NodeConfig
from node.disk import DirectoryLock, create_store, storage_errors
from node.files import sync_directory
from node.snapshot_store import new_path, old_path


def reset_chain(config: NodeConfig) -> None:
    """Begin at genesis again, in the directory of a node that does not run; raises NodeError."""
    genesis = read_genesis(config)
    chain = config.chain_path
    draft, old = (chain.with_name(f".{chain.name}.{suffix}") for suffix in ("new", "old"))
    with storage_errors(), DirectoryLock(config.directory):
        # a snapshot that was being imported, or put in place, belongs to the chain that is given up
        for left in (draft, old, new_path(chain), old_path(chain)):
            if left.exists():
                shutil.rmtree(left)
        kv = create_store(draft)
        Chain.create(kv, genesis_state(genesis))
        kv.close()
        if chain.exists():
            chain.rename(old)
        draft.rename(chain)
        sync_directory(chain.parent)
        if old.exists():
            shutil.rmtree(old)
