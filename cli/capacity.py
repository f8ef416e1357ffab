"""`marsa capacity`: hours that issuers promise, and who vouches for them.

Reading is here; `cli.capacity_promise` has what an issuer does, `cli.capacity_doubt` what attestors
and challengers do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.base import Group, examples
from cli.output import emit, table
from cli.spans import ends_text, machines_of, span_text
from ledger.amounts import format_amount
from ledger.times import rfc3339

if TYPE_CHECKING:
    from node.api import economy_schemas as schemas

_TABLE = {
    "commit": ("cli.capacity_promise:commit", "Promise hours of machines."),
    "pledge": ("cli.capacity_promise:pledge", "Say which machines stand behind a promise."),
    "amend": ("cli.capacity_promise:amend", "Promise more hours, or for longer."),
    "open": ("cli.capacity_promise:open_drawn", "Open the machines that a spot audit drew."),
    "attest": ("cli.capacity_doubt:attest", "Vouch for hours, as an attestor."),
    "challenge": ("cli.capacity_doubt:challenge", "Doubt a commitment, with a deposit."),
    "rule": ("cli.capacity_doubt:rule", "Decide a challenge, as a member of its panel."),
}
NEXT = {
    "proposed": "marsa capacity attest {0} {1} --attestor NAME",
    "stale": "marsa capacity attest {0} {1} --attestor NAME",
    "live": "marsa coin quote 100 --issuer {0}",
    "contested": "marsa capacity rule {0} {1} --attestor NAME --uphold, or --dismiss",
}


@click.command(
    "capacity",
    cls=Group,
    table=_TABLE,
    help=f"""{examples("marsa capacity list", "marsa capacity show acme acme-h100x8")}

The hours behind the coins: who promised them, which machines, who vouches for them and how fresh
that is. Coins are minted only against hours that enough independent attestors vouch for.
""",
)
def capacity() -> None:
    """Group of commands."""


@capacity.command(
    "list",
    short_help="Every commitment: what it promises, what of it counts.",
    help=f"""{examples("marsa capacity list", "marsa capacity list --issuer acme --json")}

List commitments. Hours are device hours a period, first those that count now, then those that are
promised; what counts fades as attestations age, and comes back when they are renewed.
""",
)
@click.option("--issuer", metavar="ID", help="Only this issuer's.")
def show_all(issuer: str | None) -> None:
    """Page after page; there are at most a thousand."""
    from cli import nodes

    with nodes.connected() as node:
        if issuer is not None:
            node.client.issuer(issuer)  # a name that nobody has is an error, not an empty list
        found = list(node.client.economy.all_commitments(issuer))
        audits = node.client.economy.audits()
    value = {
        "ledger_time_ms": audits.ledger_time_ms,
        "period_ms": audits.period_ms,
        "commitments": found,
    }
    emit("marsa.capacity.list/1", value, lambda: _list_text(found, audits))


@capacity.command(
    "show",
    short_help="One commitment: who vouched, when, and what is left of it.",
    help=f"""{
        examples(
            "marsa capacity show acme acme-h100x8", "marsa capacity show acme acme-h100x8 --json"
        )
    }

Show everything about a commitment: its schedule, its machines, each attestor's word with its age
and what is left of it, a challenge with its panel, what may be done now, and until when.
""",
)
@click.argument("issuer")
@click.argument("commitment")
def show(issuer: str, commitment: str) -> None:
    """With its challenge, where it has one."""
    from cli import nodes

    with nodes.connected() as node:
        economy = node.client.economy
        found = economy.commitment(issuer, commitment)
        doubts = [
            x for x in economy.challenges() if (x.issuer, x.commitment) == (issuer, commitment)
        ]
        audits = economy.audits()
        life_ms = node.params.economy.attestation_life_ms
    challenge = doubts[0] if doubts else None
    value = {
        "ledger_time_ms": audits.ledger_time_ms,
        "period_ms": audits.period_ms,
        "commitment": found,
        "challenge": challenge,
    }
    emit("marsa.capacity.show/1", value, lambda: _show_text(found, challenge, audits, life_ms))


@capacity.command(
    "audits",
    short_help="Spot audits: sealed nonces, and machines that are drawn.",
    help=f"""{examples("marsa capacity audits", "marsa capacity audits --json")}

Show the spot audits under way: which attestors sealed a nonce for which period and revealed it, and
whose machines are drawn, how many of them are opened, and until when the others must be.
""",
)
def show_audits() -> None:
    from cli import nodes

    with nodes.connected() as node:
        audits = node.client.economy.audits()
        drawn = {
            (item.period, item.issuer): len(
                node.client.economy.opening(item.period, item.issuer).drawn
            )
            for item in audits.openings
        }
    value = {
        "audits": audits,
        "drawn": [
            {"period": period, "issuer": issuer, "devices": count}
            for (period, issuer), count in sorted(drawn.items())
        ],
    }
    emit("marsa.capacity.audits/1", value, lambda: _audits_text(audits, drawn))


def hours(microhours: str | int) -> str:
    """Device hours: µh have six decimals as µ have."""
    return format_amount(int(microhours))


def _list_text(found: list[schemas.Commitment], audits: schemas.Audits) -> str:
    if not found:
        return "nobody has promised hours; next: marsa capacity commit --help"
    rows = [
        [
            item.issuer,
            item.id,
            item.device_class,
            str(item.devices),
            f"{hours(item.counted_microhours)}/{hours(item.microhours)}",
            "frozen" if item.is_frozen else item.state,
            _who(item),
            ends_text(item.deadline_ms, audits.ledger_time_ms),
        ]
        for item in found
    ]
    headings = (
        "issuer",
        "id",
        "class",
        "machines",
        "h a period",
        "state",
        "attested by",
        "ends in",
    )
    return table(headings, rows)


def _who(item: schemas.Commitment) -> str:
    """The first and how many more, so that a row fits; `show` has all."""
    names = [word.attestor for word in item.attestations if int(word.weighted)]
    return f"{names[0]} +{len(names) - 1}" if len(names) > 1 else "".join(names) or "nobody"


def _show_text(
    item: schemas.Commitment,
    challenge: schemas.Challenge | None,
    audits: schemas.Audits,
    life_ms: int,
) -> str:
    now_ms, period_ms = audits.ledger_time_ms, audits.period_ms
    needed = machines_of(int(item.microhours), period_ms)
    lines = [
        f"commitment  {item.id} of {item.issuer}, version {item.version}",
        f"promises    {hours(item.microhours)} h of {item.device_class} a period of "
        f"{span_text(period_ms)} in {item.region}",
        f"workloads   {', '.join(item.workloads)}",
        f"schedule    {item.from_time} to {item.to_time}",
        f"machines    {item.devices} pledged, {needed} needed",
        f"counts      {hours(item.counted_microhours)} h a period, "
        f"{hours(item.worth)} coins of reserve",
        f"state       {item.state}",
    ]
    if item.is_frozen:
        lines.append("frozen      attestations contradict each other: its issuer does not mint")
    if item.deadline_ms is not None:
        left = ends_text(item.deadline_ms, now_ms)
        lines.append(f"ends        {rfc3339(item.deadline_ms)}, in {left}")
    for word in item.attestations:
        left = ends_text(word.since_ms + life_ms, now_ms)
        lower = f", says {hours(word.lower)} now" if word.lower is not None else ""
        lines.append(
            f"attested    {word.attestor} ({word.group}): {hours(word.microhours)} h "
            f"{span_text(word.age_ms)} ago, {hours(word.weighted)} left, "
            f"{'gone' if left == 'over' else f'gone in {left}'}{lower}"
        )
    if challenge is not None:
        lines += _challenge_lines(challenge, now_ms)
    lines.append(f"takes       {', '.join(item.allowed_actions) or 'nothing any more'}")
    if item.state in NEXT:
        lines.append(f"next: {NEXT[item.state].format(item.issuer, item.id)}")
    return "\n".join(lines)


def _challenge_lines(challenge: schemas.Challenge, now_ms: int) -> list[str]:
    votes = (f"{x.attestor} {'upholds' if x.upheld else 'dismisses'}" for x in challenge.votes)
    left = ends_text(challenge.deadline_ms, now_ms)
    return [
        f"challenged  {format_amount(int(challenge.deposit))} coins deposited, "
        f"{challenge.state}, ends in {left}",
        f"panel       {', '.join(challenge.panel) or 'nobody'}",
        f"ruled       {', '.join(votes) or 'nobody yet'}",
    ]


def _audits_text(audits: schemas.Audits, drawn: dict[tuple[int, str], int]) -> str:
    lines = [f"period {audits.period}, each {span_text(audits.period_ms)} of the ledger clock"]
    for item in audits.rounds:
        revealed = sum(1 for entry in item.sealed if entry.nonce)
        lines.append(
            f"nonces for period {item.period}: {len(item.sealed)} sealed, {revealed} revealed"
        )
    if not audits.openings:
        return "\n".join((*lines, "no machines are drawn"))
    rows = [
        [
            item.issuer,
            str(item.period),
            str(item.devices),
            str(drawn[item.period, item.issuer]),
            str(item.opened),
            ends_text(item.deadline_ms, audits.ledger_time_ms),
        ]
        for item in audits.openings
    ]
    headings = ("issuer", "period", "machines", "drawn", "opened", "to open in")
    return "\n".join((*lines, table(headings, rows)))
