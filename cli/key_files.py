"""Files with the keys of one person or role: whoever holds one signs with it, on its own machine.

A provider's people have roles.json (`cli.role_keys`); a key of the regulator, of an attestor, and a
role's next key each have a file of their own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from cli import role_keys
from cli.errors import usage_error
from cli.home import read_private, write_private
from ledger.crypto import SigningKey, is_licensed_key

PUBLIC = re.compile(r"[0-9a-f]{64}", re.ASCII)
Seed = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class RegulatorKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the regulator's keys; `regulator` says whose it is, for people."""

    regulator: str
    key: Seed


class RoleKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One new key of a role, until its people put it into their roles.json."""

    licence: str
    role: str
    key: Seed


class AttestorKeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an attestor signs with."""

    attestor: str
    key: Seed


OneKey: TypeAlias = RegulatorKeyFile | RoleKeyFile | AttestorKeyFile


def save_regulator(directory: Path, seeds: Iterable[bytes]) -> None:
    """One file a key: 1.json, 2.json, …"""
    for number, seed in enumerate(seeds, 1):
        _save(directory / f"{number}.json", RegulatorKeyFile(f"regulator {number}", seed.hex()))


def save_attestors(directory: Path, seeds: Mapping[str, bytes]) -> None:
    """One file an attestor: ID.json."""
    for name, seed in seeds.items():
        _save(directory / f"{name}.json", AttestorKeyFile(name, seed.hex()))


def save_new(file: Path, holding: Callable[[str], OneKey]) -> SigningKey:
    """A new key from the system's randomness, on disk before anybody hears of it; raises CliError
    where the file exists."""
    seed = secrets.token_bytes(role_keys.SEED_BYTES)
    _save(file, holding(seed.hex()))
    return SigningKey(seed)


def _save(path: Path, file: OneKey) -> None:
    data = msgspec.json.format(msgspec.json.encode(file)) + b"\n"
    write_private(path, data, replace=False)


def read_public(text: str) -> bytes:
    """A public key as people pass it on; raises CliError."""
    if not PUBLIC.fullmatch(text):
        raise usage_error("bad_key", f"{text!r} is no public key", "write its 64 hex digits")
    public = bytes.fromhex(text)
    if not is_licensed_key(public):
        raise usage_error("bad_key", f"{text} is no usable public key")
    return public


def load_keys(path: Path) -> tuple[str, tuple[SigningKey, ...]]:
    """Name and keys of any such file, or of roles.json in a directory; the key for government comes
    first. Raises CliError."""
    kinds: tuple[type[OneKey], ...] = (RegulatorKeyFile, RoleKeyFile, AttestorKeyFile)
    for kind in kinds if path.is_file() else ():
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = msgspec.json.decode(read_private(path), type=kind)
            name: str = getattr(found, found.__struct_fields__[0])
            return name, (SigningKey(bytes.fromhex(found.key)),)
    file = role_keys.load_role_keys(path)
    return file.licence, role_keys.signing_keys(file)
