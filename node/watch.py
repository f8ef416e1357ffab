"""How this node and its network fare: one place that the API, health checks and metrics ask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib.metadata import version

from consensus.changing import suspicion_ms
from consensus.replica_state import SUSPECT_LIFE_MS, ReplicaState
from ledger.block import PREPARE
from ledger.economy.licence import Seat
from ledger.epochs import Epoch
from ledger.objects import load_one
from ledger.validators import ValidatorSet
from node.api import consensus_schemas, node_schemas, schemas
from node.driver import Driver, read_clocks
from node.guards import Guard
from p2p.network import Network
from p2p.peer import PeerStats
from p2p.refusals import describe_rival

STALL_MS = 30_000  # three heartbeats: finality is not moving


class NodeWatch:
    """Answers `node.api.services.Watch`; every call only reads."""

    def __init__(
        self,
        driver: Driver,
        network: Network,
        on_fault: Callable[[Exception], None],
        name: str,
    ) -> None:
        self._driver = driver
        self._network = network
        self._on_fault = on_fault
        self._name = name
        self._started_ms = read_clocks().monotonic_ms

    @property
    def _validators(self) -> ValidatorSet:
        return self._driver.engine.validators

    def _own_licence(self) -> str:
        """Empty for a node without a seat."""
        member = self._driver.engine.member
        return "" if member is None else self._validators.members[member].licence

    def consensus(self) -> schemas.Consensus:
        engine = self._driver.engine
        state = engine.replica.state
        linked = set(self._network.linked())
        own = self._own_licence()
        names = [member.licence for member in self._validators.members]
        missing = [name for name in names if name != own and name not in linked]
        has_seat = engine.member is not None
        return schemas.Consensus(
            epoch=state.rules.epoch,
            epoch_base_height=load_one(engine.chain, Epoch).base_height,
            view=state.view,
            primary=names[state.primary],
            has_seat=has_seat,
            is_voting=has_seat and not engine.guard.reason and state.synced,
            reason=self._reason(missing),
            last_commit_age_ms=self._age_ms(),
            validators=len(names),
            quorum=self._validators.quorum,
            connected=len(names) - len(missing),
            missing=missing,
            waiting=self._driver.directory.waiting(),
        )

    def replica(self) -> consensus_schemas.Replica:
        engine = self._driver.engine
        linked, state = self._network.linked(), engine.replica.state
        return replica_of(state, engine.guard, linked, engine.heights, self.now_ms())

    def warnings(self) -> list[str]:
        network = self._network
        found = []
        if telling := network.key_in_use_at():  # one may lie, and says who it is
            found.append(describe_rival(telling))
        for name, address in sorted(network.rivals().items()):
            found.append(
                f"two processes run with the key of {name}: one at {address} was refused, the one "
                f"that is linked stays. Whoever runs {name} must stop one of them"
            )
        if clock := self._driver.clock_warning():
            found.append(clock)
        return found

    def sync_target(self) -> int:
        """The highest height that a certificate has proved to this node, or that f + 1 peers claim
        while it takes a snapshot: nothing so far ahead can be proved to it."""
        snapshots = self._driver.snapshots
        claimed = 0 if snapshots is None else snapshots.target_height
        return max(self._driver.engine.replica.state.known_height, claimed)

    def final_after_ms(self, height: int) -> int | None:
        return self._driver.timings.after_ms(height)

    def now_ms(self) -> int:
        return read_clocks().monotonic_ms

    def peers(self) -> list[node_schemas.Peer]:
        links = {stats.name: stats for stats in self._network.stats()}
        own = self._own_licence()
        names = {member.licence for member in self._validators.members} - {own}
        told = {
            member.licence: self._driver.engine.heights.get(member.key)
            for member in self._validators.members
        }
        return [
            _peer(name, self._role_of(name), links.get(name), told.get(name))
            for name in sorted(names | set(links))
        ]

    def health(self) -> list[node_schemas.Check]:
        state = self._driver.engine.replica.state
        quorum = self._validators.quorum
        connected = len(state.connected)
        behind = max(0, state.known_height - state.height)
        age_ms = self._age_ms()
        waited_ms = age_ms if age_ms is not None else self.now_ms() - self._started_ms
        return [
            node_schemas.Check(name="synced", ok=state.synced, detail=f"{behind} blocks behind"),
            node_schemas.Check(
                name="quorum_connected",
                ok=connected >= quorum,
                detail=f"{connected} of {self._validators.n} connected, quorum is {quorum}",
            ),
            node_schemas.Check(
                name="finality_moving",
                ok=waited_ms < STALL_MS,
                detail=f"{waited_ms} ms since the last block or the start",
            ),
        ]

    def links_refused(self) -> Mapping[str, int]:
        return self._network.refusals()

    def inbox_dropped_bytes(self) -> int:
        return self._driver.dropped_bytes

    def fail(self, fault: Exception) -> None:
        """Storage failed, or an invariant broke, under a request: the process has to end."""
        self._on_fault(fault)

    def _age_ms(self) -> int | None:
        last_ms = self._driver.last_final_ms
        return None if last_ms is None else self.now_ms() - last_ms

    def _reason(self, missing: list[str]) -> str:
        """Who has no seat is not asked for votes: what its guard waits for is no news."""
        engine = self._driver.engine
        if engine.guard.reason and engine.member is not None:
            return engine.guard.reason
        connected = self._validators.n - len(missing)
        if connected < self._validators.quorum:
            needed = self._validators.quorum
            names = ", ".join(missing)
            return f"{connected} of {needed} needed validators are connected; missing: {names}"
        if not engine.replica.state.synced:
            return "catching up"
        if engine.member is None and not self._network.is_observer:
            return _WITHOUT_SEAT[self._driver.directory.seat(self._name)]
        return ""

    def _role_of(self, name: str) -> str:
        if any(member.licence == name for member in self._validators.members):
            return "validator"
        return "observer" if self._driver.directory.seat(name) is None else "licensed"


def replica_of(
    state: ReplicaState,
    guard: Guard,
    linked: Collection[str],
    heights: Mapping[bytes, int],
    now_ms: int,
) -> consensus_schemas.Replica:
    """`linked` are licences, `heights` what the STATUS of each key proved last."""
    suspecting = {
        index
        for index, (suspect, received_ms) in state.suspects.items()
        if suspect.view > state.view and now_ms < received_ms + SUSPECT_LIFE_MS
    }
    members = state.rules.validators.members
    first = state.view + state.active  # what led to a view that has begun is no news
    changes = {
        index: held.message.body.view
        for index, held in state.view_changes.items()
        if held.message.body.view >= first
    }
    return consensus_schemas.Replica(
        epoch=state.rules.epoch,
        height=state.height,
        known_height=state.known_height,
        view=state.view,
        primary=members[state.primary].licence,
        timeout_ms=state.timeout_ms,
        failed_views=state.failed_views,
        is_changing=not state.active,
        suspicion=_suspicion(state, now_ms) if state.member in suspecting else "",
        may_vote=state.may_vote(state.height + 1),
        guard=None if state.member is None else _guard(guard),
        members=[
            consensus_schemas.Member(
                index=index,
                licence=member.licence,
                linked=index == state.member or member.licence in linked,
                height=state.height if index == state.member else heights.get(member.key),
                heard=index in state.status_from,
                suspects=index in suspecting,
                view_change=changes.get(index),
                **_votes(state, index),
            )
            for index, member in enumerate(members)
        ],
    )


def _suspicion(state: ReplicaState, now_ms: int) -> str:
    """Of a replica whose SUSPECT counts: it does so for a while after its cause is gone."""
    if now_ms < suspicion_ms(state):
        return "what it was suspected for is over; the suspicion fades"
    if named := state.bad_primary or state.distrust:
        return named
    quiet = f"{(now_ms - state.progress_ms) // 1_000} s"
    if not state.active:
        return f"no NEW-VIEW for {quiet}"
    waits = " and a transaction waits" if state.pending_since_ms is not None else ""
    return f"no block for {quiet}{waits}"


def _guard(guard: Guard) -> consensus_schemas.Guard:
    return consensus_schemas.Guard(
        state=guard.permission.name.lower(),
        reason=guard.reason,
        vote_above=guard.vote_above,
        view_min=guard.view_min,
    )


def _votes(state: ReplicaState, member: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {"prepared": [], "committed": [], "other": []}
    for height, slot in sorted(state.slots.items()):
        for vote in slot.own_votes(member):
            phase = "prepared" if vote.phase == PREPARE else "committed"
            found[phase if slot.is_proposed(vote.block_hash) else "other"].append(height)
    return found


_WITHOUT_SEAT = {
    None: "no seat: the chain does not know its licence yet",
    Seat.NONE: "no seat: its licence asks for none",
    Seat.WAITING: "no seat yet: it says when it is ready for one",
    Seat.READY: "no seat yet: it is ready, and seats change when the epoch ends",
    Seat.SEATED: "no seat yet: its seat begins with the next block",
    Seat.LEAVING: "no seat yet: its seat begins with the next block",
}


def _peer(name: str, role: str, stats: PeerStats | None, height: int | None) -> node_schemas.Peer:
    """`height` is what a STATUS proved last; before the first one HELLO has to do."""
    if stats is None:
        return node_schemas.Peer(
            name=name,
            role=role,
            address="",
            direction="none",
            connected=False,
            linked_ms=None,
            height=height or 0,
            queued_bytes=0,
            dropped_frames=0,
            points=0,
        )
    return node_schemas.Peer(
        name=name,
        role=role,
        address=stats.address,
        direction=stats.direction,
        connected=True,
        linked_ms=int(stats.connected_s * 1_000),
        height=stats.height if height is None else height,
        queued_bytes=stats.queued_bytes,
        dropped_frames=stats.dropped_frames,
        points=stats.points,
    )


def software_version() -> str:
    return version("marsa")
