"""What an issuer does for an order by hand: accept it, say where it serves, post receipts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from cli import redeem_orders
from cli.acting import KEY_FILE, act, done, find_key, key_option, wait_of, waited
from cli.base import Command, examples
from cli.errors import CliError, ExitCode, usage_error
from cli.home import read_limited
from cli.redeem_text import coins, short
from node.api.forms import Hex64, ReceiptForm

if TYPE_CHECKING:
    from cli.nodes import Node
    from ledger.crypto import SigningKey

CERTIFICATE = re.compile(r"[0-9a-f]{64}", re.ASCII)
PEM = b"-----BEGIN CERTIFICATE-----"


class SignedReceipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receipt as the holder hands it over, in JSON."""

    receipt: ReceiptForm
    signature: Hex64


@click.command(
    "accept",
    cls=Command,
    short_help="As the issuer: serve an order.",
    help=f"""{
        examples(
            "marsa redeem accept 3f9c",
            "marsa redeem accept 3f9c --endpoint gpu7.acme.example:9000 --certificate cert.pem",
        )
    }

Accept an order, as its issuer; the operations key signs. With --endpoint and --certificate the
service stands already, and the holder may begin at once; an order that is accepted is made ready
with them. The certificate is a file, or the SHA-256 of its DER in hex.
""",
)
@click.argument("order", metavar="ID")
@click.option("--endpoint", metavar="HOST:PORT", help="Where it serves.")
@click.option("--certificate", metavar="FILE|HASH", help="What the endpoint shows.")
@key_option
@waited
def accept(
    order: str,
    endpoint: str | None,
    certificate: str | None,
    key: Path | None,
    no_wait: bool,
    wait: str,
) -> None:
    """One transaction for each step that is left."""
    from cli import nodes
    from ledger.redemption_operations import AcceptRedemption, ReadyRedemption

    if (endpoint is None) != (certificate is None):
        raise usage_error("usage", "--endpoint and --certificate go together")
    session_hash = None if certificate is None else _certificate_hash(certificate)
    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        wanted = redeem_orders.resolve(node, order)
        held = redeem_orders.fetch(node, wanted)
        signer = issuer_key(node, held.issuer, "operations", key)
        place = (held.issuer, bytes.fromhex(wanted), signer.public)
        outcome, state = None, held.state
        if state != "accepted" or endpoint is None:
            outcome = act(node, AcceptRedemption(*place), (signer,), wait_ms)
            state = "accepted"
        if endpoint is not None and session_hash is not None:
            ready = ReadyRedemption(*place, endpoint, session_hash)
            outcome, state = act(node, ready, (signer,), wait_ms), "ready"
    assert outcome is not None  # One of the two was done.
    value = {"order": wanted, "issuer": held.issuer, "state": state, "endpoint": endpoint}
    where = f", served at {endpoint}" if endpoint else ""
    ready_it = f"marsa redeem accept {short(wanted)} --endpoint HOST:PORT --certificate FILE"
    following = f"marsa redeem status {short(wanted)}" if endpoint else ready_it
    what = f"order {short(wanted)} is {state}{where}"
    done("marsa.redeem.accept/1", outcome, value, (what, following))


@click.command(
    "receipt",
    cls=Command,
    short_help="As the issuer: post what the holder signed.",
    help=f"""{
        examples(
            "marsa redeem receipt receipt.json",
            "marsa redeem receipt receipt.json --key acme-keys/roles.json --json",
        )
    }

Post a receipt that a holder signed, as the issuer; the metering key signs. What it adds to the
last one is burned, and the hours leave the reserve. Receipts are cumulative: the highest counts.
""",
)
@click.argument("file", type=KEY_FILE)
@key_option
@waited
def receipt(file: Path, key: Path | None, no_wait: bool, wait: str) -> None:
    """The order is in the receipt."""
    from cli import nodes
    from ledger.economy.redemption import Receipt
    from ledger.redemption_operations import PostReceipt

    said, wait_ms = read_receipt(file), wait_of(no_wait, wait)
    posted = Receipt(
        order=bytes.fromhex(said.receipt.order),
        number=said.receipt.number,
        delivered=int(said.receipt.delivered),
        microhours=said.receipt.microhours,
        meter_root=bytes.fromhex(said.receipt.meter_root),
    )
    with nodes.connected() as node:
        held = redeem_orders.fetch(node, said.receipt.order)
        signer = issuer_key(node, held.issuer, "metering", key)
        operation = PostReceipt(
            held.issuer,
            signer.public,
            posted,
            bytes.fromhex(held.session_key),
            bytes.fromhex(said.signature),
        )
        outcome = act(node, operation, (signer,), wait_ms)
    value = {
        "order": said.receipt.order,
        "issuer": held.issuer,
        "number": posted.number,
        "delivered": said.receipt.delivered,
        "microhours": str(posted.microhours),
    }
    what = f"receipt {posted.number} of order {short(said.receipt.order)}: "
    what = f"{what}{coins(posted.delivered)} of {coins(held.amount)} coins delivered"
    following = f"marsa redeem status {short(said.receipt.order)}"
    done("marsa.redeem.receipt/1", outcome, value, (what, following))


def issuer_key(node: Node, issuer: str, role: str, file: Path | None) -> SigningKey:
    """One of the issuer's role keys, in force; raises CliError."""
    keys = node.client.economy.licence(issuer).licence.keys
    return find_key(node, issuer, role, getattr(keys, role), file)


def read_receipt(file: Path) -> SignedReceipt:
    """What a session wrote; raises CliError(bad_file)."""
    try:
        return msgspec.json.decode(read_limited(file), type=SignedReceipt)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CliError(
            "bad_file",
            f"{file} is no receipt: {error}",
            hint="take the file that the session wrote",
            exit_code=ExitCode.CHECK_FAILED,
        ) from None


def _certificate_hash(text: str) -> bytes:
    """Of a certificate in a file, PEM or DER, or the hash itself."""
    from hashlib import sha256

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    if CERTIFICATE.fullmatch(text):
        return bytes.fromhex(text)
    try:
        data = read_limited(Path(text))
        is_pem = data.lstrip().startswith(PEM)
        load = x509.load_pem_x509_certificate if is_pem else x509.load_der_x509_certificate
        return sha256(load(data).public_bytes(Encoding.DER)).digest()
    except (OSError, ValueError) as error:
        detail = f"{text!r} is no certificate: {error}"
        raise usage_error("bad_certificate_file", detail, "name a file, or 64 hex digits") from None
