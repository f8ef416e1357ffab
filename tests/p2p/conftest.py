"""Both event loops: a node runs on uvloop, and on the default loop where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs one coroutine to its end on a fresh loop; errors that only the loop saw fail too."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_on_loop(coroutine: Coroutine[Any, Any, None]) -> None:
        unseen: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().set_exception_handler(lambda _loop, context: unseen.append(context))
            runner.run(coroutine)
        assert unseen == []

    return run_on_loop
