"""Starting node processes: one launcher imports everything once and forks a process a node.

That takes a third of the time and memory of interpreters of their own, and the processes are real:
each has a session of its own, so that Ctrl-C here does not reach it and it outlives this command.
A fork copies one thread only. The launcher therefore forks before anything starts a thread or an
event loop, and databases are opened in children alone: LevelDB starts a thread that a fork would
lose. On other systems than Linux libraries do not survive a fork, and nodes are spawned.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from cli.devnet import processes
from cli.errors import CliError
from node.errors import NodeError

LOG_NAME = "node.log"
LOG_BYTES_ROTATE = 16 << 20
"""At a start a longer log is set aside; one older log is kept."""
LOG_MODE = 0o644
FIRST_SPARE_DESCRIPTOR = 3

Run = Callable[[Path], int]


def run_node_of(directory: Path) -> int:
    """What a node's process does; the environment of the command that started it is not its own."""
    from node import app, config

    return app.run_node(config.load(directory))


def initialise_nodes(directories: Sequence[Path]) -> None:
    """Make the databases of new node directories, in one process of its own; raises CliError."""
    from node import app, config

    def initialise() -> int:
        for directory in directories:
            app.init_node(config.load(directory))
        return 0

    run_in_child(initialise)


def height_of(directories: Sequence[Path]) -> int | None:
    """The highest chain of these directories, in which no node runs; None where none can be read.
    Databases are opened in one process of its own; raises CliError."""
    from node import app, config

    reading, writing = os.pipe()

    def look() -> int:
        found = []
        for directory in directories:
            with contextlib.suppress(NodeError):
                found.append(app.stored_height(config.load(directory)))
        os.write(writing, str(max(found, default="")).encode())
        return 0

    with os.fdopen(reading, "rb") as pipe:
        try:
            run_in_child(look)
        finally:
            os.close(writing)
        said = pipe.read()
    return int(said) if said else None


def start(directories: Sequence[Path], run: Run = run_node_of, log_name: str = LOG_NAME) -> None:
    """Start the nodes of these directories, none of which is running, and note their processes."""
    directories = [directory.resolve() for directory in directories]
    for directory in directories:
        rotate_log(directory, log_name)
    if sys.platform != "linux":
        for directory in directories:
            spawn(directory)
        return
    if run is run_node_of:
        importlib.import_module("node.app")  # once, for all that are forked below
    _before_fork()
    for ready in [_fork_node(directory, run, log_name) for directory in directories]:
        os.read(ready, 1)  # ends when the child has closed its end
        os.close(ready)


def spawn(directory: Path, assignments: Sequence[str] = ()) -> None:
    """Start a node with an interpreter of its own, and with options other than its file's."""
    command = [sys.executable, "-m", "cli.main", "node", "run", str(directory)]
    for assignment in assignments:
        command += ["--set", assignment]
    with (directory / LOG_NAME).open("ab") as log:
        if processes.spawn(directory, command, log) is None:
            raise CliError("start_failed", f"the process of {directory.name} ended at once")


def run_in_child(action: Callable[[], int]) -> None:
    """Run in a forked process and wait; raises CliError with what it said when it failed."""
    _before_fork()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(writing, 2)
        _leave(action)
    os.close(writing)
    with os.fdopen(reading, "r", errors="replace") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        sentence = said.strip().splitlines()[-1:] or [f"ended with code {code}"]
        raise CliError("start_failed", f"the nodes could not be made: {sentence[0]}")


def _fork_node(directory: Path, run: Run, log_name: str) -> int:
    """A descriptor that ends when the child has noted its process, or could not."""
    ready, noted = os.pipe()
    if os.fork() == 0:
        _leave(lambda: _become_node(directory, run, log_name, noted))
    os.close(noted)
    return ready


def _become_node(directory: Path, run: Run, log_name: str, noted: int) -> int:
    """In the child: cut every tie to the launcher, then run."""
    os.setsid()
    os.chdir(directory)  # where the admin socket's path is short enough
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(directory / log_name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, LOG_MODE)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    own = processes.identify(os.getpid())
    assert own is not None
    processes.save(directory, own)
    os.close(noted)
    # Whatever else the launcher has open, a pipe it prints to above all, must not stay open here.
    os.closerange(FIRST_SPARE_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))
    return run(directory)


def _leave(action: Callable[[], int]) -> NoReturn:
    """Run `action` and end this process: the launcher's frames below must not go on here."""
    code = 1
    try:
        code = action()
    except NodeError as error:
        text = f"error[{error.code}]: {error.sentence}"
        os.write(2, (f"{text}. {error.hint}\n" if error.hint else f"{text}\n").encode())
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    finally:
        if sys.exception() is not None:
            os.write(2, traceback.format_exc().encode())
        os._exit(code)


def _before_fork() -> None:
    """What is buffered must not be written twice; what is loaded is shared and never collected."""
    sys.stdout.flush()
    sys.stderr.flush()
    gc.collect()
    gc.freeze()


def rotate_log(directory: Path, name: str = LOG_NAME) -> None:
    """Set a long log aside before a start."""
    log = directory / name
    if log.exists() and log.stat().st_size > LOG_BYTES_ROTATE:
        log.replace(directory / f"{name}.1")
