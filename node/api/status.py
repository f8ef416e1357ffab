"""The node, its network and its chain's constants: /status, /params, /peers, /mempool."""

from __future__ import annotations

import msgspec
from aiohttp import web

from ledger.block import (
    BLOCK_BYTES_MAX,
    BLOCK_OPERATIONS_MAX,
    BLOCK_TRANSACTIONS_MAX,
    TRANSACTION_BYTES_MAX,
)
from ledger.codec import VERSION
from ledger.mempool import BYTES_MAX, TRANSACTIONS_MAX, WAITING_OPERATIONS_MAX
from ledger.objects import LedgerClock, load_one
from ledger.times import rfc3339
from ledger.transaction import LIFETIME_MS_MAX
from node.api import node_schemas, schemas
from node.api.reply import answer
from node.api.request import SERVICES, read_query
from node.api.routes import get
from node.api.services import Services


async def get_status(request: web.Request) -> web.Response:
    """The node, its network, how far it is, and what its operator must look at."""
    read_query(request)
    return answer(status_of(request.app[SERVICES]))


def status_of(services: Services) -> schemas.Status:
    chain = services.chain
    header = chain.head.header
    clock_ms = load_one(chain, LedgerClock).time_ms
    target = max(services.watch.sync_target(), header.height)
    return schemas.Status(
        network=schemas.NetworkInfo(
            name=services.genesis.network, chain_id=header.chain_id.hex(), protocol=VERSION
        ),
        node=services.node,
        sync=schemas.Sync(
            height=header.height,
            hash=chain.head.hash.hex(),
            state_root=header.state_root.hex(),
            header_time_ms=header.time_ms,
            header_time=rfc3339(header.time_ms),
            ledger_time_ms=clock_ms,
            ledger_time=rfc3339(clock_ms),
            catching_up=target > header.height + services.genesis.parameters.window,
            target_height=target,
        ),
        consensus=services.watch.consensus(),
        warnings=services.watch.warnings(),
    )


async def get_params(request: web.Request) -> web.Response:
    """Constants of the chain, from its genesis."""
    read_query(request)
    services = request.app[SERVICES]
    values = services.genesis.parameters
    return answer(
        schemas.Params(
            network=services.genesis.network,
            chain_id=services.chain.chain_id.hex(),
            address_prefix=services.genesis.hrp,
            fees=_fees(services),
            margin_ppm=values.margin_ppm,
            period_ms=values.period_ms,
            attestation_groups=values.attestation_groups,
            window=values.window,
            block_interval_ms=values.block_interval_ms,
            heartbeat_ms=values.heartbeat_ms,
            view_timeout_ms=values.view_timeout_ms,
            view_timeout_ms_max=values.view_timeout_ms_max,
            transaction_bytes_max=TRANSACTION_BYTES_MAX,
            block_transactions_max=BLOCK_TRANSACTIONS_MAX,
            block_bytes_max=BLOCK_BYTES_MAX,
            block_operations_max=BLOCK_OPERATIONS_MAX,
            lifetime_ms_max=LIFETIME_MS_MAX,
            economy=schemas.EconomyParams(**msgspec.structs.asdict(values.economy)),
        )
    )


async def get_fees(request: web.Request) -> web.Response:
    """What a transaction pays at least; nobody is served earlier for more."""
    read_query(request)
    return answer(_fees(request.app[SERVICES]))


def _fees(services: Services) -> schemas.Fees:
    values = services.genesis.parameters
    return schemas.Fees(
        per_byte=str(values.fee_per_byte),
        per_signature=str(values.fee_per_signature),
        per_new_output=str(values.fee_per_new_output),
    )


async def get_peers(request: web.Request) -> web.Response:
    """The other validators and whoever else is linked."""
    read_query(request)
    return answer(node_schemas.Peers(items=request.app[SERVICES].watch.peers()))


async def get_mempool(request: web.Request) -> web.Response:
    """How much waits on this node, and how much room there is."""
    read_query(request)
    return answer(mempool_of(request.app[SERVICES]))


def mempool_of(services: Services) -> schemas.Mempool:
    stats = services.mempool.stats()
    since_ms = stats.oldest_since_ms
    return schemas.Mempool(
        transactions=stats.transactions,
        transactions_max=TRANSACTIONS_MAX,
        size_bytes=stats.bytes,
        size_bytes_max=BYTES_MAX,
        operations=stats.operations,
        operations_max=WAITING_OPERATIONS_MAX,
        free=stats.free,
        resent=stats.resent,
        oldest_pending_ms=0 if since_ms is None else services.watch.now_ms() - since_ms,
    )


ROUTES = (
    get("/v1/status", get_status, schemas.Status),
    get("/v1/params", get_params, schemas.Params),
    get("/v1/fees", get_fees, schemas.Fees),
    get("/v1/peers", get_peers, node_schemas.Peers),
    get("/v1/mempool", get_mempool, schemas.Mempool),
)
