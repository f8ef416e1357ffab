"""One link a peer: both ends keep the same one, and dead links give way."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.handshake import RefusedReason
from p2p.peer_table import PeerTable, Placed, newer_stays

RACE_S = 5.0
ALIVE_S = 3.0


@dataclass(eq=False)
class Link:
    identity: str
    link_key: bytes
    dialled: bool
    since: float = 0.0
    may_consensus: bool = True
    session: bytes = b"one"
    heard_at: float = 0.0


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.booleans())
def test_both_ends_keep_the_same_link(one: bytes, two: bytes, one_dialled_first: bool) -> None:
    """For any two keys and either order of arrival at each end, the same dialler's link stays."""
    if one == two:
        return
    kept = set()
    for own, other, own_dialled_first in (
        (one, two, one_dialled_first), (one, two, not one_dialled_first),
        (two, one, one_dialled_first), (two, one, not one_dialled_first),
    ):  # fmt: skip
        old = Link("peer", other, dialled=own_dialled_first)
        new = Link("peer", other, dialled=not own_dialled_first, since=RACE_S)
        stays = new if newer_stays(own, old, new, RACE_S) else old
        kept.add(own if stays.dialled else other)
    assert kept == {min(one, two)}


def test_a_second_dial_by_the_same_end_replaces() -> None:
    """An end dials only without a link, so its older one is dead, whichever key is smaller."""
    for own in (b"\x00", b"\xff"):
        for dialled in (True, False):
            old = Link("peer", b"\x80", dialled=dialled)
            assert newer_stays(own, old, Link("peer", b"\x80", dialled=dialled, since=1.0), RACE_S)


def test_a_link_older_than_any_race_gives_way() -> None:
    """The peer dials although a link has been up for long: it lost it."""
    old = Link("peer", b"\x80", dialled=True)
    for since, stays in ((RACE_S, False), (RACE_S + 0.1, True)):
        new = Link("peer", b"\x80", dialled=False, since=since)
        assert newer_stays(b"\x00", old, new, RACE_S) is stays


def test_table() -> None:
    """Placing, replacing, refusing and removing keep one link an identity."""
    table: PeerTable[Link] = PeerTable(b"\x00", sync_links_max=1, race_s=RACE_S, alive_s=ALIVE_S)
    first = Link("b", b"\x80", dialled=False)
    assert table.place(first) == Placed(None)
    better = Link("b", b"\x80", dialled=True, since=1.0)
    assert table.place(better) == Placed(first)
    late = Link("b", b"\x80", dialled=False, since=2.0)
    assert table.place(late) is RefusedReason.DUPLICATE
    table.remove(first)
    assert table.get("b") is better
    watcher = Link("observer:1", b"", dialled=False, may_consensus=False)
    assert table.place(watcher) == Placed(None)
    other = Link("observer:2", b"", dialled=False, may_consensus=False)
    assert table.place(other) is RefusedReason.FULL
    assert table.place(Link("a", b"\x90", dialled=True)) == Placed(None)
    assert [link.identity for link in table.links()] == ["a", "b", "observer:1"]
    table.remove(better)
    assert table.get("b") is None


def test_who_misbehaved_is_met_again_only_later() -> None:
    """Held off until the time given, then welcome; others are not concerned."""
    table: PeerTable[Link] = PeerTable(b"\x00", sync_links_max=1, race_s=RACE_S, alive_s=ALIVE_S)
    bad = Link("b", b"\x80", dialled=False)
    assert table.place(bad) == Placed(None)
    table.remove(bad)
    table.hold_off(bad, 10.0)
    assert table.place(Link("b", b"\x80", dialled=False, since=9.9)) is RefusedReason.FULL
    assert table.place(Link("a", b"\x90", dialled=False, since=9.9)) == Placed(None)
    assert table.place(Link("b", b"\x80", dialled=False, since=10.0)) == Placed(None)


def test_a_second_process_waits_until_the_first_is_silent() -> None:
    """Another session of a key is refused while the linked one is heard, whoever dialled."""
    for dialled in (True, False):
        table: PeerTable[Link] = PeerTable(
            b"\x00", sync_links_max=1, race_s=RACE_S, alive_s=ALIVE_S
        )
        first = Link("b", b"\x80", dialled=False, heard_at=10.0)
        assert table.place(first) == Placed(None)
        for since, answer in ((10.0, "no"), (12.9, "no"), (13.0, "yes")):
            second = Link("b", b"\x80", dialled, since=since, session=b"two", heard_at=since)
            expected = RefusedReason.KEY_IN_USE if answer == "no" else Placed(first)
            assert table.place(second) == expected
