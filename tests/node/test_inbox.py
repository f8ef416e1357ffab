"""The inbox: two kinds in turn, a room for each member that sends again."""

from __future__ import annotations

from ledger.codec import encode_payload
from node.inbox import FOLLOWER_INBOX_BYTES_MAX, INBOX_ITEM_BYTES, RESENT_INBOX_BYTES_MAX, Inbox
from p2p.gossip import Batch

KEY, OTHER = b"k" * 32, b"o" * 32


def batch(mark: bytes, count: int = 1, size: int = 10) -> bytes:
    return encode_payload(Batch((mark * size,) * count))


def test_both_kinds_are_looked_at_in_turn() -> None:
    """Three pushed before two re-sent ones: the re-sent come first and third."""
    inbox = Inbox()
    for mark in (b"a", b"b", b"c"):
        inbox.put("val1", batch(mark), None)
    for mark in (b"x", b"y"):
        inbox.put("val1", batch(mark), KEY)
    taken = [inbox.take() for _ in range(5)]
    assert [item.raws[0][:1] for item in taken if item] == [b"x", b"a", b"y", b"b", b"c"]
    assert inbox.take() is None
    assert len(inbox) == 0


def test_a_member_that_floods_takes_its_own_room_only() -> None:
    """What is above a member's room is dropped and counted; another's still fits, and after a
    look there is room again."""
    inbox = Inbox()
    large = batch(b"x", count=40, size=15_000)
    inbox.put("val1", large, KEY)
    assert inbox.dropped_bytes == 0
    inbox.put("val1", large, KEY)
    assert inbox.dropped_bytes == len(large) < RESENT_INBOX_BYTES_MAX
    inbox.put("val2", large, OTHER)
    inbox.put("val1", batch(b"a"), None)
    assert len(inbox) == 3
    while inbox.take() is not None:
        pass
    inbox.put("val1", large, KEY)
    assert inbox.dropped_bytes == len(large)


def test_a_follower_has_a_small_room_of_its_own() -> None:
    """At one byte below and at the limit it fits, one above is dropped and counted; another
    follower and a validator lose nothing, and each kind has its turn."""
    fits = FOLLOWER_INBOX_BYTES_MAX - 40 * INBOX_ITEM_BYTES
    for size, is_kept in ((fits - 1, True), (fits, True), (fits + 1, False)):
        inbox = Inbox()
        whole, rest = divmod(size, 40)
        payload = encode_payload(Batch((*(b"f" * whole for _ in range(39)), b"f" * (whole + rest))))
        inbox.put("observer:1", payload, None, from_follower=True)
        assert (len(inbox), inbox.dropped_bytes) == ((1, 0) if is_kept else (0, len(payload)))
    inbox = Inbox()
    inbox.put("observer:1", batch(b"x"), None, from_follower=True)
    inbox.put("observer:1", batch(b"y"), None, from_follower=True)
    inbox.put("observer:2", batch(b"z"), None, from_follower=True)
    inbox.put("val1", batch(b"a"), None)
    inbox.put("val1", batch(b"r"), KEY)
    taken = [inbox.take() for _ in range(5)]
    assert [item.raws[0][:1] for item in taken if item] == [b"r", b"x", b"a", b"y", b"z"]
    assert [item.source for item in taken if item and item.from_follower][-1] == "observer:2"
