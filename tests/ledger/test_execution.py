"""Blocks on a state: limits, the ledger clock, fees, roots; and a naive model that agrees."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger import execution as rules
from ledger.block import BLOCK_TRANSACTIONS_MAX, Block
from ledger.codec import encode
from ledger.economy.capacity import CapacityCommitment
from ledger.economy.reserve import Reserve, Solvency
from ledger.epochs import Epoch
from ledger.execution import (
    FREE_PER_IDENTITY_MAX,
    FREE_SHARE,
    build_header,
    check_body,
    check_header,
    execute_block,
)
from ledger.invariants import recount
from ledger.objects import CLOCK_STEP_MS_MAX, FeePot, LedgerClock, key_of, load, load_all, load_one
from ledger.operations import Burn
from ledger.reasons import Invalid, Reason
from ledger.transaction import Fee, Input, Output, SignedTransaction
from ledger.view import Overlay
from tests.ledger.economy_world import well_bonded
from tests.ledger.faults import Fault, judge
from tests.ledger.faults_membership import all_faults
from tests.ledger.world import (
    COIN,
    DAY_MS,
    PERIOD_MS,
    TIME_MS,
    World,
    lock_of,
    make_genesis,
    sign,
)

replace = msgspec.structs.replace


def refusal(run: object) -> Invalid:
    with pytest.raises(Invalid) as caught:
        run()  # type: ignore[operator]
    return caught.value


def burn(world: World, owner: str, amount: int) -> SignedTransaction:
    coin = world.coin(owner)
    change = Output(coin.asset, coin.amount - amount - 2_000, lock_of(owner))
    body = world.body(
        [coin],
        [change],
        fee=Fee(coin.asset, 2_000),
        operations=[Burn(coin.asset, amount)],
    )
    return sign(body, [owner])


def test_backups_compute_what_the_primary_built() -> None:
    """A block executed from its bytes gives the same head, outputs, objects and nodes."""
    world = World()
    txs = [world.transfer("alice", "bob"), world.mint(), burn(world, "bob", 7)]
    block, changes = world.make_block(txs)
    again = execute_block(world.state, block, txs)
    assert again.head.header == changes.head.header == block.header
    assert (again.created, again.spent) == (changes.created, changes.spent)
    assert (again.objects, list(again.nodes)) == (changes.objects, list(changes.nodes))


def test_an_output_can_be_spent_in_the_block_that_makes_it() -> None:
    """A chain of three transfers: only its end outlives the block, every output has a leaf."""
    world = World()
    count = world.state.head.commitments.outputs.count
    coin, txs = world.coin("alice"), []
    for owner, to in (("alice", "bob"), ("bob", "carol"), ("carol", "dave")):
        tx = world.transfer(owner, to, coin.amount - 5_000, coin=coin)
        txs.append(tx)
        coin = Input(tx.txid, 0, coin.asset, coin.amount - 5_000)
    _, changes = world.make_block(txs)
    assert len(changes.created) == 4
    assert list(changes.spent) == [txs[0].body.inputs[0].outpoint]
    commitments = changes.head.commitments
    assert commitments.outputs.count == count + 6
    assert sum(commitments.spent.is_spent(i) for i in range(count, count + 6)) == 2
    world.state.apply(changes)
    recount(world.state, world.state.outputs.items())


def test_a_refused_transaction_leaves_no_trace() -> None:
    """After every kind of fault the block finishes as if nobody had tried."""
    world = World()
    good = world.transfer("alice", "bob")
    _, expected = world.make_block([good])
    execution = world.execution()
    faults: list[Fault] = all_faults(world)
    for fault in faults:
        refusal(lambda raw=fault.raw: judge(world, raw, execution))
    execution.add(good)
    refusal(lambda: execution.add(good))
    assert execution.finish().head.header == expected.head.header


def test_fees_collect_in_one_pot_an_asset() -> None:
    """Two fees in one asset and one in another; the pots grow over blocks."""
    world = World()
    other = world.coin("bob", "val1")
    txs = [
        world.transfer("alice", "bob"),
        world.transfer("bob", "alice"),
        world.transfer("bob", "alice", coin=other),
    ]
    world.advance(txs)
    world.advance([world.transfer("alice", "bob")])
    pots = {pot.asset: pot.amount for pot in load_all(world.state, FeePot)}
    assert pots == {world.asset("val0"): 6_000, world.asset("val1"): 2_000}
    recount(world.state, world.state.outputs.items())


def test_mint_and_burn_move_supply_coverage_and_the_supply_root() -> None:
    """Supply follows; a transfer alone leaves the supply root as it was."""
    world = World()
    start = world.state.head.commitments.supply_root
    before = load(world.state, Reserve, world.asset())
    assert before is not None
    world.advance([world.transfer("alice", "bob")])
    assert world.state.head.commitments.supply_root == start
    world.advance([world.mint(amount=50), burn(world, "bob", 7)])
    after = load(world.state, Reserve, world.asset())
    assert after == replace(
        before, supply=before.supply + 43, period=TIME_MS // PERIOD_MS, minted=50
    )
    assert world.state.head.commitments.supply_root != start
    recount(world.state, world.state.outputs.items())


def test_headroom_is_used_up_in_the_order_of_the_block() -> None:
    """Two mints that fit alone: the second is refused in one block, whoever asks."""
    world = World(well_bonded(make_genesis()))
    most = world.reserve().headroom(world.genesis.parameters.margin_ppm)
    execution = world.execution()
    execution.add(world.mint(amount=most))
    late = world.mint(amount=1, lane=1)
    assert refusal(lambda: execution.add(late)).reason is Reason.ABOVE_HEADROOM
    world.execution().add(late)


def test_the_ledger_clock_follows_up_to_thirty_seconds_a_block() -> None:
    """Small steps are taken whole, an outage of a week moves it by thirty seconds."""
    world = World()
    for after_ms, moved_ms in ((1, 1), (29_999, 29_999), (30_000, 30_000), (7 * DAY_MS, 30_000)):
        before = load_one(world.state, LedgerClock).time_ms
        world.advance(after_ms=after_ms)
        assert load_one(world.state, LedgerClock).time_ms == before + moved_ms
    assert moved_ms == CLOCK_STEP_MS_MAX


def test_hours_of_a_past_period_leave_the_reserves() -> None:
    """Within a period nothing moves; its end takes one period of every issuer, once."""
    world = World()
    assert world.genesis.time_ms % PERIOD_MS == 0
    start = {item.issuer: item.reserve for item in load_all(world.state, Reserve)}
    root = world.state.head.commitments.supply_root
    _, changes = world.make_block(after_ms=30_000)
    assert list(changes.objects) == [key_of(LedgerClock), key_of(Epoch)]
    world.advance(after_ms=30_000)
    world.advance(after_ms=29_999)
    assert {item.issuer: item.reserve for item in load_all(world.state, Reserve)} == start
    assert world.state.head.commitments.supply_root == root
    world.advance(after_ms=1)
    after = {item.issuer: item.reserve for item in load_all(world.state, Reserve)}
    assert after == {name: reserve - 900_001 for name, reserve in start.items()}
    assert world.state.head.commitments.supply_root != root
    recount(world.state, world.state.outputs.items())


def test_an_issuer_whose_hours_run_out_is_in_deficit_and_holders_still_pay() -> None:
    """Commitments that end soon: no more minting, transfers and burns go on."""
    world = World()
    name = CapacityCommitment.identity("val0", "capacity-val0")
    item = load(world.state, CapacityCommitment, name)
    assert item is not None
    end = replace(item, terms=replace(item.terms, to_ms=TIME_MS + PERIOD_MS))
    world.state.stored[key_of(CapacityCommitment, name)] = encode(end)
    for _ in range(2):
        world.advance(after_ms=30_000)
    assert (world.reserve().reserve, world.reserve().solvency) == (0, Solvency.DEFICIT)
    refused = refusal(lambda: judge(world, world.mint(amount=1).raw))
    assert refused.reason is Reason.NOT_HEALTHY
    world.advance([world.transfer("alice", "bob"), burn(world, "bob", 5)])


def test_free_transactions_are_counted_by_licence() -> None:
    """The 17th of one issuer is refused, another issuer's passes, and so does a paying one."""
    world = World()
    execution = world.execution()
    for number in range(FREE_PER_IDENTITY_MAX):
        execution.add(world.mint(amount=1, number=number))
    extra = world.mint(amount=1, number=FREE_PER_IDENTITY_MAX)
    assert not execution.fits(extra)
    assert refusal(lambda: execution.add(extra)).reason is Reason.FREE_QUOTA
    execution.add(world.mint("val1", 1))
    execution.add(world.transfer("alice", "bob"))


@pytest.mark.parametrize(
    ("limit", "value"),
    [("BLOCK_TRANSACTIONS_MAX", 3), ("BLOCK_SIGNATURES_MAX", 3), ("BLOCK_BYTES_MAX", 1_500)],
)
def test_limits_of_a_block_hold_for_whoever_builds_it(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    """Three transfers fit under each lowered limit, the fourth does not."""
    world = World(make_genesis(accounts=("alice", "bob", "carol", "dave")))
    txs = [world.transfer(owner, "erin") for owner in ("alice", "bob", "carol", "dave")]
    monkeypatch.setattr(rules, limit, value)
    execution = world.execution()
    for tx in txs[:3]:
        assert execution.fits(tx)
        execution.add(tx)
    assert not execution.fits(txs[3])
    assert refusal(lambda: execution.add(txs[3])).reason is Reason.BAD_BODY


def test_operations_of_a_block_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for six operations, one transaction of four fits and another does not, paid or
    not; a payment does."""
    monkeypatch.setattr(rules, "BLOCK_OPERATIONS_MAX", 6)
    monkeypatch.setattr(rules, "TRANSACTION_OPERATIONS_MAX", 1)
    world = World(make_genesis(accounts=("alice", "bob")))
    burns = [
        sign(
            world.body(
                [world.coin(owner)],
                [Output(world.asset(), world.coin(owner).amount - 4 - 3_000, lock_of(owner))],
                fee=Fee(world.asset(), 3_000),
                operations=[Burn(world.asset(), 1)] * 4,
            ),
            [owner],
        )
        for owner in ("alice", "bob")
    ]
    execution = world.execution()
    execution.add(burns[0])
    assert not execution.fits(burns[1])
    assert refusal(lambda: execution.add(burns[1])).reason is Reason.BAD_BODY
    execution.add(world.transfer("bob", "erin"))
    execution.add(world.mint(amount=1))
    assert refusal(lambda: execution.add(world.mint("val1", 1))).reason is Reason.FREE_QUOTA


def test_free_transactions_fill_a_fifth_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for ten transactions two are free; the third has to wait."""
    monkeypatch.setattr(rules, "BLOCK_TRANSACTIONS_MAX", 2 * FREE_SHARE)
    world = World()
    execution = world.execution()
    for issuer in ("val0", "val1"):
        execution.add(world.mint(issuer, 1))
    assert refusal(lambda: execution.add(world.mint("val2", 1))).reason is Reason.FREE_QUOTA
    execution.add(world.transfer("alice", "bob"))
    assert BLOCK_TRANSACTIONS_MAX == 2_000


@pytest.mark.parametrize(
    "name",
    [
        "chain_id",
        "epoch",
        "height",
        "parent_hash",
        "evidence_root",
        "receipts_root",
        "validators_hash",
        "next_validators_hash",
        "proposer",
    ],
)
def test_a_header_that_does_not_follow_its_parent_is_refused(name: str) -> None:
    """Each field that the parent or the set fixes, changed."""
    world = World()
    block, _ = world.make_block()
    value = getattr(block.header, name)
    other = bytes(31) + b"\x07" if isinstance(value, bytes) else value + 1
    bad = replace(block, header=replace(block.header, **{name: other}))
    refused = refusal(lambda: execute_block(world.state, bad, []))
    assert refused.reason is Reason.BAD_HEADER
    assert name in refused.detail


def test_time_strictly_increases() -> None:
    """A block at its parent's time is refused, one millisecond later is not."""
    world = World()
    block, _ = world.make_block(after_ms=1)
    same = replace(block, header=replace(block.header, time_ms=world.time_ms))
    refused = refusal(lambda: execute_block(world.state, same, []))
    assert refused.reason is Reason.BAD_HEADER
    execute_block(world.state, block, [])


def test_bodies_and_roots_that_do_not_match_are_told_apart() -> None:
    """A missing transaction accuses nobody, a wrong state root accuses the proposer."""
    world = World()
    tx = world.transfer("alice", "bob")
    block, _ = world.make_block([tx])
    empty = Block(block.header, ())
    refused = refusal(lambda: execute_block(world.state, empty, []))
    assert refused.reason is Reason.BAD_BODY
    wrong = replace(block, header=replace(block.header, state_root=bytes(32)))
    refused = refusal(lambda: execute_block(world.state, wrong, [tx]))
    assert refused.reason is Reason.BAD_STATE_ROOT
    check_body(block.header, [tx.wtxid])
    check_header(block.header, world.state)


def test_another_witness_of_the_same_body_is_another_block() -> None:
    """The tx root binds witnesses: a body with swapped witnesses does not match its header."""
    world = World()
    tx = world.transfer("alice", "bob")
    block, _ = world.make_block([tx])
    other = sign(tx.body, ["alice"], ["bob"])
    assert other.txid == tx.txid
    assert refusal(lambda: check_body(block.header, [other.wtxid])).reason is Reason.BAD_BODY


def test_a_block_with_one_bad_transaction_is_bad() -> None:
    """A header built over a double spend is refused with the reason of the transaction."""
    world = World()
    coin = world.coin("alice")
    txs = [world.transfer("alice", to, coin=coin) for to in ("bob", "carol")]
    header = build_header(
        world.state.head,
        tx_root=rules.merkle_root([tx.wtxid for tx in txs]),
        state_root=bytes(32),
        next_validators_hash=world.validators.hash,
        time_ms=world.time_ms + 1,
        proposer=world.validators.members[0].key,
    )
    block = Block(header, tuple(tx.raw for tx in txs))
    refused = refusal(lambda: execute_block(world.state, block, txs))
    assert refused.reason is Reason.SPENT_INPUT


def test_blocks_in_flight_stand_on_each_other() -> None:
    """Two blocks on an overlay give the roots that one after the other gives."""
    world = World()
    first, changes = world.make_block([world.transfer("alice", "bob")])
    overlay = Overlay(world.state, changes)
    final = World(world.genesis)
    final.state.apply(changes)
    spend = final.transfer("bob", "carol")
    _, expected = final.make_block([spend], after_ms=35_000)
    execution = rules.Execution(
        overlay, time_ms=first.header.time_ms + 35_000, proposer=final.validators.members[0].key
    )
    execution.add(spend)
    assert execution.finish().head == expected.head


# Every step: who pays, whom, how much, in which asset; and whether the block ends here.
steps = st.lists(
    st.tuples(
        st.sampled_from(["alice", "bob", "carol"]),
        st.sampled_from(["alice", "bob", "carol"]),
        st.integers(1, 3 * COIN),
        st.sampled_from(["val0", "val1"]),
        st.sampled_from(["transfer", "mint", "burn"]),
        st.booleans(),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_random_blocks_agree_with_a_naive_model(
    plan: list[tuple[str, str, int, str, str, bool]],
) -> None:
    """Balances kept by addition and subtraction equal those of the outputs, in every block."""
    world = World()
    model: Counter[tuple[str, str]] = Counter(
        {(who, issuer): 1_000 * COIN for who in ("alice", "bob") for issuer in ("val0", "val1")}
    )
    numbers: Counter[str] = Counter()
    pending: list[SignedTransaction] = []
    for owner, to, amount, issuer, action, ends in plan:
        if pending and (ends or action != "mint"):
            world.advance(pending)
            pending = []
        if action == "mint":
            pending.append(world.mint(issuer, amount, number=numbers[issuer], to=to))
            numbers[issuer] += 1
            model[to, issuer] += amount
            continue
        try:
            coin = world.coin(owner, issuer)
        except LookupError:
            continue
        if coin.amount < amount + 3_000:
            continue
        model[owner, issuer] -= amount + 2_000
        if action == "burn":
            change = Output(coin.asset, coin.amount - amount - 2_000, lock_of(owner))
            body = world.body(
                [coin],
                [change],
                fee=Fee(coin.asset, 2_000),
                operations=[Burn(coin.asset, amount)],
            )
            pending.append(sign(body, [owner]))
        else:
            model[to, issuer] += amount
            pending.append(world.transfer(owner, to, amount, coin=coin))
    world.advance(pending)
    recount(world.state, world.state.outputs.items())
    found: Counter[tuple[str, str]] = Counter()
    name_of = {lock_of(name): name for name in ("alice", "bob", "carol")}
    issuer_of = {world.asset(issuer): issuer for issuer in ("val0", "val1", "val2")}
    for entry in world.state.outputs.values():
        found[name_of[entry.lock], issuer_of[entry.asset]] += entry.amount
    balances = {holder: value for holder, value in model.items() if value}
    assert {holder: value for holder, value in found.items() if holder[1] != "val2"} == balances
