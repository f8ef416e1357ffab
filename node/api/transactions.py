"""Transactions in, and what became of them.

A transaction comes as the canonical bytes that were signed, or as JSON of the same fields; a
batch as one MessagePack list of such bytes. The batch is the hot path: one decode, one call, one
encode, whatever its length. Nothing is ever refused twice for being sent twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ledger import transaction
from ledger.chain import FinalTransaction
from ledger.mempool import WANT_OF_ROOM
from ledger.reasons import Invalid, Reason
from ledger.times import rfc3339
from ledger.transaction import SignedTransaction
from node.api import problems, schemas
from node.api.blocks import certificate_of
from node.api.convert import (
    header_answer,
    list_proof_answer,
    read_transaction,
    transaction_answer,
)
from node.api.problems import ApiCode, ApiError, not_found, pruned
from node.api.reply import answer, final
from node.api.request import (
    JSON,
    MSGPACK,
    SERVICES,
    Budget,
    read_body,
    read_flag,
    read_query,
    read_txid,
    read_wait,
)
from node.api.routes import Body, Parameter, get, post
from node.api.services import Services, Submission
from node.api.transaction_forms import TransactionForm
from node.metrics import Metrics

SUBMISSIONS_MAX = 32
"""Requests that submit or check at once: more only wait for the same processor, and of twice as
many some were not answered within the time of a request."""
BATCH_WAIT_S_MAX = 2.0
"""A batch of more than one is refused while what was submitted before takes longer, because it has
to end in the time of a request, or while a full block has waited for longer. A single transaction
has its turn before that."""
WAITS_MAX = 1_024
"""Clients that wait for a transaction at once, below the number of connections: others get in."""

_SEALED = "The canonical bytes of a sealed transaction."
_REFUSED = tuple(Reason)
"""Any reason of the ledger: which, is a matter of the state."""

METRICS = web.AppKey("metrics", Metrics)
SUBMISSIONS = web.AppKey("submissions", Budget)
WAITS = web.AppKey("waits", Budget)

_batch_decoder = msgspec.msgpack.Decoder(
    Annotated[list[bytes], Meta(max_length=schemas.BATCH_TRANSACTIONS_MAX)]
)
_form_decoder = msgspec.json.Decoder(TransactionForm)


def prepare(app: web.Application, metrics: Metrics) -> None:
    """What these routes keep count of."""
    app[METRICS] = metrics
    app[SUBMISSIONS] = Budget("submissions", SUBMISSIONS_MAX)
    app[WAITS] = Budget("waiting clients", WAITS_MAX)


async def post_transaction(request: web.Request) -> web.Response:
    """Take a transaction: 202 when it is new, 200 when it was known, else a problem."""
    read_query(request)
    with request.app[SUBMISSIONS].take(1):
        raw = await _read_raw(request)
        (result,) = await request.app[SERVICES].intake.submit([raw])
    _count_refusals(request, [result])
    if result.refusal is not None or result.txid is None:
        return problems.of_error(_refusal(result))
    name = result.txid.hex()
    if result.is_new:
        return answer(schemas.Submitted(txid=name, status="new"), status=202)
    return answer(schemas.Submitted(txid=name, status="known"))


async def post_batch(request: web.Request) -> web.Response:
    """Take many: a result for each; 429 when none got in and one of them for want of room."""
    read_query(request)
    with request.app[SUBMISSIONS].take(1):
        body = await read_body(request, (MSGPACK,))
        try:
            raws = _batch_decoder.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            detail = f"a batch is a list of at most {schemas.BATCH_TRANSACTIONS_MAX} byte strings"
            raise Invalid(Reason.MALFORMED, f"{detail}: {error}") from None
        if len(raws) > 1:
            _check_wait(request.app[SERVICES].intake.wait_s())
        results = await request.app[SERVICES].intake.submit(raws)
    _count_refusals(request, results)
    room = _refused_for_room(results)
    if room is not None:
        return problems.of_error(room)
    return answer(schemas.BatchAnswer(results=[_batch_result(item) for item in results]))


async def post_check(request: web.Request) -> web.Response:
    """What POST /v1/transactions would say, without doing it."""
    read_query(request)
    services = request.app[SERVICES]
    with request.app[SUBMISSIONS].take(1):
        tx = await services.intake.check(await _read_raw(request))
    required = services.genesis.parameters.fees.required(tx)
    return answer(
        schemas.Checked(txid=tx.txid.hex(), size_bytes=len(tx.raw), fee_required=str(required))
    )


async def get_transaction(request: web.Request) -> web.Response:
    """Where a transaction stands; `wait` holds the answer back until it is final or refused.

    `proof=false` leaves out the proof, which costs a walk over the whole block.
    """
    query = read_query(request)
    services, txid = request.app[SERVICES], read_txid(request)
    wait_s, with_proof = read_wait(query), read_flag(query, "proof", default=True)
    status = _status(services, txid, with_proof=with_proof)
    if wait_s and status.status in ("unknown", "pending"):
        with request.app[WAITS].take(1):
            await services.intake.wait_final(txid, wait_s)
        status = _status(services, txid, with_proof=with_proof)
    return answer(status)


async def get_proof(request: web.Request) -> web.Response:
    """What shows a transaction final to whoever holds the genesis file alone."""
    read_query(request)
    services, txid = request.app[SERVICES], read_txid(request)
    found = services.chain.transaction(txid)
    if found is None:
        place = services.chain.indexes.place(txid)
        if place is not None:
            raise pruned(f"transaction {txid.hex()} is final in block {place[0]}, not kept here")
        raise not_found(f"transaction {txid.hex()} is not final here")
    return final(request, _proof(services, found, transaction.decode(found.raw)))


async def _read_raw(request: web.Request) -> bytes:
    body = await read_body(request, (MSGPACK, JSON))
    if request.content_type == MSGPACK:
        return body
    try:
        form = _form_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise problems.of_decoding(error) from None
    return read_transaction(form)


def _count_refusals(request: web.Request, results: Sequence[Submission]) -> None:
    for item in results:
        if item.refusal is not None:
            request.app[METRICS].count_refusal(item.refusal.reason)


def _refusal(result: Submission) -> Invalid:
    if result.refusal is None:
        raise AssertionError("a submission without txid has a refusal")
    return result.refusal


def _check_wait(wait_s: float) -> None:
    if wait_s > BATCH_WAIT_S_MAX:
        detail = f"what came before waits {wait_s:.1f} s, at most {BATCH_WAIT_S_MAX:g}"
        raise ApiError(ApiCode.BUSY, detail)


def _refused_for_room(results: Sequence[Submission]) -> Invalid | None:
    room = None
    for item in results:
        if item.refusal is None:
            return None
        if item.refusal.reason in WANT_OF_ROOM:
            room = item.refusal
    return room


def _batch_result(item: Submission) -> schemas.BatchResult:
    txid = None if item.txid is None else item.txid.hex()
    if item.refusal is None:
        return schemas.BatchResult(status="new" if item.is_new else "known", txid=txid)
    code, detail = item.refusal.reason.value, item.refusal.detail
    return schemas.BatchResult(status="refused", txid=txid, code=code, detail=detail)


def _status(services: Services, txid: bytes, *, with_proof: bool) -> schemas.TransactionStatus:
    name = txid.hex()
    found = services.chain.transaction(txid)
    if found is not None:
        return _final_status(services, found, name, with_proof=with_proof)
    place = services.chain.indexes.place(txid)
    if place is not None:
        return _pruned_status(services, *place, name)
    pending = services.mempool.get(txid)
    if pending is not None:
        form = transaction_answer(pending)
        return schemas.TransactionStatus(txid=name, status="pending", transaction=form)
    rejection = services.mempool.rejection(txid)
    if rejection is not None:
        code, detail = rejection.reason.value, rejection.detail
        return schemas.TransactionStatus(txid=name, status="rejected", code=code, detail=detail)
    return schemas.TransactionStatus(txid=name, status="unknown")


def _final_status(
    services: Services, found: FinalTransaction, name: str, *, with_proof: bool
) -> schemas.TransactionStatus:
    header = services.chain.header(found.height)
    if header is None:
        raise AssertionError(f"transaction {name} is final above the tip")
    tx = transaction.decode(found.raw)
    return schemas.TransactionStatus(
        txid=name,
        status="final",
        height=found.height,
        position=found.position,
        time_ms=header.time_ms,
        time=rfc3339(header.time_ms),
        transaction=transaction_answer(tx),
        proof=_proof(services, found, tx) if with_proof else None,
    )


def _pruned_status(
    services: Services, height: int, position: int, name: str
) -> schemas.TransactionStatus:
    """Final, and its bytes are gone: what is known of it."""
    header = services.chain.header(height)
    if header is None:
        raise AssertionError(f"transaction {name} is final in a block without header")
    return schemas.TransactionStatus(
        txid=name,
        status="final",
        height=height,
        position=position,
        time_ms=header.time_ms,
        time=rfc3339(header.time_ms),
        code=ApiCode.PRUNED.value,
        detail=f"the transactions of block {height} are not kept here",
    )


def _proof(
    services: Services, found: FinalTransaction, tx: SignedTransaction
) -> schemas.TransactionProof:
    proof = services.chain.transaction_proof(found.height, found.position)
    certificate = certificate_of(services, found.height)
    if proof is None or certificate is None:
        raise AssertionError(f"no proof of a final transaction at height {found.height}")
    return schemas.TransactionProof(
        txid=tx.txid.hex(),
        wtxid=tx.wtxid.hex(),
        transaction=tx.raw.hex(),
        inclusion=list_proof_answer(proof.path),
        header=header_answer(proof.header),
        certificate=certificate,
    )


ROUTES = (
    post(
        "/v1/transactions",
        post_transaction,
        schemas.Submitted,
        Body(TransactionForm, raw=_SEALED),
        codes=_REFUSED,
        statuses=(200, 202),
        weight=0,
    ),
    post(
        "/v1/transactions/batch",
        post_batch,
        schemas.BatchAnswer,
        Body(raw=f"A list of at most {schemas.BATCH_TRANSACTIONS_MAX} sealed transactions."),
        codes=(Reason.MALFORMED, *sorted(WANT_OF_ROOM)),
        weight=0,
    ),
    post(
        "/v1/transactions/check",
        post_check,
        schemas.Checked,
        Body(TransactionForm, raw=_SEALED),
        codes=_REFUSED,
        weight=2,
    ),
    get(
        "/v1/transactions/{txid}",
        get_transaction,
        schemas.TransactionStatus,
        Parameter(
            "wait",
            Annotated[str, Meta(pattern=r"^([1-4]?[0-9]{1,3}ms|5000ms|[0-5]s)\Z")],
            "Hold the answer back so long, 250ms or at most 5s, until its end is known.",
            "5s",
        ),
        Parameter("proof", bool, "`false` leaves out the proof, which is costly.", "false"),
        codes=(Reason.MALFORMED,),
        weight=1,
    ),
    get(
        "/v1/transactions/{txid}/proof",
        get_proof,
        schemas.TransactionProof,
        codes=(Reason.MALFORMED, ApiCode.NOT_FOUND, ApiCode.PRUNED),
        is_final=True,
        weight=5,
    ),
)
