"""What others do about an issuer's capacity: attestors vouch and rule, anybody may doubt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.acting import (
    act,
    done,
    find_key,
    key_option,
    next_number,
    sound_coin,
    spend,
    wait_of,
    waited,
)
from cli.base import Command, examples
from cli.capacity import hours
from cli.capacity_promise import lane_option
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.output import confirm
from cli.passwords import password_options, read_password
from cli.ruling import Word, attestor_option, need_attestor, need_verdict, verdict_option
from cli.spans import microhours_of, span_text
from cli.units import parse_amount
from ledger.amounts import format_amount

if TYPE_CHECKING:
    from cli.nodes import Node
    from node.api import economy_schemas as schemas

SPARE_SHARE = 50
"""So small a part more is deposited than is needed. Anybody may raise the need by adding to the
bond of which it is a share: by so much it takes a fiftieth of that bond, not one unit."""


@click.command(
    "attest",
    cls=Command,
    short_help="Vouch for hours, as an attestor.",
    help=f"""{
        examples(
            "marsa capacity attest acme west --attestor meridian",
            "marsa capacity attest acme west --attestor meridian --hours 0.15 --key meridian.json",
        )
    }

Vouch for device hours a period of a commitment: all that it promises and its machines can deliver,
or --hours. It counts in full for half its life and fades over the other half, so attest again.
What is lower than what the same attestor said before stops minting, and counts later.
""",
)
@click.argument("issuer")
@click.argument("commitment")
@attestor_option
@click.option("--hours", "figure", metavar="HOURS", help="Device hours a period; all unless given.")
@lane_option
@key_option
@waited
def attest(
    issuer: str,
    commitment: str,
    attestor: str,
    figure: str | None,
    lane: int,
    key: Path | None,
    no_wait: bool,
    wait: str,
) -> None:
    """Of the commitment as it was looked at: what is added meanwhile is not vouched for."""
    from cli import nodes
    from ledger.operations import Attest

    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        said = need_attestor(node, attestor)
        signer = find_key(node, attestor, "attestor", said.key, key)
        found = node.client.economy.commitment(issuer, commitment)
        able = microhours_of(found.devices, node.params.period_ms)
        microhours = min(int(found.microhours), able) if figure is None else parse_amount(figure)
        if microhours == 0:
            detail = f"no machine is pledged to '{commitment}' of '{issuer}'"
            hint = f"marsa capacity pledge {issuer} {commitment} --file FILE"
            raise CliError("no_machines", detail, hint=hint, exit_code=ExitCode.REJECTED)
        operation = Attest(
            attestor=attestor,
            key=signer.public,
            lane=lane,
            number=next_number(said.lanes, lane),
            issuer=issuer,
            commitment=commitment,
            born=found.born,
            until_ms=found.to_ms,
            microhours=microhours,
        )
        outcome = act(node, operation, (signer,), wait_ms)
        state = None
        if outcome.height is not None:
            state = node.client.economy.commitment(issuer, commitment).state
        life = span_text(node.params.economy.attestation_life_ms)
    value = {
        "attestor": attestor,
        "issuer": issuer,
        "commitment": commitment,
        "microhours": str(microhours),
        "state": state,
    }
    what = (
        f"'{attestor}' vouches for {hours(microhours)} h a period of '{commitment}' of '{issuer}'"
    )
    what = f"{what}, for {life}" + (f"; it is {state}" if state else "")
    following = f"marsa capacity show {issuer} {commitment}"
    done("marsa.capacity.attest/1", outcome, value, (what, following))


@click.command(
    "challenge",
    cls=Command,
    short_help="Doubt a commitment, with a deposit.",
    help=f"""{
        examples(
            "marsa capacity challenge acme west --from alice",
            "marsa capacity challenge acme west --from savings --issuer bolt --yes --json",
            "marsa capacity challenge acme west --from alice --deposit 250",
        )
    }

Doubt that a live commitment is real. What must be deposited is a share of what is contested, at
most what the issuer's bond holds or must hold, in coins of another sound issuer: those of which
--from holds most, unless --issuer or --asset say otherwise. A fiftieth more is deposited, or
--deposit, because the need may grow before the challenge is on the chain: what is more comes back
in any case. A panel of attestors decides. Upheld: the commitment is void, the deposit comes back,
and from the issuer's bond as much as was needed. Dismissed: the issuer gets what was needed.
""",
)
@click.argument("target", metavar="ISSUER")
@click.argument("commitment")
@click.option(
    "--from", "sender", required=True, metavar="NAME", help="Account or wallet that pays."
)
@click.option("--issuer", metavar="ID", help="Deposit this issuer's coins.")
@click.option("--asset", metavar="ID", help="Or this asset, 64 hex digits.")
@click.option("--deposit", "wanted", metavar="COINS", help="Deposit so much.")
@waited
@password_options
def challenge(
    target: str,
    commitment: str,
    sender: str,
    issuer: str | None,
    asset: str | None,
    wanted: str | None,
    no_wait: bool,
    wait: str,
    password_fd: int | None,
    password_file: Path | None,
) -> None:
    """The node says what is to be deposited now."""
    from cli import accounts, nodes
    from cli.tx import read_asset
    from ledger.operations import OpenChallenge

    if issuer is not None and asset is not None:
        raise usage_error("usage", "--asset excludes --issuer")
    wait_ms = wait_of(no_wait, wait)
    with nodes.connected() as node:
        found = node.client.economy.commitment(target, commitment)
        needed = int(found.deposit_needed)
        deposit = needed + needed // SPARE_SHARE if wanted is None else parse_amount(wanted)
        holder = accounts.find_holder(
            sender,
            lambda name: read_password(name, password_fd, password_file),
            chain_id=node.chain_id,
        )
        coins = read_asset(node, asset, issuer) or sound_coin(node, holder, target)
        if not holder.is_public:
            lost = f"{format_amount(min(needed, deposit))} of it lost if it is dismissed"
            confirm(f"Deposit {format_amount(deposit)} of '{sender}'? {lost}.")
        outcome, draft = spend(
            node,
            holder,
            deposit,
            coins,
            lambda part: OpenChallenge(
                target, commitment, part.asset, part.amount, holder.locks[0]
            ),
            wait_ms,
        )
        panel: list[str] = []
        if outcome.height is not None:
            panel = _challenge(node, target, commitment).panel
    value = {
        "issuer": target,
        "commitment": commitment,
        "asset": draft.parts[0].asset.hex(),
        "deposit": str(deposit),
        "deposit_needed": str(needed),
        "fee": str(draft.fee),
        "panel": panel,
    }
    what = f"'{commitment}' of '{target}' is contested, {format_amount(deposit)} coins deposited"
    if panel:
        judges = f"{', '.join(panel)}, {span_text(node.params.economy.contest_ms)} to decide"
        what = f"{what}\npanel: {judges}"
    judge = panel[0] if panel else "NAME"
    following = f"marsa capacity rule {target} {commitment} --attestor {judge} --uphold"
    done("marsa.capacity.challenge/1", outcome, value, (what, following))


@click.command(
    "rule",
    cls=Command,
    short_help="Decide a challenge, as a member of its panel.",
    help=f"""{
        examples(
            "marsa capacity rule acme west --attestor vantage --dismiss",
            "marsa capacity rule acme west --attestor vantage --uphold --key vantage.json",
        )
    }

Say whether a challenge is right, as an attestor who sits on its panel. Three of five decide: upheld
the commitment is void, dismissed it stands. `marsa capacity show` names the panel.
""",
)
@click.argument("issuer")
@click.argument("commitment")
@attestor_option
@verdict_option("Void, or stands.")
@key_option
@waited
def rule(
    issuer: str,
    commitment: str,
    attestor: str,
    upheld: bool | None,
    key: Path | None,
    no_wait: bool,
    wait: str,
) -> None:
    """A vote is for the very challenge that is open now."""
    from cli import nodes
    from ledger.operations import Rule

    says, wait_ms = need_verdict(upheld), wait_of(no_wait, wait)
    with nodes.connected() as node:
        signer = find_key(node, attestor, "attestor", need_attestor(node, attestor).key, key)
        held = _challenge(node, issuer, commitment)
        operation = Rule(attestor, signer.public, issuer, commitment, says, held.since_ms)
        outcome = act(node, operation, (signer,), wait_ms)
    word = Word.after(held.votes, attestor, says)
    value = {"issuer": issuer, "commitment": commitment, **word.json}
    what = word.text(f"the challenge of '{commitment}'")
    following = f"marsa capacity show {issuer} {commitment}"
    done("marsa.capacity.rule/1", outcome, value, (what, following))


def _challenge(node: Node, issuer: str, commitment: str) -> schemas.Challenge:
    for item in node.client.economy.challenges():
        if (item.issuer, item.commitment) == (issuer, commitment):
            return item
    detail = f"nobody challenges '{commitment}' of '{issuer}'"
    raise not_found("unknown_challenge", detail, f"marsa capacity show {issuer} {commitment}")
