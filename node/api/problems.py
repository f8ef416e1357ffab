"""Every way in which a request ends badly, as one shape: RFC 9457 with a stable `code`.

A code is either a `Reason` of the ledger, the same from `check`, admission and execution, or an
`ApiCode` for what only HTTP knows. One table gives each its status and its hint. Details hold the
caller's own values and are sent as JSON only, never as HTML.
"""

from __future__ import annotations

import re
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from aiohttp import web

from ledger.reasons import Invalid, Reason
from node.api.schemas import Problem

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 1  # a full mempool or server has room again after the next block


class ApiCode(StrEnum):
    """Codes beside `Reason`; only ever added."""

    NOT_FOUND = "not_found"
    PRUNED = "pruned"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    BAD_REQUEST = "bad_request"
    BAD_CURSOR = "bad_cursor"
    UNKNOWN_FIELD = "unknown_field"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    CONTENT_ENCODING = "content_encoding"
    HOST_NOT_ALLOWED = "host_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    HEADERS_TOO_LARGE = "headers_too_large"
    BUSY = "busy"
    RATE_LIMITED = "rate_limited"
    DEADLINE = "deadline"
    STORAGE = "storage"
    NOT_RECOVERABLE = "not_recoverable"
    BUNDLE_TOO_LARGE = "bundle_too_large"
    INTERNAL = "internal"


class _Row(NamedTuple):
    status: HTTPStatus
    hint: str


_DEFAULT = _Row(HTTPStatus.UNPROCESSABLE_ENTITY, "change the transaction and sign it again")
_WAIT = f"send it again in {RETRY_AFTER_S} s; the txid stays the same"
_READ = "compare the request with the description of this route"

_ROWS: dict[str, _Row] = {
    Reason.MALFORMED: _Row(HTTPStatus.BAD_REQUEST, _READ),
    Reason.TRAILING_BYTES: _Row(HTTPStatus.BAD_REQUEST, "send the exact bytes that were signed"),
    Reason.NON_CANONICAL: _Row(HTTPStatus.BAD_REQUEST, "encode with `ledger.codec`'s rules"),
    Reason.TOO_LARGE: _Row(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "split the transaction"),
    Reason.UNSUPPORTED_VERSION: _Row(HTTPStatus.BAD_REQUEST, "use the version that this node has"),
    Reason.BAD_ADDRESS: _Row(HTTPStatus.BAD_REQUEST, "copy the address again, as a whole"),
    Reason.WRONG_CHAIN: _Row(
        HTTPStatus.UNPROCESSABLE_ENTITY, "compare your genesis hash with that of GET /v1/status"
    ),
    Reason.FEE_TOO_LOW: _Row(HTTPStatus.UNPROCESSABLE_ENTITY, "GET /v1/params lists the fees"),
    Reason.UNKNOWN_INPUT: _Row(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "wait until the transaction that makes the input is final, then send again",
    ),
    Reason.SPENT_INPUT: _Row(HTTPStatus.CONFLICT, "choose coins of GET /v1/addresses/{a}/coins"),
    Reason.DOUBLE_SPEND: _Row(HTTPStatus.CONFLICT, "wait for the other transaction to be final"),
    Reason.REPLAYED_OPERATION: _Row(
        HTTPStatus.CONFLICT, "GET /v1/issuers/{id} lists the next number of each lane"
    ),
    Reason.OPERATION_GAP: _Row(
        HTTPStatus.CONFLICT, "GET /v1/issuers/{id} lists the next number of each lane"
    ),
    Reason.WRONG_STATE: _Row(
        HTTPStatus.UNPROCESSABLE_ENTITY, "GET /v1/orders/{id} lists what the order allows now"
    ),
    Reason.STALE_RECEIPT: _Row(
        HTTPStatus.UNPROCESSABLE_ENTITY, "GET /v1/orders/{id} has the number that is posted"
    ),
    Reason.ABOVE_HEADROOM: _Row(
        HTTPStatus.UNPROCESSABLE_ENTITY, "GET /v1/issuers/{id} shows the headroom"
    ),
    Reason.EXPIRED: _Row(
        HTTPStatus.UNPROCESSABLE_ENTITY, "sign it again with a later expires_at_ms"
    ),
    Reason.NOT_YET: _Row(HTTPStatus.UNPROCESSABLE_ENTITY, "send the same again from then on"),
    Reason.TOO_LATE: _Row(
        HTTPStatus.UNPROCESSABLE_ENTITY, "spend the output in another way that its lock allows"
    ),
    Reason.MEMPOOL_FULL: _Row(HTTPStatus.TOO_MANY_REQUESTS, _WAIT),
    Reason.SENDER_QUOTA: _Row(HTTPStatus.TOO_MANY_REQUESTS, _WAIT),
    Reason.FREE_QUOTA: _Row(HTTPStatus.TOO_MANY_REQUESTS, _WAIT),
    Reason.LOW_DISK_SPACE: _Row(HTTPStatus.SERVICE_UNAVAILABLE, "send it to another node"),
    ApiCode.NOT_FOUND: _Row(HTTPStatus.NOT_FOUND, "check the path and the name in it"),
    ApiCode.PRUNED: _Row(HTTPStatus.GONE, "ask a node that archives, with storage.archive = true"),
    ApiCode.METHOD_NOT_ALLOWED: _Row(HTTPStatus.METHOD_NOT_ALLOWED, "see the Allow header"),
    ApiCode.BAD_REQUEST: _Row(HTTPStatus.BAD_REQUEST, _READ),
    ApiCode.BAD_CURSOR: _Row(HTTPStatus.BAD_REQUEST, "start again without a cursor"),
    ApiCode.UNKNOWN_FIELD: _Row(HTTPStatus.BAD_REQUEST, "remove the field"),
    ApiCode.UNSUPPORTED_MEDIA_TYPE: _Row(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/msgpack or application/json"
    ),
    ApiCode.CONTENT_ENCODING: _Row(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the body without Content-Encoding"
    ),
    ApiCode.HOST_NOT_ALLOWED: _Row(
        HTTPStatus.MISDIRECTED_REQUEST, "use 127.0.0.1, localhost or a name of the node's config"
    ),
    ApiCode.BODY_TOO_LARGE: _Row(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "send smaller batches"),
    ApiCode.HEADERS_TOO_LARGE: _Row(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "send fewer or shorter headers"
    ),
    ApiCode.BUSY: _Row(HTTPStatus.TOO_MANY_REQUESTS, f"try again in {RETRY_AFTER_S} s"),
    ApiCode.RATE_LIMITED: _Row(
        HTTPStatus.TOO_MANY_REQUESTS, "wait as long as Retry-After says, and ask for less at once"
    ),
    ApiCode.DEADLINE: _Row(HTTPStatus.SERVICE_UNAVAILABLE, "try again, with less at once"),
    ApiCode.NOT_RECOVERABLE: _Row(
        HTTPStatus.CONFLICT, "start the other validators, then ask again"
    ),
    ApiCode.BUNDLE_TOO_LARGE: _Row(
        HTTPStatus.UNPROCESSABLE_ENTITY, "check the whole chain instead: marsa audit chain"
    ),
    ApiCode.STORAGE: _Row(HTTPStatus.SERVICE_UNAVAILABLE, "ask another node; this one stops"),
    ApiCode.INTERNAL: _Row(HTTPStatus.INTERNAL_SERVER_ERROR, "report it with the node's log"),
}


class ApiError(Exception):
    """Ends a request. Raised by routes for what no `Reason` names."""

    def __init__(self, code: ApiCode, detail: str, retry_after_s: int = RETRY_AFTER_S) -> None:
        super().__init__(f"{code.value}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


def not_found(what: str) -> ApiError:
    return ApiError(ApiCode.NOT_FOUND, what)


def pruned(what: str) -> ApiError:
    """It existed, and this node does not keep it: another one may."""
    return ApiError(ApiCode.PRUNED, what)


def status_of(code: Reason | ApiCode) -> HTTPStatus:
    """Of every problem with this code."""
    return _ROWS.get(code, _DEFAULT).status


def hint_of(code: Reason | ApiCode) -> str:
    """What to do next."""
    return _ROWS.get(code, _DEFAULT).hint


def of_error(error: Invalid | ApiError) -> web.Response:
    """The answer that says what an error says."""
    if isinstance(error, Invalid):
        return answer(error.reason, error.detail)
    return answer(error.code, error.detail, error.retry_after_s)


def answer(code: Reason | ApiCode, detail: str, retry_after_s: int = RETRY_AFTER_S) -> web.Response:
    """A problem with the status and the hint of its code."""
    status, hint = _ROWS.get(code, _DEFAULT)
    problem = Problem(
        type=f"urn:marsa:problem:{code.value}",
        title=code.value.replace("_", " "),
        status=status,
        code=code.value,
        detail=detail,
        hint=hint,
    )
    response = web.Response(
        status=status, body=msgspec.json.encode(problem), content_type=PROBLEM_TYPE
    )
    if status is HTTPStatus.TOO_MANY_REQUESTS:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


_UNKNOWN_FIELD = re.compile(r"^Object contains unknown field")
_REASON_BY_PATH: tuple[tuple[re.Pattern[str], Reason, str], ...] = (
    (
        re.compile(r"- at `\$.*\.amount`\Z"),
        Reason.BAD_AMOUNT,
        "an amount is a string of 1 to 19 digits 0-9: ",
    ),
    (re.compile(r"- at `\$\.body\.operations\[.*\]\.type`\Z"), Reason.UNKNOWN_OPERATION, ""),
    (re.compile(r"- at `\$\.witness\.conditions\[.*\]\.type`\Z"), Reason.BAD_LOCK, ""),
)


def of_form(error: Exception) -> ApiError:
    """Why JSON was not the form of a question."""
    text = str(error)
    is_field = _UNKNOWN_FIELD.match(text)
    return ApiError(ApiCode.UNKNOWN_FIELD if is_field else ApiCode.BAD_REQUEST, text)


def of_decoding(error: Exception) -> Invalid | ApiError:
    """Why JSON was not the form that was asked for."""
    text = str(error)
    if _UNKNOWN_FIELD.match(text):
        return ApiError(ApiCode.UNKNOWN_FIELD, text)
    for pattern, reason, rule in _REASON_BY_PATH:
        if pattern.search(text):
            return Invalid(reason, rule + text)
    return Invalid(Reason.MALFORMED, text)
