"""Files with one key of the regulator each: whoever holds one signs with it, on its own machine."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from cli import role_keys
from cli.home import read_private, write_private
from ledger.crypto import SigningKey

Seed = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class RegulatorKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the regulator's keys; `regulator` says whose it is, for people."""

    regulator: str
    key: Seed


def save(directory: Path, seeds: Iterable[bytes]) -> None:
    """One file a key: 1.json, 2.json, …"""
    for number, seed in enumerate(seeds, 1):
        file = RegulatorKeyFile(f"regulator {number}", seed.hex())
        data = msgspec.json.format(msgspec.json.encode(file)) + b"\n"
        write_private(directory / f"{number}.json", data, replace=False)


def load_any(path: Path) -> tuple[str, tuple[SigningKey, ...]]:
    """Name and keys of a provider's or the regulator's file, or of roles.json in a directory; the
    key for government comes first. Raises CliError."""
    if path.is_file():
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = msgspec.json.decode(read_private(path), type=RegulatorKeyFile)
            return found.regulator, (SigningKey(bytes.fromhex(found.key)),)
    file = role_keys.load_role_keys(path)
    return file.licence, role_keys.signing_keys(file)
