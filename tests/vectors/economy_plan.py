"""The story behind `economy.json`: every operation of the compute coin, and what time brings.

Days last minutes. An issuer adds hours, attestors vouch for them, a schedule is amended and some
attest the rest of it; one challenge is upheld, one dismissed, one forgotten; a lower figure waits
and counts; devices are drawn; a step of the standard is withdrawn, another takes effect; so many
proposals lapse that a block cannot sweep them all; orders freeze and end; a licence is applied for,
suspended, accused, wound down, closed; and when attestors fall silent, hours decay until issuers
are in warning, in deficit and caged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from ledger import operations as ops
from ledger.economy.capacity import COMMITMENTS_OF_ISSUER_MAX, PLEDGE_DEVICES_MAX
from ledger.economy.parameters import EconomyParameters
from ledger.economy.standard import Factor
from ledger.transaction import SignedTransaction
from tests.ledger.world import (
    COIN,
    DAY_MS,
    TIME_MS,
    World,
    economy,
    grant,
    key,
    lock_of,
    make_genesis,
    regulator_keys,
)
from tests.vectors import economy_refusals as refusals
from tests.vectors.economy_acts import (
    FIRST_PERIOD,
    LATE_MACHINE,
    MACHINES,
    MINUTE_MS,
    NEW_LAB,
    act,
    amend,
    apply,
    attest,
    challenge,
    commit,
    commitment_of,
    hold,
    issuer_key,
    mint,
    next_in,
    open_devices,
    pledge,
    propose,
    reveal,
    rule,
    seal,
    wind_down,
    withdraw,
    withdraw_step,
)
from tests.vectors.epoch_plan import Refusals, Step

replace = msgspec.structs.replace
VAL2_EXPIRES_MS = TIME_MS + 255_000
"""Soon after it is accused, before its epoch ends."""


def make_world() -> World:
    """As in other tests, but with minutes for days."""
    made = make_genesis()
    short: EconomyParameters = replace(
        economy(),
        attestation_life_ms=12 * MINUTE_MS,
        lower_ms=MINUTE_MS,
        mint_cap_ppm=200_000,
        proposal_ms=2 * MINUTE_MS,
        contest_ms=2 * MINUTE_MS,
        cure_ms=2 * MINUTE_MS,
        bond_cure_ms=12 * MINUTE_MS,
        application_ms=MINUTE_MS,
        suspension_ms=2 * MINUTE_MS,
        rotation_ms=MINUTE_MS,
        regulator_rotation_ms=2 * MINUTE_MS,
        winddown_ms=2 * MINUTE_MS,
        audit_devices=59,
        step_spacing_ms=3 * MINUTE_MS,
        notice_ms=2 * MINUTE_MS,
    )
    licences = list(made.licences)
    licences[2] = replace(licences[2], expires_ms=VAL2_EXPIRES_MS)
    parameters = replace(made.parameters, economy=short)
    return World(replace(made, parameters=parameters, licences=tuple(licences)))


def steps() -> Iterator[Step]:
    """Every block of the story."""
    yield from _beginning()
    yield from _challenges()
    yield from _accusations()
    yield from _silence()


def _nothing(_: World) -> Refusals:
    return []


def _step(
    make: Callable[[World], Sequence[SignedTransaction]],
    refused: Callable[[World], Refusals] = _nothing,
    after_ms: int = 30_000,
) -> Step:
    return Step(after_ms, make, refused)


def _beginning() -> Iterator[Step]:
    yield _step(
        lambda world: [
            world.govern(
                ops.FreezeOrder("case-1", bytes(32), (lock_of("alice"),), TIME_MS + 90_000),
                ops.AdmitAttestor(NEW_LAB, 0),
            ),
            propose(world, 1_176),
            apply(world, "newco"),
            apply(world, "squat", "val1", title="other"),
            commit(world, "extra", 0, "us-east"),
            pledge(world, "extra", 0, *(f"extra/{index}" for index in range(60))),
            amend(world, "val0", "capacity-val0", 0, hours=3),
            pledge(world, "capacity-val0", 1, *MACHINES[60:], lane=3),
            seal(world, "att-north", FIRST_PERIOD + 1),
            seal(world, "att-south", FIRST_PERIOD + 1),
        ],
        refusals.after_commitment,
    )
    yield _step(
        lambda world: [
            world.govern(
                ops.Admit(grant("newco"), 0),
                ops.Admit(grant("other"), 0),
                ops.Revoke("squat", 0),
                ops.RenewOrder("case-1", 1, TIME_MS + 120_000),
                ops.FreezeOrder("case-2", bytes(32), (lock_of("bob"),), TIME_MS + 61_500),
            ),
            world.govern(ops.Suspend("val3", 0), approvers=["reg-0", "reg-1"]),
            withdraw_step(world),
            attest(world, "att-north", "val0/extra", 900_000, number=0),
            attest(world, "att-south", "val0/extra", 800_000, number=0),
            mint(world, "val0", amount=3_000 * COIN),
            act(
                world,
                ["val1/operations", "val1 treasury 2"],
                ops.RotateKey(
                    "val1", issuer_key("val1"), 0, "treasury", key("val1 treasury 2").public
                ),
            ),
            act(world, "newco/operations", commitment_of("newco", "ahead", 0, "asia", first_day=8)),
            pledge(world, "ahead", 0, *(f"newco/{index}" for index in range(60)), issuer="newco"),
        ],
        refusals.after_attestation,
    )
    yield _step(
        lambda world: [
            world.govern(ops.RotateRegulator(0, regulator_keys(1)), ops.Reinstate("val3", 1)),
            propose(world, 1_003, Factor("tpu", "inference", 700_000)),
            hold(
                world,
                "bob",
                "val1",
                30 * COIN,
                ops.DepositBond("val0", world.asset("val1"), 30 * COIN),
            ),
            withdraw(world, "val2", COIN, number=1),
            act(
                world,
                "val0/operations",
                ops.Amend(
                    *("val0", issuer_key("val0"), *next_in(world, "val0", 2)),
                    *("extra", 1, 1_000_000),
                    TIME_MS + 2 * DAY_MS,
                ),
            ),
            attest(
                world, "att-north", "val0/extra", 950_000, number=1, until_ms=TIME_MS + 2 * DAY_MS
            ),
            attest(world, "att-north", "newco/ahead", 500_000, number=2),
            attest(world, "att-south", "newco/ahead", 500_000, number=1),
        ],
        refusals.after_bond,
    )


def _challenges() -> Iterator[Step]:
    yield _step(
        lambda world: [
            world.govern(ops.LiftOrder("case-1", 2)),
            attest(world, "att-west", "val0/extra", 700_000, number=0),
            challenge(world, "val0", "extra", "val1"),
            reveal(world, "att-north", FIRST_PERIOD + 1),
        ],
        refusals.after_challenge,
    )
    yield _step(
        lambda world: [
            *(rule(world, "val0", "extra", seat, upheld=True) for seat in range(3)),
            pledge(world, "capacity-val0", 2, LATE_MACHINE),
        ],
        refusals.after_verdict,
    )
    yield _step(
        lambda world: [
            challenge(world, "val1", "capacity-val1", "val0", 400 * COIN),
            challenge(world, "val2", "capacity-val2", "val1", 400 * COIN),
            *_many_proposals(world),
        ],
        refusals.after_void,
    )
    yield _step(
        lambda world: [
            _many_machines(world),
            open_devices(world, FIRST_PERIOD + 1, 0),
            *(rule(world, "val1", "capacity-val1", seat, upheld=False) for seat in range(3)),
            attest(world, "att-south", "val0/capacity-val0", 100_000, number=2),
        ],
        refusals.after_opening,
    )


def _many_proposals(world: World) -> Iterator[SignedTransaction]:
    """As many as val1 may have, beside the one of the beginning; they and the devices of the next
    block are over at one moment, more than a block sweeps."""
    made = [
        commitment_of("val1", f"idea-{index}", index, f"zone-{index}")
        for index in range(COMMITMENTS_OF_ISSUER_MAX - 1)
    ]
    for some in (made[:16], made[16:]):
        yield act(world, "val1/operations", *some)
    yield amend(world, "val1", "idea-0", 0, hours=5)


def _many_machines(world: World) -> SignedTransaction:
    """They count as 32 of the 51 free operations of a block."""
    machines = [f"idea/{index}" for index in range(PLEDGE_DEVICES_MAX)]
    return pledge(world, "idea-0", 1, *machines, issuer="val1")


def _accusations() -> Iterator[Step]:
    """Of one that is active, one that is suspended, one that winds down; the last two are
    reinstated in the next epoch."""
    yield _step(
        lambda world: [
            world.govern(ops.Suspend("newco", 1)),
            wind_down(world, "val3", 2),
            wind_down(world, "other", 1),
            *(world.accuse(name) for name in ("val2", "newco", "other")),
            apply(world, "late"),
        ],
        refusals.after_evidence,
    )
    yield _step(
        lambda world: [
            hold(world, "bob", "val1", COIN, ops.DepositBond("val0", world.asset("val1"), COIN)),
            attest(world, "att-outer", "val1/capacity-val1", 5, number=0),
        ],
        refusals.after_expiry,
    )
    yield _step(
        lambda world: [
            world.govern(
                ops.EndEpoch(0),
                ops.RemoveAttestor("att-new", 1),
                *(ops.RemoveAttestor(f"att-{name}", 1) for name in ("outer", "inner", "lower")),
            ),
        ],
        refusals.after_removal,
    )
    yield _step(
        lambda world: [
            world.govern(ops.Reinstate("newco", 3), ops.Reinstate("other", 3)),
        ],
        refusals.after_reinstatement,
    )


def _silence() -> Iterator[Step]:
    """Attestors say nothing any more."""
    told = {
        11: refusals.in_warning,
        14: refusals.in_deficit,
        19: refusals.caged,
        30: refusals.at_the_end,
    }
    for number in range(1, 31):
        yield _step(lambda _: [], told.get(number, _nothing))
