"""The directories of a chain that is replaced by a snapshot.

The snapshot is imported into `<chain>.new`, beside the chain that the node has. Once it is whole,
`put_in_place` moves the old chain aside, the new one to its place and deletes the old. A directory
that is not empty cannot be replaced by one rename, so there are two; between them the chain's own
name is free, and only then. `settle` sees by the names alone how far that came and finishes it:
every start calls it first. So after a crash at any point there is the old chain or the new one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ledger.leveldb import LevelDB
from ledger.snapshot_import import Import
from node.disk import create_store
from node.files import sync_directory


def new_path(chain: Path) -> Path:
    """Where a snapshot is imported."""
    return chain.with_name(chain.name + ".new")


def old_path(chain: Path) -> Path:
    """Where a store lies that is being deleted."""
    return chain.with_name(chain.name + ".replaced")


def settle(chain: Path) -> None:
    """Finish what a crash interrupted; nothing where nothing was."""
    old, new = old_path(chain), new_path(chain)
    if not old.exists():
        return
    if not chain.exists():
        (new if new.exists() else old).rename(chain)
        sync_directory(chain.parent)
    if old.exists():
        shutil.rmtree(old)
        sync_directory(chain.parent)


def put_in_place(chain: Path) -> None:
    """The imported chain, which is finished and closed, becomes the node's chain."""
    chain.rename(old_path(chain))
    sync_directory(chain.parent)  # the old name must be free on the disk before it is taken
    settle(chain)


def open_import(chain: Path) -> tuple[LevelDB, Import | None]:
    """The store beside the chain, made where there is none, and what is being imported in it.

    One that is finished already was not put in place before a crash, and of one that was not begun
    there are at most ends of epochs: both are begun anew.
    """
    path = new_path(chain)
    if path.exists() and not LevelDB.is_made(path):
        shutil.rmtree(path)  # killed while it was made, or made by an earlier version
    if not path.exists():
        made = create_store(path)
        sync_directory(path.parent)
        return made, None
    kv = LevelDB.open(path)
    taking = Import.resume(kv)
    if taking is not None or next(kv.scan(b"", limit=1), None) is None:
        return kv, taking
    kv.close()
    return discard(chain), None


def forget(chain: Path) -> None:
    """Delete what is left of an import that is not needed any more."""
    if new_path(chain).exists():
        _delete(chain)


def discard(chain: Path) -> LevelDB:
    """An empty store instead of what was imported; that must be closed."""
    _delete(chain)
    made = create_store(new_path(chain))
    sync_directory(chain.parent)
    return made


def _delete(chain: Path) -> None:
    """Out of the way first: half a store must not be taken for one that is damaged."""
    new_path(chain).rename(old_path(chain))
    sync_directory(chain.parent)
    shutil.rmtree(old_path(chain))
