"""Orders and quotes in words that a holder understands. Pure."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from cli.spans import ends_text, span_text
from cli.units import PPM, percent
from ledger.amounts import format_amount

if TYPE_CHECKING:
    from node.api import redemption_schemas as schemas

ID_CHARS = 12
BAR_CHARS = 30
WIDTH = 100
WIDTH_MIN = 40
"""A terminal that is narrower breaks lines itself."""
LABEL = " " * 11
"""As wide as the words before the figures."""
PANEL_NEEDED = 3

_SERVED = ("requested", "accepted", "ready", "active", "closing")
_WAYS = {
    "cancelled": ("requested", "cancelled"),
    "lapsed": ("requested", "lapsed"),
    "failed": ("requested", "accepted", "failed"),
    "disputed": (*_SERVED, "disputed", "ruled"),
    "ruled": (*_SERVED, "disputed", "ruled"),
}
_THEN = {
    "cancelled": "it is cancelled and all coins come back",
    "lapsed": "it lapses: all coins come back, with a penalty from the issuer's bond",
    "failed": "it fails: all coins come back, with a penalty from the issuer's bond",
    "closing": "the session ends, and both have a while for last receipts",
    "settled": "it is settled and what was not delivered comes back",
    "ruled": "the highest receipt stands, because the panel kept silent",
    "forgotten": "nodes forget it; its transactions stay in the blocks",
}
"""What happens at the deadline, by the state that comes then."""
_NEXT = {
    "queued": "marsa redeem cancel {0} takes it back",
    "requested": "marsa redeem cancel {0} takes it back",
    "accepted": "marsa redeem status {0} -w",
    "ready": "marsa redeem use {0}",
    "active": "marsa redeem close {0} ends it early",
    "closing": "marsa redeem dispute {0} --from NAME",
    "disputed": "marsa redeem rule {0} --attestor NAME --uphold, or --dismiss",
}


def short(order: str) -> str:
    """Digits that are enough to name it."""
    return order[:ID_CHARS]


def coins(amount: str | int) -> str:
    return format_amount(int(amount))


def way_of(held: schemas.Redemption) -> tuple[str, ...]:
    """The states that it passes, as far as it is known now."""
    begin = ("queued",) if held.queue_until_ms else ()
    return (*begin, *_WAYS.get(held.state, (*_SERVED, "settled")))


def way_text(held: schemas.Redemption) -> str:
    """All in a line, the present one in brackets."""
    return " > ".join(f"[{item}]" if item == held.state else item for item in way_of(held))


def bar_text(held: schemas.Redemption) -> str:
    """How much of it is delivered."""
    done, whole = int(held.burned), int(held.amount)
    full = BAR_CHARS * done // whole
    share = percent(PPM * done // whole)
    bar = "#" * full + "." * (BAR_CHARS - full)
    return f"[{bar}] {coins(done)} of {coins(whole)} coins, {share}"


def who_text(held: schemas.Redemption) -> str:
    """Who is to act, and how."""
    match held.waits_for:
        case "hours":
            ahead = f", {held.queue_ahead} before it" if held.queue_ahead is not None else ""
            turn = f"it is asked as a period begins, in its turn{ahead}"
            return f"nobody: {turn}; then hours of '{held.issuer}' must be free"
        case "issuer" if held.state == "requested":
            return f"'{held.issuer}' is to accept it"
        case "issuer":
            return f"'{held.issuer}' is to say where it serves"
        case "holder":
            return f"the holder is to begin, at {held.endpoint}"
        case "both":
            return f"both, at {held.endpoint}: compute against signed receipts"
        case "time" if not int(held.remaining):
            return "nobody must: all of it is delivered"
        case "time":
            return "nobody must; either side may still post a receipt or dispute it"
        case "panel":
            return _panel_text(held)
        case "block":
            return "nobody: the next block settles it"
        case _:
            return "nobody: it is over"


def _panel_text(held: schemas.Redemption) -> str:
    dispute = held.dispute
    if dispute is None:
        return "the panel"
    upheld = sum(vote.upheld for vote in dispute.votes)
    votes = f"{upheld} uphold, {len(dispute.votes) - upheld} dismiss, {PANEL_NEEDED} decide"
    return f"the panel: {votes}"


def until_text(held: schemas.Redemption, now_ms: int) -> str:
    """The deadline, and what happens then."""
    if held.deadline_ms is None:
        return "none"
    left = ends_text(held.deadline_ms, now_ms)
    when = "now" if left == "over" else f"in {left}"
    return f"{when}, {held.deadline}: {_THEN[held.then]}"


def tracker_text(held: schemas.Redemption, now_ms: int, width: int | None = None) -> str:
    """Everything about one order; on a terminal no line is wider than it."""
    machine = f" on {held.device_class} in {held.region}" if held.device_class else ""
    rows = [
        ("order", held.id),
        ("of", f"'{held.issuer}', {held.workload}{machine} ('{held.commitment}')"),
        ("way", way_text(held)),
        ("delivered", bar_text(held)),
        ("coins", _coins_text(held)),
        ("hours", f"{coins(held.microhours)} device hours for all, {held.units} units a coin"),
    ]
    if held.receipt:
        spent = coins(held.used_microhours)
        rows.append(("receipt", f"number {held.receipt}, {spent} device hours"))
    if held.endpoint:
        rows.append(("endpoint", f"{held.endpoint}, certificate {held.session_hash}"))
    if held.dispute is not None:
        deposit = f"{coins(held.dispute.deposit)} coins deposited"
        said = f"{coins(held.dispute.claimed)} delivered"
        rows.append(("dispute", f"by the {held.dispute.by}: {said}, {deposit}"))
        rows.append(("panel", ", ".join(held.dispute.panel)))
    if not held.has_ended:
        rows.append(("window", f"begun by {held.start_by}, over by {held.end}"))
    rows.append(("who", who_text(held)))
    lines = [line for label, text in rows for line in _labelled(label, text, width)]
    lines += _labelled("until", until_text(held, now_ms), width or WIDTH)
    is_whole = held.state == "closing" and not int(held.remaining)
    following = "marsa redeem status {0} -w" if is_whole else _NEXT.get(held.state)
    if following is not None:
        lines.append(f"next: {following.format(short(held.id))}")
    return "\n".join(lines)


def _labelled(label: str, text: str, width: int | None) -> list[str]:
    """In one line, or wrapped beside its label."""
    begin = f"{label:<{len(LABEL)}}"
    if width is None:
        return [begin + text]
    return textwrap.wrap(text, max(width, WIDTH_MIN), initial_indent=begin, subsequent_indent=LABEL)


def _coins_text(held: schemas.Redemption) -> str:
    parts = [f"{coins(held.remaining)} in the order", f"{coins(held.refunded)} came back"]
    if int(held.residual):
        parts.append(f"{coins(held.residual)} are a claim on '{held.issuer}'")
    if held.deliverable != held.remaining:
        parts.append(f"what is left brings {coins(held.deliverable)}: the issuer is in deficit")
    return ", ".join(parts)


def change_line(held: schemas.Redemption, now_ms: int) -> str:
    """One line for a log: where it stands now, and what comes."""
    done = f"{coins(held.burned)} of {coins(held.amount)} delivered"
    if held.has_ended:
        return f"{held.state}: {done}, {coins(held.refunded)} came back"
    left = ends_text(held.deadline_ms, now_ms)
    return f"{held.state}: {done}; {who_text(held)}; {held.then} in {left}"


def quote_text(found: schemas.RedeemQuote, wish: str, possible: str, hint: str) -> str:
    """Yes or no, with the figures of the best offer and of the others; `possible` is what would be
    taken instead."""
    verdict = "yes: would be taken now" if found.allowed else f"no: {found.code}"
    if found.is_queued:
        verdict = f"yes: would wait, {_turn_text(found)}"
    lines = [f"{coins(found.amount)} coins  {verdict}"]
    indent = " " * len(LABEL)
    for text in (found.message, possible):
        lines += textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)
    terms, now_ms = found.terms, found.ledger_time_ms
    if terms is not None:
        lines.append(f"of         '{terms.issuer}' ('{terms.commitment}')")
        lines += _offer_lines(found)
        lines.append(f"begun      by {terms.start_by}, in {_left(terms.start_by_ms, now_ms)}")
        lines.append(f"over       by {terms.end}, in {_left(terms.end_ms, now_ms)}")
        lines.append(f"brings     {_brings_text(found)}")
    lines += [
        f"also       '{item.issuer}' ('{item.commitment}' in {item.region}): over in "
        f"{_left(item.end_ms, now_ms)}, {_free_text(item)}"
        for item in found.offers[1:]
    ]
    if found.left_off:
        lines.append(f"           {found.left_off} more were not looked at: name one with --issuer")
    if found.allowed and terms is not None:
        amount = coins(found.amount)
        lines.append(
            f"next: marsa redeem submit {amount} --from NAME {wish} --issuer {terms.issuer}"
        )
    elif hint:
        lines.append(f"next: {hint}")
    return "\n".join(lines)


def _turn_text(found: schemas.RedeemQuote) -> str:
    """Behind whom, and whether it waits for long enough to be asked at all."""
    ahead = found.offers[0].waiting if found.offers else 0
    text = f"{ahead} before it, asked in {_left(found.asked_ms, found.ledger_time_ms)}"
    if found.terms is not None and found.terms.queue_until_ms < found.asked_ms:
        return f"{text}: cancelled before, let it wait for longer"
    return text


def _free_text(offer: schemas.RedeemOffer) -> str:
    if offer.waiting:
        return f"{offer.waiting} wait"
    return "free" if offer.is_free else "not free"


def _offer_lines(found: schemas.RedeemQuote) -> list[str]:
    if not found.offers:
        return []
    best = found.offers[0]
    free = f"{coins(best.free_microhours)} are free until then"
    return [
        f"hours      {coins(best.microhours)} device hours, {free}",
        f"machines   {best.device_class} in {best.region}",
        f"rate       {best.units} units of the reference job a coin; a better one before it begins "
        "counts",
    ]


def _brings_text(found: schemas.RedeemQuote) -> str:
    if found.deliverable == found.amount:
        return f"all {coins(found.amount)} coins, the issuer is {found.solvency}"
    share = f"{coins(found.covered)} of {coins(found.outstanding)} are covered"
    return f"{coins(found.deliverable)} coins: {share}; the rest is a claim"


def _left(moment_ms: int, now_ms: int) -> str:
    return span_text(moment_ms - now_ms)
