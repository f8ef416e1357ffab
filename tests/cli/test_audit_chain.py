"""The replay of a chain: what holds passes, and each kind of lie is named where it stands."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from cli.audit_chain import AuditFailed, Replay, audit
from ledger import transaction
from ledger.block import Block
from ledger.economy.redemption import Redemption
from ledger.merkle import merkle_root
from ledger.reasons import Reason
from ledger.redemption_operations import PostReceipt
from ledger.times import MINUTE_MS
from ledger.transaction import SignedTransaction
from tests.cli.audit_world import CertifiedChain, certify
from tests.ledger.economy_world import lasting, with_economy
from tests.ledger.redemption_world import RedemptionWorld
from tests.ledger.world import COIN, make_genesis, sign

Spoil = Callable[[CertifiedChain], None]
HEIGHT = 2
"""The block that is spoiled; one is below and two are above."""


@pytest.fixture
def chain() -> CertifiedChain:
    """Four blocks with transfers and a mint."""
    chain = CertifiedChain()
    world = chain.world
    for number in range(4):
        chain.advance([world.transfer("alice", "bob"), world.mint(number=number)])
    return chain


def run(chain: CertifiedChain, target: int | None = None) -> Replay:
    replay = Replay(chain.world.genesis)
    audit(chain, replay, chain.height if target is None else target, lambda height: None)
    return replay


def test_a_good_chain_passes_and_ends_in_its_state(chain: CertifiedChain) -> None:
    """Replays four blocks from genesis; head, outputs and counts are those of the chain."""
    seen: list[int] = []
    replay = Replay(chain.world.genesis)
    audit(chain, replay, chain.height, seen.append)
    assert seen == [1, 2, 3, 4]
    assert replay.head.hash == chain.world.state.head.hash
    assert replay.transactions == 8
    assert replay.unspent == len(chain.world.state.outputs)


def test_blocks_above_the_target_are_not_asked_for(chain: CertifiedChain) -> None:
    """The chain goes on while it is audited; the audit ends at the height it set out for."""
    assert run(chain, 3).height == 3


def no_certificate(chain: CertifiedChain) -> None:
    chain.certificates[HEIGHT] = None


def too_few_signers(chain: CertifiedChain) -> None:
    header = chain.blocks[HEIGHT].header
    chain.certificates[HEIGHT] = certify(chain.world, header, chain.world.validators.quorum - 1)


def forged_signature(chain: CertifiedChain) -> None:
    held = chain.certificates[HEIGHT]
    assert held is not None
    forged = (bytes(64), *held.signatures[1:])
    chain.certificates[HEIGHT] = msgspec.structs.replace(held, signatures=forged)


def certificate_of_another_block(chain: CertifiedChain) -> None:
    chain.certificates[HEIGHT] = chain.certificates[HEIGHT + 1]


def missing_block(chain: CertifiedChain) -> None:
    del chain.blocks[HEIGHT], chain.certificates[HEIGHT]


def transaction_left_out(chain: CertifiedChain) -> None:
    block = chain.blocks[HEIGHT]
    chain.blocks[HEIGHT] = Block(block.header, block.transactions[1:])


def unreadable_transaction(chain: CertifiedChain) -> None:
    block = chain.blocks[HEIGHT]
    chain.blocks[HEIGHT] = Block(block.header, (b"\x01\x01\xff", *block.transactions[1:]))


def signed_wrong_state_root(chain: CertifiedChain) -> None:
    """All validators together sign a state that the rules do not give."""
    _replace_header(chain, state_root=bytes(32))


def signed_wrong_parent(chain: CertifiedChain) -> None:
    _replace_header(chain, parent_hash=bytes(32))


def signed_other_validators(chain: CertifiedChain) -> None:
    _replace_header(chain, validators_hash=bytes(32))


def signed_early_time(chain: CertifiedChain) -> None:
    _replace_header(chain, time_ms=chain.blocks[HEIGHT - 1].header.time_ms)


def signed_block_with_bad_signature(chain: CertifiedChain) -> None:
    """All validators together move coins of a holder who signed nothing."""
    block = chain.blocks[HEIGHT]
    txs = [transaction.decode(raw) for raw in block.transactions]
    witness = txs[0].witness
    unsigned = msgspec.structs.replace(witness.signatures[0], signature=bytes(64))
    witness = msgspec.structs.replace(witness, signatures=(unsigned,))
    _replace_body(chain, [transaction.seal(txs[0].body, witness), *txs[1:]])


def signed_block_with_double_spend(chain: CertifiedChain) -> None:
    block = chain.blocks[HEIGHT]
    below = transaction.decode(chain.blocks[HEIGHT - 1].transactions[0])
    _replace_body(chain, [below, *map(transaction.decode, block.transactions)])


def _replace_header(chain: CertifiedChain, **fields: object) -> None:
    block = chain.blocks[HEIGHT]
    header = msgspec.structs.replace(block.header, **fields)
    chain.blocks[HEIGHT] = Block(header, block.transactions)
    chain.certificates[HEIGHT] = certify(chain.world, header)


def _replace_body(chain: CertifiedChain, txs: list[SignedTransaction]) -> None:
    root = merkle_root([tx.wtxid for tx in txs])
    block = chain.blocks[HEIGHT]
    chain.blocks[HEIGHT] = Block(block.header, tuple(tx.raw for tx in txs))
    _replace_header(chain, tx_root=root)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (no_certificate, Reason.BAD_CERTIFICATE),
        (too_few_signers, Reason.BAD_CERTIFICATE),
        (forged_signature, Reason.BAD_CERTIFICATE),
        (certificate_of_another_block, Reason.BAD_CERTIFICATE),
        (missing_block, Reason.BAD_HEADER),
        (transaction_left_out, Reason.BAD_BODY),
        (unreadable_transaction, Reason.MALFORMED),
        (signed_wrong_state_root, Reason.BAD_STATE_ROOT),
        (signed_wrong_parent, Reason.BAD_HEADER),
        (signed_other_validators, Reason.BAD_HEADER),
        (signed_early_time, Reason.BAD_HEADER),
        (signed_block_with_bad_signature, Reason.BAD_SIGNATURE),
        (signed_block_with_double_spend, Reason.UNKNOWN_INPUT),
    ],
)
def test_each_lie_is_named_at_its_height(
    chain: CertifiedChain, spoil: Spoil, reason: Reason
) -> None:
    """Spoils block 2; what is below stays good, nothing above is looked at."""
    spoil(chain)
    replay = Replay(chain.world.genesis)
    with pytest.raises(AuditFailed) as caught:
        audit(chain, replay, 4, lambda height: None)
    assert (caught.value.fault.height, caught.value.fault.code) == (HEIGHT, reason.value)
    assert caught.value.fault.detail
    assert replay.height == HEIGHT - 1


def test_another_genesis_block_is_refused(chain: CertifiedChain) -> None:
    """Block 0 needs no certificate, so it must be the one that the file makes."""
    first = chain.blocks[0].header
    chain.blocks[0] = Block(msgspec.structs.replace(first, time_ms=first.time_ms + 1), ())
    with pytest.raises(AuditFailed, match="bad_genesis"):
        run(chain)


def test_a_list_that_ends_early_is_a_fault(chain: CertifiedChain) -> None:
    """The node said height 9 and serves 4."""
    with pytest.raises(AuditFailed) as caught:
        run(chain, 9)
    assert caught.value.fault.height == 5


def test_a_body_under_another_header_is_a_fault(chain: CertifiedChain) -> None:
    """The list of headers and the blocks come from two answers, which must agree."""

    class TwoFaced(CertifiedChain):
        def raw_block(self, at: int | str) -> bytes:
            return super().raw_block(1 if at == HEIGHT else at)

    lying = TwoFaced(chain.world)
    lying.blocks, lying.certificates = chain.blocks, chain.certificates
    with pytest.raises(AuditFailed) as caught:
        run(lying, 4)
    assert (caught.value.fault.height, caught.value.fault.code) == (HEIGHT, "bad_header")


def test_money_from_nowhere_is_found_by_the_recount(chain: CertifiedChain) -> None:
    """Puts a coin into the replayed state that no rule made: the totals do not add up."""
    replay = run(chain)
    outpoint, entry = next(iter(chain.world.state.outputs.items()))
    more = msgspec.structs.replace(entry, amount=entry.amount + COIN)
    replay._outputs[outpoint] = more
    with pytest.raises(AuditFailed, match=r"invariant_broken.*supply equation"):
        replay.check_totals()


# Orders.


def redeemed() -> CertifiedChain:
    """One order is delivered in part and settled, one lapses with a penalty, one is cancelled: the
    system pays back and out, and no transaction of those blocks says so."""
    genesis = with_economy(lasting(make_genesis(), 30), accept_ms=MINUTE_MS, closing_ms=MINUTE_MS)
    world = RedemptionWorld(genesis)
    chain = CertifiedChain(world)
    asked = {name: world.asks(COIN, name) for name in ("served", "silent", "unwanted")}
    for item in asked.values():
        chain.advance([world.redeems(item)])
    served, unwanted = world.id_of(asked["served"]), world.id_of(asked["unwanted"])
    chain.advance([world.accepts(served), world.cancels(unwanted, "unwanted")])
    chain.advance([world.readies(served)])
    chain.advance([world.posts(world.receipt(served, 1, COIN // 4), "served")])
    chain.advance([world.closes(served, "served")])
    for _ in range(5):
        chain.add(world.advance((), after_ms=30_000))
    return chain


def test_orders_and_what_the_system_pays_pass() -> None:
    """Every coin is counted again at the end: burned, refunded, and the penalty out of the bond."""
    chain = redeemed()
    world = chain.world
    assert isinstance(world, RedemptionWorld)
    replay = run(chain)
    assert replay.head.hash == world.state.head.hash
    states = {item.state.name: item.is_paid for item in world.draft.all(Redemption)}
    assert states == {"SETTLED": True, "LAPSED": True, "CANCELLED": True}
    assert world.amount_of("carol") == 3 * COIN - COIN // 4
    assert world.amount_of("carol", "val1") + world.amount_of("carol", "val2") == COIN // 50


def test_a_receipt_that_its_holder_did_not_sign_is_named() -> None:
    """All validators together signed the block that burns by it."""
    chain = redeemed()
    height = next(
        number
        for number, block in enumerate(chain.blocks)
        for raw in block.transactions
        if isinstance(transaction.decode(raw).body.operations[0], PostReceipt)
    )
    (tx,) = map(transaction.decode, chain.blocks[height].transactions)
    (posted,) = tx.body.operations
    forged = msgspec.structs.replace(posted, signature=bytes(64))
    body = msgspec.structs.replace(tx.body, operations=(forged,))
    signed = sign(body, [], ["val0/metering"])
    block = chain.blocks[height]
    root = merkle_root([signed.wtxid])
    header = msgspec.structs.replace(block.header, tx_root=root)
    chain.blocks[height] = Block(header, (signed.raw,))
    chain.certificates[height] = certify(chain.world, header)
    with pytest.raises(AuditFailed) as caught:
        run(chain)
    assert (caught.value.fault.height, caught.value.fault.code) == (height, "bad_signature")
