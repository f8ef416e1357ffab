"""`marsa query`: what a node answers about blocks, addresses, outputs, validators, parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cli.base import Group, examples
from cli.errors import not_found, usage_error
from cli.output import emit, table
from cli.units import counted, short_hex
from ledger.amounts import format_amount, parse_number

if TYPE_CHECKING:
    from node.api import schemas


@click.command(
    "query",
    cls=Group,
    help=f"""{examples("marsa query block latest", "marsa query validators --json")}

Blocks, addresses, outputs, validators, parameters, as a node answers them.
""",
)
def query() -> None:
    """Group of commands."""


@query.command(
    "block",
    short_help="A block by height, by hash, or the latest.",
    help=f"""{examples("marsa query block latest", "marsa query block 17 --json")}

Show a final block: its header, transactions and certificate.
""",
)
@click.argument("at", default="latest")
def block(at: str) -> None:
    from cli import nodes

    _check_place(at)
    with nodes.connected() as node:
        found = node.client.block(at)
    emit("marsa.query.block/1", found, lambda: _block_text(found))


@query.command(
    "header",
    short_help="The header of a block and its certificate.",
    help=f"""{examples("marsa query header", "marsa query header 17 --json")}

Show a header: everything that is hashed and signed of a block.
""",
)
@click.argument("at", default="latest")
def header(at: str) -> None:
    from cli import nodes

    _check_place(at)
    with nodes.connected() as node:
        found = node.client.block(at)
    value = {"header": found.header, "certificate": found.certificate}
    emit("marsa.query.header/1", value, lambda: _header_text(found.header))


@query.command(
    "address",
    short_help="Balances of an address, account or alias.",
    help=f"""{examples("marsa query address alice", "marsa query address mrst1… --json")}

Show what an address holds, asset by asset.
""",
)
@click.argument("address")
def address(address: str) -> None:
    from cli import accounts, nodes
    from ledger.address import encode_address

    with nodes.connected() as node:
        lock = accounts.resolve_address(address, node.hrp, chain_id=node.chain_id)
        found = node.client.address(encode_address(lock, node.hrp))
    held = [(item.issuer, int(item.amount), item.asset) for item in found.balances]
    emit("marsa.query.address/1", found, lambda: balances_text(found.address, held))


@query.command(
    "outpoint",
    short_help="An output: unspent with a proof, or spent and by which transaction.",
    help=f"""{examples("marsa query outpoint TXID:0", "marsa query outpoint TXID:1 --json")}

Show an output of a transaction.
""",
)
@click.argument("outpoint", metavar="TXID:N")
def outpoint(outpoint: str) -> None:
    from cli import nodes
    from cli.tx import checked_txid

    txid, _, index = outpoint.partition(":")
    number = parse_number(index)
    if number is None:
        detail = f"{outpoint!r} is not an outpoint: TXID:N"
        raise usage_error("bad_outpoint", detail, "marsa wallet coins NAME lists such")
    with nodes.connected() as node:
        found = node.client.outpoint(checked_txid(txid), number)
        if found.status == "unknown":
            detail = f"no final transaction made {outpoint}"
            raise not_found("unknown_outpoint", detail, f"marsa tx show {txid}")
    emit("marsa.query.outpoint/1", found, lambda: _outpoint_text(found))


@query.command(
    "validators",
    short_help="Who votes now, who leads, who is connected.",
    help=f"""{examples("marsa query validators", "marsa query validators --json")}

Show the validators of this epoch in their order.
""",
)
def validators() -> None:
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.validators()
    emit("marsa.query.validators/1", found, lambda: _validators_text(found))


@query.command(
    "params",
    short_help="Constants of the chain: fees, margin, limits.",
    help=f"""{examples("marsa query params", "marsa query params --json")}

Show the parameters that the genesis fixed.
""",
)
def params() -> None:
    from cli import nodes

    with nodes.connected() as node:
        found = node.params
    emit("marsa.query.params/1", found, lambda: fields_text(found))


@query.command(
    "mempool",
    short_help="Transactions that wait in this node.",
    help=f"""{examples("marsa query mempool", "marsa query mempool --json")}

Show how many transactions wait, and for how long.
""",
)
def mempool() -> None:
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.mempool()
    emit("marsa.query.mempool/1", found, lambda: fields_text(found))


@query.command(
    "object",
    short_help="A protocol object by its key.",
    help=f"""{examples("marsa query object KEY", "marsa query object KEY --json")}

Show the encoded bytes of a protocol object; KEY is hex.
""",
)
@click.argument("key")
def object_by_key(key: str) -> None:
    from cli import nodes

    with nodes.connected() as node:
        found = node.client.object(key)
    if found.value is None:
        raise not_found(
            "unknown_object", f"there is no object {key} at height {found.header.height}"
        )
    emit("marsa.query.object/1", found, lambda: f"{found.key}\n{found.value}")


def balances_text(address: str, balances: Sequence[tuple[str, int, str]]) -> str:
    """An address and a line for each (issuer, amount, asset)."""
    if not balances:
        return f"{address} holds nothing"
    rows = [[issuer, format_amount(amount), asset] for issuer, amount, asset in balances]
    return f"{address}\n{table(['issuer', 'amount', 'asset'], rows)}"


def fields_text(answer: object) -> str:
    """Name and value of each field of an answer, nested names joined by dots."""
    import msgspec

    lines: list[list[str]] = []

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(f"{prefix}.{name}" if prefix else str(name), inner)
        else:
            lines.append([prefix, str(value)])

    walk("", msgspec.to_builtins(answer))
    width = max((len(name) for name, _ in lines), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in lines)


def _check_place(at: str) -> None:
    """A height, a hash or `latest`; whether there is such a block, the node knows."""
    if re.fullmatch(r"latest|[0-9]{1,19}|[0-9a-f]{64}", at, re.ASCII) is None:
        raise usage_error(
            "bad_place", f"{at!r} names no block", "give a height, a hash of 64 digits, or latest"
        )


def _block_text(found: schemas.Block) -> str:
    lines = [_header_text(found.header)]
    lines.append(f"proposer     {found.proposer or 'genesis'}")
    lines.append(
        f"size         {found.size_bytes} bytes, {counted(len(found.txids), 'transaction')}"
    )
    if found.certificate is not None:
        names = ", ".join(signer.licence for signer in found.certificate.signers)
        lines.append(f"certificate  view {found.certificate.view}, signed by {names}")
    lines += [f"transaction  {txid}" for txid in found.txids]
    return "\n".join(lines)


def _header_text(found: schemas.Header) -> str:
    return "\n".join(
        (
            f"block        {found.height}",
            f"hash         {found.hash}",
            f"parent       {found.parent_hash}",
            f"time         {found.time}",
            f"state root   {found.state_root}",
            f"tx root      {found.tx_root}",
        )
    )


def _outpoint_text(found: schemas.Outpoint) -> str:
    name = f"{short_hex(found.txid)}:{found.index}"
    if found.coin is None:
        return f"{name} is {found.status}" + (f" by {found.spent_by}" if found.spent_by else "")
    coin = found.coin
    return (
        f"{name} is {found.status}: {format_amount(int(coin.amount))} {coin.issuer} "
        f"of {coin.address}, made in block {coin.height}"
    )


def _validators_text(found: schemas.Validators) -> str:
    rows = [
        [
            str(member.index),
            member.licence,
            member.name,
            "primary" if member.is_primary else "",
            "connected" if member.connected else "MISSING",
        ]
        for member in found.members
    ]
    shown = table(["index", "licence", "name", "role", "link"], rows)
    return f"{shown}\n{found.n} validators, {found.quorum} decide, {found.f} may be faulty"
