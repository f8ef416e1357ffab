"""Transactions over HTTP: sent in every form, awaited, proved, in batches, under limits."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from ledger import mempool, transaction
from ledger.block import COMMIT, check_certificate, header_hash
from ledger.merkle import verify_merkle
from ledger.operations import Admit, EndEpoch
from ledger.transaction import Fee, Input, Output, SignedTransaction
from node.api import schemas, transactions
from node.api.convert import read_certificate, read_header, read_list_proof, transaction_answer
from node.api.transactions import BATCH_WAIT_S_MAX
from tests.ledger.world import World, grant, lock_of, sign
from tests.node.api.harness import Api, Reply, open_api, until

JSON = "application/json"


def fan_out(world: World, count: int) -> SignedTransaction:
    """Alice's first coin in `count` equal parts of her own."""
    coin = world.coin("alice")
    part = (coin.amount - 20_000) // count
    outputs = [Output(coin.asset, part, lock_of("alice"))] * count
    fee = Fee(coin.asset, coin.amount - part * count)
    return sign(world.body([coin], outputs, fee=fee), ["alice"])


async def send_batch(api: Api, txs: list[SignedTransaction]) -> Reply:
    return await api.ask("/transactions/batch", msgspec.msgpack.encode([tx.raw for tx in txs]))


async def status(api: Api, txid: bytes, query: str = "") -> schemas.TransactionStatus:
    return await api.read(f"/transactions/{txid.hex()}{query}", schemas.TransactionStatus)


async def test_new_is_202_and_known_is_200_with_the_same_body() -> None:
    """Sends one transaction three times: new, known while it waits, known when it is final."""
    async with open_api() as api:
        tx = api.node.world.transfer("alice", "bob")
        replies = [await api.ask("/transactions", tx.raw) for _ in range(2)]
        api.node.decide()
        replies.append(await api.ask("/transactions", tx.raw))
    assert [reply.status for reply in replies] == [202, 200, 200]
    answers = [reply.read(schemas.Submitted) for reply in replies]
    assert [answer.status for answer in answers] == ["new", "known", "known"]
    assert {answer.txid for answer in answers} == {tx.txid.hex()}


async def test_governance_and_evidence_are_checked_sent_and_shown() -> None:
    """An admission with its approvals and a proof against a member, as JSON: checked, sent, final,
    shown as they were sent; what lacks an approval is refused by name."""
    async with open_api() as api:
        world = api.node.world
        admitted = world.govern(Admit(grant("new"), 0))
        accused = world.accuse("val3")
        short = world.govern(EndEpoch(0), approvers=["val0/operations", "val1/operations"])
        for tx in (admitted, accused):
            form = msgspec.json.encode(transaction_answer(tx))
            checked = await api.ask("/transactions/check", form, kind=JSON)
            assert checked.status == 200, checked
            assert (await api.ask("/transactions", form, kind=JSON)).status == 202
        form = msgspec.json.encode(transaction_answer(short))
        refused = await api.ask("/transactions", form, kind=JSON)
        assert refused.code == "needs_quorum"
        api.node.decide()
        for tx in (admitted, accused):
            shown = await status(api, tx.txid)
            assert shown.transaction == transaction_answer(tx)


async def test_json_and_messagepack_are_the_same_transaction() -> None:
    """Sends the bytes, then the same fields as JSON, as an answer shows them: it is known."""
    async with open_api() as api:
        tx = api.node.world.mint()
        form = msgspec.json.encode(transaction_answer(tx))
        assert (await api.ask("/transactions", tx.raw)).status == 202
        reply = await api.ask("/transactions", form, kind=JSON)
        assert (reply.status, reply.read(schemas.Submitted).txid) == (200, tx.txid.hex())
        pending = await status(api, tx.txid)
    assert pending.status == "pending"
    assert msgspec.json.encode(pending.transaction) == form


async def test_check_says_what_submitting_would_and_does_nothing() -> None:
    """Checks a good transaction: the figures are right and the mempool stays empty."""
    async with open_api() as api:
        tx = api.node.world.transfer("alice", "bob")
        reply = await api.ask("/transactions/check", tx.raw)
        waiting = len(api.node.mempool)
    checked = reply.read(schemas.Checked)
    required = api.node.world.fees.required(tx)
    assert (checked.txid, checked.size_bytes) == (tx.txid.hex(), len(tx.raw))
    assert (checked.fee_required, waiting) == (str(required), 0)


async def test_final_comes_with_a_proof_that_needs_genesis_alone() -> None:
    """Verifies a final answer as a stranger with the genesis file would, from the JSON."""
    async with open_api() as api:
        world = api.node.world
        txs = [world.transfer("alice", "bob"), world.transfer("bob", "alice"), world.mint()]
        api.node.decide(txs)
        api.node.decide([])
        final = await status(api, txs[1].txid)
        proof = await api.read(f"/transactions/{txs[1].txid.hex()}/proof", schemas.TransactionProof)
        bare = await status(api, txs[1].txid, "?proof=false")
    assert (final.status, final.height, final.position, final.proof) == ("final", 1, 1, proof)
    tx = transaction.decode(bytes.fromhex(proof.transaction))
    header = read_header(proof.header)
    certificate = read_certificate(proof.certificate)
    assert (tx.txid.hex(), tx.wtxid.hex()) == (proof.txid, proof.wtxid)
    assert verify_merkle(header.tx_root, tx.wtxid, read_list_proof(proof.inclusion))
    assert certificate.block_hash == header_hash(header) == bytes.fromhex(proof.header.hash)
    check_certificate(certificate, world.chain_id, world.validators, COMMIT)
    assert (bare.status, bare.proof) == ("final", None)


async def test_unknown_and_unproved() -> None:
    """Asks for a transaction that nobody sent: a state, not an error; its proof is 404."""
    async with open_api() as api:
        unknown = await status(api, bytes(32), "?wait=1ms")
        proof = await api.ask(f"/transactions/{bytes(32).hex()}/proof")
    assert (unknown.status, unknown.height, unknown.transaction) == ("unknown", None, None)
    assert (proof.status, proof.code) == (404, "not_found")


async def test_rejected_is_remembered_with_its_code() -> None:
    """Loses a race for a coin: the loser's state is `rejected` with the reason."""
    async with open_api() as api:
        world = api.node.world
        winner, loser = world.transfer("alice", "bob", 1), world.transfer("alice", "bob", 2)
        await api.ask("/transactions", winner.raw)
        reply = await api.ask("/transactions", loser.raw)
        lost = await status(api, loser.txid)
    assert (reply.status, reply.code) == (409, "double_spend")
    assert (lost.status, lost.code) == ("rejected", "double_spend")
    assert winner.txid.hex() in (lost.detail or "")


async def test_wait_ends_with_the_block() -> None:
    """Waits for a transaction that becomes final meanwhile: the one answer says final."""
    async with open_api() as api:
        tx = api.node.world.transfer("alice", "bob")
        await api.ask("/transactions", tx.raw)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(status(api, tx.txid, "?wait=5s"))
            await until(lambda: api.node.waiting == 1, "the request waits")
            api.node.decide()
    assert waiting.result().status == "final"


@pytest.mark.parametrize("wait", ["6s", "5001ms", "-1s", "5", "s", "1m", "1_0ms", "１s", "", "1 s"])
async def test_wait_is_bounded_and_strict(wait: str) -> None:
    """Asks for waits that are too long or not written as one: 400 with a sentence."""
    async with open_api() as api:
        reply = await api.ask(f"/transactions/{bytes(32).hex()}?wait={wait}")
    assert (reply.status, reply.code) == (400, "bad_request")


async def test_batch_has_a_result_for_each_in_order() -> None:
    """Sends new, known, refused and unreadable together; each gets its own result."""
    async with open_api() as api:
        world = api.node.world
        first, rival = world.transfer("alice", "bob", 1), world.transfer("alice", "bob", 2)
        raws = [first.raw, first.raw, rival.raw, b"\x01\x01junk", world.mint().raw]
        reply = await api.ask("/transactions/batch", msgspec.msgpack.encode(raws))
    results = reply.read(schemas.BatchAnswer).results
    assert reply.status == 200
    found = [(item.status, item.code) for item in results]
    assert found == [
        ("new", None),
        ("known", None),
        ("refused", "double_spend"),
        ("refused", "malformed"),
        ("new", None),
    ]
    assert [item.txid is None for item in results] == [False, False, False, True, False]


@pytest.mark.parametrize("count", [999, 1_000, 1_001])
async def test_batch_length_limit(count: int) -> None:
    """Sends batches around the limit: at it all get results, above it none is looked at."""
    async with open_api() as api:
        body = msgspec.msgpack.encode([b"\x01"] * count)
        reply = await api.ask("/transactions/batch", body)
    if count <= schemas.BATCH_TRANSACTIONS_MAX:
        assert len(reply.read(schemas.BatchAnswer).results) == count
    else:
        assert (reply.status, reply.code) == (400, "malformed")


@pytest.mark.parametrize(
    "body", [b"", b"\x93\x01\x02\x03", b"\x80", b"\x91\xa1a", b"\xdd\xff\xff\xff\xff", b"\x90\x90"]
)
async def test_batch_is_a_list_of_byte_strings(body: bytes) -> None:
    """Sends MessagePack that is something else, or lies about its length."""
    async with open_api() as api:
        reply = await api.ask("/transactions/batch", body)
    assert (reply.status, reply.code) == (400, "malformed")


async def test_no_room_is_429_alone_and_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fills a sender's quota: one more is 429; a batch is 429 only when none of it got in."""
    monkeypatch.setattr(mempool, "SENDER_MAX", 2)
    async with open_api() as api:
        world = api.node.world
        api.node.decide([fan_out(world, 10)])
        coins = [
            Input(txid, index, entry.asset, entry.amount)
            for (txid, index), entry in sorted(world.state.outputs.items())
            if entry.height == 1
        ]
        txs = [world.transfer("alice", "bob", 1, coin=coin) for coin in coins]
        mixed = await send_batch(api, txs[:4])
        single = await api.ask("/transactions", txs[4].raw)
        batch = await send_batch(api, txs[5:])
        scrape = await api.session.get(f"{api.ops_url}/metrics")
        counted = await scrape.text()
    assert mixed.status == 200
    states = [item.status for item in mixed.read(schemas.BatchAnswer).results]
    assert states == ["new", "new", "refused", "refused"]
    assert (single.status, single.code) == (429, "sender_quota")
    assert (batch.status, batch.code) == (429, "sender_quota")
    assert 'marsa_transactions_refused_total{code="sender_quota"} 8.0' in counted


async def test_submissions_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds two submissions inside the node: the third is 429, and all is well afterwards."""
    monkeypatch.setattr(transactions, "SUBMISSIONS_MAX", 2)
    async with open_api() as api:
        api.node.hold = asyncio.Event()
        tx = api.node.world.transfer("alice", "bob")
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(api.ask("/transactions", tx.raw)) for _ in range(2)]
            budget = api.app[transactions.SUBMISSIONS]
            await until(lambda: budget.used == 2, "two submissions are inside")
            third = await api.ask("/transactions", tx.raw)
            api.node.hold.set()
        again = await api.ask("/transactions", tx.raw)
    assert (third.status, third.code) == (429, "busy")
    assert [task.result().status for task in held] == [202, 200]
    assert (again.status, budget.used) == (200, 0)


async def test_a_batch_is_refused_while_what_came_before_takes_long() -> None:
    """Above the limit; a single transaction gets in, in a batch of its own too."""
    async with open_api() as api:
        txs = [api.node.world.transfer(name, "dave") for name in ("alice", "bob")]
        api.node.submitted_s = BATCH_WAIT_S_MAX + 0.1
        refused = await send_batch(api, txs[:2])
        single = await api.ask("/transactions", txs[0].raw)
        alone = await send_batch(api, txs[1:])
        api.node.submitted_s = BATCH_WAIT_S_MAX
        taken = await send_batch(api, txs[:2])
    assert (refused.status, refused.code) == (429, "busy")
    assert "waits 2.1 s" in refused.read(schemas.Problem).detail
    assert (single.status, alone.status, taken.status) == (202, 200, 200)


async def test_waits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets one client wait where one may: the next is 429, one that does not wait is served."""
    monkeypatch.setattr(transactions, "WAITS_MAX", 1)
    async with open_api() as api:
        tx = api.node.world.transfer("alice", "bob")
        path = f"/transactions/{tx.txid.hex()}"
        async with asyncio.TaskGroup() as group:
            first = group.create_task(api.ask(f"{path}?wait=5s"))
            await until(lambda: api.node.waiting == 1, "the first request waits")
            second = await api.ask(f"{path}?wait=5s")
            third = await api.ask(path)
            api.node.decide([tx])
    assert (second.status, second.code) == (429, "busy")
    assert (third.status, first.result().status) == (200, 200)
