"""The story behind `economy.json`: every operation of the compute coin, and what time brings.

Days last minutes. An issuer adds hours, attestors vouch for them, one challenge is upheld, one
dismissed, one forgotten; a lower figure waits and counts; devices are drawn; orders freeze and end;
a licence is applied for, suspended, wound down, closed; and when attestors fall silent, hours decay
until issuers are in deficit and caged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from ledger import operations as ops
from ledger.economy.challenge import Challenge
from ledger.economy.parameters import EconomyParameters
from ledger.objects import load
from ledger.reasons import Reason
from ledger.transaction import Output, SignedTransaction
from tests.ledger.world import (
    COIN,
    DAY_MS,
    TIME_MS,
    World,
    device,
    economy,
    grant,
    key,
    lock_of,
    make_genesis,
    regulator_keys,
    sign,
    terms,
)
from tests.vectors.economy_acts import (
    FIRST_PERIOD,
    MACHINES,
    MINUTE_MS,
    NEW_LAB,
    act,
    attest,
    challenge,
    commit,
    hold,
    issuer_key,
    mint,
    nonce,
    open_devices,
    pledge,
    reveal,
    rule,
    seal,
)
from tests.vectors.epoch_plan import Refusals, Step

replace = msgspec.structs.replace


def make_world() -> World:
    """As in other tests, but with minutes for days."""
    made = make_genesis()
    short: EconomyParameters = replace(
        economy(),
        attestation_life_ms=12 * MINUTE_MS,
        lower_ms=MINUTE_MS,
        mint_cap_ppm=20_000,
        proposal_ms=2 * MINUTE_MS,
        contest_ms=2 * MINUTE_MS,
        cure_ms=2 * MINUTE_MS,
        bond_cure_ms=8 * MINUTE_MS,
        application_ms=MINUTE_MS,
        suspension_ms=2 * MINUTE_MS,
        rotation_ms=MINUTE_MS,
        regulator_rotation_ms=2 * MINUTE_MS,
        winddown_ms=2 * MINUTE_MS,
        audit_devices=59,
    )
    return World(replace(made, parameters=replace(made.parameters, economy=short)))


def steps() -> Iterator[Step]:
    """Every block of the story."""
    yield from _beginning()
    yield from _challenges()
    yield from _silence()


def _step(
    make: Callable[[World], Sequence[SignedTransaction]],
    refusals: Callable[[World], Refusals] = lambda _: [],
    after_ms: int = 30_000,
) -> Step:
    return Step(after_ms, make, refusals)


def _beginning() -> Iterator[Step]:
    yield _step(
        lambda world: [
            world.govern(
                ops.FreezeOrder("case-1", bytes(32), (lock_of("alice"),), TIME_MS + 90_000),
                ops.AdmitAttestor(NEW_LAB, 0),
            ),
            hold(world, "bob", "val0", 0, ops.Apply(grant("newco")), actors=["newco/operations"]),
            commit(world, "extra", 0, "us-east"),
            pledge(world, "extra", 0, *(f"extra/{index}" for index in range(60))),
            pledge(world, "capacity-val0", 0, *MACHINES[60:]),
            seal(world, "att-north", FIRST_PERIOD + 1),
            seal(world, "att-south", FIRST_PERIOD + 1),
        ],
        _after_commitment,
    )
    yield _step(
        lambda world: [
            world.govern(
                ops.Admit(grant("newco"), 0),
                ops.RenewOrder("case-1", 1, TIME_MS + 120_000),
                ops.FreezeOrder("case-2", bytes(32), (lock_of("bob"),), TIME_MS + 61_500),
            ),
            world.govern(ops.Suspend("val3", 0), approvers=["reg-0", "reg-1"]),
            attest(world, "att-north", "val0", "extra", 900_000, 0),
            attest(world, "att-south", "val0", "extra", 800_000, 0),
            mint(world, "val0"),
            act(
                world,
                ["val1/operations", "val1 treasury 2"],
                ops.RotateKey(
                    "val1", issuer_key("val1"), 0, "treasury", key("val1 treasury 2").public
                ),
            ),
        ],
        _after_attestation,
    )
    yield _step(
        lambda world: [
            world.govern(ops.RotateRegulator(0, regulator_keys(1)), ops.Reinstate("val3", 1)),
            hold(
                world,
                "bob",
                "val1",
                30 * COIN,
                ops.DepositBond("val0", world.asset("val1"), 30 * COIN),
            ),
            sign(
                world.body(
                    [],
                    [Output(world.asset("val2"), COIN, lock_of("bob"))],
                    operations=[
                        ops.WithdrawBond(
                            *("val0", issuer_key("val0", "treasury"), 0, 1),
                            *(world.asset("val2"), COIN),
                        )
                    ],
                ),
                [],
                ["val0/treasury"],
            ),
            act(
                world,
                "val0/operations",
                ops.Amend(
                    *("val0", issuer_key("val0"), "extra", 1, 1_000_000),
                    TIME_MS + 2 * DAY_MS,
                ),
            ),
        ],
        _after_bond,
    )


def _challenges() -> Iterator[Step]:
    yield _step(
        lambda world: [
            world.govern(ops.LiftOrder("case-1", 2)),
            challenge(world, "val0", "extra", "val1"),
            reveal(world, "att-north", FIRST_PERIOD + 1),
        ],
        _after_challenge,
    )
    yield _step(
        lambda world: [rule(world, "val0", "extra", seat, upheld=True) for seat in range(3)],
        lambda world: [
            (
                "ruled after the verdict",
                rule(world, "val0", "extra", 3, True),
                Reason.UNKNOWN_CHALLENGE,
            ),
        ],
    )
    yield _step(
        lambda world: [
            challenge(world, "val1", "capacity-val1", "val0", 400 * COIN),
            challenge(world, "val2", "capacity-val2", "val1", 400 * COIN),
        ],
        _after_void,
    )
    yield _step(
        lambda world: [
            open_devices(world, FIRST_PERIOD + 1, 0),
            *(rule(world, "val1", "capacity-val1", seat, upheld=False) for seat in range(3)),
            attest(world, "att-south", "val0", "capacity-val0", 100_000, 1),
        ],
        _after_opening,
    )
    yield _step(
        lambda world: [
            act(world, "val3/operations", ops.WindDown("val3", issuer_key("val3"), 2)),
            world.accuse("val2"),
            hold(world, "bob", "val0", 0, ops.Apply(grant("late")), actors=["late/operations"]),
        ],
        _after_wind_down,
    )
    yield _step(
        lambda world: [
            world.govern(ops.EndEpoch(0), ops.RemoveAttestor("att-new", 1)),
        ],
    )


def _silence() -> Iterator[Step]:
    """Attestors say nothing any more."""
    for number in range(28):
        yield _step(lambda _: [], _in_deficit if number == 15 else lambda _: [])
    yield _step(lambda _: [], _at_the_end)


def _after_commitment(world: World) -> Refusals:
    signer, public = "val0/operations", issuer_key("val0")
    other = replace(terms("val0", name="other"), device_class="tpu")
    devices = (device("extra/0"),)
    freeze = ops.FreezeOrder("case-1", bytes(32), (lock_of("bob"),), TIME_MS + 90_000)
    return [
        ("frozen coins", world.transfer("alice", "bob"), Reason.FROZEN),
        ("order in force", world.govern(freeze), Reason.BAD_ORDER),
        ("the same commitment", commit(world, "extra", 1, "asia"), Reason.COMMITMENT_EXISTS),
        ("the same line", commit(world, "more", 1, "us-east"), Reason.OVERLAPPING_SCHEDULE),
        (
            "an unknown class",
            act(world, signer, ops.Commit(public, 0, 1, other)),
            Reason.UNKNOWN_CLASS,
        ),
        ("a pledged device", pledge(world, "extra", 1, "extra/0"), Reason.DEVICE_PLEDGED),
        ("another version", pledge(world, "extra", 0, "new"), Reason.WRONG_VERSION),
        (
            "a commitment not live",
            challenge(world, "val0", "extra", "val1"),
            Reason.COMMITMENT_OVER,
        ),
        (
            "no attestor",
            attest(world, "bob", "val0", "extra", 5, 0),
            Reason.UNKNOWN_ATTESTOR,
        ),
        (
            "more than committed",
            attest(world, "att-north", "val0", "extra", 1_000_001, 0),
            Reason.ABOVE_COMMITMENT,
        ),
        (
            "nothing is drawn",
            act(world, signer, ops.OpenDevices("val0", public, 1, 0, devices)),
            Reason.BAD_PERIOD,
        ),
        (
            "sealed again",
            seal(world, "att-north", FIRST_PERIOD + 1),
            Reason.REPLAYED_OPERATION,
        ),
        ("sealed too late", seal(world, "att-north", FIRST_PERIOD), Reason.BAD_PERIOD),
        ("revealed too soon", reveal(world, "att-north", FIRST_PERIOD + 1), Reason.BAD_PERIOD),
        (
            "applied again",
            hold(world, "bob", "val0", 0, ops.Apply(grant("newco")), actors=["newco/operations"]),
            Reason.BAD_GRANT,
        ),
        (
            "granted otherwise",
            world.govern(ops.Admit(grant("newco", issuer=False), 0)),
            Reason.BAD_GRANT,
        ),
        ("attestor again", world.govern(ops.AdmitAttestor(NEW_LAB, 1)), Reason.BAD_GRANT),
    ]


def _after_attestation(world: World) -> Refusals:
    withdrawn = world.asset("val1"), 300 * COIN
    body = world.body(
        [],
        [Output(*withdrawn, lock_of("bob"))],
        operations=[ops.WithdrawBond("val0", issuer_key("val0", "treasury"), 0, 1, *withdrawn)],
    )
    return [
        ("minted while suspended", mint(world, "val3"), Reason.LICENCE_INACTIVE),
        ("more than a period's share", world.mint("val2", 800 * COIN), Reason.ABOVE_MINT_CAP),
        ("a bond that is needed", sign(body, [], ["val0/treasury"]), Reason.SHORT_BOND),
        (
            "suspended by half of each",
            world.govern(ops.Suspend("val2", 0), approvers=["val0/operations", "reg-0"]),
            Reason.NEEDS_QUORUM,
        ),
        (
            "admitted by validators alone",
            world.govern(
                ops.Admit(grant("newco2"), 0),
                approvers=[f"val{index}/operations" for index in range(3)],
            ),
            Reason.NEEDS_QUORUM,
        ),
        (
            "rotated again",
            act(
                world,
                ["val1/operations", "val1 treasury 3"],
                ops.RotateKey(
                    "val1", issuer_key("val1"), 1, "treasury", key("val1 treasury 3").public
                ),
            ),
            Reason.BAD_ROLE,
        ),
        ("frozen by another order", world.transfer("bob", "alice"), Reason.FROZEN),
        ("no such order", world.govern(ops.LiftOrder("case-3", 1)), Reason.UNKNOWN_ORDER),
        (
            "an order without end",
            world.govern(ops.RenewOrder("case-1", 2, TIME_MS + 365 * DAY_MS)),
            Reason.NO_EXPIRY,
        ),
    ]


def _after_bond(world: World) -> Refusals:
    own = ops.DepositBond("val1", world.asset("val1"), COIN)
    shrunk = ops.Amend("val0", issuer_key("val0"), "extra", 2, 999_999, TIME_MS + 2 * DAY_MS)
    return [
        ("a bond of its own coin", hold(world, "bob", "val1", COIN, own), Reason.OWN_COIN),
        ("a promise that shrinks", act(world, "val0/operations", shrunk), Reason.BAD_SCHEDULE),
        ("a small deposit", challenge(world, "val0", "extra", "val1", COIN), Reason.LOW_DEPOSIT),
        ("a deposit in its own coin", challenge(world, "val0", "extra", "val0"), Reason.OWN_COIN),
        (
            "reinstated again",
            world.govern(ops.Reinstate("val3", 2)),
            Reason.LICENCE_INACTIVE,
        ),
    ]


def _after_challenge(world: World) -> Refusals:
    held = load(world.state, Challenge, b"val0\0extra")
    assert held is not None
    word = ops.Rule(
        "att-north", key("attestor/att-north").public, "val0", "extra", True, held.since_ms
    )
    return [
        ("contested already", challenge(world, "val0", "extra", "val1"), Reason.ALREADY_CONTESTED),
        ("a party rules", act(world, "attestor/att-north", word), Reason.NOT_ON_PANEL),
        (
            "another challenge is ruled on",
            act(world, "attestor/att-north", replace(word, since_ms=1)),
            Reason.UNKNOWN_CHALLENGE,
        ),
        ("revealed again", reveal(world, "att-north", FIRST_PERIOD + 1), Reason.REPLAYED_OPERATION),
        (
            "another nonce",
            act(
                world,
                "attestor/att-south",
                ops.RevealNonce(
                    *("att-south", key("attestor/att-south").public),
                    *(FIRST_PERIOD + 1, nonce("att-north")),
                ),
            ),
            Reason.BAD_NONCE,
        ),
    ]


def _after_void(world: World) -> Refusals:
    return [
        ("a void commitment", pledge(world, "extra", 4, "new"), Reason.COMMITMENT_OVER),
        ("the old treasury key", mint(world, "val1"), Reason.WRONG_ROLE_KEY),
    ]


def _after_opening(world: World) -> Refusals:
    return [
        (
            "opened again",
            open_devices(world, FIRST_PERIOD + 1, 0),
            Reason.REPLAYED_OPERATION,
        ),
        (
            "one that is not drawn",
            open_devices(world, FIRST_PERIOD + 1, 2, drawn=False),
            Reason.NOT_DRAWN,
        ),
        (
            "another count of opened ones",
            open_devices(world, FIRST_PERIOD + 1, 4),
            Reason.WRONG_VERSION,
        ),
        ("minted while figures differ", mint(world, "val0", 2), Reason.MINT_FROZEN),
    ]


def _after_wind_down(world: World) -> Refusals:
    return [
        (
            "wound down again",
            act(world, "val3/operations", ops.WindDown("val3", issuer_key("val3"), 3)),
            Reason.LICENCE_INACTIVE,
        ),
    ]


def _in_deficit(world: World) -> Refusals:
    return [("minted in deficit", mint(world, "val0", 2), Reason.NOT_HEALTHY)]


def _at_the_end(world: World) -> Refusals:
    return [
        ("minted while revoked", mint(world, "val0", 2), Reason.LICENCE_INACTIVE),
        (
            "a coin in trouble",
            challenge(world, "val1", "capacity-val1", "val0", COIN),
            Reason.UNKNOWN_ASSET,
        ),
    ]
