"""How calls of a node's API end badly, and how answers are read: the same for every client."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ledger.amounts import parse_number
from node.api import schemas

RETRY_AFTER_S_MAX = 60
"""A busy node asks for a second; a foreign server must not put a client to sleep."""
RATE_LIMITED = "rate_limited"
"""The code of a refusal that says when to ask again, and that nothing was done meanwhile."""

UNEXPECTED = "unexpected_answer"
"""The code of an answer that no node of ours gives."""
NO_ROOM = "low_disk_space"
"""The one refusal of a node's own: it looks for room before anything else."""

T = TypeVar("T")


class ClientError(Exception):
    """Base of what a call may end in."""


class Unreachable(ClientError):
    """No connection, or it broke before an answer came."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"the node at {url} cannot be reached: {cause}")
        self.url = url


class Timeout(ClientError):
    """The deadline passed. What was sent may still take effect."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(f"the node at {url} did not answer within {seconds:g} s")
        self.url = url


class ApiProblem(ClientError):
    """The node refused, or answered what no node of ours answers (`unexpected_answer`).

    `retry_after_s` is what a busy node asked for, 0 where it asked for nothing.
    """

    def __init__(
        self, status: int, code: str, detail: str, hint: str = "", retry_after_s: int = 0
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.hint = hint
        self.retry_after_s = retry_after_s

    @property
    def is_refusal(self) -> bool:
        """A node of ours said no, and did nothing. What it began may still take effect where it
        gave up in the middle, or where something else answered."""
        is_clients = 400 <= self.status < 500 and self.code != UNEXPECTED
        return is_clients or self.code == NO_ROOM


def read_problem(status: int, data: bytes, retry_after: str = "") -> ApiProblem:
    """The problem that an answer of a node describes, whatever its bytes are."""
    try:
        problem = msgspec.json.decode(data, type=schemas.Problem)
    except (msgspec.DecodeError, RecursionError):
        return ApiProblem(status, UNEXPECTED, f"HTTP status {status} without a problem")
    seconds = min(parse_number(retry_after) or 0, RETRY_AFTER_S_MAX)
    return ApiProblem(status, problem.code, problem.detail, problem.hint, seconds)


def read_answer(data: bytes, cls: type[T]) -> T:
    """An answer as its struct; raises ApiProblem."""
    try:
        return msgspec.json.decode(data, type=cls)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ApiProblem(200, UNEXPECTED, f"{cls.__name__}: {error}") from None
