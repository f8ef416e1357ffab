"""Forensics: two final blocks at one height, and who must have lied for both to be final.

Pure and offline. `investigate` takes what operators exported (`Material`: certified headers of one
epoch and the NEW-VIEWs that their nodes entered views with) and answers with culprits, each beside
signed messages that prove it alone. `check_proof` judges one proof and is the only way into the
answer, so what holds for it holds for every name. No honest member is ever named, whoever else is
evil: each rule is broken by nobody whose guard orders its votes (see `check_proof`).

At least f + 1 are named, as long as fewer than q members are evil. Let C be the certificate of the
lowest view v at the lowest height h with two final blocks, x its block. Another certificate of
view v shares f + 1 signers with C, who voted twice. Otherwise let D be the certificate of the
lowest view w > v that contradicts x or one of x's ancestors in the window: the rival's, or one
that a VIEW-CHANGE carries. One of D's q signers is honest; it entered w with a NEW-VIEW M that lets
D's block through, and kept M. C and M share f + 1 members, who signed COMMIT in v and VIEW-CHANGE
in M. If one of them took along every entry that it owed, M holds for each height up to h
an entry of view v or later; none of view > v contradicts x, for D's view is the lowest. So either
two certificates of view v contradict each other and f + 1 voted twice, or M derives x and does
not let D through, a contradiction: all f + 1 withheld what they committed. After the analysis of
PBFT with signatures in Sheng, Wang, Nayak, Kannan and Viswanath, "BFT Protocol Forensics",
CCS 2021, carried over to a window of chained heights.

What is no proof: a PREPARE beside a NEW-VIEW that derives another block accuses no backup, because
a primary may show each member another NEW-VIEW; and two NEW-VIEWs or VIEW-CHANGEs of one view may
come from a member that lost its log and was recovered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from typing import TypeAlias

from consensus.messages import NewView, ViewChange, Vote, make_vote, new_view_hash
from consensus.testimony import Final, Material, Testimony, testimony_of
from consensus.view_change import Derived, Rules, check_new_view, check_view_change
from ledger.block import COMMIT, Certificate, Header, header_hash, vote_hash
from ledger.reasons import Invalid, Reason


class Offence(Enum):
    """What no honest member does."""

    DOUBLE_VOTE = "two votes at one place"
    AMNESIA = "COMMIT, then a VIEW-CHANGE that forgets it"
    OWN_NEW_VIEW = "a vote against its own NEW-VIEW"
    BAD_NEW_VIEW = "a NEW-VIEW that proves nothing"


Message: TypeAlias = Vote | ViewChange | NewView


@dataclass(frozen=True, slots=True)
class Proof:
    """Messages signed by `member` that convict it without anybody's word.

    `ancestors` serve AMNESIA alone: the headers that end with the block of the COMMIT, each the
    parent of the next, as far down as they are known.
    """

    offence: Offence
    member: int
    messages: tuple[Message, ...]
    ancestors: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """Every honest one of `holders` entered `view` with the NEW-VIEW that led to this block."""

    view: int
    height: int
    block_hash: bytes
    holders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Two final blocks at `height`, the lowest such; `proofs` by member, one an offence."""

    height: int
    first: Certificate
    second: Certificate
    proofs: tuple[Proof, ...]
    missing: Missing | None

    @property
    def culprits(self) -> list[int]:
        return sorted({proof.member for proof in self.proofs})


def investigate(materials: Sequence[Material], rules: Rules) -> Finding | None:
    """Who lied, None where nothing contradicts; raises Invalid for material that is not sound.

    `rules` are those of the materials' epoch. More than two materials help where a NEW-VIEW is
    missing in the first two.
    """
    testimony = testimony_of(materials, rules)
    rivals = _lowest_conflict(testimony)
    if not rivals:
        return None
    lock, *others = rivals
    proofs: dict[tuple[int, Offence], Proof] = {}
    for proof in _candidates(testimony, rivals):
        place = (proof.member, proof.offence)
        if place not in proofs:
            try:
                check_proof(proof, rules)
            except Invalid:
                continue
            proofs[place] = proof
    named = {member for member, _ in proofs}
    missing = None
    if len(named) <= rules.validators.f:
        missing = _missing(testimony, lock, others)
    second = next(item for item in others if item.block_hash != lock.block_hash)
    found = tuple(
        [proofs[place] for place in sorted(proofs, key=lambda key: (key[0], key[1].name))]
    )
    return Finding(lock.header.height, lock.certificate, second.certificate, found, missing)


def check_proof(proof: Proof, rules: Rules) -> None:
    """Whether a proof convicts its member by itself; raises Invalid where it does not.

    DOUBLE_VOTE: two votes of one phase, epoch, view and height for different blocks. A guard signs
    one hash a place.

    AMNESIA: COMMIT of x in view v at height h, and a VIEW-CHANGE for a later view whose base is
    below h and which lacks, for some height above its base and up to h, a proved entry of a view
    after v, or of v with x or x's ancestor. A COMMIT follows the prepared certificates of the block
    and of all its ancestors above the last final block; a member keeps, until the height is
    final, that of the highest view.

    OWN_NEW_VIEW: a vote of view w by its primary, and that member's NEW-VIEW for w, which decides
    the height of the vote otherwise. A primary obeys its own NEW-VIEW.

    BAD_NEW_VIEW: a signed NEW-VIEW whose signer is not the view's primary, or which does not hold
    exactly q valid VIEW-CHANGEs of distinct members for its view. A primary checks them first.
    """
    match proof.offence, proof.messages:
        case Offence.DOUBLE_VOTE, (first, second):
            _check_double_vote(_vote(first, proof, rules), _vote(second, proof, rules))
        case Offence.AMNESIA, (first, ViewChange() as second):
            _check_amnesia(_vote(first, proof, rules), second, proof, rules)
        case Offence.OWN_NEW_VIEW, (first, NewView() as second):
            _check_own_new_view(_vote(first, proof, rules), second, proof, rules)
        case Offence.BAD_NEW_VIEW, (NewView() as first,):
            _check_bad_new_view(first, proof, rules)
        case _:
            raise Invalid(Reason.MALFORMED, "messages of other kinds than the offence needs")


def lets_through(derived: Derived, height: int, block_hash: bytes) -> bool:
    """Whether honest members that enter with this NEW-VIEW may vote for a block at a height."""
    if height <= derived.base.height:
        return False
    if height > derived.top:
        return True
    return derived.proposals[height - derived.base.height - 1].certificate.block_hash == block_hash


def _lowest_conflict(testimony: Testimony) -> list[Final]:
    """The final blocks of the lowest height with two of them, by ascending view."""
    for height in sorted(testimony.finals):
        found = testimony.finals[height]
        if len({item.block_hash for item in found}) > 1:
            return sorted(found, key=lambda item: (item.certificate.view, item.block_hash))
    return []


def _candidates(testimony: Testimony, rivals: list[Final]) -> Iterator[Proof]:
    """Every pair of messages that could be a proof; most are not."""
    by_place: dict[tuple[int, int, int], list[Certificate]] = {}
    for certificate in testimony.certificates():
        place = (certificate.phase, certificate.view, certificate.height)
        by_place.setdefault(place, []).append(certificate)
    for same in by_place.values():
        for one, other in combinations(same, 2):
            yield from _double_votes(one, other)
    for new_view in testimony.refuted:
        yield Proof(Offence.BAD_NEW_VIEW, new_view.body.signer, (new_view,))
    for entered in testimony.entered:
        primary = entered.message.body.signer
        for certificate in testimony.certificates():
            vote = vote_of(certificate, primary)
            if certificate.view == entered.message.body.view and vote is not None:
                yield Proof(Offence.OWN_NEW_VIEW, primary, (vote, entered.message))
        for final in rivals:
            yield from _forgotten(final, entered.message, testimony)


def _double_votes(one: Certificate, other: Certificate) -> Iterator[Proof]:
    if one.block_hash == other.block_hash:
        return
    first, second = sorted((one, other), key=lambda item: item.block_hash)
    for member in first.signer_indices:
        votes = vote_of(first, member), vote_of(second, member)
        if votes[0] is not None and votes[1] is not None:
            yield Proof(Offence.DOUBLE_VOTE, member, (votes[0], votes[1]))


def _forgotten(final: Final, new_view: NewView, testimony: Testimony) -> Iterator[Proof]:
    """The signers of a certificate who came into a later view with this NEW-VIEW."""
    if new_view.body.view <= final.certificate.view:
        return
    for view_change in new_view.body.view_changes:
        member = view_change.body.signer
        vote = vote_of(final.certificate, member)
        if vote is not None:
            ancestors = testimony.ancestors(final)
            yield Proof(Offence.AMNESIA, member, (vote, view_change), ancestors)


def _missing(testimony: Testimony, lock: Final, others: Iterable[Final]) -> Missing | None:
    """The NEW-VIEW behind the earliest contradiction of `lock`, if it is not among the material."""
    by_height = {header.height: header_hash(header) for header in testimony.ancestors(lock)}
    contradicting = [
        item
        for item in testimony.prepared
        if item.height in by_height and item.block_hash != by_height[item.height]
    ]
    contradicting += [item.certificate for item in others if item.block_hash != lock.block_hash]
    later = [item for item in contradicting if item.view > lock.certificate.view]
    if not later:
        return None
    first = min(later, key=lambda item: (item.view, item.height, item.block_hash))
    for entered in testimony.entered:
        same_view = entered.message.body.view == first.view
        if same_view and lets_through(entered.derived, first.height, first.block_hash):
            return None
    return Missing(first.view, first.height, first.block_hash, tuple(first.signer_indices))


def vote_of(certificate: Certificate, member: int) -> Vote | None:
    """One member's vote out of a certificate."""
    signers = certificate.signer_indices
    if member not in signers:
        return None
    return make_vote(certificate.payload, member, certificate.signatures[signers.index(member)])


def _vote(message: Message, proof: Proof, rules: Rules) -> Vote:
    """The message as a vote that its member signed in this epoch; raises Invalid."""
    if isinstance(message, ViewChange | NewView):
        raise Invalid(Reason.MALFORMED, "not a vote")
    _check_member(message.epoch, message.signer, proof, rules)
    key = rules.validators.members[message.signer].key
    if not rules.is_valid(key, vote_hash(rules.chain_id, message.payload), message.signature):
        raise Invalid(Reason.BAD_SIGNATURE, f"vote of member {message.signer}")
    return message


def _check_member(epoch: int, signer: int, proof: Proof, rules: Rules) -> None:
    if signer != proof.member or signer >= rules.validators.n or epoch != rules.epoch:
        detail = f"of member {signer} and epoch {epoch}, accused is member {proof.member}"
        raise Invalid(Reason.MALFORMED, f"{detail} in epoch {rules.epoch}")


def _check_double_vote(first: Vote, second: Vote) -> None:
    one, other = first.payload, second.payload
    same_place = (one.phase, one.view, one.height) == (other.phase, other.view, other.height)
    if not same_place or one.block_hash == other.block_hash:
        raise Invalid(Reason.NO_CONFLICT, "not two votes for different blocks at one place")


def _check_amnesia(commit: Vote, message: ViewChange, proof: Proof, rules: Rules) -> None:
    body = message.body
    _check_member(body.epoch, body.signer, proof, rules)
    if commit.phase != COMMIT or body.view <= commit.view:
        raise Invalid(Reason.NO_CONFLICT, "not a COMMIT and a VIEW-CHANGE for a later view")
    known = _hashes(commit, proof.ancestors, rules)
    checked = check_view_change(message, rules)
    taken = {entry.header.height: entry.certificate for entry in checked.entries}
    for height in range(checked.base.height + 1, commit.height + 1):
        entry = taken.get(height)
        if entry is None or entry.view < commit.view:
            return
        is_other = height in known and entry.block_hash != known[height]
        if entry.view == commit.view and is_other:
            return
    raise Invalid(Reason.NO_CONFLICT, "the VIEW-CHANGE takes along all that the COMMIT stands on")


def _hashes(commit: Vote, ancestors: tuple[Header, ...], rules: Rules) -> dict[int, bytes]:
    """The block of a COMMIT and its ancestors by height, as far down as headers prove them."""
    known = {commit.height: commit.block_hash}
    for header in reversed(ancestors):
        is_ours = header.validators_hash == rules.validators.hash
        if known.get(header.height) != header_hash(header) or not is_ours:
            detail = f"the header at height {header.height} is no ancestor, or of another set"
            raise Invalid(Reason.BAD_HEADER, detail)
        known[header.height - 1] = header.parent_hash
    if not ancestors:
        raise Invalid(Reason.BAD_HEADER, "the COMMIT stands alone, without its header")
    return known


def _check_own_new_view(vote: Vote, message: NewView, proof: Proof, rules: Rules) -> None:
    _check_member(message.body.epoch, message.body.signer, proof, rules)
    if message.body.view != vote.view:
        raise Invalid(Reason.NO_CONFLICT, "the vote and the NEW-VIEW are of two views")
    derived = check_new_view(message, rules, {})
    if lets_through(derived, vote.height, vote.block_hash):
        raise Invalid(Reason.NO_CONFLICT, "the vote follows the NEW-VIEW")


def _check_bad_new_view(message: NewView, proof: Proof, rules: Rules) -> None:
    body = message.body
    _check_member(body.epoch, body.signer, proof, rules)
    key = rules.validators.members[body.signer].key
    if not rules.is_valid(key, new_view_hash(rules.chain_id, body), message.signature):
        raise Invalid(Reason.BAD_SIGNATURE, f"NEW-VIEW of member {body.signer}")
    for view_change in body.view_changes:
        _check_set_of_base(view_change, rules)
    try:
        check_new_view(message, rules, {})
    except Invalid:
        return
    raise Invalid(Reason.NO_CONFLICT, "the NEW-VIEW proves its view")


def _check_set_of_base(message: ViewChange, rules: Rules) -> None:
    """The set that a base of the epoch before is judged by is the one that the base names.

    Whoever brings a false set must not make honest VIEW-CHANGEs look wrong. (AMNESIA needs one that
    is right.)
    """
    base = message.body.base
    of_before = rules.previous is not None and base.epoch == rules.previous.epoch
    if of_before and rules.previous is not None and base.validators_hash != rules.previous.hash:
        raise Invalid(Reason.BAD_HEADER, f"the base is of another set of epoch {base.epoch}")
