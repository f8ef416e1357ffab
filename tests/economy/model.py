"""The economy a second time, in dictionaries: what is allowed, and what every figure must be.

Nothing here is shared with the rules of the ledger. There are no deadlines as objects and no
sweeps: every answer is worked out from what happened and when, so that it says what the sweep must
come to. Times are milliseconds of the ledger clock, amounts µ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256

from tests.economy.model_pace import Told, advise
from tests.economy.model_values import (
    AMOUNT_MAX,
    HOUR_MS,
    PPM,
    WEEK_MS,
    Ask,
    ChallengeModel,
    CoinModel,
    CommitmentModel,
    Conduct,
    LicenceModel,
    OpeningModel,
    OrderModel,
    Quarrel,
    Said,
    StepModel,
    Times,
)


@dataclass
class Model(ABC):
    """The state after the last action."""

    times: Times
    chain: bytes
    """Its id: assets hash it."""
    clock: int
    header: int
    licences: dict[str, LicenceModel] = field(default_factory=dict)
    coins: dict[str, CoinModel] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    attestors: set[str] = field(default_factory=set)
    """Those that count."""
    commitments: dict[tuple[str, str], CommitmentModel] = field(default_factory=dict)
    devices: dict[bytes, CommitmentModel] = field(default_factory=dict)
    pledged: dict[bytes, int] = field(default_factory=dict)
    """The period in which a device was pledged last."""
    openings: dict[tuple[int, str], OpeningModel] = field(default_factory=dict)
    """Of the present period: those that the last one asked for are gone."""
    challenges: dict[tuple[str, str], ChallengeModel] = field(default_factory=dict)
    orders: dict[str, OrderModel] = field(default_factory=dict)
    sealed: dict[tuple[int, str], bytes] = field(default_factory=dict)
    revealed: dict[tuple[int, str], bytes] = field(default_factory=dict)
    strikes: dict[str, int] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    epoch: int = 0
    is_ending: bool = False
    standard: int = 1
    standard_since: int = 0
    units: dict[str, int] = field(default_factory=dict)
    """An hour, by workload."""
    factors: dict[tuple[str, str], int] = field(default_factory=dict)
    """By class and workload."""
    step: StepModel | None = None
    told: Told = field(default_factory=dict)
    """By receipts of the present period."""
    asks: dict[bytes, Ask] = field(default_factory=dict)
    """Orders for compute, by id, in the order in which they came."""
    quarrels: dict[bytes, Quarrel] = field(default_factory=dict)
    conduct: dict[str, Conduct] = field(default_factory=dict)
    claims: dict[tuple[str, str], int] = field(default_factory=dict)
    """By issuer and owner."""
    asked: dict[tuple[str, str], int] = field(default_factory=dict)
    """The end of the period in which a queue was asked last."""
    turns: dict[tuple[str, str], int] = field(default_factory=dict)
    """From where a queue goes on where more waited than were asked at once."""

    @property
    def now(self) -> int:
        """The present period."""
        return self.clock // self.times.period

    # Time.

    def advance(self, header: int) -> None:
        """Begin a block: time moves, what is over is over, a period may begin."""
        before = self.now
        self.clock += min(header - self.header, 30_000)
        self.header = header
        if self.now != before:
            self._take_step()
        self._end_licences()
        self._end_challenges_and_cures()
        self._end_commitments()
        self.orders = {name: item for name, item in self.orders.items() if header <= item.until}
        if self.now != before:
            self._begin_period()

    def _end_challenges_and_cures(self) -> None:
        """By deadline, cures first, then by identity: a bond is less by what was paid from it
        before, and coins of who was suspended before count no more."""
        ends = self.further_ends()
        for name, coin in self.coins.items():
            moments = [coin.since + self.times.cure] if coin.solvency == "deficit" else []
            if coin.short:
                moments.append(coin.short + self.times.bond_cure)
            if moments:
                asset = hashed("asset", self.chain, name.encode(), bytes(1), bytes(8))
                ends.append((min(moments), 3, asset, partial(self._end_cure, name)))
        for place, item in self.challenges.items():
            moment = item.decided or item.since + self.times.contest
            identity = "\0".join(place).encode()
            ends.append((moment, 5, identity, partial(self._end_challenge, place)))
        for moment, _, _, act in sorted(ends, key=lambda end: end[:3]):
            if self.clock > moment:
                act()

    def _end_challenge(self, place: tuple[str, str]) -> None:
        item, held = self.challenges.pop(place), self.commitments[place]
        upheld = sum(item.votes.values()) >= 3
        held.state, held.since = ("void" if upheld else "live"), self.clock
        held.version += 1
        self.touched.add(place[0])
        if upheld:
            self.slash(place[0], item.penalty)

    def slash(self, name: str, amount: int) -> int:
        """Of each coin in a bond in proportion; how much in all."""
        bond = self.coins[name].bond
        total = sum(bond.values())
        due = min(amount, total)
        self.touched.add(name)
        after = {coin: there - there * due // total for coin, there in bond.items()}
        self.coins[name].bond = {coin: left for coin, left in after.items() if left}
        return total - sum(after.values())

    def _end_licences(self) -> None:
        for name, item in list(self.licences.items()):
            for role, (key, after) in list(item.coming.items()):
                if self.clock > after:
                    item.keys[role] = key
                    del item.coming[role]
            if item.state == "applied" and self.clock > item.since + self.times.application:
                del self.licences[name]
            ends = item.since + self.times.suspension
            if item.state == "suspended" and self.clock > ends:
                item.state = "revoked" if item.cause in ("evidence", "bond") else "active"
                item.since, item.cause, item.winding = ends, "", 0
            if item.state == "active" and self.clock > item.expires:
                item.state, item.since, item.cause = "winddown", item.expires, ""

    def _end_cure(self, name: str) -> None:
        coin, item = self.coins[name], self.licences[name]
        self.touched.add(name)
        if coin.solvency == "deficit" and self.clock > coin.since + self.times.cure:
            coin.since += self.times.cure
            coin.solvency = "caged"
        if coin.short and self.clock > coin.short + self.times.bond_cure:
            needed = self.bond_needed(coin.supply)
            is_short = self.bond_worth(name, needed) < needed
            coin.short = self.clock if is_short else 0
            if is_short and item.state == "active":
                item.state, item.since, item.cause = "suspended", self.clock, "bond"

    def _end_commitments(self) -> None:
        for place, held in list(self.commitments.items()):
            end = held.end
            if held.state == "proposed":
                end = min(end, held.since + self.times.proposal)
            if held.state != "contested" and self.clock > end:
                del self.commitments[place]
                self.touched.add(place[0])

    def _take_step(self) -> None:
        """A draft comes or lapses, or a step takes effect: who kept the margin is covered
        afterwards too, no step by itself makes a deficit."""
        step, told, self.told = self.step, self.told, {}
        if step is not None and self.clock < step.ends:
            return
        if step is None or step.state == "draft":
            self.step = None
            advise(self, told)
            return
        spared = [
            name
            for name, coin in self.coins.items()
            if coin.supply <= self.measured(name).reserve * (PPM - self.times.margin) // PPM
        ]
        self.units, self.factors, self.step = step.units, step.factors, None
        self.standard, self.standard_since = self.standard + 1, step.ends
        for name in spared:
            assert self.coins[name].supply <= self.measured(name).reserve, name

    def _begin_period(self) -> None:
        for (issuer, _), held in self.commitments.items():
            among = {name for _, name in self._best(held)[: self.times.groups]}
            for name, said in held.said.items():
                if said.lower is None:
                    continue
                fresh = Said(said.lower, said.lower_at, said.until)
                more = self.weighted(fresh, fresh.figure) > self.weighted(said, said.figure)
                waited = self.clock > said.lower_at + self.times.lower
                if more or (waited and name in among):
                    said.figure, said.at = said.lower, said.lower_at
                if more or waited:
                    said.lower = None
                    self.touched.add(issuer)
        closed = self.now - 2
        self._draw(closed)
        for period, name in list(self.sealed):
            if period == closed:
                if (period, name) not in self.revealed:
                    self.strikes[name] = self.strikes.get(name, 0) + 1
                    self.touched |= self.coins.keys()  # an attestor changed: all are judged
                del self.sealed[period, name]
        before = {name: replace(coin) for name, coin in self.coins.items()}
        self.judge(set(self.coins))
        for name, item in self.licences.items():
            if item.state != "winddown":
                continue
            coin = self.coins.get(name)
            if coin is None or coin.supply + coin.claims == 0:
                item.state, item.since, item.cause = "closed", self.clock, ""
            elif self.clock > item.since + self.times.winddown and coin.solvency != "caged":
                coin.solvency, coin.since = "caged", self.clock
        self.begin_batch()
        # Whoever changed is judged once more when the block ends, as after any change.
        self.touched |= {name for name, coin in self.coins.items() if coin != before[name]}

    def _draw(self, period: int) -> None:
        """Only what was pledged while all nonces of the period were secret counts."""
        sealed = sorted(name for at, name in self.sealed if at == period)
        nonces = [self.revealed[period, name] for name in sealed if (period, name) in self.revealed]
        seed = hashed("audit/seed", *nonces) if nonces else bytes(32)
        self.openings = {}
        for (issuer, _), held in self.commitments.items():
            if not sealed or held.state not in ("live", "contested"):
                continue
            mine = [device for device, to in self.devices.items() if to is held]
            count = sum(self.pledged[device] <= period for device in mine)
            if count:
                opening = self.openings.setdefault((period, issuer), OpeningModel(seed, 0))
                opening.devices += count

    def end_block(self) -> None:
        """Judge whom the block touched."""
        self.judge(self.touched & self.coins.keys())
        self.touched = set()
        if self.is_ending:
            self.epoch, self.is_ending = self.epoch + 1, False
            for item in self.licences.values():
                if item.state == "accused":
                    item.state, item.since, item.cause = "suspended", self.clock, "evidence"

    @abstractmethod
    def further_ends(self) -> list[tuple[int, int, bytes, Callable[[], None]]]:
        """What else falls due: moment, number of its kind, identity, and what happens."""

    @abstractmethod
    def begin_batch(self) -> None:
        """After all were judged as a period begins."""

    # Figures.

    def weighted(self, said: Said, figure: int) -> int:
        life = self.times.life // self.times.period
        age = self.now - said.at // self.times.period
        half = life // 2
        return figure if age <= half else figure * max(0, life - age) // (life - half)

    def _is_heard(self, name: str, said: Said) -> bool:
        is_over = said.until <= self.clock or not self.weighted(said, 1 << 40)
        return name in self.attestors and not is_over

    def _best(self, held: CommitmentModel, at: int | None = None) -> list[tuple[int, str]]:
        """The best (figure, attestor) of each group that vouches so far, highest first."""
        at = self.clock if at is None else at
        best: dict[str, tuple[int, str]] = {}
        for name in sorted(held.said):
            said = held.said[name]
            if said.until >= at and self._is_heard(name, said):
                entry = (self.weighted(said, said.figure), name)
                group = self.groups[name]
                best[group] = max(best.get(group, (-1, "")), entry)
        return sorted(best.values(), reverse=True)

    def counted(self, held: CommitmentModel, at: int | None = None) -> int:
        best = self._best(held, at)
        if len(best) < self.times.groups:
            return 0
        able = held.devices * PPM * self.times.period // HOUR_MS
        return min(best[self.times.groups - 1][0], held.hours, able)

    def worth(self, held: CommitmentModel, until: int | None = None) -> int:
        """µ x 10^6 of what is left, up to a period."""
        last = held.end // self.times.period
        if until is not None:
            last = min(last, until)
        first = max(held.begin, self.clock) // self.times.period
        total = 0
        for end in sorted({said.until for said in held.said.values()}):
            stop = min(last, end // self.times.period)
            if stop > first:
                total += self.counted(held, end) * self.rate(held) * (stop - first)
                first = stop
        gone = min(held.served.get(self.now, 0), self.figure(held, self.now))
        return total - gone * self.rate(held)

    def figure(self, held: CommitmentModel, period: int) -> int:
        """µh that count in one period."""
        begins = period * self.times.period
        reach = [said.until for said in held.said.values() if said.until > begins]
        return self.counted(held, min(reach)) if reach and held.begin <= begins < held.end else 0

    def at_stake(self, held: CommitmentModel) -> int:
        """µ that a challenge is about: as if all had spoken just now, of all that is left."""
        said: dict[str, int] = {}
        for name in held.said.keys() & self.attestors:
            group = self.groups[name]
            said[group] = max(held.said[name].figure, said.get(group, 0))
        hours = min(held.hours, held.devices * PPM * self.times.period // HOUR_MS)
        if len(said) >= self.times.groups:
            hours = min(hours, sorted(said.values(), reverse=True)[self.times.groups - 1])
        left = held.end // self.times.period - max(held.begin, self.clock) // self.times.period
        return hours * self.rate(held) * max(0, left) // PPM

    def rate(self, held: CommitmentModel) -> int:
        """What an hour of it is worth: that of the workload which is worth least."""
        return min(self.factors[held.line[1], work] for work in held.workloads)

    def deposit_needed(self, place: tuple[str, str]) -> int:
        """A share of what is at stake, never more than the bond could pay, at least a coin."""
        coin = self.coins[place[0]]
        share = -(-self.at_stake(self.commitments[place]) * self.times.deposit // PPM)
        there, must = sum(coin.bond.values()), self.bond_needed(coin.supply)
        return max(PPM, min(share, max(there, must)))

    def judge(self, names: set[str]) -> None:
        """Fresh figures of these issuers, then their bonds."""
        for name in names:
            self.coins[name] = self.measured(name)
        for name in sorted(names):
            coin = self.coins[name]
            needed = self.bond_needed(coin.supply)
            is_short = self.bond_worth(name, needed) < needed
            coin.short = (coin.short or self.clock) if is_short else 0

    def measured(self, name: str) -> CoinModel:
        """The coin with what its hours are worth now, and the band that follows."""
        mine = [
            held
            for (issuer, _), held in self.commitments.items()
            if issuer == name and held.state in ("live", "contested")
        ]
        soon = self.now + WEEK_MS // self.times.period
        coin = replace(
            self.coins[name],
            reserve=min(sum(self.worth(held) for held in mine) // PPM, AMOUNT_MAX),
            deliverable=min(sum(self.worth(held, soon) for held in mine) // PPM, AMOUNT_MAX),
            frozen=any(
                said.lower is not None and self._is_heard(name, said)
                for held in mine
                for name, said in held.said.items()
            ),
        )
        covered, outstanding = coin.share
        if coin.supply > coin.reserve and (
            not outstanding or coin.reserve * outstanding < covered * coin.supply
        ):
            coin.share = (coin.reserve, coin.supply)
        stands = self._stands(coin)
        if coin.solvency != "caged" and stands != coin.solvency:
            coin.solvency, coin.since = stands, self.clock
        return coin

    def _stands(self, coin: CoinModel) -> str:
        if coin.supply > coin.reserve:
            return "deficit"
        limit = coin.reserve * (PPM - self.times.margin) // PPM
        thin = coin.deliverable * PPM < coin.supply * self.times.deliverability
        return "warn" if coin.supply > limit or thin else "healthy"

    def bond_needed(self, supply: int) -> int:
        return (supply * self.times.bond + PPM - 1) // PPM

    def is_sound(self, name: str) -> bool:
        item = self.licences.get(name)
        if item is None or item.state not in ("active", "accused") or self.clock > item.expires:
            return False
        return self.coins[name].solvency in ("healthy", "warn")

    def bond_worth(self, name: str, needed: int) -> int:
        half = (needed + 1) // 2
        bond = self.coins[name].bond
        return sum(min(amount, half) for coin, amount in bond.items() if self.is_sound(coin))


def hashed(name: str, *values: bytes) -> bytes:
    """As the protocol hashes: under a tag, each part after its length."""
    tag = f"marsa/1/{name}".encode()
    parts = b"".join(len(x).to_bytes(4, "big") + x for x in values)
    return sha256(bytes([len(tag)]) + tag + parts).digest()


def panel_of(groups: dict[str, str], parties: set[str], seed: bytes) -> tuple[str, ...]:
    """Five of distinct groups, by the hash of seed and name; none in a party's group."""
    seats: list[str] = []
    taken = {groups[name] for name in parties if name in groups}
    for name in sorted(groups, key=lambda name: hashed("panel", seed, name.encode())):
        if len(seats) < 5 and groups[name] not in taken:
            taken.add(groups[name])
            seats.append(name)
    return tuple(seats)
