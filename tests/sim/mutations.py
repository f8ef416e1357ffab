"""An evil member that changes one thing in a message and signs the result.

Small scope: a view or a height beside the right one, another hash, an entry that is missing, a
certificate of something else, an old VIEW-CHANGE in a new NEW-VIEW, an old NEW-VIEW again. Each
passes every check of shape and signature, so that only the check of that one thing can refuse it.
"""

from __future__ import annotations

from random import Random
from typing import TypeVar

import msgspec

from consensus.messages import (
    MESSAGE_BY_TYPE,
    Commit,
    Message,
    NewView,
    NewViewBody,
    Prepare,
    PreparedEntry,
    PrePrepare,
    Status,
    Suspect,
    ViewChange,
    ViewChangeBody,
    make_vote,
    new_view_hash,
    view_change_hash,
)
from ledger import codec
from ledger.block import (
    COMMIT,
    PREPARE,
    Certificate,
    Header,
    VotePayload,
    header_hash,
    vote_hash,
)
from ledger.reasons import Invalid
from node.engine import MESSAGE_BYTES_MAX
from tests.sim.byzantine import Posted
from tests.sim.node import SimNode

T = TypeVar("T")
REMEMBERED_MAX = 40
"""Of each kind of thing that fits another place."""
TRUTH = 0.5
"""Share of messages that leave as they are."""
STALE = 0.02
"""Of all messages heard, so many are answered with an old NEW-VIEW."""


class Memory:
    """What others signed and this member may show again, the oldest forgotten first."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = [bytes(32)]
        self.certificates: list[Certificate] = []
        self.entries: list[PreparedEntry] = []
        self.view_changes: list[ViewChange] = []
        self.new_views: list[bytes] = []

    def note(self, message: Message) -> None:
        match message:
            case PrePrepare(_, header):
                _keep(self.hashes, header_hash(header))
            case ViewChange(body):
                _keep(self.view_changes, message)
                self._note_body(body)
            case NewView(body):
                _keep(self.new_views, codec.encode(message))
                for item in body.view_changes:
                    _keep(self.view_changes, item)
                    self._note_body(item.body)
            case Status():
                for certificate in message.certificate:
                    _keep(self.certificates, certificate)
            case _:
                pass

    def _note_body(self, body: ViewChangeBody) -> None:
        for certificate in body.base_certificate:
            _keep(self.certificates, certificate)
        for entry in body.entries:
            _keep(self.entries, entry)
            _keep(self.certificates, entry.certificate)


class Mutator:
    """Holds one key, its own; what others signed it can only show in another place."""

    def __init__(self, node: SimNode, rng: Random) -> None:
        self._node = node
        self._rng = rng
        self._key = node.world.member_key(node.member)
        self._memory = Memory()

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        message = _read(number, payload)
        if message is None:
            return [(to, number, payload)]
        self._memory.note(message)
        if self._rng.random() < TRUTH:
            return [(to, number, payload)]
        changed = self._change(message)
        lie = (changed.TYPE, codec.encode(changed))
        if to is not None:
            return [(to, *lie)]
        members = range(self._node.world.validators.n)
        others = [member for member in members if member != self._node.member]
        fooled = set(self._rng.sample(others, self._rng.randint(1, len(others))))
        return [(each, *(lie if each in fooled else (number, payload))) for each in others]

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]:
        message = _read(number, payload)
        if message is not None:
            self._memory.note(message)
        if self._memory.new_views and self._rng.random() < STALE:
            return [(None, NewView.TYPE, self._rng.choice(self._memory.new_views))]
        return []

    def _change(self, message: Message) -> Message:
        match message:
            case PrePrepare():
                return self._change_proposal(message)
            case Prepare() | Commit():
                return self._change_vote(message)
            case Suspect(epoch, view):
                return Suspect(epoch + self._rng.choice((0, 1)), view + self._rng.choice((1, 7)))
            case ViewChange(body):
                return self._change_view_change(body)
            case NewView(body):
                return self._change_new_view(body)
            case Status():
                return self._change_status(message)

    def _beside(self, number: int) -> int:
        return max(0, number + self._rng.choice((-1, 1)))

    def _vote_signature(self, payload: VotePayload) -> bytes:
        return self._key.sign(vote_hash(self._node.world.chain_id, payload))

    def _change_vote(self, vote: Prepare | Commit) -> Message:
        payload = vote.payload
        changes: list[dict[str, object]] = [
            {"view": self._beside(payload.view)},
            {"height": self._beside(payload.height)},
            {"block_hash": self._rng.choice(self._memory.hashes)},
            {"phase": COMMIT if payload.phase == PREPARE else PREPARE},
            {"epoch": payload.epoch + 1},
        ]
        payload = msgspec.structs.replace(payload, **self._rng.choice(changes))
        return make_vote(payload, self._node.index, self._vote_signature(payload))

    def _change_proposal(self, message: PrePrepare) -> Message:
        view, header, leaves = message.view, message.header, message.leaves
        draw = self._rng.randrange(4)
        if draw == 0:
            view = self._beside(view)
        elif draw == 1:
            leaves = leaves[1:] if self._rng.random() < 0.5 else tuple(reversed(leaves))
        else:
            header = self._change_header(header)
        payload = VotePayload(header.epoch, PREPARE, view, header.height, header_hash(header))
        return PrePrepare(view, header, leaves, self._vote_signature(payload))

    def _change_header(self, header: Header) -> Header:
        other = self._rng.choice(self._memory.hashes)
        changes: list[dict[str, object]] = [
            {"height": self._beside(header.height)},
            {"parent_hash": other},
            {"state_root": other},
            {"tx_root": other},
            {"time_ms": header.time_ms + self._rng.choice((-3_600_000, -1, 1, 3_600_000))},
        ]
        return msgspec.structs.replace(header, **self._rng.choice(changes))

    def _change_view_change(self, body: ViewChangeBody) -> Message:
        body = msgspec.structs.replace(body, **self._rng.choice(self._view_change_lies(body)))
        signature = self._key.sign(view_change_hash(self._node.world.chain_id, body))
        return ViewChange(body, signature)

    def _view_change_lies(self, body: ViewChangeBody) -> list[dict[str, object]]:
        memory, rng = self._memory, self._rng
        genesis = self._node.world.changes.head.header
        lies: list[dict[str, object]] = [
            {"view": self._beside(body.view)},
            {"base": genesis, "base_certificate": ()},
            {"base_certificate": ()},
            {"entries": body.entries[:-1]},
            {"entries": body.entries[1:]},
        ]
        if memory.certificates:
            certificate = rng.choice(memory.certificates)
            lies.append({"base_certificate": (certificate,)})
            swapped = tuple([PreparedEntry(item.header, certificate) for item in body.entries])
            lies.append({"entries": swapped})
        if memory.entries:
            entry = rng.choice(memory.entries)
            changed = PreparedEntry(self._change_header(entry.header), entry.certificate)
            lies += [{"entries": (entry,)}, {"entries": (changed,)}]
        return lies

    def _change_new_view(self, body: NewViewBody) -> Message:
        rng, held = self._rng, list(body.view_changes)
        place = rng.randrange(len(held))
        draw = rng.randrange(5)
        view = body.view
        if draw == 0:
            view = self._beside(view)
        elif draw == 1:
            del held[place]
        elif draw == 2:
            held[place] = held[place - 1]
        elif draw == 3:
            held.reverse()
        else:
            held[place] = rng.choice(self._memory.view_changes)
        changed = NewViewBody(body.epoch, view, tuple(held), body.signer)
        signature = self._key.sign(new_view_hash(self._node.world.chain_id, changed))
        return NewView(changed, signature)

    def _change_status(self, status: Status) -> Message:
        rng = self._rng
        lies: list[dict[str, object]] = [
            {"height": self._beside(status.height)},
            {"view": self._beside(status.view)},
            {"active": 1 - status.active},
            {"certificate": ()},
            {"held": (), "view_changes": 0},
            {"votes": status.votes[:-1]},
            {"heard": 0},
        ]
        if self._memory.certificates:
            lies.append({"certificate": (rng.choice(self._memory.certificates),)})
        return msgspec.structs.replace(status, **rng.choice(lies))


def _keep(held: list[T], item: T) -> None:
    held.append(item)
    del held[:-REMEMBERED_MAX]


def _read(number: int, payload: bytes) -> Message | None:
    """A message of consensus; None for any other, and for what is no message at all."""
    kind = MESSAGE_BY_TYPE.get(number)
    if kind is None:
        return None
    try:
        message: Message = codec.decode(payload, kind, size_max=MESSAGE_BYTES_MAX)
    except Invalid:
        return None
    return message
