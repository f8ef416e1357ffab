"""Every way to send a bad transaction: one reason, the same from check, submit and batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ledger import codec, transaction
from ledger.crypto import ZERO_HASH
from ledger.locks import After, Condition, Key, lock_hash
from ledger.operations import Mint
from ledger.transaction import (
    LIFETIME_MS_MAX,
    Fee,
    Input,
    KeySignature,
    Output,
    SealedTransaction,
    Transaction,
    Witness,
)
from node.api import schemas
from node.api.convert import transaction_answer
from tests.ledger.world import COIN, World, key
from tests.node.api.harness import Api, Node, open_api

JSON = "application/json"


def seal(body: Transaction, owner: str = "alice", *, signers: tuple[str, ...] = ()) -> bytes:
    """Sign whatever the body is; nothing is checked here."""
    message = transaction.sighash(body)
    names = sorted(signers or (owner,), key=lambda name: key(name).public)
    return raw_of(
        body,
        (Key(key(owner).public),),
        tuple(KeySignature(key(name).public, key(name).sign(message)) for name in names),
    )


def raw_of(
    body: Transaction, conditions: tuple[Condition, ...], signatures: tuple[KeySignature, ...]
) -> bytes:
    return codec.encode(SealedTransaction(body, Witness(conditions, signatures, ())))


def good(world: World) -> Transaction:
    return world.transfer("alice", "bob").body


def with_amount(world: World, amount: Any) -> bytes:
    body = good(world)
    return seal(replace(body, outputs=(replace(body.outputs[0], amount=amount),)))


def duplicate_inputs(world: World) -> bytes:
    body = good(world)
    twice = replace(body.outputs[1], amount=body.outputs[1].amount + body.inputs[0].amount)
    return seal(replace(body, inputs=body.inputs * 2, outputs=(body.outputs[0], twice)))


def unbalanced(world: World) -> bytes:
    body = good(world)
    return seal(replace(body, outputs=body.outputs[:1]))


def wrong_declared_amount(world: World) -> bytes:
    body = good(world)
    spent = replace(body.inputs[0], amount=body.inputs[0].amount + 1)
    change = replace(body.outputs[1], amount=body.outputs[1].amount + 1)
    return seal(replace(body, inputs=(spent,), outputs=(body.outputs[0], change)))


def unknown_input(world: World) -> bytes:
    body = good(world)
    return seal(replace(body, inputs=(replace(body.inputs[0], index=7),)))


def bad_signature(world: World) -> bytes:
    body = good(world)
    return raw_of(
        body, (Key(key("alice").public),), (KeySignature(key("alice").public, bytes(64)),)
    )


def missing_signature(world: World) -> bytes:
    return raw_of(good(world), (Key(key("alice").public),), ())


def small_order_key(world: World) -> bytes:
    identity = (1).to_bytes(32, "little")
    return raw_of(good(world), (Key(identity),), (KeySignature(identity, bytes(64)),))


def other_lock(world: World) -> bytes:
    """Bob's key signs for alice's coin."""
    return seal(good(world), "bob")


def open_lock(world: World) -> bytes:
    """It opens without a signature, and is not the coin's."""
    return raw_of(good(world), (After(0, 1),), ())


def spare_preimage(world: World) -> bytes:
    tx = world.transfer("alice", "bob")
    witness = replace(tx.witness, preimages=(b"secret",))
    return codec.encode(SealedTransaction(tx.body, witness))


def out_of_order(world: World) -> bytes:
    message = transaction.sighash(good(world))
    conditions = sorted((Key(key(name).public) for name in ("alice", "bob")), key=lock_hash)
    names = sorted(("alice", "bob"), key=lambda name: key(name).public)
    signatures = tuple(KeySignature(key(n).public, key(n).sign(message)) for n in names)
    return raw_of(good(world), tuple(reversed(conditions)), signatures)


def non_canonical(world: World) -> bytes:
    """The version, 1, in two bytes where one is enough."""
    raw = seal(good(world))
    assert raw[4] == 1
    return raw[:4] + b"\xcc\x01" + raw[5:]


def unknown_operation(world: World) -> bytes:
    mint = world.mint().raw
    at = mint.index(b"\x96\x01\xa4val0")
    return mint[: at + 1] + b"\x63" + mint[at + 2 :]


def low_fee(world: World) -> bytes:
    body = good(world)
    more = replace(body.outputs[1], amount=body.outputs[1].amount + body.fee.amount - 1)
    fee = Fee(body.fee.asset, 1)
    return seal(replace(body, fee=fee, outputs=(body.outputs[0], more)))


def foreign_fee(world: World) -> bytes:
    body = good(world)
    other = Output(world.asset("val1"), 1, ZERO_HASH)
    return seal(replace(body, fee=Fee(other.asset, 2_000)))


def mint_by(world: World, operation: Mint, signer: str) -> bytes:
    output = Output(world.asset(operation.issuer), operation.amount, ZERO_HASH)
    body = world.body([], [output], operations=[operation])
    message = transaction.sighash(body)
    public = key(signer).public
    return raw_of(body, (), (KeySignature(public, key(signer).sign(message)),))


def treasury(issuer: str = "val0") -> bytes:
    return key(f"{issuer}/treasury").public


CASES: dict[str, tuple[str, Callable[[World], bytes]]] = {
    "zero amount": ("bad_amount", lambda world: with_amount(world, 0)),
    "negative amount": ("bad_amount", lambda world: with_amount(world, -1)),
    "boolean amount": ("bad_amount", lambda world: with_amount(world, True)),
    "overflowing amount": ("bad_amount", lambda world: with_amount(world, 1 << 62)),
    "float amount": ("bad_amount", lambda world: with_amount(world, 1.0)),
    "duplicate inputs": ("duplicate_input", duplicate_inputs),
    "unbalanced": ("unbalanced", unbalanced),
    "wrong declared amount": ("input_mismatch", wrong_declared_amount),
    "unknown input": ("unknown_input", unknown_input),
    "bad signature": ("bad_signature", bad_signature),
    "missing signature": ("missing_signature", missing_signature),
    "spare signature": (
        "spare_signature",
        lambda world: seal(good(world), signers=("alice", "bob")),
    ),
    "small-order key": ("bad_key", small_order_key),
    "another's lock": ("missing_condition", other_lock),
    "lock open to everybody": ("missing_condition", open_lock),
    "spare preimage": ("spare_preimage", spare_preimage),
    "witness out of order": ("witness_order", out_of_order),
    "non-canonical": ("non_canonical", non_canonical),
    "trailing bytes": ("trailing_bytes", lambda world: seal(good(world)) + b"\x00"),
    "cut off": ("malformed", lambda world: seal(good(world))[:-1]),
    "empty": ("malformed", lambda _: b""),
    "other version": ("unsupported_version", lambda world: b"\x01\x02" + seal(good(world))[2:]),
    "wrong chain": ("wrong_chain", lambda world: seal(replace(good(world), chain_id=ZERO_HASH))),
    "no effect": ("no_effect", lambda world: seal(world.body())),
    "expired": ("expired", lambda world: seal(replace(good(world), expires_at_ms=1))),
    "expires too late": (
        "expires_too_late",
        lambda world: seal(
            replace(good(world), expires_at_ms=world.time_ms + LIFETIME_MS_MAX + 1_000_000)
        ),
    ),
    "over-size": ("too_large", lambda _: b"\x01\x01" + bytes(16 * 1024)),
    "unknown operation": ("unknown_operation", unknown_operation),
    "memo too long": ("memo_too_long", lambda world: seal(replace(good(world), memo=bytes(257)))),
    "fee too low": ("fee_too_low", low_fee),
    "fee in another asset": ("unbalanced", foreign_fee),
    "unknown issuer": (
        "unknown_issuer",
        lambda world: mint_by(world, Mint("nobody", treasury(), 0, 0, COIN), "val0/treasury"),
    ),
    "wrong role key": (
        "wrong_role_key",
        lambda world: mint_by(world, Mint("val0", key("bob").public, 0, 0, COIN), "bob"),
    ),
    "operation gap": ("operation_gap", lambda world: world.mint(number=1).raw),
    "above headroom": ("above_headroom", lambda world: world.mint(amount=COIN * 10**9).raw),
}


async def refusals(api: Api, raw: bytes) -> list[tuple[str, str]]:
    """(code, detail) from check, submit and batch."""
    found = []
    for path in ("/transactions/check", "/transactions"):
        reply = await api.ask(path, raw)
        assert 400 <= reply.status < 500, reply
        found.append((reply.code, reply.read(schemas.Problem).detail))
    reply = await api.ask("/transactions/batch", msgspec.msgpack.encode([raw]))
    (result,) = reply.read(schemas.BatchAnswer).results
    assert result.status == "refused"
    return [*found, (result.code or "", result.detail or "")]


@pytest.mark.parametrize("name", CASES)
async def test_each_fault_has_one_reason_everywhere(name: str) -> None:
    """Sends one bad transaction by three ways: the same code and sentence, and nothing waits."""
    code, make = CASES[name]
    async with open_api() as api:
        found = await refusals(api, make(api.node.world))
        still_there = await api.ask("/transactions", api.node.world.transfer("alice", "bob").raw)
        waiting = len(api.node.mempool)
    assert [item[0] for item in found] == [code] * 3
    assert len(set(found)) == 1
    assert (still_there.status, waiting) == (202, 1)


async def test_spent_coin_and_used_number_after_a_block() -> None:
    """Spends a coin and a lane's number again after the block that took them."""
    async with open_api() as api:
        world = api.node.world
        first, again = world.transfer("alice", "bob", 1), world.transfer("alice", "bob", 2)
        minted, replayed = world.mint(amount=1), world.mint(amount=2)
        api.node.decide([first, minted])
        spent, used = await refusals(api, again.raw), await refusals(api, replayed.raw)
    assert {code for code, _ in spent} == {"spent_input"}
    assert {code for code, _ in used} == {"replayed_operation"}


def edited(node: Node, edit: Callable[[dict[str, Any]], None]) -> bytes:
    """A good transaction as JSON, changed."""
    form = msgspec.to_builtins(transaction_answer(node.world.transfer("alice", "bob")))
    edit(form)
    return msgspec.json.encode(form)


def set_amount(value: object) -> Callable[[dict[str, Any]], None]:
    return lambda form: form["body"]["outputs"][0].update(amount=value)


def nest(form: dict[str, Any]) -> None:
    for _ in range(64):
        (inner,) = form["witness"]["conditions"]
        form["witness"]["conditions"] = [{"type": "all", "parts": [inner]}]


JSON_CASES: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "unknown field": ("unknown_field", lambda form: form.update(note="hello")),
    "unknown field inside": ("unknown_field", lambda form: form["body"]["fee"].update(payer="x")),
    "amount as a number": ("bad_amount", set_amount(1)),
    "amount as a boolean": ("bad_amount", set_amount(True)),
    "amount in other digits": ("bad_amount", set_amount("１２３")),
    "amount with a sign": ("bad_amount", set_amount("+1")),
    "negative amount": ("bad_amount", set_amount("-1")),
    "amount with a line end": ("bad_amount", set_amount("1\n")),
    "amount with 20 digits": ("bad_amount", set_amount("1" * 20)),
    "amount zero": ("bad_amount", set_amount("0")),
    "amount above the limit": ("bad_amount", set_amount(str(1 << 62))),
    "amount above 64 bits": ("bad_amount", set_amount("9" * 19)),
    "missing field": ("malformed", lambda form: form["body"].pop("memo")),
    "upper-case hash": (
        "malformed",
        lambda form: form["body"].update(chain_id=form["body"]["chain_id"].upper()),
    ),
    "float": ("malformed", lambda form: form["body"].update(expires_at_ms=1.5)),
    "unsafe integer": ("malformed", lambda form: form["body"].update(expires_at_ms=1 << 53)),
    "unknown operation": (
        "unknown_operation",
        lambda form: form["body"].update(operations=[{"type": "melt"}]),
    ),
    "unknown lock": (
        "bad_lock",
        lambda form: form["witness"].update(conditions=[{"type": "password"}]),
    ),
    "nested locks": ("bad_lock", nest),
    "memo too long": ("memo_too_long", lambda form: form["body"].update(memo="00" * 257)),
}


@pytest.mark.parametrize("name", JSON_CASES)
async def test_json_is_as_strict(name: str) -> None:
    """Sends JSON with one fault to check and submit: the same 4xx code from both."""
    code, edit = JSON_CASES[name]
    async with open_api() as api:
        body = edited(api.node, edit)
        replies = [
            await api.ask(path, body, kind=JSON)
            for path in ("/transactions/check", "/transactions")
        ]
        waiting = len(api.node.mempool)
    assert [reply.code for reply in replies] == [code, code]
    assert all(400 <= reply.status < 500 for reply in replies)
    assert waiting == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"\xff"', b'{"body":1}', b"[" * 100_000, b"\xef\xbb\xbf{}"],
    ids=["empty", "open", "list", "null", "not-utf8", "number", "deep", "byte-order-mark"],
)
async def test_what_is_not_the_form_at_all(body: bytes) -> None:
    """Sends bytes that are no JSON, or JSON of another shape: 400, and the node stays up."""
    async with open_api() as api:
        reply = await api.ask("/transactions", body, kind=JSON)
        after = await api.ask("/status")
    assert (reply.status, reply.code, after.status) == (400, "malformed", 200)


def test_the_cases_use_real_inputs() -> None:
    """The builders start from a transaction that is good: the fault is the only one."""
    world = World()
    body = good(world)
    assert isinstance(body.inputs[0], Input)
    transaction.check_stateless(transaction.decode(seal(body)), world.chain_id, world.fees)
