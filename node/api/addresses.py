"""What addresses hold and did, single outputs, and protocol objects by key."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from ledger import codec, transaction
from ledger.address import decode_address, encode_address
from ledger.economy.reserve import Reserve
from ledger.objects import load_all
from ledger.reasons import Reason
from ledger.times import rfc3339
from ledger.view import Outpoint, OutputEntry
from node.api import schemas
from node.api.blocks import certificate_of, certified
from node.api.convert import read_hash, read_hex
from node.api.forms import Hex32
from node.api.problems import ApiCode, ApiError
from node.api.reply import answer
from node.api.request import (
    SERVICES,
    read_cursor,
    read_limit,
    read_outpoint,
    read_query,
    write_cursor,
)
from node.api.routes import PAGED, Parameter, get
from node.api.services import Services

OBJECT_KEY_BYTES_MAX = 128  # the longest key of an object is a lane's, below 80 bytes
_COINS = b"c"
_HISTORY = b"y"
_ADDRESS = (Reason.BAD_ADDRESS,)
_HEX = (Reason.MALFORMED,)


def issuers_by_asset(services: Services) -> dict[bytes, str]:
    """Every asset of the chain; there are as many as issuers."""
    return {item.asset: item.issuer for item in load_all(services.chain, Reserve)}


async def get_address(request: web.Request) -> web.Response:
    """What an address holds, asset by asset.

    An address that never held anything has no balances; it is not an error.
    """
    read_query(request)
    services = request.app[SERVICES]
    lock, issuers = _lock(request, services), issuers_by_asset(services)
    return answer(
        schemas.Address(
            address=encode_address(lock, services.genesis.hrp),
            lock=lock.hex(),
            height=services.chain.height,
            balances=[
                schemas.Balance(
                    asset=item.asset.hex(),
                    issuer=issuers[item.asset],
                    amount=str(item.amount),
                    coins=item.coins,
                )
                for item in services.chain.indexes.balances(lock)
            ],
        )
    )


async def get_coins(request: web.Request) -> web.Response:
    """The unspent outputs of an address, by asset and then the oldest first."""
    query = read_query(request)
    services = request.app[SERVICES]
    lock, issuers = _lock(request, services), issuers_by_asset(services)
    asset = read_hash(query["asset"], "the asset") if "asset" in query else b""
    page = services.chain.indexes.coins(
        lock, asset=asset, start=read_cursor(query, _COINS), limit=read_limit(query)
    )
    items = [_coin(services, issuers, coin.outpoint, coin.entry) for coin in page.items]
    return answer(schemas.Page(items=items, next_cursor=_next(_COINS, page.next_start)))


async def get_history(request: web.Request) -> web.Response:
    """What moved at an address, from the newest down."""
    query = read_query(request)
    services = request.app[SERVICES]
    lock, issuers = _lock(request, services), issuers_by_asset(services)
    page = services.chain.indexes.history(
        lock, start=read_cursor(query, _HISTORY), limit=read_limit(query)
    )
    items = []
    for line in page.items:
        header = services.chain.header(line.height)
        time_ms = 0 if header is None else header.time_ms
        items.append(
            schemas.HistoryItem(
                txid=line.txid.hex(),
                height=line.height,
                position=line.position,
                time_ms=time_ms,
                time=rfc3339(time_ms),
                movements=[
                    schemas.Movement(
                        asset=move.asset.hex(),
                        issuer=issuers[move.asset],
                        received=str(move.received),
                        sent=str(move.sent),
                    )
                    for move in line.movements
                ],
            )
        )
    return answer(schemas.Page(items=items, next_cursor=_next(_HISTORY, page.next_start)))


async def get_outpoint(request: web.Request) -> web.Response:
    """An output: unspent with its proof, spent with its spender, or unknown."""
    read_query(request)
    services = request.app[SERVICES]
    outpoint = read_outpoint(request.match_info["outpoint"])
    return answer(_outpoint(services, outpoint))


def _outpoint(services: Services, outpoint: Outpoint) -> schemas.Outpoint:
    chain = services.chain
    name, index = outpoint[0].hex(), outpoint[1]
    entry = chain.output(outpoint)
    proof = None if entry is None else chain.unspent_proof(outpoint)
    if entry is not None and proof is not None:
        return schemas.Outpoint(
            txid=name,
            index=index,
            status="unspent",
            coin=_coin(services, issuers_by_asset(services), outpoint, entry),
            proof=schemas.OutputProof(
                unspent=codec.encode_payload(proof).hex(),
                certificate=certificate_of(services, proof.header.height),
            ),
        )
    place = chain.indexes.spender(outpoint)
    if place is None:
        return schemas.Outpoint(txid=name, index=index, status="unknown")
    raw = chain.raw_transaction(*place)
    spender = None if raw is None else transaction.decode(raw).txid.hex()  # None: it is pruned
    return schemas.Outpoint(txid=name, index=index, status="spent", spent_by=spender)


async def get_object(request: web.Request) -> web.Response:
    """The protocol object under a key, or the proof that there is none."""
    read_query(request)
    chain = request.app[SERVICES].chain
    key = read_hex(request.match_info["key"], "the key")
    if not 1 <= len(key) <= OBJECT_KEY_BYTES_MAX:
        detail = f"a key has 1 to {OBJECT_KEY_BYTES_MAX} bytes, this one {len(key)}"
        raise ApiError(ApiCode.BAD_REQUEST, detail)
    value, commitments = chain.object(key), chain.head.commitments
    head = certified(request.app[SERVICES], chain.height)
    return answer(
        schemas.Object(
            key=key.hex(),
            value=None if value is None else value.hex(),
            proof=codec.encode_payload(commitments.objects.prove(key)).hex(),
            roots=codec.encode_payload(commitments.roots).hex(),
            header=head.header,
            certificate=head.certificate,
        )
    )


def _lock(request: web.Request, services: Services) -> bytes:
    return decode_address(request.match_info["address"], services.genesis.hrp)


def _coin(
    services: Services, issuers: Mapping[bytes, str], outpoint: Outpoint, entry: OutputEntry
) -> schemas.Coin:
    return schemas.Coin(
        txid=outpoint[0].hex(),
        index=outpoint[1],
        asset=entry.asset.hex(),
        issuer=issuers[entry.asset],
        amount=str(entry.amount),
        lock=entry.lock.hex(),
        address=encode_address(entry.lock, services.genesis.hrp),
        height=entry.height,
    )


def _next(kind: bytes, start: bytes | None) -> str | None:
    return None if start is None else write_cursor(kind, start)


ROUTES = (
    get("/v1/addresses/{address}", get_address, schemas.Address, codes=_ADDRESS),
    get(
        "/v1/addresses/{address}/coins",
        get_coins,
        schemas.Page[schemas.Coin],
        Parameter("asset", Hex32, "Coins of this asset alone."),
        *PAGED,
        codes=(*_ADDRESS, Reason.MALFORMED, ApiCode.BAD_CURSOR),
        weight=5,
    ),
    get(
        "/v1/addresses/{address}/transactions",
        get_history,
        schemas.Page[schemas.HistoryItem],
        *PAGED,
        codes=(*_ADDRESS, ApiCode.BAD_CURSOR),
        weight=5,
    ),
    get(
        "/v1/outpoints/{outpoint}",
        get_outpoint,
        schemas.Outpoint,
        codes=_HEX,
        weight=2,
    ),
    get(
        "/v1/objects/{key}",
        get_object,
        schemas.Object,
        codes=_HEX,
        weight=2,
    ),
)
