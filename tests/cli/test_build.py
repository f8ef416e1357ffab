"""Drafts and signed transactions: they conserve, they pay exactly enough, a node takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.errors import CliError
from cli.wallet import build
from cli.wallet.payment import Holding, Wish, plan, plan_merge
from cli.wallet.selection import INPUTS_MAX, Coin
from ledger.crypto import SigningKey
from ledger.locks import Condition, Key, Moment, is_satisfied, lock_hash
from ledger.transaction import FeeSchedule, asset_id, check_signatures, check_stateless
from tests.ledger.test_locks import DIGESTS, SPENDERS, conditions, moments

CHAIN = b"\x07" * 32
FEES = FeeSchedule(per_byte=1, per_signature=50, per_new_output=200)
TERMS = build.Terms(CHAIN, FEES, expires_at_ms=1_900_000_000_000, memo=b"rent")
SIGNERS = [SigningKey(bytes([index + 1]) * 32) for index in range(3)]
LOCKS = [lock_hash(Key(key.public)) for key in SIGNERS]
CONDITIONS = {lock: Key(key.public) for lock, key in zip(LOCKS, SIGNERS, strict=True)}
ASSETS = [asset_id(CHAIN, name) for name in ("acme", "birch", "cedar")]
TO = b"\x99" * 32
COIN = 1_000_000


def coins(*held: tuple[int, int]) -> tuple[Coin, ...]:
    """(asset number, amount) for each coin; owners take turns."""
    return tuple(
        Coin(amount, index.to_bytes(32, "big"), index, ASSETS[asset], LOCKS[index % 3])
        for index, (asset, amount) in enumerate(held)
    )


def holding(own: Sequence[Coin], *reserved: int) -> Holding:
    busy = dict.fromkeys([own[index].outpoint for index in reserved], 1)
    issuers = dict(zip(ASSETS, ("acme", "birch", "cedar"), strict=True))
    return Holding("alice", tuple(own), busy, CONDITIONS, issuers)


def wish(amount: int, **rest: object) -> Wish:
    return Wish(amount=amount, to=TO, change_lock=LOCKS[0], **rest)  # type: ignore[arg-type]


def check_as_a_node(draft: build.Draft) -> None:
    """Sign, then run the checks of the ledger; the fee is enough and never wasteful."""
    tx = build.sign(TERMS, draft, SIGNERS)
    check_stateless(tx, CHAIN, FEES)
    check_signatures(tx)
    assert tx.txid == draft.txid
    required = FEES.required(tx)
    assert required <= draft.fee
    if draft.body.fee.asset in draft.change:
        assert draft.fee <= required + 4
    else:
        assert draft.fee <= required + TERMS.tolerance


def test_pays_one_asset_with_change() -> None:
    """One coin of 10, 4 sent: two outputs, change to the holder, fee as the schedule says."""
    draft = plan(TERMS, holding(coins((0, 10 * COIN))), wish(4 * COIN))
    first, change = draft.body.outputs
    assert (first.lock, first.amount) == (TO, 4 * COIN)
    assert (change.lock, change.amount) == (LOCKS[0], 6 * COIN - draft.fee)
    assert draft.body.memo == b"rent"
    check_as_a_node(draft)


def test_takes_the_asset_of_which_most_is_held() -> None:
    """Without a choice the largest holding pays, also its fee; with one, the chosen asset does."""
    own = holding(coins((0, 3 * COIN), (1, 9 * COIN), (0, 4 * COIN)))
    assert plan(TERMS, own, wish(COIN)).parts[0].asset == ASSETS[1]
    chosen = plan(TERMS, own, wish(COIN, asset=ASSETS[0]))
    assert chosen.parts[0].asset == chosen.body.fee.asset == ASSETS[0]


def test_sends_the_last_unit() -> None:
    """Amount plus fee equal to all that is held leaves no change and no rest."""
    own = coins((0, 2 * COIN), (0, COIN))
    fee = next(
        fee
        for fee in range(300, 2_000)
        if build.draft_exact(TERMS, own, CONDITIONS, payment(3 * COIN - fee)) is not None
    )
    draft = plan(TERMS, holding(own), wish(3 * COIN - fee))
    assert draft.fee == fee and not draft.change
    check_as_a_node(draft)
    with pytest.raises(CliError, match="insufficient_funds"):
        plan(TERMS, holding(own), wish(3 * COIN - fee + 1))


def test_merges_the_smallest_coins_of_the_asset_in_most_coins() -> None:
    """As many as fit, into one output at the first lock, with nothing left over but the fee."""
    own = coins((1, 900 * COIN), *((0, COIN + 1_000 * number) for number in range(70)))
    draft = plan_merge(TERMS, holding(own, 1), None)
    assert {coin.outpoint for coin in draft.coins} == {coin.outpoint for coin in own[2:66]}
    assert len(draft.coins) == INPUTS_MAX and not draft.change
    (merged,) = draft.body.outputs
    assert (merged.asset, merged.lock) == (ASSETS[0], LOCKS[0])
    assert merged.amount == sum(coin.amount for coin in draft.coins) - draft.fee
    check_as_a_node(draft)


def test_merges_what_is_worth_it_where_other_coins_are_not() -> None:
    """Most coins are of an asset, or at addresses, that would cost more than they are worth."""
    tiny = TERMS.dust + 1
    other = coins((0, tiny), (0, tiny), (0, tiny), (1, 100 * COIN), (1, 100 * COIN))
    draft = plan_merge(TERMS, holding(other), None)
    assert {coin.asset for coin in draft.coins} == {ASSETS[1]}
    check_as_a_node(draft)
    dear = [Coin(tiny, bytes([9]) * 32, index, ASSETS[0], LOCKS[2]) for index in range(70)]
    own = [*coins((0, 50 * COIN), (0, 60 * COIN)), *dear]
    draft = plan_merge(TERMS, holding(own), None)
    assert {coin.lock for coin in draft.coins} == {LOCKS[0], LOCKS[1]}
    check_as_a_node(draft)


@pytest.mark.parametrize(
    ("held", "asset"),
    [
        ([], None),
        ([(0, COIN)], None),
        ([(0, COIN), (1, COIN)], None),
        ([(0, COIN), (0, COIN), (1, COIN)], 1),
        ([(0, COIN), (0, TERMS.dust)], None),
        ([(0, TERMS.dust + 1), (0, TERMS.dust + 1)], None),
    ],
)
def test_what_is_not_worth_merging(held: list[tuple[int, int]], asset: int | None) -> None:
    """One coin an asset, dust, coins that do not pay for the transaction."""
    with pytest.raises(CliError, match="nothing_to_merge"):
        plan_merge(TERMS, holding(coins(*held)), None if asset is None else ASSETS[asset])


def payment(amount: int) -> build.Payment:
    return build.Payment((build.Part(ASSETS[0], amount),), TO, LOCKS[0])


@pytest.mark.parametrize(
    ("held", "reserved", "amount", "code"),
    [
        ([], [], COIN, "insufficient_funds"),
        ([(0, COIN)], [], 2 * COIN, "insufficient_funds"),
        ([(0, COIN)], [], COIN, "insufficient_funds"),
        ([(0, 9 * COIN)], [0], COIN, "funds_reserved"),
        ([(0, 9 * COIN), (1, COIN)], [0], 2 * COIN, "funds_reserved"),
        ([(0, 3 * COIN), (1, 3 * COIN)], [], 5 * COIN, "insufficient_single_asset"),
        ([(0, COIN)] * 70, [], 69 * COIN, "too_many_coins"),
    ],
)
def test_says_why_it_cannot_pay(
    held: list[tuple[int, int]], reserved: list[int], amount: int, code: str
) -> None:
    """Nothing there, on its way, spread over assets, spread over coins: four different codes."""
    with pytest.raises(CliError) as caught:
        plan(TERMS, holding(coins(*held), *reserved), wish(amount))
    assert caught.value.code == code
    assert caught.value.hint
    if code == "insufficient_single_asset":
        assert "--mix" in caught.value.hint


def test_mix_pays_with_several_assets() -> None:
    """5 of 3 + 3 + 1: two assets suffice, one output each to the receiver, parts add up."""
    own = holding(coins((0, 3 * COIN), (1, 3 * COIN), (2, COIN)))
    draft = plan(TERMS, own, wish(5 * COIN, mix=True))
    assert sum(part.amount for part in draft.parts) == 5 * COIN
    assert len(draft.parts) == 2
    check_as_a_node(draft)
    with pytest.raises(CliError, match="insufficient_funds"):
        plan(TERMS, own, wish(7 * COIN, mix=True))


def test_given_coins_are_spent_and_no_others() -> None:
    """--coin: all of the given coins, even if a selection would take another."""
    own = coins((0, COIN), (0, 2 * COIN), (0, 50 * COIN))
    only = (own[0].outpoint, own[1].outpoint)
    draft = plan(TERMS, holding(own, 0), wish(COIN, only=only))
    assert {coin.outpoint for coin in draft.coins} == set(only)
    check_as_a_node(draft)
    with pytest.raises(CliError, match="unknown_coin"):
        plan(TERMS, holding(own), wish(COIN, only=((b"\xee" * 32, 0),)))


def test_burns_without_an_output_to_anybody() -> None:
    """`to` None makes a burn operation; only change is put out."""
    burn = Wish(amount=COIN, to=None, change_lock=LOCKS[0])
    draft = plan(TERMS, holding(coins((0, 5 * COIN))), burn)
    assert [output.lock for output in draft.body.outputs] == [LOCKS[0]]
    assert draft.body.operations[0].amount == COIN
    check_as_a_node(draft)


def test_mint_is_signed_by_the_treasury_and_free() -> None:
    """A mint has no inputs and no fee, and passes the ledger's checks."""
    draft = build.draft_mint(
        TERMS, issuer="acme", key=SIGNERS[1].public, lane=0, number=3, amount=COIN, to=TO
    )
    tx = build.sign(TERMS, draft, [SIGNERS[1]])
    assert tx.body.outputs[0].asset == ASSETS[0]
    assert FEES.required(tx) == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 20 * COIN)), max_size=25),
    st.integers(1, 60 * COIN),
    st.booleans(),
)
def test_every_draft_conserves_and_is_taken_by_a_node(
    held: list[tuple[int, int]], amount: int, mix: bool
) -> None:
    """Random wallets and amounts: a draft that the ledger takes, or a typed error that is true."""
    own = holding(coins(*held))
    by_asset: Counter[int] = Counter()
    for asset, worth in held:
        by_asset[asset] += worth
    try:
        draft = plan(TERMS, own, wish(amount, mix=mix))
    except CliError as error:
        room = 8_000  # above any fee of 25 inputs, three outputs and three signatures
        held_enough = sum(by_asset.values()) if mix else max(by_asset.values(), default=0)
        assert held_enough < amount + room
        assert error.code in {"insufficient_funds", "insufficient_single_asset"}
        return
    assert sum(part.amount for part in draft.parts) == amount
    assert mix or len(draft.parts) == 1
    assert set(draft.coins) <= set(own.coins)
    check_as_a_node(draft)


@given(conditions, moments, st.data())
@settings(deadline=None)
def test_no_witness_is_dearer_than_the_dearest_way(
    condition: Condition, at: Moment, data: st.DataObject
) -> None:
    """Leave out of all signatures and preimages what is not needed at some moment, in any order:
    what remains is no more than the fee was worked out for."""
    keys, hashes = set(SPENDERS), set(DIGESTS)
    if not is_satisfied(condition, keys, hashes, at):
        return
    for item in data.draw(st.permutations(sorted(keys | hashes))):
        if is_satisfied(condition, keys - {item}, hashes - {item}, at):
            keys.discard(item)
            hashes.discard(item)
    signatures, preimages = build.dearest_way(condition)
    assert len(keys) <= signatures
    assert len(hashes) <= preimages
