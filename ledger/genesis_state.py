"""The state at height 0: what genesis makes, as the changes of a block that has no certificate."""

from __future__ import annotations

from ledger.accumulator import Commitments
from ledger.address import decode_address
from ledger.block import Header, genesis_parent
from ledger.codec import Wire, encode
from ledger.crypto import ZERO_HASH
from ledger.economy.licence import Licence
from ledger.economy.reserve import Reserve, supply_root
from ledger.economy.standard import Standard
from ledger.epochs import first_epoch
from ledger.execution import EMPTY_ROOT
from ledger.genesis import Genesis, chain_id, supply_by_issuer
from ledger.invariants import check_supply_equation
from ledger.mountain_range import MountainRange
from ledger.object_tree import ObjectTree
from ledger.objects import LedgerClock, key_of, value_hash
from ledger.spent_bitmap import SpentBitmap
from ledger.system import system_txid
from ledger.transaction import asset_id
from ledger.view import BIRTH_ZERO, Changes, Head, Outpoint, OutputEntry, output_leaf


def genesis_state(genesis: Genesis) -> Changes:
    """All objects and allocated outputs; the genesis block's header is in the head.

    `genesis` passed `genesis.check`.
    """
    identity = chain_id(genesis)
    created = _allocate(genesis, identity)
    reserves = _reserves(genesis, identity)
    _check_supply(created, reserves)
    objects = _objects(genesis, reserves)
    nothing = Commitments(
        MountainRange.empty(), SpentBitmap.empty(), ObjectTree.empty(), supply_root([])
    )
    commitments, nodes = nothing.advance(
        created=[output_leaf(outpoint, entry) for outpoint, entry in created.items()],
        spent=[],
        objects={key: value_hash(data) for key, data in objects.items()},
        supply_root=supply_root(reserves),
    )
    head = Head.of(_header(genesis, identity, commitments.state_root), commitments)
    return Changes(head=head, created=created, spent={}, objects=objects, nodes=nodes)


def _allocate(genesis: Genesis, identity: bytes) -> dict[Outpoint, OutputEntry]:
    return {
        (system_txid(0, index), 0): OutputEntry(
            asset=asset_id(identity, item.issuer),
            amount=item.amount,
            lock=decode_address(item.address, genesis.hrp),
            height=0,
            leaf=index,
            birth=BIRTH_ZERO,
        )
        for index, item in enumerate(genesis.allocations)
    }


def _reserves(genesis: Genesis, identity: bytes) -> list[Reserve]:
    book, supply = genesis.capacity_book, supply_by_issuer(genesis)
    result = []
    for grant in genesis.issuers:
        hours = book.hours(grant.id, genesis.time_ms)
        asset = asset_id(identity, grant.id)
        result.append(Reserve(asset, grant.id, supply[grant.id], hours.reserve, hours.deliverable))
    return result


def _objects(genesis: Genesis, reserves: list[Reserve]) -> dict[bytes, bytes]:
    values: list[tuple[bytes, Wire]] = [
        (b"", LedgerClock(genesis.time_ms)),
        (b"", genesis.parameters),
        (b"", Standard(1, genesis.standard)),
        (b"", first_epoch(genesis.validators, genesis.time_ms)),
        *((grant.id.encode(), Licence.granted(grant)) for grant in genesis.licences),
        *((item.id.encode(), item) for item in genesis.attestors),
        *((item.id.encode(), item) for item in genesis.commitments),
        *((item.asset, item) for item in reserves),
    ]
    return {key_of(type(value), name): encode(value) for name, value in values}


def _check_supply(created: dict[Outpoint, OutputEntry], reserves: list[Reserve]) -> None:
    outputs: dict[bytes, int] = {}
    for entry in created.values():
        outputs[entry.asset] = outputs.get(entry.asset, 0) + entry.amount
    check_supply_equation(outputs, {}, {item.asset: item.supply for item in reserves})


def _header(genesis: Genesis, identity: bytes, state_root: bytes) -> Header:
    validators_hash = genesis.validators.hash
    return Header(
        version=1,
        chain_id=identity,
        epoch=0,
        height=0,
        parent_hash=genesis_parent(),
        tx_root=EMPTY_ROOT,
        evidence_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        state_root=state_root,
        validators_hash=validators_hash,
        next_validators_hash=validators_hash,
        time_ms=genesis.time_ms,
        proposer=ZERO_HASH,
    )
