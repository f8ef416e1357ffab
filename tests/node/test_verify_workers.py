"""Processes that verify: what they find good is not verified again, and none of them is needed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from io import BytesIO

import pytest
import uvloop

from ledger import crypto
from ledger.crypto import SigningKey
from ledger.reasons import Invalid, Reason
from node import verify_worker, verify_workers
from node.verify import Verifier
from node.verify_worker import COUNT_BYTES, RECORD_BYTES
from node.verify_workers import VerifyWorkers, Worker, running
from tests.node.test_verify import forged, payments

WAIT_S = 20.0
KEY = SigningKey(b"k" * 32)
GOOD = KEY.public + b"m" * 32 + KEY.sign(b"m" * 32)


class Counting:
    """Verifies, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, key: bytes, message: bytes, signature: bytes) -> bool:
        self.calls += 1
        return crypto.verify(key, message, signature)


def test_the_protocol_answers_each_record_in_its_place() -> None:
    """Requests follow one another; a cut one at the end is no request."""
    bad = KEY.public + b"n" * 32 + KEY.sign(b"m" * 32)
    requests = [[GOOD, bad, GOOD], [], [bad]]
    data = b"".join(
        len(records).to_bytes(COUNT_BYTES, "big") + b"".join(records) for records in requests
    )
    answers = BytesIO()
    verify_worker.run(BytesIO(data + b"\0"), answers)
    assert answers.getvalue() == b"\x01\x00\x01" + b"\x00"


@pytest.mark.parametrize("processes", [1, 2])
async def test_what_a_worker_found_good_is_not_verified_again(processes: int) -> None:
    """And what it found bad is, by the node, which says why; carried signatures count."""
    counting, txs = Counting(), payments(7)
    verifier = Verifier(counting)
    bad = forged(txs[3])
    async with asyncio.timeout(WAIT_S), running(verifier, processes) as workers:
        assert workers is not None
        await workers.verify([*txs[:3], bad, *txs[4:]])
        await workers.verify([])
        for tx in (*txs[:3], *txs[4:]):
            verifier.check_transaction(tx)
        assert counting.calls == 0
        with pytest.raises(Invalid) as caught:
            verifier.check_transaction(bad)
    assert caught.value.reason is Reason.BAD_SIGNATURE
    assert counting.calls == 1


async def test_a_worker_that_dies_costs_speed_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Killed while it is asked and before: nothing is taken for good, one line tells it."""
    txs = payments(4)
    verifier = Verifier()
    async with asyncio.timeout(WAIT_S), running(verifier, 1) as workers:
        assert workers is not None
        (worker,) = workers._workers
        os.kill(worker._process.pid, signal.SIGKILL)
        await worker._process.wait()
        await asyncio.gather(workers.verify(txs[:2]), workers.verify(txs[2:]))
        assert not any(verifier.knows(tx) for tx in txs)
    assert len([record for record in caplog.records if "is lost" in record.message]) == 1


def test_on_the_loop_of_a_node_as_well() -> None:
    """Its transports refuse to be written to once the other end is closed. The others go on."""

    async def run() -> None:
        txs, verifier = payments(4), Verifier()
        async with asyncio.timeout(WAIT_S), running(verifier, 2) as workers:
            assert workers is not None
            process = workers._workers[0]._process
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
            await asyncio.sleep(0.05)
            await workers.verify(txs)
            assert [verifier.knows(tx) for tx in txs] == [False, False, True, True]
            await workers.verify(txs)
            assert all(verifier.knows(tx) for tx in txs)

    uvloop.run(run())


def test_a_worker_holds_nothing_open() -> None:
    """LevelDB lets children inherit its files, and the loop of a node closes none in them: room of
    removed tables would stay taken. A pipe has an end when nobody holds its other one."""
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)

    async def run() -> None:
        async with asyncio.timeout(WAIT_S), running(Verifier(), 1) as workers:
            assert workers is not None
            os.close(writing)
            os.set_blocking(reading, False)
            assert os.read(reading, 1) == b""

    try:
        uvloop.run(run())
    finally:
        os.close(reading)


async def test_a_worker_with_enough_to_do_is_given_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither more than it may have at once, nor after clients that did not wait for the answer."""
    monkeypatch.setattr(verify_workers, "WAITING_MAX", 3)
    txs, verifier = payments(4), Verifier()
    worker = await Worker.start()
    try:
        async with asyncio.timeout(WAIT_S):
            workers = VerifyWorkers(verifier, [worker])
            await workers.verify(txs)
            assert not any(verifier.knows(tx) for tx in txs)
            os.kill(worker._process.pid, signal.SIGSTOP)
            gone = asyncio.get_running_loop().create_task(workers.verify(txs[:3]))
            await asyncio.sleep(0.01)
            gone.cancel()
            await asyncio.wait([gone])
            await workers.verify(txs[3:])
            assert worker.waiting == 3
            os.kill(worker._process.pid, signal.SIGCONT)
            while worker.waiting:  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.001)
            await workers.verify(txs[3:])
    finally:
        await worker.close()
    assert [verifier.knows(tx) for tx in txs] == [False] * 3 + [True]


async def test_a_worker_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, it holds up nobody for longer than its time, and what it says later is not heard."""
    monkeypatch.setattr(verify_workers, "ANSWER_S", 0.2)
    txs = payments(3)
    verifier = Verifier()
    async with asyncio.timeout(WAIT_S), running(verifier, 1) as workers:
        assert workers is not None
        (worker,) = workers._workers
        os.kill(worker._process.pid, signal.SIGSTOP)
        await workers.verify(txs)
        await workers.verify(txs)
        assert not any(verifier.knows(tx) for tx in txs)
        assert await worker._process.wait() == -signal.SIGKILL


async def test_a_node_that_was_stopped_itself_loses_no_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its clock went on, and what came meanwhile is not read yet."""
    txs, verifier = payments(1), Verifier()
    async with asyncio.timeout(WAIT_S), running(verifier, 1) as workers:
        assert workers is not None
        monkeypatch.setattr(verify_workers, "ANSWER_S", 0.5)
        asking = asyncio.get_running_loop().create_task(workers.verify(txs))
        while not workers._workers[0].waiting:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.6)  # noqa: ASYNC251 - nothing of it runs
        await asking
        assert not workers._workers[0].is_lost
    assert verifier.knows(txs[0])


async def test_whoever_asks_may_go_away() -> None:
    """A client that hangs up while its batch is verified leaves no answer for the next one."""
    worker = await Worker.start()
    try:
        async with asyncio.timeout(WAIT_S):
            for _ in range(5):
                gone = asyncio.get_running_loop().create_task(worker.ask([GOOD] * 50))
                for _ in range(3):
                    await asyncio.sleep(0)
                gone.cancel()
                assert await worker.ask([bytes(RECORD_BYTES)]) == b"\x00"
    finally:
        await worker.close()


async def test_none_is_started_where_none_is_wanted_or_possible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node without free cores, and one whose machine starts no process, verify alone."""
    async with running(Verifier(), 0) as workers:
        assert workers is None
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    async with running(Verifier(), 1) as workers:
        assert workers is None
    monkeypatch.setattr(verify_workers, "further_cores", lambda: 0)
    async with running(Verifier(), -1) as workers:
        assert workers is None


async def test_where_one_cannot_be_started_none_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node verifies alone, and those that were started already end at once."""
    start, made = verify_workers.Worker.start, []

    async def starts_one() -> verify_workers.Worker:
        if made:
            raise OSError("no more processes")
        made.append(await start())
        return made[0]

    monkeypatch.setattr(verify_workers.Worker, "start", starts_one)
    async with asyncio.timeout(WAIT_S), running(Verifier(), 2) as workers:
        assert workers is None
        assert made[0]._process.returncode is not None


async def test_processes_end_when_the_node_stops() -> None:
    """Ctrl-C in its terminal is not theirs: they have a session of their own."""
    async with asyncio.timeout(WAIT_S), running(Verifier(), 1) as workers:
        assert workers is not None
        process = workers._workers[0]._process
        assert os.getsid(process.pid) == process.pid
    assert process.returncode is not None


def test_a_process_ends_with_its_input() -> None:
    """So it does when the node is killed."""
    command = (sys.executable, "-P", "-m", "node.verify_worker")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as orphan:
        assert orphan.stdin is not None
        orphan.stdin.close()
        assert orphan.wait(WAIT_S) == 0


async def test_requests_take_turns() -> None:
    """Many at once are answered each with its own, by one process."""
    worker = await Worker.start()
    try:
        async with asyncio.timeout(WAIT_S):
            answers = await asyncio.gather(
                *(worker.ask([GOOD] * (number % 3) + [bytes(RECORD_BYTES)]) for number in range(9))
            )
        assert answers == [b"\x01" * (number % 3) + b"\x00" for number in range(9)]
        assert worker.waiting == 0
    finally:
        await worker.close()
