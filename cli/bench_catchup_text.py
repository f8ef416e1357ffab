"""What `marsa bench catchup` prints: one form for each of its measurements, JSON or text."""

from __future__ import annotations

from cli.bench_catchup import CatchUp, Figures
from cli.bench_far import BlocksFigures, SnapshotFigures
from cli.bench_report import show

SCHEMA = "marsa.bench.catchup/1"
BLOCKS_SCHEMA = "marsa.bench.catchup.blocks/1"
SNAPSHOT_SCHEMA = "marsa.bench.catchup.snapshot/1"


def show_figures(figures: Figures | BlocksFigures | SnapshotFigures, load_before: float) -> None:
    """With the load average of the machine's last minute, before the run and after it."""
    match figures:
        case Figures():
            show(SCHEMA, _ratio_json(figures), _ratio_lines(figures), load_before)
        case BlocksFigures():
            value = {"node": figures.node} | _catch_up(figures.catch_up)
            show(BLOCKS_SCHEMA, value, [("catch-up", _told(figures.catch_up))], load_before)
        case SnapshotFigures():
            show(SNAPSHOT_SCHEMA, _snapshot_json(figures), _snapshot_lines(figures), load_before)


def _catch_up(made: CatchUp) -> dict[str, object]:
    return {
        "seconds": round(made.seconds, 2),
        "blocks": made.blocks,
        "transactions": made.transactions,
        "blocks_per_second": round(made.blocks_a_second, 1),
        "tps": round(made.tps, 1),
    }


def _told(made: CatchUp) -> str:
    return (
        f"{made.tps:,.0f} tx/s, {made.blocks_a_second:,.0f} blocks/s:"
        f" {made.transactions:,} transfers in {made.blocks:,} blocks,"
        f" {made.seconds:.1f} s"
    )


def _network(meanwhile_tps: float, before_tps: float, kept: float) -> tuple[str, str]:
    return "network", f"{meanwhile_tps:,.0f} tx/s meanwhile, {before_tps:,.0f} before: {kept:.0%}"


def _ratio_json(figures: Figures) -> dict[str, object]:
    return {
        "node": figures.node,
        "peak_tps": round(figures.peak_tps, 1),
        "quiet": _catch_up(figures.quiet),
        "ratio": round(figures.ratio, 2),
        "busy": _catch_up(figures.busy),
        "network_before_tps": round(figures.before_tps, 1),
        "network_meanwhile_tps": round(figures.meanwhile_tps, 1),
        "kept": round(figures.kept, 3),
    }


def _ratio_lines(figures: Figures) -> list[tuple[str, str]]:
    return [
        ("peak", f"{figures.peak_tps:,.0f} tx/s without {figures.node}"),
        ("catch-up", _told(figures.quiet)),
        ("ratio", f"{figures.ratio:.2f}"),
        ("under load", _told(figures.busy)),
        _network(figures.meanwhile_tps, figures.before_tps, figures.kept),
    ]


def _snapshot_json(figures: SnapshotFigures) -> dict[str, object]:
    return {
        "node": figures.node,
        "outputs": figures.outputs,
        "seconds": round(figures.seconds, 2),
        "network_before_tps": round(figures.before_tps, 1),
        "network_meanwhile_tps": round(figures.meanwhile_tps, 1),
        "kept": round(figures.kept, 3),
    }


def _snapshot_lines(figures: SnapshotFigures) -> list[tuple[str, str]]:
    return [
        ("snapshot", f"{figures.outputs:,} outputs in {figures.seconds:.1f} s"),
        _network(figures.meanwhile_tps, figures.before_tps, figures.kept),
    ]
