"""Figures, bands, bonds and licences follow from what was proved: a quorum that signs a state in
which they do not is found."""

from __future__ import annotations

from msgspec.structs import replace

from ledger import codec
from ledger.codec import AMOUNT_LIMIT, Wire
from ledger.economy.attestor import Attestor, AttestorGrant
from ledger.economy.bond import Bond
from ledger.economy.capacity import (
    MICROHOURS_MAX,
    Attestation,
    CapacityCommitment,
    CommitmentState,
    LowerFigure,
)
from ledger.economy.licence import Cause, Licence, LicenceState
from ledger.economy.reserve import Solvency
from ledger.economy.standard import FACTOR_MAX, Factor, Standard
from ledger.genesis import Genesis
from ledger.objects import LedgerClock, key_of, load, load_one
from tests.cli.bundle_world import (
    bundle_of,
    fault_of,
    genesis_text,
    lie,
    read,
    reserve_of,
    small,
    verified,
)
from tests.ledger.world import (
    DAY_MS,
    GROUPS,
    PERIOD_MS,
    TIME_MS,
    World,
    attest,
    key,
    make_genesis,
)
from tests.node.api.harness import Node


def test_a_quorum_that_lies_about_a_reserve_is_found() -> None:
    """All validators sign a state whose reserve, or what is due of it, is one unit off: proofs and
    signatures hold, and the figure does not follow from the commitments."""
    node, _, text = small()
    name, found = reserve_of(node, "val1")
    assert fault_of(lie(node, {}), text) == ""
    for wrong in (
        replace(found, reserve=found.reserve + 1),
        replace(found, reserve=found.reserve - 1),
        replace(found, deliverable=found.deliverable + 1),
        replace(found, deliverable=found.deliverable - 1),
    ):
        assert fault_of(lie(node, {name: wrong}), text) == "bad_figure"


def test_a_quorum_that_lies_about_a_band_is_found() -> None:
    """Figures say in which band a coin is, and attestations whether it is frozen; that a coin is
    caged no figure denies. Nothing happened after the ledger clock."""
    node, _, text = small()
    name, found = reserve_of(node, "val1")
    margin = found.reserve * 8 // 10
    later = load_one(node.chain, LedgerClock).time_ms + 1
    for right in (
        replace(found, supply=margin),
        replace(found, supply=margin + 1, solvency=Solvency.WARN),
        replace(found, supply=found.reserve, solvency=Solvency.WARN),
        replace(found, supply=found.reserve + 1, solvency=Solvency.DEFICIT),
        replace(found, solvency=Solvency.CAGED),
    ):
        assert fault_of(lie(node, {name: right}), text) == "", right
    for wrong in (
        replace(found, solvency=Solvency.WARN),
        replace(found, supply=margin + 1),
        replace(found, supply=found.reserve, solvency=Solvency.DEFICIT),
        replace(found, supply=found.reserve + 1, solvency=Solvency.WARN),
        replace(found, is_frozen=True),
        replace(found, since_ms=later),
        replace(found, period=later // PERIOD_MS + 1),
    ):
        assert fault_of(lie(node, {name: wrong}), text) == "bad_figure", wrong


def test_too_little_due_is_a_warning() -> None:
    """Hours that begin in eight days: covered, and nothing of it can be delivered in seven."""
    node, _, text = small()
    at, held = commitment_of(node, "val1")
    terms = replace(held.terms, from_ms=held.terms.from_ms + 8 * DAY_MS)
    name, found = reserve_of(node, "val1")
    worth = 22 * 1_440 * 900_001
    moved = replace(found, reserve=worth, deliverable=0)
    lies = {at: replace(held, terms=terms), name: replace(moved, solvency=Solvency.WARN)}
    report = verified(lie(node, lies), text)
    assert [row.band for row in report.rows] == ["healthy", "warn", "healthy", "healthy"]
    assert report.deficits == []
    assert fault_of(lie(node, lies | {name: moved}), text) == "bad_figure"


def test_no_hours_before_the_beginning_are_found() -> None:
    """Of a schedule that begins in eight days, one of three who vouch said: until tomorrow. The
    other two are heard from its beginning on, and a state that says more is refused."""
    node, _, text = small()
    at, held = commitment_of(node, "val1")
    name, found = reserve_of(node, "val1")
    terms = replace(held.terms, from_ms=held.terms.from_ms + 8 * DAY_MS)
    first, second, third = held.attestations
    early = replace(third, until_ms=TIME_MS + DAY_MS)
    moved = replace(held, terms=terms, attestations=(first, second, early))
    for days, code in ((22, ""), (29, "bad_figure")):
        worth = days * 1_440 * min(first.microhours, second.microhours)
        stands = replace(found, reserve=worth, deliverable=0, solvency=Solvency.WARN)
        assert fault_of(lie(node, {at: moved, name: stands}), text) == code, days


def test_only_who_is_heard_contradicts() -> None:
    """A lower figure freezes minting: not of an attestor that was removed, of a word that has faded
    or that is over; and a state that says otherwise is refused."""
    node, _, text = small()
    at, held = commitment_of(node, "val1")
    name, found = reserve_of(node, "val1")
    east, removed = attestor_of(node, "att-east")
    removed = replace(removed, is_active=False)
    ends_ms = (load_one(node.chain, LedgerClock).time_ms // PERIOD_MS + 1) * PERIOD_MS
    word = Attestation("att-east", 5, TIME_MS, ends_ms, (LowerFigure(5, TIME_MS),))
    for said, others, frozen in (
        (word, {}, True),
        (word, {east: removed}, False),
        (replace(word, since_ms=TIME_MS - 8 * DAY_MS), {}, False),
        (replace(word, until_ms=ends_ms - PERIOD_MS), {}, False),
    ):
        contradicted = replace(held, attestations=(said, *held.attestations))
        for stands in (True, False):
            reserve = replace(found, is_frozen=stands)
            lies = {at: contradicted, name: reserve, **others}
            code = "" if stands is frozen else "bad_figure"
            assert fault_of(lie(node, lies), text) == code, (said, others, stands)
        report = verified(lie(node, lies | {name: replace(found, is_frozen=frozen)}), text)
        assert [row.is_frozen for row in report.rows] == [False, frozen, False, False]


def commitment_of(node: Node, issuer: str) -> tuple[bytes, CapacityCommitment]:
    name = CapacityCommitment.identity(issuer, f"capacity-{issuer}")
    found = load(node.chain, CapacityCommitment, name)
    assert found is not None
    return key_of(CapacityCommitment, name), found


def attestor_of(node: Node, name: str) -> tuple[bytes, Attestor]:
    found = load(node.chain, Attestor, name.encode())
    assert found is not None
    return key_of(Attestor, name.encode()), found


def test_a_quorum_that_lies_about_capacity_is_found() -> None:
    """Commitments and attestations from which the reserve does not follow, or that no operation
    can have left."""
    node, _, text = small()
    name, found = commitment_of(node, "val1")
    first, second, third = found.attestations
    terms, late = found.terms, load_one(node.chain, LedgerClock).time_ms + 1
    foreign = replace(first, attestor="att-nobody")
    over = terms.microhours + 1
    at, west = attestor_of(node, "att-west")
    south = attestor_of(node, "att-south")[0]

    def said(*items: object) -> CapacityCommitment:
        return replace(found, attestations=items)

    def promised(**changes: object) -> CapacityCommitment:
        return replace(found, terms=replace(terms, **changes))

    cases: list[tuple[dict[bytes, Wire | None], str]] = [
        ({name: said(replace(first, microhours=over), second, third)}, "bad_attestation"),
        ({name: said(replace(first, since_ms=late), second, third)}, "bad_attestation"),
        ({name: said(replace(first, until_ms=terms.to_ms + 1), second, third)}, "bad_attestation"),
        ({name: said(replace(first, lower=(LowerFigure(over, 0),)), second)}, "bad_attestation"),
        ({name: said(replace(first, lower=(LowerFigure(0, late),)), second)}, "bad_attestation"),
        ({name: said(foreign, second, third)}, "bad_attestation"),
        ({name: said(second, first, third)}, "bad_attestation"),
        ({name: said(first, first, second, third)}, "bad_attestation"),
        ({name: said(first, second)}, "bad_figure"),
        ({name: said(first, second, replace(third, microhours=900_000))}, "bad_figure"),
        ({name: said(first, second, replace(third, since_ms=0))}, "bad_figure"),
        ({name: said(first, second, replace(third, until_ms=terms.to_ms - DAY_MS))}, "bad_figure"),
        ({name: said(first, second, replace(third, lower=(LowerFigure(0, 0),)))}, "bad_figure"),
        ({name: replace(found, devices=53)}, "bad_figure"),
        ({name: replace(found, state=CommitmentState.PROPOSED)}, "bad_figure"),
        ({name: replace(found, state=CommitmentState.VOID)}, "bad_figure"),
        ({name: promised(workloads=("mining",))}, "bad_object"),
        ({name: promised(workloads=("inference",))}, "bad_figure"),
        ({name: promised(to_ms=terms.to_ms - PERIOD_MS)}, "bad_attestation"),
        ({name: promised(id="other")}, "bad_object"),
        ({name: None}, "bad_figure"),
        ({key_of(CapacityCommitment, b"twice"): found}, "bad_object"),
        ({at: replace(west, is_active=False)}, "bad_figure"),
        ({at: replace(west, grant=replace(west.grant, group="south"))}, "bad_figure"),
        ({at: None}, "bad_attestation"),
        ({south: west}, "bad_object"),
        ({key_of(Licence, b"val1"): None}, "bad_object"),
    ]
    for changed_objects, code in cases:
        assert fault_of(lie(node, changed_objects), text) == code, changed_objects


def test_hours_that_were_delivered_are_no_part_of_the_reserve() -> None:
    """Of the present period, at most as many as count in it; those of a past one left with it, and
    nothing was delivered in one to come."""
    node, _, text = small()
    at, held = commitment_of(node, "val1")
    where, found = reserve_of(node, "val1")
    period = load_one(node.chain, LedgerClock).time_ms // PERIOD_MS
    counts = sorted(item.microhours for item in held.attestations)[-2]
    for when, delivered, gone in (
        (period, 1, 1),
        (period, 700_000, 700_000),
        (period, counts, counts),
        (period, counts + 1, counts),
        (period - 1, 700_000, 0),
        (0, 700_000, 0),
    ):
        served = replace(held, delivered_in=when, delivered=delivered)
        for said, code in ((gone, ""), (gone + 1, "bad_figure"), (gone - 1, "bad_figure")):
            less = replace(
                found, reserve=found.reserve - said, deliverable=found.deliverable - said
            )
            assert fault_of(lie(node, {at: served, where: less}), text) == code, (when, said)
    ahead = replace(held, delivered_in=period + 1, delivered=0)
    assert fault_of(lie(node, {at: ahead}), text) == "bad_object"
    later = replace(held.terms, from_ms=held.terms.from_ms + 8 * DAY_MS)
    served = replace(held, terms=later, delivered_in=period, delivered=5)
    worth = replace(found, reserve=22 * 1_440 * counts, deliverable=0, solvency=Solvency.WARN)
    assert fault_of(lie(node, {at: served, where: worth}), text) == ""


def test_claims_are_shown_and_take_the_headroom() -> None:
    """They are no part of what is outstanding. What uncovered coins bring is less than they are."""
    node, _, text = small()
    where, found = reserve_of(node, "val1")
    claimed = replace(found, residual=7)
    rows = verified(lie(node, {where: claimed}), text).rows
    before = verified(lie(node, {}), text).rows
    assert [row.residual for row in rows] == [0, 7, 0, 0]
    assert rows[1].outstanding == before[1].outstanding
    assert rows[1].limit == before[1].limit - 7
    for shares, code in (
        ((5, 6), ""),
        ((0, 6), ""),
        ((6, 6), "bad_figure"),
        ((5, 0), "bad_figure"),
    ):
        share = replace(found, batch_reserve=shares[0], batch_supply=shares[1])
        assert fault_of(lie(node, {where: share}), text) == code, shares


def test_a_reserve_beyond_any_amount_is_the_largest_amount() -> None:
    """Hours so many and so precious that their worth is no amount: the state can say no more, and
    what it says holds."""
    node, _, text = small()
    at, held = commitment_of(node, "val1")
    most = MICROHOURS_MAX
    words = tuple(replace(item, microhours=most) for item in held.attestations)
    terms = replace(held.terms, microhours=most, device_class="vast", workloads=("inference",))
    standard = load_one(node.chain, Standard)
    vast = Factor("vast", "inference", FACTOR_MAX)
    where, found = reserve_of(node, "val1")
    full = replace(found, reserve=AMOUNT_LIMIT - 1, deliverable=AMOUNT_LIMIT - 1)
    changed: dict[bytes, Wire] = {
        key_of(Standard): replace(standard, factors=(*standard.factors, vast)),
        at: replace(held, terms=terms, devices=1 << 40, attestations=words),
    }
    assert fault_of(lie(node, changed | {where: full}), text) == ""
    less = replace(full, reserve=AMOUNT_LIMIT - 2)
    assert fault_of(lie(node, changed | {where: less}), text) == "bad_figure"


def test_contested_hours_still_count() -> None:
    """Until a panel has decided: the figures are the same, the row says so."""
    node, _, text = small()
    name, found = commitment_of(node, "val1")
    contested = replace(found, state=CommitmentState.CONTESTED)
    rows = verified(lie(node, {name: contested}), text).rows
    assert [row.contested for row in rows] == [0, 1, 0, 0]


def test_the_bond_is_worked_out_from_its_coins() -> None:
    """Coins of an issuer in deficit, caged, suspended or expired do not count, those of one issuer
    for half at most; a bond that is too small is shown and is no deficit."""
    node, _, text = small()
    at, other = reserve_of(node, "val2")
    _, held = reserve_of(node, "val0")
    part_at = key_of(Bond, Bond.identity("val0", other.asset))
    part = load(node.chain, Bond, Bond.identity("val0", other.asset))
    licence_at = key_of(Licence, b"val2")
    licence = load(node.chain, Licence, b"val2")
    assert part is not None
    assert licence is not None
    needed = -(-held.supply // 10)
    half = -(-needed // 2)
    suspended = replace(licence, state=LicenceState.SUSPENDED, cause=Cause.VALIDATORS)
    expired = replace(licence, grant=replace(licence.grant, expires_ms=TIME_MS))
    deficit = replace(other, supply=other.reserve + 1, solvency=Solvency.DEFICIT)
    lies: list[tuple[dict[bytes, Wire | None], int]] = [
        ({}, needed),
        ({part_at: replace(part, amount=10**15)}, needed),
        ({part_at: replace(part, amount=half - 1)}, needed - 1),
        ({part_at: None}, half),
        ({at: deficit}, half),
        ({at: replace(other, solvency=Solvency.CAGED)}, half),
        ({licence_at: replace(suspended, since_ms=TIME_MS)}, half),
        ({licence_at: expired}, half),
        ({licence_at: replace(licence, state=LicenceState.ACCUSED)}, needed),
        ({licence_at: replace(suspended, since_ms=TIME_MS - 181 * DAY_MS)}, needed),
    ]
    for changed_objects, worth in lies:
        row = verified(lie(node, changed_objects), text).rows[0]
        assert (row.bond_required, row.bond_worth) == (needed, worth), changed_objects
    own = Bond("val0", held.asset, 1)
    unknown = Bond("val0", bytes(32), 1)
    nobody = Bond("nobody", held.asset, 1)
    for wrong in (own, unknown, nobody):
        lied = lie(node, {key_of(Bond, Bond.identity(wrong.issuer, wrong.asset)): wrong})
        assert fault_of(lied, text) == "bad_object"


def test_a_licence_stands_as_its_deadlines_say() -> None:
    """At the ledger clock, whatever is written down."""
    node, _, text = small()
    name = key_of(Licence, b"val1")
    licence = load(node.chain, Licence, b"val1")
    assert licence is not None
    expired = replace(licence.grant, expires_ms=TIME_MS)
    ended = replace(licence, state=LicenceState.SUSPENDED, since_ms=TIME_MS - 181 * DAY_MS)
    for held, state in (
        (licence, "active"),
        (replace(licence, grant=expired), "winddown"),
        (replace(licence, state=LicenceState.ACCUSED), "accused"),
        (replace(ended, since_ms=TIME_MS, cause=Cause.BOND), "suspended"),
        (replace(ended, cause=Cause.REGULATOR), "active"),
        (replace(ended, cause=Cause.VALIDATORS, grant=expired), "winddown"),
        (replace(ended, cause=Cause.EVIDENCE), "revoked"),
        (replace(ended, cause=Cause.BOND), "revoked"),
        (replace(licence, state=LicenceState.CLOSED), "closed"),
        (replace(licence, state=LicenceState.APPLIED), "applied"),
        (replace(ended, state=LicenceState.APPLIED), "lapsed"),
    ):
        assert verified(lie(node, {name: held}), text).rows[1].licence == state


def test_a_deficit_past_its_cure_is_caged() -> None:
    """As of the ledger clock, though nothing has written it down yet."""
    node, _, text = small()
    name, found = reserve_of(node, "val1")
    short = replace(found, supply=found.reserve + 1, solvency=Solvency.DEFICIT)
    for since_ms, band in ((TIME_MS, "deficit"), (TIME_MS - 7 * DAY_MS, "caged")):
        report = verified(lie(node, {name: replace(short, since_ms=since_ms)}), text)
        assert (report.rows[1].band, report.deficits) == (band, ["val1"])


def test_changed_rules_are_told() -> None:
    """An attestor that joined after genesis vouches for nothing: the figures hold, and the report
    says that attestors are others; nothing else does. A strike changes no rule."""
    node, data, text = small()
    told = {item.what: item.found for item in verified(data, text).checks}["rules"]
    assert told == "parameters, standard and attestors are those of the genesis file"
    granted = AttestorGrant("att-new", "Lab new", "new", key("attestor/att-new").public)
    joined = Attestor(granted, True, 1, 0)
    spoiled = lie(node, {key_of(Attestor, b"att-new"): joined})
    told = {item.what: item.found for item in verified(spoiled, text).checks}["rules"]
    assert told == "other than in the genesis file: attestor"
    at, west = attestor_of(node, "att-west")
    struck = lie(node, {at: west.struck()})
    told = {item.what: item.found for item in verified(struck, text).checks}["rules"]
    assert told == "parameters, standard and attestors are those of the genesis file"


def test_lines_that_are_not_of_the_reserves_are_found() -> None:
    """A reserve under another issuer's asset, and a line left out of the supply."""
    node, data, text = small()
    name, found = reserve_of(node, "val1")
    second, held = reserve_of(node, "val2")
    other = replace(found, issuer="val2")
    assert fault_of(lie(node, {name: other}), text) == "bad_supply"
    exchanged = {name: other, second: replace(held, issuer="val1")}
    assert fault_of(lie(node, exchanged), text) == "bad_supply"
    for lines in (
        lambda them: them[1:],
        lambda them: them[::-1],
        lambda them: [*them, them[-1]],
        lambda them: [replace(them[0], coverage_ppm=them[0].coverage_ppm + 1), *them[1:]],
        lambda them: [replace(them[0], supply=them[0].supply + 1), *them[1:]],
    ):
        assert fault_of(lie(node, {}, lines=lines), text) == "bad_supply"
    bundle = read(data)
    for supply in (bundle.supply[1:], bundle.supply[::-1], (*bundle.supply, bundle.supply[0])):
        assert fault_of(codec.encode(replace(bundle, supply=supply)), text) == "bad_supply"


def test_a_deficit_is_proved_and_named() -> None:
    """More outstanding than reserve: the bundle holds, and the issuer is in deficit."""
    node, _, text = small()
    name, found = reserve_of(node, "val1")
    short = replace(found, supply=found.reserve + 1, solvency=Solvency.DEFICIT)
    assert verified(lie(node, {name: short}), text).deficits == ["val1"]


def test_figures_hold_where_a_week_is_no_number_of_periods() -> None:
    """What is due are whole periods from the present one on, at any moment within it."""
    week_ms = 7 * DAY_MS
    period_ms = next(
        length
        for length in range(PERIOD_MS + 1_000, DAY_MS, 1_000)
        if 0 < length - week_ms % length - TIME_MS % length <= 10_000
    )
    node = Node(World(replace_period(make_genesis(), period_ms)))
    for _ in range(20):
        node.decide([])
    clock_ms = load_one(node.chain, LedgerClock).time_ms
    assert clock_ms // period_ms == TIME_MS // period_ms
    assert (clock_ms + week_ms) // period_ms == (TIME_MS + week_ms) // period_ms + 1
    assert fault_of(bundle_of(node), genesis_text(node)) == ""
    name, found = reserve_of(node, "val1")
    whole = found.deliverable // (week_ms // period_ms)
    wrong = replace(found, deliverable=found.deliverable + whole)
    assert fault_of(lie(node, {name: wrong}), genesis_text(node)) == "bad_figure"


def replace_period(genesis: Genesis, period_ms: int) -> Genesis:
    """The same capacity over whole periods of another length; attested anew."""
    first = TIME_MS // period_ms * period_ms
    figures = {f"att-{group}": 900_000 + index for index, group in enumerate(GROUPS)}
    commitments = [
        attest(
            genesis.nonce,
            replace(
                item, terms=replace(item.terms, from_ms=first, to_ms=first + 5_000 * period_ms)
            ),
            figures,
        )
        for item in genesis.commitments
    ]
    return replace(
        genesis,
        parameters=replace(genesis.parameters, period_ms=period_ms),
        commitments=tuple(commitments),
    )
