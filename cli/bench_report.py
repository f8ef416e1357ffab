"""What every `marsa bench` prints last, and how its figures are laid out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from cli.output import emit

Lines: TypeAlias = Sequence[tuple[str, str]]
"""What a figure is of, and its text."""
WIDTH = 14


def load_average() -> float:
    """Of the machine in the last minute. Taken before anything else is done."""
    return os.getloadavg()[0]


def show(schema: str, figures: Mapping[str, object], lines: Lines, before: float) -> None:
    """Figures as JSON or text, with the load average before the run and after it: other work on
    the machine makes all of them worse."""
    after = load_average()
    value = {**figures, "load_average": [round(before, 2), round(after, 2)]}
    told = [*lines, ("load average", f"{before:.2f} before, {after:.2f} after")]
    emit(schema, value, lambda: "\n".join([f"{name:<{WIDTH}}{text}" for name, text in told]))


def memory_text(resident_mib: float, anonymous_mib: float) -> str:
    """Of the node that took most."""
    return f"{resident_mib:.0f} MiB a node at most, {anonymous_mib:.0f} MiB without mapped files"
