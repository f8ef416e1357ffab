"""Which command works which workload. An order whose workload has none is better left alone: to
accept it and deliver nothing costs as much, and keeps its holder waiting for longer."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cli.delivery import job

Command: TypeAlias = Sequence[str]

REFERENCE_JOB: Command = (sys.executable, "-m", "cli.delivery.job")


@dataclass(frozen=True, slots=True)
class Jobs:
    """Commands by workload, and one for those that have none of their own."""

    named: Mapping[str, Command] = field(default_factory=dict)
    others: Command | None = None

    def of(self, workload: str) -> Command | None:
        """None where nothing here does it."""
        return self.named.get(workload, self.others)

    def __str__(self) -> str:
        """The workloads, for a log."""
        return ",".join((*sorted(self.named), *(["*"] if self.others is not None else [])))


BUILT_IN = Jobs({job.WORKLOAD: REFERENCE_JOB})
"""What is done where nothing else is said."""
