"""Addresses, outputs and objects: what is held, what moved, and the proofs of it."""

from __future__ import annotations

import pytest

from ledger import codec
from ledger.accumulator import StateRoots
from ledger.address import encode_address
from ledger.block import COMMIT, check_certificate, header_hash
from ledger.object_tree import ObjectProof, verify_absent, verify_object
from ledger.objects import LedgerClock, key_of, value_hash
from ledger.proofs import UnspentProof, verify_unspent_output
from node.api import schemas
from node.api.convert import read_certificate
from node.api.schemas import Page
from tests.ledger.world import COIN, World, lock_of
from tests.node.api.harness import open_api


def address(name: str, hrp: str = "mrst") -> str:
    return encode_address(lock_of(name), hrp)


async def test_balances_and_coins_follow_a_transfer() -> None:
    """Sends a coin from alice to bob: balances and coins of both add up, by asset."""
    async with open_api() as api:
        world = api.node.world
        tx = world.transfer("alice", "bob", 5 * COIN)
        api.node.decide([tx])
        alice = await api.read(f"/addresses/{address('alice')}", schemas.Address)
        bob = await api.read(f"/addresses/{address('bob')}", schemas.Address)
        coins = await api.read(f"/addresses/{address('bob')}/coins", Page[schemas.Coin])
        one = await api.read(
            f"/addresses/{address('bob')}/coins?asset={world.asset().hex()}", Page[schemas.Coin]
        )
    held = {item.issuer: (int(item.amount), item.coins) for item in alice.balances}
    assert held["val0"] == (995 * COIN - 2_000, 1)
    held = {item.issuer: (int(item.amount), item.coins) for item in bob.balances}
    assert held["val0"] == (1_005 * COIN, 2)
    assert (alice.height, bob.lock) == (1, lock_of("bob").hex())
    total = sum(int(coin.amount) for coin in coins.items)
    assert total == sum(int(item.amount) for item in bob.balances)
    assert {coin.issuer for coin in one.items} == {"val0"}
    assert (tx.txid.hex(), 0) in {(coin.txid, coin.index) for coin in one.items}
    assert {coin.address for coin in coins.items} == {address("bob")}


async def test_address_without_history_is_empty() -> None:
    """Asks for an address that nobody used: empty lists, not an error."""
    async with open_api() as api:
        at = f"/addresses/{address('nobody')}"
        assert (await api.read(at, schemas.Address)).balances == []
        assert (await api.read(f"{at}/coins", Page[schemas.Coin])).items == []
        assert (await api.read(f"{at}/transactions", Page[schemas.HistoryItem])).items == []


@pytest.mark.parametrize(
    "text",
    ["alice", address("alice")[:-1], address("alice", "mrs"), address("alice").title(), "x" * 200],
    ids=["name", "cut", "other network", "mixed case", "long"],
)
async def test_what_is_no_address_of_this_network(text: str) -> None:
    """Asks for texts that are no address here: 400 with the reason, on all three routes."""
    async with open_api() as api:
        for tail in ("", "/coins", "/transactions"):
            reply = await api.ask(f"/addresses/{text}{tail}")
            assert (reply.status, reply.code) == (400, "bad_address")


async def test_history_pages_from_the_newest_down() -> None:
    """Moves coins in several blocks and pages through: every line once, genesis last."""
    async with open_api() as api:
        for _ in range(4):
            api.node.decide([api.node.world.transfer("alice", "bob")])
        lines: list[schemas.HistoryItem] = []
        query = "limit=2"
        while True:
            path = f"/addresses/{address('alice')}/transactions?{query}"
            page = await api.read(path, Page[schemas.HistoryItem])
            lines += page.items
            if page.next_cursor is None:
                break
            query = f"limit=2&cursor={page.next_cursor}"
    assert [line.height for line in lines] == [4, 3, 2, 1, 0, 0, 0]
    assert [line.position for line in lines] == [0, 0, 0, 0, None, None, None]
    (move,) = lines[0].movements
    assert int(move.sent) - int(move.received) == COIN + 2_000
    assert len({(line.height, line.txid) for line in lines}) == 7


async def test_unspent_output_is_proved_under_the_header() -> None:
    """Verifies the proof of an unspent coin from the JSON and the genesis validators alone."""
    async with open_api() as api:
        world = api.node.world
        tx = world.transfer("alice", "bob")
        api.node.decide([tx])
        api.node.decide([])
        found = await api.read(f"/outpoints/{tx.txid.hex()}:0", schemas.Outpoint)
    assert found.status == "unspent"
    assert found.coin is not None
    assert found.proof is not None
    assert found.proof.certificate is not None
    proof = codec.decode_payload(
        bytes.fromhex(found.proof.unspent), UnspentProof, size_max=16 * 1024
    )
    certificate = read_certificate(found.proof.certificate)
    check_certificate(certificate, world.chain_id, world.validators, COMMIT)
    assert certificate.block_hash == header_hash(proof.header)
    assert verify_unspent_output(proof)
    assert (proof.outpoint.txid, proof.entry.amount) == (tx.txid, int(found.coin.amount))


async def test_spent_output_names_its_spender_and_unknown_ones_nothing() -> None:
    """Asks for an output before, after and without being spent."""
    async with open_api() as api:
        tx = api.node.world.transfer("alice", "bob")
        spent = tx.body.inputs[0]
        path = f"/outpoints/{spent.txid.hex()}:{spent.index}"
        before = await api.read(path, schemas.Outpoint)
        api.node.decide([tx])
        after = await api.read(path, schemas.Outpoint)
        unknown = await api.read(f"/outpoints/{tx.txid.hex()}:9", schemas.Outpoint)
    assert (before.status, after.status, unknown.status) == ("unspent", "spent", "unknown")
    assert (after.spent_by, after.coin, after.proof) == (tx.txid.hex(), None, None)


@pytest.mark.parametrize(
    "text", ["00" * 32, "00" * 32 + ":", "00" * 32 + ":-1", "00" * 32 + ":4294967296", ":0", "x:0"]
)
async def test_what_is_no_outpoint(text: str) -> None:
    """Asks for texts that are not txid:index."""
    async with open_api() as api:
        reply = await api.ask(f"/outpoints/{text}")
    assert (reply.status, reply.code in ("malformed", "bad_request")) == (400, True)


async def test_objects_are_proved_present_and_absent() -> None:
    """Verifies the ledger clock's object, and that a key that nobody wrote is not there."""
    async with open_api() as api:
        api.node.decide([])
        clock = key_of(LedgerClock)
        found = {
            key: await api.read(f"/objects/{key.hex()}", schemas.Object)
            for key in (clock, b"\xfenothing")
        }
        chain = api.node.chain
    for key, answer in found.items():
        roots = codec.decode_payload(bytes.fromhex(answer.roots), StateRoots, size_max=1_024)
        proof = codec.decode_payload(bytes.fromhex(answer.proof), ObjectProof, size_max=16_384)
        assert roots.state_root.hex() == answer.header.state_root
        if answer.value is None:
            assert verify_absent(roots.objects_root, key, proof)
        else:
            digest = value_hash(bytes.fromhex(answer.value))
            assert digest is not None
            assert verify_object(roots.objects_root, key, digest, proof)
    assert found[clock].value == (chain.object(clock) or b"").hex()
    assert found[b"\xfenothing"].value is None


@pytest.mark.parametrize("key", ["0", "AB", "zz", "00" * 129])
async def test_what_is_no_object_key(key: str) -> None:
    """Asks for keys that are not hex or longer than any."""
    async with open_api() as api:
        reply = await api.ask(f"/objects/{key}")
    assert reply.status == 400


async def test_cursor_of_another_list_is_refused() -> None:
    """Uses a cursor of coins for the history, and damaged ones: 400 each time."""
    async with open_api() as api:
        at = f"/addresses/{address('alice')}"
        page = await api.read(f"{at}/coins?limit=1", Page[schemas.Coin])
        assert page.next_cursor is not None
        cursors = [page.next_cursor, "", "A", "====", "%00", "a" * 200, page.next_cursor + "=="]
        for cursor in cursors:
            reply = await api.ask(f"{at}/transactions?cursor={cursor}")
            assert (reply.status, reply.code) == (400, "bad_cursor")
    assert World().chain_id == api.node.world.chain_id
