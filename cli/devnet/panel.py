"""The process of a devnet's panel, beside its nodes, and where it is found.

It may kill nodes and cut links, so it is no part of a node. Whoever uses it has its key: a file for
the owner of the devnet alone. `marsa devnet open` puts the key behind the # of the address, which a
browser sends to nobody.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path

from cli.devnet import launch, processes, sockets
from cli.devnet.state import HOST, Place, panel_port
from cli.home import read_private
from node.files import write_new

NAME = "panel"
KEY_NAME = "key"
LOG_NAME = "panel.log"
KEY_BYTES = 16
START_S = 5.0
STOP_S = 5.0
POLL_S = 0.02


def start(place: Place) -> None:
    """See to it that it runs; raises CliError where its port is taken."""
    directory = place.directory / NAME
    if is_running(place):
        return
    directory.mkdir(mode=0o700, exist_ok=True)
    if not (directory / KEY_NAME).exists():
        write_new(directory / KEY_NAME, secrets.token_hex(KEY_BYTES).encode(), 0o600)
    sockets.check_ports_free(place, [panel_port(place.devnet)])
    launch.start([directory], run_panel_of, LOG_NAME)


def is_running(place: Place) -> bool:
    return processes.running(place.directory / NAME) is not None


def wait(place: Place) -> None:
    """Until it listens; where it never does, its log says why."""
    end = time.monotonic() + START_S
    while sockets.is_free(panel_port(place.devnet)) and time.monotonic() < end:
        time.sleep(POLL_S)


def stop(place: Place) -> None:
    process = processes.running(place.directory / NAME)
    if process is not None:
        processes.stop([process], STOP_S)


def run_panel_of(directory: Path) -> int:
    """What the process does; imported here, for no other command needs it."""
    from cli.devnet.panel_server import serve

    return serve(directory)


def key_of(place: Place) -> str:
    """Raises CliError where others may read it."""
    return read_private(place.directory / NAME / KEY_NAME).decode("ascii")


def log_of(place: Place) -> Path:
    return place.directory / NAME / LOG_NAME


def address(place: Place) -> str:
    """Without the key."""
    return f"http://{HOST}:{panel_port(place.devnet)}/"
