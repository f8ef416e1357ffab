"""Epochs: where one ends, who validates in the next, and what the chain keeps of past ones."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.block import (
    COMMIT,
    Block,
    Certificate,
    Header,
    VotePayload,
    check_certificate,
    make_certificate,
    vote_hash,
)
from ledger.boot_audit import audit_boot
from ledger.chain import Chain
from ledger.crypto import ZERO_HASH
from ledger.economy.licence import Licence, LicenceState, Seat
from ledger.epochs import changed_seats, epoch_after, validators_of
from ledger.execution import execute_block
from ledger.full_audit import audit_full
from ledger.genesis_state import genesis_state
from ledger.invariants import recount
from ledger.kv import MemoryKV
from ledger.operations import Admit, EndEpoch, Remove, Revoke, Suspend
from ledger.reasons import Invalid, Reason
from ledger.validators import VALIDATORS_MAX, VALIDATORS_MIN, ValidatorSet, fault_limit
from ledger.view import Overlay
from tests.ledger.world import TIME_MS, World, grant, key, make_genesis

replace = msgspec.structs.replace


def short(n: int = 4, *, blocks: int = 2, ms: int = 10_000) -> World:
    return World(make_genesis(n, epoch_blocks=blocks, epoch_ms=ms))


def joined(world: World, *names: str) -> None:
    """Each is admitted and ready; nobody has a seat yet."""
    world.advance([world.govern(*(Admit(grant(name), 0) for name in names))])
    world.advance([world.ready(name) for name in names])


def test_the_last_block_is_the_first_with_enough_blocks_behind_it() -> None:
    """With three blocks to an epoch and time to spare: heights 3 and 4; the next ends at 8."""
    world = short(blocks=3)
    headers = [world.advance(after_ms=20_000).header for _ in range(9)]
    assert [header.height for header in headers if header.ends_epoch] == [4, 8]
    assert [header.epoch for header in headers] == [0, 0, 0, 0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(("last_ms", "ends"), [(9_999, False), (10_000, True), (10_001, True)])
def test_the_last_block_is_the_first_with_enough_time_behind_it(last_ms: int, ends: bool) -> None:
    """Blocks are enough long since; one millisecond short of the epoch's time is not the end."""
    world = short()
    for _ in range(5):
        assert not world.advance(after_ms=1_000).header.ends_epoch
    assert world.advance(after_ms=last_ms - 5_000).header.ends_epoch == ends
    if not ends:
        assert world.advance(after_ms=1).header.ends_epoch


def test_time_of_an_epoch_counts_from_the_header_of_its_base() -> None:
    """A last block that comes late does not make the next epoch shorter."""
    world = short(blocks=1)
    world.advance()
    assert world.advance(after_ms=500_000).header.ends_epoch
    assert world.epoch.base_ms == world.time_ms
    for after_ms, ends in ((5_000, False), (4_999, False), (1, True)):
        assert world.advance(after_ms=after_ms).header.ends_epoch == ends


def test_end_epoch_ends_it_with_that_very_block() -> None:
    """The block with the operation is the last, whatever else it holds; the next is of epoch 1."""
    world = World()
    block = world.end_epoch([world.transfer("alice", "bob")])
    assert block.header.ends_epoch
    assert (block.header.epoch, epoch_after(block.header)) == (0, 1)
    assert not world.epoch.is_ending
    following = world.advance().header
    assert (following.epoch, following.ends_epoch) == (1, False)
    assert following.validators_hash == block.header.next_validators_hash


def test_the_base_of_an_epoch_is_written_by_its_first_block() -> None:
    """Between the last block and the first its height and time are known, its hash is not."""
    world = World()
    assert (world.epoch.base_height, world.epoch.base_hash) == (0, ZERO_HASH)
    genesis_hash = world.state.head.hash
    world.advance()
    assert world.epoch.base_hash == genesis_hash
    world.end_epoch()
    base = world.state.head
    assert (world.epoch.base_height, world.epoch.base_hash) == (2, ZERO_HASH)
    for _ in range(2):
        world.advance()
        assert (world.epoch.base_height, world.epoch.base_hash) == (2, base.hash)


def test_another_member_is_the_first_primary_of_each_epoch() -> None:
    """In view 0 the primaries of five epochs take turns; members and their hash do not hide it."""
    world = World()
    primaries, hashes = [], set()
    for _ in range(5):
        primaries.append(world.validators.primary(0))
        hashes.add(world.validators.hash)
        world.end_epoch()
    assert primaries == [0, 1, 2, 3, 0]
    assert len(hashes) == 5


@pytest.mark.parametrize("ends", [False, True])
def test_a_header_must_say_whether_its_block_ends_the_epoch(ends: bool) -> None:
    """A boundary that the rules do not see, or one that a header hides, is a bad header; and so
    is a boundary to another set."""
    world = World()
    txs = [world.govern(EndEpoch(0))] if ends else []
    block, _ = world.make_block(txs)
    same, other = world.validators.hash, ValidatorSet(1, world.validators.members).hash
    assert block.header.next_validators_hash == (other if ends else same)
    for wrong in (same if ends else other, bytes(32)):
        header = replace(block.header, next_validators_hash=wrong)
        with pytest.raises(Invalid, match="next_validators_hash") as caught:
            execute_block(world.state, Block(header, block.transactions), txs)
        assert caught.value.reason is Reason.BAD_HEADER


def test_only_members_of_the_epoch_propose() -> None:
    """Who left is no proposer any more; who joined is one from the first block on."""
    world = World()
    joined(world, "new")
    world.end_epoch([world.govern(Remove("val0", 0))])
    block, _ = world.make_block()
    for name, is_member in (("val0", False), ("new", True)):
        header = replace(block.header, proposer=key(f"{name}/consensus").public)
        if is_member:
            execute_block(world.state, Block(header, ()), [])
            continue
        with pytest.raises(Invalid, match="is not a member") as caught:
            execute_block(world.state, Block(header, ()), [])
        assert caught.value.reason is Reason.BAD_HEADER


def test_a_boundary_in_flight_gives_what_it_gives_once_final() -> None:
    """The block after a boundary, built on an overlay and built after applying it, are one."""
    world = World()
    joined(world, "new")
    txs = [world.govern(Remove("val0", 0)), world.govern(EndEpoch(0))]
    _, changes = world.make_block(txs)
    overlay = Overlay(world.state, changes)
    assert "new" in {member.licence for member in validators_of(overlay).members}
    final = World(world.genesis)
    joined(final, "new")
    final.state.apply(changes)
    early, _ = final.make_block()
    assert execute_block(overlay, early, []).head == final.make_block()[1].head


# Seats at a boundary.


def test_who_is_ready_takes_a_seat_and_who_was_removed_gives_one_up() -> None:
    """Four members, one of whom may be missing: a swap is one seat, and needs one boundary."""
    world = World()
    joined(world, "new")
    world.advance([world.govern(Remove("val2", 0))])
    assert world.seats == {"val0", "val1", "val2", "val3"}
    assert world.licence("val2").seat is Seat.LEAVING
    height = world.end_epoch().header.height
    assert world.seats == {"val0", "val1", "new", "val3"}
    assert (world.licence("new").seat, world.licence("new").seat_height) == (Seat.SEATED, height)
    assert (world.licence("val2").seat, world.licence("val2").seat_height) == (Seat.NONE, height)


def test_there_are_never_fewer_than_four() -> None:
    """One of four is removed and stays until somebody joins, over as many epochs as it takes."""
    world = World()
    world.advance([world.govern(Remove("val0", 0))])
    for _ in range(3):
        world.end_epoch()
        assert world.seats == {"val0", "val1", "val2", "val3"}
    joined(world, "new")
    world.end_epoch()
    assert world.seats == {"new", "val1", "val2", "val3"}


def test_the_oldest_wish_goes_first_and_the_rest_wait() -> None:
    """Seven members, two seats at once: three leave and three join, by height, then by name."""
    world = World(make_genesis(7))
    world.advance([world.govern(Remove("val5", 0))])
    world.advance([world.govern(Remove("val2", 0), Remove("val1", 0))])
    names = ("new1", "new2", "new3")
    world.advance([world.govern(*(Admit(grant(name), 0) for name in names))])
    world.advance([world.ready("new3")])
    world.advance([world.ready("new2"), world.ready("new1")])
    world.end_epoch()
    assert world.seats == {"val0", "val2", "val3", "val4", "val6", "new1", "new3"}
    world.end_epoch()
    assert world.seats == {"val0", "val3", "val4", "val6", "new1", "new2", "new3"}


@pytest.mark.parametrize("spoil", ["suspend", "revoke", "accuse", "expire"])
def test_nobody_joins_whose_licence_does_not_hold_at_the_boundary(spoil: str) -> None:
    """Ready, and then suspended, revoked, accused or expired in the same epoch."""
    world = World()
    expires_ms = TIME_MS + 30_000
    world.advance([world.govern(Admit(replace(grant("new"), expires_ms=expires_ms), 0))])
    world.advance([world.ready("new")])
    if spoil == "suspend":
        world.advance([world.govern(Suspend("new", 1))])
    elif spoil == "revoke":
        world.advance([world.govern(Revoke("new", 1))])
    elif spoil == "accuse":
        world.advance([world.accuse("new")])
    else:
        world.advance(after_ms=30_000)
    world.end_epoch()
    assert world.seats == {"val0", "val1", "val2", "val3"}


def a_set(n: int, wishes: list[tuple[int, int]], joiners: list[tuple[int, int]]) -> list[Licence]:
    """n seated ones, of whom `wishes` (which, since when) leave, and `joiners` who are ready."""
    base = Licence.granted(grant("x"), TIME_MS)
    licences = [replace(base, grant=replace(base.grant, id=f"v{i:02}")) for i in range(n)]
    for which, since in wishes:
        licences[which % n] = licences[which % n].with_seat(Seat.LEAVING, since)
    return licences + [
        replace(base.with_seat(Seat.READY, since), grant=replace(base.grant, id=f"n{which:02}"))
        for which, since in dict(joiners).items()
    ]


wishes = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=36)


@settings(deadline=None, max_examples=300)
@given(st.integers(VALIDATORS_MIN, VALIDATORS_MAX), wishes, wishes)
def test_two_sets_in_a_row_differ_in_at_most_f_seats(
    n: int, leavers: list[tuple[int, int]], joiners: list[tuple[int, int]]
) -> None:
    """Random wishes: bounds hold, nobody older waits for somebody younger, and as many seats
    change as may."""
    licences = a_set(n, leavers, joiners)
    leaving, joining = changed_seats(licences, n, TIME_MS)
    f = fault_limit(n)
    size = n - len(leaving) + len(joining)
    assert max(len(leaving), len(joining)) <= f
    assert VALIDATORS_MIN <= size <= VALIDATORS_MAX
    for seat, taken in ((Seat.LEAVING, leaving), (Seat.READY, joining)):
        order = [(item.seat_height, item.grant.id) for item in licences if item.seat is seat]
        chosen = [(item.seat_height, item.grant.id) for item in taken]
        assert chosen == sorted(order)[: len(chosen)]
        if len(chosen) < min(f, len(order)):
            assert size == (VALIDATORS_MIN if seat is Seat.LEAVING else VALIDATORS_MAX)


@settings(deadline=None, max_examples=15)
@given(st.data())
def test_seats_stay_in_bounds_over_random_epochs(data: st.DataObject) -> None:
    """Removals, admissions, suspensions and evidence at random: every set is sound, every
    certificate of two sets in a row shares an honest member, the state adds up."""
    world = World(make_genesis(data.draw(st.integers(4, 8))))
    number = 0
    for _ in range(4):
        before, f = world.seats, world.validators.f
        for _ in range(data.draw(st.integers(0, 3))):
            name = data.draw(st.sampled_from(sorted(world.seats)))
            licence, action = world.licence(name), data.draw(st.integers(0, 2))
            if action == 0:
                number += 1
                joined(world, f"new{number}")
            elif action == 1 and licence.seat is Seat.SEATED:
                world.advance([world.govern(Remove(name, licence.version))])
            elif action == 2 and licence.state is LicenceState.ACTIVE:
                world.advance([world.accuse(name)])
        assert world.seats == before
        world.end_epoch()
        assert max(len(before - world.seats), len(world.seats - before)) <= f
        assert VALIDATORS_MIN <= len(world.seats) <= VALIDATORS_MAX
        assert world.validators == ValidatorSet.of(world.validators.members, world.epoch.number)
    recount(world.state, world.state.outputs.items())


# The chain across boundaries.


def certify(world: World, validators: ValidatorSet, header: Header) -> Certificate:
    vote = VotePayload(header.epoch, COMMIT, 0, header.height, world.state.head.hash)
    message = vote_hash(world.chain_id, vote)
    signers = validators.members[: validators.quorum]
    return make_certificate(
        vote,
        {i: key(f"{item.licence}/consensus").sign(message) for i, item in enumerate(signers)},
    )


def test_the_chain_knows_the_validators_of_every_epoch() -> None:
    """Three epochs with swaps, fees and a mint on a store: sets, audits, opening again, recount;
    a certificate of another epoch's set is none."""
    world, kv, sets = World(), MemoryKV(), [World().validators]
    chain = Chain.create(kv, genesis_state(world.genesis))

    def advance(*txs: object) -> None:
        validators = world.validators
        block, changes = world.make_block(txs)  # type: ignore[arg-type]
        world.state.apply(changes)
        certificate = certify(world, validators, block.header)
        check_certificate(certificate, world.chain_id, validators, COMMIT)
        chain.append(block, certificate, changes)
        if block.header.ends_epoch:
            sets.append(world.validators)

    for number in range(3):
        name = f"new{number}"
        advance(world.govern(Admit(grant(name), 0)), world.transfer("alice", "bob"))
        assert chain.validators(number + 1) is None
        advance(world.govern(Remove(f"val{number}", 0)), world.ready(name))
        advance(world.mint("val2", number=number), world.transfer("bob", "alice", 5))
        advance(world.govern(EndEpoch(number)))
        assert chain.validators(number + 1) == sets[-1] == world.validators
        chain = Chain.open(kv)
        audit_boot(chain)
        recount(chain, chain.outputs())
    assert list(audit_full(chain))
    assert [chain.validators(epoch) for epoch in range(4)] == sets
    assert len({item.hash for item in sets}) == 4
    first = chain.certificate(1)
    assert first is not None
    with pytest.raises(Invalid) as caught:
        check_certificate(first, world.chain_id, sets[3], COMMIT)
    assert caught.value.reason is Reason.BAD_CERTIFICATE
    assert dict(chain.objects(b"")) == world.state.stored
