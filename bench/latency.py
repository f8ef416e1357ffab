"""Finality at light load: how long one transfer takes while the network has little else to do.

Run against a running devnet: PYTHONPATH=. python bench/latency.py [--rate 10] [--seconds 20]

Transfers of 1 input and 2 outputs, funded and signed before, are sent one by one at an even rate
to the validators in turn. Each is timed from the moment it is sent to the moment the node that
took it answers that it is final; the node holds that answer back until then, so nothing is polled.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time

import click
import uvloop

from cli import bench_target
from cli.async_client import AsyncClient
from cli.bench_run import Plan, Run, percentile
from ledger import transaction

WAIT_S = 5.0
ACCOUNTS = 500


async def run(urls: tuple[str, ...], raws: list[bytes], rate: float) -> list[float]:
    """Milliseconds of each transfer, in ascending order."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(AsyncClient(url)) for url in urls]
        await asyncio.gather(*[client.status() for client in clients])  # connections are open
        started = asyncio.get_running_loop().time()
        return sorted(
            await asyncio.gather(
                *[
                    send(clients[number % len(clients)], raw, started + number / rate)
                    for number, raw in enumerate(raws)
                ]
            )
        )


async def send(client: AsyncClient, raw: bytes, at_s: float) -> float:
    """Milliseconds from sending to the answer that it is final."""
    txid = transaction.decode(raw).txid.hex()
    await asyncio.sleep(at_s - asyncio.get_running_loop().time())
    begin = time.perf_counter()
    await client.submit_batch([raw])
    status = await client.transaction(txid, wait_s=WAIT_S, proof=False)
    elapsed_ms = (time.perf_counter() - begin) * 1_000
    if status.status != "final":
        raise SystemExit(f"transaction {txid} is {status.status} after {WAIT_S} s")
    return elapsed_ms


def main() -> None:
    parser = argparse.ArgumentParser(description="finality at light load, in milliseconds")
    parser.add_argument("--rate", type=float, default=10.0, help="transfers a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    target = bench_target.find(None)
    with click.Context(click.Command("latency")):
        plan = Plan(options.seconds, 0.0, ACCOUNTS)
        raws = Run(target, plan).prepare(int(options.rate * options.seconds))
    found = uvloop.run(run(target.urls, raws, options.rate))
    print(
        f"{len(found)} transfers at {options.rate:g}/s, {target.validators} validators: "
        f"p50 {percentile(found, 50):.1f} ms, p99 {percentile(found, 99):.1f} ms, "
        f"max {found[-1]:.1f} ms"
    )


if __name__ == "__main__":
    main()
