"""`marsa bench catchup`: its parts by figures; the whole is run by hand against a devnet."""

from __future__ import annotations

import os

import pytest

from cli import bench_target
from cli.bench_catchup import Bench, CatchUp, Figures, Look, caught_up, rate, transactions_between
from cli.bench_load import Record
from cli.devnet.state import DevnetNode
from cli.errors import CliError
from node.api.schemas import BlockSummary, Page
from tests.cli.conftest import Marsa

FIGURES = Figures(
    node="val3",
    peak_tps=1_000.0,
    quiet=CatchUp(seconds=5.0, blocks=100, transactions=20_000),
    busy=CatchUp(seconds=20.0, blocks=150, transactions=40_000),
    before_tps=900.0,
    meanwhile_tps=810.0,
)


def summary(height: int) -> BlockSummary:
    return BlockSummary(
        height=height,
        hash="00" * 32,
        time_ms=0,
        time="",
        proposer="acme",
        transactions=height,
        view=0,
        signers=[],
    )


@pytest.mark.parametrize(
    ("low", "high", "count"), [(0, 9, 45), (3, 7, 4 + 5 + 6 + 7), (8, 9, 9), (9, 9, 0)]
)
def test_transactions_between_two_heights(low: int, high: int, count: int) -> None:
    """Blocks of as many transactions as their height, in pages of four from the newest down; no
    page is read that begins below."""
    read: list[int] = []

    def fetch(cursor: str | None) -> Page[BlockSummary]:
        top = 9 if cursor is None else int(cursor)
        read.append(top)
        heights = range(top, max(top - 4, -1), -1)
        more = str(top - 4) if top >= 4 else None
        return Page(items=[summary(height) for height in heights], next_cursor=more)

    assert transactions_between(fetch, low, high) == count
    assert all(top >= low for top in read)


def test_a_rate_is_of_its_time_alone() -> None:
    """What is final from the beginning to before the end; nothing measured is an error."""
    record = Record(0.0, 10.0, [(0.0, at) for at in (1.0, 2.0, 2.5, 3.9, 4.0)], [])
    assert rate(record, 2.0, 4.0) == 1.5
    for begin_s, end_s in ((5.0, 9.0), (4.0, 2.0), (2.0, 2.0)):
        with pytest.raises(CliError) as caught:
            rate(record, begin_s, end_s)
        assert caught.value.code == "nothing_measured"


def test_figures_say_what_they_are_of() -> None:
    """The ratio is of the quiet round, what is kept of the busy one."""
    assert (FIGURES.ratio, FIGURES.kept) == (4.0, 0.9)
    assert (FIGURES.quiet.tps, FIGURES.quiet.blocks_a_second) == (4_000.0, 20.0)


def test_both_forms_of_the_answer(monkeypatch: pytest.MonkeyPatch, marsa: Marsa) -> None:
    """JSON has every figure; the text has those that are asked about."""
    monkeypatch.setattr(bench_target, "find", lambda given: None)
    loads = iter([(0.5, 0, 0), (1.5, 0, 0)] * 2)
    monkeypatch.setattr(os, "getloadavg", lambda: next(loads))
    monkeypatch.setattr(Bench, "__init__", lambda self, target, seconds, accounts: None)
    monkeypatch.setattr(Bench, "measure", lambda self: FIGURES)
    found = marsa("bench", "catchup", "--json").json
    assert found["schema"] == "marsa.bench.catchup/1"
    assert (found["ratio"], found["kept"], found["quiet"]["tps"]) == (4.0, 0.9, 4_000.0)
    assert found["busy"]["blocks"] == 150
    assert found["load_average"] == [0.5, 1.5]
    text = marsa("bench", "catchup").out
    assert "4,000 tx/s, 20 blocks/s: 20,000 transfers in 100 blocks, 5.0 s" in text
    assert "810 tx/s meanwhile, 900 before: 90%" in text
    assert "0.50 before, 1.50 after" in text


def test_caught_up_before_the_first_answer_is_no_figure() -> None:
    """There is no time to divide by: it says what to do."""
    node = DevnetNode("val3", "delta", None, "", "", "")
    with pytest.raises(CliError) as caught:
        caught_up(node, [Look(1.0, 7), Look(2.0, 7)], "http://127.0.0.1:1")
    assert caught.value.code == "nothing_measured"
