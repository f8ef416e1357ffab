"""Bundles across steps of the standard: figures by new factors, and each step held to its rules."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from msgspec.structs import replace

from cli.verify_bundle import Report, verify
from cli.verify_bytes import Refused
from cli.verify_chain import Trust
from ledger.economy.reserve import Reserve
from ledger.economy.standard import PastStandard, Reference, Standard
from ledger.objects import key_of, load_all, load_one
from tests.cli.bundle_world import (
    bundle_of,
    genesis_text,
    lie,
    stepped,
    verified,
)
from tests.ledger.world import PERIOD_MS

Twist = Callable[[Standard], Standard]


def rules_of(data: bytes) -> str:
    """What is said of them, whether or not figures hold that follow from them."""
    report = Report()
    with suppress(Refused):
        verify(report, data, Trust.of(genesis_text(stepped())))
    return {item.what: item.found for item in report.checks}["rules"]


def test_a_bundle_across_steps_holds() -> None:
    """Figures are worked out by the factors in force, and every step is followed from genesis."""
    node = stepped()
    data = bundle_of(node)
    assert rules_of(data) == (
        "parameters and attestors are those of the genesis file, "
        "standard 3 follows from it by steps"
    )
    found = {item.asset: item.reserve for item in verified(data, genesis_text(node)).rows}
    assert found == {item.asset: item.reserve for item in load_all(node.chain, Reserve)}


def factor(standard: Standard, index: int, figure: int) -> Standard:
    items = list(standard.factors)
    items[index] = replace(items[index], factor=figure)
    return replace(standard, factors=tuple(items))


def units(standard: Standard, figure: int) -> Standard:
    return replace(standard, references=(standard.references[0], Reference("training", figure)))


@pytest.mark.parametrize(
    ("twist", "why"),
    [
        (lambda x: replace(x, version=4), "a version is missing"),
        (lambda x: units(x, 1_099), "a throughput falls"),
        (lambda x: replace(x, references=x.references[1:]), "a throughput falls"),
        (
            lambda x: replace(x, references=(*x.references, Reference("video", 5))),
            "workloads of factors and references differ",
        ),
        (lambda x: replace(x, factors=(*x.factors[1:], *x.factors[:1])), "a factor is missing"),
        (lambda x: units(x, 2_200), "does not follow from the throughput"),
        (lambda x: units(factor(x, 1, 454_546), 2_200), "falls too far"),
    ],
)
def test_a_standard_that_no_step_made_is_told(twist: Twist, why: str) -> None:
    """A quorum that writes another one into the state is found out, if reserves fit it or not."""
    node = stepped()
    standard = load_one(node.chain, Standard)
    told = rules_of(lie(node, {key_of(Standard): twist(standard)}))
    assert told.startswith("other than in the genesis file: standard (from version 2 to ")
    assert why in told


def test_a_version_begins_when_the_one_before_ends() -> None:
    """A moment between them is one without a standard."""
    node = stepped()
    standard = load_one(node.chain, Standard)
    late = replace(standard, since_ms=standard.since_ms + PERIOD_MS)
    assert "a version does not begin when" in rules_of(lie(node, {key_of(Standard): late}))
    past = load_all(node.chain, PastStandard)[1]
    for moved_ms, why in ((1, "within a period"), (-PERIOD_MS, "before the spacing was over")):
        moment = standard.since_ms + moved_ms
        changed = {
            key_of(Standard): replace(standard, since_ms=moment),
            key_of(PastStandard, past.identity): replace(past, until_ms=moment),
        }
        assert why in rules_of(lie(node, changed))


def test_another_beginning_is_told() -> None:
    """A first version that is not that of genesis."""
    node = stepped()
    first = load_all(node.chain, PastStandard)[0]
    other = replace(first, standard=units(first.standard, 999))
    spoiled = lie(node, {key_of(PastStandard, first.identity): other})
    assert rules_of(spoiled) == (
        "other than in the genesis file: standard (version 1 is not that of the genesis file)"
    )
