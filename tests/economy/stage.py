"""A chain and the model beside it: every action is tried on both, every block compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ledger import transaction
from ledger.address import encode_address
from ledger.backing import Yardstick
from ledger.catalogue import TABLE
from ledger.catalogue_row import ANY
from ledger.draft import Draft
from ledger.economy.attestor import Attestor, AttestorGrant
from ledger.economy.bond import Bond
from ledger.economy.challenge import Challenge
from ledger.economy.parameters import EconomyParameters
from ledger.economy.reserve import Reserve
from ledger.economy.standard import (
    Factor,
    PastStandard,
    Standard,
    factor_table,
    units_table,
)
from ledger.economy.step import StandardStep
from ledger.execution import Execution
from ledger.genesis import Allocation, Genesis, GenesisBond, supply_by_issuer
from ledger.invariants import recount
from ledger.objects import LedgerClock, load_one
from ledger.operations import Commit, Operation
from ledger.parameters import PPM
from ledger.reasons import Invalid, Reason
from ledger.redemption_operations import Redeem
from ledger.registers import (
    CHALLENGES,
    COMMITMENTS,
    LICENCES,
    OPENINGS,
    ORDERS,
    RESERVES,
    licences_by_name,
)
from ledger.times import MINUTE_MS
from ledger.transaction import Fee, Input, Output, SignedTransaction
from tests.economy import stage_orders
from tests.economy.actions import Actions
from tests.economy.model_values import CoinModel, CommitmentModel, LicenceModel, Said, Times
from tests.ledger import world
from tests.ledger.world import COIN, ROLES, World, attest, commitment, grant, key, lock_of, sign

ISSUERS = ("iss0", "iss1", "iss2", "iss3")
APPLICANTS = ("new0", "new1")
ACCOUNTS = ("alice", "bob", "carol")
FEE = 3_000
LIFE_MS = 20 * MINUTE_MS
"""Of a transaction: longer than any block takes, short enough to be forgotten in a stream."""
FURTHER = {"judge-0": "judge-0", "judge-again": "judge-0"}
"""Further attestors by group."""
VOUCHING = tuple(f"att-{group}" for group in (*world.GROUPS, *world.PANEL_GROUPS[:3]))
"""Attestors that vouch, as a rule; the others are left for panels."""

ROWS = {row.operation: row for row in TABLE}


class Disagreement(AssertionError):
    """The rules and the model differ."""


def short_economy() -> EconomyParameters:
    """Everything falls due within minutes."""
    return EconomyParameters(
        deliverability_ppm=50_000,
        mint_cap_ppm=300_000,
        bond_ppm=100_000,
        deposit_ppm=1_000,
        attestation_life_ms=12 * MINUTE_MS,
        lower_ms=3 * MINUTE_MS,
        proposal_ms=8 * MINUTE_MS,
        contest_ms=4 * MINUTE_MS,
        cure_ms=6 * MINUTE_MS,
        bond_cure_ms=45 * MINUTE_MS,
        application_ms=5 * MINUTE_MS,
        suspension_ms=7 * MINUTE_MS,
        rotation_ms=2 * MINUTE_MS,
        regulator_rotation_ms=4 * MINUTE_MS,
        winddown_ms=15 * MINUTE_MS,
        order_ms_max=30 * MINUTE_MS,
        audit_devices=59,
        accept_ms=MINUTE_MS,
        closing_ms=2 * MINUTE_MS,
        tick_ms=1_000,
        penalty_ppm=20_000,
        penalty_ppm_max=200_000,
        forgive_ms=20 * MINUTE_MS,
        step_ppm=150_000,
        step_spacing_ms=12 * MINUTE_MS,
        notice_ms=3 * MINUTE_MS,
        trigger_ppm=100_000,
    )


def stream_genesis() -> Genesis:
    """Four validators that issue nothing, four issuers that do not validate."""
    made = world.make_genesis(4, ())
    figures = {f"att-{group}": 900_000 + i for i, group in enumerate(world.GROUPS)}
    licences = [grant(f"val{index}", issuer=False) for index in range(4)]
    licences += [grant(name, validator=False) for name in ISSUERS]
    made = msgspec.structs.replace(
        made,
        parameters=msgspec.structs.replace(made.parameters, economy=short_economy()),
        standard=(*made.standard, Factor("gpu-24g", "inference", 300_000)),
        attestors=(*made.attestors, *_further_attestors()),
        licences=tuple(licences),
        commitments=tuple(attest(made.nonce, commitment(name), figures) for name in ISSUERS),
        bonds=tuple(
            GenesisBond(issuer, coin, 1_000 * COIN)
            for issuer in ISSUERS
            for coin in ISSUERS
            if coin != issuer
        ),
        allocations=tuple(
            Allocation(name, 500 * COIN, encode_address(lock_of(account), "mrst"))
            for account in ACCOUNTS
            for name in ISSUERS
            for _ in range(4)
        ),
    )
    return made


def _further_attestors() -> list[AttestorGrant]:
    """Enough for a panel beside those that vouch for one commitment; two are of one group."""
    return [
        AttestorGrant(name, f"Lab {name}", group, key(f"attestor/{name}").public)
        for name, group in FURTHER.items()
    ]


def model_of(genesis: Genesis, chain_id: bytes) -> Actions:
    """The model as genesis begins."""
    p, e = genesis.parameters, genesis.parameters.economy
    times = Times(
        period=p.period_ms,
        groups=p.attestation_groups,
        margin=p.margin_ppm,
        deliverability=e.deliverability_ppm,
        mint_cap=e.mint_cap_ppm,
        bond=e.bond_ppm,
        deposit=e.deposit_ppm,
        life=e.attestation_life_ms,
        lower=e.lower_ms,
        proposal=e.proposal_ms,
        contest=e.contest_ms,
        cure=e.cure_ms,
        bond_cure=e.bond_cure_ms,
        application=e.application_ms,
        suspension=e.suspension_ms,
        rotation=e.rotation_ms,
        winddown=e.winddown_ms,
        order=e.order_ms_max,
        audit=e.audit_devices,
        step=e.step_ppm,
        spacing=e.step_spacing_ms,
        notice=e.notice_ms,
        trigger=e.trigger_ppm,
        accept=e.accept_ms,
        closing=e.closing_ms,
        penalty=e.penalty_ppm,
        penalty_max=e.penalty_ppm_max,
        forgive=e.forgive_ms,
    )
    model = Actions(times, chain_id, genesis.time_ms, genesis.time_ms)
    model.standard_since = genesis.time_ms
    model.units = {item.workload: item.units for item in genesis.references}
    model.factors = {(x.device_class, x.workload): x.factor for x in genesis.standard}
    for item in genesis.licences:
        keys = {role: f"{item.id}/{role}" for role in ROLES}
        model.licences[item.id] = LicenceModel(item.issuer, item.expires_ms, keys, item.name)
        model.licences[item.id].since = genesis.time_ms
    supply = supply_by_issuer(genesis)
    for name in ISSUERS:
        model.coins[name] = CoinModel(supply[name], since=genesis.time_ms)
    for put_up in genesis.bonds:
        model.coins[put_up.issuer].bond[put_up.coin] = put_up.amount
    for attestor in genesis.attestors:
        model.groups[attestor.id] = attestor.group
        model.attestors.add(attestor.id)
    for promised in genesis.commitments:
        terms = promised.terms
        place = (terms.issuer, terms.id)
        model.commitments[place] = CommitmentModel(
            line=terms.line,
            workloads=terms.workloads,
            begin=terms.from_ms,
            end=terms.to_ms,
            hours=terms.microhours,
            state="live",
            since=genesis.time_ms,
            devices=len(promised.devices),
            said={
                x.attestor: Said(x.microhours, genesis.time_ms, promised.terms.to_ms)
                for x in promised.attestations
            },
        )
        model.devices.update(dict.fromkeys(promised.devices, model.commitments[place]))
        model.pledged.update(dict.fromkeys(promised.devices, model.now))
    model.judge(set(model.coins))
    return model


class Stage:
    """Blocks are made of actions that both took."""

    def __init__(self) -> None:
        self.world = World(stream_genesis())
        self.model = model_of(self.world.genesis, self.world.chain_id)
        self.taken: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.carried: list[SignedTransaction] = []
        self._execution: Execution | None = None
        self.actions = 0

    @property
    def execution(self) -> Execution:
        assert self._execution is not None
        return self._execution

    def begin(self, after_ms: int) -> None:
        self._execution = self.world.execution(after_ms)
        self.model.advance(self.execution.time_ms)
        self._spent: set[tuple[bytes, int]] = set()

    def coin(self, owner: str, issuer: str, least: int) -> Input | None:
        """A coin of the last block that nothing in this one spends."""
        wanted = (self.world.asset(issuer), lock_of(owner))
        for (txid, index), entry in self.world.state.outputs.items():
            fits = (entry.asset, entry.lock) == wanted and entry.amount >= least + FEE
            if fits and (txid, index) not in self._spent:
                return Input(txid, index, entry.asset, entry.amount)
        return None

    def act(
        self,
        operation: Operation,
        allowed: Callable[[], bool],
        *,
        spends: tuple[str, Input, int] | None = None,
        mints: int = 0,
        signers: Sequence[str] = (),
    ) -> None:
        """One operation in a transaction of its own. `spends` names owner, coin and how much of it
        the operation takes, `mints` what it brings."""
        body_inputs, outputs, fee = [], [], transaction.NO_FEE
        owners = []
        if spends is not None:
            owner, coin, amount = spends
            owners.append(owner)
            body_inputs, fee = [coin], Fee(coin.asset, FEE)
            left = coin.amount - amount - FEE
            if left:
                outputs.append(Output(coin.asset, left, lock_of(owner)))
        if mints:
            asset, _ = transaction.flows(operation, self.world.chain_id)
            outputs.append(Output(asset, mints, lock_of("alice")))
        body = self.world.body(
            body_inputs,
            outputs,
            fee=fee,
            operations=[operation],
            memo=b"%d" % self.actions,  # the same wish later is another transaction
            life_ms=LIFE_MS,
        )
        row = ROWS[type(operation)]
        before = self._state(row.kind, operation)
        reason = self.try_out(row.name, sign(body, owners, signers), allowed)
        if reason is None and before and row.states != ANY and before not in row.states:
            raise Disagreement(f"{row.name} on a {row.kind} that is {before}: not in the table")
        if reason is not None and reason not in (*row.reasons, Reason.FROZEN):
            raise Disagreement(f"{row.name} is refused as {reason.value}: not in the table")

    def _state(self, kind: str, operation: Any) -> str:
        """What the operation finds, as the table names it; empty where the model does not say."""
        if kind == "licence":
            name: str = operation.grant.id if hasattr(operation, "grant") else operation.licence
            held = self.model.licences.get(name)
            return "none" if held is None else held.state
        if kind == "commitment":
            if isinstance(operation, Commit):
                return "none"
            return self.model.commitment_state((operation.issuer, operation.commitment))
        if kind == "redemption" and not isinstance(operation, Redeem):
            return stage_orders.order_state(self.model, operation)
        if kind == "standard":
            return "none" if self.model.step is None else self.model.step.state
        return ""

    def again(self, tx: SignedTransaction) -> None:
        """The very same bytes: whatever happened since, nothing is carried twice."""
        self.try_out("again", tx, lambda: False)

    def transfer(self, owner: str, to: str, coin: Input, amount: int) -> None:
        tx = self.world.transfer(owner, to, amount, coin=coin, fee=FEE)
        self.try_out("Transfer", tx, lambda: self.model.spend(owner))

    def try_out(
        self, name: str, tx: SignedTransaction, allowed: Callable[[], bool]
    ) -> Reason | None:
        """On the rules, then on the model: why it is refused. Raises Disagreement."""
        self.actions += 1
        reason = None
        try:
            transaction.check_stateless(tx, self.world.chain_id, self.world.fees)
            self.execution.add(tx)
        except Invalid as error:
            reason = error
        agreed = allowed()
        if agreed != (reason is None):
            says = "allows" if agreed else "refuses"
            ours = "allowed" if reason is None else str(reason)
            raise Disagreement(f"action {self.actions} {name}: model {says}, rules: {ours}")
        if reason is not None:
            self.refused[reason.reason.value] += 1
            return reason.reason
        self.taken[name] += 1
        self.carried.append(tx)
        self.took(tx)
        self._spent.update(item.outpoint for item in tx.body.inputs)
        return None

    def took(self, tx: SignedTransaction) -> None:
        """For who wants to keep the block."""

    def end(self, *, counted: bool) -> None:
        """Finish the block and compare; `counted` recounts the whole state too."""
        changes = self.execution.finish()
        self.world.state.apply(changes)
        self.model.end_block()
        self.compare()
        if counted:
            recount(self.world.state, self.world.state.outputs.items())

    def compare(self) -> None:
        """Every figure and every state, as rules read them now."""
        model, draft = self.model, Draft(self.world.state, self.world.time_ms)
        _same("clock", load_one(self.world.state, LedgerClock).time_ms, model.clock)
        self._compare_licences(draft)
        self._compare_coins(draft)
        self._compare_commitments(draft)
        challenges = {(x.issuer, x.commitment): x for x in CHALLENGES.all(draft)}
        _same("challenges", challenges.keys(), model.challenges.keys())
        for place, item in model.challenges.items():
            found: Challenge = challenges[place]
            votes = {vote.attestor: vote.upheld for vote in found.votes}
            paid = (found.deposit, found.penalty)
            ours = (found.panel, votes, found.decided_ms, paid)
            theirs = (item.panel, item.votes, item.decided, (item.deposit, item.penalty))
            _same(f"challenge {place}", ours, theirs)
        openings = {(x.period, x.issuer): x for x in OPENINGS.all(draft)}
        ours = {place: (x.seed, x.devices, x.opened) for place, x in openings.items()}
        drawn = {k: (x.seed, x.devices, len(x.opened)) for k, x in model.openings.items()}
        _same("openings", ours, drawn)
        orders = {x.id: (x.until_ms, x.version) for x in ORDERS.all(draft)}
        _same("orders", orders, {n: (x.until, x.version) for n, x in model.orders.items()})
        self._compare_standard(draft)
        for what, ours, theirs in stage_orders.pairs(draft, model):
            _same(what, ours, theirs)
        strikes = {x.id: x.strikes for x in draft.all(Attestor) if x.strikes}
        _same("strikes", strikes, model.strikes)

    def _compare_standard(self, draft: Draft) -> None:
        model, held, step = self.model, draft.one(Standard), draft.load(StandardStep)
        theirs = (model.standard, model.standard_since, model.units, model.factors)
        ours = (held.version, held.since_ms, units_table(held.references))
        _same("standard", (*ours, factor_table(held.factors)), theirs)
        found = None
        if step is not None:
            found = (step.state.name.lower(), step.since_ms, step.ends_ms, step.factors)
        theirs_then = None
        if model.step is not None:
            factors = tuple(Factor(*place, rate) for place, rate in model.step.factors.items())
            theirs_then = (model.step.state, model.step.since, model.step.ends, factors)
        _same("step", found, theirs_then)
        past = [item.standard.version for item in draft.all(PastStandard)]
        _same("past standards", past, list(range(1, model.standard)))

    def _compare_licences(self, draft: Draft) -> None:
        found = licences_by_name(draft)
        _same("licences", found.keys(), self.model.licences.keys())
        for name, item in self.model.licences.items():
            held = found[name]
            ours = (held.state.name.lower(), held.since_ms, held.version)
            _same(f"licence {name}", ours, (item.state, item.since, item.version))
            for role, signer in item.keys.items():
                _same(f"{name} {role}", getattr(held.grant.keys, role), key(signer).public)
        assert LICENCES.all(draft)

    def _compare_coins(self, draft: Draft) -> None:
        by_asset = {self.world.asset(name): name for name in self.model.coins}
        for held in RESERVES.all(draft):
            name = held.issuer
            item = self.model.coins[name]
            ours = (held.supply, held.reserve, held.deliverable, held.is_frozen)
            _same(name, ours, (item.supply, item.reserve, item.deliverable, item.frozen))
            stands = (held.solvency.name.lower(), held.since_ms, held.short_since_ms)
            _same(name, stands, (item.solvency, item.since, item.short))
            bonds = {by_asset[x.asset]: x.amount for x in draft.all(Bond, Bond.prefix(name))}
            _same(f"bond of {name}", bonds, item.bond)
            self._check_backing(held)

    def _check_backing(self, held: Reserve) -> None:
        """What holders rely on: in no other state than deficit is a coin not covered."""
        if held.solvency.name in ("HEALTHY", "WARN") and held.supply > held.reserve:
            raise Disagreement(f"'{held.issuer}' is not covered and in {held.solvency.name}")
        limit = held.reserve * (PPM - self.model.times.margin) // PPM
        if held.solvency.name == "HEALTHY" and held.supply > limit:
            raise Disagreement(f"'{held.issuer}' is above its margin and healthy")

    def _compare_commitments(self, draft: Draft) -> None:
        found = {(x.terms.issuer, x.terms.id): x for x in COMMITMENTS.all(draft)}
        _same("commitments", found.keys(), self.model.commitments.keys())
        yardstick = Yardstick.of(draft)
        for place, item in self.model.commitments.items():
            held = found[place]
            ours = (held.state.name.lower(), held.version, held.devices, held.terms.to_ms)
            _same(f"{place}", ours, (item.state, item.version, item.devices, item.end))
            if held.counts:
                worth = yardstick.hours_of([held]).reserve
                _same(f"worth of {place}", worth, self.model.worth(item) // PPM)


def _same(what: str, ours: object, models: object) -> None:
    if ours != models:
        raise Disagreement(f"{what}: rules {ours}, model {models}")
