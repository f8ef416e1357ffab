"""Which coins to spend.

In this order: one coin that is exact, all smaller coins when they are exact together, the best
subset of smaller coins that a bounded, seeded search finds, the smallest coin above. Exact means
that what is left over is worth less than an output of change costs. The search is preferred to a
larger coin only while it leaves less change, so that it tidies small coins without breaking large
ones for nothing.

The fee grows with the number of inputs, so `cover` selects again for the fee of what it selected
until the coins pay for themselves. Equal arguments select equal coins.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

INPUTS_MAX = 64  # as in ledger.transaction, without its import; a test compares the two
SEARCH_ROUNDS = 200
SEARCH_COINS_MAX = 512
"""The largest ones take part; a round draws `inputs_max` of them: about 10 ms in all."""
FEE_ROUNDS_MAX = 256
"""Above the number of different fees that 64 inputs can have."""


@dataclass(frozen=True, slots=True, order=True)
class Coin:
    """An unspent output of the holder's."""

    amount: int
    txid: bytes
    index: int
    asset: bytes
    lock: bytes

    @property
    def outpoint(self) -> tuple[bytes, int]:
        return (self.txid, self.index)


FeeOf = Callable[[Sequence[Coin]], int]
"""The fee of a transaction that spends these coins and has no change."""


def cover(
    coins: Sequence[Coin], amount: int, fee_of: FeeOf, *, tolerance: int, seed: int
) -> list[Coin] | None:
    """Coins that pay `amount` and the fee of spending them; None when no choice does."""
    if not coins:
        return None
    fee = fee_of([max(coins)])
    for _ in range(FEE_ROUNDS_MAX):
        chosen = select(coins, amount + fee, tolerance=tolerance, seed=seed)
        if chosen is None:
            return None
        needed = fee_of(chosen)
        if total(chosen) >= amount + needed:
            return chosen
        fee = needed
    return None


def select(
    coins: Sequence[Coin],
    target: int,
    *,
    tolerance: int,
    seed: int,
    inputs_max: int = INPUTS_MAX,
) -> list[Coin] | None:
    """At most `inputs_max` coins worth at least `target`; None when there are none."""
    ordered = sorted(coins)
    above = next((coin for coin in ordered if coin.amount >= target), None)
    if above is not None and above.amount <= target + tolerance:
        return [above]
    smaller = [coin for coin in ordered if coin.amount < target]
    if len(smaller) <= inputs_max and target <= total(smaller) <= target + tolerance:
        return smaller
    found = _search(smaller, target, tolerance=tolerance, seed=seed, inputs_max=inputs_max)
    if above is not None and (found is None or total(found) >= above.amount):
        return [above]
    return found


def total(coins: Sequence[Coin]) -> int:
    return sum(coin.amount for coin in coins)


def _search(
    coins: Sequence[Coin], target: int, *, tolerance: int, seed: int, inputs_max: int
) -> list[Coin] | None:
    """The cheapest sufficient subset met in a bounded number of random passes.

    The largest coins first are one candidate: when they do not suffice, nothing does.
    """
    pool = sorted(coins, reverse=True)[:SEARCH_COINS_MAX]
    best = _first_sufficient(pool, target, inputs_max)
    if best is None:
        return None
    chance = random.Random(seed)
    for _ in range(SEARCH_ROUNDS):
        if total(best) <= target + tolerance:
            break
        sample = chance.sample(pool, min(inputs_max, len(pool)))
        found = _first_sufficient(sample, target, inputs_max)
        if found is not None and (total(found), len(found)) < (total(best), len(best)):
            best = found
    return sorted(best)


def _first_sufficient(pool: Sequence[Coin], target: int, inputs_max: int) -> list[Coin] | None:
    """Take coins in order until they suffice, then give back those that are not needed."""
    taken: list[Coin] = []
    worth = 0
    for coin in pool[:inputs_max]:
        taken.append(coin)
        worth += coin.amount
        if worth >= target:
            break
    else:
        return None
    for coin in sorted(taken, reverse=True):
        if worth - coin.amount >= target:
            taken.remove(coin)
            worth -= coin.amount
    return taken
