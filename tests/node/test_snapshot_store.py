"""Replacing a chain by a snapshot: killed at any point, there is the old chain or the new one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.chain import Chain
from ledger.kv import MemoryKV
from ledger.leveldb import LevelDB
from node.files import sync_directory
from node.snapshot_store import (
    discard,
    forget,
    new_path,
    old_path,
    open_import,
    put_in_place,
    settle,
)
from tests.ledger.chain_world import EPOCH_BLOCKS, World
from tests.ledger.snapshot_world import all_chunks, begin, grown, keep_ends

HEIGHT = 2 * EPOCH_BLOCKS


class Killed(Exception):
    """The process ends here."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain at height 0, and beside it a finished snapshot."""
    home = tmp_path_factory.mktemp("stores")
    kv = LevelDB.create(home / "chain")
    Chain.create(kv, World().genesis([(0, 0, 5)]))
    kv.close()
    _, original = grown(MemoryKV(), seed=1, outputs=5, epochs=2)
    state = original.freeze()
    made, held = open_import(home / "chain")
    assert held is None
    keep_ends(made, original, 2)
    taking = begin(made, state.manifest)
    for number, data in all_chunks(state).items():
        taking.add(number, data)
    taking.finish()
    made.close()
    return home


@pytest.fixture
def chain(stores: Path, tmp_path: Path) -> Path:
    shutil.copytree(stores, tmp_path / "node")
    return tmp_path / "node" / "chain"


def height_of(chain: Path) -> int:
    kv = LevelDB.open(chain)
    try:
        return Chain.open(kv).height
    finally:
        kv.close()


def test_the_new_chain_takes_the_place_of_the_old(chain: Path) -> None:
    """Nothing is left beside it."""
    put_in_place(chain)
    assert height_of(chain) == HEIGHT
    assert [item.name for item in chain.parent.iterdir()] == ["chain"]


@pytest.mark.parametrize("steps", range(7))
def test_killed_at_any_step(chain: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Before each change of a name, each sync and each deletion: the next start has a chain, that
    of before the first rename or the new one."""
    left = steps

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object) -> object:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*arguments)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying(Path.rename))
        patch.setattr("node.snapshot_store.sync_directory", dying(sync_directory))
        patch.setattr(shutil, "rmtree", dying(shutil.rmtree))
        try:
            put_in_place(chain)
        except Killed:
            assert steps < 6
        else:
            assert steps == 6
    settle(chain)
    assert height_of(chain) == (0 if steps == 0 else HEIGHT)
    assert not old_path(chain).exists()
    settle(chain)


def test_a_half_deleted_old_chain_is_deleted_at_the_next_start(chain: Path) -> None:
    put_in_place(chain)
    old_path(chain).mkdir()
    (old_path(chain) / "000003.log").write_bytes(b"rest")
    settle(chain)
    assert not old_path(chain).exists()
    assert height_of(chain) == HEIGHT


def test_an_import_that_was_half_deleted_is_no_damage(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it is deleted: the next start deletes the rest and imports anew."""
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die_half_way)
        with pytest.raises(Killed):
            forget(chain)
    settle(chain)
    kv, held = open_import(chain)
    kv.close()
    assert held is None
    assert height_of(chain) == 0


def die_half_way(path: Path) -> None:
    (path / "CURRENT").unlink()
    raise Killed


def test_an_old_chain_without_a_new_one_comes_back(chain: Path) -> None:
    """Somebody deleted the import between two starts: what there was is the chain again."""
    chain.rename(old_path(chain))
    shutil.rmtree(new_path(chain))
    settle(chain)
    assert height_of(chain) == 0


def test_a_walk_that_led_to_no_import_is_begun_anew(chain: Path) -> None:
    """Ends of epochs alone: the next attempt may walk from elsewhere, and finds an empty store."""
    _, original = grown(MemoryKV(), seed=3, outputs=3, epochs=2)
    kv = discard(chain)
    keep_ends(kv, original, 1)
    kv.close()
    kv, held = open_import(chain)
    assert held is None
    assert next(kv.scan(b"", limit=1), None) is None
    kv.close()


def test_a_part_is_gone_on_with(chain: Path) -> None:
    """Opened again, the import lacks what was not added; a store that was begun and holds nothing
    is used as it is; what LevelDB had no time to name, and what is finished, is made anew."""
    _, original = grown(MemoryKV(), seed=2, outputs=3_000, epochs=1)
    state = original.freeze()
    kv = discard(chain)
    kv.close()
    kv, held = open_import(chain)
    assert held is None
    taking = begin(kv, state.manifest)
    taking.add(1, all_chunks(state)[1])
    missing = list(taking.missing)
    kv.close()
    kv, held = open_import(chain)
    assert held is not None
    assert list(held.missing) == missing
    for number, data in all_chunks(state).items():
        held.add(number, data)
    held.finish()
    kv.close()
    kv, held = open_import(chain)
    assert held is None
    kv.close()
    (new_path(chain) / "CURRENT").unlink()
    kv, held = open_import(chain)
    assert held is None
    kv.close()


def test_what_is_not_needed_is_forgotten(chain: Path) -> None:
    """The chain stays."""
    forget(chain)
    forget(chain)
    assert not new_path(chain).exists()
    assert height_of(chain) == 0
