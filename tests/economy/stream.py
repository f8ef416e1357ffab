"""Random actions by everybody, half of them forbidden: what may be tried at any moment."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import msgspec

from ledger import operations as ops
from ledger import transaction
from ledger.crypto import tagged_hash
from ledger.economy.capacity import CommitmentTerms
from ledger.economy.issuance import Lane
from ledger.economy.licence import RoleKeys
from ledger.economy.spot_audit import nonce_digest
from ledger.objects import load
from ledger.times import MINUTE_MS
from tests.economy import steps
from tests.economy.redeeming import Redeeming
from tests.economy.stage import ACCOUNTS, APPLICANTS, ISSUERS, VOUCHING, Stage
from tests.ledger.world import COIN, ROLES, device, grant, key, lock_of

ACTIONS_A_BLOCK = 12
STEPS_MS = (500, 1_000, 5_000, 20_000, 29_000, 30_000, 45_000, 600_000)
"""Header time between blocks; the last is an outage."""
_nothing = tagged_hash("nothing")


class Stream:
    """One seed."""

    def __init__(self, seed: int, stage: Stage | None = None) -> None:
        self.stage = stage or Stage()
        self.model = self.stage.model
        self.rng = Random(f"economy/{seed}")
        self.attestor_versions: dict[str, int] = {}
        self.redeeming = Redeeming(self.stage, self.rng)

    def run(self, actions: int) -> Stage:
        """At least so many actions; raises Disagreement."""
        blocks = 0
        while self.stage.actions < actions:
            blocks += 1
            self.stage.begin(self.rng.choice(STEPS_MS))
            count = self.rng.randrange(2 * ACTIONS_A_BLOCK)
            for _ in range(count // 4):
                self.government()
            for _ in range(count - count // 4):
                self.rng.choice(self.others)()
            self.stage.end(counted=blocks % 10 == 0)
        return self.stage

    @property
    def others(self) -> tuple:  # type: ignore[type-arg]
        """What is not government; what keeps a chain alive is tried more often."""
        return (
            *(self.attest,) * 8,
            *(self.redeeming.act,) * 14,
            *(self.transfer,) * 3,
            *(self.again,) * 2,
            *(self.mint,) * 6,
            *(self.pledge,) * 3,
            self.burn,
            self.deposit,
            self.withdraw,
            self.apply,
            self.wind_down,
            self.accuse,
            self.rotate,
            *(self.commit,) * 2,
            self.amend,
            *(self.challenge,) * 2,
            *(self.rule,) * 4,
            *(self.seal,) * 2,
            *(self.reveal,) * 2,
            *(self.open,) * 2,
        )

    # Government.

    def government(self) -> None:
        draw = self.rng.random()
        if draw < 0.1:
            self.again(of_government=True)
        elif draw < 0.3:
            self.order()
        elif draw < 0.4:
            self.attestor()
        elif draw < 0.6:
            self.admit()
        elif draw < 0.66:
            number = self.model.epoch + (self.rng.random() < 0.1)
            self.govern(ops.EndEpoch(number), lambda: self.model.end_epoch(number))
        elif draw < 0.72:
            steps.act(self.stage, self.rng)
        else:
            self.licence()

    def again(self, *, of_government: bool = False) -> None:
        """What a block has taken already, of late or long ago."""
        found = [
            tx for tx in self.stage.carried if transaction.is_governance(tx.body) is of_government
        ]
        if found:
            self.stage.again(self.rng.choice(found[-self.rng.choice((8, 80, 800)) :]))

    def govern(self, operation: ops.Operation, allowed) -> None:  # type: ignore[no-untyped-def]
        self.stage.act(operation, allowed, signers=self.stage.world.approvers(operation))

    def licence(self) -> None:
        what = self.rng.choices(("suspend", "reinstate", "revoke"), (2, 14, 1))[0]
        name = self.rng.choice(APPLICANTS if what == "revoke" else ISSUERS + APPLICANTS)
        waiting = [x for x, held in self.model.licences.items() if held.state == "suspended"]
        if what == "reinstate" and self.rng.random() < 0.95:
            if not waiting:
                return
            name = self.rng.choice(sorted(waiting))
        version = self.version_of(name)
        made: dict[str, ops.Operation] = {
            "suspend": ops.Suspend(name, version),
            "reinstate": ops.Reinstate(name, version),
            "revoke": ops.Revoke(name, version),
        }
        self.govern(made[what], lambda: self.model.govern(what, name, version))

    def version_of(self, name: str) -> int:
        held = self.model.licences.get(name)
        version = held.version if held else 0
        return version if self.rng.random() < 0.9 else version + 1

    def admit(self) -> None:
        name = self.rng.choice(APPLICANTS)
        held = self.model.licences.get(name)
        keys = dict(held.keys) if held else {role: f"{name}/{role}" for role in ROLES}
        expires = self.expiry() if held is None or held.state != "applied" else held.expires
        version = self.version_of(name)
        title = held.title if held and self.rng.random() < 0.95 else self.title(name)
        made = self.grant(name, keys, title, expires)
        self.govern(
            ops.Admit(made, version), lambda: self.model.admit(name, keys, title, expires, version)
        )

    def expiry(self) -> int:
        return self.model.clock + self.rng.choice((-1_000, 10, 40, 40_000, 80_000)) * MINUTE_MS

    def title(self, name: str) -> str:
        """Its own display name, or that of another who applies."""
        return f"Cloud {self.rng.choice((name, name, *APPLICANTS))}"

    def grant(self, name: str, keys: dict[str, str], title: str, expires: int):  # type: ignore[no-untyped-def]
        made = grant(name, validator=False)
        roles = RoleKeys(**{role: key(keys[role]).public for role in ROLES})
        return msgspec.structs.replace(made, keys=roles, name=title, expires_ms=max(0, expires))

    def attestor(self) -> None:
        world = self.stage.world
        name = self.rng.choice(sorted(self.model.groups))
        found = next(item for item in world.genesis.attestors if item.id == name)
        number = self.attestor_versions.get(name, 1)
        if name in self.model.attestors and self.rng.random() < 0.1:
            allowed = len(self.model.attestors) > 0
            self.govern(ops.RemoveAttestor(name, number), lambda: self._remove(name, allowed))
        elif name not in self.model.attestors:
            group = self.rng.choice((found.group,) * 9 + tuple(sorted(self.model.groups.values())))
            found = msgspec.structs.replace(found, group=group)
            self.govern(ops.AdmitAttestor(found, number), lambda: self._readmit(name, group))

    def _remove(self, name: str, allowed: bool) -> bool:
        self.model.attestors.discard(name)
        self._touch_all(name)
        return allowed

    def _readmit(self, name: str, group: str) -> bool:
        self.model.attestors.add(name)
        self.model.groups[name] = group
        for held in self.model.commitments.values():
            held.said.pop(name, None)
        self._touch_all(name)
        return True

    def _touch_all(self, name: str) -> None:
        self.attestor_versions[name] = self.attestor_versions.get(name, 1) + 1
        self.model.touched |= self.model.coins.keys()

    def order(self) -> None:
        name = f"order-{self.rng.randrange(3)}"
        until = self.model.header + self.rng.choice((-1, 0, 1, 5, 29, 30, 31)) * MINUTE_MS
        version = self.rng.choice((1, 1, 1, 2, 3))
        draw = self.rng.random()
        if draw < 0.5:
            owners = tuple(sorted(self.rng.sample(ACCOUNTS, 1), key=lock_of))
            operation = ops.FreezeOrder(name, bytes(32), tuple(map(lock_of, owners)), until)
            self.govern(operation, lambda: self.model.freeze(name, owners, until))
        elif draw < 0.7:
            operation2 = ops.RenewOrder(name, version, until)
            self.govern(operation2, lambda: self.model.renew(name, version, until))
        else:
            self.govern(ops.LiftOrder(name, version), lambda: self.model.lift(name, version))

    # Coins.

    def amount(self) -> int:
        return int(10 ** self.rng.uniform(0, 4.3) * COIN)

    def spendable(self, amount: int):  # type: ignore[no-untyped-def]
        owner, name = self.rng.choice(ACCOUNTS), self.rng.choice(ISSUERS)
        return owner, name, self.stage.coin(owner, name, amount)

    def transfer(self) -> None:
        amount = self.rng.randint(1, 40) * COIN
        owner, _, coin = self.spendable(amount + 1)
        if coin is not None and coin.amount > amount + 3_000:
            self.stage.transfer(owner, self.rng.choice(ACCOUNTS), coin, amount)

    def lane(self, name: str, role: str) -> tuple[int, int]:
        """Lane 0 and its next number."""
        held = load(self.stage.execution, Lane, Lane.identity(name, role, 0))
        return 0, held.next_number if held else 0

    def treasury(self, name: str, role: str = "treasury") -> str:
        """The role's key, or at times another."""
        held = self.model.licences.get(name)
        usual = held.keys[role] if held else f"{name}/{role}"
        if held and held.coming and self.rng.random() < 0.3:
            return held.coming.get(role, (usual, 0))[0]
        return usual if self.rng.random() < 0.95 else f"{name}/metering"

    def mint(self) -> None:
        name, amount = self.rng.choice(ISSUERS + APPLICANTS), self.amount()
        signer = self.treasury(name)
        coin = self.model.coins.get(name)
        if coin is not None and self.rng.random() < 0.3:  # exactly at the margin, or one beyond
            limit = coin.reserve * 8 // 10 - coin.supply
            amount = max(1, limit + self.rng.choice((0, 1)))
        operation = ops.Mint(name, key(signer).public, *self.lane(name, "treasury"), amount)
        self.stage.act(
            operation,
            lambda: self.model.mint(name, signer, amount),
            mints=amount,
            signers=[signer],
        )

    def burn(self) -> None:
        amount = self.rng.randint(1, 400) * COIN
        owner, name, coin = self.spendable(amount)
        if coin is not None:
            operation = ops.Burn(coin.asset, amount)
            self.stage.act(
                operation,
                lambda: self.model.burn(name, owner, amount),
                spends=(owner, coin, amount),
            )

    def deposit(self) -> None:
        amount, issuer = self.rng.randint(1, 100) * COIN, self.rng.choice(ISSUERS + APPLICANTS)
        owner, name, coin = self.spendable(amount)
        if coin is not None:
            operation = ops.DepositBond(issuer, coin.asset, amount)
            self.stage.act(
                operation,
                lambda: self.model.deposit(issuer, name, owner, amount),
                spends=(owner, coin, amount),
            )

    def withdraw(self) -> None:
        issuer, coin = self.rng.choice(ISSUERS), self.rng.choice(ISSUERS)
        amount = self.rng.randint(1, 1_200) * COIN
        signer = self.treasury(issuer)
        asset = self.stage.world.asset(coin)
        number = self.lane(issuer, "treasury")
        operation = ops.WithdrawBond(issuer, key(signer).public, *number, asset, amount)
        self.stage.act(
            operation,
            lambda: self.model.withdraw(issuer, signer, coin, amount),
            mints=amount,
            signers=[signer],
        )

    # Licences.

    def apply(self) -> None:
        name = self.rng.choice(APPLICANTS)
        owner, _, coin = self.spendable(1)
        keys, expires = {role: f"{name}/{role}" for role in ROLES}, self.expiry()
        if self.rng.random() < 0.5:  # A key that somebody else has or may have.
            keys["metering"] = f"{self.rng.choice(ISSUERS)}/metering/{self.rng.randrange(50)}"
        if coin is not None:
            title = self.title(name)
            operation = ops.Apply(self.grant(name, keys, title, expires))
            self.stage.act(
                operation,
                lambda: self.model.apply(name, keys, title, max(0, expires), owner),
                spends=(owner, coin, 0),
                signers=[keys["operations"]],
            )

    def wind_down(self) -> None:
        if self.rng.random() < 0.9:
            return
        name = self.rng.choice(APPLICANTS)
        signer, version = self.treasury(name, "operations"), self.version_of(name)
        self.stage.act(
            ops.WindDown(name, key(signer).public, version),
            lambda: self.model.wind_down(name, signer, version),
            signers=[signer],
        )
        self.accuse()

    def accuse(self) -> None:
        """Of votes of now or of before, also of what was judged."""
        if self.rng.random() < 0.7:
            return
        held = self.model.licences.items()
        rare = sorted(name for name, item in held if item.state in ("suspended", "winddown"))
        name = self.rng.choice(rare or ISSUERS + APPLICANTS)
        voted = max(0, self.model.epoch - self.rng.choice((-1, 0, 0, 0, 1, 2, 11)))
        operation = self.stage.world.evidence(name, epoch=voted)
        self.stage.act(operation, lambda: self.model.accuse(name, voted))

    def rotate(self) -> None:
        name = self.rng.choice(ISSUERS)
        signer, version = self.treasury(name, "operations"), self.version_of(name)
        role = self.rng.choice(("operations", "treasury", "metering"))
        fresh = f"{name}/{role}/{self.rng.randrange(50)}"
        self.stage.act(
            ops.RotateKey(name, key(signer).public, version, role, key(fresh).public),
            lambda: self.model.rotate(name, signer, version, role, fresh),
            signers=[signer, fresh],
        )

    # Capacity.

    def place(self) -> tuple[str, str]:
        places = sorted(self.model.commitments)
        if places and self.rng.random() < 0.95:
            return self.rng.choice(places)
        return (self.rng.choice(ISSUERS), f"c{self.rng.randrange(5)}")

    def commit(self) -> None:
        name, fresh = self.rng.choice(ISSUERS + APPLICANTS), f"c{self.rng.randrange(5)}"
        kind = self.rng.choice(steps.CLASSES)
        region = self.rng.choice(("eu-west", "us-east", "ap-south"))
        period = self.stage.world.genesis.parameters.period_ms
        begin = (self.model.clock // period + self.rng.choice((-2, -1, 0, 1, 2, 3, 500))) * period
        end = begin + self.rng.choice((0, 1, 20, 3_000, 43_200)) * period
        if self.rng.random() < 0.05:
            end += 1
        hours = self.rng.choice((0, 1, 500_000, 2_000_000, 9_000_000))
        signer = self.treasury(name, "operations")
        workloads = ("inference", "training") if kind == "gpu-80g" else ("inference",)
        terms = CommitmentTerms(fresh, name, kind, region, workloads, begin, end, hours)
        operation = ops.Commit(key(signer).public, *self.lane(name, "operations"), terms)
        self.stage.act(
            operation,
            lambda: self.model.commit(
                (name, fresh),
                signer,
                (kind, region),
                workloads,
                begin,
                end,
                hours,
                self.stage.execution.height,
            ),
            signers=[signer],
        )

    def pledge(self) -> None:
        place = self.place()
        signer, version = self.treasury(place[0], "operations"), self.commitment_version(place)
        first, count = self.rng.randrange(600), self.rng.choice((1, 30, 64))
        chosen = sorted(device(f"pool/{index}") for index in range(first, first + count))
        lane = self.lane(place[0], "operations")
        said = (*lane, place[1], version, tuple(chosen))
        operation = ops.PledgeDevices(place[0], key(signer).public, *said)
        self.stage.act(
            operation,
            lambda: self.model.pledge(place, signer, version, chosen),
            signers=[signer],
        )

    def commitment_version(self, place: tuple[str, str]) -> int:
        held = self.model.commitments.get(place)
        return (held.version if held else 0) + (self.rng.random() < 0.05)

    def amend(self) -> None:
        place = self.place()
        held = self.model.commitments.get(place)
        signer, version = self.treasury(place[0], "operations"), self.commitment_version(place)
        period = self.stage.world.genesis.parameters.period_ms
        hours = (held.hours if held else 1) + self.rng.choice((-1, 0, 100_000))
        end = (held.end if held else 0) + self.rng.choice((-1, 0, 0, 5, 1_000)) * period
        lane = self.lane(place[0], "operations")
        said = (*lane, place[1], version, max(0, hours), max(0, end))
        operation = ops.Amend(place[0], key(signer).public, *said)
        self.stage.act(
            operation,
            lambda: self.model.amend(place, signer, version, max(0, hours), max(0, end)),
            signers=[signer],
        )

    def attest(self) -> None:
        among = VOUCHING if self.rng.random() < 0.97 else sorted(self.model.groups)
        place, name = self.place(), self.rng.choice(among)
        held = self.model.commitments.get(place)
        hours = held.hours if held else 1
        figure = hours * self.rng.choice((100, 100, 98, 95, 95, 60, 0, 101)) // 100
        signer = f"attestor/{name}"
        lane = self.lane(name, "attestor")
        born = (held.born if held else 0) + (self.rng.random() < 0.03)
        period = self.stage.world.genesis.parameters.period_ms
        later = self.rng.choice((0,) * 60 + (-5 * period, -period, period, -1))
        until = max(0, (held.end if held else 0) + later)
        if held is not None and held.begin > self.model.clock and self.rng.random() < 0.1:
            soon = (self.model.now + 1) * period
            until = self.rng.choice((soon, held.begin, held.begin + period))
        said = (*place, born, until, figure)
        operation = ops.Attest(name, key(signer).public, *lane, *said)
        self.stage.act(
            operation,
            lambda: self.model.attest(name, place, figure, born, until),
            signers=[signer],
        )

    def challenge(self) -> None:
        place = self.place()
        amount = self.rng.choice((1, 40, 60)) * COIN
        owner, name, coin = self.spendable(amount)
        if coin is not None:
            seed = self.stage.world.state.head.hash + f"{place[0]}\0{place[1]}".encode()
            operation = ops.OpenChallenge(place[0], place[1], coin.asset, amount, lock_of(owner))
            self.stage.act(
                operation,
                lambda: self.model.challenge(place, owner, name, amount, seed),
                spends=(owner, coin, amount),
            )

    def rule(self) -> None:
        places = sorted(self.model.challenges)
        if not places:
            return
        place = self.rng.choice(places)
        item = self.model.challenges[place]
        seats = item.panel if item.panel and self.rng.random() < 0.9 else tuple(self.model.groups)
        name, upheld = self.rng.choice(seats), self.rng.random() < 0.5
        since = item.since + (self.rng.random() < 0.05)
        signer = f"attestor/{name}"
        operation = ops.Rule(name, key(signer).public, place[0], place[1], upheld, since)
        self.stage.act(
            operation,
            lambda: self.model.rule(name, place, upheld=upheld, since=since),
            signers=[signer],
        )

    def seal(self) -> None:
        name = self.rng.choice(sorted(self.model.groups))
        period = self.model.now + self.rng.choice((0, 1, 1, 1, 2))
        nonce = sha256(f"{name}/{period}".encode()).digest()
        digest, signer = nonce_digest(name.encode(), nonce), f"attestor/{name}"
        operation = ops.SealNonce(name, key(signer).public, period, digest)
        self.stage.act(operation, lambda: self.model.seal(name, period, digest), signers=[signer])

    def reveal(self) -> None:
        name = self.rng.choice(sorted(self.model.groups))
        waiting = [name for period, name in self.model.sealed if period == self.model.now - 1]
        if waiting and self.rng.random() < 0.8:
            name = self.rng.choice(sorted(waiting))
        period = max(0, self.model.now - self.rng.choice((0, 1, 1, 1, 2)))
        nonce = sha256(f"{name}/{period}".encode()).digest()
        if self.rng.random() < 0.1:
            nonce = _nothing()
        digest, signer = nonce_digest(name.encode(), nonce), f"attestor/{name}"
        operation = ops.RevealNonce(name, key(signer).public, period, nonce)
        self.stage.act(
            operation, lambda: self.model.reveal(name, period, nonce, digest), signers=[signer]
        )

    def open(self) -> None:
        """Machines of an issuer, drawn or not, of anybody's where it has none."""
        openings = self.model.openings
        place = (self.model.now - 2, self.rng.choice(ISSUERS))
        if openings and self.rng.random() < 0.9:
            place = self.rng.choice(sorted(openings))
        period, name = place
        held = openings.get(place)
        known = sorted(x for x, of in self.model.devices.items() if of.line[0] == name)
        if held is not None and self.rng.random() < 0.7:
            known = [x for x in known if x not in held.opened]
        if self.rng.random() < 0.2:
            known = [x for x in known if self.model.pledged[x] > period] or known
        chosen = sorted(self.rng.sample(known, min(len(known), self.rng.choice((1, 1, 2, 5)))))
        opened = (len(held.opened) if held else 0) + (self.rng.random() < 0.05)
        signer = self.treasury(name, "operations")
        if chosen:
            self.stage.act(
                ops.OpenDevices(name, key(signer).public, period, opened, tuple(chosen)),
                lambda: self.model.open(name, signer, period, opened, chosen),
                signers=[signer],
            )
