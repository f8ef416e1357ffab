"""Values for `wire.json`: operations and objects of the compute coin."""

from __future__ import annotations

from ledger import operations as ops
from ledger.codec import Wire
from ledger.economy.attestor import Attestor
from ledger.economy.bond import Bond
from ledger.economy.capacity import (
    Attestation,
    CapacityCommitment,
    CommitmentState,
    Device,
    LowerFigure,
)
from ledger.economy.challenge import Challenge
from ledger.economy.compliance import Freeze, FrozenBy, Order
from ledger.economy.due import Due, DueKind
from ledger.economy.issuance import Lane
from ledger.economy.licence import Cause, Licence, LicenceState, Rotation, Seat
from ledger.economy.panel import Vote
from ledger.economy.regulator import Regulator, RegulatorChange
from ledger.economy.reserve import Reserve, Solvency, supply_line
from ledger.economy.spot_audit import AuditRound, Opening, Sealed
from ledger.economy.standard import Factor, PastStandard, Reference
from ledger.economy.step import StandardStep, StepState
from ledger.epochs import Epoch
from ledger.genesis import AttestationStatement
from ledger.objects import FeePot, LedgerClock, Used, load_all
from tests.ledger.world import World, grant, key, lock_of, regulator_keys, terms

LAST = 2**63 - 1
"""The largest integer of the format."""
MOST = 2**62 - 1
"""The largest amount."""
HASH = b"\xff" * 32


def economy_operations(world: World) -> list[Wire]:
    """One of each from 10 on, with the ends of their fields."""
    signer = key("val0/operations").public
    devices = (bytes(32), HASH)
    attestor = world.genesis.attestors[0]
    return [
        ops.Apply(grant("new")),
        ops.Reinstate("val0", 1),
        ops.WindDown("val0", signer, 0),
        ops.RotateKey("val0", signer, LAST, "treasury", HASH),
        ops.RotateRegulator(0, regulator_keys(1)),
        ops.AdmitAttestor(attestor, 0),
        ops.RemoveAttestor(attestor.id, 1),
        ops.Commit(signer, 255, 0, terms("val0", microhours=1 << 40)),
        ops.PledgeDevices("val0", signer, 255, 0, "capacity-val0", 0, devices),
        ops.Amend("val0", signer, 0, LAST, "capacity-val0", 1, 0, LAST),
        ops.Attest(attestor.id, attestor.key, 0, LAST, "val0", "capacity-val0", LAST, 5, 7),
        ops.OpenChallenge("val0", "capacity-val0", world.asset("val1"), MOST, lock_of("bob")),
        ops.Rule(attestor.id, attestor.key, "val0", "capacity-val0", True, 1),
        ops.SealNonce(attestor.id, attestor.key, 1, HASH),
        ops.RevealNonce(attestor.id, attestor.key, 1, HASH),
        ops.OpenDevices("val0", signer, 1, 0, devices),
        ops.DepositBond("val0", world.asset("val1"), 1),
        ops.WithdrawBond("val0", signer, 0, 0, world.asset("val1"), 1),
        ops.FreezeOrder("case-7", HASH, devices, world.time_ms),
        ops.RenewOrder("case-7", 1, LAST),
        ops.LiftOrder("case-7", 2),
        ops.ProposeStandard(
            2, (Reference("training", 1 << 40),), (Factor("tpu", "training", 1_000_000_000),)
        ),
        ops.ProposeStandard((1 << 32) - 1, (), ()),
        ops.WithdrawStandard(LAST),
    ]


def object_values(world: World) -> list[Wire]:
    """What a state and its genesis hold."""
    value = world.genesis
    reserve = load_all(world.state, Reserve)[0]
    return [
        LedgerClock(world.time_ms),
        FeePot(LAST, world.asset(), 0),
        world.epoch,
        Epoch(1, 1_001, bytes(32), world.time_ms, True, (), (lock_of("val0/treasury"),)),
        value.parameters,
        value.parameters.economy,
        value.standard[0],
        value.references[0],
        value.first_standard,
        PastStandard(value.first_standard, LAST),
        StandardStep(StepState.DRAFT, 2, 0, LAST, value.standard, value.references),
        StandardStep(StepState.NOTICED, 2, LAST, LAST, value.standard, value.references),
        reserve,
        Reserve(
            HASH,
            "val0",
            MOST,
            MOST,
            0,
            Solvency.CAGED,
            LAST,
            True,
            LAST,
            MOST,
            LAST,
            MOST,
            MOST,
            MOST,
        ),
        supply_line(reserve),
        Lane("val0", "attestor", 255, 1),
        value.authority,
        value.allocations[0],
        *_licence_values(world),
        *_capacity_values(world),
        *_other_values(world),
        value,
    ]


def _licence_values(world: World) -> list[Wire]:
    value = world.genesis
    rotation = Rotation("metering", HASH, LAST)
    revoked = Licence(
        value.licences[1],
        *(LicenceState.REVOKED, 2, Seat.LEAVING, 7, world.time_ms, Cause.BOND),
        *((rotation,), LAST, LAST),
    )
    change = RegulatorChange(regulator_keys(3), LAST)
    return [
        value.licences[0].keys,
        value.licences[0],
        rotation,
        Licence.granted(value.licences[0], world.time_ms),
        revoked,
        value.regulator,
        change,
        Regulator(0, value.regulator, ()),
        Regulator(1, value.regulator, (change,)),
        value.attestors[0],
        Attestor(value.attestors[0], False, 2, LAST),
    ]


def _capacity_values(world: World) -> list[Wire]:
    item = world.genesis.commitments[0]
    lower = LowerFigure(0, LAST)
    attestations = (
        Attestation("att-north", 1 << 40, 0, LAST, (lower,)),
        Attestation("att-south", 0, LAST, 0, ()),
    )
    statement = AttestationStatement("att-north", 5, item.terms, HASH)
    return [
        item.terms,
        item.attestations[0],
        item,
        statement,
        lower,
        *attestations,
        CapacityCommitment(item.terms, CommitmentState.PROPOSED, 0, 1, 0, 0, (), 0, 0, 0, 0),
        CapacityCommitment(
            item.terms,
            CommitmentState.VOID,
            LAST,
            LAST,
            LAST,
            LAST,
            attestations,
            LAST,
            LAST,
            LAST,
            LAST,
        ),
        Device(HASH, "val0", "capacity-val0", LAST, LAST, 0, LAST),
    ]


def _other_values(world: World) -> list[Wire]:
    asset = world.asset("val1")
    vote, sealed = Vote("att-north", False), Sealed("att-north", HASH, bytes(32))
    named = FrozenBy("case-7", LAST)
    panel = ("att-east", "att-north")
    return [
        vote,
        Challenge("val0", "capacity-val0", asset, MOST, 1, HASH, 1, panel, (vote,), LAST),
        sealed,
        AuditRound(LAST, (sealed,)),
        Opening(1, "val0", HASH, 60, 0, LAST),
        world.genesis.bonds[0],
        Bond("val0", asset, MOST),
        Order("case-7", HASH, (bytes(32), HASH), LAST, 1),
        named,
        Freeze(HASH, (named,)),
        Due(LAST, DueKind.ORDER, b"case-7"),
        Due(0, DueKind.REGULATOR, b""),
        Used(LAST, HASH),
    ]
