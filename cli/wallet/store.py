"""Wallets on this machine: one encrypted file each, and the addresses it has handed out.

The public keys stand in the file, because Ed25519 has no public derivation: addresses, balances
and drafts of transactions need no password, only a signature or a new address does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.home import checked_name, locked, read_private, wallets_dir, write_private
from cli.wallet import keystore as ks
from cli.wallet.derivation import ACCOUNT_PATH, derive
from cli.wallet.mnemonic import to_seed
from ledger.crypto import SigningKey


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet file, still locked."""

    name: str
    file: Path
    keystore: ks.Keystore

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        return tuple(bytes.fromhex(key) for key in self.keystore.pubkeys)

    def unlock(self, password: str) -> tuple[SigningKey, ...]:
        """The signing keys of all its addresses, in their order."""
        keys = signing_keys(ks.decrypt(self.keystore, password), self.count)
        if tuple(key.public for key in keys) != self.public_keys:
            raise CliError(
                "altered_keystore",
                f"the public keys in {self.file} are not those of its secret",
                exit_code=ExitCode.CHECK_FAILED,
            )
        return keys

    @property
    def count(self) -> int:
        return len(self.keystore.pubkeys)


def names() -> list[str]:
    """The wallets on this machine, in order of name."""
    if not wallets_dir().is_dir():
        return []
    return sorted(file.stem for file in wallets_dir().glob("[a-z0-9]*.json"))


def exists(name: str) -> bool:
    return (wallets_dir() / f"{name}.json").is_file()


def create(name: str, entropy: bytes, password: str, *, count: int = 1) -> Wallet:
    """Write a new wallet; an existing one is never overwritten."""
    file = wallets_dir() / f"{checked_name(name, 'wallet')}.json"
    keystore = _encrypted(entropy, password, count)
    write_private(file, ks.dump(keystore), replace=False)
    return Wallet(name, file, keystore)


def load(name: str) -> Wallet:
    """Open a wallet by name."""
    file = wallets_dir() / f"{checked_name(name, 'wallet')}.json"
    if not file.is_file():
        known = ", ".join(names()) or "none yet"
        raise not_found(
            "unknown_wallet",
            f"there is no wallet '{name}' (wallets: {known})",
            f"marsa wallet new {name}",
        )
    return Wallet(name, file, ks.load(read_private(file), str(file)))


def add_address(wallet: Wallet, password: str) -> Wallet:
    """The wallet with one more address, written."""
    with locked(wallet.file):
        fresh = load(wallet.name)
        if fresh.count >= ks.PUBLIC_KEYS_MAX:
            raise usage_error(
                "too_many_addresses", f"'{wallet.name}' has {fresh.count} addresses, the most"
            )
        entropy = ks.decrypt(fresh.keystore, password)
        keystore = _encrypted(entropy, password, fresh.count + 1)
        write_private(fresh.file, ks.dump(keystore), replace=True)
    return Wallet(fresh.name, fresh.file, keystore)


def signing_keys(entropy: bytes, count: int) -> tuple[SigningKey, ...]:
    """The keys of the first `count` addresses."""
    seed = to_seed(entropy)
    return tuple(SigningKey(derive(seed, f"{ACCOUNT_PATH}/{index}'")) for index in range(count))


def _encrypted(entropy: bytes, password: str, count: int) -> ks.Keystore:
    public = tuple(key.public for key in signing_keys(entropy, count))
    return ks.encrypt(entropy, password, path=ACCOUNT_PATH, pubkeys=public)
