"""The past over HTTP: evidence, epochs, who signed, how issuers stood."""

from __future__ import annotations

import pytest

from ledger import pruning
from ledger.block import VotePayload, header_hash, vote_hash
from ledger.chain import Chain
from ledger.crypto import verify
from ledger.genesis_state import genesis_state
from ledger.kv import MemoryKV
from ledger.operations import EndEpoch
from node.api import schemas
from node.api.record_schemas import EpochShown, EvidenceShown, ReserveHistory
from node.api.schemas import Page
from tests.ledger.world import COIN, PERIOD_MS, World, make_genesis
from tests.node.api.harness import Node, open_api


async def test_evidence_with_votes_that_prove_themselves() -> None:
    """Two accusations: newest first, each with two votes whose signatures a client can check, and
    the licence as it stands: accused until the epoch ends, then suspended."""
    async with open_api() as api:
        world = api.node.world
        assert (await api.read("/evidence", Page[EvidenceShown])).items == []
        first = world.accuse("val1")
        block = api.node.decide([first])
        api.node.decide([world.accuse("val2")])
        page = await api.read("/evidence?limit=1", Page[EvidenceShown])
        rest = await api.read(f"/evidence?cursor={page.next_cursor}", Page[EvidenceShown])
        api.node.decide([world.govern(EndEpoch(0))])
        after = await api.read("/evidence", Page[EvidenceShown])
    assert [item.licence for item in page.items + rest.items] == ["val2", "val1"]
    assert rest.next_cursor is None
    (shown,) = rest.items
    assert (shown.txid, shown.height) == (first.txid.hex(), 1)
    assert (shown.state, shown.cause) == ("accused", "")
    assert shown.time_ms == block.header.time_ms
    assert shown.key is not None
    assert shown.votes is not None
    assert shown.votes[0].block_hash != shown.votes[1].block_hash
    for vote in shown.votes:
        payload = VotePayload(
            vote.epoch, vote.phase, vote.view, vote.height, bytes.fromhex(vote.block_hash)
        )
        message = vote_hash(world.chain_id, payload)
        assert verify(bytes.fromhex(shown.key), message, bytes.fromhex(vote.signature))
    assert [(item.state, item.cause) for item in after.items] == [("suspended", "evidence")] * 2


async def test_evidence_without_its_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pruned: who and where stay known, the votes are with those who archive."""
    monkeypatch.setattr(pruning, "BODIES_KEPT", 1)
    node = Node()
    genesis = genesis_state(node.world.genesis)
    node.chain = Chain.create(MemoryKV(), genesis, is_archive=False)
    async with open_api(node) as api:
        api.node.decide([api.node.world.accuse("val1")])
        api.node.decide([])
        (shown,) = (await api.read("/evidence", Page[EvidenceShown])).items
    assert (shown.licence, shown.height, shown.key, shown.votes) == ("val1", 1, None, None)


async def test_epochs_from_the_present_down() -> None:
    """Two ended by their length: heights without a gap, members of each, pages of one."""
    async with open_api(Node(World(make_genesis(epoch_blocks=2, epoch_ms=1_000)))) as api:
        blocks = [api.node.decide([]) for _ in range(7)]
        ends = [item.header for item in blocks if item.header.ends_epoch]
        found, cursor = list[EpochShown](), ""
        while cursor is not None:
            more = f"&cursor={cursor}" if cursor else ""
            page = await api.read(f"/epochs?limit=1{more}", Page[EpochShown])
            found, cursor = found + page.items, page.next_cursor
        whole = await api.read("/epochs", Page[EpochShown])
    assert found == whole.items
    assert len(ends) == 2
    assert [item.number for item in found] == [2, 1, 0]
    assert [item.last_height for item in found] == [None, ends[1].height, ends[0].height]
    assert [item.first_height for item in found] == [ends[1].height + 1, ends[0].height + 1, 1]
    assert [item.last_hash for item in found[1:]] == [header_hash(x).hex() for x in ends[::-1]]
    assert all(sorted(item.members) == [f"val{i}" for i in range(4)] for item in found)


async def test_who_signed_is_in_the_list_of_blocks() -> None:
    """Genesis has no signers; every other block those of its certificate, by licence."""
    async with open_api() as api:
        api.node.decide([])
        page = await api.read("/blocks", Page[schemas.BlockSummary])
        certificate = await api.read("/blocks/1/certificate", schemas.Certificate)
    assert page.items[0].signers == [item.licence for item in certificate.signers]
    assert len(page.items[0].signers) == 3
    assert (page.items[0].view, page.items[1].view) == (certificate.view, 0)
    assert page.items[1].signers == []


async def test_fees_are_those_of_the_parameters() -> None:
    async with open_api() as api:
        fees = await api.read("/fees", schemas.Fees)
        params = await api.read("/params", schemas.Params)
    assert fees == params.fees
    assert int(fees.per_byte) > 0


async def test_how_issuers_stood() -> None:
    """Samples at each period and the present at the end, spread over as many points as asked."""
    async with open_api() as api:
        node, world = api.node, api.node.world
        for number in range(6):
            node.decide([world.mint(amount=COIN, number=number)], after_ms=PERIOD_MS)
            node.history.keep(node.chain)
        node.decide([world.mint(amount=COIN, number=6)])
        whole = await api.read("/reserve/history", ReserveHistory)
        few = await api.read("/reserve/history?points=3&issuer=val0", ReserveHistory)
        since = whole.points[4].time_ms
        late = await api.read(f"/reserve/history?since_ms={since}", ReserveHistory)
        now = await api.read("/reserve", schemas.Reserve)
        unknown = await api.ask("/reserve/history?issuer=nobody")
        wrong = [await api.ask(f"/reserve/history?points={n}") for n in ("1", "1001", "x", "")]
    assert [item.height for item in whole.points] == [1, 2, 3, 4, 5, 6, 7]
    assert [item.height for item in few.points] == [1, 6, 7]
    assert [item.height for item in late.points] == [5, 6, 7]
    supplies = [int(point.issuers[0].outstanding) for point in few.points]
    assert supplies[1] - supplies[0] == 5 * COIN
    last = whole.points[-1]
    assert [
        (x.issuer, x.outstanding, x.reserve, x.coverage_ppm, x.deliverability_ppm, x.status)
        for x in last.issuers
    ] == [
        (x.issuer, x.outstanding, x.reserve, x.coverage_ppm, x.deliverability_ppm, x.status)
        for x in now.issuers
    ]
    assert all(len(point.issuers) == 1 for point in few.points)
    assert (unknown.status, unknown.code) == (404, "not_found")
    assert {(reply.status, reply.code) for reply in wrong} == {(400, "bad_request")}
