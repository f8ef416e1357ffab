"""What a signer process adds to each vote: one round trip over a Unix socket and one fdatasync.

    .venv/bin/python bench/signer.py [--votes 5000] [--directory DIR]

Starts `marsa validator signer` with a fresh key in DIR (a temporary directory else), asks it for
PREPAREs and COMMITs of ascending heights, one after the other as a node does, and times each beside
the same vote signed in this process, and a bare append and fdatasync of as many bytes there, which
is what the disk takes of it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint, nonce_of_seed
from ledger.block import COMMIT, PREPARE, VotePayload
from ledger.crypto import SigningKey
from ledger.genesis import chain_id, dump
from node import keys
from node.signer import KEY_NAME, SOCKET_NAME
from node.signer_client import RemoteKey
from node.signing import Key, LocalKey

ROOT = Path(__file__).resolve().parent.parent
RECORD = bytes(60)
STOP_S = 10.0


def measure(key: Key, votes: int) -> list[float]:
    """Microseconds of each signature, in ascending order."""
    found = []
    for number in range(votes):
        phase = COMMIT if number % 2 else PREPARE
        vote = VotePayload(0, phase, 0, 1 + number // 2, number.to_bytes(32, "big"))
        begun = time.perf_counter_ns()
        key.sign(vote)
        found.append((time.perf_counter_ns() - begun) / 1_000)
    return sorted(found)


def measure_disk(file: Path, count: int) -> list[float]:
    """Microseconds of each append and fdatasync, in ascending order."""
    found = []
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for _ in range(count):
        begun = time.perf_counter_ns()
        os.write(descriptor, RECORD)
        os.fdatasync(descriptor)
        found.append((time.perf_counter_ns() - begun) / 1_000)
    os.close(descriptor)
    return sorted(found)


def show(name: str, found: list[float]) -> None:
    p50, p99 = found[len(found) // 2], found[len(found) * 99 // 100]
    print(f"{name:8} p50 {p50:8.0f} µs   p99 {p99:8.0f} µs   most {found[-1]:8.0f} µs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--votes", type=int, default=5_000)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    blueprint = Blueprint(nonce_of_seed(0), SEEDED_TIME_MS)
    seed, chain = bytes(range(32)), chain_id(blueprint.genesis)
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        home = Path(name)
        keys.save_consensus_key(home / KEY_NAME, seed, note="bench")
        (home / "genesis.json").write_bytes(dump(blueprint.genesis))
        command = [sys.executable, "-c", "from cli.main import main; main()"]
        command += ["validator", "signer", name, "--new-key", "--yes"]
        command += ["--genesis", str(home / "genesis.json")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            remote = RemoteKey.open(home / SOCKET_NAME, chain, None)
            found = measure(remote, options.votes)
            remote.close()
            child.terminate()
            child.wait(STOP_S)
        disk = measure_disk(home / "probe", options.votes)
    show("signer", found)
    show("disk", disk)
    show("local", measure(LocalKey(SigningKey(seed), chain), options.votes))


if __name__ == "__main__":
    main()
