"""Coin selection: its order of preference, its limits, and that it never picks too little."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from cli.wallet.selection import INPUTS_MAX, Coin, cover, select, total

ASSET, LOCK = b"\xaa" * 32, b"\xbb" * 32


def coins(*amounts: int) -> list[Coin]:
    return [
        Coin(amount=amount, txid=index.to_bytes(32, "big"), index=0, asset=ASSET, lock=LOCK)
        for index, amount in enumerate(amounts)
    ]


def amounts_of(chosen: Sequence[Coin] | None) -> list[int] | None:
    return None if chosen is None else [coin.amount for coin in chosen]


def pick(*amounts: int, target: int, tolerance: int = 0) -> list[int] | None:
    return amounts_of(select(coins(*amounts), target, tolerance=tolerance, seed=1))


def test_an_exact_coin_comes_first() -> None:
    """One coin that fits within the tolerance beats any combination."""
    assert pick(5, 5, 10, 100, target=10) == [10]
    assert pick(5, 5, 12, 100, target=10, tolerance=2) == [12]


def test_all_smaller_coins_when_they_are_exact_together() -> None:
    """Smaller coins that add up exactly are all spent."""
    assert pick(2, 3, 5, 100, target=10) == [2, 3, 5]


def test_a_subset_is_preferred_to_a_larger_coin_while_it_leaves_less_change() -> None:
    """The search finds 7 + 4 for 11 although 100 would do."""
    assert pick(1, 4, 7, 100, target=11) == [4, 7]
    assert pick(4, 9, 12, target=11) == [12]


def test_the_smallest_coin_above_is_the_last_resort() -> None:
    """Where smaller coins do not suffice, the smallest sufficient coin is broken."""
    assert pick(1, 2, 50, 60, target=20) == [50]


def test_nothing_when_nothing_suffices() -> None:
    """Too little in all, none at all, and too many coins for one transaction."""
    assert pick(1, 2, target=4) is None
    assert pick(target=1) is None
    assert pick(*[1] * (INPUTS_MAX + 1), target=INPUTS_MAX + 1) is None


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(1, 10**12), max_size=90),
    st.integers(1, 10**13),
    st.integers(0, 1_000),
    st.integers(0, 2**32),
)
def test_selection_is_sufficient_minimal_limited_and_repeatable(
    amounts: list[int], target: int, tolerance: int, seed: int
) -> None:
    """Random wallets: enough whenever 64 coins can be enough; no coin could be left out."""
    given_coins = coins(*amounts)
    chosen = select(given_coins, target, tolerance=tolerance, seed=seed)
    possible = sum(sorted(amounts, reverse=True)[:INPUTS_MAX]) >= target
    assert (chosen is not None) == possible
    if chosen is None:
        return
    assert total(chosen) >= target
    assert len(chosen) <= INPUTS_MAX
    assert len(set(chosen)) == len(chosen) and set(chosen) <= set(given_coins)
    if total(chosen) > target + tolerance:
        assert all(total(chosen) - coin.amount < target for coin in chosen)
    shuffled = list(reversed(given_coins))
    assert select(shuffled, target, tolerance=tolerance, seed=seed) == chosen


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 5_000), max_size=90), st.integers(1, 100_000))
def test_cover_pays_for_the_inputs_that_it_needs(amounts: list[int], amount: int) -> None:
    """The fee grows with each input; what is chosen always covers amount and its own fee."""

    def fee_of(chosen: Sequence[Coin]) -> int:
        return 150 + 90 * len(chosen)

    chosen = cover(coins(*amounts), amount, fee_of, tolerance=300, seed=7)
    if chosen is not None:
        assert total(chosen) >= amount + fee_of(chosen)
    elif amounts:
        assert max(amounts) < amount + fee_of([coins(1)[0]])
