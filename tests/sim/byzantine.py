"""Evil members: the node's own engine, and in front of it somebody who lies with its key.

A saboteur sees what its engine sends and what reaches it, and decides what really leaves. It holds
one key, its own: it can contradict itself, withhold, distort and replay, but never forge.
"""

from __future__ import annotations

from itertools import combinations
from random import Random
from typing import Protocol

import msgspec

from consensus.messages import (
    Commit,
    NewView,
    NewViewBody,
    Prepare,
    PreparedEntry,
    PrePrepare,
    Status,
    ViewChange,
    ViewChangeBody,
    Vote,
    VoteMark,
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
    make_certificate,
    vote_hash,
)
from ledger.execution import Execution
from ledger.reasons import Invalid
from node.engine import MESSAGE_BYTES_MAX
from node.fetching import Give
from p2p.wire import MESSAGES, TXS
from tests.sim.node import SimNode

Posted = tuple[int | None, int, bytes]
"""To whom (None: all others), message number, payload."""
REMEMBERED_MAX = 200
"""Messages that a babbler keeps to replay."""


class Saboteur(Protocol):
    """What stands between an evil engine and the network."""

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]: ...

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]: ...


class Silent:
    """Says nothing any more."""

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        return []

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]:
        return []


class Faithful:
    """Adds nothing: a twin contradicts its other half by itself."""

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        return [(to, number, payload)]

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]:
        return []


class Equivocator:
    """Proposes two valid blocks, votes for everything, forgets what it prepared.

    As primary it sends one block to some members and another, just as valid, to the others. It
    PREPAREs and COMMITs whatever hash it hears of, with or without a quorum. Its VIEW-CHANGE may
    deny all that it committed, and its NEW-VIEW may show different quorums to different members.
    """

    def __init__(self, node: SimNode, rng: Random) -> None:
        self._node = node
        self._rng = rng
        self._key = node.world.member_key(node.member)
        self._rivals: dict[tuple[int, int], PrePrepare] = {}
        self._voted: set[tuple[int, int, int, bytes]] = set()

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        if number == PrePrepare.TYPE:
            return self._propose(to, payload)
        if number == ViewChange.TYPE and self._rng.random() < 0.5:
            return self._deny(to, payload)
        if number == NewView.TYPE and self._rng.random() < 0.7:
            return self._show_other_quorum(to, payload)
        if number == Status.TYPE and self._rng.random() < 0.3:
            return self._lie_about_itself(to, payload)
        return [(to, number, payload)]

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]:
        if number not in (PrePrepare.TYPE, Prepare.TYPE):
            return []
        try:
            kind = PrePrepare if number == PrePrepare.TYPE else Prepare
            message = codec.decode(payload, kind, size_max=MESSAGE_BYTES_MAX)
        except Invalid:
            return []
        if isinstance(message, PrePrepare):
            height, block_hash = message.header.height, header_hash(message.header)
        else:
            height, block_hash = message.height, message.block_hash
        posted: list[Posted] = []
        for phase in (PREPARE, COMMIT):
            place = (message.view, height, phase, block_hash)
            if place in self._voted or self._rng.random() < 0.3:
                continue
            self._voted.add(place)
            vote = self._vote(
                VotePayload(self._node.epoch, phase, message.view, height, block_hash)
            )
            posted += [(member, vote.TYPE, codec.encode(vote)) for member in self._some()]
        return posted

    def _others(self) -> list[int]:
        return [item for item in range(self._node.world.validators.n) if item != self._node.member]

    def _some(self) -> list[int]:
        others = self._others()
        return sorted(self._rng.sample(others, self._rng.randint(1, len(others))))

    def _vote(self, payload: VotePayload) -> Vote:
        signature = self._key.sign(vote_hash(self._node.world.chain_id, payload))
        return make_vote(payload, self._node.index, signature)

    def _propose(self, to: int | None, payload: bytes) -> list[Posted]:
        message = codec.decode(payload, PrePrepare, size_max=MESSAGE_BYTES_MAX)
        rival = self._rival(message)
        posted: list[Posted] = []
        for member in self._others() if to is None else [to]:
            draw = self._rng.random()
            if draw < 0.45 or rival is None:
                posted.append((member, PrePrepare.TYPE, payload))
            elif draw < 0.9:
                posted.append((member, PrePrepare.TYPE, codec.encode(rival)))
        return posted

    def _rival(self, message: PrePrepare) -> PrePrepare | None:
        """Another valid block for the same place: fewer transactions, another time."""
        place = (message.view, message.header.height)
        if place not in self._rivals:
            made = self._make_rival(message.header, message.leaves)
            if made is None:
                return None
            header, leaves = made
            payload = VotePayload(
                header.epoch, PREPARE, message.view, header.height, header_hash(header)
            )
            vote = self._vote(payload)
            self._rivals[place] = PrePrepare(message.view, header, leaves, vote.signature)
        return self._rivals[place]

    def _make_rival(
        self, header: Header, leaves: tuple[bytes, ...]
    ) -> tuple[Header, tuple[bytes, ...]] | None:
        engine = self._node.engine
        assert engine is not None
        view = engine.executor.view_of(header.parent_hash)
        if view is None:
            return None
        execution = Execution(view, time_ms=header.time_ms + 1, proposer=header.proposer)
        taken = []
        for leaf in leaves:
            tx = engine.mempool.get_by_wtxid(leaf)
            if tx is None or self._rng.random() < 0.5:
                continue
            try:
                execution.add(tx)
            except Invalid:
                continue
            taken.append(leaf)
        return execution.finish().head.header, tuple(taken)

    def _deny(self, to: int | None, payload: bytes) -> list[Posted]:
        """A VIEW-CHANGE that knows of nothing prepared, from genesis or from its commit."""
        body = codec.decode(payload, ViewChange, size_max=MESSAGE_BYTES_MAX).body
        world = self._node.world
        if self._rng.random() < 0.5:
            genesis = world.changes.head.header
            body = ViewChangeBody(body.epoch, body.view, genesis, (), (), body.signer)
        else:
            body = msgspec.structs.replace(body, entries=())
        signature = self._key.sign(view_change_hash(world.chain_id, body))
        denied = codec.encode(ViewChange(body, signature))
        some = self._some()
        posted: list[Posted] = [(member, ViewChange.TYPE, denied) for member in some]
        rest = [member for member in self._others() if member not in some]
        return posted + [(member, ViewChange.TYPE, payload) for member in rest]

    def _show_other_quorum(self, to: int | None, payload: bytes) -> list[Posted]:
        engine = self._node.engine
        assert engine is not None
        body = codec.decode(payload, NewView, size_max=MESSAGE_BYTES_MAX).body
        state = engine.replica.state
        held = [
            checked.message
            for _, checked in sorted(state.view_changes.items())
            if checked.message.body.view == body.view
        ]
        choices = list(combinations(held, state.quorum))
        posted: list[Posted] = []
        for member in self._others() if to is None else [to]:
            chosen = self._rng.choice(choices) if choices else body.view_changes
            other = NewViewBody(body.epoch, body.view, tuple(chosen), body.signer)
            signature = self._key.sign(new_view_hash(self._node.world.chain_id, other))
            if self._rng.random() < 0.8:
                posted.append((member, NewView.TYPE, codec.encode(NewView(other, signature))))
        return posted

    def _lie_about_itself(self, to: int | None, payload: bytes) -> list[Posted]:
        status = codec.decode(payload, Status, size_max=MESSAGE_BYTES_MAX)
        lies = [
            msgspec.structs.replace(status, height=status.height + 5),
            msgspec.structs.replace(status, view=max(0, status.view - 1)),
            msgspec.structs.replace(status, view=status.view + 3, active=0),
            msgspec.structs.replace(status, held=(), view_changes=0, active=0),
        ]
        return [(to, Status.TYPE, codec.encode(self._rng.choice(lies)))]


class Forger:
    """Claims what others never signed, and proves it with signatures of its own.

    Votes that name others as their signers, certificates in its STATUS, another header beside a
    good certificate in its VIEW-CHANGE, a NEW-VIEW whenever it likes, with nobody's consent.
    """

    def __init__(self, node: SimNode, rng: Random) -> None:
        self._node = node
        self._rng = rng
        self._key = node.world.member_key(node.member)

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        if number in (Prepare.TYPE, Commit.TYPE) and self._rng.random() < 0.3:
            return [(to, number, payload), *self._as_others(to, number, payload)]
        if number == ViewChange.TYPE and self._rng.random() < 0.7:
            return [(to, number, self._swap_headers(payload))]
        if number != Status.TYPE or self._rng.random() < 0.3:
            return [(to, number, payload)]
        if self._rng.random() < 0.3:
            return [(to, number, payload), (to, NewView.TYPE, self._own_new_view(payload))]
        status = codec.decode(payload, Status, size_max=MESSAGE_BYTES_MAX)
        height, signature = status.height + 7, self._key.sign(bytes(32))
        marks = tuple(
            VoteMark(member, 0, status.view, height, COMMIT, bytes(32), signature)
            for member in range(self._node.world.validators.n)
        )
        lies = msgspec.structs.replace(status, votes=marks)
        if status.certificate and self._rng.random() < 0.5:
            forged = self._forge(status.certificate[0], height)
            lies = msgspec.structs.replace(lies, height=height, certificate=(forged,))
        return [(to, number, codec.encode(lies))]

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]:
        return []

    def _as_others(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        """Its own vote in the name of every member."""
        kind = Prepare if number == Prepare.TYPE else Commit
        vote: Vote = codec.decode(payload, kind, size_max=MESSAGE_BYTES_MAX)
        members = range(self._node.world.validators.n)
        claimed = [msgspec.structs.replace(vote, signer=member) for member in members]
        return [(to, number, codec.encode(item)) for item in claimed]

    def _swap_headers(self, payload: bytes) -> bytes:
        """Beside each certificate stands a header that it does not name."""
        body = codec.decode(payload, ViewChange, size_max=MESSAGE_BYTES_MAX).body
        entries = [
            PreparedEntry(
                msgspec.structs.replace(entry.header, parent_hash=bytes(32)),
                entry.certificate,
            )
            for entry in body.entries
        ]
        return codec.encode(
            self._view_change(msgspec.structs.replace(body, entries=tuple(entries)))
        )

    def _own_new_view(self, payload: bytes) -> bytes:
        """The next view begins at genesis, says nobody but this member."""
        world = self._node.world
        view = codec.decode(payload, Status, size_max=MESSAGE_BYTES_MAX).view + 1
        genesis, member = world.changes.head.header, self._node.index
        alone = self._view_change(ViewChangeBody(self._node.epoch, view, genesis, (), (), member))
        body = NewViewBody(self._node.epoch, view, (alone,), member)
        return codec.encode(NewView(body, self._key.sign(new_view_hash(world.chain_id, body))))

    def _view_change(self, body: ViewChangeBody) -> ViewChange:
        return ViewChange(body, self._key.sign(view_change_hash(self._node.world.chain_id, body)))

    def _forge(self, certificate: Certificate, height: int) -> Certificate:
        """Of a later block; its signers or its signatures are not what they claim, or too few."""
        world = self._node.world
        payload = VotePayload(certificate.epoch, COMMIT, certificate.view, height, bytes(32))
        own = self._key.sign(vote_hash(world.chain_id, payload))
        draw = self._rng.random()
        if draw < 0.3:
            return msgspec.structs.replace(certificate, height=height)
        if draw < 0.6:
            alone = make_certificate(payload, {self._node.index: own})
            return msgspec.structs.replace(alone, signatures=(own,) * world.validators.quorum)
        return make_certificate(payload, dict.fromkeys(range(world.validators.quorum), own))


class Babbler:
    """Distorts bytes, replays old messages under its own name, gives wrong answers."""

    def __init__(self, node: SimNode, rng: Random) -> None:
        self._node = node
        self._rng = rng
        self._heard: list[tuple[int, bytes]] = []

    def outgoing(self, to: int | None, number: int, payload: bytes) -> list[Posted]:
        draw = self._rng.random()
        if draw < 0.5:
            return [(to, number, payload)]
        if draw < 0.7:
            return [(to, number, self._distort(payload))]
        if draw < 0.8 and self._heard:
            return [(to, number, payload), (to, *self._rng.choice(self._heard))]
        if draw < 0.9:
            wrong = self._rng.choice([item for item in MESSAGES if item >= TXS])
            return [(to, wrong, payload)]
        return []

    def incoming(self, sender: int, number: int, payload: bytes) -> list[Posted]:
        if len(self._heard) < REMEMBERED_MAX:
            self._heard.append((number, payload))
        else:
            self._heard[self._rng.randrange(REMEMBERED_MAX)] = (number, payload)
        if number == Give.TYPE or self._rng.random() > 0.02:
            return []
        return [(sender, number, self._distort(payload))]

    def _distort(self, payload: bytes) -> bytes:
        if not payload:
            return b"\0"
        data = bytearray(payload)
        for _ in range(self._rng.randint(1, 3)):
            place = self._rng.randrange(len(data))
            data[place] = self._rng.choice((data[place] ^ 1, 0, 255, data[place] ^ 128))
        cut = self._rng.random() < 0.2
        return bytes(data[: self._rng.randrange(len(data))] if cut else data)
