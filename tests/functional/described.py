"""What Schemathesis must know of this interface beside its description, as hooks of its own.

Its check that whatever fits the description is taken is replaced here: a node refuses much for what
only the state or the ledger knows, and says why by a code. Run by `test_schemathesis.py`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import schemathesis
from schemathesis import Case, CheckContext, Response

from ledger.reasons import Reason

OF_STATE = {
    "/v1/transactions": {*Reason},
    "/v1/transactions/check": {*Reason},
    "/v1/transactions/batch": {Reason.MALFORMED},
    "/v1/quotes/mint": {Reason.BAD_AMOUNT},
    "/v1/quotes/redeem": {Reason.BAD_AMOUNT},
}
"""Codes that no description of a body can rule out. A batch is bytes whatever they say."""
ANYWHERE = {"not_found", "pruned", "bad_cursor", "bad_address"}
"""There is no such thing; or a text whose check is in the text itself."""
INTEGERS = re.compile(r"Expected `int( \| null)?`, got `float`")
"""JSON Schema takes 1.0 for an integer; here one is written without a point."""
BLANK = "q must be a name"
EVENTS = "/v1/events"


@schemathesis.hook
def before_load_schema(_: Any, description: dict[str, Any]) -> None:
    """What each event of a stream is, as OpenAPI 3.2 says it: 3.1 has no words for that, and the
    description has some of its own."""
    route = description["paths"][EVENTS]["get"]
    route["responses"]["200"]["content"]["text/event-stream"]["itemSchema"] = {
        "oneOf": [
            {
                "type": "object",
                "required": ["event", "id", "data"],
                "properties": {
                    "event": {"const": name},
                    "id": {"pattern": "^[0-9]+$"},
                    "data": {"contentMediaType": "application/json", "contentSchema": schema},
                },
            }
            for name, schema in route["x-events"].items()
        ]
    }


@schemathesis.check
def taken_or_explained(ctx: CheckContext, response: Response, case: Case) -> None:
    """What fits the description is answered, or refused for what a description cannot say."""
    is_positive = case.meta is not None and case.meta.generation.mode.is_positive
    if not is_positive or response.status_code < 400:
        return
    problem = response.json()
    code = problem["code"]
    known = ANYWHERE | {str(item) for item in OF_STATE.get(case.operation.path, ())}
    is_known = code in known or INTEGERS.match(problem["detail"]) or BLANK in problem["detail"]
    assert is_known, f"{code}: {problem['detail']}"


@schemathesis.hook
def before_call(ctx: Any, case: Case, **_: Any) -> None:
    """Nobody waits for transactions that never were."""
    wait = (case.query or {}).get("wait")
    if isinstance(wait, str) and wait.endswith("s"):
        case.query["wait"] = "1ms"


@schemathesis.serializer("application/msgpack")
def msgpack(_: Any, value: Any) -> bytes:
    """Whatever was made up, as MessagePack."""
    return value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
