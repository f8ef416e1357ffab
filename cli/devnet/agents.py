"""The process of a devnet's agents, beside its nodes (`cli.agents.run`).

What they run is imported where they start: other commands about a devnet need none of it.
"""

from __future__ import annotations

from cli.devnet import launch, processes
from cli.devnet.processes import Process
from cli.devnet.state import Place

NAME = "agents"
"""Their directory, beside those of the nodes."""
STOP_S = 5.0


def running(place: Place) -> Process | None:
    return processes.running(place.directory / NAME)


def start(place: Place) -> None:
    """See to it that it runs where the devnet wants it, and only there."""
    if not place.devnet.agents:
        stop(place)
        return
    if running(place) is not None:
        return
    from cli.agents.run import run_agents_of

    directory = place.directory / NAME
    directory.mkdir(mode=0o700, exist_ok=True)
    launch.start([directory], run_agents_of)


def stop(place: Place) -> None:
    process = running(place)
    if process is not None:
        processes.stop([process], STOP_S)
