"""A campaign counts every seed once, tells two traces apart, and goes on where it stopped."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.sim import campaign, resumable
from tests.sim.campaign import CHUNK, TWICE_EVERY, Chunk, State
from tests.sim.checkers import Violation
from tests.sim.cluster import Cluster
from tests.sim.run import Result


def results(*seeds: int) -> list[Result]:
    return [Result(seed, f"digest {seed}", heights=3, views=1, events=10) for seed in seeds]


def test_ranges_join() -> None:
    """Chunks that were done in any order become one range."""
    state = State("code")
    state.take((2, 4), results(2, 3), results(2, 3))
    assert not state.covers((0, 2))
    state.take((0, 2), results(0, 1), results(0, 1))
    assert state.done == [(0, 4)]
    assert state.covers((0, 2))
    assert (state.seeds, state.twice, state.blocks, state.views) == (4, 4, 12, 4)


def test_two_traces_of_one_seed_are_a_failure() -> None:
    """A seed that passed every checker twice, but not in the same way."""
    state = State("code")
    one, other = results(7), [replace(results(7)[0], digest="another")]
    state.take((7, 8), one, other)
    assert [item.seed for item in state.failures] == [7]
    assert "another hash seed" in state.failures[0].what


def test_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call runs only what the first did not, and reports both."""
    ran: list[Chunk] = []

    def run(state: State, path: Path, due: list[Chunk], *, total: int) -> None:
        for chunk in due:
            ran.append(chunk)
            done = results(*range(*chunk))
            state.take(chunk, done, [])
            resumable.save(msgspec.json.encode(state), path)

    monkeypatch.setattr(campaign, "_run", run)
    monkeypatch.setattr(campaign, "fingerprint", lambda: "one")
    state = ["--state", str(tmp_path)]
    assert campaign.main(["--seeds", "40", *state]) == 0
    assert campaign.main(["--seeds", "60", *state]) == 0
    assert ran == [(0, 20), (20, 40), (40, 60)]
    assert "seeds     60, 0 of them" in (tmp_path / "report.txt").read_text()


def test_a_failure_stands_in_the_report_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checker and what replays the seed at the root of the repository; the campaign ends with
    1, also when it is asked again with nothing left to do."""

    def fail(cluster: Cluster) -> None:
        if cluster.plan.seed == 3:
            raise Violation("durability", "node 2", "height 4 is gone")

    def run(state: State, path: Path, due: list[Chunk], *, total: int) -> None:
        for chunk in due:
            state.take(chunk, campaign._run_chunk(chunk), [])
            resumable.save(msgspec.json.encode(state), path)

    monkeypatch.setattr(Cluster, "run", fail)
    monkeypatch.setattr(campaign, "_run", run)
    monkeypatch.setattr(campaign, "fingerprint", lambda: "one")
    arguments = ["--seeds", "5", "--state", str(tmp_path)]
    assert [campaign.main(arguments), campaign.main(arguments)] == [1, 1]
    report = (tmp_path / "report.txt").read_text()
    assert capsys.readouterr().out == 2 * report
    *_, count, found, replay = report.splitlines()
    assert count == "failures  1"
    assert found == "seed 3: durability: node 2: height 4 is gone (at 0 ms)"
    assert replay == "  replay: .venv/bin/python -m tests.sim.run --seed 3 --trace"


def test_another_version_of_the_code_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What older code passed is not counted; the campaign says so and does nothing."""
    resumable.save(msgspec.json.encode(State("older", done=[(0, 20)])), tmp_path / "state.json")
    monkeypatch.setattr(campaign, "fingerprint", lambda: "newer")
    assert campaign.main(["--seeds", "20", "--state", str(tmp_path)]) == 2


def test_another_line_in_the_engine_is_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = resumable.fingerprint()
    copy = tmp_path / "engine.py"
    copy.write_bytes((campaign.ROOT / "node/engine.py").read_bytes() + b"\n")
    monkeypatch.setattr(sys.modules["node.engine"], "__file__", str(copy))
    assert resumable.fingerprint() != before


def test_sockets_and_api_are_no_part_of_the_version() -> None:
    """A run does not load them, so that no seed can see what they do."""
    program = "import sys, tests.sim.campaign; print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = ended.stdout.decode().split()
    assert {"node.engine", "ledger.kv", "p2p.gossip"} <= {*loaded}
    assert not [name for name in loaded if name.startswith(("node.api", "p2p.peer", "cli"))]


def test_one_chunk_in_nine_runs_under_both_hash_seeds() -> None:
    """The others in turn under one of the two, which so have the same to do."""
    halves = [campaign._halves((number * CHUNK, 0)) for number in range(2 * TWICE_EVERY)]
    assert [len(item) for item in halves] == [2, *[1] * 8] * 2
    assert sum(item.count(0) for item in halves) == sum(item.count(1) for item in halves)


def test_seeds_run_in_processes_of_two_hash_seeds(tmp_path: Path) -> None:
    """Two real seeds twice, then two more, in the next chunk, once."""
    state = ["--state", str(tmp_path)]
    assert campaign.main(["--seeds", "2", *state]) == 0
    assert "seeds     2, 2 of them" in (tmp_path / "report.txt").read_text()
    assert campaign.main(["--seeds", "2", "--start", str(CHUNK), *state]) == 0
    assert "seeds     4, 2 of them" in (tmp_path / "report.txt").read_text()
