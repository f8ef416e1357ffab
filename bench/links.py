"""Frames a second through one TLS link, both ends in one process on one core.

    .venv/bin/python bench/links.py [--seconds 3] [--loop uvloop|asyncio]

Votes are 200 bytes. Three loads: a flood of single votes, in bursts of 64 a turn of the loop;
votes that each wait for the answer (the round trip); bodies of 1 MiB. Since one core does the work
of both ends, a node that only sends or only receives does about twice the rate.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from p2p import wire
from p2p.peer import Peer
from tests.p2p.harness import Node, open_world, until

VOTE = bytes(200)
BODY = bytes(wire.MIB)
BURST = 64


async def flood(sender: Node, receiver: Node, number: int, payload: bytes, seconds: float) -> float:
    """Messages a second that arrive while the sender keeps the link busy and never overfull."""
    received = 0

    def count(_peer: Peer, _number: int, _payload: bytes) -> None:
        nonlocal received
        received += 1

    receiver.frame_hook = count
    peer = sender.peer(receiver.name)
    burst = BURST if len(payload) < wire.KIB else 1
    sent, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        if peer.stats().queued_bytes < wire.MIB:
            sent += sum(sender.network.send(receiver.name, number, payload) for _ in range(burst))
        await asyncio.sleep(0)
    await until(lambda: received == sent, "what was sent")
    return received / (time.perf_counter() - start)


async def round_trips(sender: Node, receiver: Node, seconds: float) -> float:
    """Microseconds from sending a vote to having its answer, one at a time."""
    answered = asyncio.Event()
    receiver.frame_hook = lambda peer, number, payload: peer.send(number, payload) and None
    sender.frame_hook = lambda _peer, _number, _payload: answered.set()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        answered.clear()
        sender.network.send(receiver.name, wire.PREPARE, VOTE)
        await answered.wait()
        count += 1
    return (time.perf_counter() - start) / count * 1e6


async def measure(directory: Path, seconds: float) -> None:
    """Two nodes, one link, three loads."""
    async with open_world(directory) as world:
        one, two = world.node("val0", tick_s=1.0), world.node("val1", tick_s=1.0)
        one.start({})
        two.start({"val0": one.port})
        one.recording = two.recording = False
        await until(lambda: one.linked() == ["val1"] and two.linked() == ["val0"], "the link")
        votes = await flood(one, two, wire.PREPARE, VOTE, seconds)
        print(f"votes of {len(VOTE)} B: {votes:,.0f} frames/s ({1e6 / votes:.1f} us both ends)")
        print(f"round trip of a vote: {await round_trips(one, two, seconds):.0f} us")
        bodies = await flood(one, two, wire.GIVE, BODY, seconds)
        print(f"bodies of {len(BODY) // wire.KIB} KiB: {bodies:,.0f} MiB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each load")
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    options = parser.parse_args()
    factory = uvloop.new_event_loop if options.loop == "uvloop" else asyncio.new_event_loop
    with (
        tempfile.TemporaryDirectory() as directory,
        asyncio.Runner(loop_factory=factory) as runner,
    ):
        runner.run(measure(Path(directory), options.seconds))


if __name__ == "__main__":
    main()
