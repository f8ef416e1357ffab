"""Requests that wait until a transaction is final or refused."""

from __future__ import annotations

import asyncio

from ledger.mempool import Mempool


class Waiters:
    """Futures by txid; each lives as long as the request that waits for it."""

    def __init__(self, mempool: Mempool) -> None:
        self._mempool = mempool
        self._waiting: dict[bytes, set[asyncio.Future[None]]] = {}

    async def wait(self, txid: bytes, seconds: float) -> None:
        """Return when the transaction is final or refused, or when the time is over."""
        if self._is_settled(txid):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(txid, set()).add(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            waiting = self._waiting.get(txid)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[txid]

    def settle(self) -> None:
        """After final blocks: wake whoever waited for what is settled by now."""
        for txid in [txid for txid in self._waiting if self._is_settled(txid)]:
            for future in self._waiting[txid]:
                if not future.done():
                    future.set_result(None)

    def _is_settled(self, txid: bytes) -> bool:
        if self._mempool.get(txid) is not None:
            return False
        is_final = self._mempool.final_height(txid) is not None
        return is_final or self._mempool.rejection(txid) is not None
