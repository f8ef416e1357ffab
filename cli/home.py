"""MARSA_HOME and the private files in it.

    MARSA_HOME/wallets/NAME.json           encrypted keystores, 0600
    MARSA_HOME/aliases.json                {"@name": address}
    MARSA_HOME/reservations.json           coins that were just spent from here
    MARSA_HOME/devnets/NAME/accounts.json  public test keys, 0600
    MARSA_HOME/devnets/NAME/issuers/ID.json

Without MARSA_HOME it is $XDG_DATA_HOME/marsa, or ~/.local/share/marsa. A file that holds a secret
is refused when group or others may read it, as ssh does: the mistake is found before it matters.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from cli.errors import CliError, ExitCode, usage_error
from cli.units import quoted
from node.files import write_atomic, write_new

PRIVATE_FILE_BYTES_MAX = 1024 * 1024
"""Far above any file of ours; a wrong path to something huge is not read into memory."""

PRIVATE_MODE = 0o600

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?", re.ASCII)


def home() -> Path:
    """MARSA_HOME; the directory may not exist yet."""
    given = os.environ.get("MARSA_HOME")
    if given:
        return Path(given).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "marsa"


def wallets_dir() -> Path:
    return home() / "wallets"


def devnets_dir() -> Path:
    return home() / "devnets"


def checked_name(name: str, what: str) -> str:
    """A name that becomes a file: lower-case ASCII, so that it can neither escape nor collide."""
    if _NAME.fullmatch(name) is None:
        raise usage_error(
            "bad_name",
            f"{name!r} cannot name a {what}",
            "use 1 to 32 of a-z, 0-9, - and _, with a letter or a digit at both ends",
        )
    return name


def write_private(path: Path, data: bytes, *, replace: bool) -> None:
    """Write a 0600 file whole or not at all, also across a power failure.

    Who replaces holds a lock: see `locked`.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if replace:
        write_atomic(path, data, PRIVATE_MODE)
        return
    try:
        write_new(path, data, PRIVATE_MODE)
    except FileExistsError:
        raise CliError(
            "file_exists",
            f"{path} exists and is not overwritten",
            hint="choose another name, or move that file away",
            exit_code=ExitCode.USAGE,
        ) from None


def read_private(path: Path) -> bytes:
    """Read a file that only its owner may read; refuses others and what is far too large."""
    mode = path.stat().st_mode
    if mode & 0o077:
        raise CliError(
            "file_not_private",
            f"{path} has mode {mode & 0o777:o}: others may read it",
            hint=f"chmod 600 {quoted(path)}",
            exit_code=ExitCode.LOCKED,
        )
    return read_limited(path)


def read_limited(path: Path) -> bytes:
    """Read a small file."""
    with path.open("rb") as file:
        data = file.read(PRIVATE_FILE_BYTES_MAX + 1)
    if len(data) > PRIVATE_FILE_BYTES_MAX:
        raise usage_error("file_too_large", f"{path} is larger than {PRIVATE_FILE_BYTES_MAX} bytes")
    return data


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an advisory lock beside `path` for a read-change-write; held for milliseconds only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = path.with_name(path.name + ".lock")
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
