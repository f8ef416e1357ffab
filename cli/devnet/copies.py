"""Copies of a whole devnet: chain, vote logs, keys, all nodes at one moment.

A copy is taken while no node runs, so that it is consistent: nothing of it is newer than anything
else. All validators go back together, votes included; there is nobody left who saw a later one.
That would not hold for one node alone, whose old vote log would not know what it voted since: such
a node waits (`marsa node recover`).

    MARSA_HOME/snapshots/DEVNET/NAME/

It is made under another name and renamed when it is complete. Logs, sockets, what says which
process runs and the histories of chaos runs are no part of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from cli.devnet import agents, control, launch, plan
from cli.devnet.faults import LINKS_NAME
from cli.devnet.history import HISTORIES_NAME
from cli.devnet.launch import LOG_NAME
from cli.devnet.processes import PROCESS_FILE
from cli.devnet.state import Devnet, Place
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.home import checked_name, devnets_dir, home, read_private, write_private
from node.config import ADMIN_SOCKET_NAME
from node.disk import sync_tree
from node.files import sync_directory

TAKEN_NAME = "taken.json"
_LOGS = (LOG_NAME, *map(agents.log_name, agents.NAMES))
_LEFT_OUT = shutil.ignore_patterns(
    PROCESS_FILE,
    ADMIN_SOCKET_NAME,
    *(name for log in _LOGS for name in (log, f"{log}.1")),
    LINKS_NAME,
    HISTORIES_NAME,
)
"""By whole names: a database has files that end in .log too."""


class Taken(msgspec.Struct, frozen=True):
    """taken.json of a snapshot: where its chain stood."""

    height: int | None
    """None where no node's chain could be read."""


def snapshots(devnet: str) -> list[str]:
    """Names of the copies of a devnet."""
    return sorted(path.parent.name for path in _root(devnet).glob("[!.]*/devnet.json"))


def snapshot(place: Place, name: str) -> Path:
    """Copy a devnet whose nodes are down; raises CliError where that name is taken."""
    target = check_new(place, name)
    _need_down(place)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = target.parent / f".{name}.new"
    _discard(draft)
    shutil.copytree(place.directory, draft, ignore=_LEFT_OUT)
    write_private(
        draft / TAKEN_NAME, msgspec.json.encode(Taken(_stored_height(place))), replace=False
    )
    sync_tree(draft)
    draft.rename(target)
    sync_directory(target.parent)
    return target


def losses(place: Place, name: str) -> str:
    """What a devnet, running or not, has that a snapshot has not, in words; empty for nothing."""
    source, described = read_snapshot(place, name)
    kept, height = _taken(source).height, _present_height(place)
    lost = []
    if described.genesis_hash != place.devnet.genesis_hash:
        lost.append(
            f"the whole chain {place.devnet.genesis_hash[:16]}…, for it has another genesis"
        )
    elif kept is None or height is None:
        lost.append("blocks since, how many cannot be told")
    elif height > kept:
        lost.append(f"blocks {kept + 1} to {height} with their payments")
    then = {node.name for node in described.nodes}
    lost += [node.name for node in place.devnet.nodes if node.name not in then]
    return ", ".join(lost)


def check_new(place: Place, name: str) -> Path:
    """Where a snapshot would go; raises CliError where that name is taken."""
    target = _root(place.devnet.name) / checked_name(name, "snapshot")
    if target.exists():
        raise usage_error(
            "snapshot_exists",
            f"devnet '{place.devnet.name}' has a snapshot '{name}' already",
            f"choose another name, or delete {target}",
        )
    return target


def restore(place: Place, name: str) -> Place:
    """Put a copy in the place of a devnet whose nodes are down; what that was is gone."""
    devnet = place.devnet.name
    source, described = read_snapshot(place, name)
    _need_down(place)
    draft = home() / f".devnet-{devnet}.new"
    _discard(draft)
    shutil.copytree(source, draft, ignore=shutil.ignore_patterns(TAKEN_NAME))
    sync_tree(draft)
    plan.remove(place)
    draft.rename(place.directory)
    sync_directory(devnets_dir())
    return Place(place.directory, described)


def read_snapshot(place: Place, name: str) -> tuple[Path, Devnet]:
    """Where a snapshot lies and what it is of; raises CliError where there is none."""
    devnet = place.devnet.name
    source = _root(devnet) / checked_name(name, "snapshot")
    file = source / "devnet.json"
    if not file.is_file():
        known = ", ".join(snapshots(devnet)) or "none yet"
        raise not_found(
            "unknown_snapshot",
            f"devnet '{devnet}' has no snapshot '{name}' (snapshots: {known})",
            f"choose one of them, or take one: marsa devnet snapshot NAME{place.devnet.option}",
        )
    try:
        described = msgspec.json.decode(read_private(file), type=Devnet)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CliError(
            "bad_snapshot",
            f"{file} cannot be read: {error}",
            hint=f"delete {source}",
            exit_code=ExitCode.CHECK_FAILED,
        ) from None
    return source, described


def _root(devnet: str) -> Path:
    return home() / "snapshots" / checked_name(devnet, "devnet")


def _need_down(place: Place) -> None:
    running = list(control.running(place))
    if running:
        raise AssertionError(f"{running[0]} runs: whoever copies stops all nodes first")


def _present_height(place: Place) -> int | None:
    """As the nodes say that run; else as their databases say."""
    heights = [item.height for item in control.look(place) if item.height is not None]
    return max(heights) if heights else _stored_height(place)


def _stored_height(place: Place) -> int | None:
    """Of the nodes that do not run."""
    alive = control.running(place)
    down = [place.node_dir(node) for node in place.devnet.nodes if node.name not in alive]
    return launch.height_of(down)


def _taken(source: Path) -> Taken:
    try:
        return msgspec.json.decode(read_private(source / TAKEN_NAME), type=Taken)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Taken(None)


def _discard(draft: Path) -> None:
    """What an interrupted copy left."""
    if draft.exists():
        shutil.rmtree(draft)
