"""`marsa redeem`: coins become metered compute.

A holder asks for it and speaks by a session key of the order; the issuer accepts, serves and posts
receipts. Whatever one side leaves undone, a deadline ends.
"""

from __future__ import annotations

import click

from cli.base import Group, examples

_TABLE = {
    "quote": ("cli.redeem_ask:quote", "Would an order be taken now, and by whom?"),
    "submit": ("cli.redeem_ask:submit", "Ask for compute; the coins move into the order."),
    "status": ("cli.redeem_show:status", "Where an order stands, until when, and who must act."),
    "list": ("cli.redeem_show:show_all", "Your orders, or those of an issuer."),
    "use": ("cli.redeem_use:use", "Have an order delivered: check the work, sign for it."),
    "cancel": ("cli.redeem_ask:cancel", "Take back an order that nobody accepted."),
    "serve": ("cli.redeem_serve:serve", "As the issuer: accept orders and deliver."),
    "accept": ("cli.redeem_provide:accept", "As the issuer: serve an order."),
    "receipt": ("cli.redeem_provide:receipt", "As the issuer: post what the holder signed."),
    "close": ("cli.redeem_end:close", "End a session, as either side."),
    "dispute": ("cli.redeem_end:dispute", "Say that the highest receipt is not what happened."),
    "rule": ("cli.redeem_end:rule", "Decide a dispute, as a member of its panel."),
}


@click.command(
    "redeem",
    cls=Group,
    table=_TABLE,
    help=f"""{
        examples(
            "marsa redeem submit 2 --from alice --class cpu --workload hashing",
            "marsa redeem status 3f9c -w",
        )
    }

Turn coins into compute of their issuer. What is delivered burns by signed receipts; what is not
comes back by itself, with a penalty where the issuer kept silent. ID may be shortened to its first
digits.
""",
)
def redeem() -> None:
    """Group of commands."""
