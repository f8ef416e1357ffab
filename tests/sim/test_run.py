"""What the command prints: a plan, what it came to, and how a failure is had again. Running seeds
leaves nothing behind."""

from __future__ import annotations

import logging
import shlex
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from tests.sim import run
from tests.sim.checkers import Violation
from tests.sim.cluster import Cluster
from tests.sim.plan import Plan, draw_plan
from tests.sim.run import Regression, Result, run_one, run_plan

SEED = 0
FILE = Path(__file__).parent / "regressions" / "chain_behind_its_votes.json"
FOUND = "agreement: node 1: two blocks at height 3"


def fail(cluster: Cluster) -> None:
    raise Violation("agreement", "node 1", "two blocks at height 3")


def fail_seed(cluster: Cluster) -> None:
    """The second of four seeds finds something, the others nothing."""
    if cluster.plan.seed == 1:
        fail(cluster)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    """What the command answers and the lines that it prints."""
    code = run.main(arguments)
    return code, capsys.readouterr().out.splitlines()


def summary(result: Result) -> str:
    return (
        f"seed {result.seed}: {result.heights} blocks, view {result.views}, "
        f"{result.events} events, trace {result.digest}"
    )


def replayed(line: str) -> list[str]:
    """The arguments of the command that a failure names: it can be pasted at the root."""
    label, _, command = line.strip().partition(": ")
    program, *words = shlex.split(command)
    assert (label, program, words[:2]) == (
        "replay",
        ".venv/bin/python",
        ["-m", "tests.sim.run"],
    )
    return words[2:]


def test_a_seed_silences_nodes_only_while_it_runs() -> None:
    """Other tests in the process still see what is logged."""
    assert run_one(SEED).failure == ""
    assert logging.root.manager.disable == logging.NOTSET


def test_one_seed_prints_its_plan_and_its_digest(capsys: pytest.CaptureFixture[str]) -> None:
    """Two lines: the plan, as a file of regressions can hold it, and what it came to."""
    code, (plan, told) = printed(capsys, "--seed", str(SEED))
    assert code == 0
    assert msgspec.json.decode(plan, type=Plan) == draw_plan(SEED)
    assert told == summary(run_one(SEED))


def test_a_trace_prints_every_event_and_changes_none(capsys: pytest.CaptureFixture[str]) -> None:
    """One line an event between the plan and the same digest as without a trace."""
    result = run_one(SEED)
    code, (_, *events, told) = printed(capsys, "--seed", str(SEED), "--trace")
    assert code == 0
    assert told == summary(result)
    assert len(events) == result.events
    times_ms = [int(event.split()[0]) for event in events]
    assert times_ms == sorted(times_ms)


def test_a_file_of_regressions_is_run_as_a_seed_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Its plan, which no seed draws any more, and with a trace every event of it."""
    plan = msgspec.json.decode(FILE.read_bytes(), type=Regression).plan
    result = run_plan(plan)
    code, (shown, told) = printed(capsys, "--plan", str(FILE))
    assert (code, told) == (0, summary(result))
    assert msgspec.json.decode(shown, type=Plan) == plan
    code, (_, *events, told) = printed(capsys, "--plan", str(FILE), "--trace")
    assert (code, told) == (0, summary(result))
    assert len(events) == result.events


def test_a_seed_or_a_file_and_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run.main(["--seed", str(SEED), "--plan", str(FILE)])
    assert ended.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--seed", "17"], ["--plan", str(FILE)]])
def test_a_failure_names_its_checker_and_how_to_have_it_again(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that it prints asks for the same with a trace, and fails as it did."""
    monkeypatch.setattr(Cluster, "run", fail)
    code, (_, found, replay) = printed(capsys, *arguments)
    assert code == 1
    assert found.startswith("FAILED seed ")
    assert FOUND in found
    again = replayed(replay)
    assert again == [*arguments, "--trace"]
    assert printed(capsys, *again)[0] == 1


def test_one_failure_among_many_seeds_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it happens, with its command, and once more at the end; the answer is not 0."""
    monkeypatch.setattr(Cluster, "run", fail_seed)
    context = SimpleNamespace(Pool=lambda count: ThreadPool(1))
    monkeypatch.setattr(run.multiprocessing, "get_context", lambda method: context)
    code, (found, replay, counted, listed) = printed(capsys, "--seeds", "4")
    assert code == 1
    assert found.startswith(f"FAILED seed 1: {FOUND}")
    assert replayed(replay) == ["--seed", "1", "--trace"]
    assert counted.startswith("4 seeds, 0 blocks, 1 failed, ")
    assert listed.startswith(f"seed 1: {FOUND}")
    assert printed(capsys, "--seeds", "1")[0] == 0
