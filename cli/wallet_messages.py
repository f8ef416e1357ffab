"""`marsa wallet sign-message|verify-message`: prove that an address is yours, offline.

A signature is the public key and its Ed25519 signature over H("message", text), in hex: the
address hashes the key, so the key travels along. The tag keeps a message from ever being a
transaction.
"""

from __future__ import annotations

from pathlib import Path

import click

from cli.base import Command, Number, examples, settings
from cli.errors import CliError, ExitCode, usage_error
from cli.output import emit
from cli.passwords import password_options, read_password
from cli.wallet_commands import network_option

MESSAGE_BYTES_MAX = 64 * 1024


@click.command(
    "sign-message",
    cls=Command,
    short_help="Prove that an address is yours.",
    help=f"""{
        examples(
            "marsa wallet sign-message alice 'this is alice'",
            "marsa wallet sign-message savings 'order 17' --index 2 --json",
        )
    }

Sign a text with the key of an address. Nothing is sent anywhere.
""",
)
@click.argument("name")
@click.argument("message")
@click.option("--index", type=Number(0), default=0, help="Which address of the wallet.")
@network_option
@password_options
def sign_message(
    name: str,
    message: str,
    index: int,
    network: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """Needs the password of a wallet."""
    from cli import accounts
    from ledger.address import HRP_BY_NETWORK

    digest = message_hash(message)
    holder = accounts.find_holder(
        name,
        lambda wallet: read_password(wallet, password_fd, password_file),
        chain_id=_chain_id(name),
    )
    if index >= len(holder.public_keys):
        raise usage_error("bad_index", f"'{name}' has {len(holder.public_keys)} addresses")
    key = holder.unlock()[index]
    address = accounts.address_of(key.public, HRP_BY_NETWORK[network])
    signature = (key.public + key.sign(digest)).hex()
    value = {"address": address, "message": message, "signature": signature}
    emit("marsa.wallet.sign-message/1", value, f"address    {address}\nsignature  {signature}")


@click.command(
    "verify-message",
    cls=Command,
    short_help="Check such a proof.",
    help=f"""{
        examples(
            "marsa wallet verify-message mrst1… 'this is alice' SIGNATURE",
            "marsa wallet verify-message mrst1… 'order 17' SIGNATURE --json",
        )
    }

Check that the owner of an address, account or alias signed a text. Exit code 9 when not.
""",
)
@click.argument("address")
@click.argument("message")
@click.argument("signature")
def verify_message(address: str, message: str, signature: str) -> None:
    """Offline: the address hashes the key, the key verifies the signature."""
    from cli.accounts import address_of, resolve_address
    from ledger.address import HRP_BY_NETWORK
    from ledger.crypto import HASH_BYTES, SIGNATURE_BYTES, is_canonical_key, verify
    from ledger.locks import Key, lock_hash

    prefix = address.lower().partition("1")[0]
    hrp = prefix if prefix in HRP_BY_NETWORK.values() else HRP_BY_NETWORK["devnet"]
    lock = resolve_address(address, hrp, chain_id=_chain_id(address))
    try:
        data = bytes.fromhex(signature)
    except ValueError:
        data = b""
    if len(data) != HASH_BYTES + SIGNATURE_BYTES:
        raise usage_error(
            "bad_signature_text",
            f"a signature is {2 * (HASH_BYTES + SIGNATURE_BYTES)} hex digits",
            "it is what marsa wallet sign-message prints",
        )
    key, signed = data[:HASH_BYTES], data[HASH_BYTES:]
    if lock_hash(Key(key)) != lock:
        raise _failed(f"the key of the signature belongs to {address_of(key, hrp)}")
    if not is_canonical_key(key) or not verify(key, message_hash(message), signed):
        raise _failed("the signature is not over this message")
    emit(
        "marsa.wallet.verify-message/1",
        {"ok": True, "address": address, "message": message},
        f"signed by the owner of {address}",
    )


def message_hash(message: str) -> bytes:
    """What is signed for a text."""
    from ledger.crypto import tagged_hash

    data = message.encode()
    if len(data) > MESSAGE_BYTES_MAX:
        raise usage_error("message_too_long", f"{len(data)} bytes, at most {MESSAGE_BYTES_MAX}")
    return tagged_hash("message")(data)


def _failed(detail: str) -> CliError:
    return CliError("bad_message_signature", detail, exit_code=ExitCode.CHECK_FAILED)


def _chain_id(name: str) -> str | None:
    """Where several devnets have an account of this name, that of the node that is named: the only
    time that somebody is asked."""
    from cli import nodes
    from cli.accounts import find_public_account

    try:
        find_public_account(name, None)
    except CliError as error:
        if error.code != "ambiguous_account" or settings().node is None:
            raise
        with nodes.connected() as node:
            return node.chain_id
    return None
