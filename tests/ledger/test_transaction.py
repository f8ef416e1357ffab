"""Transactions: every fault has its own reason, and good ones pass whole."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import transaction
from ledger.amounts import format_amount
from ledger.block import TRANSACTION_BYTES_MAX
from ledger.locks import Key, Threshold, lock_hash
from ledger.operations import Burn
from ledger.reasons import Invalid, Reason
from ledger.transaction import (
    MEMO_BYTES_MAX,
    Fee,
    FeeSchedule,
    Output,
    check_signatures,
    check_stateless,
    decode,
)
from tests.ledger.faults import Fault, judge
from tests.ledger.faults_membership import all_faults
from tests.ledger.world import COIN, World, key, lock_of, sign

WORLD = World()
FAULTS = all_faults(WORLD)


def test_the_faults_are_many_and_named_apart() -> None:
    """Two faults never share a name: the table below is read by name."""
    assert len(FAULTS) >= 60
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_is_refused_with_its_reason(fault: Fault) -> None:
    """Bytes go the whole way to a block in the making: the one expected reason comes out."""
    with pytest.raises(Invalid) as caught:
        judge(WORLD, fault.raw)
    assert caught.value.reason is fault.reason
    assert caught.value.detail


def test_good_transactions_pass_whole() -> None:
    """The transactions that the faults are made from are good themselves."""
    for tx in (WORLD.transfer("alice", "bob"), WORLD.mint(), burn_of(WORLD, 5 * COIN)):
        assert judge(WORLD, tx.raw) == tx


def burn_of(world: World, amount: int) -> transaction.SignedTransaction:
    coin = world.coin("alice")
    change = Output(coin.asset, coin.amount - amount - 2_000, lock_of("alice"))
    fee = Fee(coin.asset, 2_000)
    return sign(
        world.body([coin], [change], fee=fee, operations=[Burn(coin.asset, amount)]), ["alice"]
    )


def test_txid_covers_the_body_and_wtxid_the_witness() -> None:
    """One body with two witnesses has one txid and two wtxids."""
    good = WORLD.transfer("alice", "bob")
    other = sign(good.body, ["alice"], ["bob"])
    assert good.txid == other.txid == transaction.transaction_id(good.body)
    assert good.wtxid != other.wtxid


@given(st.data())
def test_every_field_of_the_body_is_signed(data: st.DataObject) -> None:
    """Changing any field of a body changes what is signed."""
    body = WORLD.transfer("alice", "bob").body
    changes = {
        "chain_id": bytes(32),
        "inputs": (),
        "outputs": body.outputs[:1],
        "fee": Fee(body.fee.asset, body.fee.amount + 1),
        "operations": (Burn(body.fee.asset, 1),),
        "expires_at_ms": body.expires_at_ms + 1,
        "memo": b"!",
    }
    name = data.draw(st.sampled_from(sorted(changes)))
    other = msgspec.structs.replace(body, **{name: changes[name]})
    assert transaction.sighash(other) != transaction.sighash(body)


def test_threshold_needs_exactly_k_signatures() -> None:
    """2 of 3 with two signatures passes, with one it lacks one, with three one is spare."""
    names = ("alice", "bob", "carol")
    condition = Threshold(2, tuple(sorted(key(name).public for name in names)))
    body = WORLD.transfer("alice", "bob").body
    for signers, expected in (
        (names[:2], None),
        (names[1:], None),
        (names[:1], Reason.MISSING_SIGNATURE),
        (names, Reason.SPARE_SIGNATURE),
    ):
        tx = sign(body, [], signers, conditions=[condition])
        if expected is None:
            check_stateless(tx, WORLD.chain_id, WORLD.fees)
            check_signatures(tx)
            continue
        with pytest.raises(Invalid) as caught:
            check_stateless(tx, WORLD.chain_id, WORLD.fees)
        assert caught.value.reason is expected


def test_one_signature_serves_every_input_of_its_key() -> None:
    """Two coins of one owner need one condition and one signature."""
    coins = [WORLD.coin("alice", issuer) for issuer in ("val0", "val1")]
    outputs = [
        Output(coins[0].asset, coins[0].amount - 2_000, lock_of("bob")),
        Output(coins[1].asset, coins[1].amount, lock_of("bob")),
    ]
    tx = sign(WORLD.body(coins, outputs, fee=Fee(coins[0].asset, 2_000)), ["alice"])
    assert len(tx.witness.signatures) == len(tx.witness.conditions) == 1
    judge(WORLD, tx.raw)


def test_fee_grows_with_bytes_signatures_and_new_outputs() -> None:
    """a·bytes + b·signatures + c·growth, and consolidation is never below a·bytes + b."""
    fees = FeeSchedule(per_byte=3, per_signature=7, per_new_output=11)
    tx = WORLD.transfer("alice", "bob")
    assert fees.required(tx) == 3 * len(tx.raw) + 7 + 11
    assert fees.required(WORLD.mint()) == 0
    coin = WORLD.coin("alice")
    one = sign(WORLD.body([coin], [Output(coin.asset, 1, lock_of("bob"))]), ["alice"])
    assert fees.required(one) == 3 * len(one.raw) + 7
    unsigned = transaction.seal(one.body, transaction.Witness((), (), ()))
    assert fees.required(unsigned) == 3 * len(unsigned.raw) + 7


def test_fee_is_met_exactly_or_refused() -> None:
    """One µ less than required is refused, the very amount passes."""
    coin = WORLD.coin("alice")

    def paying(amount: int) -> transaction.SignedTransaction:
        change = Output(coin.asset, coin.amount - amount, lock_of("alice"))
        return sign(WORLD.body([coin], [change], fee=Fee(coin.asset, amount)), ["alice"])

    needed = WORLD.fees.required(paying(300))
    check_stateless(paying(needed), WORLD.chain_id, WORLD.fees)
    with pytest.raises(
        Invalid, match=f"{format_amount(needed - 1)} coins offered, {format_amount(needed)} needed"
    ):
        check_stateless(paying(needed - 1), WORLD.chain_id, WORLD.fees)


def test_limits_are_inclusive() -> None:
    """A memo of exactly 256 bytes and 64 outputs pass."""
    coin = WORLD.coin("alice")
    fee = 30_000
    share = (coin.amount - fee) // 64
    outputs = [Output(coin.asset, share, lock_of(f"holder {i}")) for i in range(63)]
    outputs.append(Output(coin.asset, coin.amount - fee - 63 * share, lock_of("alice")))
    body = WORLD.body([coin], outputs, fee=Fee(coin.asset, fee), memo=bytes(MEMO_BYTES_MAX))
    judge(WORLD, sign(body, ["alice"]).raw)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    """Whatever the bytes, only Invalid leaves the decoder."""
    with pytest.raises(Invalid):
        decode(data)


@given(st.data())
def test_any_changed_byte_is_refused(data: st.DataObject) -> None:
    """One changed byte of a good transaction never passes all checks without state."""
    raw = bytearray(WORLD.transfer("alice", "bob").raw)
    index = data.draw(st.integers(0, len(raw) - 1))
    raw[index] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Invalid):
        tx = decode(bytes(raw))
        check_stateless(tx, WORLD.chain_id, WORLD.fees)
        check_signatures(tx)


@pytest.mark.parametrize("depth", range(440, 560, 3))
def test_deep_nesting_never_escapes_as_another_error(depth: int) -> None:
    """Conditions nested about as deep as the interpreter's limit: Invalid at every depth."""
    good = WORLD.transfer("alice", "bob")
    inner = b"\x92\x01\xc4\x20" + key("alice").public
    raw = good.raw.replace(inner, b"\x92\x06\x91" * depth + inner, 1)
    assert len(raw) < TRANSACTION_BYTES_MAX
    free = FeeSchedule(0, 0, 0)
    with pytest.raises(Invalid):
        check_stateless(decode(raw), WORLD.chain_id, free)


def test_asset_ids_differ_by_chain_and_issuer() -> None:
    """Neither another chain nor another issuer gives the same asset."""
    chains, issuers = (bytes(32), bytes([1]) * 32), ("a", "ab")
    ids = {transaction.asset_id(chain, issuer) for chain in chains for issuer in issuers}
    assert len(ids) == 4


def test_witness_conditions_are_exactly_those_of_the_inputs() -> None:
    """The lock hash that an output carries is that of the revealed condition."""
    tx = WORLD.transfer("alice", "bob")
    assert tx.locks == (lock_hash(Key(key("alice").public)),) == (lock_of("alice"),)
