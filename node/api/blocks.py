"""Blocks, headers, certificates: final, so every answer but `latest` may be kept for ever."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ledger import codec, transaction
from ledger.block import Block, Header, header_hash
from ledger.reasons import Reason
from ledger.times import rfc3339
from node.api import schemas
from node.api.convert import certificate_answer, header_answer, read_hash
from node.api.forms import Count
from node.api.problems import ApiCode, not_found, pruned
from node.api.reply import answer, final, final_bytes
from node.api.request import (
    MSGPACK,
    SERVICES,
    read_cursor,
    read_limit,
    read_number,
    read_query,
    write_cursor,
)
from node.api.routes import PAGED, Parameter, get
from node.api.services import Services

HASH_CHARS = 64
SLICE_TRANSACTIONS = 100
"""Decoded between two looks at other work: about 2 ms."""
_DOWN = b"b"
_UP = b"h"
_CURSOR = (ApiCode.BAD_CURSOR,)
_KEPT = (Reason.MALFORMED, ApiCode.NOT_FOUND, ApiCode.PRUNED)


async def get_blocks(request: web.Request) -> web.Response:
    """Final blocks from the newest down, as far as this node has them."""
    query = read_query(request)
    services = request.app[SERVICES]
    limit, start = read_limit(query), read_cursor(query, _DOWN)
    top = services.chain.height if start is None else int.from_bytes(start, "big")
    top = min(top, services.chain.height)
    lowest = services.chain.first_listed
    last = max(lowest, top - limit + 1)
    items = [block_summary(services, height) for height in range(top, last - 1, -1)]
    cursor = write_cursor(_DOWN, (last - 1).to_bytes(8, "big")) if last > lowest else None
    return answer(schemas.Page(items=items, next_cursor=cursor))


async def get_headers(request: web.Request) -> web.Response:
    """Headers from `start` up, each with its certificate; the last page has no cursor."""
    query = read_query(request)
    services = request.app[SERVICES]
    limit, cursor = read_limit(query), read_cursor(query, _UP)
    if cursor is not None:
        first = int.from_bytes(cursor, "big")
    else:
        first = read_number(query.get("start", "0"), "start")
    _check_kept(services, first)
    end = min(first + limit, services.chain.height + 1)
    items = [certified(services, height) for height in range(first, end)]
    more = write_cursor(_UP, end.to_bytes(8, "big")) if end <= services.chain.height else None
    return answer(schemas.Page(items=items, next_cursor=more))


async def get_block(request: web.Request) -> web.Response:
    """One block, by height, hash or `latest`.

    `Accept: application/msgpack` gives its canonical bytes.
    """
    read_query(request)
    services = request.app[SERVICES]
    at = request.match_info["at"]
    height = _height(services, at)
    block = services.chain.block(height)
    if block is None:
        bodies_from = services.chain.bodies_from
        if height < bodies_from:
            raise pruned(
                f"block {at} is not kept here, the oldest that is has height {bodies_from}"
            )
        raise not_found(f"no block {at}; the last one is {services.chain.height}")
    if request.headers.get("Accept") == MSGPACK:
        tag = f"{block.header.height}.msgpack"
        return final_bytes(request, codec.encode(block), MSGPACK, tag=tag)
    value = await _block_answer(services, block)
    return answer(value) if at == "latest" else final(request, value)


async def get_certificate(request: web.Request) -> web.Response:
    """Who signed a block, in the view in which it became final."""
    read_query(request)
    services = request.app[SERVICES]
    height = read_number(request.match_info["height"], "the height")
    certificate = services.chain.certificate(height)
    if certificate is None:
        _check_kept(services, max(height, 1))
        why = "the genesis block needs none" if height == 0 else "that block is not final"
        raise not_found(f"no certificate of height {height}: {why}")
    validators = services.validators_at(certificate.epoch)
    return final(request, certificate_answer(certificate, validators))


def certified(services: Services, height: int) -> schemas.CertifiedHeader:
    """A header up to the tip with its certificate, which height 0 alone lacks."""
    return schemas.CertifiedHeader(
        header=header_answer(_header(services, height)),
        certificate=certificate_of(services, height),
    )


def certificate_of(services: Services, height: int) -> schemas.Certificate | None:
    found = services.chain.certificate(height)
    if found is None:
        return None
    return certificate_answer(found, services.validators_at(found.epoch))


def _check_kept(services: Services, height: int) -> None:
    base = services.chain.base
    if height < base:
        raise pruned(f"this node began with a snapshot of height {base} and has nothing below it")


def _height(services: Services, at: str) -> int:
    if at == "latest":
        return services.chain.height
    if len(at) != HASH_CHARS:
        return read_number(at, "a block is named by height, hash or 'latest'; the height")
    height = services.chain.height_of(read_hash(at, "the block hash"))
    if height is None:
        raise not_found(f"no final block has the hash {at}")
    return height


def _header(services: Services, height: int) -> Header:
    header = services.chain.header(height)
    if header is None:
        raise AssertionError(f"header {height} was asked for above the tip")
    return header


def block_summary(services: Services, height: int) -> schemas.BlockSummary:
    """An item of the list, for a height from `Chain.first_listed` to the tip."""
    header, certificate = _header(services, height), services.chain.certificate(height)
    signers: list[str] = []
    if certificate is not None:
        members = services.validators_at(certificate.epoch).members
        signers = [members[index].licence for index in certificate.signer_indices]
    return schemas.BlockSummary(
        height=height,
        hash=header_hash(header).hex(),
        time_ms=header.time_ms,
        time=rfc3339(header.time_ms),
        proposer=_proposer(services, header),
        transactions=services.chain.transaction_count(height) or 0,
        view=0 if certificate is None else certificate.view,
        signers=signers,
        final_after_ms=services.watch.final_after_ms(height),
    )


def _proposer(services: Services, header: Header) -> str:
    """Its licence; empty for genesis, which nobody proposed."""
    validators = services.validators_at(header.epoch)
    index = validators.index_by_key.get(header.proposer)
    return "" if index is None else validators.members[index].licence


async def _block_answer(services: Services, block: Block) -> schemas.Block:
    header = block.header
    txids = []
    for position, raw in enumerate(block.transactions):
        if position and position % SLICE_TRANSACTIONS == 0:
            await asyncio.sleep(0)
        txids.append(transaction.decode(raw).txid.hex())
    return schemas.Block(
        header=header_answer(header),
        proposer=_proposer(services, header),
        txids=txids,
        size_bytes=sum([len(raw) for raw in block.transactions]),
        certificate=certificate_of(services, header.height),
    )


ROUTES = (
    get(
        "/v1/blocks",
        get_blocks,
        schemas.Page[schemas.BlockSummary],
        *PAGED,
        codes=_CURSOR,
        weight=5,
    ),
    get(
        "/v1/blocks/{at}",
        get_block,
        schemas.Block,
        codes=_KEPT,
        raw="The canonical bytes of a `ledger.block.Block`.",
        is_final=True,
        weight=2,
    ),
    get(
        "/v1/blocks/{height}/certificate",
        get_certificate,
        schemas.Certificate,
        codes=_KEPT,
        is_final=True,
    ),
    get(
        "/v1/headers",
        get_headers,
        schemas.Page[schemas.CertifiedHeader],
        Parameter("start", Count, "The first height; 0 without it.", "1"),
        *PAGED,
        codes=(*_CURSOR, ApiCode.PRUNED),
        weight=5,
    ),
)
