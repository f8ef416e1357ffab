"""The node's side of a signer: a key that is asked over a Unix socket and may be away.

A request waits for its answer within the engine's turn, at most `ANSWER_S`: a vote that comes later
than that is of no use. Whoever does not answer in time, answers nonsense or closes is gone, and the
node votes no more until a new connection says that the key is back. Connecting happens beside the
event loop, so that a signer which hangs costs the node one wait and not one each attempt.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ledger.crypto import verify
from ledger.reasons import Invalid
from node.errors import NodeError
from node.signer_wire import (
    ANSWER_BYTES_MAX,
    HEADER_BYTES,
    QUESTION_BYTES_MAX,
    Answer,
    Denied,
    Granted,
    Hello,
    Question,
    Welcome,
    ask,
    decode_answer,
    encode_frame,
    frame_size,
)
from node.signing import Request, signing_hash
from node.vote_guard import Refused
from p2p.backoff import Backoff

ANSWER_S = 1.0
"""Half a view time-out: a signer that is slower would cost its primary the view."""
RETRY_MIN_S = 0.1
RETRY_MAX_S = 5.0


class SignerGone(Exception):
    """No signer answers as it should; the text says how it failed."""


def dial(path: Path, chain_id: bytes) -> tuple[socket.socket, bytes]:
    """A connection and the public key that signs there; raises SignerGone."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_S)
        connection.connect(str(path))
        answer = _exchange(connection, Hello(chain_id))
        if isinstance(answer, Welcome):
            return connection, answer.public
        why = answer.why if isinstance(answer, Denied) else "it gives no welcome"
        raise SignerGone(f"the signer at {path} refuses this node: {why}")
    except (OSError, Invalid) as error:
        connection.close()
        raise SignerGone(f"no signer answers at {path}: {_text(error)}") from None
    except SignerGone:
        connection.close()
        raise


class RemoteKey:
    """A `node.signing.Key` in another process. Used on one thread."""

    def __init__(self, path: Path, chain_id: bytes, public: bytes) -> None:
        self.public = public
        self._path = path
        self._chain_id = chain_id
        self._connection: socket.socket | None = None
        self._gone = f"no signer answers at {path} yet"
        self._refusal = ""
        self._lost = asyncio.Event()
        self._unwatch: Callable[[], object] | None = None

    @classmethod
    def open(cls, path: Path, chain_id: bytes, expected: bytes | None) -> RemoteKey:
        """`expected` is what the chain names; without it the signer must be there to ask.

        Raises NodeError for another key, and then.
        """
        try:
            connection, public = dial(path, chain_id)
        except SignerGone as gone:
            if expected is None:
                hint = "start it first: marsa validator signer DIRECTORY"
                raise NodeError("signer_unreachable", str(gone), hint) from None
            key = cls(path, chain_id, expected)
            key._gone = str(gone)
            return key
        if expected not in (None, public):
            connection.close()
            raise NodeError(
                "wrong_key", _other_key(path), "start the signer that has the right one"
            )
        key = cls(path, chain_id, public)
        key._take(connection)
        return key

    @property
    def is_at_hand(self) -> bool:
        return self._connection is not None

    @property
    def trouble(self) -> str:
        return self._gone or self._refusal

    def sign(self, request: Request) -> bytes:
        """One round trip; raises Refused."""
        if self._connection is None:
            raise Refused(self.trouble)
        question = ask(request)
        try:
            answer = _exchange(self._connection, question)
        except (OSError, Invalid) as error:
            raise self._lose(f"the signer at {self._path} is gone: {_text(error)}") from None
        if isinstance(answer, Denied):
            self._refusal = f"the signer at {self._path} refuses: {answer.why}"
            raise Refused(self._refusal)
        message = signing_hash(self._chain_id, request)
        if not isinstance(answer, Granted) or not verify(self.public, message, answer.signature):
            raise self._lose(f"the signer at {self._path} gave no signature of this key")
        self._refusal = ""
        return answer.signature

    async def keep(self, on_change: Callable[[], None]) -> None:
        """Connect again whenever it is gone; `on_change` hears of it, and of another reason.

        What was wrong before the start is told too: else a node that no signer serves is silent.
        """
        backoff = Backoff(RETRY_MIN_S, RETRY_MAX_S, random.random)
        if self._connection is None:
            on_change()
        while True:
            if self._connection is None:
                why = await self._connect()
                if why:
                    if why != self._gone:
                        self._gone = why
                        on_change()
                    await asyncio.sleep(backoff.wait_s())
                    continue
                on_change()
            backoff.reset()
            await self._until_lost()
            on_change()
            await asyncio.sleep(RETRY_MIN_S)

    def close(self) -> None:
        """Give the connection back; closing twice is harmless."""
        if self._unwatch is not None:
            self._unwatch()  # before its number can belong to another file
            self._unwatch = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _take(self, connection: socket.socket) -> None:
        self._connection = connection
        self._gone = self._refusal = ""

    async def _connect(self) -> str:
        """Why it did not succeed; empty when it did."""
        loop = asyncio.get_running_loop()
        dialling = loop.run_in_executor(None, dial, self._path, self._chain_id)
        try:
            connection, public = await asyncio.shield(dialling)
        except SignerGone as gone:
            return str(gone)
        except asyncio.CancelledError:
            dialling.add_done_callback(_close_unwanted)
            raise
        if public != self.public:
            connection.close()
            return _other_key(self._path)
        self._take(connection)
        return ""

    async def _until_lost(self) -> None:
        """Between two requests a signer says nothing: what can be read is its end."""
        if self._connection is None:
            return
        loop, number = asyncio.get_running_loop(), self._connection.fileno()
        self._lost.clear()
        loop.add_reader(number, self._look)
        self._unwatch = lambda: loop.remove_reader(number)
        await self._lost.wait()

    def _look(self) -> None:
        if self._connection is None:
            return
        try:
            data = self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return  # an answer, which was read since
        except OSError:
            data = b""
        how = "it speaks unasked" if data else "it closed"
        self._lose(f"the signer at {self._path} is gone: {how}")

    def _lose(self, why: str) -> Refused:
        self.close()
        self._gone = why
        self._lost.set()
        return Refused(why)


def _close_unwanted(dialled: asyncio.Future[tuple[socket.socket, bytes]]) -> None:
    if not dialled.cancelled() and dialled.exception() is None:
        dialled.result()[0].close()


def _exchange(connection: socket.socket, question: Question) -> Answer:
    """One question and its answer within `ANSWER_S` in all; raises OSError, Invalid."""
    deadline = time.monotonic() + ANSWER_S
    frame = encode_frame(question)
    if len(frame) > HEADER_BYTES + QUESTION_BYTES_MAX:
        raise OSError(f"a request of {len(frame)} bytes, a signer takes {QUESTION_BYTES_MAX}")
    connection.settimeout(ANSWER_S)
    with suppress(BrokenPipeError):  # refused before it was asked: the reason lies here already
        connection.sendall(frame)
    header = _receive(connection, HEADER_BYTES, deadline)
    return decode_answer(_receive(connection, frame_size(header, ANSWER_BYTES_MAX), deadline))


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    data = b""
    while len(data) < size:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionResetError("it closed")
        data += part
    return data


def _text(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing within {ANSWER_S:.0f} s"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _other_key(path: Path) -> str:
    return f"the signer at {path} holds another key than the chain names for this validator"
