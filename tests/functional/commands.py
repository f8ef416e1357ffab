"""The command `marsa`, run as the script or in the fork of a process that has loaded it.

Most of what a command costs is the start of an interpreter and its imports, and these tests run
some thousands. `run_forked` starts a process for each as `run_script` does, from one that has
imported everything; what runs in it is the entry point of the script.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cli
from cli import output
from tests.output_schemas import SEEN, check, noting

MARSA = Path(sys.executable).with_name("marsa")
COMMAND_S = 90
KILLED_S = 10

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [
        "node.app",
        *(found.name for found in pkgutil.walk_packages(cli.__path__, "cli.")),
        "tests.functional.commands",  # where a fork finds what it is to do
    ]
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output, which is as its schema says."""
        check(self.out)
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """What went wrong, of a command with --json."""
        return self.json["error"]


def run_script(command: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run a command whose first words may say where it runs."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_S,
        stdin=subprocess.DEVNULL,
        env=environment,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def run_forked(command: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run a command that begins with MARSA."""
    assert command[0] == str(MARSA)
    with tempfile.TemporaryDirectory() as directory:
        out, err = Path(directory, "out"), Path(directory, "err")
        given = (list(command), dict(environment), out, err)
        process = _forks.Process(target=_become_marsa, args=given)
        process.start()
        process.join(COMMAND_S)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join(KILLED_S)
            raise AssertionError(f"not within {COMMAND_S} s: {command}")
        return Ended(code, out.read_text(), err.read_text())


def _become_marsa(command: list[str], environment: dict[str, str], out: Path, err: Path) -> None:
    """In the fork, whose standard input is empty: what a shell would have given."""
    from cli.main import main

    if SEEN in os.environ:
        output.json_text = noting(output.json_text)
    for number, file in ((1, out), (2, err)):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command
    main()
