"""`marsa validator signer`: what it refuses before it listens. Its running is a functional test."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint, nonce_of_seed
from cli.errors import ExitCode
from ledger.genesis import dump
from node import keys, signer
from tests.cli.conftest import Marsa

BLUEPRINT = Blueprint(nonce_of_seed(0), SEEDED_TIME_MS)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a key; the command works in it, and leaves it with the test."""
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "signer"
    made.mkdir(mode=0o700)
    keys.save_consensus_key(made / signer.KEY_NAME, bytes(range(32)), note="test")
    (tmp_path / "genesis.json").write_bytes(dump(BLUEPRINT.genesis))
    return made


@pytest.mark.parametrize(
    ("options", "exit_code", "code"),
    [
        ((), ExitCode.CHECK_FAILED, "no_memory"),
        (("--new-key", "--yes"), ExitCode.USAGE, "genesis_needed"),
        (("--new-key",), ExitCode.REFUSED, "confirmation_needed"),
        (("--recover-above", "1/0/7"), ExitCode.REFUSED, "confirmation_needed"),
        (("--recover-above", "7"), ExitCode.USAGE, "usage"),
        (("--recover-above", "1/0/-7"), ExitCode.USAGE, "usage"),
        (("--recover-above", "1/0/٧"), ExitCode.USAGE, "usage"),
        (("--recover-above", "1/0/7", "--new-key"), ExitCode.USAGE, "usage"),
    ],
)
def test_nothing_begins_without_the_operators_word(
    marsa: Marsa, home: Path, options: tuple[str, ...], exit_code: int, code: str
) -> None:
    """Each with its code, and no memory is made."""
    ended = marsa("validator", "signer", home, *options, "--json")
    assert (ended.code, ended.json["error"]["code"]) == (exit_code, code)
    assert not (home / signer.MEMORY_NAME).exists()


def test_it_begins_once(marsa: Marsa, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready, it says with which key and where; that the key is new is believed once."""
    monkeypatch.setattr(signer.SignerServer, "serve", lambda server, stop: None)
    monkeypatch.setattr(signer.logs, "configure", lambda *_, **__: None)
    monkeypatch.setattr(signer.signal, "set_wakeup_fd", lambda _: None)
    monkeypatch.setattr(signer.signal, "signal", lambda *_: None)
    words = ("--new-key", "--genesis", home.parent / "genesis.json", "--yes", "--json")
    begun = marsa("validator", "signer", home, *words)
    assert begun.code == 0, begun.err
    assert begun.json["public"] == keys.load_consensus_key(home / signer.KEY_NAME).public.hex()
    assert begun.json["socket"] == str(home / signer.SOCKET_NAME)
    assert not (home / signer.SOCKET_NAME).exists()
    assert marsa("validator", "signer", home).code == 0
    again = marsa("validator", "signer", home, *words)
    assert again.json["error"]["code"] == "has_memory"
