"""Who is connected, at most one link each. Pure: links in, verdicts out.

Of two links between a pair the one dialled by the end with the smaller link key stays; both ends
apply the rule to the same two keys, so they keep the same link without talking about it. The rule
is for links that were opened at the same time. Two other cases are older links that died
unnoticed at this end, told apart by facts that a race cannot produce:

- the same end dialled both: an end dials only while it has no link;
- the older link has been up for longer than any handshake takes: whoever dials now lost it.

In both the new link stays.

All this holds for one process at the other end. A link of another session with the same key is of
a second process, or of a next life. While the older link is heard, the newer is refused: two
copies of a node cannot take each other's place in turn, and no member listens to both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from p2p.handshake import RefusedReason


class Link(Protocol):
    """What the table needs to know of a link."""

    identity: str
    link_key: bytes
    may_consensus: bool
    dialled: bool
    since: float
    session: bytes
    heard_at: float


L = TypeVar("L", bound=Link)


@dataclass(frozen=True, slots=True)
class Placed(Generic[L]):
    """The link was entered; `replaced` has left the table and must be refused as duplicate."""

    replaced: L | None


def newer_stays(own_key: bytes, old: Link, new: Link, race_s: float) -> bool:
    """Which of two links with one peer stays: True for the newer."""
    if old.dialled == new.dialled or new.since - old.since > race_s:
        return True
    return new.dialled == (own_key < new.link_key)


class PeerTable(Generic[L]):
    """Links by identity. Sync links are bounded; the others are by the licences of the chain, of
    which there are 256 at most in its life."""

    def __init__(
        self, own_key: bytes, *, sync_links_max: int, race_s: float, alive_s: float
    ) -> None:
        self._own_key = own_key
        self._sync_links_max = sync_links_max
        self._race_s = race_s
        self._alive_s = alive_s
        self._links: dict[str, L] = {}
        self._held_off: dict[str, float] = {}  # nodes with a licence only

    def __len__(self) -> int:
        return len(self._links)

    def get(self, identity: str) -> L | None:
        return self._links.get(identity)

    def links(self) -> Iterable[L]:
        """Sorted by identity, a list of its own: the table may change meanwhile."""
        return [self._links[identity] for identity in sorted(self._links)]

    def place(self, link: L) -> Placed[L] | RefusedReason:
        """Enter `link`, or say why not: DUPLICATE, KEY_IN_USE, or FULL also for one held off."""
        if link.since < self._held_off.get(link.identity, link.since):
            return RefusedReason.FULL
        old = self._links.get(link.identity)
        if old is not None:
            if old.session != link.session:
                if link.since - old.heard_at < self._alive_s:
                    return RefusedReason.KEY_IN_USE
            elif not newer_stays(self._own_key, old, link, self._race_s):
                return RefusedReason.DUPLICATE
        elif not link.may_consensus and self._sync_links() >= self._sync_links_max:
            return RefusedReason.FULL
        self._links[link.identity] = link
        return Placed(old)

    def hold_off(self, link: L, until: float) -> None:
        """A validator that misbehaved is not met again before `until`: redialling must not pay."""
        if link.may_consensus:
            self._held_off[link.identity] = until

    def remove(self, link: L) -> None:
        """Take out `link`; nothing when another took its place."""
        if self._links.get(link.identity) is link:
            del self._links[link.identity]

    def _sync_links(self) -> int:
        return sum(not link.may_consensus for link in self._links.values())
