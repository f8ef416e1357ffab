"""Runs `marsa` in a process whose wall clock is off: skewed_node.py SECONDS node run DIRECTORY."""

from __future__ import annotations

import sys
import time


def shift(seconds: int) -> None:
    """What reads the wall clock from now on reads another; the monotonic clock stays."""
    right, right_ns = time.time, time.time_ns
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + seconds * 1_000_000_000


if __name__ == "__main__":
    shift(int(sys.argv.pop(1)))
    from cli.main import main

    main()
