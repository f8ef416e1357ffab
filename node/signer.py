"""The signer: a process that holds a consensus key, and signs for one node over a Unix socket.

Who steals the node's directory, or a backup or copy of it, has no key; a node that lost its memory
cannot make the key contradict itself: the signer judges each request by a memory of its own
(`node.signer_memory`). One thread, one client at a time: a second node with the same key is told
so and gets nothing. What fails under the memory ends the process before anything is signed.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledger.crypto import SigningKey
from ledger.leveldb import DataDirectoryInUse
from ledger.reasons import Invalid
from node import logs
from node.disk import DirectoryLock
from node.errors import NodeError
from node.keys import load_consensus_key
from node.new_log import kept_logs, replace_log
from node.signer_memory import RECOVERY_HEIGHTS, Begin, Floor, SignerMemory
from node.signer_wire import (
    HEADER_BYTES,
    QUESTION_BYTES_MAX,
    Answer,
    AskReady,
    Granted,
    Hello,
    Question,
    Welcome,
    decode_question,
    deny,
    encode_frame,
    frame_size,
)
from node.signing import is_ready_body, signing_hash
from node.vote_guard import Refused
from node.wal import DiskLogFile, LogDamaged, WriteAheadLog

KEY_NAME = "consensus.json"
MEMORY_NAME = "signed.wal"
SOCKET_NAME = "signer.sock"
SOCKET_UMASK = 0o177
"""The socket has mode 0600 from its first moment."""
BACKLOG = 4
RECEIVE_BYTES = 64 * 1024
SEND_S = 1.0
"""A client that does not take its answer so long is dropped; the answer fits any buffer."""

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

log = logging.getLogger("marsa.signer")


@dataclass(frozen=True, slots=True)
class Beginning:
    """The operator's word on a memory that is missing or damaged; None: on one that is sound."""

    floor: Floor | None
    """The highest epoch, view and height that the others show; None: the key is new."""
    chain_id: bytes | None


class Signer:
    """The key and its memory: one answer to each question."""

    def __init__(self, key: SigningKey, memory: SignerMemory) -> None:
        self._key = key
        self.memory = memory
        self.chain_id = memory.begin.chain_id

    @property
    def public(self) -> bytes:
        return self._key.public

    def answer(self, question: Question, *, is_greeted: bool) -> Answer:
        """What is refused leaves no trace; what is signed is on the disk before. Raises OSError
        when the memory fails: then nothing may ever be signed again by this process."""
        if isinstance(question, Hello):
            if question.chain_id != self.chain_id:
                return deny(f"this signer signs for chain {self.chain_id.hex()}")
            return Welcome(self.public)
        if not is_greeted:
            return deny("say first for which chain")
        request = question.request
        message = signing_hash(self.chain_id, request)
        try:
            if isinstance(question, AskReady):
                if not is_ready_body(question.request, self.chain_id, self.public):
                    raise Refused("of transactions, only validator-ready of this key is signed")
            else:
                self.memory.note(question.request, message)
        except Refused as refusal:
            return deny(str(refusal))
        return Granted(self._key.sign(message))


def open_signer(directory: Path, beginning: Beginning | None = None) -> Signer:
    """The key and the memory in a directory, which the caller has locked; raises NodeError."""
    key = load_consensus_key(directory / KEY_NAME)
    path = directory / MEMORY_NAME
    try:
        memory = SignerMemory(*WriteAheadLog.open(DiskLogFile(path)))
    except FileNotFoundError:
        return Signer(key, _begin(path, key.public, beginning, f"{path} is missing"))
    except LogDamaged as error:
        why = f"{path} is damaged at byte {error.offset}"
        return Signer(key, _begin(path, key.public, beginning, why))
    except Invalid as error:
        return Signer(key, _begin(path, key.public, beginning, f"{path}: {error.detail}"))
    _check_owner(path, memory.begin, key.public, beginning)
    if beginning is not None and beginning.floor is not None:
        memory.raise_floor(_with_margin(beginning.floor))
    return Signer(key, memory)


def _check_owner(path: Path, begin: Begin, public: bytes, beginning: Beginning | None) -> None:
    if begin.public != public:
        raise NodeError(
            "wrong_key",
            f"{path} is the memory of key {begin.public.hex()}, not of {public.hex()}",
            "give each key a directory of its own",
        )
    if beginning is None:
        return
    if beginning.chain_id not in (None, begin.chain_id):
        raise NodeError(
            "wrong_chain",
            f"{path} is the memory of a key on chain {begin.chain_id.hex()}",
            "give each chain a key and a directory of its own",
        )
    if beginning.floor is None:
        raise NodeError(
            "has_memory", f"{path} exists: this key is not new", "start it without --new-key"
        )


def _begin(path: Path, public: bytes, beginning: Beginning | None, why: str) -> SignerMemory:
    """A new memory in place of a missing or damaged one, which is kept beside it."""
    is_new = not path.exists() and not kept_logs(path)
    if beginning is None or (beginning.floor is None and not is_new):
        raise NodeError(
            "no_memory",
            f"{why}. It is not known what this key has signed, and nothing is signed",
            "see `marsa node status --json` of the other validators and say --recover-above "
            "EPOCH/VIEW/HEIGHT, the highest of each; or --new-key if it never signed anything",
        )
    if beginning.chain_id is None:
        raise NodeError("genesis_needed", "for which chain does this key sign?", "--genesis FILE")
    floor = Floor(0, 0, 0) if beginning.floor is None else _with_margin(beginning.floor)
    return SignerMemory.create(replace_log(path), Begin(beginning.chain_id, public), floor)


def _with_margin(floor: Floor) -> Floor:
    return Floor(floor.epoch, floor.view, floor.height + RECOVERY_HEIGHTS)


def lock(directory: Path) -> DirectoryLock:
    """A second signer on one directory would be a second memory; raises NodeError."""
    try:
        return DirectoryLock(directory)
    except DataDirectoryInUse as error:
        raise NodeError("directory_in_use", str(error)) from None
    except FileNotFoundError:
        hint = (
            f"make it with mode 0700, and move the node's keys/consensus.json to {KEY_NAME} there"
        )
        raise NodeError("no_directory", f"{directory} does not exist", hint) from None


def listen(path: Path) -> socket.socket:
    """A socket for the owner alone; one that a dead signer left is replaced. Raises NodeError."""
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(SOCKET_UMASK)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise NodeError("bad_socket", f"{path}: {error}", "choose another --socket") from None
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener


def run(signer: Signer, listener: socket.socket, path: Path, on_ready: Callable[[], None]) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. `on_ready` says that it does."""
    logs.configure("signer", "info", lambda: signer.memory.position, as_json=False)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno())  # a signal makes `ours` readable
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    try:
        on_ready()
        SignerServer(signer, listener).serve(ours)
    except OSError as error:
        log.critical("stopped, nothing more is signed: %s", error)
        return 1
    finally:
        signal.set_wakeup_fd(-1)
        path.unlink(missing_ok=True)
        for opened in (listener, ours, theirs):
            opened.close()
        signer.memory.close()
    return 0


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise NodeError("bad_socket", f"{path} exists and is no socket", "choose another --socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(SEND_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise NodeError("bad_socket", f"{path}: {error}", "choose another --socket") from None
    raise NodeError("socket_in_use", f"another process listens on {path}", "end it first")


class SignerServer:
    """Serves one client until `stop` is readable. Owns its sockets; the caller closes the rest."""

    def __init__(self, signer: Signer, listener: socket.socket) -> None:
        self._signer = signer
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._client: socket.socket | None = None
        self._client_name = ""
        self._buffer = bytearray()
        self._is_greeted = False

    def serve(self, stop: socket.socket) -> None:
        """Raises OSError when the memory fails."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(stop, selectors.EVENT_READ)
        try:
            while True:
                ready = [key.fileobj for key, _ in self._selector.select()]
                if stop in ready:
                    return
                if self._client is not None and self._client in ready:
                    self._read(self._client)
                if self._listener in ready:
                    self._accept()
        finally:
            self._drop("the signer stops")
            self._selector.close()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError as error:  # it was gone before; or no descriptors are left, for now
            log.warning("not accepted: %s", error)
            return
        pid, uid = _peer_of(client)
        name = f"process {pid}" if pid else "a process"
        if uid != os.geteuid():
            self._turn_away(client, f"user {uid} is not the owner of this key", name)
        elif self._client is not None:
            why = f"it serves {self._client_name} already: two nodes with one key, stop one of them"
            self._turn_away(client, why, name)
        else:
            client.settimeout(SEND_S)
            self._client, self._client_name, self._is_greeted = client, name, False
            self._selector.register(client, selectors.EVENT_READ)
            log.info("serves %s", name)

    def _turn_away(self, client: socket.socket, why: str, name: str) -> None:
        log.warning("refused %s: %s", name, why)
        client.setblocking(False)
        try:
            client.send(encode_frame(deny(why)))
        except OSError as error:
            log.debug("%s did not hear it: %s", name, error)
        client.close()

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(RECEIVE_BYTES)
        except OSError as error:
            self._drop(str(error))
            return
        if not data:
            self._drop("it closed")
            return
        self._buffer += data
        try:
            while (frame := self._next_frame()) is not None:
                self._reply(client, decode_question(frame))
        except Invalid as error:
            self._drop(f"bad frame: {error}")

    def _next_frame(self) -> bytes | None:
        """At most one unfinished frame is ever kept."""
        if self._client is None or len(self._buffer) < HEADER_BYTES:
            return None
        end = HEADER_BYTES + frame_size(bytes(self._buffer[:HEADER_BYTES]), QUESTION_BYTES_MAX)
        if len(self._buffer) < end:
            return None
        frame = bytes(self._buffer[HEADER_BYTES:end])
        del self._buffer[:end]
        return frame

    def _reply(self, client: socket.socket, question: Question) -> None:
        answer = self._signer.answer(question, is_greeted=self._is_greeted)
        if isinstance(answer, Welcome):
            self._is_greeted = True
        elif not isinstance(answer, Granted):
            log.warning("refused: %s", answer.why)
        try:
            client.sendall(encode_frame(answer))
        except OSError as error:
            self._drop(str(error))

    def _drop(self, why: str) -> None:
        client, self._client = self._client, None
        self._buffer.clear()
        if client is not None:
            log.info("no longer serves %s: %s", self._client_name, why)
            self._selector.unregister(client)
            client.close()


def _peer_of(client: socket.socket) -> tuple[int, int]:
    """Process and user at the other end, as the kernel names them.

    Where it names nobody, the modes of socket and directory alone keep others out.
    """
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return 0, os.geteuid()
    data = client.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(data)
    return pid, uid
