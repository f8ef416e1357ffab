"""The proof of the reserve: signed figures pass, any other figure is found."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from cli.audit_reserve import deficits, verify_reserve
from ledger import codec
from ledger.accumulator import StateRoots
from ledger.economy.reserve import Reserve, Solvency, supply_root
from ledger.execution import build_header
from ledger.objects import load_all
from ledger.reasons import Invalid, Reason
from node.api import schemas
from node.api.convert import certificate_answer, header_answer
from tests.cli.audit_world import certify
from tests.ledger.world import World


@dataclass(frozen=True)
class Signed:
    """A reserve that all validators signed, whether or not the rules would give it."""

    world: World
    answer: schemas.Reserve


def signed(reserves: list[Reserve] | None = None) -> Signed:
    """The answer of a node whose block 1 commits to these reserves, those of genesis unless
    given."""
    world = World()
    rows = load_all(world.state, Reserve) if reserves is None else reserves
    held = world.state.head.commitments.roots
    roots = msgspec.structs.replace(held, supply_root=supply_root(rows))
    header = build_header(
        world.state.head,
        tx_root=bytes(32),
        state_root=roots.state_root,
        time_ms=world.time_ms + 1,
        proposer=world.validators.members[0].key,
        next_validators_hash=world.validators.hash,
    )
    answer = schemas.Reserve(
        height=1,
        header_time_ms=header.time_ms,
        ledger_time_ms=header.time_ms,
        ok=True,
        issuers=[row_of(item) for item in rows],
        roots=codec.encode_payload(roots).hex(),
        header=header_answer(header),
        certificate=certificate_answer(certify(world, header), world.validators),
    )
    return Signed(world, answer)


def row_of(reserve: Reserve) -> schemas.IssuerReserve:
    return schemas.IssuerReserve(
        issuer=reserve.issuer,
        asset=reserve.asset.hex(),
        status=reserve.solvency.name.lower(),
        outstanding=str(reserve.supply),
        reserve=str(reserve.reserve),
        headroom="0",
        coverage_ppm=reserve.coverage_ppm,
        deliverability_ppm=reserve.deliverability_ppm,
    )


def reason_of(case: Signed, answer: schemas.Reserve) -> Reason:
    with pytest.raises(Invalid) as caught:
        verify_reserve(answer, case.world.genesis)
    return caught.value.reason


def test_signed_figures_pass() -> None:
    """Verifies the reserve of a signed block; the result is the header that proves it."""
    case = signed()
    header = verify_reserve(case.answer, case.world.genesis)
    assert header.height == 1
    assert deficits(case.answer.issuers) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outstanding", "1"),
        ("reserve", "9" * 19),
        ("coverage_ppm", 7),
        ("deliverability_ppm", 7),
        ("asset", "00" * 32),
        ("issuer", "val3"),
        ("status", "deficit"),
    ],
)
def test_each_changed_figure_is_found(field: str, value: object) -> None:
    """Changes one figure of one row; the quorum's signatures are untouched."""
    case = signed()
    row = msgspec.structs.replace(case.answer.issuers[0], **{field: value})
    answer = msgspec.structs.replace(case.answer, issuers=[row, *case.answer.issuers[1:]])
    assert reason_of(case, answer) is Reason.BAD_PROOF


def test_a_row_left_out_or_given_twice_is_found() -> None:
    """An issuer cannot be hidden, nor shown twice."""
    case = signed()
    rows = case.answer.issuers
    for wrong in (rows[1:], [*rows, rows[0]]):
        answer = msgspec.structs.replace(case.answer, issuers=wrong)
        assert reason_of(case, answer) is Reason.BAD_PROOF


def test_roots_must_open_the_header() -> None:
    """Figures with roots of their own do not stand under the signed state root."""
    case = signed()
    reserves = [msgspec.structs.replace(item, supply=1) for item in reserves_of(case.world)]
    rows = [row_of(item) for item in reserves]
    data = bytes.fromhex(case.answer.roots)
    held = codec.decode_payload(data, StateRoots, size_max=len(data))
    own = msgspec.structs.replace(held, supply_root=supply_root(reserves))
    answer = msgspec.structs.replace(
        case.answer, issuers=rows, roots=codec.encode_payload(own).hex()
    )
    assert reason_of(case, answer) is Reason.BAD_PROOF


def reserves_of(world: World) -> list[Reserve]:
    return load_all(world.state, Reserve)


def test_a_header_that_nobody_signed_is_found() -> None:
    """No certificate, one of another header, one of another height."""
    case = signed()
    bare = msgspec.structs.replace(case.answer, certificate=None)
    assert reason_of(case, bare) is Reason.BAD_CERTIFICATE
    other = msgspec.structs.replace(case.answer.header, state_root="00" * 32)
    forged = msgspec.structs.replace(case.answer, header=other)
    assert reason_of(case, forged) is Reason.BAD_CERTIFICATE
    higher = msgspec.structs.replace(case.answer, height=2)
    assert reason_of(case, higher) is Reason.BAD_PROOF


def test_another_chain_is_found() -> None:
    """The header of a chain with another nonce."""
    case = signed()
    genesis = msgspec.structs.replace(case.world.genesis, nonce=bytes(32))
    with pytest.raises(Invalid) as caught:
        verify_reserve(case.answer, genesis)
    assert caught.value.reason is Reason.WRONG_CHAIN


@pytest.mark.parametrize(
    ("reserve", "deliverable", "status"),
    [(2, 2, "healthy"), (1, 2, "warn"), (2, 0, "warn"), (1, 0, "warn"), (2, 2, "caged")],
)
def test_status_follows_from_the_figures(reserve: int, deliverable: int, status: str) -> None:
    """At the margin and with nothing to deliver an issuer is warned of; caged it may be for good.
    No other status passes, and none of these is a deficit."""
    first, *rest = reserves_of(World())
    first = msgspec.structs.replace(
        first,
        reserve=first.supply * reserve,
        deliverable=first.supply * deliverable,
        solvency=Solvency[status.upper()],
    )
    case = signed([first, *rest])
    verify_reserve(case.answer, case.world.genesis)
    assert deficits(case.answer.issuers) == ([first.issuer] if status == "caged" else [])
    for other in {"healthy", "warn", "deficit"} - {status}:
        if status != "caged":
            row = msgspec.structs.replace(case.answer.issuers[0], status=other)
            answer = msgspec.structs.replace(case.answer, issuers=[row, *case.answer.issuers[1:]])
            assert reason_of(case, answer) is Reason.BAD_PROOF


def test_a_deficit_is_proved_and_listed() -> None:
    """More outstanding than reserve: the figures hold, and the issuer is named."""
    first, *rest = reserves_of(World())
    short = msgspec.structs.replace(first, reserve=first.supply - 1, solvency=Solvency.DEFICIT)
    case = signed([short, *rest])
    verify_reserve(case.answer, case.world.genesis)
    assert deficits(case.answer.issuers) == [short.issuer]
