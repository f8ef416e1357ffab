"""The devnet that is measured: its addresses, its processes, its faucet."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from cli import accounts
from cli.bench_transactions import Coin
from cli.client import Client, all_items
from cli.client_errors import RATE_LIMITED, ApiProblem, Timeout
from cli.devnet import control, state
from cli.devnet.state import Place
from cli.errors import CliError, ExitCode, not_found
from cli.nodes import DEADLINE
from ledger.amounts import format_amount
from ledger.crypto import SigningKey
from ledger.transaction import FeeSchedule
from node.api import schemas
from node.api.schemas import PAGE_ITEMS_MAX

FAUCET = "faucet"
PATIENCE_S = 60.0
ASK_EVERY_S = 0.5
BUSY = ("busy", DEADLINE, RATE_LIMITED)

T = TypeVar("T")
_CPU_FIELDS = slice(11, 13)
"""User and system time of /proc/PID/stat, behind the command's name, which ends at `)`."""
_MEMORY_LINE = re.compile(r"^(VmRSS|RssAnon):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Target:
    """A devnet of this machine whose nodes run."""

    urls: tuple[str, ...]
    """Where transactions are sent, in turn."""
    place: Place
    validators: int
    params: schemas.Params
    faucet_seed: bytes
    faucet_address: str

    @property
    def faucet(self) -> SigningKey:
        return SigningKey(self.faucet_seed)

    @property
    def fees(self) -> FeeSchedule:
        fees = self.params.fees
        return FeeSchedule(int(fees.per_byte), int(fees.per_signature), int(fees.per_new_output))

    @property
    def genesis_file(self) -> Path:
        return self.place.directory / "genesis.json"

    def pids(self) -> list[int]:
        """Of the nodes that run."""
        return [process.pid for process in control.running(self.place).values()]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process takes. Pages of mapped files count as resident and can be taken back."""

    resident_kib: int
    anonymous_kib: int
    cpu_s: float
    """Of all its threads since it was started."""


def find(given: str | None) -> Target:
    """The devnet of the node `given`, or the only or default one; raises CliError."""
    if given is None:
        place = state.find(None)
        urls: tuple[str, ...] = tuple(node.api for node in place.devnet.validators)
    else:
        with Client(given) as client:
            chain_id = client.status().network.chain_id
        known = accounts.devnets(chain_id)
        if not known:
            raise not_found(
                "unknown_devnet",
                f"no devnet on this machine has the chain {chain_id} of {given}",
                "a load needs the keys of the devnet's faucet: set MARSA_HOME to where it lives",
            )
        place, urls = state.find(known[0].name), (given,)
    with Client(urls[0]) as client:
        params, status = client.params(), client.status()
    account = accounts.find_public_account(FAUCET, params.chain_id)
    if account is None:
        raise not_found("no_faucet", f"devnet '{place.devnet.name}' has no account '{FAUCET}'")
    return Target(
        urls=urls,
        place=place,
        validators=status.consensus.validators,
        params=params,
        faucet_seed=bytes.fromhex(account.seed),
        faucet_address=account.address,
    )


def largest_coin(target: Target, amount: int) -> Coin:
    """The faucet's largest coin, if it holds more than `amount`."""
    with Client(target.urls[0]) as client:
        coins = all_items(
            lambda cursor: client.coins(target.faucet_address, limit=PAGE_ITEMS_MAX, cursor=cursor)
        )
        found = max(coins, key=lambda coin: int(coin.amount), default=None)
    if found is None or int(found.amount) <= amount:
        raise CliError(
            "insufficient_funds",
            f"the faucet's largest coin holds no more than {format_amount(amount)}",
            hint="begin again with: marsa devnet reset",
            exit_code=ExitCode.REJECTED,
        )
    return Coin(
        bytes.fromhex(found.txid), found.index, bytes.fromhex(found.asset), int(found.amount), 0
    )


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where consensus stands. Views begin at 0 in each epoch."""

    epoch: int
    view: int
    height: int


def position(urls: Sequence[str]) -> Position:
    """Of the node that is furthest."""
    found = []
    for url in urls:
        status = _patiently(url, Client.status)
        view, epoch = status.consensus.view, status.consensus.epoch
        found.append(Position(epoch, view, status.sync.height))
    return max(found)


def views_since(urls: Sequence[str], before: Position) -> int:
    """How many views were left since then, in all epochs: what the certificates of blocks say, and
    the nodes of now."""
    now = position(urls)

    def passed(client: Client) -> list[Position]:
        headers = all_items(
            lambda cursor: client.headers(
                start=before.height + 1, limit=PAGE_ITEMS_MAX, cursor=cursor
            )
        )
        certificates = [item.certificate for item in headers]
        return [Position(item.epoch, item.view, item.height) for item in certificates if item]

    return views_left([before, *_patiently(urls[0], passed), now])


def _patiently(url: str, ask: Callable[[Client], T]) -> T:
    """Ask again while a node is too busy to answer, as it may be just after a load."""
    deadline_s = time.monotonic() + PATIENCE_S
    with Client(url) as client:
        while True:
            try:
                return ask(client)
            except (Timeout, ApiProblem) as error:
                is_busy = isinstance(error, Timeout) or error.code in BUSY
                if not is_busy or time.monotonic() > deadline_s:
                    raise
            time.sleep(ASK_EVERY_S)


def views_left(positions: Sequence[Position]) -> int:
    """Between the first of these and the last, in order of time."""
    left = 0
    for one, next_one in pairwise(positions):
        begun = one.view if next_one.epoch == one.epoch else 0
        left += max(0, next_one.view - begun)
    return left


def usage_of(pid: int) -> Usage | None:
    """None where the process is gone, or the system does not say."""
    directory = Path(f"/proc/{pid}")
    try:
        status = (directory / "status").read_text("ascii", errors="replace")
        stat = (directory / "stat").read_text("ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    memory = {name: int(kib) for name, kib in _MEMORY_LINE.findall(status)}
    if "VmRSS" not in memory:
        return None
    ticks = sum(map(int, stat.rpartition(")")[2].split()[_CPU_FIELDS]))
    return Usage(memory["VmRSS"], memory.get("RssAnon", 0), ticks / os.sysconf("SC_CLK_TCK"))
