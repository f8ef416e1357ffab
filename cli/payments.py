"""From a draft to a final transaction: coins from the node, reservation, signature, submission,
the wait. Whatever happens after the submission, the txid is known and nothing is called failed
that may still come true.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from cli.accounts import known_as
from cli.client import ApiProblem, Client, ClientError, all_items
from cli.errors import CliError, ExitCode, usage_error
from cli.nodes import HINTS, HTTP_BUSY, Node, problem_error
from cli.output import Waiting
from cli.wallet.build import Conditions, Draft, Terms, sign
from cli.wallet.payment import Holding
from cli.wallet.reservations import Reservations, reservations
from cli.wallet.selection import Coin
from ledger.address import encode_address
from ledger.crypto import SigningKey
from ledger.transaction import MEMO_BYTES_MAX, SignedTransaction
from node.api import schemas

LIFETIME_MS = 10 * 60_000
"""After this a transaction that was not included never will be, and its coins are free again."""
COINS_MAX = 10_000
"""Coins of one holder that are looked at; 64 of them fit into a transaction."""
ASK_AGAIN_S = 0.5
"""How long one request waits for finality, so that the reason shown stays fresh."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a submission. `height` is None while it is pending."""

    txid: str
    status: str
    height: int | None
    elapsed_ms: int
    signers: int = 0
    position: int | None = None


class Owner(Protocol):
    """Whose coins pay: a holder of keys, or several that open one lock together."""

    @property
    def name(self) -> str: ...

    @property
    def locks(self) -> Sequence[bytes]: ...

    @property
    def conditions(self) -> Conditions: ...


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def make_terms(node: Node, memo: str | None) -> Terms:
    """Chain, fees, expiry and memo of a new transaction."""
    data = (memo or "").encode()
    if len(data) > MEMO_BYTES_MAX:
        detail = f"{len(data)} bytes of memo, at most {MEMO_BYTES_MAX}"
        raise usage_error(
            "memo_too_long", detail, "shorten it; other than ASCII takes 2 to 4 bytes"
        )
    return Terms(bytes.fromhex(node.chain_id), node.fees, now_ms() + LIFETIME_MS, data)


def fetch_coins(node: Node, holder: Owner) -> list[schemas.Coin]:
    """All unspent coins of the holder's addresses, as the node sees them."""
    found: list[schemas.Coin] = []
    for lock in holder.locks:
        fetch = _coin_pages(node.client, encode_address(lock, node.hrp))
        found += islice(all_items(fetch), COINS_MAX - len(found))
    return found


def make_holding(holder: Owner, coins: list[schemas.Coin], held: Reservations) -> Holding:
    """The holder's coins for `cli.wallet.payment.plan`."""
    own = tuple(
        Coin(
            amount=int(coin.amount),
            txid=bytes.fromhex(coin.txid),
            index=coin.index,
            asset=bytes.fromhex(coin.asset),
            lock=bytes.fromhex(coin.lock),
        )
        for coin in coins
    )
    return Holding(
        name=holder.name,
        coins=own,
        reserved={
            coin.outpoint: held.expiry_by_outpoint[coin.outpoint]
            for coin in own
            if coin.outpoint in held
        },
        conditions=holder.conditions,
        issuers={bytes.fromhex(coin.asset): coin.issuer for coin in coins},
    )


def submit(
    node: Node,
    terms: Terms,
    draft: Draft,
    unlock: Callable[[], tuple[SigningKey, ...]],
    wait_ms: int | None,
) -> Outcome:
    """Sign, send, and wait unless `wait_ms` is None; raises CliError with the txid in details.

    The reservation of the draft's coins ends when the transaction is final or refused.
    """
    try:
        tx = sign(terms, draft, unlock())
    except BaseException:
        release([coin.outpoint for coin in draft.coins])
        raise
    return submit_signed(node, tx, wait_ms)


def submit_signed(node: Node, tx: SignedTransaction, wait_ms: int | None) -> Outcome:
    """As `submit`, of a transaction that is signed already."""
    txid, spent = tx.txid.hex(), [item.outpoint for item in tx.body.inputs]
    started = time.monotonic()
    try:
        node.client.submit(tx.raw)
    except ClientError as error:
        if isinstance(error, ApiProblem) and error.is_refusal:
            release(spent)
            raise problem_error(error) from None
        raise outcome_unknown(txid, str(error)) from None
    if wait_ms is None:
        return Outcome(txid, "pending", None, _since(started))
    try:
        final = wait_final(node.client, txid, wait_ms, on_refused=lambda: release(spent))
    except ApiProblem as problem:  # of the question, not of the transaction
        raise outcome_unknown(txid, str(problem)) from None
    release(spent)
    signers = len(final.proof.certificate.signers) if final.proof else 0
    return Outcome(txid, "final", final.height, _since(started), signers, final.position)


def wait_final(
    client: Client, txid: str, timeout_ms: int, *, on_refused: Callable[[], None] | None = None
) -> schemas.TransactionStatus:
    """Wait until a transaction is final; refusal and an unknown outcome are errors."""
    with Waiting(f"waiting for {txid[:12]}…", timeout_ms) as waiting:
        while True:
            try:
                wait_s = min(ASK_AGAIN_S, waiting.left_ms / 1_000)
                found = client.transaction(txid, wait_s=wait_s)
                if found.status == "final":
                    return found
                if found.status == "rejected":
                    if on_refused is not None:
                        on_refused()
                    raise CliError(
                        found.code or "rejected",
                        found.detail or "the node refused the transaction",
                        hint=HINTS.get(found.code or "", ""),
                        exit_code=ExitCode.REJECTED,
                        details={"txid": txid},
                    )
                waiting.because(_reason(client, found.status))
                # The node answers at once for what it does not know.
                pause_s = ASK_AGAIN_S / 4 if found.status == "unknown" else 0
            except ApiProblem as problem:
                if problem.is_refusal and problem.status != HTTP_BUSY:
                    raise
                waiting.because(str(problem))
                pause_s = max(ASK_AGAIN_S, problem.retry_after_s)
            except ClientError as error:
                raise outcome_unknown(txid, str(error)) from None
            if waiting.left_ms == 0:
                limit = f"not final after {timeout_ms / 1_000:g} s: {waiting.reason}"
                raise outcome_unknown(txid, limit)
            time.sleep(min(pause_s, waiting.left_ms / 1_000))


def outcome_unknown(txid: str, why: str) -> CliError:
    """Neither final nor refused as far as this machine knows: never to be called failed."""
    return CliError(
        "outcome_unknown",
        f"the outcome of {txid} is unknown: {why}",
        hint=f"it may still become final. Follow it with: marsa tx wait {txid}",
        exit_code=ExitCode.TIMEOUT,
        details={"txid": txid},
    )


def release(spent: Sequence[tuple[bytes, int]]) -> None:
    """Give these coins back to other payments of this machine."""
    if spent:
        with reservations(now_ms()) as held:
            held.remove(spent)


def describe_consensus(status: schemas.Status) -> str:
    """Why nothing might be committed, or how consensus stands, in one line."""
    consensus = status.consensus
    missing = ", ".join(known_as(consensus.missing, status.network.chain_id))
    if consensus.connected < consensus.quorum:
        return (
            f"{consensus.connected} of {consensus.validators} validators are connected, "
            f"{consensus.quorum} are needed; missing: {missing or 'unknown'}"
        )
    if status.sync.catching_up:
        return f"{status.node.name} is catching up: {status.sync.height} of " + str(
            status.sync.target_height
        )
    if consensus.reason:
        return consensus.reason
    absent = f"; missing: {missing}" if missing else ""
    return f"view {consensus.view}, primary {consensus.primary}{absent}"


def _reason(client: Client, status: str) -> str:
    consensus = describe_consensus(client.status())
    return consensus if status == "pending" else f"unknown to the node so far; {consensus}"


def _coin_pages(client: Client, address: str) -> Callable[[str | None], schemas.Page[schemas.Coin]]:
    def fetch(cursor: str | None) -> schemas.Page[schemas.Coin]:
        return client.coins(address, limit=schemas.PAGE_ITEMS_MAX, cursor=cursor)

    return fetch


def _since(started: float) -> int:
    return int((time.monotonic() - started) * 1_000)
