"""The facts at the end of a chaos run: the chain run again from genesis, and every node's answer.

Blocks come from the first node and are executed here as `marsa audit chain` does; of the others
headers are compared, which bind everything below them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cli import audit_chain
from cli.async_client import AsyncClient
from cli.audit_chain import AuditFailed, Replay
from cli.client import Client, ClientError, all_items
from cli.devnet.judge import Block, NodeEnd, Paid
from cli.devnet.state import DevnetNode, Place
from ledger import block as blocks
from ledger import codec, transaction
from ledger import genesis as genesis_file
from ledger.reasons import Invalid
from node.api.convert import read_header
from node.api.schemas import PAGE_ITEMS_MAX, CertifiedHeader, Page

QUESTIONS_AT_ONCE = 8
"""To one node: below what an address may have open."""
REQUEST_S = 20.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found."""

    chain: list[Block]
    chain_fault: str
    nodes: list[NodeEnd]


class _Source:
    """A node's chain, with what passes noted."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.blocks: list[Block] = []

    def headers(
        self, *, start: int = 0, limit: int | None = None, cursor: str | None = None
    ) -> Page[CertifiedHeader]:
        page = self._client.headers(start=start, limit=limit, cursor=cursor)
        for item in page.items:
            header = read_header(item.header)
            self.blocks.append(Block(blocks.header_hash(header).hex(), header.state_root.hex()))
        return page

    def raw_block(self, at: int | str) -> bytes:
        raw = self._client.raw_block(at)
        block = codec.decode(raw, blocks.Block, size_max=blocks.BLOCK_FRAME_BYTES_MAX)
        there = self.blocks[block.header.height]
        found = tuple(_paid(transaction.decode(item)) for item in block.transactions)
        self.blocks[block.header.height] = Block(there.block, there.state_root, found)
        return raw


async def collect(
    place: Place, clients: Mapping[str, AsyncClient], told: Sequence[str], first: int
) -> Facts:
    """Ask all nodes; `told` is what any of them called final, `first` a height that all had."""
    chain, fault = await asyncio.to_thread(_replay, place)
    nodes = []
    for node in place.devnet.nodes:
        headers = await asyncio.to_thread(_headers, node, first, len(chain))
        final = await _heights(clients[node.name], told)
        nodes.append(NodeEnd(name=node.name, first=first, headers=headers, final=final))
    return Facts(chain, fault, nodes)


def _replay(place: Place) -> tuple[list[Block], str]:
    """Of the first node that answers."""
    fault = "no node answers"
    for node in place.devnet.nodes:
        with contextlib.suppress(ClientError), Client(node.api, timeout_s=REQUEST_S) as client:
            target = client.status().sync.height
            source = _Source(client)
            fault = _audit(source, place, target)
            return source.blocks[: target + 1], fault
    return [], fault


def _audit(source: _Source, place: Place, target: int) -> str:
    """Why the chain is not valid; empty when it is."""
    genesis = genesis_file.load((place.directory / "genesis.json").read_bytes())
    try:
        audit_chain.audit(source, Replay(genesis), target, lambda height: None)
    except AuditFailed as failed:
        return str(failed)
    except Invalid as wrong:
        return wrong.detail
    return ""


def _headers(node: DevnetNode, first: int, count: int) -> tuple[tuple[str, str], ...]:
    """From `first` to where the chain ends, fewer where this node has fewer or does not answer."""
    found = []
    with contextlib.suppress(ClientError, Invalid), Client(node.api, timeout_s=REQUEST_S) as client:
        items = all_items(
            lambda cursor: client.headers(start=first, limit=PAGE_ITEMS_MAX, cursor=cursor)
        )
        for item in items:
            if item.header.height >= count:
                break
            header = read_header(item.header)
            found.append((blocks.header_hash(header).hex(), header.state_root.hex()))
    return tuple(found)


async def _heights(client: AsyncClient, told: Sequence[str]) -> dict[str, int | None]:
    """Where this node has each transaction; None where it does not call it final."""
    left = iter(told)
    found: dict[str, int | None] = {}

    async def ask() -> None:
        for txid in left:
            try:
                status = await client.transaction(txid, proof=False)
            except ClientError:
                found[txid] = None
                continue
            found[txid] = status.height if status.status == "final" else None

    await asyncio.gather(*(ask() for _ in range(QUESTIONS_AT_ONCE)))
    return found


def _paid(tx: transaction.SignedTransaction) -> Paid:
    body = tx.body
    return Paid(
        txid=tx.txid.hex(),
        spends=tuple(f"{item.txid.hex()}:{item.index}" for item in body.inputs),
        outputs=tuple((item.lock, item.amount) for item in body.outputs),
        fee=body.fee.amount,
    )
