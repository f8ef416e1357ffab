"""Drafts of the system: the median of what was delivered, over device time, beyond a trigger."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ledger.economy.standard import Factor, Reference, Standard
from ledger.economy.standard_draft import draft
from ledger.economy.step import StandardStep, StepState, check_step, cut_ppm
from ledger.economy.throughput import Throughput
from tests.ledger.world import PERIOD_MS, TIME_MS, economy

STANDARD = Standard(
    1,
    (
        Factor("gpu-24g", "inference", 500_000),
        Factor("gpu-80g", "inference", 2_000_000),
        Factor("gpu-80g", "training", 1_000_000),
    ),
    (Reference("inference", 1_000), Reference("training", 40)),
    TIME_MS,
)
HOUR = 1_000_000
ECONOMY = msgspec.structs.replace(economy(), notice_ms=10 * PERIOD_MS + 1, trigger_ppm=100_000)


def drafted(*delivered: Throughput) -> StandardStep | None:
    return draft(STANDARD, delivered, clock_ms=TIME_MS, period_ms=PERIOD_MS, economy=ECONOMY)


def units(step: StandardStep | None) -> dict[str, int]:
    return {} if step is None else {item.workload: item.units for item in step.references}


def test_the_trigger_is_exact() -> None:
    """An hour that is worth two coins delivers 2.2: a draft; a millionth less: none."""
    at = drafted(Throughput("gpu-80g", "inference", 2_200_000, HOUR))
    assert at is not None and units(at) == {"inference": 1_100, "training": 40}
    assert (at.state, at.version, at.since_ms) == (StepState.DRAFT, 2, TIME_MS)
    assert at.ends_ms == TIME_MS + 11 * PERIOD_MS
    assert drafted(Throughput("gpu-80g", "inference", 2_199_999, HOUR)) is None


def test_fewer_than_half_of_the_time_move_nothing() -> None:
    """Whatever they say they delivered; exactly half of it at what is expected moves nothing."""
    fast = Throughput("gpu-80g", "inference", 10**15, HOUR)
    usual = Throughput("gpu-24g", "inference", 500_000, HOUR)
    assert drafted(fast, usual) is None
    more = Throughput("gpu-80g", "inference", 2_300_000, HOUR + 1)
    assert units(drafted(more, usual))["inference"] == 1_149  # 2.3 in a µh more than an hour


def test_what_tells_nothing() -> None:
    """No receipts, no time, unknown classes and workloads, and a throughput so small that a rise
    by the trigger is no unit."""
    assert drafted() is None
    assert drafted(Throughput("gpu-80g", "inference", 10**9, 0)) is None
    assert drafted(Throughput("tpu", "inference", 10**9, HOUR)) is None
    assert drafted(Throughput("gpu-80g", "video", 10**9, HOUR)) is None
    small = msgspec.structs.replace(
        STANDARD, references=(Reference("inference", 1_000), Reference("training", 5))
    )
    found = draft(
        small,
        [Throughput("gpu-80g", "training", 1_150_000, HOUR)],
        clock_ms=TIME_MS,
        period_ms=PERIOD_MS,
        economy=ECONOMY,
    )
    assert found is None


def test_each_workload_for_itself_and_no_further_than_delta() -> None:
    """Training threefold: as far as one step goes, 40 to 47; inference stays."""
    step = drafted(
        Throughput("gpu-80g", "training", 3_000_000, HOUR),
        Throughput("gpu-80g", "inference", 2_000_000, HOUR),
    )
    assert step is not None and units(step) == {"inference": 1_000, "training": 47}
    assert cut_ppm(STANDARD, step.factors) <= 150_000


DELIVERED = st.builds(
    Throughput,
    st.sampled_from(("gpu-24g", "gpu-80g", "tpu")),
    st.sampled_from(("inference", "training", "video")),
    st.integers(0, 1 << 62),
    st.integers(0, 1 << 40),
)


@given(st.lists(DELIVERED, max_size=12))
def test_every_draft_is_a_step(delivered: list[Throughput]) -> None:
    """Whatever receipts say: it keeps the rules, and the order of receipts changes nothing."""
    step = drafted(*delivered)
    assert step == drafted(*reversed(delivered))
    if step is not None:
        check_step(STANDARD, step, ECONOMY.step_ppm)
