"""A certified chain in memory that can be served as an API serves it, and spoiled on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger import codec
from ledger.block import (
    COMMIT,
    Block,
    Certificate,
    Header,
    VotePayload,
    header_hash,
    make_certificate,
    vote_hash,
)
from ledger.transaction import SignedTransaction
from node.api import schemas
from node.api.convert import certificate_answer, header_answer
from tests.ledger.world import World, key

PAGE = 2
"""Small, so that every test turns pages."""


@dataclass
class CertifiedChain:
    """Blocks 0 to the tip, each but the first with a certificate."""

    world: World = field(default_factory=World)
    blocks: list[Block] = field(default_factory=list)
    certificates: list[Certificate | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.blocks.append(Block(self.world.state.head.header, ()))
        self.certificates.append(None)

    def advance(self, txs: Sequence[SignedTransaction] = ()) -> None:
        self.add(self.world.advance(txs))

    def add(self, block: Block) -> None:
        self.blocks.append(block)
        self.certificates.append(certify(self.world, block.header))

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    def headers(
        self, *, start: int = 0, limit: int | None = None, cursor: str | None = None
    ) -> schemas.Page[schemas.CertifiedHeader]:
        first = start if cursor is None else int(cursor)
        end = min(first + PAGE, len(self.blocks))
        items = [self.certified(height) for height in range(first, end)]
        return schemas.Page(items=items, next_cursor=str(end) if end <= self.height else None)

    def raw_block(self, at: int | str) -> bytes:
        return codec.encode(self.blocks[int(at)])

    def certified(self, height: int) -> schemas.CertifiedHeader:
        certificate = self.certificates[height]
        return schemas.CertifiedHeader(
            header=header_answer(self.blocks[height].header),
            certificate=None
            if certificate is None
            else certificate_answer(certificate, self.world.validators),
        )


def certify(world: World, header: Header, signers: int | None = None) -> Certificate:
    """The COMMIT of the first `signers` members, a quorum unless given."""
    members = world.validators
    payload = VotePayload(header.epoch, COMMIT, 0, header.height, header_hash(header))
    message = vote_hash(world.chain_id, payload)
    return make_certificate(
        payload,
        {
            index: key(f"{members.members[index].licence}/consensus").sign(message)
            for index in range(members.quorum if signers is None else signers)
        },
    )
