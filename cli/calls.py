"""Every route of a node as a typed value, for `Client.ask` and `AsyncClient.ask` alike.

A call says what to send and how to read the answer; a client carries it out, with its deadline and
its errors. A list gives a `Page`: ask again with its `next_cursor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from cli.client_errors import read_answer
from node.api import (
    consensus_schemas,
    economy_schemas,
    epoch_schemas,
    node_schemas,
    record_schemas,
    redemption_schemas,
    schemas,
    standard_schemas,
)
from node.api.schemas import Page

JSON = "application/json"
MSGPACK = "application/msgpack"
WAIT_MARGIN_S = 5.0
"""A long wait may take this much longer before it counts as no answer."""

T = TypeVar("T")
F = TypeVar("F", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request below /v1, and how its answer is read."""

    method: str
    path: str
    read: Callable[[bytes], T]
    body: bytes | None = None
    kind: str = ""
    """Of the body."""
    accept: str = JSON
    wait_s: float = 0.0
    """The node may hold the answer back so long."""
    is_safe: bool = True
    """It changes nothing at the node, so that it may be sent twice (RFC 9110 §9.2.1)."""


def _get(cls: type[T], *path: object, **query: object) -> Call[T]:
    """`path` in parts that are quoted; what is None in `query` is left out."""
    return Call("GET", _path(path, query), partial(read_answer, cls=cls))


def _list(cls: type[F], *path: object, **query: object) -> Call[Page[F]]:
    kind: Any = Page[cls]  # type: ignore[valid-type]
    return Call("GET", _path(path, query), partial(read_answer, cls=kind))


def _post(cls: type[T], body: bytes, kind: str, *path: object, is_safe: bool = False) -> Call[T]:
    read = partial(read_answer, cls=cls)
    return Call("POST", _path(path, {}), read, body, kind, is_safe=is_safe)


def _path(parts: Sequence[object], query: dict[str, Any]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    path = "".join([f"/{quote(str(part), safe=':')}" for part in parts])
    return f"{path}?{urlencode(given)}" if given else path


def all_items(fetch: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """Every item of a list, page after page; `fetch` takes a cursor."""
    cursor: str | None = None
    while True:
        page = fetch(cursor)
        yield from page.items
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


# The node and its network.


def status() -> Call[schemas.Status]:
    return _get(schemas.Status, "status")


def params() -> Call[schemas.Params]:
    return _get(schemas.Params, "params")


def fees() -> Call[schemas.Fees]:
    return _get(schemas.Fees, "fees")


def peers() -> Call[node_schemas.Peers]:
    return _get(node_schemas.Peers, "peers")


def mempool() -> Call[schemas.Mempool]:
    return _get(schemas.Mempool, "mempool")


def validators() -> Call[schemas.Validators]:
    return _get(schemas.Validators, "validators")


def consensus() -> Call[consensus_schemas.ConsensusShown]:
    return _get(consensus_schemas.ConsensusShown, "consensus")


def epochs(
    *, limit: int | None = None, cursor: str | None = None
) -> Call[Page[record_schemas.EpochShown]]:
    return _list(record_schemas.EpochShown, "epochs", limit=limit, cursor=cursor)


def epoch() -> Call[epoch_schemas.Epoch]:
    return _get(epoch_schemas.Epoch, "epochs", "current")


def set_changes(start: int = 0) -> Call[epoch_schemas.SetChanges]:
    return _get(epoch_schemas.SetChanges, "epochs", "changes", start=start)


def epoch_validators(number: int) -> Call[epoch_schemas.EpochSet]:
    return _get(epoch_schemas.EpochSet, "epochs", number, "validators")


def evidence(
    *, limit: int | None = None, cursor: str | None = None
) -> Call[Page[record_schemas.EvidenceShown]]:
    return _list(record_schemas.EvidenceShown, "evidence", limit=limit, cursor=cursor)


def search(text: str) -> Call[record_schemas.Search]:
    return _get(record_schemas.Search, "search", q=text)


def openapi() -> Call[dict[str, Any]]:
    return _get(dict[str, Any], "openapi.json")


# Blocks.


def blocks(
    *, limit: int | None = None, cursor: str | None = None
) -> Call[Page[schemas.BlockSummary]]:
    return _list(schemas.BlockSummary, "blocks", limit=limit, cursor=cursor)


def block(at: int | str = "latest") -> Call[schemas.Block]:
    """By height, by hash or the latest."""
    return _get(schemas.Block, "blocks", at)


def raw_block(at: int | str) -> Call[bytes]:
    """The canonical bytes of a `ledger.block.Block`."""
    return Call("GET", _path(("blocks", at), {}), bytes, accept=MSGPACK)


def certificate(height: int) -> Call[schemas.Certificate]:
    return _get(schemas.Certificate, "blocks", height, "certificate")


def headers(
    *, start: int | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[Page[schemas.CertifiedHeader]]:
    return _list(schemas.CertifiedHeader, "headers", start=start, limit=limit, cursor=cursor)


# Transactions.


def submit(raw: bytes) -> Call[schemas.Submitted]:
    """The canonical bytes of a sealed transaction."""
    return _post(schemas.Submitted, raw, MSGPACK, "transactions")


def submit_batch(raws: Sequence[bytes]) -> Call[schemas.BatchAnswer]:
    body = msgspec.msgpack.encode(list(raws))
    return _post(schemas.BatchAnswer, body, MSGPACK, "transactions", "batch")


def check(raw: bytes) -> Call[schemas.Checked]:
    return _post(schemas.Checked, raw, MSGPACK, "transactions", "check", is_safe=True)


def transaction(
    txid: str, *, wait_s: float = 0, proof: bool = True
) -> Call[schemas.TransactionStatus]:
    """The node holds the answer back up to `wait_s`, five seconds at most, until it is final."""
    wait_ms = min(int(wait_s * 1_000), schemas.WAIT_MS_MAX)
    wait = f"{wait_ms}ms" if wait_ms > 0 else None
    path = _path(("transactions", txid), {"wait": wait, "proof": None if proof else "false"})
    read = partial(read_answer, cls=schemas.TransactionStatus)
    return Call("GET", path, read, wait_s=wait_ms / 1_000)


def proof(txid: str) -> Call[schemas.TransactionProof]:
    return _get(schemas.TransactionProof, "transactions", txid, "proof")


# Addresses, outputs, objects.


def address(name: str) -> Call[schemas.Address]:
    return _get(schemas.Address, "addresses", name)


def coins(
    name: str, *, asset: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[Page[schemas.Coin]]:
    """Of an address, by asset, the oldest first."""
    query = {"asset": asset, "limit": limit, "cursor": cursor}
    return _list(schemas.Coin, "addresses", name, "coins", **query)


def history(
    name: str, *, limit: int | None = None, cursor: str | None = None
) -> Call[Page[schemas.HistoryItem]]:
    """Of an address, from the newest down."""
    query = {"limit": limit, "cursor": cursor}
    return _list(schemas.HistoryItem, "addresses", name, "transactions", **query)


def outpoint(txid: str, index: int) -> Call[schemas.Outpoint]:
    return _get(schemas.Outpoint, "outpoints", f"{txid}:{index}")


def object_at(key: str) -> Call[schemas.Object]:
    """A protocol object by its key in hex."""
    return _get(schemas.Object, "objects", key)


# Issuers.


def assets() -> Call[Page[schemas.Asset]]:
    return _list(schemas.Asset, "assets")


def asset(name: str) -> Call[schemas.Asset]:
    return _get(schemas.Asset, "assets", name)


def issuers() -> Call[Page[economy_schemas.Issuer]]:
    return _list(economy_schemas.Issuer, "issuers")


def issuer(name: str) -> Call[economy_schemas.Issuer]:
    return _get(economy_schemas.Issuer, "issuers", name)


def backing(name: str) -> Call[economy_schemas.Backing]:
    """Everything that minting depends on, of an issuer."""
    return _get(economy_schemas.Backing, "issuers", name, "backing")


def reserve() -> Call[schemas.Reserve]:
    return _get(schemas.Reserve, "reserve")


def reserve_history(
    *, points: int | None = None, since_ms: int | None = None, issuer: str | None = None
) -> Call[record_schemas.ReserveHistory]:
    query = {"points": points, "since_ms": since_ms, "issuer": issuer}
    return _get(record_schemas.ReserveHistory, "reserve", "history", **query)


def reserve_bundle() -> Call[bytes]:
    """The bytes that `marsa audit verify-bundle` checks."""
    return Call("GET", "/reserve/bundle", bytes, accept=MSGPACK)


# Licences, capacity, compliance, audits.


def licences() -> Call[Page[economy_schemas.LicenceObject]]:
    return _list(economy_schemas.LicenceObject, "licences")


def licence(name: str) -> Call[economy_schemas.LicenceObject]:
    return _get(economy_schemas.LicenceObject, "licences", name)


def attestors() -> Call[Page[economy_schemas.Attestor]]:
    return _list(economy_schemas.Attestor, "attestors")


def commitments(
    *, issuer: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Call[Page[economy_schemas.Commitment]]:
    query = {"issuer": issuer, "limit": limit, "cursor": cursor}
    return _list(economy_schemas.Commitment, "commitments", **query)


def commitment(issuer: str, name: str) -> Call[economy_schemas.Commitment]:
    return _get(economy_schemas.Commitment, "commitments", issuer, name)


def challenges() -> Call[Page[economy_schemas.Challenge]]:
    return _list(economy_schemas.Challenge, "challenges")


def compliance() -> Call[Page[economy_schemas.Order]]:
    return _list(economy_schemas.Order, "compliance")


def audits() -> Call[economy_schemas.Audits]:
    return _get(economy_schemas.Audits, "audits")


def opening(
    period: int, issuer: str, *, cursor: str | None = None
) -> Call[economy_schemas.Opening]:
    return _get(economy_schemas.Opening, "audits", period, issuer, cursor=cursor)


def quote_mint(form: economy_schemas.MintQuoteForm) -> Call[economy_schemas.MintQuote]:
    body = msgspec.json.encode(form)
    return _post(economy_schemas.MintQuote, body, JSON, "quotes", "mint", is_safe=True)


# The standard.


def standards() -> Call[standard_schemas.Standards]:
    return _get(standard_schemas.Standards, "standards")


def past_standards(
    *, limit: int | None = None, cursor: str | None = None
) -> Call[Page[standard_schemas.Standard]]:
    """The oldest first."""
    query = {"limit": limit, "cursor": cursor}
    return _list(standard_schemas.Standard, "standards", "history", **query)


def quote_standard(
    form: standard_schemas.StandardQuoteForm,
) -> Call[standard_schemas.StandardQuote]:
    body = msgspec.json.encode(form)
    return _post(standard_schemas.StandardQuote, body, JSON, "quotes", "standard", is_safe=True)


# Redemption.


def redemptions(
    *,
    issuer: str | None = None,
    state: str | None = None,
    commitment: str | None = None,
    prefix: str | None = None,
    is_open: bool = False,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[Page[redemption_schemas.Redemption]]:
    """A page of orders; an empty one need not be the last."""
    query = {
        "issuer": issuer,
        "state": state,
        "commitment": commitment,
        "prefix": prefix,
        "open": "true" if is_open else None,
        "limit": limit,
        "cursor": cursor,
    }
    return _list(redemption_schemas.Redemption, "orders", **query)


def redemption(order: str) -> Call[redemption_schemas.Redemption]:
    return _get(redemption_schemas.Redemption, "orders", order)


def quote_redeem(
    form: redemption_schemas.RedeemQuoteForm,
) -> Call[redemption_schemas.RedeemQuote]:
    body = msgspec.json.encode(form)
    return _post(redemption_schemas.RedeemQuote, body, JSON, "quotes", "redeem", is_safe=True)
