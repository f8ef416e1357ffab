"""A key over a socket: a signer that refuses, hangs, lies, dies or comes back."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.block import PREPARE, VotePayload
from ledger.crypto import SigningKey, verify
from node import signer, signer_client
from node.errors import NodeError
from node.signer import Signer, open_signer
from node.signer_client import RemoteKey, SignerGone, dial
from node.signer_wire import (
    QUESTION_BYTES_MAX,
    AskVote,
    Granted,
    Hello,
    Welcome,
    deny,
    encode_frame,
)
from node.signing import signing_hash
from node.vote_guard import Refused
from tests.node.signer_world import CHAIN, NEW, PUBLIC, SEED, directory_in, serving

DEADLINE_S = 10.0
SHORT_S = 0.2
VOTE = VotePayload(0, PREPARE, 0, 1, bytes(32))
OTHER = VotePayload(0, PREPARE, 0, 1, bytes([1]) * 32)
OTHER_CHAIN = bytes(32)


@pytest.fixture
def opened(tmp_path: Path) -> Signer:
    return open_signer(directory_in(tmp_path / "signer"), NEW)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signer_client, "ANSWER_S", DEADLINE_S)
    monkeypatch.setattr(signer_client, "RETRY_MIN_S", 0.01)
    monkeypatch.setattr(signer_client, "RETRY_MAX_S", 0.02)


@contextmanager
def impostor(path: Path, *answers: bytes) -> Iterator[None]:
    """A process at the socket that gives these bytes, one lot for each request, and then closes."""
    listener = signer.listen(path)
    listener.setblocking(True)

    def answer() -> None:
        client, _ = listener.accept()
        with client:
            for data in answers:
                client.recv(65_536)
                client.sendall(data)
            client.recv(65_536)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield
    finally:
        thread.join(DEADLINE_S)
        listener.close()
        path.unlink()


WELCOME = encode_frame(Welcome(PUBLIC))


def granted(message: bytes) -> bytes:
    return encode_frame(Granted(SigningKey(SEED).sign(message)))


def test_signature_and_refusal(opened: Signer, path: Path) -> None:
    """The signature verifies; a refusal is Refused, stays named, and the next signature ends it."""
    with serving(opened, path):
        key = RemoteKey.open(path, CHAIN, None)
        assert (key.public, key.is_at_hand, key.trouble) == (PUBLIC, True, "")
        assert verify(PUBLIC, signing_hash(CHAIN, VOTE), key.sign(VOTE))
        with pytest.raises(Refused, match="another block was signed at height 1"):
            key.sign(OTHER)
        assert key.is_at_hand
        assert "another block" in key.trouble
        key.sign(VOTE)
        assert key.trouble == ""
        key.close()
        key.close()


def test_wrong_key_and_wrong_chain(opened: Signer, path: Path) -> None:
    """A signer of another key stops the start; one of another chain is no signer."""
    with serving(opened, path):
        with pytest.raises(NodeError) as caught:
            RemoteKey.open(path, CHAIN, bytes(32))
        assert caught.value.code == "wrong_key"
        with pytest.raises(SignerGone, match="signs for chain 0707"):
            dial(path, OTHER_CHAIN)


def test_a_signer_that_is_not_there(path: Path) -> None:
    """The node starts with the key that the chain names; without one there is nothing to do."""
    key = RemoteKey.open(path, CHAIN, PUBLIC)
    assert not key.is_at_hand
    assert "no signer answers at" in key.trouble
    with pytest.raises(Refused, match="no signer answers"):
        key.sign(VOTE)
    with pytest.raises(NodeError) as caught:
        RemoteKey.open(path, CHAIN, None)
    assert caught.value.code == "signer_unreachable"


def test_a_second_node_is_refused_and_told_why(opened: Signer, path: Path) -> None:
    """The first goes on; when it has gone the second is served."""
    with serving(opened, path):
        first = RemoteKey.open(path, CHAIN, None)
        second = RemoteKey.open(path, CHAIN, PUBLIC)
        assert not second.is_at_hand
        assert "two nodes with one key" in second.trouble
        first.sign(VOTE)
        first.close()
        third = RemoteKey.open(path, CHAIN, PUBLIC)
        third.sign(VOTE)
        third.close()


def test_another_user_is_refused(
    opened: Signer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the modes are: the kernel names the other end."""
    monkeypatch.setattr(signer, "_peer_of", lambda client: (1, signer.os.geteuid() + 1))
    with serving(opened, path), pytest.raises(SignerGone, match="not the owner"):
        dial(path, CHAIN)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"", "nothing within"),
        (struct.pack(">I", 1 << 30), "1073741824 bytes"),
        (struct.pack(">I", 4) + b"abcd", "type 97"),
        (encode_frame(Granted(bytes(64))), "no signature"),
        (WELCOME, "no signature"),
        (granted(signing_hash(CHAIN, OTHER)), "no signature"),
    ],
    ids=["nothing", "endless", "garbage", "bad signature", "welcome", "another vote's"],
)
def test_a_signer_that_lies_is_gone(
    path: Path, answer: bytes, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it answers, the node raises Refused and asks it nothing more."""
    with impostor(path, WELCOME, answer):
        key = RemoteKey.open(path, CHAIN, None)
        if not answer:
            monkeypatch.setattr(signer_client, "ANSWER_S", SHORT_S)
        with pytest.raises(Refused, match=word):
            key.sign(VOTE)
        assert not key.is_at_hand
        assert key.trouble


def frames_of_strangers() -> dict[str, bytes]:
    hello = encode_frame(Hello(CHAIN))
    return {
        "too long": struct.pack(">I", QUESTION_BYTES_MAX + 1),
        "empty": struct.pack(">I", 0),
        "garbage": struct.pack(">I", 8) + b"\xff" * 8,
        "an answer": encode_frame(Welcome(PUBLIC)),
        "trailing": struct.pack(">I", len(hello) - 3) + hello[4:] + b"\x00",
        "not canonical": struct.pack(">I", 6) + bytes((61, 1)) + b"\x91\xcc\x05\x00",
        "a bare hash": struct.pack(">I", 36) + bytes((61, 1)) + b"\xc4\x20" + bytes(32),
    }


@pytest.mark.parametrize("name", frames_of_strangers())
def test_bad_frames_end_the_connection_only(opened: Signer, path: Path, name: str) -> None:
    """Nothing is signed, and the next client is served."""
    with serving(opened, path):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE_S)
            client.connect(str(path))
            client.sendall(frames_of_strangers()[name])
            assert client.recv(100) == b""
        key = RemoteKey.open(path, CHAIN, None)
        key.sign(VOTE)
        key.close()


def test_a_vote_before_hello_is_denied(opened: Signer, path: Path) -> None:
    """In pieces of one byte too: frames are put together."""
    with serving(opened, path), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(str(path))
        for byte in encode_frame(AskVote(VOTE)):
            client.sendall(bytes((byte,)))
        expected = encode_frame(deny("say first for which chain"))
        assert client.recv(1_000) == expected


class Told:
    """What `keep` tells the node, and when."""

    def __init__(self, key: RemoteKey) -> None:
        self.key = key
        self.troubles: list[str] = []
        self._event = asyncio.Event()

    def change(self) -> None:
        self.troubles.append(self.key.trouble)
        self._event.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._event.clear()
                await self._event.wait()


async def test_it_comes_back(opened: Signer, path: Path) -> None:
    """Not there at the start, there, gone while nobody asks, there again: each time it is told."""
    key = RemoteKey.open(path, CHAIN, PUBLIC)
    told = Told(key)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(key.keep(told.change))
        for _ in range(2):
            with serving(opened, path):
                await told.until(lambda: key.is_at_hand)
                key.sign(VOTE)
            await told.until(lambda: not key.is_at_hand)
        task.cancel()
    assert "" in told.troubles
    assert any("is gone: it closed" in text for text in told.troubles)
    key.close()


async def test_trouble_at_the_start_is_told(opened: Signer, path: Path) -> None:
    """A signer that serves another node refuses from the first moment on, always with one reason:
    the node hears it once."""
    with serving(opened, path):
        first = RemoteKey.open(path, CHAIN, PUBLIC)
        second = RemoteKey.open(path, CHAIN, PUBLIC)
        told = Told(second)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(second.keep(told.change))
            await told.until(lambda: bool(told.troubles))
            task.cancel()
        first.close()
    assert "two nodes with one key" in told.troubles[0]
    second.close()


async def test_one_that_hangs_costs_one_wait(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts and says nothing: the vote is lost, then the loop tries beside the engine."""
    with impostor(path, WELCOME, b""):
        key = RemoteKey.open(path, CHAIN, None)
        monkeypatch.setattr(signer_client, "ANSWER_S", SHORT_S)
        told = Told(key)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(key.keep(told.change))
            await asyncio.sleep(0)
            with pytest.raises(Refused, match="nothing within"):
                key.sign(VOTE)
            with pytest.raises(Refused):
                key.sign(VOTE)
            await told.until(lambda: bool(told.troubles))
            task.cancel()
    assert not key.is_at_hand


async def test_another_key_is_not_taken_later(opened: Signer, path: Path) -> None:
    """What the chain names does not change because the signer did."""
    key = RemoteKey.open(path, CHAIN, bytes(32))
    told = Told(key)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(key.keep(told.change))
        with serving(opened, path):
            await told.until(lambda: "another key" in key.trouble)
        task.cancel()
    assert not key.is_at_hand
