"""Small transactions are looked at in groups, kind of work after kind of work, and none gets in for
that which would not get in alone."""

from __future__ import annotations

import pytest

import node.driver
import node.intake
from consensus.effects import Now
from ledger.crypto import verify
from ledger.reasons import Invalid, Reason
from ledger.transaction import SignedTransaction
from tests.node.test_driver import Shell

NOW = Now(0, 0)


class Watched(Shell):
    """Notes how many wait whenever a signature is verified."""

    def __init__(self) -> None:
        self.waiting: list[int] = []

        def noting(key: bytes, message: bytes, signature: bytes) -> bool:
            self.waiting.append(len(self.mempool))
            return verify(key, message, signature)

        super().__init__(noting)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(node.driver, "GROUP", 2)
    return Watched()


def three(shell: Shell) -> list[SignedTransaction]:
    """Payments that have nothing to do with each other."""
    world = shell.world
    return [
        world.transfer("alice", "eve", 1),
        world.transfer("bob", "eve", 1),
        world.transfer("alice", "eve", 1, coin=world.coin("alice", "val1")),
    ]


async def test_signatures_of_a_group_come_before_its_first(shell: Watched) -> None:
    """Of three, in groups of two."""
    await shell.driver.submit([tx.raw for tx in three(shell)])
    assert shell.waiting == [0, 0, 2]
    assert len(shell.mempool) == 3


async def test_an_operation_is_looked_at_in_its_turn(shell: Watched) -> None:
    """For some take a millisecond each: after the payment before it got in."""
    first, second, _ = three(shell)
    await shell.driver.submit([first.raw, shell.world.mint().raw, second.raw])
    assert shell.waiting == [0, 1, 2]


@pytest.mark.parametrize("limit", ["SMALL_BYTES_MAX", "SMALL_SIGNATURES_MAX"])
async def test_what_is_larger_is_looked_at_in_its_turn(
    shell: Watched, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Sixteen of the largest transactions would be 50 ms of signatures in one slice."""
    monkeypatch.setattr(node.intake, limit, 0)
    await shell.driver.submit([tx.raw for tx in three(shell)])
    assert shell.waiting == [0, 1, 2]


async def test_rivals_and_copies_in_one_group(shell: Watched) -> None:
    """The first of two payments with one coin waits; a copy is known and verified once."""
    one, other = (shell.world.transfer("alice", "bob", amount) for amount in (1, 2))
    results = await shell.driver.submit([one.raw, other.raw, one.raw, one.raw])
    assert [item.is_new for item in results] == [True, False, False, False]
    reasons = [item.refusal.reason for item in results if item.refusal is not None]
    assert reasons == [Reason.DOUBLE_SPEND]
    assert len(shell.waiting) == 2


async def test_copies_of_a_bad_one_are_verified_once(
    shell: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal is remembered, but only once the first of them was looked at."""
    monkeypatch.setattr(node.driver, "GROUP", 16)
    tx = shell.world.transfer("alice", "bob", 1)
    signature = tx.witness.signatures[0].signature
    bad = tx.raw.replace(signature, signature[:32] + bytes(32))
    results = await shell.driver.submit([bad] * 16)
    assert {item.refusal and item.refusal.reason for item in results} == {Reason.BAD_SIGNATURE}
    assert shell.waiting == [0]


async def test_other_witnesses_of_one_body(shell: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once one of them waits the others are known, as if each had come alone."""
    monkeypatch.setattr(node.driver, "GROUP", 16)
    tx = shell.world.transfer("alice", "bob", 1)
    signature = tx.witness.signatures[0].signature
    bad = [tx.raw.replace(signature, bytes([at]) + signature[1:]) for at in range(3)]
    results = await shell.driver.submit([tx.raw, *bad])
    assert [item.refusal for item in results] == [None] * 4
    assert shell.waiting == [0]
    assert shell.mempool.rejection(tx.txid) is None


async def test_what_waits_by_now_is_not_verified(shell: Watched) -> None:
    """Another witness of it, looked at before other cores verified: nothing bad is remembered."""
    tx = shell.world.transfer("alice", "bob", 1)
    signature = tx.witness.signatures[0].signature
    looked = shell.driver._intake.look(tx.raw.replace(signature, bytes(64)))
    await shell.driver.submit([tx.raw])
    shell.waiting.clear()
    shell.driver._intake.check_small([looked])
    assert shell.waiting == []
    assert shell.mempool.rejection(tx.txid) is None


async def test_a_lock_that_is_no_key_is_looked_at_in_its_turn(
    shell: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules of a tree of conditions take longer than those of a payment."""
    monkeypatch.setattr(node.intake, "Key", type(None))
    await shell.driver.submit([tx.raw for tx in three(shell)])
    assert shell.waiting == [0, 1, 2]


async def test_room_and_state_are_asked_when_it_gets_in(shell: Watched) -> None:
    """A rival came between the look at the group and its turn."""
    one, other = (shell.world.transfer("alice", "bob", amount) for amount in (1, 2))
    intake = shell.driver._intake
    looked = intake.look(one.raw)
    intake.check_small([looked])
    assert looked.is_sound
    await shell.driver.submit([other.raw])
    with pytest.raises(Invalid) as refused:
        intake.admit_looked(looked, NOW)
    assert refused.value.reason is Reason.DOUBLE_SPEND


async def test_a_full_disk_or_pool_verifies_nothing(
    shell: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cheapest comes first, of a group as of one."""
    raws = [shell.world.transfer(name, "eve", 1).raw for name in ("alice", "bob")]
    shell.driver.accepts_transactions = False
    await shell.driver.submit(raws)
    shell.driver.accepts_transactions = True
    monkeypatch.setattr("ledger.mempool.SENDER_MAX", 0)
    monkeypatch.setattr("ledger.mempool.TRANSACTIONS_MAX", 0)
    await shell.driver.submit(raws)
    assert shell.waiting == []
