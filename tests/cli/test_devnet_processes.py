"""Processes by pid and start, ports by who has them, and what the launcher's children become."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.devnet import launch, plan, processes, sockets
from cli.devnet.logs import LogTail
from cli.devnet.plan import Founding
from cli.devnet.processes import Process
from cli.devnet.watch import block_lines
from cli.errors import CliError
from node.api.schemas import BlockSummary

DEADLINE_S = 20

LAUNCHER = """
import sys, time
from pathlib import Path
from cli.devnet import launch, processes
from node.errors import NodeError

def run(directory):
    print("running", directory.name, flush=True)
    if directory.name == "refuses":
        raise NodeError("wrong_genesis", "the genesis is wrong", "put the right one there")
    if directory.name == "crashes":
        raise ValueError("a fault of ours")
    time.sleep(600)
    return 0

directories = [Path(name) for name in sys.argv[1:]]
print("started by the launcher")
launch.start(directories, run)
"""


WITHOUT_ITS_FIRST_THREAD = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready")
time.sleep(600)
"""


def start(*directories: Path) -> str:
    """Run the launcher in a process of its own; returns what it printed once its pipe is closed."""
    for directory in directories:
        directory.mkdir()
    command = [sys.executable, "-c", LAUNCHER, *map(str, directories)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    return done.stdout


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_process_is_known_by_pid_and_start() -> None:
    """The same pid with another start is another process: neither alive nor signalled."""
    own = processes.identify(os.getpid())
    assert own is not None
    assert processes.is_alive(own)
    recycled = Process(own.pid, "some earlier start")
    assert not processes.is_alive(recycled)
    assert not processes.send(recycled, signal.SIGKILL)


def test_zombie_counts_as_dead() -> None:
    """A child that ended and was not waited for has a pid, but runs no more."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    wait_until(lambda: processes.identify(child.pid) is None)
    assert child.wait(DEADLINE_S) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="what `ps` calls a zombie has no threads left")
def test_process_lives_until_its_last_thread_ends() -> None:
    """The first thread is a zombie while another one runs: the files and locks are still held."""
    command = [sys.executable, "-c", WITHOUT_ITS_FIRST_THREAD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        stat = Path(f"/proc/{child.pid}/stat")
        wait_until(lambda: ") Z " in stat.read_text())
        process = processes.identify(child.pid)
        assert process is not None
        assert processes.wait_gone([process], timeout_s=0.1) == [process]
        processes.kill([process])
        assert not processes.is_alive(process)
        child.wait(DEADLINE_S)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"pid": 1, "start": "x"}', b"\xff"])
def test_damaged_process_file_is_no_process(tmp_path: Path, data: bytes) -> None:
    """What cannot be read, or names the system's first process, is not running."""
    (tmp_path / processes.PROCESS_FILE).write_bytes(data)
    assert processes.running(tmp_path) is None


def test_children_outlive_the_launcher_and_hold_nothing_of_it(tmp_path: Path) -> None:
    """Each node has a session and a log of its own; the launcher's pipe closes with it."""
    directories = [tmp_path / "one", tmp_path / "two"]
    assert start(*directories) == "started by the launcher\n"
    nodes = [processes.running(directory) for directory in directories]
    try:
        for node, directory in zip(nodes, directories, strict=True):
            assert node is not None
            assert os.getsid(node.pid) == node.pid
            log = directory / launch.LOG_NAME
            wait_until(lambda log=log: log.read_text() != "")
            assert log.read_text() == f"running {directory.name}\n"
    finally:
        alive = [node for node in nodes if node is not None]
        assert processes.stop(alive, DEADLINE_S) == []
    assert [processes.running(directory) for directory in directories] == [None, None]


def test_reason_of_a_failed_start_is_in_the_log(tmp_path: Path) -> None:
    """A refusal is a sentence with its hint, a fault of ours a traceback; both end the process."""
    refuses, crashes = tmp_path / "refuses", tmp_path / "crashes"
    start(refuses, crashes)
    wait_until(lambda: processes.running(refuses) is None and processes.running(crashes) is None)
    said = (refuses / launch.LOG_NAME).read_text()
    assert "error[wrong_genesis]: the genesis is wrong. put the right one there" in said
    assert "Traceback" not in said
    assert "ValueError: a fault of ours" in (crashes / launch.LOG_NAME).read_text()


def test_stubborn_process_is_killed(tmp_path: Path) -> None:
    """A process that ignores SIGTERM gets SIGKILL when its time is over, and is named."""
    child = subprocess.Popen([sys.executable, "-uc", STUBBORN], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    process = processes.identify(child.pid)
    assert process is not None
    assert processes.stop([process], 0.1) == [process]
    assert not processes.is_alive(process)
    child.stdout.close()
    child.wait(DEADLINE_S)


def test_long_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log beyond the limit is kept as the older one, and a new one begins."""
    monkeypatch.setattr(launch, "LOG_BYTES_ROTATE", 10)
    log = tmp_path / launch.LOG_NAME
    log.write_text("x" * 11)
    launch.rotate_log(tmp_path)
    assert not log.exists()
    assert (tmp_path / f"{launch.LOG_NAME}.1").read_text() == "x" * 11


def test_port_in_use_names_port_process_and_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the port and this process's pid, the hint a base port that is free."""
    monkeypatch.setattr(launch, "initialise_nodes", lambda _: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        place = plan.found("default", Founding(base_port=port))
        with pytest.raises(CliError) as caught:
            sockets.check_free(place, place.devnet.nodes)
        assert f"port {port} " in caught.value.message
        if sys.platform == "linux":
            assert f"pid {os.getpid()} " in caught.value.message
        assert "marsa devnet up --base-port " in caught.value.hint


def block(height: int, transactions: int = 0) -> BlockSummary:
    return BlockSummary(
        height=height,
        hash="00" * 32,
        time_ms=1_700_000_000_000,
        time="",
        proposer="acme",
        transactions=transactions,
        view=0,
        signers=[],
    )


def test_one_line_a_block_and_one_for_those_that_were_missed() -> None:
    """Known blocks are not repeated; older ones than were fetched share a line."""
    lines = block_lines([block(7), block(8, 1), block(9, 40)], seen=7)
    assert [line.split("  ")[2] for line in lines] == ["1 transaction", "40 transactions"]
    assert block_lines([block(7), block(8)], seen=3)[0] == "blocks 4 to 6"
    assert block_lines([block(3)], seen=3) == []


def test_tail_gives_whole_lines_and_survives_a_new_file(tmp_path: Path) -> None:
    """A line comes once it is complete; a file that was set aside is read from its beginning."""
    log = tmp_path / "node.log"
    log.write_text("old\n")
    tail = LogTail(log)
    assert tail.read() == []
    with log.open("a") as file:
        file.write("one\nhal")
    assert tail.read() == ["one"]
    with log.open("a") as file:
        file.write("f\n")
    assert tail.read() == ["half"]
    log.write_text("n\n")
    assert tail.read() == ["n"]
