"""Forks on purpose: honest replicas, as they are, in the hands of more than f evil members.

The honest ones are real replicas. The evil ones have no code, only keys: in every view each honest
group is told another story. Evil members vote for whatever either group holds, forget what they
committed, or take along what suits them, and as primaries show each group another quorum. What an
honest member decided and entered is its `Material`.
"""

from __future__ import annotations

from itertools import combinations
from random import Random

from consensus.effects import Event, Output, Proposed
from consensus.messages import NewView, PreparedEntry, Suspect, ViewChange
from consensus.testimony import CertifiedHeader, Material
from ledger.block import COMMIT, PREPARE, Header
from tests.consensus.kit import Kit, Member

CHOICES_MAX = 200
"""Quorums that an evil primary looks through."""


class Honest(Member):
    """A replica that follows the protocol, and what its node would keep for an export."""

    def __init__(self, kit: Kit, member: int) -> None:
        self.decided: list[CertifiedHeader] = []
        self.entered: list[NewView] = []
        self.is_halted = False
        """Its chain refused a final block: nodes halt, they never choose."""
        super().__init__(kit, member)

    def step(self, event: Event) -> Output:
        if self.is_halted:
            return Output()
        output = super().step(event)
        for item in output.decided:
            last = self.decided[-1].certificate.block_hash if self.decided else None
            if last is not None and item.header.parent_hash != last:
                self.is_halted = True
                return output
            self.decided.append(CertifiedHeader(item.header, item.certificate))
        new_view = self.state.new_view
        if new_view is not None and new_view not in self.entered:
            self.entered.append(new_view)
        return output

    @property
    def material(self) -> Material:
        validators = self.kit.world.validators
        blocks, new_views = tuple(self.decided), tuple(self.entered)
        return Material(self.kit.world.chain_id, validators, (), blocks, new_views)


class ForkWorld:
    """`evil` members of n split the others into two groups and play one off against the other."""

    def __init__(self, n: int, window: int, evil: frozenset[int], rng: Random) -> None:
        self.kit = Kit(n, window)
        self.evil = sorted(evil)
        self._rng = rng
        self.honest = [Honest(self.kit, item) for item in range(n) if item not in evil]
        half = len(self.honest) // 2
        order = rng.sample(self.honest, len(self.honest))
        self.groups = [order[:half], order[half:]]
        self._read: dict[int, int] = {}
        self._entries: dict[bytes, PreparedEntry] = {}

    def run(self, views: int) -> None:
        """Blocks in view 0, then one view change after the other."""
        for view in range(views):
            if view:
                self._change_view(view)
            for group in self.groups:
                if self._rng.random() < 0.8:
                    self._fill_view(group, view)

    def final(self) -> dict[int, set[bytes]]:
        """What honest members decided, by height."""
        found: dict[int, set[bytes]] = {}
        for member in self.honest:
            for item in member.decided:
                found.setdefault(item.header.height, set()).add(item.certificate.block_hash)
        return found

    # Blocks.

    def _fill_view(self, group: list[Honest], view: int) -> None:
        for _ in range(self._rng.randint(1, 2 * self.kit.rules.window)):
            self._propose(group, view)
            self._pump(group)
            self._vote(group, PREPARE)
            self._pump(group)
            if self._rng.random() < 0.6:
                self._vote(group, COMMIT)
                self._pump(group)
        for member in self.honest:
            self._entries |= {
                entry.certificate.block_hash + bytes((entry.certificate.view,)): entry
                for entry in member.state.prepared.values()
            }

    def _propose(self, group: list[Honest], view: int) -> None:
        primary = self.kit.primary(view)
        salt = f"{self._rng.randrange(1 << 30)}"
        for leader in [item for item in group if item.member == primary]:
            parent = leader.replica.parent_to_extend(leader.now)
            if parent is not None:
                leader.step(Proposed(self.kit.header(parent[1], view=view, salt=salt), ()))
        if primary not in self.evil:
            return
        parents: list[Header] = []
        for member in group:
            state = member.state
            height = max(state.height, state.derived_top) + 1
            while height in state.slots and state.slots[height].proposal is not None:
                height += 1
            found = state.parent_of(height)
            if found is not None and state.view == view:
                parents.append(found[1])
        if parents:
            header = self.kit.header(self._rng.choice(parents), view=view, salt=salt)
            for member in group:
                member.hear(primary, self.kit.pre_prepare(header, view=view))

    def _vote(self, group: list[Honest], phase: int) -> None:
        """Evil members vote for all that this group holds."""
        for member in group:
            held = [slot.proposal for slot in member.state.slots.values() if slot.proposal]
            for proposal in held:
                for evil in self.evil:
                    vote = self.kit.vote(evil, phase, proposal.header, view=member.state.view)
                    member.hear(evil, vote)

    def _pump(self, group: list[Honest]) -> None:
        """Carry what honest members sent within their group; some of it gets lost."""
        moved = True
        while moved:
            moved = False
            for source in group:
                start = self._read.get(source.member, 0)
                self._read[source.member] = len(source.sent)
                for to, message in source.sent[start:]:
                    for target in group:
                        lost = self._rng.random() < 0.05
                        if target is not source and to in (None, target.member) and not lost:
                            target.hear(source.member, message)
                            moved = True

    # Views.

    def _change_view(self, view: int) -> None:
        for member in self.honest:
            for evil in self.evil:
                member.hear(evil, Suspect(0, view))
        changes = [self._latest(member, view) for member in self.honest]
        held = [item for item in changes if item is not None]
        for group in self.groups:
            self._show_new_view(group, view, held)
            self._pump(group)

    def _latest(self, member: Honest, view: int) -> ViewChange | None:
        found = [item for item in member.of(ViewChange) if isinstance(item, ViewChange)]
        return next((item for item in reversed(found) if item.body.view == view), None)

    def _show_new_view(self, group: list[Honest], view: int, held: list[ViewChange]) -> None:
        evil = [self._evil_view_change(member, view) for member in self.evil]
        primary = self.kit.primary(view)
        if primary not in self.evil:
            for leader in [item for item in group if item.member == primary]:
                near = {item.member for item in group}
                for change in (*held, *evil):
                    if change.body.signer in near or change.body.signer in self.evil:
                        leader.hear(change.body.signer, change)
            return
        members = {item.member for item in group}
        changes = [item for item in held if item.body.signer in members]
        chosen = self._choose([*evil, *changes], [*evil, *held])
        if chosen is not None:
            message = self.kit.new_view(view, chosen)
            for member in group:
                member.hear(primary, message)

    def _choose(
        self, near: list[ViewChange], every: list[ViewChange]
    ) -> tuple[ViewChange, ...] | None:
        """A quorum, best of those who will play along."""
        quorum = self.kit.quorum
        source = near if len(near) >= quorum else every
        choices = list(combinations(source, quorum))[:CHOICES_MAX]
        return self._rng.choice(choices) if choices else None

    def _evil_view_change(self, member: int, view: int) -> ViewChange:
        """Forgets everything, or takes along what it found somewhere."""
        window = self.kit.rules.window
        usable = [item for item in self._entries.values() if item.certificate.view < view]
        taken: dict[int, PreparedEntry] = {}
        if self._rng.random() < 0.4:
            for entry in self._rng.sample(usable, len(usable)):
                if entry.header.height <= window:
                    taken[entry.header.height] = entry
        base = None
        finals = [item for other in self.honest for item in other.decided]
        if finals and self._rng.random() < 0.3:
            item = self._rng.choice(finals)
            base = item.header
            taken = {}
            proof = (item.certificate,)
            return self.kit.view_change(member, view, base=base, base_certificate=proof)
        entries = [taken[height] for height in sorted(taken)]
        return self.kit.view_change(member, view, entries=entries)
