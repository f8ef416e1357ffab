"""The signer's judgement and memory: what it refuses, what it remembers, when it does not start."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from consensus.messages import NewViewBody, ViewChangeBody
from ledger.block import COMMIT, PREPARE, VotePayload
from ledger.crypto import ZERO_HASH, verify
from ledger.kv import StorageError
from ledger.operations import ValidatorReady
from ledger.transaction import NO_FEE, Transaction
from node import keys, signer, wal
from node.errors import NodeError
from node.signer import Beginning, Signer, open_signer
from node.signer_memory import HEIGHTS_KEPT, RECOVERY_HEIGHTS, Floor
from node.signer_wire import AskReady, Denied, Granted, Hello, Welcome, ask
from node.signing import Request, signing_hash
from tests.consensus.kit import Kit
from tests.node.signer_world import CHAIN, NEW, PUBLIC, directory_in

KIT = Kit(4)
BASE = replace(KIT.header(), chain_id=CHAIN)
ONE, OTHER = bytes([1]) * 32, bytes([2]) * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return directory_in(tmp_path / "signer")


@pytest.fixture
def opened(home: Path) -> Signer:
    return open_signer(home, NEW)


def vote(
    height: int = 1, block_hash: bytes = ONE, *, phase: int = PREPARE, view: int = 0, epoch: int = 0
) -> VotePayload:
    return VotePayload(epoch, phase, view, height, block_hash)


def change(view: int, *, epoch: int = 0, member: int = 1) -> ViewChangeBody:
    return ViewChangeBody(epoch, view, BASE, (), (), member)


def new_view(view: int, *, epoch: int = 0, member: int = 1) -> NewViewBody:
    return NewViewBody(epoch, view, (), member)


def ready_body(key: bytes = PUBLIC) -> Transaction:
    operation = ValidatorReady("acme", key, 5, ONE)
    return Transaction(1, CHAIN, (), (), NO_FEE, (operation,), 1_000, b"")


def signs(opened: Signer, request: Request) -> bytes:
    answer = opened.answer(ask(request), is_greeted=True)
    assert isinstance(answer, Granted), answer
    assert verify(PUBLIC, signing_hash(CHAIN, request), answer.signature)
    return answer.signature


def refuses(opened: Signer, request: Request, word: str) -> None:
    answer = opened.answer(ask(request), is_greeted=True)
    assert isinstance(answer, Denied), answer
    assert word in answer.why


SCRIPTS = {
    "a second hash for one slot": ([vote()], vote(1, OTHER), "another block"),
    "a second COMMIT": ([vote(phase=COMMIT)], vote(1, OTHER, phase=COMMIT), "another block"),
    "an earlier view": ([vote(view=3)], vote(view=2), "view 3"),
    "an earlier epoch": ([vote(epoch=2)], vote(9, view=9, epoch=1), "epoch 2"),
    "an earlier view after a VIEW-CHANGE": ([change(3)], vote(view=2), "view 3"),
    "a second VIEW-CHANGE": ([change(3)], change(3, member=2), "another VIEW-CHANGE"),
    "a VIEW-CHANGE back": ([change(3)], change(2), "view 3"),
    "a VIEW-CHANGE into a view with votes": ([vote(view=3)], change(3), "may have voted"),
    "a VIEW-CHANGE on another chain": (
        [],
        replace(change(1), base=replace(BASE, chain_id=ZERO_HASH)),
        "another chain",
    ),
    "a second NEW-VIEW": (
        [change(3), new_view(3)],
        new_view(3, member=2),
        "another NEW-VIEW",
    ),
    "a NEW-VIEW without a VIEW-CHANGE": ([], new_view(3), "without a VIEW-CHANGE"),
    "a NEW-VIEW after votes only": ([vote(view=3)], new_view(3), "without a VIEW-CHANGE"),
    "a vote far below": ([vote(1000)], vote(1000 - HEIGHTS_KEPT), "far below"),
    "a payment": ([], replace(ready_body(), memo=b"x"), "only validator-ready"),
    "no operation": ([], replace(ready_body(), operations=()), "only validator-ready"),
    "ready twice": (
        [],
        replace(ready_body(), operations=ready_body().operations * 2),
        "only validator-ready",
    ),
    "ready of another key": ([], ready_body(OTHER), "only validator-ready"),
    "ready on another chain": ([], replace(ready_body(), chain_id=OTHER), "only validator-ready"),
}


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
def test_contradiction_is_refused(home: Path, name: str, restarts: bool) -> None:
    """In this life and the next, and the refusal changes nothing: what was signed still is."""
    before, request, word = SCRIPTS[name]
    opened = open_signer(home, NEW)
    signatures = [signs(opened, item) for item in before]
    if restarts:
        opened.memory.close()
        opened = open_signer(home)
    size = (home / signer.MEMORY_NAME).stat().st_size
    refuses(opened, request, word)
    assert (home / signer.MEMORY_NAME).stat().st_size == size
    if before:
        assert signs(opened, before[-1]) == signatures[-1]


def test_what_a_validator_does_is_signed(opened: Signer) -> None:
    """Votes of a window in any order, a view change as a primary, votes there, the next epoch."""
    for request in (
        vote(1),
        vote(2, OTHER),
        vote(1, phase=COMMIT),
        change(1),
        new_view(1),
        change(1),
        vote(1, OTHER, view=1),
        change(4),
        vote(1, view=4),
        vote(3, epoch=1),
        ready_body(),
    ):
        signs(opened, request)


def test_memory_survives_a_rotation(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is rotated after every record holds all that a refusal needs."""
    monkeypatch.setattr(wal, "LOG_BYTES_ROTATE", 1)
    opened = open_signer(home, NEW)
    before = [change(3), new_view(3), vote(7, view=3), vote(8, view=3)]
    for item in before:
        signs(opened, item)
    opened.memory.close()
    again = open_signer(home)
    for item in before:
        signs(again, item)
    refuses(again, vote(7, OTHER, view=3), "another block")
    refuses(again, change(3, member=2), "another VIEW-CHANGE")
    refuses(again, new_view(3, member=2), "another NEW-VIEW")


def test_crash_between_log_and_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logged and never answered: the same request is signed by the next process, no other is."""
    opened = open_signer(home, NEW)

    def dies(_: bytes) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ledger.crypto.SigningKey.sign", lambda _, message: dies(message))
        with pytest.raises(KeyboardInterrupt):
            opened.answer(ask(vote()), is_greeted=True)
    again = open_signer(home)
    refuses(again, vote(1, OTHER), "another block")
    signs(again, vote())


def test_a_disk_that_fails_signs_nothing(opened: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure reaches the process, and nothing is signed by it afterwards."""

    def fails(_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(wal.DiskLogFile, "sync", fails)
    with pytest.raises(OSError, match="no space left"):
        opened.answer(ask(vote()), is_greeted=True)
    monkeypatch.undo()
    with pytest.raises(StorageError):
        opened.answer(ask(vote()), is_greeted=True)


def test_hello_names_the_chain(opened: Signer) -> None:
    """Another chain is refused; before HELLO nothing is signed."""
    assert opened.answer(Hello(CHAIN), is_greeted=False) == Welcome(PUBLIC)
    refused = opened.answer(Hello(OTHER), is_greeted=False)
    assert isinstance(refused, Denied)
    assert CHAIN.hex() in refused.why
    assert isinstance(opened.answer(AskReady(ready_body()), is_greeted=False), Denied)


# Starting.


def code_of(home: Path, beginning: Beginning | None = None) -> str:
    with pytest.raises(NodeError) as caught:
        open_signer(home, beginning)
    return caught.value.code


def test_without_a_memory_it_does_not_start(home: Path) -> None:
    """Missing: only the operator can say that the key is new, or above what to sign."""
    assert code_of(home) == "no_memory"
    assert code_of(home, Beginning(None, None)) == "genesis_needed"
    assert code_of(home, Beginning(Floor(0, 0, 5), None)) == "genesis_needed"
    assert not (home / signer.MEMORY_NAME).exists()


@pytest.mark.parametrize("what", ["flipped", "empty", "header only"])
def test_damaged_memory_is_replaced_by_the_operators_word_only(home: Path, what: str) -> None:
    """It is kept beside the new one; that the key is new is not believed."""
    opened = open_signer(home, NEW)
    signs(opened, vote(4))
    signs(opened, vote(5))
    opened.memory.close()
    path = home / signer.MEMORY_NAME
    data = bytearray(path.read_bytes())
    if what == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes({"flipped": data, "empty": b"", "header only": data[: wal.HEADER_BYTES]}[what])
    assert code_of(home) == "no_memory"
    assert code_of(home, NEW) == "no_memory"
    path.rename(path.with_suffix(".damaged3"))  # as where the power fails while it is replaced
    assert code_of(home, NEW) == "no_memory"
    path.with_suffix(".damaged3").rename(path)
    again = open_signer(home, Beginning(Floor(2, 3, 5), CHAIN))
    assert path.with_suffix(".damaged").exists()
    top = 5 + RECOVERY_HEIGHTS
    refuses(again, vote(top, epoch=2, view=3), f"above {top}")
    refuses(again, vote(top + 1, epoch=2, view=2), "view 3")
    refuses(again, change(3, epoch=2), "may have voted")
    refuses(again, new_view(3, epoch=2), "without a VIEW-CHANGE")
    refuses(again, vote(top, epoch=3), f"above {top}")
    signs(again, vote(top + 1, epoch=2, view=3))


def test_a_floor_under_a_sound_memory_only_forbids_more(home: Path) -> None:
    """A restored copy is sound and may be old: the operator can raise it, never lower it."""
    opened = open_signer(home, NEW)
    signs(opened, vote(40, view=4))
    opened.memory.close()
    again = open_signer(home, Beginning(Floor(0, 1, 10), None))
    refuses(again, vote(40, OTHER, view=4), "another block")
    refuses(again, vote(10 + RECOVERY_HEIGHTS, view=4), "above")
    refuses(again, vote(41, view=3), "view 4")
    again.memory.close()
    assert code_of(home, NEW) == "has_memory"
    assert code_of(home, Beginning(Floor(0, 1, 10), OTHER)) == "wrong_chain"


def test_memory_of_another_key(home: Path) -> None:
    """Each key has its own."""
    open_signer(home, NEW).memory.close()
    (home / signer.KEY_NAME).unlink()
    keys.save_consensus_key(home / signer.KEY_NAME, bytes(32), note="another")
    assert code_of(home) == "wrong_key"


def test_key_that_others_may_read(home: Path) -> None:
    """As for a node's own key."""
    (home / signer.KEY_NAME).chmod(0o640)
    assert code_of(home, NEW) == "key_not_private"


def test_second_signer_on_a_directory(home: Path) -> None:
    """Two memories of one key would be none."""
    with signer.lock(home), pytest.raises(NodeError) as caught:
        signer.lock(home)
    assert caught.value.code == "directory_in_use"
    with pytest.raises(NodeError) as caught:
        signer.lock(home / "none")
    assert caught.value.code == "no_directory"


def test_socket_is_for_the_owner_and_for_one_process(tmp_path: Path) -> None:
    """Mode 0600; what a dead signer left is replaced, what is alive or no socket is not."""
    path = tmp_path / "s"
    listener = signer.listen(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(NodeError) as caught:
        signer.listen(path)
    assert caught.value.code == "socket_in_use"
    listener.close()
    signer.listen(path).close()
    path.unlink()
    path.write_text("a file")
    for wrong in (path, tmp_path / "none" / "s"):
        with pytest.raises(NodeError) as caught:
            signer.listen(wrong)
        assert caught.value.code == "bad_socket"
    assert path.read_text() == "a file"
