"""Operations in words: the words are a part of the format of .ptx files."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.wallet.operation_text import describe_operation
from ledger import operations as ops
from ledger import redemption_operations as orders
from ledger.codec import Wire
from ledger.economy.attestor import AttestorGrant
from ledger.economy.redemption import Receipt
from ledger.economy.regulator import RegulatorKeys
from ledger.economy.standard import Factor, Reference
from tests.ledger.shapes import any_of
from tests.ledger.world import COIN, TIME_MS, World, grant, key, terms

A, B = b"\x01" * 32, b"\x02" * 32
HEXED = A.hex()
LISTED = "(hash 4f11)"
SIGNED = b"\x03" * 64
LATER_MS = TIME_MS + 30 * 24 * 3_600_000
NOON, LATER = "2027-01-15T08:00:00.000Z", "2027-02-14T08:00:00.000Z"
WORDS = {
    ops.Remove("kite", 3): "remove 'kite', version 3",
    ops.Suspend("kite", 0): "suspend 'kite', version 0",
    ops.Revoke("kite", 1): "revoke 'kite', version 1",
    ops.Reinstate("kite", 1): "reinstate 'kite', version 1",
    ops.EndEpoch(7): "end epoch 7 with the block that holds this",
    ops.Burn(A, 1_500_000): f"burn 1.500000 of asset {HEXED}",
    ops.Mint("kite", A, 2, 5, COIN): (
        f"mint 1.000000 coins of 'kite', lane 2, number 5, by key {HEXED}"
    ),
    ops.ValidatorReady("kite", A, 9, A): (
        f"'kite' holds block {HEXED} at height 9, by key {HEXED}"
    ),
    ops.WindDown("kite", A, 4): f"wind-down 'kite', version 4, by key {HEXED}",
    ops.RotateKey("kite", A, 4, "treasury", B): (
        f"rotate treasury key of 'kite' to {B.hex()}, version 4, by key {HEXED}"
    ),
    ops.RotateRegulator(1, RegulatorKeys(1, (A, B))): (
        f"rotate the regulator's keys to 1 of {HEXED}, {B.hex()}, version 1"
    ),
    ops.AdmitAttestor(AttestorGrant("lab", "A Lab", "north", A), 0): (
        f"admit attestor 'lab' (A Lab; group north), version 0, key {HEXED}"
    ),
    ops.RemoveAttestor("lab", 1): "remove attestor 'lab', version 1",
    ops.Commit(A, 1, 2, terms("kite")): (
        "commit 'capacity-kite' of 'kite': 1000000 µh a period of gpu-80g in eu-west for "
        f"inference, training from {NOON} to {LATER}, lane 1, number 2, by key {HEXED}"
    ),
    ops.Amend("kite", A, 1, 2, "fast", 1, 5, TIME_MS): (
        f"amend 'fast' of 'kite', version 1: 5 µh a period to {NOON}, lane 1, number 2, "
        f"by key {HEXED}"
    ),
    ops.Attest("lab", A, 1, 2, "kite", "fast", 4, TIME_MS, 9): (
        f"attest 9 µh a period of 'fast' of 'kite', of height 4, until {NOON}, as 'lab', lane 1, "
        f"number 2, by key {HEXED}"
    ),
    ops.OpenChallenge("kite", "fast", A, COIN, B): (
        f"challenge commitment 'fast' of 'kite', deposit 1.000000 of asset {HEXED}, "
        f"back to lock {B.hex()}"
    ),
    ops.Rule("lab", A, "kite", "fast", True, TIME_MS): (
        f"rule as 'lab': upheld, 'fast' of 'kite' challenged {NOON}, by key {HEXED}"
    ),
    ops.SealNonce("lab", A, 7, B): (f"seal digest {B.hex()} for period 7 as 'lab', by key {HEXED}"),
    ops.RevealNonce("lab", A, 7, B): (
        f"reveal nonce {B.hex()} of period 7 as 'lab', by key {HEXED}"
    ),
    ops.DepositBond("kite", A, COIN): f"put 1.000000 of asset {HEXED} into bond 'kite'",
    ops.WithdrawBond("kite", A, 1, 2, B, COIN): (
        f"take 1.000000 of asset {B.hex()} from bond 'kite', lane 1, number 2, by key {HEXED}"
    ),
    ops.RenewOrder("o-1", 1, TIME_MS): f"renew order 'o-1' until {NOON}, version 1",
    ops.LiftOrder("o-1", 1): "lift order 'o-1', version 1",
    ops.ProposeStandard(
        2,
        (Reference("inference", 5), Reference("training", 33_000)),
        (Factor("tpu", "training", 900_000),),
    ): (
        "propose standard 2: units an hour inference 5, training 33000; "
        "new factors tpu/training 900000"
    ),
    ops.ProposeStandard(2, (), (Factor("tpu", "training", 1),)): (
        "propose standard 2: units an hour as they are; new factors tpu/training 1"
    ),
    ops.ProposeStandard(3, (Reference("training", 7),), ()): (
        "propose standard 3: units an hour training 7; new factors none"
    ),
    orders.Redeem("kite", "fast", "training", COIN, A, B, TIME_MS, LATER_MS, 0): (
        f"redeem 1.000000 coins of 'kite' for training of 'fast', begun by {NOON}, until {LATER}, "
        f"not waiting, session key {HEXED}, back to lock {B.hex()}"
    ),
    orders.Redeem("kite", "fast", "training", COIN, A, B, LATER_MS, LATER_MS, TIME_MS): (
        f"redeem 1.000000 coins of 'kite' for training of 'fast', begun by {LATER}, until {LATER}, "
        f"waiting until {NOON}, session key {HEXED}, back to lock {B.hex()}"
    ),
    orders.CancelRedemption("kite", B, A): f"cancel order {B.hex()} of 'kite', by key {HEXED}",
    orders.AcceptRedemption("kite", B, A): f"accept order {B.hex()} of 'kite', by key {HEXED}",
    orders.ReadyRedemption("kite", B, A, "h:1", A): (
        f"serve order {B.hex()} of 'kite' at h:1, certificate {HEXED}, by key {HEXED}"
    ),
    orders.PostReceipt("kite", A, Receipt(B, 3, COIN, 7, A), B, SIGNED): (
        f"post receipt 3 of order {B.hex()} of 'kite': 1.000000 delivered in 7 µh, meter {HEXED}, "
        f"session key {B.hex()}, signature {SIGNED.hex()}, by key {HEXED}"
    ),
    orders.CloseRedemption("kite", B, A): f"close order {B.hex()} of 'kite', by key {HEXED}",
    orders.DisputeRedemption("kite", B, A, 5, A, COIN, B): (
        f"dispute order {B.hex()} of 'kite': 0.000005 delivered, deposit 1.000000 of asset "
        f"{HEXED}, back to lock {B.hex()}, by key {HEXED}"
    ),
    orders.RuleRedemption("lab", A, B, True): (
        f"rule as 'lab': upheld, dispute about order {B.hex()}, by {HEXED}"
    ),
    ops.WithdrawStandard(TIME_MS): f"withdraw the step of the standard noticed {NOON}",
}
LISTS = {
    ops.PledgeDevices("kite", A, 1, 2, "fast", 1, (A, B)): (
        f"pledge 2 devices {LISTED} to 'fast' of 'kite', version 1, lane 1, number 2, "
        f"by key {HEXED}"
    ),
    ops.OpenDevices("kite", A, 7, 3, (A, B)): (
        f"open 2 devices {LISTED} of 'kite' for period 7 after 3, by key {HEXED}"
    ),
    ops.FreezeOrder("o-1", A, (A, B), TIME_MS): (
        f"freeze 2 locks {LISTED} until {NOON} by order 'o-1', reference {HEXED}"
    ),
}


def test_the_words_of_every_operation() -> None:
    """Other words would be another format."""
    assert [describe_operation(item) for item in WORDS] == list(WORDS.values())
    admission = describe_operation(ops.Admit(grant("val9", issuer=False), 0))
    assert admission.startswith("admit 'val9' (Cloud val9; EU), version 0, to validate until 2029-")
    applied = describe_operation(ops.Apply(grant("val9", issuer=False)))
    assert applied.startswith("apply for 'val9' (Cloud val9; EU), to validate until 2029-")
    for role in ("operations", "treasury", "metering", "consensus", "link"):
        assert f"{role} {key(f'val9/{role}').public.hex()}" in admission
    accused = describe_operation(World().evidence("val0"))
    assert accused == f"'val0' voted at epoch 0, view 2, height 7 for {'01' * 32} and {'02' * 32}"
    tested = {type(item) for item in (*WORDS, *LISTS)} | {ops.Admit, ops.Apply, ops.Evidence}
    assert tested == set(get_args(ops.Operation))


@pytest.mark.parametrize("operation", LISTS)
def test_lists_show_their_number_and_a_hash(operation: ops.Operation) -> None:
    """Two devices in another order have another hash."""
    said = describe_operation(operation)
    digest = said.split("(hash ")[1][:64]
    assert said == LISTS[operation].replace("4f11", digest)
    for name in ("devices", "targets"):
        if hasattr(operation, name):
            reversed_list = tuple(reversed(getattr(operation, name)))
            other = msgspec.structs.replace(operation, **{name: reversed_list})
            assert digest not in describe_operation(other)


@given(st.data(), st.sampled_from([k for k in get_args(ops.Operation) if k is not ops.Evidence]))
def test_whatever_is_signed_is_said(data: st.DataObject, kind: type[Wire]) -> None:
    """Two operations that differ in any field differ in words, but for bytes of certificates,
    whose hash is said."""
    first, second = data.draw(any_of(kind)), data.draw(any_of(kind))
    changed = _one_field_of(first, second, data)
    if changed != first:
        assert describe_operation(changed) != describe_operation(first)


def _one_field_of(first: Any, second: Any, data: st.DataObject) -> Any:
    names = [name for name in first.__struct_fields__ if name != "certificate"]
    name = data.draw(st.sampled_from(names))
    value, other = getattr(first, name), getattr(second, name)
    if isinstance(value, Wire):
        other = _one_field_of(value, other, data)
    return msgspec.structs.replace(first, **{name: other})
