"""The offline verifier on states that random actions left: what the ledger says, worked out twice.

Nothing of the rules is shared: the ledger judges with `ledger.economy`, the verifier with its own.
"""

from __future__ import annotations

from collections import Counter

import pytest

from cli.verify_bundle import Report, verify
from cli.verify_chain import Trust
from cli.verify_reserve import Row
from ledger import codec
from ledger import genesis as genesis_rules
from ledger.backing import Yardstick, backing_of
from ledger.economy import bond, capacity, issuance
from ledger.economy.reserve import margin_limit, supply_line
from ledger.objects import LedgerClock, key_of, load_all, load_one
from ledger.registers import COMMITMENTS, LICENCES, RESERVES
from node.reserve_bundle import KINDS, ProvedObject, Reserve, ReserveBundle
from tests.cli.audit_world import certify
from tests.economy.stream import Stream
from tests.ledger.world import World

ACTIONS = 2_000
SEEDS = (100, 101, 102)
EACH = 3
"""Blocks from one bundle to the next."""

seen: Counter[str] = Counter()


def signed_bundle(world: World) -> bytes:
    """Of the state as it is; the validators of these worlds stay those of genesis."""
    state, head = world.state, world.state.head
    tree = head.commitments.objects
    rows = [row for kind in KINDS for row in state.objects(key_of(kind))]
    return codec.encode(
        ReserveBundle(
            chain_id=world.chain_id,
            changes=(),
            header=head.header,
            certificate=certify(world, head.header),
            roots=head.commitments.roots,
            supply=tuple([supply_line(item) for item in load_all(state, Reserve)]),
            objects=tuple([ProvedObject(key, data, tree.prove(key).path) for key, data in rows]),
        )
    )


def compare(world: World, report: Report) -> None:
    """Every figure of every row is the ledger's, as rules read it now."""
    draft = world.draft
    assert report.ledger_ms == load_one(world.state, LedgerClock).time_ms
    reserves = sorted(RESERVES.all(draft), key=lambda item: item.issuer)
    assert [row.issuer for row in report.rows] == [item.issuer for item in reserves]
    for row, held in zip(report.rows, reserves, strict=True):
        licence = LICENCES.get(draft, held.issuer.encode())
        backing = backing_of(draft, held.issuer)
        assert licence is not None
        assert backing is not None
        needed = bond.required(held.supply, draft.economy.bond_ppm)
        assert (row.band, row.licence) == (held.solvency.name.lower(), licence.state.name.lower())
        assert (row.outstanding, row.reserve, row.due) == (
            held.supply,
            held.reserve,
            held.deliverable,
        )
        limit = margin_limit(held.reserve, draft.parameters.margin_ppm)
        assert (row.residual, row.limit) == (held.residual, max(0, limit - held.residual))
        assert (row.minted, row.mint_cap) == (
            backing.minted,
            issuance.mint_cap(held, held.supply, draft.parameters),
        )
        assert (row.bond_required, row.bond_worth) == (needed, backing.bond_worth(needed))
        assert [part.amount for part in row.bond] == [item.amount for item in backing.bonds]
        compare_commitments(world, row)
        note(row)


def compare_commitments(world: World, row: Row) -> None:
    draft = world.draft
    yardstick = Yardstick.of(draft)
    items = COMMITMENTS.all(draft, f"{row.issuer}\0".encode())
    assert row.is_frozen == any(capacity.is_frozen(item, yardstick.measure) for item in items)
    assert row.contested == sum(item.state.name == "CONTESTED" for item in items)
    hours = [yardstick.hours_of([item]) for item in items]
    if row.reserve:
        assert row.commitments >= sum(item.reserve > 0 for item in hours) > 0
    assert (row.oldest_ms is None) == (row.commitments == 0)


def note(row: Row) -> None:
    seen[row.band] += 1
    seen[row.licence] += 1
    seen["frozen"] += row.is_frozen
    seen["claimed"] += row.residual > 0
    seen["contested"] += row.contested > 0
    seen["short"] += row.bond_worth < row.bond_required
    seen["unsound"] += any(not part.counts for part in row.bond)
    seen["minted"] += row.minted > 0
    seen["several"] += row.commitments > 1
    seen["aged"] += row.oldest_ms != row.newest_ms


@pytest.mark.parametrize("seed", SEEDS)
def test_the_verifier_finds_what_the_ledger_says(seed: int) -> None:
    """After every third block of a stream of random actions."""
    stream = Stream(seed)
    stage = stream.stage
    trust = Trust.of(genesis_rules.dump(stage.world.genesis))
    end, blocks = stage.end, 0

    def end_and_verify(*, counted: bool) -> None:
        nonlocal blocks
        end(counted=counted)
        blocks += 1
        if blocks % EACH == 0:
            report = Report()
            verify(report, signed_bundle(stage.world), trust)
            compare(stage.world, report)

    stage.end = end_and_verify  # type: ignore[method-assign]
    stream.run(ACTIONS)
    assert blocks > 2 * EACH


def test_every_state_was_met() -> None:
    """Streams that never leave health would prove nothing about the other bands."""
    if sum(seen.values()) < len(SEEDS):
        pytest.skip("the streams did not run in this process")
    wanted = "healthy warn deficit caged active suspended revoked frozen contested short unsound"
    wanted += " minted several aged claimed"
    assert not [name for name in wanted.split() if not seen[name]], seen
