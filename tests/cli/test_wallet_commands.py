"""`marsa wallet` without a node: made, restored, backed up, and never a secret where it leaks."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cli import passwords
from cli.errors import ExitCode
from cli.passwords import PASSWORD_BYTES_MAX
from cli.wallet import store
from tests.cli.conftest import Marsa

WORDS = " ".join(["abandon"] * 23 + ["art"])
TERMINAL_DEADLINE_S = 30.0


@pytest.fixture
def words_file(tmp_path: Path) -> Path:
    file = tmp_path / "words"
    file.touch(mode=0o600)
    file.write_text(WORDS)
    return file


def test_new_backup_import_and_verify_agree(
    marsa: Marsa, password_file: Path, tmp_path: Path
) -> None:
    """The words of a new wallet restore the same address under another name."""
    words = tmp_path / "out.txt"
    options = ("--password-file", password_file, "--json")
    made = marsa("wallet", "new", "one", "--words-file", words, *options)
    assert made.code == 0, made.err
    assert words.stat().st_mode & 0o777 == 0o600
    assert len(words.read_text().split()) == 24
    again = marsa("wallet", "import", "two", "--words-file", words, *options)
    assert again.json["address"] == made.json["address"]
    assert again.json["uuid"] != made.json["uuid"]
    copy = tmp_path / "copy.txt"
    kept = marsa("wallet", "backup", "one", "--words-file", copy, *options)
    assert (kept.json["name"], kept.json["file"]) == ("one", str(copy))
    assert copy.read_text() == words.read_text()
    checked = marsa("wallet", "verify-backup", "two", "--words-file", copy, "--json")
    assert (checked.json["name"], checked.json["ok"]) == ("two", True)
    for output in (made, again, kept, checked):
        assert not set(words.read_text().split()[:3]) <= set((output.out + output.err).split())


def test_known_words_give_known_addresses(
    marsa: Marsa, words_file: Path, password_file: Path
) -> None:
    """A fixed mnemonic always restores the same addresses: the derivation never changes."""
    options = ("--words-file", words_file, "--password-file", password_file)
    assert marsa("wallet", "import", "fixed", "--addresses", 2, *options).code == 0
    shown = marsa("wallet", "addresses", "fixed", "--json").json["addresses"]
    assert shown == [
        "mrst1qz4c6wuek87t7mgx6vy5hvadd60pcw3zpxd6hdlykam636cju6tpsul3rn8",
        "mrst1qzdrc66tekm4znvsh5ns4cy4jrrlkx9atmm2w0p2t5kvqcnfrzqkyzcn22u",
    ]
    main = marsa("wallet", "addresses", "fixed", "--network", "main", "--json").json["addresses"]
    assert all(address.startswith("mrs1") for address in main)


def test_other_words_fail_the_check(marsa: Marsa, words_file: Path, password_file: Path) -> None:
    """Valid words of another wallet: exit 9; invalid words: exit 2."""
    marsa("wallet", "new", "one", "--password-file", password_file)
    other = marsa("wallet", "verify-backup", "one", "--words-file", words_file, "--json")
    assert (other.code, other.json["error"]["code"]) == (ExitCode.CHECK_FAILED, "other_wallet")
    words_file.write_text("abandon " * 24)
    assert marsa("wallet", "verify-backup", "one", "--words-file", words_file).code == 2


def test_nothing_is_asked_without_a_terminal(marsa: Marsa, password_file: Path) -> None:
    """No password, no words, no place for words: each ends at once and says which option helps."""
    locked = marsa("wallet", "new", "one")
    assert (locked.code, locked.out) == (ExitCode.LOCKED, "")
    assert "--password-fd" in locked.err
    assert marsa("wallet", "new", "one", "--password-file", password_file).code == 0
    assert "--words-file" in marsa("wallet", "backup", "one").err
    assert "--words-file" in marsa("wallet", "import", "two").err
    assert store.names() == ["one"]


def test_a_password_that_comes_in_parts_is_whole(marsa: Marsa, password_file: Path) -> None:
    """A pipe brings what its writer wrote so far; the wallet opens with all of it. One that is
    longer than any is refused, not cut."""
    reader, writer = os.pipe()
    late = threading.Timer(0.2, lambda: (os.write(writer, b"battery\n"), os.close(writer)))
    os.write(writer, b"correct horse ")
    late.start()
    assert marsa("wallet", "new", "one", "--password-fd", reader).code == 0
    late.join()
    os.close(reader)
    password_file.write_text("correct horse battery\n")
    opened = marsa("wallet", "addresses", "one", "--new", "--password-file", password_file)
    assert opened.code == 0
    password_file.write_text("x" * (PASSWORD_BYTES_MAX + 1))
    assert marsa("wallet", "new", "two", "--password-file", password_file).code == ExitCode.USAGE


def test_a_writer_that_keeps_the_pipe_open_holds_up_nobody(
    marsa: Marsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a newline what is there counts, once nothing more has come for a while."""
    monkeypatch.setattr(passwords, "PASSWORD_REST_S", 0.1)
    reader, writer = os.pipe()
    os.write(writer, b"correct horse battery")
    assert marsa("wallet", "new", "one", "--password-fd", reader).code == 0
    os.close(writer)
    os.close(reader)


def test_password_comes_through_a_descriptor(marsa: Marsa) -> None:
    """--password-fd reads the first line of an open pipe."""
    for name, code in (("one", 0), ("one", ExitCode.USAGE)):
        reader, writer = os.pipe()
        os.write(writer, b"correct horse battery\nrest")
        os.close(writer)
        assert marsa("wallet", "new", name, "--password-fd", reader).code == code
        os.close(reader)
    assert marsa("wallet", "new", "two", "--password-fd", 999).code == ExitCode.USAGE


def test_bad_passwords(marsa: Marsa, password_file: Path) -> None:
    """Too short for a new wallet, wrong for an old one, in a file that others may read."""
    marsa("wallet", "new", "one", "--password-file", password_file)
    password_file.write_text("other horse battery")
    wrong = marsa("wallet", "addresses", "one", "--new", "--password-file", password_file)
    assert (wrong.code, "wrong_password" in wrong.err) == (ExitCode.LOCKED, True)
    password_file.write_text("short")
    assert "weak_password" in marsa("wallet", "new", "b", "--password-file", password_file).err
    password_file.chmod(0o644)
    assert "chmod 600" in marsa("wallet", "new", "b", "--password-file", password_file).err
    assert store.names() == ["one"]


def test_messages_are_signed_and_checked(marsa: Marsa, password_file: Path) -> None:
    """sign-message and verify-message agree; another text, signer or address fails with 9."""
    option = ("--password-file", password_file)
    for name in ("one", "two"):
        marsa("wallet", "new", name, *option)
    signed = marsa("wallet", "sign-message", "one", "hello — مرحبا", *option, "--json").json
    check = ("wallet", "verify-message", signed["address"])
    good = marsa(*check, "hello — مرحبا", signed["signature"], "--json").json
    told = (good["ok"], good["address"], good["message"])
    assert told == (True, signed["address"], "hello — مرحبا")
    assert marsa(*check, "hello", signed["signature"]).code == ExitCode.CHECK_FAILED
    flipped = signed["signature"][:-2] + ("00" if signed["signature"][-2:] != "00" else "01")
    assert marsa(*check, "hello — مرحبا", flipped).code == ExitCode.CHECK_FAILED
    other = marsa("wallet", "show", "two", "--json").json["address"]
    foreign = marsa("wallet", "verify-message", other, "hello — مرحبا", signed["signature"])
    assert foreign.code == ExitCode.CHECK_FAILED
    assert marsa(*check, "hello", "zz").code == ExitCode.USAGE
    assert marsa("wallet", "verify-message", "mrst1x", "hello", "00").code == ExitCode.USAGE


def test_accounts_of_devnets_come_before_wallets(
    marsa: Marsa, marsa_home: Path, password_file: Path
) -> None:
    """A name that is both is the public account; both are listed."""
    marsa("wallet", "new", "alice", "--password-file", password_file)
    wallet = marsa("wallet", "show", "alice", "--json").json["address"]
    account = {"name": "alice", "address": wallet, "seed": "11" * 32}
    file = marsa_home / "devnets" / "default" / "accounts.json"
    file.parent.mkdir(parents=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps([account]))
    signed = marsa("wallet", "sign-message", "alice", "x", "--json")
    assert signed.code == 0, signed.err
    assert signed.json["address"] != wallet
    kinds = [item["kind"] for item in marsa("wallet", "list", "--json").json["wallets"]]
    assert kinds == ["devnet default", "wallet"]
    taken = marsa("wallet", "new", "alice", "--password-file", password_file, "--json")
    assert (taken.code, taken.json["error"]["code"]) == (ExitCode.USAGE, "name_taken")
    file.chmod(0o604)
    assert "chmod 600" in marsa("wallet", "sign-message", "alice", "x").err


def test_new_on_a_terminal_shows_words_once_and_asks_three_back(marsa_home: Path) -> None:
    """On a pseudo-terminal: password twice, 24 words, Enter, three of them asked by position."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "wallet", "new", "mine"],
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    try:
        for prompt in ("Password of wallet", "Repeat"):
            _read_until(leader, prompt)
            os.write(leader, b"correct horse battery\n")
        shown = _read_until(leader, "Press Enter")
        words = dict(re.findall(r"(\d+)\. ([a-z]+)", shown))
        assert len(words) == 24
        os.write(leader, b"\n")
        for _ in range(3):
            asked = re.findall(r"Word (\d+): $", _read_until(leader, r"Word \d+: $"))[-1]
            os.write(leader, words[asked].encode() + b"\n")
        out, _ = process.communicate(timeout=TERMINAL_DEADLINE_S)
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    assert process.returncode == 0
    phrase = [words[str(place)] for place in range(1, 25)]
    told = " ".join(out.decode().split())  # one of them may be a word of the answer by chance
    assert not any(f"{one} {next_one}" in told for one, next_one in itertools.pairwise(phrase))
    assert store.names() == ["mine"]


def _read_until(terminal: int, pattern: str) -> str:
    """Read the terminal until `pattern` was shown; fails at the deadline."""
    deadline = time.monotonic() + TERMINAL_DEADLINE_S
    shown = ""
    while not re.search(pattern, shown):
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"{pattern} was not shown, but {shown!r}"
        shown += os.read(terminal, 4_096).decode()
    return shown
