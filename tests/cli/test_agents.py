"""What agents of a devnet decide from what they see: nothing here signs, sends or waits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from cli.agents.attestor import ATTESTED_MAX, AttestorAgent
from cli.agents.issuer import RENEW_MS, IssuerAgent
from cli.agents.seen import Seen
from ledger.economy.schedule import HORIZON_MS_MAX
from ledger.economy.spot_audit import OPENED_MAX, nonce_digest
from ledger.operations import Amend, Attest, OpenDevices, RevealNonce, SealNonce
from node.api import economy_schemas as schemas
from node.api.schemas import Lane

PERIOD_MS = 60_000
LIFE_MS = 10 * PERIOD_MS
NOW_MS = 1_000_000 * PERIOD_MS
PRESENT = NOW_MS // PERIOD_MS
KEY = b"\x07" * 32


def attestor(*, state: str = "active", lanes: tuple[Lane, ...] = ()) -> schemas.Attestor:
    return schemas.Attestor(
        state=state,
        allowed_actions=[],
        deadline_ms=None,
        deadline=None,
        id="vantage",
        name="Vantage Audit",
        group="vantage-group",
        key=KEY.hex(),
        version=1,
        strikes=0,
        lanes=list(lanes),
    )


def commitment(
    name: str = "west", *, attested_ms: int | None = None, state: str = "live", to_ms: int = 0
) -> schemas.Commitment:
    """Ten machines of acme, for as long as may be; vantage attested it at a time."""
    begin = NOW_MS - PERIOD_MS
    words = [] if attested_ms is None else [word(attested_ms)]
    return schemas.Commitment(
        state=state,
        allowed_actions=[],
        deadline_ms=None,
        deadline=None,
        id=name,
        issuer="acme",
        device_class="l40sx8",
        region="west-1",
        workloads=["inference"],
        from_ms=begin,
        to_ms=to_ms or begin + HORIZON_MS_MAX,
        from_time="",
        to_time="",
        microhours="166666",
        counted_microhours="0",
        worth="0",
        promised="0",
        at_stake="0",
        deposit_needed="1000000",
        version=3,
        born=2,
        devices=10,
        is_frozen=False,
        attestations=words,
    )


def word(since_ms: int) -> schemas.AttestationOf:
    return schemas.AttestationOf(
        attestor="vantage",
        group="vantage-group",
        microhours="166666",
        weighted="166666",
        since_ms=since_ms,
        since="",
        age_ms=NOW_MS - since_ms,
        lower=None,
    )


def seen(
    *commitments: schemas.Commitment,
    me: schemas.Attestor | None = None,
    numbers: dict[int, int] | None = None,
    rounds: tuple[schemas.AuditRound, ...] = (),
    drawn: dict[tuple[int, str], schemas.Opening] | None = None,
) -> Seen:
    audits = schemas.Audits(
        period=PRESENT,
        period_ms=PERIOD_MS,
        ledger_time_ms=NOW_MS,
        rounds=list(rounds),
        openings=[],
    )
    held = attestor() if me is None else me
    lanes = {"acme": numbers or {}}
    return Seen(commitments, lanes, {held.id: held}, audits, drawn or {}, LIFE_MS)


def sealed(period: int, name: str, digest: bytes, nonce: str | None = None) -> schemas.AuditRound:
    item = schemas.SealedNonce(attestor=name, digest=digest.hex(), nonce=nonce)
    return schemas.AuditRound(period=period, sealed=[item])


def vantage(*, vouches: bool = True) -> AttestorAgent:
    return AttestorAgent("vantage", b"\x01" * 32, KEY, vouches=vouches)


def issuer() -> IssuerAgent:
    return IssuerAgent("acme", KEY, frozenset({"west"}))


def attested(decided: list[object]) -> list[Attest]:
    return [item for item in decided if isinstance(item, Attest)]


def test_a_nonce_is_sealed_once_and_revealed_in_the_period_after() -> None:
    """The digest of before is that of the nonce shown later, also by an agent that began anew."""
    (seal,) = vantage().decide(seen())
    assert isinstance(seal, SealNonce) and seal.period == PRESENT + 1
    assert vantage().decide(seen(rounds=(sealed(PRESENT + 1, "vantage", seal.digest),))) == []
    later = seen(rounds=(sealed(PRESENT - 1, "vantage", b"\x00" * 32),))
    reveal = next(x for x in vantage().decide(later) if isinstance(x, RevealNonce))
    assert reveal.period == PRESENT - 1
    shown = seen(rounds=(sealed(PRESENT - 1, "vantage", b"\x00" * 32, reveal.nonce.hex()),))
    assert not [x for x in vantage().decide(shown) if isinstance(x, RevealNonce)]
    shift = 2 * PERIOD_MS
    ahead = replace(
        seen(), audits=structs.replace(seen().audits, period=PRESENT - 2, ledger_time_ms=shift)
    )
    (before,) = vantage().decide(ahead)
    assert isinstance(before, SealNonce) and before.period == PRESENT - 1
    assert before.digest == nonce_digest(b"vantage", reveal.nonce)


def test_nonces_of_others_are_theirs() -> None:
    """What another attestor sealed is neither counted as own nor revealed."""
    rounds = (
        sealed(PRESENT + 1, "meridian", b"\x00" * 32),
        sealed(PRESENT - 1, "meridian", b"\x00" * 32),
    )
    (seal,) = vantage().decide(seen(rounds=rounds))
    assert isinstance(seal, SealNonce)


@pytest.mark.parametrize("me", [attestor(state="removed"), structs.replace(attestor(), id="other")])
def test_who_is_not_licensed_says_nothing(me: schemas.Attestor) -> None:
    assert vantage().decide(seen(commitment(), me=me)) == []


def test_a_word_is_renewed_when_a_quarter_of_its_life_is_over() -> None:
    """Not before; and at once where there is none. Bound to what was seen."""
    for age_ms, is_due in ((LIFE_MS // 4, False), (LIFE_MS // 4 + 1, True)):
        found = commitment(attested_ms=NOW_MS - age_ms)
        assert bool(attested(vantage().decide(seen(found)))) == is_due
    (fresh,) = attested(vantage().decide(seen(commitment())))
    assert (fresh.microhours, fresh.born, fresh.commitment) == (166_666, 2, "west")
    assert fresh.until_ms == commitment().to_ms


@pytest.mark.parametrize(("state", "is_due"), [("stale", True), ("contested", False)])
def test_what_is_void_or_contested_is_left_alone(state: str, is_due: bool) -> None:
    assert bool(attested(vantage().decide(seen(commitment(state=state))))) == is_due


def test_nobody_vouches_for_machines_that_are_not_pledged() -> None:
    """The figure is what the machines can deliver; without any, none. Some never vouch."""
    few = structs.replace(commitment(), devices=4)
    (said,) = attested(vantage().decide(seen(few)))
    assert said.microhours == 4 * 1_000_000 // 60
    assert attested(vantage().decide(seen(structs.replace(few, devices=0)))) == []
    assert attested(vantage(vouches=False).decide(seen(commitment()))) == []


def test_each_word_has_a_lane_of_its_own_and_the_oldest_goes_first() -> None:
    """At most so many at one look; numbers continue each lane."""
    old = [commitment(f"c{i:02}", attested_ms=NOW_MS - LIFE_MS + i) for i in range(12)]
    lanes = (Lane(lane=0, next_number=7), Lane(lane=2, next_number=1))
    said = attested(vantage().decide(seen(*reversed(old), me=attestor(lanes=lanes))))
    assert [item.commitment for item in said] == [f"c{i:02}" for i in range(ATTESTED_MAX)]
    assert [(item.lane, item.number) for item in said][:4] == [(0, 7), (1, 0), (2, 1), (3, 0)]


def test_a_schedule_is_made_longer_once_it_lost_a_day() -> None:
    """Only one that is kept, of the issuer, and not void; whole periods, within the horizon."""
    full = NOW_MS - PERIOD_MS + HORIZON_MS_MAX
    assert issuer().decide(seen(commitment(to_ms=full - RENEW_MS + PERIOD_MS))) == []
    short = commitment(to_ms=full - RENEW_MS)
    (longer,) = issuer().decide(seen(short))
    assert longer == Amend("acme", KEY, 0, 0, "west", 3, 166_666, full)
    for other in ({"id": "east"}, {"issuer": "bolt"}, {"state": "void"}):
        assert issuer().decide(seen(structs.replace(short, **other))) == []


def test_each_longer_schedule_has_a_lane_of_its_own() -> None:
    """Where its issuer keeps several; numbers continue each lane."""
    short = NOW_MS - PERIOD_MS + HORIZON_MS_MAX - RENEW_MS
    both = [commitment(name, to_ms=short) for name in ("east", "west")]
    keeper = IssuerAgent("acme", KEY, frozenset({"east", "west"}))
    said = keeper.decide(seen(*both, numbers={1: 4}))
    lanes = [(x.commitment, x.lane, x.number) for x in said if isinstance(x, Amend)]
    assert lanes == [("east", 0, 0), ("west", 1, 4)]


def test_drawn_machines_are_opened_where_the_last_operation_ended() -> None:
    """Ascending, at most so many at once; of other issuers none."""
    ids = [bytes([i // 256, i % 256]) + b"\x00" * 30 for i in range(OPENED_MAX + 10)]
    opening = schemas.Opening(
        period=PRESENT,
        issuer="acme",
        seed="00" * 32,
        devices=len(ids),
        drawn=[item.hex() for item in reversed(ids)],
        opened=3,
        deadline_ms=NOW_MS,
    )
    (opened,) = issuer().decide(seen(drawn={(PRESENT, "acme"): opening}))
    assert isinstance(opened, OpenDevices)
    assert (opened.opened, opened.devices) == (3, tuple(ids[3 : 3 + OPENED_MAX]))
    assert issuer().decide(seen(drawn={(PRESENT, "bolt"): opening})) == []
