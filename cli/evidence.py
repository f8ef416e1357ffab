"""`marsa evidence`: whose licence was suspended for contradicting itself, and the votes in proof.

The licences come from the state, the votes from the blocks, newest first. Each pair is verified
here; what the node says about it is not believed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import click

from cli.base import Group, Number, examples
from cli.errors import CliError, ExitCode
from cli.output import emit, table

if TYPE_CHECKING:
    from ledger.operations import Evidence
    from ledger.reasons import Invalid
    from ledger.transaction import SignedTransaction
    from node.api import epoch_schemas, schemas

SCHEMA = "marsa.evidence.list/1"
BLOCKS_DEFAULT = 12_000
"""Evidence counts for ten epochs back: of 1,000 blocks each, and some that were longer."""
BLOCKS_MAX = 1_000_000
STATES = ("accused", "suspended")


class Source(Protocol):
    """Where blocks come from: `cli.client.Client`."""

    def blocks(
        self, *, limit: int | None = None, cursor: str | None = None
    ) -> schemas.Page[schemas.BlockSummary]: ...

    def raw_block(self, at: int | str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Verified evidence in a final block."""

    height: int
    txid: bytes
    evidence: Evidence


@click.command(
    "evidence",
    cls=Group,
    help=f"""{examples("marsa evidence list", "marsa evidence list --json")}

Validators who signed two contradicting votes.
""",
)
def evidence() -> None:
    """Group of commands."""


@evidence.command(
    "list",
    short_help="Accused and suspended licences, with height and proof.",
    help=f"""{examples("marsa evidence list", "marsa evidence list --blocks 100000 --json")}

List the licences that are accused (until the epoch ends) or suspended, with the block that holds
the evidence and the two votes in it. Those without were suspended by the validators, or longer ago
than the blocks that are searched.
""",
)
@click.option(
    "--blocks",
    "blocks_max",
    type=Number(1, BLOCKS_MAX),
    default=BLOCKS_DEFAULT,
    show_default=True,
    help="Search so many blocks, from the newest down.",
)
def show(blocks_max: int) -> None:
    from cli import nodes
    from cli.progress import Progress
    from ledger.reasons import Invalid

    with nodes.connected() as node:
        epoch = node.client.epoch()
        wanted = [item for item in epoch.licences if item.state in STATES]
        keys = {item.keys.consensus for item in wanted}
        with Progress("searching the chain", min(blocks_max, epoch.height), "blocks") as progress:
            chain_id = bytes.fromhex(node.chain_id)
            try:
                found = search(node.client, chain_id, keys, blocks_max, progress.reach)
            except Invalid as error:
                raise _not_proved(node.client.url, error) from None
    rows = [(item, found.get(bytes.fromhex(item.keys.consensus))) for item in wanted]
    value = {
        "height": epoch.height,
        "licences": [_row_json(item, proof) for item, proof in rows],
    }
    emit(SCHEMA, value, lambda: _text(rows))


def search(
    source: Source,
    chain_id: bytes,
    keys: set[str],
    blocks_max: int,
    on_block: Callable[[int], object],
) -> dict[bytes, Found]:
    """The newest evidence against each key, by key; ends when all are found."""
    from cli.client import all_items
    from ledger import codec, transaction
    from ledger.block import BLOCK_FRAME_BYTES_MAX, Block
    from node.api.schemas import PAGE_ITEMS_MAX

    found: dict[bytes, Found] = {}
    left = {bytes.fromhex(key) for key in keys}
    pages = all_items(lambda cursor: source.blocks(limit=PAGE_ITEMS_MAX, cursor=cursor))
    for number, summary in enumerate(pages, start=1):
        if not left or number > blocks_max:
            break
        on_block(number)
        if summary.transactions == 0 or summary.height == 0:
            continue
        raw = source.raw_block(summary.height)
        block = codec.decode(raw, Block, size_max=BLOCK_FRAME_BYTES_MAX)
        for tx in map(transaction.decode, block.transactions):
            for item in verified(tx, chain_id):
                if item.key in left:
                    left.discard(item.key)
                    found[item.key] = Found(summary.height, tx.txid, item)
    return found


def verified(tx: SignedTransaction, chain_id: bytes) -> list[Evidence]:
    """The evidence in a transaction; raises Invalid where a vote is not what it claims."""
    from ledger import transaction
    from ledger.operations import Evidence
    from ledger.reasons import Invalid, Reason

    found = [item for item in tx.body.operations if isinstance(item, Evidence)]
    if found:
        if tx.body.chain_id != chain_id:
            raise Invalid(Reason.WRONG_CHAIN, f"evidence {tx.txid.hex()} is of another chain")
        if not all(map(_is_conflict, found)):
            raise Invalid(Reason.NO_CONFLICT, f"evidence {tx.txid.hex()}")
        transaction.check_signatures(tx)
    return found


def _not_proved(url: str, error: Invalid) -> CliError:
    return CliError(
        error.reason.value,
        f"what {url} shows as evidence is not proved: {error.detail}",
        hint="ask another node with --node URL, and compare",
        exit_code=ExitCode.CHECK_FAILED,
    )


def _is_conflict(item: Evidence) -> bool:
    first, second = item.first, item.second
    one = (first.epoch, first.phase, first.view, first.height)
    other = (second.epoch, second.phase, second.view, second.height)
    return one == other and first.block_hash != second.block_hash


def _row_json(item: epoch_schemas.Licence, proof: Found | None) -> dict[str, object]:
    return {
        "licence": item.id,
        "name": item.name,
        "state": item.state,
        "seat": item.seat,
        "key": item.keys.consensus,
        "height": None if proof is None else proof.height,
        "txid": None if proof is None else proof.txid.hex(),
        "proof": None if proof is None else _proof_json(proof.evidence),
    }


def _proof_json(item: Evidence) -> dict[str, object]:
    place = item.first
    return {
        "epoch": place.epoch,
        "phase": _phase(item),
        "view": place.view,
        "height": place.height,
        "first": {"hash": item.first.block_hash.hex(), "signature": item.first_signature.hex()},
        "second": {"hash": item.second.block_hash.hex(), "signature": item.second_signature.hex()},
    }


def _phase(item: Evidence) -> str:
    from ledger.block import PREPARE

    return "prepare" if item.first.phase == PREPARE else "commit"


def _text(rows: list[tuple[epoch_schemas.Licence, Found | None]]) -> str:
    if not rows:
        return "no licence is accused or suspended"
    lines = []
    for item, proof in rows:
        if proof is None:
            lines.append([item.id, item.state, "", "no evidence in the blocks searched"])
            continue
        vote = proof.evidence.first
        what = (
            f"two {_phase(proof.evidence).upper()}s at height {vote.height}, view {vote.view}, "
            f"epoch {vote.epoch}: {proof.txid.hex()}"
        )
        lines.append([item.id, item.state, str(proof.height), what])
    return table(["licence", "state", "block", "evidence"], lines)
