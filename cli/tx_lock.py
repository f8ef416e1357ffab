"""`marsa tx lock` and `marsa tx secret`: addresses of locks that take more than one key.

A lock is written K/KEYS, or as a condition in a file: the JSON of the API, where a name may stand
for a key. What breaks the rules of the ledger is refused here, for coins on it would be lost.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.base import Command, examples
from cli.errors import CliError, not_found, usage_error
from cli.home import read_limited, read_private, write_private
from cli.output import emit
from cli.tx_text import condition_json
from cli.units import quoted
from ledger.amounts import parse_number

if TYPE_CHECKING:
    from cli.nodes import Node
    from ledger.locks import Condition

KEY_CHARS = 64
SECRET_BYTES = 32
"""Of a new secret: what hash locks of other chains take."""

FILE = click.Path(path_type=Path, dir_okay=False)
LOCK_HELP = "2/alice,bob,KEY: two of three. KEY is an account, a wallet, or 64 hex digits."
CONDITION_HELP = "A condition as JSON, where names may stand for keys."


@dataclass(frozen=True, slots=True)
class SharedLock:
    """Coins that open by more than the signature of one key."""

    name: str
    """Its address, which every other command takes."""
    condition: Condition

    @property
    def conditions(self) -> dict[bytes, Condition]:
        from ledger.locks import lock_hash

        return {lock_hash(self.condition): self.condition}

    @property
    def locks(self) -> tuple[bytes, ...]:
        return tuple(self.conditions)


@click.command(
    "lock",
    cls=Command,
    short_help="The address of a lock of keys, times, secrets.",
    help=f"""{
        examples(
            "marsa tx lock 2/alice,bob,carol",
            "marsa tx lock --condition swap.json --json",
        )
    }

Show the address of coins that K of the named KEYS spend together, or that open as a condition in a
file says. {LOCK_HELP} The order of the keys does not count. Whoever spends gives the same K and
KEYS, or the same condition, to `tx create`: keep the file, the chain holds only its hash.
""",
)
@click.argument("lock", metavar="K/KEYS", required=False)
@click.option("--condition", type=FILE, metavar="FILE", help=CONDITION_HELP)
def show_lock(lock: str | None, condition: Path | None) -> None:
    """Public keys alone make the address."""
    from cli import nodes
    from ledger.locks import Threshold

    with nodes.connected() as node:
        shared = choose_lock(lock, condition, node)
    value: dict[str, object] = {
        "address": shared.name,
        "lock": shared.locks[0].hex(),
        "condition": condition_json(shared.condition),
    }
    if isinstance(shared.condition, Threshold):
        value["needed"] = shared.condition.needed
        value["keys"] = [key.hex() for key in shared.condition.keys]
    emit("marsa.tx.lock/1", value, shared.name)


@click.command(
    "secret",
    cls=Command,
    short_help="Make a secret for a hash lock, or show the hash of one.",
    help=f"""{examples("marsa tx secret swap.secret", "marsa tx secret swap.secret --json")}

Show the SHA-256 of the secret in FILE, for the condition `hash` of a lock; where there is no file,
make one that only you may read, with {SECRET_BYTES} random bytes as hex digits. Who spends with it
shows it to everybody.
""",
)
@click.argument("file", type=FILE)
def secret(file: Path) -> None:
    """The secret itself is never shown."""
    is_new = not file.exists()
    if is_new:
        text = os.urandom(SECRET_BYTES).hex() + "\n"
        write_private(file, text.encode("ascii"), replace=False)
    digest = sha256(read_secret(file)).hexdigest()
    value = {"file": str(file), "digest": digest, "new": is_new}
    emit("marsa.tx.secret/1", value, digest)


def read_secret(path: Path) -> bytes:
    """The bytes of a private file of hex digits; raises CliError."""
    from ledger.transaction import PREIMAGE_BYTES_MAX

    if not path.is_file():
        raise not_found("no_file", f"there is no file {path}", f"marsa tx secret {quoted(path)}")
    data = read_private(path).strip()
    try:
        found = bytes.fromhex(data.decode("ascii"))
    except ValueError:
        raise _bad_secret(path, "does not hold hex digits") from None
    if len(found) > PREIMAGE_BYTES_MAX:
        raise _bad_secret(path, f"has {len(found)} bytes, at most {PREIMAGE_BYTES_MAX}")
    return found


def choose_lock(lock: str | None, condition: Path | None, node: Node) -> SharedLock:
    """Of the two ways to write one; raises CliError."""
    from ledger.address import encode_address
    from ledger.locks import lock_hash

    if (lock is None) == (condition is None):
        raise usage_error("usage", "give a lock: either K/KEYS or --condition FILE")
    if condition is not None:
        found = read_condition(condition, node.chain_id)
    else:
        found = read_lock(str(lock), node.chain_id)
    return SharedLock(encode_address(lock_hash(found), node.hrp), found)


def read_lock(text: str, chain_id: str) -> Condition:
    """`K/KEY,KEY,…`; raises CliError."""
    from ledger.locks import Threshold

    number, _, names = text.partition("/")
    needed = parse_number(number)
    if not needed or not names:
        raise _bad_lock(text, "it is written K/KEY,KEY with K from 1 on, as in 2/alice,bob,carol")
    keys = [_public_key(name, chain_id) for name in names.split(",")]
    if len(set(keys)) != len(keys):
        raise _bad_lock(text, "a key is named twice")
    return _checked(text, Threshold(needed, tuple(sorted(keys))))


def read_condition(path: Path, chain_id: str) -> Condition:
    """The condition in a file; raises CliError."""
    import msgspec

    from ledger.reasons import Invalid
    from node.api.convert import read_condition as read_form
    from node.api.transaction_forms import ConditionForm

    if not path.is_file():
        raise not_found("no_file", f"there is no file {path}", "marsa tx lock --help")
    try:
        tree = msgspec.json.decode(read_limited(path))
        named = _with_keys(tree, lambda name: _public_key(name, chain_id).hex())
        condition = read_form(msgspec.convert(named, type=ConditionForm))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_lock(str(path), str(error)) from None
    except Invalid as error:
        raise _bad_lock(str(path), error.detail) from None
    return _checked(str(path), condition)


def _with_keys(tree: Any, resolve: Callable[[str], str]) -> Any:
    """The tree with keys for names, those of a threshold in the order that the ledger wants. What
    is not of the right type stays as it is, to be refused with the rest."""
    if not isinstance(tree, dict):
        return tree
    found = dict(tree)
    if isinstance(found.get("key"), str):
        found["key"] = resolve(found["key"])
    names, parts = found.get("keys"), found.get("parts")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        found["keys"] = sorted(map(resolve, names))
    if isinstance(parts, list):
        found["parts"] = [_with_keys(part, resolve) for part in parts]
    return found


def _checked(text: str, condition: Condition) -> Condition:
    """What the ledger would refuse, or give to everybody, gets no coins."""
    from ledger import codec
    from ledger.locks import check_condition, digests_of, is_satisfied
    from ledger.reasons import Invalid
    from ledger.transaction import Witness

    try:
        codec.checked(Witness((condition,), (), ()))
        check_condition(condition)
    except Invalid as error:
        raise _bad_lock(text, error.detail) from None
    if is_satisfied(condition, (), list(digests_of(condition)), None):
        why = "it opens without a signature, so whoever sees it being spent could take the coins"
        raise _bad_lock(text, why)
    return condition


def _bad_lock(text: str, why: str) -> CliError:
    return usage_error("bad_lock", f"{text!r} is no lock for coins: {why}", "marsa tx lock --help")


def _bad_secret(path: Path, why: str) -> CliError:
    return usage_error("bad_secret", f"{path} {why}", "marsa tx secret --help")


def _public_key(name: str, chain_id: str) -> bytes:
    from cli import accounts

    if len(name) == KEY_CHARS and all(char in "0123456789abcdef" for char in name):
        return bytes.fromhex(name)
    return accounts.find_holder(name, never_asked, chain_id=chain_id).public_keys[0]


def never_asked(name: str) -> str:
    """In place of the question for a password, where public keys are enough."""
    raise AssertionError(f"the password of '{name}' is asked for, and nothing is signed")
