"""The state at height 0: what genesis makes, as the changes of a block that has no certificate."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ledger.accumulator import Commitments
from ledger.address import decode_address
from ledger.backing import judge
from ledger.block import Header, genesis_parent
from ledger.crypto import ZERO_HASH
from ledger.draft import Draft
from ledger.economy.attestor import Attestor
from ledger.economy.bond import Bond
from ledger.economy.capacity import Device
from ledger.economy.licence import Licence
from ledger.economy.regulator import Regulator
from ledger.economy.reserve import Reserve, supply_root
from ledger.epochs import first_epoch
from ledger.execution import EMPTY_ROOT
from ledger.genesis import Genesis, chain_id, live, supply_by_issuer
from ledger.invariants import check_supply_equation, held_in_objects
from ledger.mountain_range import MountainRange
from ledger.object_tree import ObjectTree
from ledger.objects import LedgerClock, value_hash
from ledger.registers import COMMITMENTS, DEVICES, LICENCES, REGULATORS, RESERVES
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
    draft = _objects(genesis, identity)
    reserves, objects = draft.all(Reserve), dict(draft.changed)
    _check_supply(created, draft, reserves)
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


def _objects(genesis: Genesis, identity: bytes) -> Draft:
    """In an order in which each finds what it depends on."""
    draft = Draft(_Nothing(), genesis.time_ms)
    draft.put(LedgerClock(genesis.time_ms))
    draft.put(genesis.parameters)
    draft.put(genesis.first_standard)
    draft.put(first_epoch(genesis.validators, genesis.time_ms))
    REGULATORS.put(draft, Regulator(0, genesis.regulator, ()))
    for grant in genesis.licences:
        LICENCES.put(draft, Licence.granted(grant, genesis.time_ms))
    for attestor in genesis.attestors:
        draft.put(Attestor(attestor, True, 1, 0), attestor.id.encode("ascii"))
    for item in genesis.commitments:
        COMMITMENTS.put(draft, live(genesis, item))
        for device in item.devices:
            terms = item.terms
            pledged = Device(
                device, terms.issuer, terms.id, 0, terms.to_ms, opened=0, pledged_in=genesis.period
            )
            DEVICES.put(draft, pledged)
    for put_up in genesis.bonds:
        bond = Bond(put_up.issuer, asset_id(identity, put_up.coin), put_up.amount)
        draft.put(bond, Bond.identity(bond.issuer, bond.asset))
    supply = supply_by_issuer(genesis)
    for grant in genesis.issuers:
        asset = asset_id(identity, grant.id)
        empty = Reserve.empty(asset, grant.id, genesis.time_ms)
        RESERVES.put(draft, msgspec.structs.replace(empty, supply=supply[grant.id]))
    judge(draft)
    return draft


class _Nothing:
    """The state before there is one."""

    @property
    def head(self) -> Head:
        raise AssertionError("genesis has no parent")

    def output(self, outpoint: Outpoint) -> OutputEntry | None:
        return None

    def is_spent(self, outpoint: Outpoint) -> bool:
        return False

    def object(self, key: bytes) -> bytes | None:
        return None

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(())


def _check_supply(
    created: dict[Outpoint, OutputEntry], draft: Draft, reserves: list[Reserve]
) -> None:
    outputs: dict[bytes, int] = {}
    for entry in created.values():
        outputs[entry.asset] = outputs.get(entry.asset, 0) + entry.amount
    supply = {item.asset: item.supply for item in reserves}
    check_supply_equation(outputs, held_in_objects(draft), supply)


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
