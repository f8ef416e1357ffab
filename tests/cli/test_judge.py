"""The judge over histories that are good, and over each way in which one can be bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import pytest

from cli.devnet import history
from cli.devnet.chaos_plan import SOFT, Fault, Schedule, Step, draw
from cli.devnet.history import Balance, Happening, History, Look, Pay, Record, Tip
from cli.devnet.judge import (
    RECOVERY_MS_MAX,
    STALL_MS_MAX,
    Block,
    End,
    NodeEnd,
    Paid,
    Rule,
    Verdict,
    calm_ms,
    judge,
    told_final,
)

NODES = ("val0", "val1", "val2", "val3")
ALICE, BOB, FAUCET = b"a" * 32, b"b" * 32, b"f" * 32
LENGTH_MS = 20_000


def chain() -> list[Block]:
    """Alice gets two coins of 100; one goes to Bob for a fee of 1, then back."""
    return [
        Block("b0", "r0"),
        Block(
            "b1", "r1", (Paid("fund", ("old:0",), ((ALICE, 100), (ALICE, 100), (FAUCET, 7)), 2),)
        ),
        Block("b2", "r2", (Paid("one", ("fund:0",), ((BOB, 99),), 1),)),
        Block("b3", "r3", (Paid("two", ("one:0",), ((ALICE, 98),), 1),)),
    ]


def end_of(blocks: Sequence[Block], told: Mapping[str, int | None] | None = None) -> End:
    final = {"one": 2, "two": 3} if told is None else told
    headers = tuple((block.block, block.state_root) for block in blocks)
    return End(
        chain=blocks,
        chain_fault="",
        nodes=[NodeEnd(name=name, first=0, headers=headers, final=final) for name in NODES],
        locks=(ALICE, BOB),
        funding="fund",
        unsettled=(),
        healed_ms=LENGTH_MS,
        recovered_ms=LENGTH_MS + 500,
        complaints=(),
    )


def schedule(*steps: Step, length_ms: int = LENGTH_MS) -> Schedule:
    return Schedule(seed=1, length_ms=length_ms, hard=False, limit=1, steps=steps)


def pay(txid: str, spends: str, at: int) -> Pay:
    return Pay(
        node="val0", start_ms=at, end_ms=at + 5, client=0, txid=txid, spends=spends, outcome="new"
    )


def final(txid: str, height: int, at: int, node: str = "val1") -> Look:
    return Look(
        node=node,
        start_ms=at,
        end_ms=at + 5,
        txid=txid,
        outcome="final",
        height=height,
        block=f"b{height}",
    )


def not_final(txid: str, outcome: history.Found, at: int, node: str = "val1") -> Look:
    return Look(node=node, start_ms=at, end_ms=at + 5, txid=txid, outcome=outcome)


def tip(height: int, at: int, node: str = "val2") -> Tip:
    block, root = f"b{height}", f"r{height}"
    return Tip(node=node, start_ms=at, end_ms=at + 5, height=height, block=block, state_root=root)


def balance(client: int, height: int, amount: int) -> Balance:
    return Balance(node="val3", start_ms=9, end_ms=10, client=client, height=height, amount=amount)


def good() -> list[Record]:
    return [
        tip(1, 0),
        pay("one", "fund:0", 100),
        not_final("one", "pending", 106),
        final("one", 2, 120),
        not_final("one", "unknown", 130, "val3"),  # it is behind, and never said otherwise
        balance(0, 2, 100),
        balance(1, 2, 99),
        not_final("one", "lost", 140),
        tip(2, 150),
        pay("two", "one:0", 160),
        pay("rival", "one:0", 160),
        not_final("rival", "rejected", 170),
        final("two", 3, 180),
        final("two", 3, 190, "val3"),
        tip(3, 200),
    ]


def broken(verdict: Verdict) -> set[Rule]:
    return {finding.rule for finding in verdict.findings}


def test_good_history() -> None:
    """Everything that may happen to honest clients of honest nodes: the verdict is clean."""
    verdict = judge(good(), schedule(), end_of(chain()))
    assert verdict.findings == ()
    assert verdict.is_clean
    assert verdict.is_safe
    assert told_final(good()) == ["one", "two"]


@dataclass
class Case:
    """One lie in an otherwise good history, and the rule that it breaks."""

    rule: Rule
    records: Callable[[list[Record]], list[Record]] = lambda records: records
    end: Callable[[End], End] = lambda end: end
    says: Sequence[str] = field(default_factory=tuple)


def with_node(end: End, **changes: object) -> End:
    node = replace(end.nodes[2], **changes)  # type: ignore[arg-type]
    return replace(end, nodes=[*end.nodes[:2], node, *end.nodes[3:]])


def with_headers(end: End, *headers: tuple[str, str]) -> End:
    return with_node(end, headers=headers)


HEADERS = tuple((block.block, block.state_root) for block in chain())

CASES = {
    "another block": Case(
        Rule.AGREEMENT, end=lambda end: with_headers(end, *HEADERS[:2], ("x", "r2"), HEADERS[3])
    ),
    "another root": Case(
        Rule.AGREEMENT, end=lambda end: with_headers(end, *HEADERS[:2], ("b2", "x"), HEADERS[3])
    ),
    "one behind": Case(Rule.AGREEMENT, end=lambda end: with_headers(end, *HEADERS[:3])),
    "no answer": Case(Rule.AGREEMENT, end=lambda end: with_headers(end)),
    "invalid": Case(
        Rule.VALIDITY, end=lambda end: replace(end, chain_fault="height 2: bad_certificate")
    ),
    "final, not there": Case(
        Rule.FINALITY, records=lambda records: [*records, final("ghost", 3, 300)], says=("ghost",)
    ),
    "final elsewhere": Case(
        Rule.FINALITY, records=lambda records: [*records, final("one", 3, 300)], says=("at 3",)
    ),
    "final without proof": Case(
        Rule.FINALITY,
        records=lambda records: [*records, msgspec.structs.replace(final("one", 2, 3), block="")],
    ),
    "not on all": Case(
        Rule.FINALITY, end=lambda end: with_node(end, final={"one": 2, "two": None}), says=("val2",)
    ),
    "twice": Case(
        Rule.FINALITY,
        end=lambda end: end_of(
            [*end.chain, replace(end.chain[3], block="b4", transactions=(Paid("two", (), (), 0),))],
            {"one": 2, "two": 4},
        ),
        says=("2 times",),
    ),
    "taken back": Case(
        Rule.NO_WAY_BACK,
        records=lambda records: [*records, not_final("one", "unknown", 300)],
        says=("val1", "one"),
    ),
    "rejected after final": Case(
        Rule.NO_WAY_BACK, records=lambda records: [*records, not_final("one", "rejected", 300)]
    ),
    "height falls": Case(
        Rule.NO_WAY_BACK, records=lambda records: [*records, tip(1, 300)], says=("val2",)
    ),
    "spent twice": Case(
        Rule.ONE_HISTORY,
        end=lambda end: replace(
            end,
            chain=[
                *end.chain[:3],
                replace(
                    end.chain[3],
                    transactions=(
                        *end.chain[3].transactions,
                        Paid("three", ("fund:0",), (), 0),
                    ),
                ),
            ],
        ),
        says=("fund:0",),
    ),
    "both rivals": Case(
        Rule.ONE_HISTORY,
        records=lambda records: [*records, final("rival", 3, 300)],
        says=("one:0",),
    ),
    "another past": Case(
        Rule.ONE_HISTORY,
        records=lambda records: [
            *records,
            msgspec.structs.replace(tip(2, 160, "val3"), state_root="x"),
        ],
        says=("height 2",),
    ),
    "beyond the end": Case(Rule.ONE_HISTORY, records=lambda records: [*records, tip(9, 300)]),
    "wrong balance": Case(
        Rule.ONE_HISTORY, records=lambda records: [*records, balance(1, 2, 100)], says=("client 1",)
    ),
    "coins vanish": Case(
        Rule.CONSERVATION,
        end=lambda end: replace(
            end,
            chain=[
                *end.chain[:3],
                replace(end.chain[3], transactions=(Paid("two", ("one:0",), ((ALICE, 90),), 1),)),
            ],
        ),
    ),
    "not recovered": Case(Rule.RECOVERY, end=lambda end: replace(end, recovered_ms=None)),
    "recovered late": Case(
        Rule.RECOVERY,
        end=lambda end: replace(end, recovered_ms=LENGTH_MS + RECOVERY_MS_MAX + 1),
    ),
    "unsettled": Case(
        Rule.SETTLED, end=lambda end: replace(end, unsettled=("lonely",)), says=("lonely",)
    ),
    "ended alone": Case(
        Rule.PROCESSES,
        end=lambda end: replace(end, complaints=("val2 ended by itself",)),
        says=("val2",),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_lie_is_found(name: str) -> None:
    """The rule that it breaks is named, with what shows it."""
    case = CASES[name]
    verdict = judge(case.records(good()), schedule(), case.end(end_of(chain())))
    assert case.rule in broken(verdict)
    assert not verdict.is_clean
    assert verdict.is_safe == (not case.rule.is_safety)
    for words in case.says:
        assert words in " ".join(verdict.of(case.rule))


def test_recovery_within_the_limit() -> None:
    """Exactly the limit is in time."""
    end = replace(end_of(chain()), recovered_ms=LENGTH_MS + RECOVERY_MS_MAX)
    assert judge(good(), schedule(), end).is_clean


def test_reads_that_overlap_prove_nothing() -> None:
    """A question that began before the other answer had come may be answered from before it."""
    early = Tip(node="val2", start_ms=201, end_ms=400, height=2, block="b2", state_root="r2")
    late = msgspec.structs.replace(not_final("two", "pending", 182), end_ms=400)
    assert judge([*good(), early, late], schedule(), end_of(chain())).is_clean


def test_no_node_answers_at_the_end() -> None:
    """What is known then is judged, and the verdict says that nobody answered."""
    end = replace(end_of([]), chain_fault="no node answers", recovered_ms=None)
    assert broken(judge(good(), schedule(), end)) == {Rule.VALIDITY, Rule.RECOVERY}


def long_step(count: int, until_ms: int) -> Step:
    return Step(at_ms=1_000, fault=Fault.PAUSE, nodes=NODES[:count], length_ms=until_ms - 1_000)


@pytest.mark.parametrize(("count", "stalls"), [(1, True), (2, False)])
def test_stall_counts_while_at_most_f_are_disturbed(count: int, stalls: bool) -> None:
    """With one disturbed payments must go on; with two of four nobody can say so."""
    made = schedule(long_step(count, 50_000), length_ms=50_000)
    verdict = judge(good(), made, end_of(chain()))
    assert broken(verdict) == ({Rule.PROGRESS} if stalls else set())


@pytest.mark.parametrize(("more", "stalls"), [(0, False), (1, True)])
def test_stall_of_exactly_the_limit_is_none(more: int, stalls: bool) -> None:
    """The last payment was final at 195 ms."""
    made = schedule(length_ms=195 + STALL_MS_MAX + more)
    assert bool(judge(good(), made, end_of(chain())).findings) == stalls


def test_calm_is_what_is_left_of_disturbance() -> None:
    """Time with more than f disturbed, and their time to come back, is not counted."""
    step = long_step(2, 5_000)
    made = schedule(step)
    assert calm_ms(made, 0, LENGTH_MS) == LENGTH_MS - (step.clear_ms - step.at_ms)
    assert calm_ms(made, 2_000, 3_000) == 0
    soft = draw(3, length_ms=60_000, nodes=NODES, kinds=SOFT)
    assert calm_ms(soft, 0, 60_000) == 60_000


def test_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Every kind of record survives its file, which is never overwritten."""
    path = tmp_path / "history.jsonl"
    happened = Happening(node="val1", start_ms=1, end_ms=300, fault="kill")
    records = sorted([*good(), happened], key=lambda record: record.end_ms)
    written = History(path)
    for record in records:
        written.add(record)
    written.close()
    assert history.read(path) == records == written.records
    with pytest.raises(FileExistsError):
        History(path)


@pytest.mark.parametrize("at", [195, -1])
def test_history_has_one_clock(tmp_path: Path, at: int) -> None:
    """What ended earlier than what is there already was timed by another clock."""
    written = History(tmp_path / "history.jsonl")
    written.add(tip(3, 200))
    with pytest.raises(AssertionError):
        written.add(tip(3, at))
    written.add(tip(3, 200))
    written.close()
