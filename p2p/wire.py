"""The table of messages: number, name, size limit, queue class, kind of link.

Links know numbers and sizes, never meanings. Numbers are append-only: a number, once published,
keeps its meaning for ever. A size limit bounds the payload, without the frame's header, and is
applied before a byte of the payload is kept.

Two kinds of link exist. A *consensus link* joins two nodes whose licences the chain knows, with a
seat or without, and carries every message; whose votes count is not for a link to say. A *sync
link* joins anybody else (an observer without a licence, a node whose licence the chain does not
know yet) and carries only what proves itself or costs little to serve: blocks, and the transactions
that clients gave to an observer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

KIB = 1024
MIB = 1024 * KIB

HELLO = 1
REFUSED = 2
PING = 3
TXS = 10
RESENT = 11
PRE_PREPARE = 20
PREPARE = 21
COMMIT = 22
SUSPECT = 23
VIEW_CHANGE = 24
NEW_VIEW = 25
STATUS = 26
FETCH = 30
GIVE = 31
EVIDENCE = 32


class QueueClass(IntEnum):
    """Who is written first when a link is busy: the smaller number."""

    CONSENSUS = 0
    STATUS = 1
    TRANSACTIONS = 2
    SYNC = 3


@dataclass(frozen=True, slots=True)
class Message:
    """One row of the table."""

    number: int
    name: str
    size_max: int
    queue_class: QueueClass
    on_sync_links: bool
    """May travel on a sync link, in either direction."""


_CONSENSUS = QueueClass.CONSENSUS
_STATUS = QueueClass.STATUS
_TRANSACTIONS = QueueClass.TRANSACTIONS
_SYNC = QueueClass.SYNC

# PRE_PREPARE and FETCH may list the 2,000 leaf hashes of a full block (68 KB); GIVE may hold a
# whole block body with its certificate. RESENT carries what a primary seems to pass over, and rides
# above the transactions that may have crowded it out. FETCH rides above transactions because the
# body that it asks for is what a vote or a new primary waits for; GIVE is bulk and rides last.
MESSAGES = {
    message.number: message
    for message in (
        Message(HELLO, "HELLO", 1 * KIB, _STATUS, True),
        Message(REFUSED, "REFUSED", 64, _STATUS, True),
        Message(PING, "PING", 0, _STATUS, True),
        Message(TXS, "TXS", 1 * MIB, _TRANSACTIONS, True),
        Message(RESENT, "RESENT", 1 * MIB, _STATUS, False),
        Message(PRE_PREPARE, "PRE-PREPARE", 128 * KIB, _CONSENSUS, False),
        Message(PREPARE, "PREPARE", 1 * KIB, _CONSENSUS, False),
        Message(COMMIT, "COMMIT", 1 * KIB, _CONSENSUS, False),
        Message(SUSPECT, "SUSPECT", 1 * KIB, _CONSENSUS, False),
        Message(VIEW_CHANGE, "VIEW-CHANGE", 64 * KIB, _CONSENSUS, False),
        Message(NEW_VIEW, "NEW-VIEW", 1 * MIB, _CONSENSUS, False),
        Message(STATUS, "STATUS", 16 * KIB, _STATUS, True),
        Message(FETCH, "FETCH", 128 * KIB, _STATUS, True),
        Message(GIVE, "GIVE", 2 * MIB, _SYNC, True),
        Message(EVIDENCE, "EVIDENCE", 16 * KIB, _STATUS, False),
    )
}

# Size limits of what may arrive, by phase. A number that is absent may not arrive at all.
HANDSHAKE_SIZES = {number: MESSAGES[number].size_max for number in (HELLO, REFUSED)}
CONSENSUS_LINK_SIZES = {
    number: message.size_max for number, message in MESSAGES.items() if number != HELLO
}
SYNC_LINK_SIZES = {
    number: size_max
    for number, size_max in CONSENSUS_LINK_SIZES.items()
    if MESSAGES[number].on_sync_links
}
