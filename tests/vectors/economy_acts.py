"""What the people of `economy_plan` do: transactions on a world, each with the right keys."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ledger import operations as ops
from ledger.economy.attestor import AttestorGrant
from ledger.economy.challenge import Challenge
from ledger.economy.spot_audit import Opening, is_drawn, nonce_digest
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
    key,
    lock_of,
    sign,
    terms,
)

MINUTE_MS = 60_000
FEE = 9_000
MACHINES = tuple(f"val0//{index}" for index in range(120))
"""What val0 pledges to its first commitment: half at the beginning, half later."""
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
    world: World, name: str, issuer: str, commitment: str, figure: int, number: int
) -> SignedTransaction:
    signer = f"attestor/{name}"
    public = key(signer).public
    return act(world, signer, ops.Attest(name, public, 0, number, issuer, commitment, figure))


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


def mint(world: World, issuer: str, number: int = 0, lane: int = 0) -> SignedTransaction:
    return world.mint(issuer, COIN, number=number, lane=lane)


def issuer_key(issuer: str, role: str = "operations") -> bytes:
    return key(f"{issuer}/{role}").public


def commit(world: World, name: str, number: int, region: str) -> SignedTransaction:
    wanted = replace(terms("val0", name=name), region=region, to_ms=TIME_MS + DAY_MS)
    return act(world, "val0/operations", ops.Commit(issuer_key("val0"), 0, number, wanted))


def pledge(world: World, name: str, version: int, *machines: str) -> SignedTransaction:
    devices = tuple(sorted(device(item) for item in machines))
    return act(
        world,
        "val0/operations",
        ops.PledgeDevices("val0", issuer_key("val0"), name, version, devices),
    )


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
