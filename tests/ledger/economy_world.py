"""A world in which hours, bonds and time are within reach of a test.

The ledger clock moves at most 30 s a block. `until` puts it forward, which no chain can do, so
that a test of a deadline in half a year takes two blocks; each block's state is recounted.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from ledger import transaction
from ledger.codec import encode
from ledger.economy.capacity import CapacityCommitment, CommitmentTerms
from ledger.economy.issuance import Lane
from ledger.genesis import Genesis
from ledger.invariants import recount
from ledger.objects import LedgerClock, key_of, load
from ledger.operations import Amend, Attest, Commit, Operation, PledgeDevices, WithdrawBond
from ledger.reasons import Invalid, Reason
from ledger.registers import COMMITMENTS
from ledger.transaction import Fee, Output, SignedTransaction
from tests.ledger.world import (
    COIN,
    DAY_MS,
    GROUPS,
    PERIOD_MS,
    World,
    attest,
    commitment,
    device,
    key,
    lock_of,
    make_genesis,
    sign,
    terms,
)

FEE = 5_000
PLEDGING, AMENDING = 1, 2
"""Lanes, so that one block may hold each: commitments go in lane 0."""


def well_bonded(genesis: Genesis, coins: int = 2_000) -> Genesis:
    """The same with bonds for all that its hours allow to be minted."""
    bonds = tuple(msgspec.structs.replace(item, amount=coins * COIN) for item in genesis.bonds)
    return msgspec.structs.replace(genesis, bonds=bonds)


def lasting(genesis: Genesis, days: int = 300) -> Genesis:
    """The same with hours for longer, all attestors of one mind; val3 has no bond and no coins."""
    figures = {f"att-{group}": 900_000 for group in GROUPS}
    items = [commitment(item.terms.issuer, days=days) for item in genesis.commitments]
    made = tuple(attest(genesis.nonce, item, figures) for item in items)
    bonds = tuple(item for item in genesis.bonds if item.issuer != "val3")
    return msgspec.structs.replace(genesis, commitments=made, bonds=bonds)


def with_economy(genesis: Genesis, **changes: int) -> Genesis:
    """The same with other numbers of the economy."""
    economy = msgspec.structs.replace(genesis.parameters.economy, **changes)
    parameters = msgspec.structs.replace(genesis.parameters, economy=economy)
    return msgspec.structs.replace(genesis, parameters=parameters)


RAW_MOMENT = re.compile(r"\b1[89][0-9]{11}\b")
"""A moment of these worlds in milliseconds, which no refusal should make people read."""


class EconomyWorld(World):
    """Blocks at a chosen moment of the ledger clock, and builders of what issuers, attestors and
    holders do."""

    def __init__(self, genesis: Genesis | None = None) -> None:
        super().__init__(genesis or lasting(make_genesis()))

    @property
    def clock_ms(self) -> int:
        return self.draft.clock_ms

    # Time.

    def run(self, *txs: SignedTransaction, after_ms: int = 1) -> None:
        """A block with these, checked as a node checks them; then all adds up."""
        for tx in txs:
            transaction.check_stateless(tx, self.chain_id, self.fees)
            transaction.check_signatures(tx)
        self.advance(txs, after_ms=after_ms)
        recount(self.state, self.state.outputs.items())

    def until(self, clock_ms: int, *txs: SignedTransaction) -> None:
        """A block in which the ledger clock says so; if its period is a later one, that began."""
        begins = clock_ms // PERIOD_MS * PERIOD_MS
        if self.clock_ms < begins:
            self._set_clock(begins - 1)
            if clock_ms > begins:
                self.run()
        if self.clock_ms < clock_ms - 1:
            self._set_clock(clock_ms - 1)
        assert self.clock_ms == clock_ms - 1
        self.run(*txs)

    def _set_clock(self, clock_ms: int) -> None:
        self.state.stored[key_of(LedgerClock)] = encode(LedgerClock(clock_ms))

    def next_period(self) -> None:
        """The first moment of it."""
        self.until((self.clock_ms // PERIOD_MS + 1) * PERIOD_MS)

    # Refusals.

    def refusal(self, *txs: SignedTransaction, after_ms: int = 1) -> Invalid:
        """Why a block takes the last of these no more after the others."""
        execution = self.execution(after_ms)
        for tx in txs:
            transaction.check_stateless(tx, self.chain_id, self.fees)
            transaction.check_signatures(tx)
        for tx in txs[:-1]:
            execution.add(tx)
        with pytest.raises(Invalid) as caught:
            execution.add(txs[-1])
        assert caught.value.detail
        assert not RAW_MOMENT.search(caught.value.detail), caught.value
        return caught.value

    def reason(self, *txs: SignedTransaction, after_ms: int = 1) -> Reason:
        return self.refusal(*txs, after_ms=after_ms).reason

    # Builders.

    def does(self, operation: Operation, *signers: str) -> SignedTransaction:
        """A free transaction with one operation."""
        return sign(self.body(operations=[operation]), [], signers)

    def spends(
        self, owner: str, operation: Operation, amount: int = 0, issuer: str = "val0", *more: str
    ) -> SignedTransaction:
        """`amount` of the owner's coin goes into the operation, the rest back; the fee is paid in
        coins of val0. `more` sign too."""
        spent = {issuer: amount}
        spent["val0"] = spent.get("val0", 0) + FEE
        coins = {name: self.coin(owner, name) for name in spent}
        left = {coins[name]: coins[name].amount - out for name, out in spent.items()}
        back = [Output(coin.asset, rest, lock_of(owner)) for coin, rest in left.items() if rest]
        fee = Fee(self.asset("val0"), FEE)
        body = self.body(list(left), back, fee=fee, operations=[operation])
        return sign(body, [owner], more)

    def number(self, owner: str, role: str, lane: int = 0) -> int:
        held = load(self.state, Lane, Lane.identity(owner, role, lane))
        return 0 if held is None else held.next_number

    def minting(self, issuer: str = "val0", amount: int = COIN, **more: Any) -> SignedTransaction:
        """A mint with the next number."""
        lane = more.get("lane", 0)
        return self.mint(issuer, amount, number=self.number(issuer, "treasury", lane), **more)

    def attests(
        self, group: str, issuer: str, figure: int = 900_000, *, of: str = "", lane: int = 0
    ) -> SignedTransaction:
        who = f"att-{group}"
        number = self.number(who, "attestor", lane)
        name, signer = of or f"capacity-{issuer}", f"attestor/{who}"
        held = self.capacity(issuer, name)
        seen = (0, 0) if held is None else (held.born, held.terms.to_ms)
        public = key(signer).public
        operation = Attest(who, public, lane, number, issuer, name, *seen, figure)
        return self.does(operation, signer)

    def renew(self, *issuers: str, figure: int = 900_000, groups: tuple[str, ...] = GROUPS) -> None:
        """Attestors vouch anew, an issuer a block."""
        for issuer in issuers or ("val0", "val1", "val2", "val3"):
            self.run(*(self.attests(group, issuer, figure) for group in groups))

    def commits(self, terms: CommitmentTerms) -> SignedTransaction:
        signer = f"{terms.issuer}/operations"
        number = self.number(terms.issuer, "operations")
        return self.does(Commit(key(signer).public, 0, number, terms), signer)

    def pledges(self, issuer: str, name: str, *devices: str, **more: int) -> SignedTransaction:
        signer = f"{issuer}/operations"
        version = more.get("version", self.version(issuer, name))
        number = more.get("number", self.number(issuer, "operations", PLEDGING))
        ids = tuple(sorted(device(item) for item in devices))
        said = (PLEDGING, number, name, version, ids)
        return self.does(PledgeDevices(issuer, key(signer).public, *said), signer)

    def amends(self, issuer: str, name: str, microhours: int, to_ms: int) -> SignedTransaction:
        signer, version = f"{issuer}/operations", self.version(issuer, name)
        lane = (AMENDING, self.number(issuer, "operations", AMENDING))
        operation = Amend(issuer, key(signer).public, *lane, name, version, microhours, to_ms)
        return self.does(operation, signer)

    def withdraws(self, issuer: str, coin: str, amount: int = COIN) -> SignedTransaction:
        """To the treasury."""
        signer, number = f"{issuer}/treasury", self.number(issuer, "treasury")
        asset = self.asset(coin)
        operation = WithdrawBond(issuer, key(signer).public, 0, number, asset, amount)
        output = Output(asset, amount, lock_of(signer))
        return sign(self.body([], [output], operations=[operation]), [], [signer])

    # What is there now.

    def capacity(self, issuer: str = "val0", name: str = "") -> CapacityCommitment | None:
        identity = CapacityCommitment.identity(issuer, name or f"capacity-{issuer}")
        return COMMITMENTS.get(self.draft, identity)

    def version(self, issuer: str, name: str) -> int:
        held = self.capacity(issuer, name)
        return 0 if held is None else held.version


def short_lived(days: int = 3) -> EconomyWorld:
    """val0 has hours for a few days, the others for long; three cover less than val0's coins."""
    good = well_bonded(lasting(make_genesis()), 1_000)
    figures = {f"att-{group}": 900_000 for group in GROUPS}
    item = attest(good.nonce, commitment("val0", days=days), figures)
    return EconomyWorld(msgspec.structs.replace(good, commitments=(item, *good.commitments[1:])))


def more(world: EconomyWorld, issuer: str = "val0", **changes: object) -> CommitmentTerms:
    """Terms of another line, for a hundred days from the present period on."""
    begins = world.clock_ms // PERIOD_MS * PERIOD_MS
    made = msgspec.structs.replace(
        terms(issuer, name="more"),
        region="us-east",
        from_ms=begins,
        to_ms=begins + 100 * DAY_MS,
    )
    return msgspec.structs.replace(made, **changes)


def proposed(world: EconomyWorld, machines: int = 60, **changes: object) -> CommitmentTerms:
    """A commitment with its devices, which nobody has attested."""
    made = more(world, **changes)
    names = [f"more/{index}" for index in range(machines)]
    world.run(world.commits(made), world.pledges("val0", "more", *names, version=0))
    return made
