"""What each state of the story behind `economy.json` refuses, with the reason."""

from __future__ import annotations

import msgspec

from ledger import operations as ops
from ledger.economy.challenge import Challenge
from ledger.economy.standard import Factor, Reference
from ledger.objects import load
from ledger.reasons import Reason
from tests.ledger.world import (
    COIN,
    DAY_MS,
    TIME_MS,
    World,
    device,
    grant,
    key,
    lock_of,
    terms,
)
from tests.vectors.economy_acts import (
    FIRST_PERIOD,
    LATE_MACHINE,
    NEW_LAB,
    act,
    apply,
    attest,
    challenge,
    commit,
    commitment_of,
    hold,
    issuer_key,
    mint,
    next_in,
    nonce,
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
from tests.vectors.epoch_plan import Refusals

replace = msgspec.structs.replace


def after_commitment(world: World) -> Refusals:
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
        ("one machine too many", pledge(world, "extra", 1, "new"), Reason.TOO_MANY),
        (
            "a commitment not live",
            challenge(world, "val0", "extra", "val1"),
            Reason.COMMITMENT_OVER,
        ),
        (
            "no attestor",
            attest(world, "bob", "val0/extra", 5, number=0),
            Reason.UNKNOWN_ATTESTOR,
        ),
        (
            "more than committed",
            attest(world, "att-north", "val0/extra", 1_000_001, number=0),
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
            apply(world, "newco"),
            Reason.BAD_GRANT,
        ),
        (
            "granted otherwise",
            world.govern(ops.Admit(grant("newco", issuer=False), 0)),
            Reason.BAD_GRANT,
        ),
        ("attestor again", world.govern(ops.AdmitAttestor(NEW_LAB, 1)), Reason.BAD_GRANT),
        ("another step", propose(world, 1_001), Reason.STEP_OPEN),
        ("a step of another moment", withdraw_step(world, 1), Reason.NO_STEP),
    ]


def after_attestation(world: World) -> Refusals:
    bare = ops.ProposeStandard(2, (Reference("video", 5),), ())
    return [
        ("no step", withdraw_step(world), Reason.NO_STEP),
        ("a step to a later version", propose(world, 1_001, version=3), Reason.WRONG_VERSION),
        ("a step down", propose(world, 999), Reason.REFERENCE_FALLS),
        ("a step to the same", propose(world, 1_000), Reason.REFERENCE_FALLS),
        ("a step too far", propose(world, 1_177), Reason.CUT_TOO_LARGE),
        ("a step by nothing", world.govern(ops.ProposeStandard(2, (), ())), Reason.BAD_STANDARD),
        ("a workload of no class", world.govern(bare), Reason.BAD_STANDARD),
        (
            "a factor that there is",
            propose(world, 1_001, Factor("gpu-80g", "training", 5)),
            Reason.BAD_STANDARD,
        ),
        (
            "a class of an unknown workload",
            propose(world, 1_001, Factor("tpu", "video", 5)),
            Reason.BAD_STANDARD,
        ),
        ("minted while suspended", mint(world, "val3"), Reason.LICENCE_INACTIVE),
        (
            "more than a period's share",
            mint(world, "val2", amount=8_000 * COIN),
            Reason.ABOVE_MINT_CAP,
        ),
        ("a bond that is needed", withdraw(world, "val1", 300 * COIN, 1), Reason.SHORT_BOND),
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
        ("revoked again", world.govern(ops.Revoke("squat", 0)), Reason.UNKNOWN_LICENCE),
        ("frozen by another order", world.transfer("bob", "alice"), Reason.FROZEN),
        ("no such order", world.govern(ops.LiftOrder("case-3", 1)), Reason.UNKNOWN_ORDER),
        (
            "an order without end",
            world.govern(ops.RenewOrder("case-1", 2, TIME_MS + 365 * DAY_MS)),
            Reason.NO_EXPIRY,
        ),
    ]


def after_bond(world: World) -> Refusals:
    own = ops.DepositBond("val1", world.asset("val1"), COIN)
    less = ("extra", 2, 999_999, TIME_MS + 2 * DAY_MS)
    shrunk = ops.Amend("val0", issuer_key("val0"), *next_in(world, "val0", 2), *less)
    return [
        (
            "attested less far than before",
            attest(world, "att-north", "val0/extra", 900_000, number=3, until_ms=TIME_MS + DAY_MS),
            Reason.BAD_SCHEDULE,
        ),
        (
            "attested before it begins",
            attest(world, "att-west", "newco/ahead", 5, number=0, until_ms=TIME_MS + DAY_MS),
            Reason.BAD_SCHEDULE,
        ),
        (
            "attested up to its beginning",
            attest(world, "att-west", "newco/ahead", 5, number=0, until_ms=TIME_MS + 8 * DAY_MS),
            Reason.BAD_SCHEDULE,
        ),
        ("nothing to deliver this week", mint(world, "newco"), Reason.LOW_DELIVERABILITY),
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


def after_challenge(world: World) -> Refusals:
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


def after_verdict(world: World) -> Refusals:
    return [
        (
            "ruled after the verdict",
            rule(world, "val0", "extra", 3, True),
            Reason.UNKNOWN_CHALLENGE,
        ),
    ]


def after_void(world: World) -> Refusals:
    further = commitment_of("val1", "idea-31", 31, "zone-31")
    return [
        ("one commitment too many", act(world, "val1/operations", further), Reason.TOO_MANY),
        ("a void commitment", pledge(world, "extra", 4, "new"), Reason.COMMITMENT_OVER),
        ("the old treasury key", mint(world, "val1"), Reason.WRONG_ROLE_KEY),
    ]


def after_opening(world: World) -> Refusals:
    late = ops.OpenDevices("val0", issuer_key("val0"), FIRST_PERIOD + 1, 2, (device(LATE_MACHINE),))
    return [
        (
            "one that was pledged when the draw was known",
            act(world, "val0/operations", late),
            Reason.NOT_DRAWN,
        ),
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


def after_evidence(world: World) -> Refusals:
    over = Reason.LICENCE_INACTIVE
    return [
        ("wound down again", wind_down(world, "val3", 3), over),
        ("minted while accused", mint(world, "val2"), over),
        ("evidence against one suspended for it", world.accuse("newco"), over),
        ("evidence again", world.accuse("other"), over),
        (
            "reinstated before the epoch is over",
            world.govern(ops.Reinstate("other", 3)),
            Reason.WRONG_EPOCH,
        ),
        (
            "reinstated as it was before the evidence",
            world.govern(ops.Reinstate("newco", 2)),
            Reason.WRONG_VERSION,
        ),
    ]


def after_reinstatement(world: World) -> Refusals:
    judged = world.accuse("newco", epoch=0)
    return [("evidence that was judged", judged, Reason.WRONG_EPOCH)]


def after_expiry(world: World) -> Refusals:
    opened = challenge(world, "val3", "capacity-val3", "val2", 400 * COIN)
    return [("a coin of the accused after its end", opened, Reason.UNKNOWN_ASSET)]


def after_removal(world: World) -> Refusals:
    opened = challenge(world, "val1", "capacity-val1", "val0", 400 * COIN)
    seat = attest(world, "att-east", "val1/capacity-val1", 900_000, number=0)
    return [
        ("a panel that is too small", opened, Reason.NO_PANEL),
        ("a word that takes a seat of a panel", seat, Reason.NO_PANEL),
    ]


def in_warning(world: World) -> Refusals:
    return [("minted in warning", mint(world, "val0", 2), Reason.NOT_HEALTHY)]


def in_deficit(world: World) -> Refusals:
    return [
        ("minted in deficit", mint(world, "val0", 2), Reason.NOT_HEALTHY),
        ("withdrawn in deficit", withdraw(world, "val2", 1, 2), Reason.NOT_HEALTHY),
    ]


def caged(world: World) -> Refusals:
    return [("withdrawn while caged", withdraw(world, "val2", 1, 2), Reason.NOT_HEALTHY)]


def at_the_end(world: World) -> Refusals:
    return [
        ("minted while revoked", mint(world, "val0", 2), Reason.LICENCE_INACTIVE),
        (
            "a coin in trouble",
            challenge(world, "val1", "capacity-val1", "val0", COIN),
            Reason.UNKNOWN_ASSET,
        ),
    ]
