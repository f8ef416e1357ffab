"""The stage of a golden script: real replicas, and a script that decides what arrives when.

Messages stay in flight until the script delivers or drops them, so a script can stop between any
two phases. Members are the production `Replica` with a guard that signs everything and an executor
that finds every block right (`tests/consensus/kit.py`); what a script writes down is therefore
what the protocol says, bytes and signatures left out. The docstring of a command is its syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from consensus.effects import (
    CatchUp,
    CaughtUp,
    Connected,
    Event,
    Pending,
    Proposed,
    Received,
    Tick,
    VotingAllowed,
)
from consensus.messages import (
    Commit,
    Message,
    NewView,
    Prepare,
    PreparedEntry,
    PrePrepare,
    Status,
    Suspect,
    ViewChange,
)
from consensus.replica_state import STATUS_MS
from ledger.block import PREPARE, Header, header_hash
from tests.consensus.kit import Kit, Member

KINDS: dict[str, type[Message]] = {
    "PRE-PREPARE": PrePrepare,
    "PREPARE": Prepare,
    "COMMIT": Commit,
    "SUSPECT": Suspect,
    "VIEW-CHANGE": ViewChange,
    "NEW-VIEW": NewView,
    "STATUS": Status,
}
DELIVERIES_MAX = 5_000  # a script that is not quiet by then never will be
UNKNOWN_PARENT = bytes(range(32))


class ScriptError(Exception):
    """A command that means nothing here."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """One message on its way to one member."""

    sender: int
    to: int
    message: Message


class Stage:
    """A cluster, the messages between its members and the names of its blocks."""

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}
        self.flight: list[InFlight] = []
        self.headers: dict[str, Header] = {}
        self.names: dict[bytes, str] = {}
        self.wanted: dict[int, CatchUp] = {}
        self.clock_ms = 0
        self._lines: dict[str, list[int]] = {}
        self._notes: list[str] = []
        self._commands: dict[str, Callable[[list[str]], None]] = {
            "start": self._start,
            "propose": self._propose,
            "deliver": self._deliver,
            "drop": self._drop,
            "wait": self._wait,
            "pending": self._pending,
            "down": self._down,
            "up": self._up,
            "fetch": self._fetch,
            "show": self._show,
            "forge": self._forge,
        }

    def run(self, command: str) -> list[str]:
        """Carry out one command; the lines that it caused, alike ones joined."""
        name, *words = command.split()
        if name not in self._commands:
            raise ScriptError(f"no command {name}")
        self._lines, self._notes = {}, []
        self._commands[name](words)
        caused = [
            f"{' '.join(map(str, sorted(set(who))))} {text}" for text, who in self._lines.items()
        ]
        return caused + self._notes

    # Commands, in the order in which a script uses them

    def _start(self, words: list[str]) -> None:
        """`start N [window W]`: N members that know of each other and may vote."""
        n = int(words[0])
        self.kit = Kit(n, int(_option(words, "window", "1")))
        self._name("genesis", self.kit.genesis)
        self.members = {member: Member(self.kit, member) for member in range(n)}
        self.clock_ms = self.members[0].clock_ms
        everyone = self.kit.status(heard=(1 << n) - 1)
        for member, actor in self.members.items():
            for other in range(n):
                if other != member:
                    actor.hear(other, everyone)
            actor.sent.clear()

    def _propose(self, words: list[str]) -> None:
        """`propose A [by M]`: the primary builds block A on whatever it may build on."""
        active = [member for member in self.members.values() if member.state.active]
        primary = max(active, key=lambda member: member.state.view).state.primary
        proposer = self.members[int(_option(words, "by", str(primary)))]
        extended = proposer.replica.parent_to_extend(proposer.now)
        if extended is None:
            self._line(proposer.member, "may not propose")
            return
        header = self._block(words[0], extended[1], proposer.state.view)
        self._step(proposer.member, Proposed(header, ()))

    def _deliver(self, words: list[str]) -> None:
        """`deliver`: everything, until nothing is in flight.

        `deliver KIND [from M] [to M] [at HEIGHT]`: of that kind and what is in flight now.
        """
        if words:
            for item in self._take(words):
                self._arrive(item)
            return
        for _ in range(DELIVERIES_MAX):
            if not self.flight:
                return
            self._arrive(self.flight.pop(0))
        raise ScriptError("the members never stop talking")

    def _drop(self, words: list[str]) -> None:
        """`drop KIND [from M] [to M] [at HEIGHT]`: lost on the way."""
        self._notes.append(f"{len(self._take(words))} lost")

    def _wait(self, words: list[str]) -> None:
        """`wait MS`: the clocks go on at once, then each member looks at its own."""
        self._pass(int(words[0]))
        for member in sorted(self.members):
            self._step(member, Tick())

    def _pending(self, words: list[str]) -> None:
        """`pending [M]`: a transaction waits, at all or at these; `pending none`: none does."""
        none = words == ["none"]
        for member in sorted(self.members) if none else self._some(words):
            self._step(member, Pending(None if none else self.clock_ms))

    def _down(self, words: list[str]) -> None:
        """`down M`: the process ends, and what it knows and was to hear is lost."""
        for member in self._some(words):
            del self.members[member]
            self.flight = [item for item in self.flight if member not in (item.to, item.sender)]
        self._connect()

    def _up(self, words: list[str]) -> None:
        """`up M`: it starts with nothing but genesis."""
        for member in self._some(words, known=False):
            self.members[member] = Member(self.kit, member, voting=False)
            self.members[member].clock_ms = self.clock_ms
            self._step(member, VotingAllowed(0, 0))
        self._connect()

    def _fetch(self, words: list[str]) -> None:
        """`fetch M`: a second later the blocks that it asked for arrive and prove themselves."""
        self._pass(STATUS_MS)
        for member in self._some(words):
            certificate = self.wanted.pop(member).certificate
            header = self.headers[self.names[certificate.block_hash]]
            self._step(member, CaughtUp(header, certificate))
            self._line(member, f"has fetched {self._named(certificate.block_hash)}")

    def _show(self, words: list[str]) -> None:
        """`show [M]`: what a member holds."""
        for member in self._some(words):
            state = self.members[member].state
            prepared = [self._entry(state.prepared[height]) for height in sorted(state.prepared)]
            mood = "votes" if state.active else "waits for NEW-VIEW"
            self._line(
                member,
                f"view {state.view} {mood}, final {self._named(state.committed_hash)}, "
                f"prepared {' '.join(prepared) or 'nothing'}, parked {len(state.parked)}",
            )

    def _forge(self, words: list[str]) -> None:
        """What an evil member makes by hand, with its own key alone.

        `forge pre-prepare B height H on A|nowhere by M`; `forge view-change V by M [claims E]` with
        E = `B@V` (a certificate that nobody signed) or `B/A@V` (B beside the certificate of A);
        `forge new-view V by M`: with VIEW-CHANGEs that the others never signed.
        """
        sender = int(_option(words, "by", ""))
        made = {
            "pre-prepare": self._forged_proposal,
            "view-change": self._forged_view_change,
            "new-view": self._forged_new_view,
        }[words[0]](words, sender)
        self._send(sender, None, made)

    # What commands are made of

    def _pass(self, duration_ms: int) -> None:
        self.clock_ms += duration_ms
        for member in self.members.values():
            member.clock_ms = self.clock_ms

    def _forged_proposal(self, words: list[str], sender: int) -> Message:
        parent = _option(words, "on", "")
        view = self.members[sender].state.view
        base = self.headers["genesis"] if parent == "nowhere" else self.headers[parent]
        header = self._block(words[1], base, view)
        if parent == "nowhere":
            header = msgspec.structs.replace(header, parent_hash=UNKNOWN_PARENT)
        header = msgspec.structs.replace(
            header, height=int(_option(words, "height", str(header.height)))
        )
        self._name(words[1], header)
        return self.kit.pre_prepare(header, view=view)

    def _forged_view_change(self, words: list[str], sender: int) -> Message:
        claim = _option(words, "claims", "")
        entries: tuple[PreparedEntry, ...] = ()
        if claim:
            shown, _, prepared_in = claim.partition("@")
            header_name, _, other = shown.partition("/")
            if header_name not in self.headers:
                self._block(header_name, self.kit.genesis, 0)
            signed = self.headers[other or header_name]
            certificate = self.kit.certificate(PREPARE, signed, view=int(prepared_in))
            if not other:
                nobody = (bytes(64),) * len(certificate.signatures)
                certificate = msgspec.structs.replace(certificate, signatures=nobody)
            entries = (PreparedEntry(self.headers[header_name], certificate),)
        return self.kit.view_change(sender, int(words[1]), entries=entries)

    def _forged_new_view(self, words: list[str], sender: int) -> Message:
        view = int(words[1])
        alone = self.kit.view_change(sender, view)
        nobody = bytes(64)
        others = [member for member in range(self.kit.n) if member != sender]
        forged = [
            msgspec.structs.replace(self.kit.view_change(member, view), signature=nobody)
            for member in others[: self.kit.quorum - 1]
        ]
        return self.kit.new_view(view, [alone, *forged])

    def _block(self, name: str, parent: Header, view: int) -> Header:
        header = self.kit.header(parent, view=view, salt=name)
        wall_ms = self.kit.genesis.time_ms + self.clock_ms
        header = msgspec.structs.replace(header, time_ms=max(parent.time_ms + 1, wall_ms))
        self._name(name, header)
        return header

    def _name(self, name: str, header: Header) -> None:
        self.headers[name] = header
        self.names[header_hash(header)] = name

    def _connect(self) -> None:
        for member in sorted(self.members):
            self._step(member, Connected(frozenset(self.members)))

    def _arrive(self, item: InFlight) -> None:
        self._step(item.to, Received(item.sender, item.message))

    def _step(self, member: int, event: Event) -> None:
        actor = self.members[member]
        output = actor.step(event)
        for to, message in actor.sent:
            self._send(member, to, message)
        actor.sent.clear()
        for proof in output.evidence:
            self._line(member, f"holds evidence against {proof.first.signer}")
        for decided in output.decided:
            self._line(member, f"final: {self._named(decided.block_hash)}")
        for request in output.catch_up:
            self.wanted[member] = request
            wanted = self._named(request.certificate.block_hash)
            self._line(member, f"asks {request.member} for the blocks up to {wanted}")

    def _send(self, sender: int, to: int | None, message: Message) -> None:
        others = [other for other in sorted(self.members) if other != sender]
        for other in others if to is None else [to]:
            self.flight.append(InFlight(sender, other, message))
        self._line(sender, f"-> {'*' if to is None else to}  {self._text(message)}")

    def _take(self, words: Sequence[str]) -> list[InFlight]:
        kind = KINDS[words[0]]
        senders = _numbers(_option(words, "from", ""))
        receivers = _numbers(_option(words, "to", ""))
        heights = _numbers(_option(words, "at", ""))
        taken = [
            item
            for item in self.flight
            if isinstance(item.message, kind)
            and (not senders or item.sender in senders)
            and (not receivers or item.to in receivers)
            and (not heights or _height(item.message) in heights)
        ]
        chosen = {id(item) for item in taken}
        self.flight = [item for item in self.flight if id(item) not in chosen]
        return taken

    def _some(self, words: list[str], *, known: bool = True) -> list[int]:
        named = sorted(_numbers(words[0])) if words else sorted(self.members)
        if known and not set(named) <= set(self.members):
            raise ScriptError(f"not up: {sorted(set(named) - set(self.members))}")
        return named

    def _line(self, member: int, text: str) -> None:
        self._lines.setdefault(text, []).append(member)

    # Words for what is sent

    def _named(self, block_hash: bytes) -> str:
        return self.names[block_hash]

    def _entry(self, entry: PreparedEntry) -> str:
        shown, signed = self._named(header_hash(entry.header)), entry.certificate.block_hash
        beside = "" if self._named(signed) == shown else f"/{self._named(signed)}"
        return f"{shown}{beside}@{entry.certificate.view}"

    def _text(self, message: Message) -> str:
        match message:
            case PrePrepare():
                name = self._named(header_hash(message.header))
                return f"PRE-PREPARE v{message.view} h{message.header.height} {name}"
            case Prepare() | Commit():
                kind = "PREPARE" if isinstance(message, Prepare) else "COMMIT"
                name = self._named(message.block_hash)
                return f"{kind} v{message.view} h{message.height} {name}"
            case Suspect():
                return f"SUSPECT v{message.view}"
            case ViewChange():
                return f"VIEW-CHANGE v{message.body.view} {self._carried(message)}"
            case NewView():
                parts = [
                    f"[{item.body.signer}: {self._carried(item)}]"
                    for item in message.body.view_changes
                ]
                return f"NEW-VIEW v{message.body.view} {' '.join(parts)}"
            case Status():
                return f"STATUS v{message.view} h{message.height}"

    def _carried(self, message: ViewChange) -> str:
        base = self._named(header_hash(message.body.base))
        return " + ".join([base, *map(self._entry, message.body.entries)])


def _option(words: Sequence[str], name: str, default: str) -> str:
    return words[words.index(name) + 1] if name in words else default


def _numbers(text: str) -> set[int]:
    return {int(part) for part in text.split(",") if part}


def _height(message: Message) -> int | None:
    match message:
        case PrePrepare():
            return message.header.height
        case Prepare() | Commit():
            return message.height
        case _:
            return None
