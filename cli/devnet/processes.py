"""Processes by pid and start: a number that was given to another process is never signalled.

Each node's directory holds `process.json`, written by whoever started the node. A process counts
as alive when a process of that pid has that start and is no zombie with all its threads ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Annotated

import msgspec
from msgspec import Meta

from node.files import write_atomic

PROCESS_FILE = "process.json"
PROCESS_FILE_MODE = 0o600
POLL_S = 0.01

_STATE_FIELD = 0
_STOPPED = ("T", "t")
_THREADS_FIELD = 17
_START_FIELD = 19
"""Of /proc/PID/stat behind the command's name, which may hold any character but ends at `)`."""


class Process(msgspec.Struct, frozen=True):
    """A process of this machine, since it was started."""

    pid: Annotated[int, Meta(gt=1)]
    start: str
    """Opaque; equal for the same process only."""


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None when there is none or only a zombie is left."""
    start = _start_linux(pid) if sys.platform == "linux" else _start_ps(pid)
    return None if start is None else Process(pid, start)


def is_alive(process: Process | None) -> bool:
    return process is not None and identify(process.pid) == process


def is_stopped(process: Process) -> bool:
    """Whether a process that is alive was stopped, as SIGSTOP does, and runs no instruction."""
    found = _stat_linux(process.pid) if sys.platform == "linux" else _stat_ps(process.pid)
    return found is not None and found[_STATE_FIELD].startswith(_STOPPED)


def save(directory: Path, process: Process) -> None:
    write_atomic(directory / PROCESS_FILE, msgspec.json.encode(process), PROCESS_FILE_MODE)


def running(directory: Path) -> Process | None:
    """The node of a directory, when it is alive."""
    try:
        process = msgspec.json.decode((directory / PROCESS_FILE).read_bytes(), type=Process)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return process if is_alive(process) else None


def spawn(directory: Path, command: Sequence[str], log: IO[bytes]) -> Process | None:
    """Start `command`, which outlives this one on purpose, and note it in `directory`; None when it
    ended at once. Options of the caller's environment are not its own."""
    environment = {name: item for name, item in os.environ.items() if not name.startswith("MARSA_")}
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        env=environment,
    )
    process = identify(child.pid)
    child.returncode = 0  # nobody waits for it here; `reap` takes note of its end
    if process is not None:
        save(directory, process)
    return process


def send(process: Process, number: signal.Signals) -> bool:
    """Signal a process; False when it is gone."""
    if not is_alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def wait_gone(processes: Iterable[Process], timeout_s: float) -> list[Process]:
    """Wait until they are gone; those that are still there when the time is over."""
    deadline = time.monotonic() + timeout_s
    left = list(processes)
    while True:
        reap()
        left = [process for process in left if is_alive(process)]
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(POLL_S)


def stop(processes: Iterable[Process], timeout_s: float) -> list[Process]:
    """SIGTERM, then SIGKILL for those that do not end in time, which are returned."""
    alive = [process for process in processes if send(process, signal.SIGTERM)]
    for process in alive:
        send(process, signal.SIGCONT)  # a stopped one would take note of nothing else
    stubborn = wait_gone(alive, timeout_s)
    kill(stubborn)
    return stubborn


def kill(processes: Iterable[Process]) -> None:
    """SIGKILL, and wait until the kernel has taken them away."""
    doomed = [process for process in processes if send(process, signal.SIGKILL)]
    wait_gone(doomed, timeout_s=10)


def reap() -> None:
    """Take note of children that ended: until then they would be zombies of this command."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return


def _start_linux(pid: int) -> str | None:
    """Clock ticks from boot to start, with the boot's id: ticks alone repeat after a reboot. None
    when nothing of it runs: its first thread may be a zombie while another, in the middle of an
    fsync, still holds its files, locks and ports."""
    fields = _stat_linux(pid)
    if fields is None:
        return None
    if fields[_STATE_FIELD] in ("Z", "X") and int(fields[_THREADS_FIELD]) <= 1:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot} {fields[_START_FIELD]}"


def _stat_linux(pid: int) -> list[str] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()


def _start_ps(pid: int) -> str | None:
    found = _stat_ps(pid)
    return None if found is None or found[0].startswith("Z") else found[1]


def _stat_ps(pid: int) -> tuple[str, str] | None:
    """State and start."""
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    state, _, start = result.stdout.strip().partition(" ")
    return (state, start.strip()) if state else None
