"""The message table: numbers never change, phases allow what they should."""

from __future__ import annotations

from p2p import wire
from p2p.wire import (
    CONSENSUS_LINK_SIZES,
    HANDSHAKE_SIZES,
    KIB,
    MESSAGES,
    MIB,
    SYNC_LINK_SIZES,
    QueueClass,
)


def test_numbers_are_append_only() -> None:
    """The published numbers and limits; a row may be added here, never changed."""
    published = {
        1: ("HELLO", KIB), 2: ("REFUSED", 64), 3: ("PING", 0), 10: ("TXS", MIB),
        11: ("RESENT", MIB),
        20: ("PRE-PREPARE", 128 * KIB), 21: ("PREPARE", KIB), 22: ("COMMIT", KIB),
        23: ("SUSPECT", KIB), 24: ("VIEW-CHANGE", 64 * KIB), 25: ("NEW-VIEW", MIB),
        26: ("STATUS", 16 * KIB), 30: ("FETCH", 128 * KIB), 31: ("GIVE", 2 * MIB),
        32: ("EVIDENCE", 16 * KIB),
    }  # fmt: skip
    assert {n: (m.name, m.size_max) for n, m in MESSAGES.items()} == published


def test_phases() -> None:
    """Before HELLO only HELLO and REFUSED; a sync link carries no vote."""
    assert set(HANDSHAKE_SIZES) == {wire.HELLO, wire.REFUSED}
    sync = {wire.REFUSED, wire.PING, wire.TXS, wire.STATUS, wire.FETCH, wire.GIVE}
    assert set(SYNC_LINK_SIZES) == sync
    assert set(CONSENSUS_LINK_SIZES) == set(MESSAGES) - {wire.HELLO}


def test_votes_go_before_everything() -> None:
    """What a view change and the normal case need is of the consensus class, bulk is last."""
    consensus = {n for n, m in MESSAGES.items() if m.queue_class is QueueClass.CONSENSUS}
    assert consensus == {20, 21, 22, 23, 24, 25}
    assert MESSAGES[wire.TXS].queue_class is QueueClass.TRANSACTIONS
    assert MESSAGES[wire.GIVE].queue_class is QueueClass.SYNC
    assert sorted(QueueClass) == [
        QueueClass.CONSENSUS, QueueClass.STATUS, QueueClass.TRANSACTIONS, QueueClass.SYNC,
    ]  # fmt: skip
