"""The causes against a primary that goes on deciding, at their borders."""

from __future__ import annotations

from hashlib import sha256

import pytest

from consensus.suspicion import (
    DECIDED_MAX,
    REST_MS,
    ROOMY_BLOCKS,
    ROOMY_PPM_MAX,
    WINDOW_MS,
    WINDOWS_MAX,
    BlockFill,
    PassedOver,
    Throughput,
    Waiting,
)
from ledger.block import BLOCK_TRANSACTIONS_MAX
from ledger.parameters import PPM
from tests.ledger.world import World

T_MS = 2_000
FIRST = sha256(b"first").digest()
ROOMY = BlockFill(ROOMY_PPM_MAX - 1, ROOMY_PPM_MAX - 1, 1, 0)


def resent_twice(*, is_free: bool = False) -> PassedOver:
    """The first transaction's second re-send is at 2 T."""
    watch = PassedOver()
    for at_ms in (T_MS, 2 * T_MS):
        watch.on_resent([Waiting(FIRST, is_free)], at_ms)
    return watch


def accused(watch: PassedOver, at_ms: int) -> list[bytes]:
    return list(watch.accusing(at_ms, T_MS))


def test_blocks_with_room_and_time_accuse() -> None:
    """Eight blocks with room and T since the second re-send: one less of either is too little."""
    watch = resent_twice()
    for _ in range(ROOMY_BLOCKS - 1):
        watch.on_decided(ROOMY)
    assert accused(watch, 100 * T_MS) == []
    watch.on_decided(ROOMY)
    assert accused(watch, 3 * T_MS - 1) == []
    assert accused(watch, 3 * T_MS) == [FIRST]


def test_one_resend_accuses_nobody() -> None:
    """Blocks before the second re-send do not count, however many."""
    watch = PassedOver()
    watch.on_resent([Waiting(FIRST, False)], T_MS)
    for _ in range(10 * ROOMY_BLOCKS):
        watch.on_decided(ROOMY)
    watch.on_resent([Waiting(FIRST, False)], 2 * T_MS)
    assert accused(watch, 100 * T_MS) == []


@pytest.mark.parametrize(
    ("fill", "is_free"),
    [
        (BlockFill(ROOMY_PPM_MAX, 0, 1, 0), False),
        (BlockFill(ROOMY_PPM_MAX, 0, 1, 0), True),
        (BlockFill(0, ROOMY_PPM_MAX, 1, 1), True),
    ],
)
def test_full_blocks_accuse_nobody(fill: BlockFill, is_free: bool) -> None:
    """At 90 % of a limit of its class a block says nothing."""
    watch = resent_twice(is_free=is_free)
    for _ in range(10 * ROOMY_BLOCKS):
        watch.on_decided(fill)
    assert accused(watch, 100 * T_MS) == []


def test_full_part_of_free_ones_says_nothing_of_paying_ones() -> None:
    """A paying transaction has room where the fifth for free ones is full."""
    watch = resent_twice()
    for _ in range(ROOMY_BLOCKS):
        watch.on_decided(BlockFill(ROOMY_PPM_MAX - 1, PPM, 1, 1))
    assert accused(watch, 3 * T_MS) == [FIRST]


@pytest.mark.parametrize("is_free", [False, True])
def test_more_of_its_class_than_could_stand_before_it(is_free: bool) -> None:
    """Full blocks alone: only more than a full pool and four blocks of its class accuse."""
    watch = resent_twice(is_free=is_free)
    other = BlockFill(PPM, PPM, DECIDED_MAX, 0 if is_free else DECIDED_MAX)
    same = BlockFill(PPM, PPM, DECIDED_MAX, DECIDED_MAX if is_free else 0)
    watch.on_decided(other)
    watch.on_decided(other)
    watch.on_decided(same)
    assert accused(watch, 2 * T_MS) == []
    watch.on_decided(BlockFill(PPM, PPM, 1, int(is_free)))
    assert accused(watch, 2 * T_MS) == [FIRST]


def test_what_waits_no_more_is_forgotten() -> None:
    """Absent from one round, it begins anew; so does everything with another primary."""
    for forget in (lambda watch: watch.on_resent([], 3 * T_MS), lambda watch: watch.forget()):
        watch = resent_twice()
        for _ in range(ROOMY_BLOCKS):
            watch.on_decided(ROOMY)
        forget(watch)
        assert len(watch) == 0
        watch.on_resent([Waiting(FIRST, False)], 4 * T_MS)
        assert accused(watch, 100 * T_MS) == []


def run(watch: Throughput, start_ms: int, windows: int, ppm: int, *, waits: bool = True) -> int:
    """So many windows with a block of `ppm` in the middle of each; the time after the last."""
    for index in range(windows):
        begin_ms = start_ms + index * WINDOW_MS
        watch.look(begin_ms, full_block_waits=waits)
        watch.on_decided(BlockFill(ppm, 0, 1, 0))
        watch.look(begin_ms + WINDOW_MS // 2, full_block_waits=waits)
    end_ms = start_ms + windows * WINDOW_MS
    watch.look(end_ms, full_block_waits=waits)
    return end_ms


def test_less_than_half_of_the_best_is_slow_for_one_window() -> None:
    """Half is enough, less is not; the suspicion lasts as long as the next window."""
    watch = Throughput(0)
    at_ms = run(watch, 0, 3, 1_000, waits=False)
    at_ms = run(watch, at_ms, 2, 500)
    assert not watch.is_slow(at_ms)
    at_ms = run(watch, at_ms, 1, 499)
    assert watch.is_slow(at_ms)
    assert watch.is_slow(at_ms + WINDOW_MS - 1)
    assert not watch.is_slow(at_ms + WINDOW_MS)


def test_nobody_is_slow_while_little_waits() -> None:
    """A full block must wait through the whole window, from its first moment to its last."""
    watch = Throughput(0)
    at_ms = run(watch, 0, 3, 1_000)
    watch.look(at_ms, full_block_waits=True)
    watch.look(at_ms + WINDOW_MS - 1, full_block_waits=False)
    at_ms += WINDOW_MS
    watch.look(at_ms, full_block_waits=True)
    assert not watch.is_slow(at_ms)
    at_ms = run(watch, at_ms, 1, 0)
    assert watch.is_slow(at_ms)


def test_low_throughput_is_a_cause_once_in_ten_minutes() -> None:
    """The second suspicion comes with the first window that ends ten minutes later."""
    watch = Throughput(0)
    at_ms = first_ms = run(watch, run(watch, 0, 2, 1_000), 1, 0)
    assert watch.is_slow(at_ms)
    watch.forget()
    assert not watch.is_slow(at_ms)
    while at_ms < first_ms + REST_MS - WINDOW_MS:
        at_ms = run(watch, at_ms, 1, 0)
        assert not watch.is_slow(at_ms)
    assert watch.is_slow(run(watch, at_ms, 1, 0))


def test_best_is_forgotten_after_an_hour() -> None:
    """What was possible once is no measure for ever."""
    watch = Throughput(0)
    at_ms = run(watch, 0, 2, 1_000)
    at_ms = run(watch, at_ms, WINDOWS_MAX, 1, waits=False)
    assert not watch.is_slow(run(watch, at_ms, 2, 1))


def test_windows_that_are_not_its_own_judge_nobody() -> None:
    """A window in which the primary changed, and one that this machine slept through."""
    watch = Throughput(0)
    at_ms = run(watch, 0, 2, 1_000)
    watch.look(at_ms, full_block_waits=True)
    watch.forget()
    watch.look(at_ms + WINDOW_MS, full_block_waits=True)
    assert not watch.is_slow(at_ms + WINDOW_MS)
    at_ms += 3 * WINDOW_MS
    watch.look(at_ms, full_block_waits=True)
    assert not watch.is_slow(at_ms)


def test_fill_is_that_of_the_fullest_limit() -> None:
    """By number, by signatures or by bytes, whichever is nearest to its limit."""
    world = World()
    tx = world.transfer("alice", "bob", 1_000)
    fill = BlockFill.of([tx])
    assert fill.transactions == 1
    assert fill.free == fill.free_ppm == 0
    assert fill.whole_ppm == max(
        PPM // BLOCK_TRANSACTIONS_MAX, PPM // 4_000, len(tx.raw) * PPM // 1_048_576
    )
    mint = world.mint("val0", 1_000)
    free = BlockFill.of([mint, tx])
    assert (free.transactions, free.free) == (2, 1)
    assert free.free_ppm == PPM // 16
    assert BlockFill.of([]) == BlockFill(0, 0, 0, 0)
