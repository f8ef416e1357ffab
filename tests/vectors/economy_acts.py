"""What the people of `economy_plan` do: transactions on a world, each with the right keys."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ledger import operations as ops
from ledger.economy.attestor import AttestorGrant
from ledger.economy.capacity import MICROHOURS_A_HOUR, CapacityCommitment
from ledger.economy.challenge import Challenge
from ledger.economy.issuance import Lane
from ledger.economy.spot_audit import Opening, is_drawn, nonce_digest
from ledger.economy.standard import Factor, Reference
from ledger.economy.step import StandardStep
from ledger.objects import load
from ledger.operations import Operation
from ledger.transaction import Fee, Output, SignedTransaction
from tests.ledger.world import (
    COIN,
    DAY_MS,
    PERIOD_MS,
    TIME_MS,
    World,
    device,
    grant,
    key,
    lock_of,
    sign,
    terms,
)

MINUTE_MS = 60_000
FEE = 9_000
MACHINES = tuple(f"val0//{index}" for index in range(120))
"""What val0 pledges to its first commitment: half at the beginning, half later."""
LATE_MACHINE = "val0//late"
"""Pledged once nonces are revealed."""
FIRST_PERIOD = TIME_MS // PERIOD_MS
ATTESTORS = ("att-north", "att-south", "att-west")
NEW_LAB = AttestorGrant("att-new", "New Lab", "new", key("attestor/att-new").public)
replace = msgspec.structs.replace


def act(world: World, signers: str | Sequence[str], *operations: Operation) -> SignedTransaction:
    """Operations signed by the keys that they name, without inputs."""
    names = [signers] if isinstance(signers, str) else signers
    return sign(world.body(operations=operations), [], names)


def hold(
    world: World,
    owner: str,
    issuer: str,
    amount: int,
    *operations: Operation,
    actors: Sequence[str] = (),
) -> SignedTransaction:
    """Operations that take `amount` of a coin of `owner`."""
    coin = world.coin(owner, issuer)
    change = Output(coin.asset, coin.amount - amount - FEE, lock_of(owner))
    body = world.body([coin], [change], fee=Fee(coin.asset, FEE), operations=operations)
    return sign(body, [owner], actors)


def attest(
    world: World, name: str, commitment: str, figure: int, *, number: int, until_ms: int = 0
) -> SignedTransaction:
    """`commitment` is "issuer/id", as the block before left it, vouched for to its end or to
    `until_ms`."""
    signer = f"attestor/{name}"
    held = load(world.state, CapacityCommitment, commitment.replace("/", "\0").encode())
    assert held is not None
    said = (*commitment.split("/"), held.born, until_ms or held.terms.to_ms, figure)
    return act(world, signer, ops.Attest(name, key(signer).public, 0, number, *said))


def challenge(
    world: World, issuer: str, commitment: str, coin: str, amount: int = 300 * COIN
) -> SignedTransaction:
    operation = ops.OpenChallenge(issuer, commitment, world.asset(coin), amount, lock_of("carol"))
    return hold(world, "bob", coin, amount, operation)


def rule(world: World, issuer: str, commitment: str, seat: int, upheld: bool) -> SignedTransaction:
    """The word of the panel member at this seat."""
    held = load(world.state, Challenge, f"{issuer}\0{commitment}".encode())
    assert held is not None
    signer = f"attestor/{held.panel[seat]}"
    word = (issuer, commitment, upheld, held.since_ms)
    return act(world, signer, ops.Rule(held.panel[seat], key(signer).public, *word))


def mint(world: World, issuer: str, number: int = 0, *, amount: int = COIN) -> SignedTransaction:
    return world.mint(issuer, amount, number=number)


def issuer_key(issuer: str, role: str = "operations") -> bytes:
    return key(f"{issuer}/{role}").public


def commitment_of(
    issuer: str, name: str, number: int, region: str, *, first_day: int = 0
) -> ops.Commit:
    """A day's hours."""
    begin_ms = TIME_MS + first_day * DAY_MS
    wanted = replace(
        terms(issuer, name=name), region=region, from_ms=begin_ms, to_ms=begin_ms + DAY_MS
    )
    return ops.Commit(issuer_key(issuer), 0, number, wanted)


def commit(world: World, name: str, number: int, region: str) -> SignedTransaction:
    return act(world, "val0/operations", commitment_of("val0", name, number, region))


def next_in(world: World, issuer: str, lane: int) -> tuple[int, int]:
    """The lane of its operations key and the next number. Commitments go in lane 0."""
    held = load(world.state, Lane, Lane.identity(issuer, "operations", lane))
    return lane, 0 if held is None else held.next_number


def pledge(
    world: World, name: str, version: int, *machines: str, issuer: str = "val0", lane: int = 1
) -> SignedTransaction:
    devices = tuple(sorted(device(item) for item in machines))
    place = next_in(world, issuer, lane)
    operation = ops.PledgeDevices(issuer, issuer_key(issuer), *place, name, version, devices)
    return act(world, f"{issuer}/operations", operation)


def amend(world: World, issuer: str, name: str, version: int, *, hours: int) -> SignedTransaction:
    """So many device hours a period, for as long as the commitment lasts already or would, were it
    made now."""
    held = load(world.state, CapacityCommitment, CapacityCommitment.identity(issuer, name))
    to_ms = TIME_MS + DAY_MS if held is None else held.terms.to_ms
    more = (name, version, hours * MICROHOURS_A_HOUR, to_ms)
    operation = ops.Amend(issuer, issuer_key(issuer), *next_in(world, issuer, 2), *more)
    return act(world, f"{issuer}/operations", operation)


def withdraw(world: World, coin: str, amount: int, number: int) -> SignedTransaction:
    """The treasury of val0 takes from its bond."""
    taken = (world.asset(coin), amount)
    operation = ops.WithdrawBond("val0", issuer_key("val0", "treasury"), 0, number, *taken)
    body = world.body([], [Output(*taken, lock_of("bob"))], operations=[operation])
    return sign(body, [], ["val0/treasury"])


def propose(world: World, units: int, *added: Factor, version: int = 2) -> SignedTransaction:
    """So many units of training are an hour from then on; 1,000 are one at the beginning."""
    operation = ops.ProposeStandard(version, (Reference("training", units),), added)
    return world.govern(operation)


def withdraw_step(world: World, later_ms: int = 0) -> SignedTransaction:
    """The open step, or one that would have been noticed later; none at the beginning."""
    held = load(world.state, StandardStep)
    since_ms = TIME_MS if held is None else held.since_ms
    return world.govern(ops.WithdrawStandard(since_ms + later_ms))


def wind_down(world: World, licence: str, version: int) -> SignedTransaction:
    operation = ops.WindDown(licence, issuer_key(licence), version)
    return act(world, f"{licence}/operations", operation)


def apply(world: World, name: str, coin: str = "val0", *, title: str = "") -> SignedTransaction:
    """Bob pays. `title` is the display name, usually its own."""
    asked = replace(grant(name), name=f"Cloud {title or name}")
    return hold(world, "bob", coin, 0, ops.Apply(asked), actors=[f"{name}/operations"])


def seal(world: World, name: str, period: int) -> SignedTransaction:
    sealed = nonce_digest(name.encode(), nonce(name))
    public = key(f"attestor/{name}").public
    return act(world, f"attestor/{name}", ops.SealNonce(name, public, period, sealed))


def reveal(world: World, name: str, period: int) -> SignedTransaction:
    public = key(f"attestor/{name}").public
    return act(world, f"attestor/{name}", ops.RevealNonce(name, public, period, nonce(name)))


def nonce(name: str) -> bytes:
    return key(f"nonce of {name}").public


def open_devices(
    world: World, period: int, opened: int, *, drawn: bool = True
) -> SignedTransaction:
    """The next two of val0's machines that were drawn, or that were not."""
    held = load(world.state, Opening, Opening.identity(period, "val0"))
    assert held is not None
    machines = sorted(device(name) for name in MACHINES)
    wanted = world.genesis.parameters.economy.audit_devices
    found = [
        item
        for item in machines
        if is_drawn(held.seed, item, devices=held.devices, wanted=wanted) is drawn
    ]
    chosen = tuple(found[opened : opened + 2])
    operation = ops.OpenDevices("val0", issuer_key("val0"), period, opened, chosen)
    return act(world, "val0/operations", operation)
