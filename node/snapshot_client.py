"""Catching up by a snapshot, beside the running engine: the plan's clock, links and store.

Far behind is who lacks so many blocks, or any that all peers have pruned.

The engine follows meanwhile, and the API answers, so that the operator sees a node that catches up.
Its own fetching of blocks rests, for the blocks that it would execute are those that the snapshot
makes needless. Nothing of the chain is touched: the snapshot is imported beside it, and when it is
whole `on_ready` has the node close its stores, put the new one in place and open it. A node that is
so far behind does not vote, so that the tens of milliseconds that a chunk takes delay nobody.

After an attempt in vain blocks are fetched, and `RETRY_S` later there is the next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from consensus.view_change import Rules
from ledger import codec
from ledger.boundaries import boundary_of, keep_boundaries, keep_first
from ledger.chain import Chain
from ledger.reasons import Invalid
from ledger.schema import DamagedChain
from ledger.snapshot_import import Import
from node import snapshot_store
from node.fetching import (
    BOUNDARIES_MAX,
    GIVE_BYTES_MAX,
    Fetch,
    Give,
    GiveBoundaries,
    GiveChunk,
    GiveManifest,
)
from node.snapshot_sync import (
    Conduct,
    Question,
    SnapshotPlan,
    Stage,
    claimed_height,
    exaggerating,
)
from p2p import wire

FIRST_LOOK_S = 2.0
"""For links with f + 1 peers after the start; no blocks are fetched before it is known how far."""
LOOK_S = 1.0
"""How often the heights that peers claimed are looked at: cheap, and links come and go."""
TURN_S = 0.05
"""Between two looks for what to ask next, where no answer comes first."""
RETRY_S = 30.0
"""After an attempt in vain: an epoch may end meanwhile, and peers hold the snapshot of its end."""
PROGRESS_S = 5.0
"""Between two lines in the log."""

log = logging.getLogger("marsa.snapshot")


class Link(Protocol):
    """What is used of a peer's link. `link_key` is empty for who showed no licence."""

    @property
    def identity(self) -> str: ...
    @property
    def link_key(self) -> bytes: ...
    @property
    def height(self) -> int: ...


class Links(Protocol):
    """What is used of the network."""

    def peers(self) -> Collection[Link]: ...
    def send(self, identity: str, number: int, payload: bytes) -> bool: ...


class Follower(Protocol):
    """The engine's own catching up, which rests meanwhile."""

    def pause(self, *, is_paused: bool) -> None: ...
    def is_pruned(self, licensed: Collection[bytes], f: int) -> bool: ...


class SnapshotClient:
    """One a running node. `distance` is what counts as far behind; 0: never. `key_of` tells how the
    follower names the peer of an identity."""

    def __init__(
        self,
        chain: Chain,
        chain_path: Path,
        rules: Callable[[], Rules],
        follower: Follower,
        links: Links,
        on_ready: Callable[[], None],
        *,
        distance: int,
        key_of: Callable[[str], bytes],
    ) -> None:
        self._chain = chain
        self._path = chain_path
        self._rules = rules
        self._follower = follower
        self._links = links
        self._on_ready = on_ready
        self._distance = distance
        self._key_of = key_of
        self._conduct = Conduct()
        self._warned: set[bytes] = set()
        self._pruned_after = -1
        """The height of which the log says that nobody has the block after it."""
        self._attempt: _Attempt | None = None
        self._is_tidy = False
        self._wake = asyncio.Event()

    @property
    def target_height(self) -> int:
        """What f + 1 peers claim, while a snapshot is being taken for that; else 0."""
        return 0 if self._attempt is None else claimed_height(self._claims(), self._f)

    def take(self, link: Link, payload: bytes) -> bool:
        """A GIVE came: whether it answers a question of this client; raises Invalid for a lie."""
        if self._attempt is None or not link.link_key:
            return False
        try:
            given = codec.decode(payload, Give, size_max=GIVE_BYTES_MAX).given
            if not isinstance(given, GiveBoundaries | GiveManifest | GiveChunk):
                return False
            self._attempt.take(link, given)
        except Invalid as error:
            self._attempt.plan.refuse(link.link_key)
            log.warning("snapshot: %s lied and is left out: %s", link.identity, error)
            raise
        finally:
            self._wake.set()
        return True

    async def run(self) -> None:
        """Until the node stops."""
        self._follower.pause(is_paused=bool(self._distance))
        first_look_s = time.monotonic() + FIRST_LOOK_S
        while len(self._claims()) <= self._f and time.monotonic() < first_look_s:
            await self._turn()
        while True:
            if not self._is_far_behind():
                self._follower.pause(is_paused=False)
                await asyncio.sleep(LOOK_S)
                continue
            self._follower.pause(is_paused=True)
            is_done = await self._try()
            self._follower.pause(is_paused=False)
            if is_done:
                self._on_ready()
                await asyncio.Event().wait()  # the node stops now
            await asyncio.sleep(RETRY_S)

    def _is_far_behind(self) -> bool:
        is_pruned = self._is_pruned()
        if not self._distance:
            return False
        claims, f = self._claims(), self._f
        if len(claims) <= f:
            return False
        for key in exaggerating(claims, f, self._distance):
            if key not in self._warned:
                self._warned.add(key)
                name, height = _name(self._linked(), key), claims[key]
                log.warning("snapshot: %s alone claims height %d: not believed", name, height)
        claimed, height = claimed_height(claims, f), self._chain.height
        is_far = is_pruned or claimed >= height + self._distance
        if not is_far and claimed <= height and not self._is_tidy:
            snapshot_store.forget(self._path)
            self._is_tidy = True
        elif is_far:
            self._is_tidy = False
        return is_far

    def _is_pruned(self) -> bool:
        links = [link for link in self._links.peers() if link.link_key]
        licensed = [self._key_of(link.identity) for link in links]
        is_pruned = self._follower.is_pruned(licensed, self._f)
        if is_pruned and self._pruned_after != self._chain.height:
            self._pruned_after = self._chain.height
            log.warning(
                "snapshot: all peers have pruned the blocks after height %d%s",
                self._pruned_after,
                "" if self._distance else ", and sync.snapshot_distance = 0 forbids a snapshot",
            )
        return is_pruned

    @property
    def _f(self) -> int:
        return self._rules().validators.f

    def _claims(self) -> Mapping[bytes, int]:
        links = [link for link in self._links.peers() if link.link_key]
        return {link.link_key: link.height for link in links if link.link_key not in self._conduct}

    def _linked(self) -> Mapping[bytes, Link]:
        return {link.link_key: link for link in self._links.peers() if link.link_key}

    async def _try(self) -> bool:
        log.info("snapshot: behind at height %d, looking for a newer one", self._chain.height)
        rules = self._rules()
        self._attempt = attempt = _Attempt(self._chain, rules, self._conduct, self._path)
        try:
            while not attempt.plan.is_over and not attempt.is_finished:
                self._ask(attempt)
                await self._turn()
        finally:
            self._attempt = None
            attempt.close()
        if attempt.plan.is_over:
            log.warning("snapshot: none taken: %s; fetching blocks", attempt.plan.stage.value)
        return attempt.is_finished

    def _ask(self, attempt: _Attempt) -> None:
        linked = self._linked()
        for key, question in attempt.questions(linked):
            payload = codec.encode(Fetch(question))
            self._links.send(linked[key].identity, wire.FETCH, payload)
        for key in attempt.plan.take_slow():
            log.warning("snapshot: %s is too slow and is passed over", _name(linked, key))

    async def _turn(self) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(TURN_S):
                await self._wake.wait()
        except TimeoutError:
            pass


class _Attempt:
    """One plan and the store that it fills.

    The store gets the ends of all epochs before the snapshot: those that the chain has first, then
    those of the walk. So whoever comes later can walk with this node as well.
    """

    def __init__(self, chain: Chain, rules: Rules, conduct: Conduct, path: Path) -> None:
        self.is_finished = False
        self._chain = chain
        self._rules = rules
        self._conduct = conduct
        self._path = path
        self.plan = self._new_plan()
        self._kv, self._held = snapshot_store.open_import(path)
        self._copied = 0
        """Epochs whose ends were copied from the chain."""
        self._import: Import | None = None
        self._linked: Mapping[bytes, Link] = {}
        self._done = 0
        self._logged_s = time.monotonic()

    def questions(self, linked: Mapping[bytes, Link]) -> list[tuple[bytes, Question]]:
        if self._held is None and self._copied <= self._rules.epoch:
            self._copy_ends()
            return []
        # What was asked over a link that another has replaced, as after two nodes dialled each
        # other, is lost.
        self.plan.note_links([key for key in linked if self._linked.get(key) is linked[key]])
        self.plan.note_links(linked)
        self._linked = linked
        if self.plan.stage is Stage.MANIFEST and self._held is not None:
            self._look_at(self._held)
            return []
        missing = () if self._import is None else self._import.missing
        return self.plan.requests(missing, _now_ms())

    def take(self, link: Link, given: GiveBoundaries | GiveManifest | GiveChunk) -> None:
        plan, key = self.plan, link.link_key
        if not plan.expects(key, given):
            return  # late: it was passed over, or nobody asked
        try:
            chunk = plan.give(key, given, _now_ms())
        finally:
            walked = plan.take_walked()
            if walked and self._held is None:  # else they are there already
                keep_boundaries(self._kv, walked)
        if self._import is None and plan.manifest is not None:
            self._begin()
        if chunk is not None:
            self._add(chunk)

    def close(self) -> None:
        self._kv.close()

    def _new_plan(self) -> SnapshotPlan:
        rules = self._rules
        return SnapshotPlan(
            rules.chain_id, rules.validators, self._chain.height, self._conduct, rules.is_valid
        )

    def _copy_ends(self) -> None:
        """Some of those that the chain has, so that no turn takes long."""
        chain, first = self._chain, self._copied
        if first == 0:
            validators = chain.validators(0)
            if validators is None:
                raise DamagedChain("the validators of epoch 0 are missing")
            keep_first(self._kv, validators)
        epochs = range(first, min(first + BOUNDARIES_MAX, self._rules.epoch))
        found = [boundary_of(chain, epoch) for epoch in epochs]
        keep_boundaries(self._kv, [item for item in found if item is not None])
        self._copied = first + BOUNDARIES_MAX

    def _look_at(self, held: Import) -> None:
        """Go on with what an earlier attempt left, if it is of the newest epoch; else begin anew,
        and walk again, for what was walked was not written."""
        self._held = None
        if held.manifest.header == self.plan.target:
            log.info("snapshot: going on with %d chunks missing", len(held.missing))
            self._import = held
            self._copied = self._rules.epoch + 1
            self.plan.resume(held.manifest)
            self._finish_if_whole()
        else:
            self._kv.close()
            self._kv = snapshot_store.discard(self._path)
            self.plan = self._new_plan()

    def _begin(self) -> None:
        plan = self.plan
        if plan.manifest is None:
            raise AssertionError("begun without a manifest")
        header = plan.manifest.header
        log.info("snapshot: taking epoch %d, height %d", header.epoch, header.height)
        self._import = Import.begin(
            self._kv, plan.manifest, header.chain_id, plan.validators, plan.is_valid
        )

    def _add(self, chunk: GiveChunk) -> None:
        if self._import is None:
            raise AssertionError("a chunk before its manifest")
        if self._import.add(chunk.number, chunk.data):
            self._done += 1
            self._report(len(self._import.missing))
            self._finish_if_whole()

    def _finish_if_whole(self) -> None:
        if self._import is None or self._import.missing:
            return
        self._import.finish()
        self.is_finished = True
        log.info("snapshot: whole at height %d", self._import.manifest.header.height)

    def _report(self, missing: int) -> None:
        now_s = time.monotonic()
        if now_s >= self._logged_s + PROGRESS_S:
            self._logged_s = now_s
            log.info("snapshot: %d chunks taken, %d known to be missing", self._done, missing)


def _name(linked: Mapping[bytes, Link], key: bytes) -> str:
    return linked[key].identity if key in linked else "a peer"


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
