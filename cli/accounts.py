"""Who is meant: names of holders, addresses and aliases.

`--from NAME` looks among the public test accounts of devnets first, then among wallets. Wherever an
address is taken these stand for one: a bech32m address, `@name` of aliases.json, an account of a
devnet, a wallet (its first address).

Files of a devnet that are read here, all 0600 and public by design:
    devnets/NAME/devnet.json        {"genesis_hash", "nodes": [{"name", "api", "licence"}], …}
    devnets/NAME/accounts.json      [{"name", "address", "seed"}]
    devnets/NAME/issuers/ID.json    {"issuer", "treasury_seed"}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.home import devnets_dir, home, read_limited, read_private
from cli.wallet import store
from ledger.address import HRP_BY_NETWORK, decode_address, encode_address
from ledger.crypto import SigningKey
from ledger.locks import Condition, Key, lock_hash

Seed = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
T = TypeVar("T")


class PublicAccount(msgspec.Struct, frozen=True):
    """A funded test account whose key everybody may know."""

    name: str
    address: str
    seed: Seed


class IssuerKey(msgspec.Struct, frozen=True):
    """The treasury key of a devnet's issuer."""

    issuer: str
    treasury_seed: Seed


class DevnetNode(msgspec.Struct, frozen=True):
    name: str
    api: str
    licence: str = ""


class Devnet(msgspec.Struct, frozen=True):
    """What other commands need to know of a devnet on this machine."""

    genesis_hash: str
    nodes: list[DevnetNode]


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody with coins. `unlock` yields the signing keys; it may ask for a password."""

    name: str
    is_public: bool
    """A devnet's account: its key is no secret."""
    public_keys: tuple[bytes, ...]
    unlock: Callable[[], tuple[SigningKey, ...]]

    @property
    def conditions(self) -> dict[bytes, Condition]:
        """What opens each of its locks."""
        return {lock_hash(Key(key)): Key(key) for key in self.public_keys}

    @property
    def locks(self) -> tuple[bytes, ...]:
        """In the order of the addresses."""
        return tuple(lock_hash(Key(key)) for key in self.public_keys)


AskPassword = Callable[[str], str]
"""wallet name -> password"""


def find_holder(name: str, ask_password: AskPassword, *, chain_id: str | None = None) -> Holder:
    """The holder called `name`; raises CliError(unknown_account) with the names that exist."""
    account = find_public_account(name, chain_id)
    if account is not None:
        key = SigningKey(bytes.fromhex(account.seed))
        return Holder(name, True, (key.public,), lambda: (key,))
    if not store.exists(name):
        raise not_found(
            "unknown_account",
            f"'{name}' is neither an account of a devnet nor a wallet (known: {_known()})",
            f"marsa wallet new {name}, or: marsa devnet up",
        )
    wallet = store.load(name)
    return Holder(name, False, wallet.public_keys, lambda: wallet.unlock(ask_password(wallet.name)))


def find_public_account(name: str, chain_id: str | None) -> PublicAccount | None:
    """The account `name` of the devnet with this chain id, or of the only devnet that has one."""
    found: dict[str, PublicAccount] = {}
    for directory in devnets(chain_id):
        for account in _load(directory / "accounts.json", list[PublicAccount]) or []:
            if account.name == name:
                found[directory.name] = account
    if len(found) > 1:
        raise usage_error(
            "ambiguous_account",
            f"'{name}' is an account of several devnets: {', '.join(found)}",
            "choose the node of one of them with --node",
        )
    return next(iter(found.values()), None)


def find_issuer_key(issuer: str, chain_id: str) -> SigningKey:
    """The treasury key of an issuer of a devnet on this machine."""
    for directory in devnets(chain_id):
        key = _load(directory / "issuers" / f"{issuer}.json", IssuerKey)
        if key is not None:
            return SigningKey(bytes.fromhex(key.treasury_seed))
    raise not_found(
        "unknown_issuer_key",
        f"there is no treasury key of issuer '{issuer}' for this chain on this machine",
        f"give the role keys of '{issuer}': --key FILE",
    )


def devnets(chain_id: str | None = None) -> list[Path]:
    """Directories of devnets, in order of name; only those of one chain when it is given."""
    if not devnets_dir().is_dir():
        return []
    found = []
    for directory in sorted(path for path in devnets_dir().iterdir() if path.is_dir()):
        described = describe_devnet(directory)
        if chain_id is None or described is None or described.genesis_hash == chain_id:
            found.append(directory)
    return found


def describe_devnet(directory: Path) -> Devnet | None:
    """None while a devnet is still being made."""
    return _load(directory / "devnet.json", Devnet)


def known_as(licences: Iterable[str], chain_id: str) -> list[str]:
    """Validators as people know them here: `val0 (acme)` for a node of a devnet."""
    names: dict[str, str] = {}
    for directory in devnets(chain_id):
        described = describe_devnet(directory)
        names.update({node.licence: node.name for node in described.nodes} if described else {})
    return [f"{names[item]} ({item})" if item in names else item for item in licences]


def resolve_address(text: str, hrp: str, *, chain_id: str | None = None) -> bytes:
    """The lock hash that an address, an alias, an account or a wallet stands for."""
    if text.lower().startswith(tuple(f"{known}1" for known in HRP_BY_NETWORK.values())):
        return decode_address(text, hrp)
    if text.startswith("@"):
        return decode_address(_alias(text), hrp)
    account = find_public_account(text, chain_id)
    if account is not None:
        return decode_address(account.address, hrp)
    if store.exists(text):
        return lock_hash(Key(store.load(text).public_keys[0]))
    raise not_found(
        "unknown_address",
        f"{text!r} is no address, and no account, wallet or alias (known: {_known()})",
        f"an address begins with {hrp}1, an alias of {home() / 'aliases.json'} with @",
    )


def resolve_locks(text: str, hrp: str, *, chain_id: str | None = None) -> tuple[bytes, ...]:
    """As `resolve_address`, but a wallet stands for all of its addresses."""
    if find_public_account(text, chain_id) is None and store.exists(text):
        return tuple(lock_hash(Key(key)) for key in store.load(text).public_keys)
    return (resolve_address(text, hrp, chain_id=chain_id),)


def public_accounts() -> list[tuple[str, PublicAccount]]:
    """(devnet, account) of every devnet on this machine."""
    return [
        (directory.name, account)
        for directory in devnets()
        for account in _load(directory / "accounts.json", list[PublicAccount]) or []
    ]


def address_of(key: bytes, hrp: str) -> str:
    """The address of a single public key."""
    return encode_address(lock_hash(Key(key)), hrp)


def _alias(text: str) -> str:
    aliases = _load(home() / "aliases.json", dict[str, str], is_private=False) or {}
    address = aliases.get(text, aliases.get(text[1:]))
    if address is None:
        names = ", ".join(sorted(aliases)) or "none"
        raise not_found(
            "unknown_alias",
            f"there is no alias {text} (aliases: {names})",
            f'add it to {home() / "aliases.json"}: {{"{text}": "mrst1…"}}',
        )
    return address


def _load(file: Path, cls: type[T], *, is_private: bool = True) -> T | None:
    """A JSON file of this machine; None where there is none."""
    if not file.is_file():
        return None
    data = read_private(file) if is_private else read_limited(file)
    try:
        return msgspec.json.decode(data, type=cls)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CliError(
            "bad_file",
            f"{file} cannot be read: {error}",
            hint="mend it or move it away",
            exit_code=ExitCode.CHECK_FAILED,
        ) from None


def _known() -> str:
    names = [account.name for _, account in public_accounts()]
    return ", ".join([*dict.fromkeys(names), *store.names()]) or "none yet"
