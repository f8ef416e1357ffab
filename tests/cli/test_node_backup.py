"""`marsa node backup` and `restore` as commands: results, progress, refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.errors import ExitCode
from tests.cli.conftest import Marsa, Result
from tests.cli.hosts_file import PROVIDERS, host, write_hosts

TERMINAL_BYTES_MAX = 64 * 1024


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


@pytest.fixture
def node(marsa: Marsa, tmp_path: Path) -> Path:
    """A node that can start."""
    hosts = [host(name, f"198.51.100.{at}:8740") for at, name in enumerate(PROVIDERS, 7)]
    file = write_hosts(tmp_path / "hosts.toml", hosts)
    assert marsa("network", "init", "--hosts", file, "--out", tmp_path / "net").code == 0
    return tmp_path / "net" / "hosts" / "acme"


def test_there_and_back(marsa: Marsa, node: Path, tmp_path: Path) -> None:
    """Each says what it did; a restored validator is said to wait, and for which command."""
    file, again = tmp_path / "acme.backup", tmp_path / "again"
    made = marsa("node", "backup", node, file, "--json").json
    assert (made["schema"], made["name"], made["height"]) == ("marsa.node.backup/1", "acme", 0)
    assert made["bytes"] == file.stat().st_size
    found = marsa("node", "restore", file, again)
    assert f"marsa node recover {again}" in found.out
    ports = [f"--set={key}.listen=127.0.0.1:0" for key in ("p2p", "api", "operations")]
    checked = marsa("node", "check", again, *ports, "--json").json
    assert not checked["votes"]
    assert "restore from a backup" in checked["reason"]
    second = marsa("node", "restore", file, tmp_path / "b", "--json").json
    assert (second["schema"], second["votes"]) == ("marsa.node.restore/1", False)
    assert second["genesis_hash"] == made["genesis_hash"] == checked["genesis_hash"]


def test_into_the_present_directory(
    marsa: Marsa, node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.` may be empty and then becomes the node's directory."""
    file = tmp_path / "acme.backup"
    assert marsa("node", "backup", node, file).code == 0
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert marsa("node", "restore", file, ".").code == 0
    assert (empty / "marsa.toml").is_file()


def test_refusals(marsa: Marsa, node: Path, tmp_path: Path) -> None:
    """Files and directories that exist, a file that does not, one of something else."""
    file = tmp_path / "acme.backup"
    assert marsa("node", "backup", node, file).code == 0
    again = marsa("node", "backup", node, file, "--json")
    assert code_of(again) == (ExitCode.USAGE, "file_exists")
    full = marsa("node", "restore", file, node, "--json")
    assert code_of(full) == (ExitCode.USAGE, "directory_not_empty")
    none = marsa("node", "restore", tmp_path / "none", tmp_path / "b", "--json")
    assert code_of(none) == (ExitCode.NOT_FOUND, "no_backup")
    file.write_text("x")
    foreign = marsa("node", "restore", file, tmp_path / "b", "--json")
    assert code_of(foreign) == (ExitCode.CHECK_FAILED, "bad_backup")


def test_progress_on_a_terminal(node: Path, tmp_path: Path) -> None:
    """With a terminal on standard error there is a bar; the result alone is on standard output."""
    master, terminal = os.openpty()
    file = tmp_path / "acme.backup"
    command = [sys.executable, "-m", "cli.main", "node", "backup", str(node), str(file), "--json"]
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=terminal, check=True, env=environment, timeout=60
    )
    os.close(terminal)
    shown = os.read(master, TERMINAL_BYTES_MAX).decode()
    os.close(master)
    assert "copying" in shown
    assert "copying" not in done.stdout.decode()
    assert file.is_file()
