"""`marsa doctor`: what could go wrong here, looked at before it does.

Each check says what it found in a sentence and, where something is wrong, the next command. It only
looks: it starts nothing, changes nothing, and waits a second at most for each node.
"""

from __future__ import annotations

import importlib
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from cli.base import Command, examples, settings
from cli.errors import CliError, ExitCode
from cli.home import home
from cli.output import emit, table
from cli.units import counted, quoted

if TYPE_CHECKING:
    from cli.devnet.state import Place
    from node.api.schemas import Status

MIB = 1 << 20
FREE_MIB_MIN = 1_024
"""Below it a node accepts no transactions (storage.reject_below_mib)."""
FILES_MIN = 1_024
"""Open files a process may have: links, API connections and LevelDB's tables need hundreds."""
NODE_TIMEOUT_S = 1.0
CLOCK_OFF_MS = 5_000


class Finding(msgspec.Struct, frozen=True):
    """One check. `warn` is worth a look, `fail` keeps something from working."""

    check: str
    verdict: Literal["ok", "warn", "fail"]
    detail: str
    hint: str = ""


@click.command(
    "doctor",
    cls=Command,
    help=f"""{examples("marsa doctor", "marsa doctor --node http://127.0.0.1:8641 --json")}

Look at this machine, its devnets and, with --node or MARSA_NODE, one node: versions, room on the
disk, limits, rights of private files, processes that are gone, clocks, and whether blocks become
final. Exit code 9 when something is wrong; what is only worth a look keeps 0.
""",
)
def doctor() -> int:
    """The table of what was looked at."""
    found = list(findings())
    ok = all(item.verdict != "fail" for item in found)
    emit("marsa.doctor/1", {"ok": ok, "findings": found}, lambda: _text(found))
    return ExitCode.OK if ok else ExitCode.CHECK_FAILED


def findings() -> Iterator[Finding]:
    """All checks, from the machine to the node."""
    yield _python()
    yield _packages()
    yield _cores()
    yield _files()
    yield _room()
    yield from _private_files()
    yield from _devnets()
    if settings().node is not None:
        yield from _node(settings().node or "")


def _python() -> Finding:
    where = f"Python {platform.python_version()} at {sys.executable}, {platform.system()}"
    return Finding("python", "ok", f"marsa {version('marsa')} on {where}")


def _packages() -> Finding:
    """What is compiled is what fails on a new machine."""
    for name in ("plyvel", "nacl.bindings", "cryptography.hazmat.bindings._rust", "uvloop"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            return Finding("packages", "fail", f"{name} cannot be loaded: {error}", "make setup")
    return Finding("packages", "ok", f"plyvel {version('plyvel')}, uvloop {version('uvloop')}")


def _cores() -> Finding:
    count = os.cpu_count() or 1
    load = os.getloadavg()[0]
    detail = f"{count} cores, load average {load:.1f}"
    if load > 2 * count:
        return Finding(
            "processor", "warn", detail, "other work slows the nodes here: look with top"
        )
    return Finding("processor", "ok", detail)


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"a process may open {soft} files"
    if soft < FILES_MIN:
        return Finding("open files", "warn", detail, f"ulimit -n {min(FILES_MIN, hard)}")
    return Finding("open files", "ok", detail)


def _room() -> Finding:
    place = home().absolute()
    while not place.exists():
        place = place.parent
    free_mib = shutil.disk_usage(place).free // MIB
    detail = f"{free_mib:,} MiB free where {home()} is"
    if not os.access(place, os.W_OK):
        return Finding("disk", "fail", f"{place} cannot be written", "export MARSA_HOME=DIRECTORY")
    if free_mib < FREE_MIB_MIN:
        hint = f"make room: with less than {FREE_MIB_MIN} MiB a node accepts no transactions"
        return Finding("disk", "warn", detail, hint)
    return Finding("disk", "ok", detail)


def _private_files() -> Iterator[Finding]:
    """Keys that others may read are refused when they are needed."""
    wallets = sorted(home().glob("wallets/*.json"))
    accounts = sorted(home().glob("devnets/*/accounts.json"))
    open_ones = [path for path in (*wallets, *accounts) if _is_open(path)]
    if open_ones:
        detail = f"others may read {open_ones[0]}" + _more(open_ones)
        yield Finding("private files", "fail", detail, f"chmod 600 {quoted(open_ones[0])}")
    else:
        yield Finding(
            "private files", "ok", f"{counted(len(wallets), 'wallet')}, nobody else may read any"
        )


def _is_open(path: Path) -> bool:
    try:
        return path.stat().st_mode & 0o077 != 0
    except OSError:
        return False  # it went away meanwhile


def _more(paths: list[Path]) -> str:
    return f" and {len(paths) - 1} more" if len(paths) > 1 else ""


def _devnets() -> Iterator[Finding]:
    from cli.devnet import state

    for name in state.names():
        try:
            yield _devnet(state.find(name))
        except CliError as error:
            yield Finding(f"devnet {name}", "fail", error.message, error.hint)


def _devnet(place: Place) -> Finding:
    """Nodes that are gone, that stand still, that do not answer, and links that are cut."""
    from cli.devnet import control, show

    name = place.devnet.name
    check, named = f"devnet {name}", place.devnet.option
    states = control.look(place)
    alive = [item for item in states if item.alive]
    if not alive:
        return Finding(
            check, "ok", f"down; {len(states)} nodes, started by: marsa devnet up{named}"
        )
    absent = [item.node.name for item in states if not item.alive]
    if absent:
        hint = f"marsa devnet restart {absent[0]}{named}"
        return Finding(check, "warn", show.missing_text(states), hint)
    paused = [item.node.name for item in alive if item.is_paused]
    if paused:
        hint = f"marsa devnet resume {' '.join(paused)}{named}"
        return Finding(check, "warn", f"paused: {', '.join(paused)}", hint)
    silent = [item for item in alive if item.status is None]
    if silent:
        hint = f"marsa devnet logs {silent[0].node.name}{named}"
        return Finding(check, "warn", f"{silent[0].node.name} runs and does not answer", hint)
    links = _links_text(place)
    if links:
        return Finding(check, "warn", links, f"marsa devnet heal{named}")
    heights = [item.height for item in alive if item.height is not None]
    return Finding(check, "ok", f"{len(alive)} nodes run, height {max(heights)}")


def _links_text(place: Place) -> str:
    """What the devnet's faults do to links now; nothing when all are plain."""
    from cli.devnet import faults

    try:
        rules = faults.rules_in_force(place)
    except CliError as error:
        return str(error)
    cut = sum(rule.cut for rule in rules)
    ways = "1 way between nodes is" if cut == 1 else f"{cut} ways between nodes are"
    return f"{ways} cut, {len(rules) - cut} slow" if rules else ""


def _node(url: str) -> Iterator[Finding]:
    """One node: its answer, its clock, finality, and what it warns of itself."""
    from cli.client import Client, ClientError

    try:
        with Client(url, timeout_s=NODE_TIMEOUT_S) as client:
            before_ms = time.time() * 1_000
            status = client.status()
    except ClientError as error:
        yield Finding("node", "fail", str(error), "marsa devnet up, or another --node URL")
        return
    role = f"{status.node.name}, {status.node.role}, marsa {status.node.version}"
    yield Finding("node", "ok", f"{role}, chain {status.network.chain_id[:16]}")
    yield _finality(status)
    yield _clock(status, before_ms)
    for text in status.warnings:
        yield Finding("warning", "warn", text)


def _finality(status: Status) -> Finding:
    where, sync = status.consensus, status.sync
    if where.reason:
        return Finding("finality", "fail", where.reason, "marsa consensus show")
    if sync.catching_up:
        behind = sync.target_height - sync.height
        return Finding("finality", "warn", f"{behind} blocks behind", "marsa node status -w")
    links = f"{where.connected} of {where.validators} validators linked, {where.quorum} decide"
    return Finding("finality", "ok", f"height {sync.height}, view {where.view}, {links}")


def _clock(status: Status, now_ms: float) -> Finding:
    """A block from the future proves that this machine's clock is behind."""
    ahead_ms = status.sync.header_time_ms - now_ms
    if ahead_ms > CLOCK_OFF_MS:
        detail = f"the last block is {ahead_ms / 1_000:.0f} s in the future of this machine"
        return Finding("clock", "fail", detail, "set the clock: timedatectl set-ntp true")
    return Finding("clock", "ok", f"the last block is {-ahead_ms / 1_000:.0f} s old here")


def _text(found: list[Finding]) -> str:
    marks = {"ok": "ok", "warn": "look", "fail": "WRONG"}
    rows = [[marks[item.verdict], item.check, item.detail] for item in found]
    hints = [f"{item.check}: {item.hint}" for item in found if item.hint]
    lines = [table(("", "check", "found"), rows)]
    return "\n".join([*lines, "", *hints] if hints else lines)
