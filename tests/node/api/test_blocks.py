"""Blocks, headers and certificates: by every name, in pages, as bytes, kept by caches."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ledger import codec
from ledger.block import BLOCK_FRAME_BYTES_MAX, COMMIT, Block, check_certificate, header_hash
from ledger.merkle import merkle_root
from ledger.transaction import decode
from node.api import schemas
from node.api.convert import read_certificate, read_header
from node.api.schemas import Page
from tests.node.api.harness import Api, open_api


def grow(api: Api, count: int) -> list[Block]:
    """`count` blocks; the first holds a transfer and a mint."""
    world = api.node.world
    first = api.node.decide([world.transfer("alice", "bob"), world.mint()])
    return [first, *(api.node.decide([]) for _ in range(count - 1))]


async def test_block_by_height_hash_and_latest() -> None:
    """Asks for one block by three names: the same answer, with the txids and who signed."""
    async with open_api() as api:
        (block,) = grow(api, 1)
        name = header_hash(block.header).hex()
        found = [await api.read(f"/blocks/{at}", schemas.Block) for at in ("1", name, "latest")]
    assert found[0] == found[1] == found[2]
    answer = found[0]
    assert read_header(answer.header) == block.header
    assert answer.header.hash == name
    assert answer.txids == [decode(raw).txid.hex() for raw in block.transactions]
    assert answer.size_bytes == sum(len(raw) for raw in block.transactions)
    assert answer.proposer == api.node.world.validators.members[0].licence
    assert answer.certificate is not None
    check_certificate(
        read_certificate(answer.certificate),
        api.node.world.chain_id,
        api.node.world.validators,
        COMMIT,
    )


async def test_block_as_bytes_is_the_block() -> None:
    """Asks for MessagePack: the canonical bytes, whose transactions hash to the header's root."""
    async with open_api() as api:
        (block,) = grow(api, 1)
        reply = await api.ask("/blocks/1", headers={"Accept": "application/msgpack"})
    assert reply.headers["Content-Type"] == "application/msgpack"
    read = codec.decode(reply.body, Block, size_max=BLOCK_FRAME_BYTES_MAX)
    assert read == block
    leaves = [decode(raw).wtxid for raw in read.transactions]
    assert merkle_root(leaves) == block.header.tx_root


async def test_genesis_block_has_no_certificate() -> None:
    """Height 0 is served like any other, without certificate, proposer or transactions."""
    async with open_api() as api:
        block = await api.read("/blocks/0", schemas.Block)
        reply = await api.ask("/blocks/0/certificate")
    assert (block.certificate, block.proposer, block.txids) == (None, "", [])
    assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ("7", 404),
        ("00" * 32, 404),
        ("01", 400),
        ("-1", 400),
        ("x", 400),
        ("AB" * 32, 400),
        ("9" * 20, 400),
        ("１", 400),
        ("Latest", 400),
    ],
)
async def test_no_such_block(at: str, status: int) -> None:
    """Asks for blocks that are not there or have no such name."""
    async with open_api() as api:
        reply = await api.ask(f"/blocks/{at}")
    assert reply.status == status
    assert reply.code in ("not_found", "bad_request", "malformed")


async def test_blocks_page_down_and_stay_put_under_new_ones() -> None:
    """Pages through the blocks while the chain grows: each height once, from the newest down."""
    async with open_api() as api:
        grow(api, 6)
        heights: list[int] = []
        cursor = ""
        while True:
            page = await api.read(f"/blocks?limit=3{cursor}", Page[schemas.BlockSummary])
            heights += [item.height for item in page.items]
            api.node.decide([])
            if page.next_cursor is None:
                break
            cursor = f"&cursor={page.next_cursor}"
        first = (await api.read("/blocks?limit=200", Page[schemas.BlockSummary])).items[-2]
    assert heights == [6, 5, 4, 3, 2, 1, 0]
    assert (first.height, first.transactions) == (1, 2)


async def test_headers_page_up_and_chain() -> None:
    """Walks all headers from genesis: each names the one before, each has its certificate."""
    async with open_api() as api:
        grow(api, 5)
        items: list[schemas.CertifiedHeader] = []
        query = "start=0&limit=2"
        while True:
            page = await api.read(f"/headers?{query}", Page[schemas.CertifiedHeader])
            items += page.items
            if page.next_cursor is None:
                break
            query = f"limit=2&cursor={page.next_cursor}"
        beyond = await api.read("/headers?start=6", Page[schemas.CertifiedHeader])
    assert [item.header.height for item in items] == list(range(6))
    for parent, child in pairwise(items):
        assert child.header.parent_hash == header_hash(read_header(parent.header)).hex()
        assert child.certificate is not None
        assert child.certificate.block_hash == child.header.hash
    assert (beyond.items, beyond.next_cursor) == ([], None)


async def test_final_answers_may_be_kept_and_are_not_sent_twice() -> None:
    """Asks again with the tag of the first answer: 304; the latest block is never kept."""
    async with open_api() as api:
        grow(api, 1)
        paths = ("/blocks/1", "/blocks/1/certificate")
        for path in paths:
            first = await api.ask(path)
            tag = first.headers["Etag"]
            second = await api.ask(path, headers={"If-None-Match": tag})
            other = await api.ask(path, headers={"If-None-Match": '"else"'})
            assert "immutable" in first.headers["Cache-Control"]
            assert (second.status, second.body, other.status) == (304, b"", 200)
        latest = await api.ask("/blocks/latest")
        as_bytes = await api.ask("/blocks/1", headers={"Accept": "application/msgpack"})
    assert latest.headers["Cache-Control"] == "no-store"
    assert as_bytes.headers["Etag"] != tag


async def test_a_block_of_the_list_says_how_long_it_took() -> None:
    """Times one of two blocks: the other was final before this node's start."""
    async with open_api() as api:
        grow(api, 2)
        api.node.final_after[2] = 41
        page = await api.read("/blocks", Page[schemas.BlockSummary])
    assert [item.final_after_ms for item in page.items] == [41, None, None]
