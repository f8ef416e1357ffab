"""What anybody may try, as the model sees it: each returns whether it is allowed, and does it then.

One method an operation, in the words of the design. `key` is the name of the key that signs.
"""

from __future__ import annotations

from tests.economy.model import hashed, panel_of
from tests.economy.model_orders import OrderActions
from tests.economy.model_values import (
    HOUR_MS,
    OPEN,
    PPM,
    YEAR_MS,
    ChallengeModel,
    CoinModel,
    CommitmentModel,
    LicenceModel,
    OpeningModel,
    OrderModel,
    Said,
    StepModel,
)

PROMISING = ("active", "accused", "suspended", "winddown")
COMMITMENTS_OF_ISSUER = 32
DEVICES_MAX = 10_000


class Actions(OrderActions):
    """A model that can be acted upon."""

    # Coins.

    def mint(self, name: str, key: str, amount: int) -> bool:
        item = self.licences.get(name)
        if item is None or name not in self.coins or not item.issuer or item.state != "active":
            return False
        coin = self.measured(name)
        after, least = coin.supply + amount, self.times.deliverability
        minted = coin.minted.get(self.now, 0)
        cap = coin.reserve * self.times.mint_cap // PPM
        spare = coin.deliverable * PPM - after * least
        if spare < after * least:
            cap = max(0, cap * spare // (after * least))
        allowed = (
            key == item.keys["treasury"]
            and coin.solvency == "healthy"
            and not coin.frozen
            and after + coin.claims <= coin.reserve * (PPM - self.times.margin) // PPM
            and coin.deliverable * PPM >= after * least
            and minted + amount <= cap
            and self.bond_worth(name, self.bond_needed(after)) >= self.bond_needed(after)
        )
        if allowed:
            coin.supply, coin.minted[self.now] = after, minted + amount
            self.coins[name] = coin
            self.touched.add(name)
        return allowed

    def burn(self, name: str, owner: str, amount: int) -> bool:
        if not self.spend(owner):
            return False
        self.coins[name].supply -= amount
        self.touched.add(name)
        return True

    def deposit(self, name: str, coin: str, owner: str, amount: int) -> bool:
        if name not in self.coins or name not in self.licences or name == coin:
            return False
        if not self.spend(owner):
            return False
        bond = self.coins[name].bond
        bond[coin] = bond.get(coin, 0) + amount
        self.touched.add(name)
        return True

    def withdraw(self, name: str, key: str, coin: str, amount: int) -> bool:
        item = self.licences.get(name)
        if item is None or name not in self.coins or key != item.keys["treasury"]:
            return False
        bond = self.coins[name].bond
        supply = self.coins[name].supply + self.coins[name].claims
        is_over = item.state == "revoked" and supply > 0
        if item.state == "suspended" or is_over or bond.get(coin, 0) < amount:
            return False
        if supply and self.measured(name).solvency in ("deficit", "caged"):
            return False
        before = dict(bond)
        bond[coin] -= amount
        if not bond[coin]:
            del bond[coin]
        stays = self.bond_needed(supply)
        stays += sum(item.penalty for place, item in self.challenges.items() if place[0] == name)
        if self.bond_worth(name, stays) < stays:
            self.coins[name].bond = before
            return False
        self.touched.add(name)
        return True

    # Licences.

    def apply(self, name: str, keys: dict[str, str], title: str, expires: int, owner: str) -> bool:
        waiting = [
            (item.since, other) for other, item in self.licences.items() if item.state == "applied"
        ]
        known = name in self.licences or self._are_taken(keys.values(), name, "")
        if (
            known
            or self._is_titled(title, name, "")
            or expires <= self.clock
            or not self.spend(owner)
        ):
            return False
        if len(waiting) == 16:
            del self.licences[min(waiting)[1]]
        self.licences[name] = LicenceModel(True, expires, dict(keys), title, "applied", self.clock)
        return True

    def admit(
        self, name: str, keys: dict[str, str], title: str, expires: int, version: int
    ) -> bool:
        held = self.licences.get(name)
        if version != (held.version if held else 0) or expires <= self.clock:
            return False
        if self._are_taken(keys.values(), name) or self._is_titled(title, name):
            return False
        if held is not None:
            if held.state in ("revoked", "closed"):
                return False
            asked = (held.keys, held.title, held.expires)
            if held.state == "applied" and asked != (keys, title, expires):
                return False
        state, since, cause = "active", self.clock, ""
        if held is not None and held.state in ("accused", "suspended"):
            state, since, cause = held.state, held.since, held.cause
        elif held is not None and held.state == "active":
            since = held.since
        self.licences[name] = LicenceModel(
            True, expires, dict(keys), title, state, since, cause, version + 1
        )
        self.licences[name].answers_from = held.answers_from if held else 0
        if name not in self.coins:
            self.coins[name] = CoinModel(since=self.clock)
            self.touched.add(name)
        return True

    def _is_titled(self, title: str, name: str, free: str = "applied") -> bool:
        """Another has that display name, but for those in state `free`: who only asks has none."""
        return any(
            item.title == title and item.state != free
            for other, item in self.licences.items()
            if other != name
        )

    def _are_taken(self, keys: object, name: str, free: str = "applied") -> bool:
        """By others, but for those in state `free`: who only asks holds no key."""
        given = set(keys)  # type: ignore[call-overload]
        for other, item in self.licences.items():
            if (
                other != name
                and item.state != free
                and given
                & {
                    *item.keys.values(),
                    *(k for k, _ in item.coming.values()),
                }
            ):
                return True
        return False

    def govern(self, what: str, name: str, version: int) -> bool:
        """suspend (by validators), reinstate, revoke."""
        item = self.licences.get(name)
        if item is None or item.version != version:
            return False
        wanted = {"suspend": ("active",), "reinstate": ("suspended",)}
        allowed = wanted.get(what, ("applied", "active", "accused", "suspended", "winddown"))
        by_evidence = item.cause == "evidence"
        if item.state not in allowed:
            return False
        if what == "reinstate" and by_evidence and self.epoch < item.answers_from:
            return False
        if item.state == "applied":
            del self.licences[name]
            return True
        item.state = {"suspend": "suspended", "reinstate": "active", "revoke": "revoked"}[what]
        item.cause = "validators" if what == "suspend" else ""
        item.since, item.version = self.clock, version + 1
        if what == "reinstate" and by_evidence:
            item.answers_from = self.epoch
            if item.winding:
                item.state, item.since = "winddown", item.winding
        item.winding = 0
        return True

    def accuse(self, name: str, voted: int) -> bool:
        item = self.licences.get(name)
        if item is None or not 0 <= self.epoch - voted <= 10 or voted < item.answers_from:
            return False
        if item.state == "active":
            item.state = "accused"
        elif item.state in ("suspended", "winddown") and item.cause != "evidence":
            item.winding = item.since if item.state == "winddown" else 0
            item.since = item.since if item.cause == "bond" else self.clock
            item.state, item.cause = "suspended", "evidence"
        else:
            return False
        item.answers_from = self.epoch + 1
        item.version += 1
        return True

    def end_epoch(self, number: int) -> bool:
        if self.is_ending or number != self.epoch:
            return False
        self.is_ending = True
        return True

    def wind_down(self, name: str, key: str, version: int) -> bool:
        item = self.licences.get(name)
        if item is None or (item.version, item.state) != (version, "active"):
            return False
        if key != item.keys["operations"]:
            return False
        item.state, item.since, item.version = "winddown", self.clock, version + 1
        return True

    def rotate(self, name: str, key: str, version: int, role: str, fresh: str) -> bool:
        item = self.licences.get(name)
        if item is None or item.version != version or key != item.keys["operations"]:
            return False
        used = {*item.keys.values(), *(k for k, _ in item.coming.values())}
        if item.state in ("revoked", "closed", "applied") or role in item.coming:
            return False
        if fresh in used or self._are_taken([fresh], name):
            return False
        item.coming[role] = (fresh, self.clock + self.times.rotation)
        item.version += 1
        return True

    # Capacity.

    def commit(
        self, place: tuple[str, str], key: str, line: tuple[str, str], workloads: tuple[str, ...],
        begin: int, end: int, hours: int, height: int,
    ) -> bool:  # fmt: skip
        if not self._promises(place[0], key) or place in self.commitments:
            return False
        if any((line[0], work) not in self.factors for work in workloads):
            return False
        period = self.times.period
        if begin % period or end % period or not max(begin, self.clock) < end or not hours:
            return False
        if end > self.clock + YEAR_MS or end - begin > YEAR_MS:
            return False
        full = (place[0], *line)
        if self._overlaps(full, begin, end, None):
            return False
        if sum(issuer == place[0] for issuer, _ in self.commitments) >= COMMITMENTS_OF_ISSUER:
            return False
        if any(item.place == place and item.state in OPEN for item in self.asks.values()):
            return False
        self.commitments[place] = CommitmentModel(
            full, workloads, begin, end, hours, "proposed", self.clock, height
        )
        self.touched.add(place[0])
        return True

    def _promises(self, name: str, key: str) -> bool:
        item = self.licences.get(name)
        ok = item is not None and item.issuer and item.state in PROMISING
        return ok and item is not None and key == item.keys["operations"]

    def _overlaps(
        self, line: tuple[str, str, str], begin: int, end: int, own: tuple[str, str] | None
    ) -> bool:
        return any(
            held.line == line and held.state != "void" and begin < held.end and held.begin < end
            for place, held in self.commitments.items()
            if place != own
        )

    def _standing(self, place: tuple[str, str]) -> CommitmentModel | None:
        held = self.commitments.get(place)
        return held if held is not None and held.state != "void" else None

    def _is_pledged(self, device: bytes) -> bool:
        """To a commitment that stands still; a later one of its name is another."""
        held = self.devices.get(device)
        return any(held is other and other.state != "void" for other in self.commitments.values())

    def commitment_state(self, place: tuple[str, str]) -> str:
        """As people see it: a live one that nobody attests of late is stale."""
        held = self.commitments.get(place)
        if held is None:
            return "none"
        is_stale = held.state == "live" and len(self._best(held)) < self.times.groups
        return "stale" if is_stale else held.state

    def pledge(self, place: tuple[str, str], key: str, version: int, devices: list[bytes]) -> bool:
        held = self._standing(place)
        if not self._promises(place[0], key) or held is None or held.version != version:
            return False
        able = held.devices + len(devices) - 1
        if able * PPM * self.times.period >= held.hours * HOUR_MS:
            return False  # one device less would do
        own = [item for (name, _), item in self.commitments.items() if name == place[0]]
        if sum(item.devices for item in own) + len(devices) > DEVICES_MAX:
            return False
        if any(self._is_pledged(device) for device in devices):
            return False
        self.devices.update(dict.fromkeys(devices, held))
        self.pledged.update(dict.fromkeys(devices, self.now))
        held.devices += len(devices)
        held.version += 1
        self.touched.add(place[0])
        return True

    def amend(self, place: tuple[str, str], key: str, version: int, hours: int, end: int) -> bool:
        held = self._standing(place)
        if not self._promises(place[0], key) or held is None or held.version != version:
            return False
        if hours < held.hours or end < held.end or (hours, end) == (held.hours, held.end):
            return False
        if end != held.end:
            bad = end % self.times.period or end <= self.clock
            if bad or end > self.clock + YEAR_MS or end - held.begin > YEAR_MS:
                return False
        if self._overlaps(held.line, held.begin, end, place):
            return False
        held.hours, held.end, held.version = hours, end, version + 1
        self.touched.add(place[0])
        return True

    def attest(self, name: str, place: tuple[str, str], figure: int, born: int, until: int) -> bool:
        held = self._standing(place)
        if name not in self.attestors or held is None or figure > held.hours:
            return False
        if born != held.born or not self.clock < until <= held.end:
            return False
        if until % self.times.period or until <= held.begin:
            return False
        before = held.said.get(name)
        known = before is not None and self._is_heard(name, before)
        if before is not None and known and until < before.until:
            return False
        if not self._seat_is_spared(name, held):
            return False
        if before is not None and known and figure < self.weighted(before, before.figure):
            if before.lower is None or figure < before.lower:
                before.lower_at = self.clock
            before.lower = figure
        else:
            counts = self.counted(held)
            held.said[name] = Said(figure, self.clock, until)
            if not known and figure < counts:
                held.said[name].lower, held.said[name].lower_at = figure, self.clock
        if held.state == "proposed" and len(self._best(held)) >= self.times.groups:
            held.state, held.since = "live", self.clock
        self.touched.add(place[0])
        return True

    def _seat_is_spared(self, name: str, held: CommitmentModel) -> bool:
        """Three groups stay silent, or the word is needed; those of old are dropped for it."""
        everybody = {self.groups[other] for other in self.attestors}
        deaf = {x for x, word in held.said.items() if x != name and not self._is_heard(x, word)}
        for dropped in (set[str](), deaf):
            speak = (held.said.keys() & self.attestors) - dropped - {name}
            others = {self.groups[other] for other in speak}
            more = others | {self.groups[name]}
            if more == others or len(more) < 2 * self.times.groups or len(everybody - more) > 2:
                for other in dropped:
                    del held.said[other]
                return True
        return False

    def challenge(
        self, place: tuple[str, str], owner: str, coin: str, deposit: int, seed: bytes
    ) -> bool:
        held = self.commitments.get(place)
        if held is None or held.state != "live" or coin == place[0] or not self.is_sound(coin):
            return False
        penalty = self.deposit_needed(place)
        if deposit < penalty or not self.spend(owner):
            return False
        groups = {name: self.groups[name] for name in self.attestors}
        panel = panel_of(groups, set(held.said), seed)
        if len(panel) < 3:
            return False
        self.challenges[place] = ChallengeModel(coin, deposit, penalty, self.clock, panel)
        held.state, held.since, held.version = "contested", self.clock, held.version + 1
        self.touched.add(place[0])
        return True

    def rule(self, name: str, place: tuple[str, str], *, upheld: bool, since: int) -> bool:
        item = self.challenges.get(place)
        if item is None or item.since != since or name not in self.attestors:
            return False
        if name not in item.panel or name in item.votes or item.decided:
            return False
        others = (self.commitments[place].said.keys() | item.votes.keys()) & self.attestors
        if self.groups[name] in {self.groups[other] for other in others}:
            return False
        item.votes[name] = upheld
        yes = sum(item.votes.values())
        if yes >= 3 or len(item.votes) - yes >= 3:
            item.decided = self.clock
        return True

    def seal(self, name: str, period: int, digest: bytes) -> bool:
        if name not in self.attestors or period != self.now + 1 or (period, name) in self.sealed:
            return False
        self.sealed[period, name] = digest
        return True

    def reveal(self, name: str, period: int, nonce: bytes, digest: bytes) -> bool:
        place = (period, name)
        if name not in self.attestors or period != self.now - 1 or place in self.revealed:
            return False
        if self.sealed.get(place) != digest:
            return False
        self.revealed[place] = nonce
        return True

    def open(self, name: str, key: str, period: int, opened: int, devices: list[bytes]) -> bool:
        item, held = self.licences.get(name), self.openings.get((period, name))
        if item is None or not item.issuer or key != item.keys["operations"]:
            return False
        if held is None or opened != len(held.opened) or held.opened.intersection(devices):
            return False
        for device in devices:
            is_own = self._is_pledged(device) and self.devices[device].line[0] == name
            if not is_own or self.pledged[device] > period or not self._is_drawn(held, device):
                return False
        held.opened.update(devices)
        return True

    def _is_drawn(self, held: OpeningModel, device: bytes) -> bool:
        place = int.from_bytes(hashed("audit/draw", held.seed, device)[:8], "big")
        return any(held.seed) and place * held.devices < self.times.audit * 2**64

    # Orders.

    def freeze(self, name: str, targets: tuple[str, ...], until: int) -> bool:
        if name in self.orders or not self._may_last(until):
            return False
        self.orders[name] = OrderModel(targets, until)
        return True

    def renew(self, name: str, version: int, until: int) -> bool:
        item = self.orders.get(name)
        if item is None or item.version != version or not self._may_last(until):
            return False
        item.until, item.version = until, version + 1
        return True

    def lift(self, name: str, version: int) -> bool:
        item = self.orders.get(name)
        if item is None or item.version != version:
            return False
        del self.orders[name]
        return True

    def _may_last(self, until: int) -> bool:
        return self.header < until <= self.header + self.times.order

    # The standard.

    def propose(
        self, version: int, raised: dict[str, int], added: dict[tuple[str, str], int]
    ) -> bool:
        is_noticed = self.step is not None and self.step.state == "noticed"
        if version != self.standard + 1 or is_noticed or not (raised or added):
            return False
        if any(units <= self.units.get(work, 0) for work, units in raised.items()):
            return False
        units = self.units | raised
        factors = {
            place: -(-factor * self.units[place[1]] // units[place[1]])
            for place, factor in self.factors.items()
        }
        if any(
            (self.factors[place] - factor) * PPM > self.factors[place] * self.times.step
            for place, factor in factors.items()
        ):
            return False
        if added.keys() & factors.keys():
            return False
        factors |= added
        if {work for _, work in factors} != units.keys():
            return False
        moment = max(self.clock + self.times.notice, self.standard_since + self.times.spacing)
        ends = -(-moment // self.times.period) * self.times.period
        self.step = StepModel(units, factors, self.clock, ends)
        return True

    def withdraw_step(self, since: int) -> bool:
        if self.step is None or (self.step.state, self.step.since) != ("noticed", since):
            return False
        self.step = None
        return True
