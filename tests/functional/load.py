"""Payments that run until the network ends, and which of them were reported final."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from cli.accounts import PublicAccount
from cli.bench_transactions import Coin, Owners, amount_needed, fan_out, fund, transfer
from cli.client import Client, ClientError
from cli.wallet.build import Terms
from ledger.crypto import SigningKey
from ledger.transaction import FeeSchedule, decode
from tests.functional.cluster import until

LIFETIME_MS = 600_000
BATCH = 20
WAIT_S = 2.0


def prepare(urls: Sequence[str], faucet: PublicAccount, count: int) -> Load:
    """Sign `count` independent payments, of coins that are final already."""
    with Client(urls[0]) as client:
        params = client.params()
        fees = FeeSchedule(
            int(params.fees.per_byte),
            int(params.fees.per_signature),
            int(params.fees.per_new_output),
        )
        expires_at_ms = time.time_ns() // 1_000_000 + LIFETIME_MS
        terms = Terms(bytes.fromhex(params.chain_id), fees, expires_at_ms)
        found = client.coins(faucet.address).items[0]
        coin = Coin(
            bytes.fromhex(found.txid),
            found.index,
            bytes.fromhex(found.asset),
            int(found.amount),
            0,
        )
        owners = Owners(b"functional", 50)
        key = SigningKey(bytes.fromhex(faucet.seed))
        raw, start = fund(terms, key, coin, owners, amount_needed(terms, count))
        made = fan_out(terms, owners, start, count)
        for level in ([raw], *made.levels):
            client.submit_batch(level)
            for item in level:
                _wait_final(client, decode(item).txid.hex())
    last = decode(made.levels[-1][-1] if made.levels else raw).txid.hex()
    for url in urls:  # a follower may be a moment behind
        with Client(url) as other:
            _wait_final(other, last)
    return Load(urls, [transfer(terms, owners, item) for item in made.coins])


def _wait_final(client: Client, txid: str) -> None:
    until(lambda: client.transaction(txid, wait_s=WAIT_S).status == "final", f"{txid} final")


class Load:
    """A thread that pays through all nodes in turn and remembers what was reported final."""

    def __init__(self, urls: Sequence[str], payments: Sequence[bytes]) -> None:
        self._urls = urls
        self._payments = payments
        self._thread = threading.Thread(target=self._run, name="load")
        self.final: dict[str, int] = {}
        """Height by txid, as a node reported it."""
        self.taken: list[str] = []
        """Txids of the payments that a node took, in the order in which they were sent."""

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait for the end: of the payments, or of all nodes."""
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        for start in range(0, len(self._payments), BATCH):
            url = self._urls[start // BATCH % len(self._urls)]
            try:
                with Client(url, timeout_s=WAIT_S * 2) as client:
                    self._pay(client, self._payments[start : start + BATCH])
            except ClientError:
                return

    def _pay(self, client: Client, raws: Sequence[bytes]) -> None:
        txids = [decode(raw).txid.hex() for raw in raws]
        results = client.submit_batch(raws)
        assert [result.code for result in results if result.status == "refused"] == []
        self.taken += txids
        for txid in txids:
            found = client.transaction(txid, wait_s=WAIT_S)
            if found.status == "final" and found.height is not None:
                self.final[txid] = found.height
