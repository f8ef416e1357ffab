"""How every issuer stands, worked out again from the objects that were proved.

- R and what is due follow from commitments (`cli.verify_hours`);
- a coin is healthy while outstanding is within the reserve less the margin and enough of it is due,
  in deficit above the reserve, and warned of in between; a deficit that was not cured is caged, and
  what is caged stays so;
- coins that are not covered bring a share of R, less than themselves, in the periods that began so;
- a licence stands as its deadlines say at the ledger clock;
- a bond is required in proportion to what is outstanding; coins count in it while their own issuer
  is active and not in deficit, those of one issuer for at most half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cli.verify_bytes import Fault, Refused, digest, named
from cli.verify_chain import Trust
from cli.verify_hours import CONTESTED, PPM, Book, Objects, counts
from cli.verify_layouts import BOND, COMMITMENT, LICENCE, RESERVE, SUPPLY_LINE

RATIO_PPM_MAX = 1_000_000_000
COIN_KIND = bytes(1)
NO_WINDOW = bytes(8)

HEALTHY, WARN, DEFICIT, CAGED = 1, 2, 3, 4
BANDS: Final = {HEALTHY: "healthy", WARN: "warn", DEFICIT: "deficit", CAGED: "caged"}
STATES: Final = {
    1: "active",
    2: "accused",
    3: "suspended",
    4: "revoked",
    5: "applied",
    6: "winddown",
    7: "closed",
}
CAUSES_THAT_END: Final = (3, 4)
"""Suspended for evidence or for its bond, a licence ends; for another cause it goes on."""


@dataclass(frozen=True, slots=True)
class BondPart:
    """Coins of one other issuer in a bond."""

    issuer: str
    amount: int
    counts: bool


@dataclass(frozen=True, slots=True)
class Row:
    """What was found about one issuer, as of the ledger clock; amounts in µ, ages and times on
    that clock."""

    issuer: str
    asset: bytes
    band: str
    licence: str
    outstanding: int
    reserve: int
    due: int
    residual: int
    """Claims for coins that were redeemed while nothing covered a part of them; they are no part of
    what is outstanding, and turn into coins again once all are covered."""
    limit: int
    """Outstanding may be minted up to here: the reserve less the margin and the claims."""
    coverage_ppm: int
    deliverability_ppm: int
    is_frozen: bool
    """Attestations contradict each other: nothing is minted meanwhile."""
    minted: int
    """In the present period."""
    mint_cap: int
    """The most that may be minted in a period."""
    bond_required: int
    bond_worth: int
    bond: tuple[BondPart, ...]
    commitments: int
    """That count for something now or later."""
    contested: int
    oldest_ms: int | None
    """Age of the oldest attestation that is counted on; None where none is."""
    newest_ms: int | None
    until_ms: int | None
    """When the last of the hours that count ends."""

    @property
    def is_sound(self) -> bool:
        """Whether it is neither in deficit nor caged."""
        return self.band in (BANDS[HEALTHY], BANDS[WARN])


def check_figures(objects: Objects, supply: list[Any], trust: Trust) -> list[Row]:
    """Supply lines, reserves, licences, commitments and bonds agree, and figures and bands are
    what the chain says; a row for each issuer, by name. Raises Refused."""
    book = Book.of(objects)
    reserves = [named(RESERVE, item) for item in objects[RESERVE.name]]
    licences = {item[0][0]: named(LICENCE, item) for item in objects[LICENCE.name]}
    committed: dict[str, list[Any]] = {item.issuer: [] for item in reserves}
    for issuer in committed:
        if issuer not in licences:
            raise Refused(Fault.BAD_OBJECT, f"the licence of issuer '{issuer}' is missing")
    if len(reserves) != len(supply) or len(committed) != len(supply):
        detail = f"{len(supply)} supply lines, reserves of {len(committed)} issuers"
        raise Refused(Fault.BAD_SUPPLY, detail)
    for value in objects[COMMITMENT.name]:
        item = named(COMMITMENT, value)
        issuer, name = item.terms.issuer, item.terms.id
        if issuer not in committed:
            raise Refused(Fault.BAD_OBJECT, f"commitment '{name}': no issuer '{issuer}'")
        committed[issuer].append(item)
    for reserve, value in zip(reserves, supply, strict=True):
        _check_line(reserve, named(SUPPLY_LINE, value), trust)
        _check_hours(book, reserve, committed[reserve.issuer])
        _check_band(book, reserve)
    bonds = _bonds(objects, reserves)
    sound = {
        item.asset: item.issuer
        for item in reserves
        if band_of(book, item) in (HEALTHY, WARN) and is_active(book, licences[item.issuer])
    }
    rows = [
        _row(book, item, licences[item.issuer], committed[item.issuer], bonds, sound)
        for item in reserves
    ]
    return sorted(rows, key=lambda row: row.issuer)


def asset_of(chain_id: bytes, issuer: str) -> bytes:
    """The id of an issuer's coin."""
    return digest("asset", chain_id, issuer.encode("ascii"), COIN_KIND, NO_WINDOW)


def band_of(book: Book, reserve: Any) -> int:
    """As of the ledger clock: a deficit past its cure is caged, written down or not."""
    ends_ms: int = reserve.since_ms + book.parameters.economy.cure_ms
    if reserve.solvency == DEFICIT and book.clock_ms > ends_ms:
        return CAGED
    band: int = reserve.solvency
    return band


def is_active(book: Book, licence: Any) -> bool:
    """Whether coins of this issuer count for somebody else's obligations."""
    held = licence_state(book, licence)
    return held in ("active", "accused") and book.clock_ms <= licence.grant.expires_ms


def licence_state(book: Book, licence: Any) -> str:
    """As of the ledger clock: applications lapse, suspensions end, grants expire."""
    economy, state, clock_ms = book.parameters.economy, STATES[licence.state], book.clock_ms
    if state == "applied" and clock_ms > licence.since_ms + economy.application_ms:
        return "lapsed"
    if state == "suspended" and clock_ms > licence.since_ms + economy.suspension_ms:
        state = "revoked" if licence.cause in CAUSES_THAT_END else "active"
    if state == "active" and clock_ms > licence.grant.expires_ms:
        state = "winddown"
    return state


def _check_line(reserve: Any, line: Any, trust: Trust) -> None:
    where = f"issuer '{reserve.issuer}'"
    if reserve.asset != asset_of(trust.chain_id, reserve.issuer):
        raise Refused(Fault.BAD_SUPPLY, f"{where} has another asset")
    expected = (
        reserve.asset,
        reserve.supply,
        reserve.reserve,
        _ratio(reserve.reserve, reserve.supply),
        _ratio(reserve.deliverable, reserve.supply),
    )
    names = (line.asset, line.supply, line.reserve, line.coverage_ppm, line.deliverability_ppm)
    if names != expected:
        raise Refused(Fault.BAD_SUPPLY, f"{where}: the supply line is not that of the reserve")


def _check_hours(book: Book, reserve: Any, items: list[Any]) -> None:
    where = f"issuer '{reserve.issuer}'"
    for what, said, found in (
        ("reserve", reserve.reserve, book.total(items)),
        ("due in 7 d", reserve.deliverable, book.total(items, book.due_end)),
    ):
        if said != found:
            raise Refused(Fault.BAD_FIGURE, f"{where}: {what} {said} µ, worked out {found} µ")
    is_frozen = any(_is_contradicted(book, item) for item in items)
    if reserve.is_frozen is not is_frozen:
        raise Refused(Fault.BAD_FIGURE, f"{where}: frozen {reserve.is_frozen}, not {is_frozen}")


def _is_contradicted(book: Book, item: Any) -> bool:
    """Whether somebody who is heard says less than counts."""
    return counts(item) and any(entry.lower and book.hears(entry) for entry in item.attestations)


def _check_band(book: Book, reserve: Any) -> None:
    """The band is what the figures say, or caged: that no figure ends."""
    where, economy = f"issuer '{reserve.issuer}'", book.parameters.economy
    if reserve.supply > reserve.reserve:
        band = DEFICIT
    elif reserve.supply > _limit(book, reserve) or (
        reserve.deliverable * PPM < reserve.supply * economy.deliverability_ppm
    ):
        band = WARN
    else:
        band = HEALTHY
    if reserve.solvency not in (band, CAGED):
        detail = f"{BANDS[reserve.solvency]}, its figures say {BANDS[band]}"
        raise Refused(Fault.BAD_FIGURE, f"{where}: {detail}")
    if 0 < reserve.batch_supply <= reserve.batch_reserve or (
        reserve.batch_reserve and not reserve.batch_supply
    ):
        detail = f"{reserve.batch_reserve} µ for {reserve.batch_supply} µ of coins not covered"
        raise Refused(Fault.BAD_FIGURE, f"{where}: {detail}")
    if reserve.since_ms > book.clock_ms or reserve.period > book.period:
        raise Refused(Fault.BAD_FIGURE, f"{where}: later than the ledger clock")


def _bonds(objects: Objects, reserves: list[Any]) -> dict[str, list[Any]]:
    """By issuer; raises Refused for one of nobody, in no coin or in one's own."""
    coins = {item.asset: item.issuer for item in reserves}
    bonds: dict[str, list[Any]] = {item.issuer: [] for item in reserves}
    for value in objects[BOND.name]:
        item = named(BOND, value)
        if item.issuer not in bonds or coins.get(item.asset) in (None, item.issuer):
            detail = f"bond of '{item.issuer}' in {item.asset.hex()}"
            raise Refused(Fault.BAD_OBJECT, f"{detail}: no issuer, or no coin of another")
        item.coin = coins[item.asset]
        bonds[item.issuer].append(item)
    return bonds


def _row(
    book: Book,
    reserve: Any,
    licence: Any,
    items: list[Any],
    bonds: dict[str, list[Any]],
    sound: dict[bytes, str],
) -> Row:
    required = -(-reserve.supply * book.parameters.economy.bond_ppm // PPM)
    half = -(-required // 2)
    put_up = bonds[reserve.issuer]
    ahead = {item.terms.id: book.ahead(item) for item in items}
    parts = [part for found in ahead.values() for part in found]
    ages = [book.clock_ms - entry.since_ms for part in parts for entry in part.counted]
    return Row(
        issuer=reserve.issuer,
        asset=reserve.asset,
        band=BANDS[band_of(book, reserve)],
        licence=licence_state(book, licence),
        outstanding=reserve.supply,
        reserve=reserve.reserve,
        due=reserve.deliverable,
        residual=reserve.residual,
        limit=max(0, _limit(book, reserve) - reserve.residual),
        coverage_ppm=_ratio(reserve.reserve, reserve.supply),
        deliverability_ppm=_ratio(reserve.deliverable, reserve.supply),
        is_frozen=any(_is_contradicted(book, item) for item in items),
        minted=reserve.minted if reserve.period == book.period else 0,
        mint_cap=_mint_cap(book, reserve),
        bond_required=required,
        bond_worth=sum(min(item.amount, half) for item in put_up if item.asset in sound),
        bond=tuple(BondPart(item.coin, item.amount, item.asset in sound) for item in put_up),
        commitments=sum(1 for found in ahead.values() if found),
        contested=sum(1 for item in items if item.state == CONTESTED),
        oldest_ms=max(ages, default=None),
        newest_ms=min(ages, default=None),
        until_ms=max((part.end for part in parts), default=0) * book.parameters.period_ms or None,
    )


def _limit(book: Book, reserve: Any) -> int:
    limit: int = reserve.reserve * (PPM - book.parameters.margin_ppm) // PPM
    return limit


def _mint_cap(book: Book, reserve: Any) -> int:
    """A share of R, less of it while what is due lies between the least share and twice that."""
    economy = book.parameters.economy
    cap: int = reserve.reserve * economy.mint_cap_ppm // PPM
    least = reserve.supply * economy.deliverability_ppm
    spare = reserve.deliverable * PPM - least
    return cap if spare >= least else max(0, cap * spare // least)


def _ratio(part: int, whole: int) -> int:
    return min(part * PPM // whole, RATIO_PPM_MAX) if whole else RATIO_PPM_MAX
