"""What a node and its signer say to each other over a Unix socket, and in which frames.

A frame is a 4-byte big-endian length and one canonical message. The node says HELLO with its chain
and hears the public key; then it asks, one request at a time, and gets a signature or a sentence
that says why not. There is no message that carries a bare hash.
"""

from __future__ import annotations

from struct import Struct
from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from consensus.messages import NewViewBody, ViewChangeBody
from ledger import codec
from ledger.block import VotePayload
from ledger.codec import Bytes32, Signature, Wire
from ledger.reasons import Invalid, Reason
from ledger.transaction import Transaction
from node.signing import Request

QUESTION_BYTES_MAX = 1 << 20
"""A NEW-VIEW with 32 VIEW-CHANGEs, as links carry it."""
ANSWER_BYTES_MAX = 4 * 1024
WHY_CHARACTERS_MAX = 500
HEADER_BYTES = 4

_HEADER = Struct(">I")


class Hello(Wire, frozen=True):
    """The node's chain; a signer is bound to one."""

    TYPE: ClassVar[int] = 60
    chain_id: Bytes32


class AskVote(Wire, frozen=True):
    """Sign a PREPARE or COMMIT."""

    TYPE: ClassVar[int] = 61
    request: VotePayload


class AskViewChange(Wire, frozen=True):
    """Sign a VIEW-CHANGE."""

    TYPE: ClassVar[int] = 62
    request: ViewChangeBody


class AskNewView(Wire, frozen=True):
    """Sign a NEW-VIEW."""

    TYPE: ClassVar[int] = 63
    request: NewViewBody


class AskReady(Wire, frozen=True):
    """Sign a transaction that says that the validator is ready, and nothing else."""

    TYPE: ClassVar[int] = 64
    request: Transaction


class Welcome(Wire, frozen=True):
    """The public key that signs here."""

    TYPE: ClassVar[int] = 65
    public: Bytes32


class Granted(Wire, frozen=True):
    """The signature that was asked for."""

    TYPE: ClassVar[int] = 66
    signature: Signature


class Denied(Wire, frozen=True):
    """Why there is none."""

    TYPE: ClassVar[int] = 67
    why: Annotated[str, Meta(max_length=WHY_CHARACTERS_MAX)]


Ask: TypeAlias = AskVote | AskViewChange | AskNewView | AskReady
Question: TypeAlias = Hello | Ask
Answer: TypeAlias = Welcome | Granted | Denied

_QUESTIONS: tuple[type[Question], ...] = (Hello, AskVote, AskViewChange, AskNewView, AskReady)
_ANSWERS: tuple[type[Answer], ...] = (Welcome, Granted, Denied)


def ask(request: Request) -> Ask:
    """The question that carries a request."""
    if isinstance(request, VotePayload):
        return AskVote(request)
    if isinstance(request, ViewChangeBody):
        return AskViewChange(request)
    if isinstance(request, NewViewBody):
        return AskNewView(request)
    return AskReady(request)


def deny(why: str) -> Denied:
    """A refusal of any length, cut to what a frame carries."""
    return Denied(why[:WHY_CHARACTERS_MAX])


def encode_frame(message: Question | Answer) -> bytes:
    """Length and message. What is too long is refused by whoever reads it."""
    data = codec.encode(message)
    return _HEADER.pack(len(data)) + data


def frame_size(header: bytes, size_max: int) -> int:
    """How many bytes follow a header; raises Invalid when they are none or too many."""
    (size,) = _HEADER.unpack(header)
    if not codec.ENVELOPE_BYTES < size <= size_max:
        raise Invalid(Reason.TOO_LARGE, f"a frame of {size} bytes, at most {size_max} are read")
    return int(size)


def decode_question(data: bytes) -> Question:
    """Raises Invalid for anything but a question in its canonical encoding."""
    for kind in _QUESTIONS:
        if data[0] == kind.TYPE:
            return codec.decode(data, kind, size_max=QUESTION_BYTES_MAX)
    raise Invalid(Reason.MALFORMED, f"type {data[0]} is no question to a signer")


def decode_answer(data: bytes) -> Answer:
    """Raises Invalid for anything but an answer in its canonical encoding."""
    for kind in _ANSWERS:
        if data[0] == kind.TYPE:
            return codec.decode(data, kind, size_max=ANSWER_BYTES_MAX)
    raise Invalid(Reason.MALFORMED, f"type {data[0]} is no answer of a signer")
