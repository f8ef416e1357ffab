"""The keys of a provider's five roles, and the private directory that holds them.

    roles.json      operations, treasury, metering: for the people who sign
    consensus.json  votes: for the node or its signer
    link.pem        proves the licence in TLS: for the node
    licence.pem     the certificate of the link key, once the authority signed it

One key a role, so that losing one costs one power only. The parts go to different places; what is
not there any more is simply not shown.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.home import read_private, write_private
from ledger.codec import Slug
from ledger.crypto import SigningKey
from ledger.economy.licence import RoleKeys
from node import keys
from node.files import sync_directory

ROLES = RoleKeys.__struct_fields__
ROLES_NAME = "roles.json"
CONSENSUS_NAME = "consensus.json"
LINK_NAME = "link.pem"
LICENCE_NAME = "licence.pem"
SEED_BYTES = 32
FINGERPRINT_BYTES = 16
"""Enough that nobody finds a second key with the same; short enough to be read out."""

Seed = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class RoleKeysFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """roles.json: what a provider's people sign with; the node has the other keys."""

    licence: str
    operations: Seed
    treasury: Seed
    metering: Seed


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """All secrets of one provider, by role."""

    licence: str
    seeds: Mapping[str, bytes]

    @classmethod
    def new(cls, licence: str) -> ProviderKeys:
        """From the system's randomness; raises CliError for what cannot be a licence id."""
        try:
            msgspec.convert(licence, Slug)
        except msgspec.ValidationError:
            raise usage_error(
                "bad_name",
                f"{licence!r} cannot be a licence id",
                "use 1 to 32 of a-z, 0-9 and -, with a letter or a digit at both ends",
            ) from None
        return cls(licence, {role: secrets.token_bytes(SEED_BYTES) for role in ROLES})

    @property
    def public(self) -> RoleKeys:
        return RoleKeys(**{role: SigningKey(self.seeds[role]).public for role in ROLES})


def save(directory: Path, provider: ProviderKeys) -> None:
    """Make the directory, whole or not at all; raises CliError where it exists."""
    if directory.exists():
        raise usage_error("directory_exists", f"{directory} exists and is not changed")
    seeds, licence = provider.seeds, provider.licence
    file = RoleKeysFile(
        licence, *(seeds[role].hex() for role in ("operations", "treasury", "metering"))
    )
    draft = directory.with_name(f".{directory.name}.new")
    if draft.exists():  # left by a crash; nobody has a licence for these keys
        shutil.rmtree(draft)
    draft.mkdir(parents=True, mode=0o700)
    note = f"consensus key of '{licence}': whoever has it votes as this validator"
    keys.save_consensus_key(draft / CONSENSUS_NAME, seeds["consensus"], note=note)
    keys.save_link_key(draft / LINK_NAME, seeds["link"])
    data = msgspec.json.format(msgspec.json.encode(file)) + b"\n"
    write_private(draft / ROLES_NAME, data, replace=False)
    draft.rename(directory)
    sync_directory(directory.resolve().parent)


def public_keys(directory: Path) -> dict[str, bytes]:
    """The public key of each role whose file is there; raises CliError where none is."""
    found: dict[str, bytes] = {}
    if (directory / ROLES_NAME).is_file():
        file = load_role_keys(directory)
        for role in file.__struct_fields__[1:]:
            found[role] = SigningKey(bytes.fromhex(getattr(file, role))).public
    if (directory / CONSENSUS_NAME).is_file():
        found["consensus"] = keys.load_consensus_key(directory / CONSENSUS_NAME).public
    if (directory / LINK_NAME).is_file():
        found["link"] = keys.load_link_public(directory / LINK_NAME)
    if not found:
        detail = f"there are no keys of a provider in {directory}"
        raise not_found("no_key_file", detail, "make them: marsa validator keys new DIR --id ID")
    return {role: found[role] for role in ROLES if role in found}


@dataclass(frozen=True, slots=True)
class KeyDirectory:
    """Where the keys of a provider that gets a licence lie, or will lie."""

    path: Path
    public: RoleKeys
    fresh: ProviderKeys | None
    """Made just now, and not written yet: nothing is written for a licence that is refused."""

    @classmethod
    def of(cls, path: Path, licence: str) -> KeyDirectory:
        """The keys that `marsa validator keys new` made there, else new ones; raises CliError."""
        if not path.exists():
            fresh = ProviderKeys.new(licence)
            return cls(path, fresh.public, fresh)
        found = public_keys(path)
        missing = ", ".join(role for role in ROLES if role not in found)
        if missing:
            detail = f"{path} lacks the keys of these roles: {missing}"
            raise not_found("no_key_file", detail, "take the directory in which they were made")
        owner = load_role_keys(path).licence
        if owner != licence:
            detail = f"the keys in {path} are those of '{owner}', not of '{licence}'"
            raise usage_error("wrong_keys", detail, f"grant the licence to '{owner}': --id {owner}")
        if (path / LICENCE_NAME).exists():
            detail = f"{path} holds a licence already and is not changed"
            raise usage_error("directory_exists", detail, "choose a new directory")
        return cls(path, RoleKeys(**found), None)

    def save(self, certificate: bytes) -> None:
        """Put the certificate beside the keys."""
        if self.fresh is not None:
            save(self.path, self.fresh)
        keys.save_certificate(self.path / LICENCE_NAME, certificate)


def fingerprint(public: bytes) -> str:
    """What two people compare aloud: the first half of the key's SHA-256, in groups of four."""
    digits = sha256(public).hexdigest()[: 2 * FINGERPRINT_BYTES]
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def load_role_keys(path: Path) -> RoleKeysFile:
    """The file, or the one in a directory of keys; raises CliError."""
    file = path / ROLES_NAME if path.is_dir() else path
    if not file.is_file():
        hint = "give roles.json of the directory in which the keys were made"
        raise not_found("no_key_file", f"there is no file {file}", hint)
    try:
        return msgspec.json.decode(read_private(file), type=RoleKeysFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CliError(
            "bad_key_file",
            f"{file} does not hold the keys of a provider's roles",
            hint="restore it from a backup",
            exit_code=ExitCode.CHECK_FAILED,
        ) from None


def signing_keys(file: RoleKeysFile) -> tuple[SigningKey, ...]:
    """The keys by which a provider acts on the chain."""
    return tuple(SigningKey(bytes.fromhex(seed)) for seed in (file.operations, file.treasury))
