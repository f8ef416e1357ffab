"""The processes of a devnet's agents, beside its nodes: one that keeps capacity and attestations
fresh (`cli.agents.run`), one that delivers what holders redeem (`cli.delivery.devnet`).

What they run is imported where they start: other commands about a devnet need none of it.
"""

from __future__ import annotations

from pathlib import Path

from cli.devnet import launch, processes
from cli.devnet.launch import Run
from cli.devnet.state import Place

NAME = "agents"
DELIVERY = "delivery"
NAMES = (NAME, DELIVERY)
"""Their directories, beside those of the nodes."""
STOP_S = 5.0


def start(place: Place) -> None:
    """See to it that they run where the devnet wants them, and only there."""
    if not place.devnet.agents:
        stop(place)
        return
    for name in NAMES:
        directory = place.directory / name
        if processes.running(directory) is None:
            directory.mkdir(mode=0o700, exist_ok=True)
            launch.start([directory], _run_of(name), log_name(name))


def log_name(name: str) -> str:
    return f"{name}.log"


def log_of(place: Place, name: str) -> Path:
    return place.directory / name / log_name(name)


def _run_of(name: str) -> Run:
    if name == NAME:
        from cli.agents.run import run_agents_of

        return run_agents_of
    from cli.delivery.devnet import run_delivery_of

    return run_delivery_of


def stop(place: Place) -> None:
    found = [processes.running(place.directory / name) for name in NAMES]
    processes.stop([process for process in found if process is not None], STOP_S)
