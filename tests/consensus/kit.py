"""What tests of the replica need: rules with mocked signatures, headers, votes, certificates.

Everything is signed by the key of the member that it claims, unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256

import msgspec

from consensus.effects import (
    Connected,
    Event,
    Executed,
    Now,
    Output,
    Received,
    Signed,
    Tick,
    VoteRequest,
    VotingAllowed,
)
from consensus.messages import (
    Message,
    NewView,
    NewViewBody,
    PreparedEntry,
    PrePrepare,
    Status,
    ViewChange,
    ViewChangeBody,
    Vote,
    make_vote,
    new_view_hash,
    view_change_hash,
)
from consensus.replica import Replica
from consensus.replica_state import STATUS_MS, ReplicaState, Restored
from consensus.view_change import Rules
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
from ledger.merkle import merkle_root
from tests.sim.world import SimWorld, sim_world

EMPTY = merkle_root([])


class Kit:
    """One set of validators and what its members may sign."""

    def __init__(self, n: int = 4, window: int = 1) -> None:
        self.world: SimWorld = sim_world(n, window, mocked=True)
        self.rules: Rules = self.world.rules(self.world.is_valid)
        self.genesis: Header = self.world.changes.head.header
        self.n = n
        self.quorum = self.world.validators.quorum

    def header(self, parent: Header | None = None, *, view: int = 0, salt: str = "") -> Header:
        """A header that continues `parent` and was built by the primary of `view`."""
        parent = parent or self.genesis
        proposer = self.world.validators.members[self.primary(view)].key
        return msgspec.structs.replace(
            parent,
            height=parent.height + 1,
            parent_hash=header_hash(parent),
            tx_root=EMPTY,
            state_root=sha256(f"{parent.height}/{view}/{salt}".encode()).digest(),
            time_ms=parent.time_ms + 1,
            proposer=proposer,
        )

    def chain(self, length: int) -> list[Header]:
        """Genesis and so many headers above it."""
        headers = [self.genesis]
        for _ in range(length):
            headers.append(self.header(headers[-1]))
        return headers

    def primary(self, view: int) -> int:
        return self.world.validators.primary(view)

    def vote(
        self, member: int, phase: int, header: Header, *, view: int = 0, claim: int | None = None
    ) -> Vote:
        """`member` signs; `claim` is whose vote it says to be."""
        payload = VotePayload(0, phase, view, header.height, header_hash(header))
        signature = self._sign(member, vote_hash(self.world.chain_id, payload))
        return make_vote(payload, member if claim is None else claim, signature)

    def pre_prepare(self, header: Header, *, view: int = 0) -> PrePrepare:
        vote = self.vote(self.primary(view), PREPARE, header, view=view)
        return PrePrepare(view, header, (), vote.signature)

    def certificate(
        self,
        phase: int,
        header: Header,
        *,
        view: int = 0,
        signers: Iterable[int] | None = None,
    ) -> Certificate:
        members = range(self.quorum) if signers is None else signers
        payload = VotePayload(0, phase, view, header.height, header_hash(header))
        message = vote_hash(self.world.chain_id, payload)
        return make_certificate(payload, {item: self._sign(item, message) for item in members})

    def entry(self, header: Header, *, view: int = 0) -> PreparedEntry:
        return PreparedEntry(header, self.certificate(PREPARE, header, view=view))

    def view_change(
        self,
        member: int,
        view: int,
        *,
        base: Header | None = None,
        entries: Iterable[PreparedEntry] = (),
        **changes: object,
    ) -> ViewChange:
        """`changes` replace fields of the body before it is signed."""
        base = base or self.genesis
        proof = (self.certificate(COMMIT, base),) if base.height else ()
        body = ViewChangeBody(0, view, base, proof, tuple(entries), member)
        body = msgspec.structs.replace(body, **changes)
        signature = self._sign(member, view_change_hash(self.world.chain_id, body))
        return ViewChange(body, signature)

    def new_view(self, view: int, view_changes: Iterable[ViewChange], **changes: object) -> NewView:
        signer = self.primary(view)
        body = msgspec.structs.replace(NewViewBody(0, view, tuple(view_changes), signer), **changes)
        return NewView(body, self._sign(signer, new_view_hash(self.world.chain_id, body)))

    def status(self, header: Header | None = None, **changes: object) -> Status:
        """A member in view 0 whose last block is `header`."""
        header = header or self.genesis
        proof = (self.certificate(COMMIT, header),) if header.height else ()
        status = Status(0, 0, 1, header.height, 0, proof, (), 0, ())
        return msgspec.structs.replace(status, **changes)

    def _sign(self, member: int, message: bytes) -> bytes:
        return self.world.member_key(member).sign(message)


class Member:
    """A replica whose guard signs everything and whose executor finds every block right."""

    def __init__(
        self,
        kit: Kit,
        member: int,
        *,
        restored: Restored | None = None,
        head: Header | None = None,
        voting: bool = True,
        executes: bool = True,
    ) -> None:
        self.kit = kit
        self.executes = executes
        self.member = member
        self.clock_ms = 1_000
        head = head or kit.genesis
        certificate = kit.certificate(COMMIT, head) if head.height else None
        self.replica = Replica(
            kit.rules, member, head, certificate, restored or Restored(), self.now
        )
        self.sent: list[tuple[int | None, Message]] = []
        self.output = Output()
        if voting:
            self.step(Connected(frozenset(range(kit.n))))
            for other in range(kit.n):
                if other != member:
                    self.hear(other, kit.status(head))
            self.step(VotingAllowed(0, 0))
            self.sent.clear()

    @property
    def state(self) -> ReplicaState:
        return self.replica.state

    @property
    def now(self) -> Now:
        return Now(self.clock_ms, self.kit.genesis.time_ms + self.clock_ms)

    def hear(self, sender: int, *messages: Message) -> Output:
        """Messages from one member, one after another; the last output."""
        for message in messages:
            self.step(Received(sender, message))
        return self.output

    def step(self, event: Event) -> Output:
        """One event, with its signatures and executions."""
        pending: list[Event] = [event]
        self.output = Output()
        while pending:
            output = self.replica.step(pending.pop(0), self.now)
            self.sent += [(item.to, item.message) for item in output.send]
            self.output.decided += output.decided
            self.output.evidence += output.evidence
            self.output.catch_up += output.catch_up
            self.output.liars += output.liars
            self.output.execute += output.execute
            self.output.votes += output.votes
            self.output.deadline_ms = output.deadline_ms
            for request in output.votes:
                pending.append(Signed(self._signed(request)))
            for wanted in output.execute if self.executes else ():
                pending.append(Executed(wanted.header, wanted.block_hash, None))
        return self.output

    def execute(self, header: Header) -> None:
        """The result of an execution that this member was too slow for."""
        self.step(Executed(header, header_hash(header), None))

    def of(self, kind: type[Message]) -> list[Message]:
        """Everything of one kind that was sent."""
        return [message for _, message in self.sent if isinstance(message, kind)]

    def wait(self, duration_ms: int) -> None:
        """Its next step comes so much later."""
        self.clock_ms += duration_ms

    def run(self, duration_ms: int) -> None:
        """As `wait`, with a step each second, as STATUS brings one."""
        for left_ms in range(duration_ms, 0, -STATUS_MS):
            self.wait(min(STATUS_MS, left_ms))
            self.step(Tick())

    def _signed(
        self, request: VoteRequest | ViewChangeBody | NewViewBody
    ) -> Vote | ViewChange | NewView:
        kit = self.kit
        if isinstance(request, ViewChangeBody):
            message = view_change_hash(kit.world.chain_id, request)
            return ViewChange(request, kit._sign(self.member, message))
        if isinstance(request, NewViewBody):
            message = new_view_hash(kit.world.chain_id, request)
            return NewView(request, kit._sign(self.member, message))
        message = vote_hash(kit.world.chain_id, request.payload)
        return make_vote(request.payload, self.member, kit._sign(self.member, message))


def with_timing(kit: Kit, **changes: int) -> Kit:
    """The same members under other timers."""
    kit.rules = replace(kit.rules, timing=replace(kit.rules.timing, **changes))
    return kit
