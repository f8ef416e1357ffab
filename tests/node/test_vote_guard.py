"""The guard: what it refuses, what it remembers over restarts, and when it follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from consensus.effects import VoteRequest
from consensus.messages import VoteMark
from ledger.block import COMMIT, PREPARE, Block, Header, VotePayload, header_hash
from ledger.errors import StorageError
from node import vote_guard, wal
from node.signing import LocalKey, Request
from node.vote_guard import Permission, Refused, VoteGuard
from node.vote_memory import BLOCKS_A_HEIGHT_MAX
from node.wal import INSTANCE_ID_BYTES, LogDamaged, WriteAheadLog
from tests.consensus.kit import Kit
from tests.sim.storage import MemoryLogFile

KIT = Kit(4)
ONE = KIT.header()
OTHER = KIT.header(salt="other")
MEMBER = 1
KEY = LocalKey(KIT.world.member_key(MEMBER), KIT.rules.chain_id)


class Desk:
    """A guard on a file in memory, and what may happen to both."""

    def __init__(self, kit: Kit = KIT) -> None:
        self.kit = kit
        self.file = MemoryLogFile()
        WriteAheadLog.create(self.file, bytes(INSTANCE_ID_BYTES))
        self.start()

    def start(self) -> None:
        """As the node starts: replay, then hear a quorum."""
        log, records = WriteAheadLog.open(self.file)
        key = LocalKey(self.kit.world.member_key(MEMBER), self.kit.rules.chain_id)
        self.guard = VoteGuard(key, self.kit.rules, log, records, new_log=pytest.fail)

    def allow(self, head: Header | None = None) -> None:
        for member in (MEMBER, 2, 3):
            self.guard.hear(member, self.kit.status(head))

    def vote(
        self, header: Header, phase: int = PREPARE, *, view: int = 0, synced: bool = True
    ) -> None:
        payload = VotePayload(0, phase, view, header.height, header_hash(header))
        entry = self.kit.entry(header, view=view) if phase == COMMIT else None
        self.guard.stage(VoteRequest(payload, entry), synced=synced, block=Block(header, ()))

    def change(self, view: int, **options: object) -> None:
        body = self.kit.view_change(MEMBER, view, **options).body
        self.guard.stage(body, synced=True)


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    made.allow()
    return made


def mark(kit: Kit, header: Header, *, view: int = 0, signer: int = MEMBER) -> VoteMark:
    vote = kit.vote(signer, COMMIT, header, view=view)
    payload = vote.payload
    return VoteMark(
        MEMBER, 0, view, header.height, payload.phase, payload.block_hash, vote.signature
    )


def test_a_vote_is_signed_when_it_is_on_the_disk(desk: Desk) -> None:
    """Staged: logged nowhere yet and signed by nobody; flushed: durable, then signed."""
    signed: list[int] = []
    key = desk.guard._key

    class Watching:
        public = key.public
        is_at_hand = True
        trouble = ""

        def sign(self, request: Request) -> bytes:
            signed.append(desk.file.unsynced_bytes)
            return key.sign(request)

    desk.guard._key = Watching()
    desk.vote(ONE)
    assert signed == []
    (vote,) = desk.guard.flush()
    assert signed == [0]
    assert vote == KIT.vote(MEMBER, PREPARE, ONE)
    assert desk.guard.flush() == []


class FarKey:
    """A key elsewhere, which may be away or say no."""

    public = KEY.public

    def __init__(self) -> None:
        self.is_at_hand, self.trouble, self.refuses = True, "", False

    def sign(self, request: Request) -> bytes:
        if self.refuses:
            raise Refused("the signer says no")
        return KEY.sign(request)


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_status_full_of_false_echoes_costs_one_signature(is_allowed: bool) -> None:
    """An honest member has one echo of each; a liar's others are not looked at."""
    asked: list[bytes] = []
    desk = Desk()
    if is_allowed:
        desk.allow()

    def is_valid(key: bytes, message: bytes, signature: bytes) -> bool:
        asked.append(signature)
        return KIT.rules.is_valid(key, message, signature)

    desk.guard._rules = replace(KIT.rules, is_valid=is_valid)
    head = KIT.chain(6)[6]
    false = [mark(KIT, head, view=view, signer=3) for view in range(1, 33)]
    desk.guard.hear(3, KIT.status(votes=tuple(false)))
    assert len(asked) == 1
    assert desk.guard.permission is (Permission.ALLOWED if is_allowed else Permission.WAITING)


def test_an_unfit_machine_signs_nothing(desk: Desk) -> None:
    """As with a nearly full disk: nothing is logged, and the status says why."""
    desk.guard.withhold("no room")
    assert (desk.guard.can_sign, desk.guard.reason) == (False, "no room")
    with pytest.raises(Refused, match="no room"):
        desk.vote(ONE)
    desk.guard.withhold("")
    desk.vote(OTHER)
    assert len(desk.guard.flush()) == 1


def test_a_key_that_is_away_is_asked_for_nothing(desk: Desk) -> None:
    """Nothing is logged meanwhile, the reason is the key's own, and later it goes on."""
    key = desk.guard._key = FarKey()
    key.is_at_hand, key.trouble = False, "no signer"
    assert not desk.guard.can_sign
    assert not desk.guard.is_sure_next
    assert desk.guard.reason == "no signer"
    with pytest.raises(Refused, match="no signer"):
        desk.vote(ONE)
    key.is_at_hand, key.trouble = True, ""
    assert (desk.guard.can_sign, desk.guard.reason) == (True, "")
    desk.vote(OTHER)
    assert len(desk.guard.flush()) == 1


def test_a_refusal_of_the_key_is_a_vote_that_got_lost(desk: Desk) -> None:
    """It is logged and stands: the same block may be signed later, another one may not."""
    key = desk.guard._key = FarKey()
    key.refuses = True
    desk.vote(ONE)
    assert desk.guard.flush() == []
    key.refuses = False
    with pytest.raises(Refused, match="another block"):
        desk.vote(OTHER)
    desk.vote(ONE)
    assert len(desk.guard.flush()) == 1


def test_a_start_without_the_key_restores_all_but_signatures(desk: Desk) -> None:
    """The view of the log holds; its VIEW-CHANGE is signed when it is asked for again."""
    desk.change(2)
    (signed,) = desk.guard.flush()
    desk.start()
    key = desk.guard._key = FarKey()
    key.refuses = True
    restored = desk.guard.restored(0)
    assert (restored.view, restored.view_change) == (2, None)
    key.refuses = False
    assert desk.guard.restored(0).view_change == signed


@pytest.mark.parametrize("restarts", [False, True])
def test_a_second_hash_for_one_slot_is_refused(desk: Desk, restarts: bool) -> None:
    """In this life and the next; the same hash again gives the same bytes."""
    desk.vote(ONE)
    (first,) = desk.guard.flush()
    if restarts:
        desk.start()
        desk.allow()
    with pytest.raises(Refused, match="another block"):
        desk.vote(OTHER)
    desk.vote(ONE)
    assert desk.guard.flush() == [first]


def test_what_was_not_flushed_was_never_promised(desk: Desk) -> None:
    """Power fails before the sync: nothing was signed, so another block may be."""
    desk.vote(ONE)
    desk.file.crash()
    desk.start()
    desk.allow()
    desk.vote(OTHER)
    assert len(desk.guard.flush()) == 1


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("an earlier view", lambda desk: desk.vote(ONE, view=1)),
        ("an earlier view change", lambda desk: desk.change(1)),
        ("its own view again", lambda desk: desk.change(2, base=ONE)),
        (
            "an earlier epoch",
            lambda desk: desk.guard.stage(
                VoteRequest(VotePayload(1, PREPARE, 2, 1, bytes(32))), synced=True
            ),
        ),
        ("a vote while not synced", lambda desk: desk.vote(ONE, view=2, synced=False)),
        (
            "a PREPARE without its body",
            lambda desk: desk.guard.stage(
                VoteRequest(VotePayload(0, PREPARE, 2, 1, header_hash(ONE))), synced=True
            ),
        ),
        (
            "a PREPARE with another body",
            lambda desk: desk.guard.stage(
                VoteRequest(VotePayload(0, PREPARE, 2, 1, header_hash(ONE))),
                synced=True,
                block=Block(OTHER, ()),
            ),
        ),
    ],
)
def test_refused(desk: Desk, name: str, act: Callable[[Desk], None]) -> None:
    """After a vote in view 2."""
    desk.vote(KIT.header(view=2), view=2)
    desk.guard.flush()
    with pytest.raises(Refused):
        act(desk)
        pytest.fail(name)
    assert desk.guard.flush() == []


@pytest.mark.parametrize(
    "entry",
    [
        None,
        KIT.entry(OTHER),
        KIT.entry(ONE, view=1),
        msgspec.structs.replace(
            KIT.entry(ONE), certificate=KIT.certificate(PREPARE, ONE, signers=[0, 1])
        ),
        msgspec.structs.replace(KIT.entry(ONE), certificate=KIT.certificate(COMMIT, ONE)),
    ],
)
def test_a_commit_without_its_certificate_is_refused(desk: Desk, entry: object) -> None:
    """None, of another block or view, too small, of the wrong phase."""
    payload = VotePayload(0, COMMIT, 0, 1, header_hash(ONE))
    with pytest.raises(Refused, match="prepared certificate"):
        desk.guard.stage(VoteRequest(payload, entry), synced=True)


def test_final_heights_are_never_voted_on_again(desk: Desk) -> None:
    """Their votes were forgotten, so nothing is signed there any more."""
    desk.vote(ONE)
    desk.guard.flush()
    desk.guard.committed(1)
    with pytest.raises(Refused, match="votes begin above 1"):
        desk.vote(OTHER)


def test_a_chain_behind_its_own_votes_ends_no_view(desk: Desk) -> None:
    """The database is another and begins at genesis, the log has a COMMIT at height 2: a
    VIEW-CHANGE from genesis could not take it along. From height 1 on it can."""
    desk.vote(ONE)
    desk.vote(ONE, COMMIT)
    desk.guard.flush()
    desk.guard.committed(1)
    two = KIT.header(ONE)
    desk.vote(two)
    desk.vote(two, COMMIT)
    desk.guard.flush()
    desk.start()
    desk.guard.restored(0)
    desk.allow()
    with pytest.raises(Refused, match="behind what this key prepared"):
        desk.change(1)
    desk.guard.committed(1)
    desk.change(1, base=ONE, entries=[KIT.entry(two)])
    assert len(desk.guard.flush()) == 1


def test_what_was_prepared_and_proposed_is_restored(desk: Desk) -> None:
    """View, VIEW-CHANGE byte for byte, prepared entry, body and proposal of the view."""
    desk.vote(ONE)
    desk.vote(ONE, COMMIT)
    desk.change(1, entries=[KIT.entry(ONE)])
    (*_, view_change) = desk.guard.flush()
    again = KIT.header(view=1)
    desk.vote(again, view=1)
    desk.guard.flush()
    desk.start()
    restored = desk.guard.restored(0)
    assert restored.view == 1
    assert restored.view_change == view_change
    assert [entry.header for entry in restored.prepared] == [ONE]
    assert restored.proposals == ((again, ()),)
    assert desk.guard.block(header_hash(ONE)) == Block(ONE, ())
    above = desk.guard.restored(1)
    assert (above.prepared, above.proposals) == ((), ())


def test_a_new_view_is_restored_byte_for_byte() -> None:
    """The primary of view 1 sends the same one after its restart, whatever it is asked for."""
    desk = Desk()
    desk.allow()
    message = KIT.new_view(1, [KIT.view_change(item, 1) for item in (0, 1, 2)])
    desk.guard.stage(message.body, synced=True)
    assert desk.guard.flush() == [message]
    desk.start()
    desk.allow()
    assert desk.guard.restored(0).new_view == message
    other = KIT.new_view(1, [KIT.view_change(item, 1) for item in (1, 2, 3)])
    desk.guard.stage(other.body, synced=True)
    assert desk.guard.flush() == [message]


def test_rotation_keeps_what_still_matters(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    """A log that rotates at every turn refuses and restores the same."""
    monkeypatch.setattr(wal, "LOG_BYTES_ROTATE", 1)
    desk.vote(ONE)
    desk.vote(ONE, COMMIT)
    desk.guard.flush()
    two = KIT.header(ONE)
    desk.guard.committed(1)
    desk.vote(two)
    desk.guard.flush()
    desk.change(1, base=ONE)
    (view_change,) = desk.guard.flush()
    desk.start()
    desk.allow(ONE)
    assert desk.guard.restored(1).view_change == view_change
    assert desk.guard.vote_above == 1
    with pytest.raises(Refused):
        desk.vote(KIT.header(ONE, salt="x"))
    with pytest.raises(Refused):
        desk.vote(OTHER, view=1)


def test_bodies_of_failed_views_are_bounded(desk: Desk) -> None:
    """The newest stay, and that of a prepared block always."""
    desk.vote(ONE)
    desk.vote(ONE, COMMIT)
    headers = [KIT.header(view=view, salt="n") for view in range(1, 3 * BLOCKS_A_HEIGHT_MAX)]
    for view, header in enumerate(headers, start=1):
        desk.vote(header, view=view)
    desk.guard.flush()
    kept = [header for header in headers if desk.guard.block(header_hash(header)) is not None]
    assert kept == headers[-BLOCKS_A_HEIGHT_MAX:]
    assert desk.guard.block(header_hash(ONE)) is not None


# The start.


def test_a_fresh_log_waits_for_a_quorum_and_votes_on_a_new_chain() -> None:
    """Its own STATUS counts; until then nothing is signed."""
    desk = Desk()
    with pytest.raises(Refused):
        desk.vote(ONE)
    assert not desk.guard.hear(MEMBER, KIT.status())
    assert not desk.guard.hear(2, KIT.status())
    assert desk.guard.permission is Permission.WAITING
    assert desk.guard.hear(3, KIT.status())
    assert desk.guard.permission is Permission.ALLOWED


@pytest.mark.parametrize(
    "status",
    [KIT.status(ONE), KIT.status(votes=(mark(KIT, ONE),))],
    ids=["a committed block", "a vote of its key"],
)
def test_a_fresh_log_on_a_running_chain_follows(status: object) -> None:
    """It may have forgotten votes."""
    desk = Desk()
    desk.guard.hear(MEMBER, KIT.status())
    desk.guard.hear(2, status)
    desk.guard.hear(3, KIT.status())
    assert desk.guard.permission is Permission.FOLLOWING
    assert "fresh" in desk.guard.reason
    with pytest.raises(Refused):
        desk.vote(ONE)


@pytest.mark.parametrize(
    ("echo", "permission"),
    [
        (mark(KIT, ONE, view=0), Permission.ALLOWED),
        (mark(KIT, KIT.header(ONE)), Permission.FOLLOWING),
        (mark(KIT, ONE, view=3), Permission.FOLLOWING),
        (mark(KIT, KIT.header(ONE), signer=2), Permission.ALLOWED),
    ],
    ids=["what it knows", "a later height", "a later view", "signed by another key"],
)
def test_the_echo_of_its_own_votes(echo: VoteMark, permission: Permission) -> None:
    """A log behind what others saw follows; a claim that its key did not sign says nothing."""
    desk = Desk()
    desk.allow()
    desk.vote(ONE)
    desk.vote(ONE, COMMIT)
    desk.guard.flush()
    desk.start()
    for member in (MEMBER, 2):
        desk.guard.hear(member, KIT.status(ONE))
    desk.guard.hear(3, KIT.status(ONE, votes=(echo,)))
    assert desk.guard.permission is permission


def fresh_log(file: MemoryLogFile | None = None) -> WriteAheadLog:
    return WriteAheadLog.create(file or MemoryLogFile(), bytes(INSTANCE_ID_BYTES))


def without_log(
    why: str = "the log is missing", new_log: Callable[[], WriteAheadLog] = fresh_log
) -> VoteGuard:
    return VoteGuard(KEY, KIT.rules, None, new_log=new_log, why=why)


def test_without_a_log_it_follows_and_says_why() -> None:
    """Missing or damaged, at any height."""
    guard = without_log()
    for member in (MEMBER, 2, 3):
        guard.hear(member, KIT.status())
    assert guard.permission is Permission.FOLLOWING
    assert guard.reason == "not voting until 'marsa node recover': the log is missing"
    guard.hear(0, KIT.status())
    assert guard.reason == "not voting until 'marsa node recover' or epoch 2: the log is missing"


def test_a_record_of_a_later_program_is_refused_and_not_called_damaged(desk: Desk) -> None:
    """As a later format: the log is sound, and whoever began anew would forget what it says."""
    log, _ = WriteAheadLog.open(desk.file)
    log.append(77, b"what no program of today writes")
    log.sync()
    with pytest.raises(StorageError, match="kind 77") as caught:
        desk.start()
    assert not isinstance(caught.value, LogDamaged)


def test_recovery_does_not_make_a_machine_fit() -> None:
    """The operator's word is about what was signed: on a full disk it changes nothing yet."""
    guard = without_log()
    guard.withhold("no room")
    for member in (0, MEMBER, 2, 3):
        guard.hear(member, KIT.status())
    guard.recover()
    assert (guard.permission, guard.reason) == (Permission.ALLOWED, "no room")
    assert (guard.can_sign, guard.is_sure_next) == (False, False)
    guard.withhold("")
    assert (guard.can_sign, guard.is_sure_next, guard.reason) == (True, True, "")


def test_recovery_needs_a_quorum_of_others_and_votes_above_what_they_prove() -> None:
    """Heights above h* + 2W; no view below the highest signed one or the (f+1)-th highest claim,
    so that one liar cannot silence this key for ever; and so after a restart."""
    file = MemoryLogFile()
    guard = without_log(new_log=lambda: fresh_log(file))
    head = KIT.chain(5)[5]
    for member, view in ((MEMBER, 0), (2, 4), (3, 3)):
        guard.hear(member, KIT.status(head, view=view))
    with pytest.raises(Refused, match="2 other validators answered, 3 are needed"):
        guard.recover()
    guard.hear(0, KIT.status(head, view=2**62, votes=(mark(KIT, KIT.chain(6)[6], view=2),)))
    guard.recover()
    above = 6 + vote_guard.RECOVERY_WINDOWS * KIT.rules.window
    assert (guard.permission, guard.vote_above, guard.view_min) == (Permission.ALLOWED, above, 4)
    assert guard.reason == ""
    log, records = WriteAheadLog.open(file)
    again = VoteGuard(KEY, KIT.rules, log, records, new_log=pytest.fail)
    assert (again.vote_above, again.view_min, again.restored(0).view) == (above, 4, 4)
    with pytest.raises(Refused):
        again.recover()


def test_votes_of_another_process_with_this_key_stop_it(desk: Desk) -> None:
    """It votes; the echo shows a vote beyond its log, or another one for its slot: it follows,
    says why, and signs no more. A vote that it gave, and one that nobody signed, stop nothing."""
    desk.vote(ONE)
    desk.vote(ONE, COMMIT)
    desk.guard.flush()
    second = KIT.header(ONE)
    forged = msgspec.structs.replace(mark(KIT, second), signature=bytes(64))
    for harmless in (mark(KIT, ONE), forged, mark(KIT, second, signer=2)):
        assert not desk.guard.hear(2, KIT.status(votes=(harmless,)))
        assert desk.guard.permission is Permission.ALLOWED
    assert desk.guard.hear(2, KIT.status(votes=(mark(KIT, second),)))
    assert desk.guard.permission is Permission.FOLLOWING
    assert "another process" in desk.guard.reason
    assert "marsa node recover" in desk.guard.reason
    with pytest.raises(Refused):
        desk.vote(second)


def test_a_key_that_runs_elsewhere_is_trusted_on_fresh_word_only(desk: Desk) -> None:
    """What was heard before another process with the key was noticed counts neither for a start nor
    for `recover`: that process may have signed since. After q fresh STATUS either goes on."""
    desk.start()
    for member in (MEMBER, 2):
        desk.guard.hear(member, KIT.status())
    assert not desk.guard.distrust_key()
    for member in (MEMBER, 3):
        desk.guard.hear(member, KIT.status())
    assert desk.guard.permission is Permission.WAITING
    desk.guard.hear(2, KIT.status())
    assert desk.guard.permission is Permission.ALLOWED
    assert desk.guard.distrust_key()
    assert desk.guard.permission is Permission.FOLLOWING
    assert not desk.guard.distrust_key()
    with pytest.raises(Refused, match="0 other validators answered, 3 are needed"):
        desk.guard.recover()
    for member in (0, 2, 3):
        desk.guard.hear(member, KIT.status())
    desk.guard.recover()
    assert desk.guard.permission is Permission.ALLOWED


def test_another_vote_for_its_own_slot_stops_it(desk: Desk) -> None:
    """The same place in the order, another hash."""
    desk.vote(ONE)
    desk.vote(ONE, COMMIT)
    desk.guard.flush()
    assert desk.guard.hear(2, KIT.status(votes=(mark(KIT, OTHER),)))
    assert desk.guard.permission is Permission.FOLLOWING


def test_old_votes_do_not_stop_what_was_recovered(desk: Desk) -> None:
    """After `recover` an echo of what the lost log held is no proof of another process."""
    guard = without_log("gone")
    for member in (0, 2, 3):
        guard.hear(member, KIT.status())
    guard.recover()
    assert not guard.hear(2, KIT.status(votes=(mark(KIT, KIT.header(ONE)),)))
    assert guard.permission is Permission.ALLOWED


@pytest.mark.parametrize(
    ("saw", "permission"), [(1, Permission.ALLOWED), (2, Permission.FOLLOWING)]
)
def test_a_log_that_forgot_a_view_change_follows(
    desk: Desk, saw: int, permission: Permission
) -> None:
    """Its votes are all there; f + 1 members hold its VIEW-CHANGE for a view that it forgot. One
    alone may lie."""
    desk.vote(ONE)
    desk.guard.flush()
    desk.start()
    left = KIT.status(view=2, active=0, view_changes=1 << MEMBER)
    desk.guard.hear(MEMBER, KIT.status())
    desk.guard.hear(2, left)
    desk.guard.hear(3, left if saw == 2 else KIT.status())
    assert desk.guard.permission is permission
    assert ("a view that this key left" in desk.guard.reason) == (saw == 2)


def test_a_view_change_that_it_remembers_is_no_reason(desk: Desk) -> None:
    """The log holds the VIEW-CHANGE that others hold: it votes."""
    desk.change(2)
    desk.guard.flush()
    desk.start()
    left = KIT.status(view=2, active=0, view_changes=1 << MEMBER)
    for member in (MEMBER, 2, 3):
        desk.guard.hear(member, left if member != MEMBER else KIT.status())
    assert desk.guard.permission is Permission.ALLOWED
