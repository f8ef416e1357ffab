"""Tasks that must not end: one that returns or raises has failed, and the process with it.

A task of a TaskGroup that returns, or is cancelled by somebody else, ends in silence while the
group runs on. `supervise` turns both into a failure that names the task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("marsa.tasks")


class ServiceEnded(Exception):
    """A service of this node returned although nobody stopped the node."""


def first_of(error: BaseException) -> BaseException:
    """What stands behind the groups that a TaskGroup makes of it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class Services:
    """Starts every task of the process; `stop` ends them all."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """A service: it runs until the node stops."""
        self._create(name, self._supervise(name, coroutine))

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Work that may end by itself, such as one link; an exception still ends the process."""
        self._create(name, coroutine)

    def stop(self) -> None:
        """Cancel every task; the group's block ends when they have."""
        self._is_stopping = True
        for task in list(self._tasks):
            task.cancel()

    def _create(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._is_stopping = True  # the group cancels the others now; they did not fail

    async def _supervise(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except asyncio.CancelledError:
            if self._is_stopping:
                raise
        except Exception:
            log.exception("service failed name=%s", name)
            raise
        raise ServiceEnded(f"service '{name}' ended")
