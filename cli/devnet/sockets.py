"""Ports: whether they are free, and who has them."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.devnet.state import (
    BASE_PORT_MAX,
    HOST,
    PORTS_STRIDE,
    DevnetNode,
    Place,
    ports,
    ports_beside,
)
from cli.errors import CliError, ExitCode

LISTENING = "0A"
"""State of a listening socket in /proc/net/tcp."""


def check_free(place: Place, nodes: Sequence[DevnetNode]) -> None:
    """The ports of these nodes can be bound; raises CliError that names the first that cannot."""
    check_ports_free(place, [port for node in nodes for port in node.ports])


def check_ports_free(place: Place, wanted: Sequence[int]) -> None:
    """As `check_free`, of any ports of this devnet."""
    taken = next((port for port in wanted if not is_free(port)), None)
    if taken is None:
        return
    devnet = place.devnet
    owner = owner_of(taken)
    free = free_base_port(devnet.base_port, len(devnet.nodes))
    raise CliError(
        "port_in_use",
        f"port {taken} of {HOST} is in use" + (f" by {owner}" if owner else ""),
        hint=f"marsa devnet up{devnet.option} --base-port {free}" if free else "end what uses it",
        exit_code=ExitCode.CHECK_FAILED,
        details={"port": taken},
    )


def is_free(port: int, host: str = HOST) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the nodes do: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_base_port(after: int, count: int) -> int | None:
    """The next base port from which a devnet of `count` nodes can run."""
    for base_port in range(after + PORTS_STRIDE, BASE_PORT_MAX + 1, PORTS_STRIDE):
        of_nodes = (port for index in range(count) for port in ports(base_port, index))
        if all(is_free(port) for port in (*of_nodes, *ports_beside(base_port))):
            return base_port
    return None


def owner_of(port: int) -> str | None:
    """'pid 4121 (python)', where this system tells and this user may know."""
    inodes = set(_listening_inodes(port))
    for directory in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
            if not inodes.isdisjoint(_open_files(directory)):
                name = (directory / "comm").read_text("utf-8", errors="replace").strip()
                return f"pid {directory.name} ({name})"
    return None


def _open_files(process: Path) -> Iterator[str]:
    for link in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            yield str(link.readlink())


def _listening_inodes(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text("ascii").splitlines()[1:]:
            fields = re.split(r"\s+", line.strip())
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"
