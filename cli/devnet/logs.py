"""The logs of a devnet: its nodes', and those of the processes beside them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from os import SEEK_END
from pathlib import Path

import click

from cli.devnet import agents, faults, panel
from cli.devnet.launch import LOG_NAME
from cli.devnet.state import DevnetNode, Place
from cli.errors import CliError, not_found

POLL_S = 0.25
READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Log:
    """Whose it is, and where."""

    name: str
    path: Path


def of_node(place: Place, node: DevnetNode) -> Log:
    return Log(node.name, place.node_dir(node) / LOG_NAME)


def of_place(place: Place) -> list[Log]:
    """All: the nodes' first, and of the others those that there are."""
    return [*(of_node(place, node) for node in place.devnet.nodes), *_beside(place)]


def of_name(place: Place, name: str) -> Log:
    """One, by a node's name or licence, or by a directory beside them; raises CliError."""
    try:
        return of_node(place, place.node(name))
    except CliError:
        found = {log.name: log for log in _beside(place)}
        if name not in found:
            known = ", ".join(log.name for log in of_place(place))
            detail = f"devnet '{place.devnet.name}' has no log of '{name}' (logs: {known})"
            hint = f"marsa devnet status{place.devnet.option}"
            raise not_found("unknown_node", detail, hint) from None
        return found[name]


def _beside(place: Place) -> list[Log]:
    logs = [Log(name, agents.log_of(place, name)) for name in agents.NAMES]
    logs.append(Log(faults.LINKS_NAME, faults.log_of(place)))
    logs.append(Log(panel.NAME, panel.log_of(place)))
    return [log for log in logs if log.path.exists()]


def tail(log: Log, lines: int) -> list[str]:
    """Its last lines, whole."""
    if not log.path.exists():
        return []
    with log.path.open("rb") as file:
        start = file.seek(0, SEEK_END)
        data = b""
        while start and data.count(b"\n") <= lines:
            size = min(start, READ_BYTES)
            start = file.seek(start - size)
            data = file.read(size) + data
    text = data.decode("utf-8", errors="replace")
    return list(deque(text.splitlines(), maxlen=lines))


def line(log: Log, text: str, logs: Sequence[Log]) -> str:
    """Behind its owner's name where several are shown."""
    return f"{log.name} | {text}" if len(logs) > 1 else text


def follow(logs: Sequence[Log], lines: int) -> None:
    """Print the last lines, and what is added, until Ctrl-C."""
    tails = [(log, LogTail(log.path)) for log in logs]
    for log in logs:
        for text in tail(log, lines):
            click.echo(line(log, text, logs))
    while True:
        for log, added in tails:
            for text in added.read():
                click.echo(line(log, text, logs))
        time.sleep(POLL_S)


class LogTail:
    """What is appended to a file from now on, in whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def read(self) -> list[str]:
        if not self._path.exists():
            return []
        size = self._path.stat().st_size
        if size < self._offset:  # it was set aside for a new one
            self._offset, self._rest = 0, b""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(READ_BYTES)
        self._offset += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", errors="replace") for line in whole]
