"""Tasks that end although nobody stopped the node end the node."""

from __future__ import annotations

import asyncio

import pytest

from node.supervise import ServiceEnded, Services


async def forever() -> None:
    await asyncio.Event().wait()


async def test_service_that_returns_fails_the_group() -> None:
    """A service returns: the group ends with ServiceEnded, which names it, and cancels the rest."""

    async def returns() -> None:
        await asyncio.sleep(0)

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            services = Services(group)
            services.start("other", forever())
            services.start("short", returns())
    (error,) = caught.value.exceptions
    assert isinstance(error, ServiceEnded)
    assert "'short'" in str(error)


async def test_service_that_raises_fails_the_group_with_its_error() -> None:
    """The exception of a service arrives unchanged at whoever runs the group."""

    async def raises() -> None:
        raise OSError("the disk is gone")

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            Services(group).start("disk", raises())
    assert "the disk is gone" in str(caught.value.exceptions[0])


async def test_service_cancelled_by_somebody_else_fails_the_group() -> None:
    """A TaskGroup alone would lose a cancelled child in silence and run on."""

    async def cancels_itself() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            services = Services(group)
            services.start("other", forever())
            services.start("gone", cancels_itself())
    assert isinstance(caught.value.exceptions[0], ServiceEnded)


async def test_spawned_work_may_end_and_its_exception_still_ends_the_group() -> None:
    """A link may end by itself; an exception from it is a fault of the node."""
    ended = asyncio.Event()

    async def link() -> None:
        ended.set()

    async with asyncio.TaskGroup() as group:
        services = Services(group)
        services.start("service", forever())
        services.spawn("link", link())
        await asyncio.wait_for(ended.wait(), 5)
        services.stop()

    async def broken() -> None:
        raise RuntimeError("bug")

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            Services(group).spawn("link", broken())


async def test_stop_ends_every_task_without_an_error() -> None:
    """`stop` cancels services and links alike, and the group ends cleanly."""
    async with asyncio.TaskGroup() as group:
        services = Services(group)
        services.start("one", forever())
        services.spawn("two", forever())
        await asyncio.sleep(0)
        services.stop()
