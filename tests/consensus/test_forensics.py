"""Forensics: forks of every kind, who is named and that each proof stands alone; nobody honest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

import msgspec
import pytest

from consensus.forensics import Finding, Offence, Proof, check_proof, investigate, vote_of
from consensus.messages import NewView, NewViewBody, ViewChange, new_view_hash
from consensus.testimony import CertifiedHeader, Material
from ledger import codec
from ledger.block import COMMIT, PREPARE, Certificate, Header
from ledger.reasons import Invalid, Reason
from ledger.validators import Member, ValidatorSet
from tests.consensus.fork_world import ForkWorld
from tests.consensus.kit import Kit

KIT = Kit()
X = KIT.header(salt="x")
Y = KIT.header(salt="y")
SIDE_X, SIDE_Y = (0, 1, 2), (0, 1, 3)
"""Members 0 and 1 are evil; 2 and 3 follow the protocol, and only one side each."""


def block(kit: Kit, header: Header, view: int, signers: Iterable[int]) -> CertifiedHeader:
    certificate = kit.certificate(COMMIT, header, view=view, signers=signers)
    return CertifiedHeader(header, certificate)


def material(
    *blocks: CertifiedHeader, kit: Kit = KIT, new_views: Iterable[NewView] = ()
) -> Material:
    validators = kit.world.validators
    return Material(kit.world.chain_id, validators, (), blocks, tuple(new_views))


def found(*materials: Material, kit: Kit = KIT) -> Finding:
    finding = investigate(materials, kit.rules)
    assert finding is not None
    for proof in finding.proofs:
        check_proof(proof, kit.rules)
    return finding


def signed_new_view(body: NewViewBody) -> NewView:
    """Signed by whoever it names, primary or not."""
    key = KIT.world.member_key(body.signer)
    return NewView(body, key.sign(new_view_hash(KIT.world.chain_id, body)))


def offences(finding: Finding) -> set[tuple[int, Offence]]:
    return {(proof.member, proof.offence) for proof in finding.proofs}


IN_X = block(KIT, X, 0, SIDE_X)


def test_two_certificates_of_one_view_convict_all_who_signed_both() -> None:
    """Both sides commit in view 0: members 0 and 1 stand in both certificates."""
    finding = found(material(IN_X), material(block(KIT, Y, 0, SIDE_Y)))
    assert offences(finding) == {(0, Offence.DOUBLE_VOTE), (1, Offence.DOUBLE_VOTE)}
    assert (finding.height, finding.missing) == (1, None)
    assert {finding.first.block_hash, finding.second.block_hash} == {
        item.certificate.block_hash for item in (IN_X, block(KIT, Y, 0, SIDE_Y))
    }


def test_commit_forgotten_over_a_view_change_convicts() -> None:
    """X is final in view 0, Y in view 1, whose NEW-VIEW knows nothing of X."""
    changes = [KIT.view_change(member, 1) for member in SIDE_Y]
    side_y = material(block(KIT, Y, 1, SIDE_Y), new_views=[KIT.new_view(1, changes)])
    finding = found(material(IN_X), side_y)
    assert offences(finding) == {(0, Offence.AMNESIA), (1, Offence.AMNESIA)}
    assert finding.missing is None


def test_only_those_are_convicted_who_forgot() -> None:
    """Member 1 takes X along and its NEW-VIEW shows it; it is convicted of not obeying that."""
    primary = KIT.primary(1)
    changes = [
        KIT.view_change(member, 1, entries=[KIT.entry(X)] if member == 1 else ())
        for member in SIDE_Y
    ]
    side_y = material(block(KIT, Y, 1, SIDE_Y), new_views=[KIT.new_view(1, changes)])
    finding = found(material(IN_X), side_y)
    assert primary == 1
    assert offences(finding) == {(0, Offence.AMNESIA), (1, Offence.OWN_NEW_VIEW)}


def test_new_view_that_proves_nothing_convicts_its_primary() -> None:
    """Its author signed the VIEW-CHANGE of member 2 himself: q valid ones are not there."""
    forged = KIT.view_change(2, 1)
    forged = ViewChange(forged.body, bytes(64))
    changes = [KIT.view_change(0, 1), KIT.view_change(1, 1), forged]
    side_y = material(block(KIT, Y, 1, (0, 1, 3)), new_views=[KIT.new_view(1, changes)])
    finding = found(material(IN_X), side_y)
    assert offences(finding) == {(1, Offence.BAD_NEW_VIEW)}
    assert finding.missing is not None
    assert finding.missing.holders == (0, 1, 3)


def test_all_members_evil_and_none_is_spared() -> None:
    """n evil keys sign everything: all who are in both quorums are named, nobody without proof."""
    changes = [KIT.view_change(member, 3) for member in (1, 2, 3)]
    side_y = material(block(KIT, Y, 3, (1, 2, 3)), new_views=[KIT.new_view(3, changes)])
    finding = found(material(block(KIT, X, 1, (0, 2, 3))), side_y)
    assert finding.culprits == [2, 3]


def test_missing_new_view_is_asked_for_from_those_who_must_have_it() -> None:
    """Without the NEW-VIEW of view 1 nothing is proved; with it, from a third export, all is."""
    changes = [KIT.view_change(member, 1) for member in SIDE_Y]
    new_view = KIT.new_view(1, changes)
    y = block(KIT, Y, 1, SIDE_Y)
    finding = found(material(IN_X), material(y))
    assert finding.proofs == ()
    assert finding.missing is not None
    assert (finding.missing.view, finding.missing.holders) == (1, SIDE_Y)
    assert found(material(IN_X), material(y), material(y, new_views=[new_view])).culprits == [0, 1]


def test_the_earliest_contradiction_counts_not_the_rival() -> None:
    """Y is prepared in view 1 and final in view 2, where all tell the truth: the lie is in 1."""
    first = KIT.new_view(1, [KIT.view_change(member, 1) for member in SIDE_Y])
    prepared = KIT.certificate(PREPARE, Y, view=1, signers=SIDE_Y)
    entries = [msgspec.structs.replace(KIT.entry(Y), certificate=prepared)]
    changes = [KIT.view_change(member, 2, entries=entries) for member in SIDE_Y]
    second, y = KIT.new_view(2, changes), block(KIT, Y, 2, SIDE_Y)
    without = found(material(IN_X), material(y, new_views=[second]))
    assert without.culprits == []
    assert without.missing is not None
    assert (without.missing.view, without.missing.height) == (1, 1)
    assert found(material(IN_X), material(y, new_views=[first, second])).culprits == [0, 1]


def test_ancestors_in_the_window_must_be_taken_along() -> None:
    """COMMIT at height 2 stands on a prepared height 1: a VIEW-CHANGE with 2 alone convicts."""
    kit = Kit(window=2)
    one = kit.header(salt="one")
    two, rival = kit.header(one), kit.header(salt="rival")
    side_x = material(block(kit, one, 0, SIDE_X), block(kit, two, 0, SIDE_X), kit=kit)
    alone = [kit.view_change(member, 1, entries=[kit.entry(two)]) for member in (0, 1)]
    new_view = kit.new_view(1, [*alone, kit.view_change(3, 1)])
    side_y = material(block(kit, rival, 1, SIDE_Y), new_views=[new_view], kit=kit)
    assert found(side_x, side_y, kit=kit).culprits == [0, 1]
    commit = vote_of(side_x.blocks[1].certificate, 0)
    assert commit is not None
    check_proof(Proof(Offence.AMNESIA, 0, (commit, alone[0]), (one, two)), kit.rules)
    both = kit.view_change(0, 1, entries=[kit.entry(one), kit.entry(two)])
    based = kit.view_change(0, 1, base=one, entries=[kit.entry(two)])
    for honest in (both, based, kit.view_change(0, 1, base=two)):
        with pytest.raises(Invalid) as caught:
            check_proof(Proof(Offence.AMNESIA, 0, (commit, honest), (one, two)), kit.rules)
        assert caught.value.reason is Reason.NO_CONFLICT


def test_entry_of_the_same_view_must_be_of_the_same_chain() -> None:
    """COMMIT at 2 in view 0 beside a certificate of view 0 for another height 1 convicts."""
    kit = Kit(window=2)
    one, other = kit.header(salt="one"), kit.header(salt="other")
    two = kit.header(one)
    commit = kit.vote(0, COMMIT, two)
    entries = [kit.entry(other), kit.entry(two)]
    messages = (commit, kit.view_change(0, 1, entries=entries))
    check_proof(Proof(Offence.AMNESIA, 0, messages, (one, two)), kit.rules)
    with pytest.raises(Invalid, match="bad_header"):  # without its header nobody can tell
        check_proof(Proof(Offence.AMNESIA, 0, messages), kit.rules)


def test_entry_of_an_older_view_is_not_what_was_owed() -> None:
    """COMMIT in view 2: an entry of view 1 convicts, one of view 2 does not, nor a later one."""
    commit = KIT.vote(0, COMMIT, X, view=2)
    for view in (1, 2, 3):
        message = KIT.view_change(0, 4, entries=[KIT.entry(X, view=view)])
        proof = Proof(Offence.AMNESIA, 0, (commit, message), (X,))
        if view == 1:
            check_proof(proof, KIT.rules)
        else:
            with pytest.raises(Invalid, match="no_conflict"):
                check_proof(proof, KIT.rules)


def test_ancestors_are_found_down_to_the_window() -> None:
    """The fork is at height 3, what was swapped in the VIEW-CHANGEs at height 1."""
    kit = Kit(window=4)
    _, one, two, three = kit.chain(3)
    other, rival = kit.header(salt="other"), kit.header(two, salt="rival")
    entries = [kit.entry(other), kit.entry(two), kit.entry(three)]
    changes = [kit.view_change(member, 1, entries=entries) for member in (0, 1)]
    new_view = kit.new_view(1, [*changes, kit.view_change(3, 1)])
    below = [block(kit, header, 0, SIDE_X) for header in (one, two)]
    side_x = material(*below, block(kit, three, 0, SIDE_X), kit=kit)
    side_y = material(*below, block(kit, rival, 1, SIDE_Y), new_views=[new_view], kit=kit)
    finding = found(side_x, side_y, kit=kit)
    assert finding.height == 3
    assert offences(finding) == {(0, Offence.AMNESIA), (1, Offence.AMNESIA)}


def test_chains_that_agree_accuse_nobody() -> None:
    """Equal blocks, other signers, other views: no conflict."""
    again = block(KIT, X, 2, (1, 2, 3))
    assert investigate([material(IN_X), material(again)], KIT.rules) is None


def test_the_fork_may_lie_in_the_base_of_a_view_change() -> None:
    """One material is enough where a VIEW-CHANGE in it begins at another final block."""
    proof = (KIT.certificate(COMMIT, Y, signers=SIDE_Y),)
    changes = [KIT.view_change(m, 1, base=Y, base_certificate=proof) for m in SIDE_Y]
    finding = found(material(IN_X, new_views=[KIT.new_view(1, changes)]))
    assert finding.culprits == [0, 1]


BAD: dict[str, tuple[Callable[[Material], Material], Reason]] = {
    "another chain": (
        lambda item: msgspec.structs.replace(item, chain_id=bytes(32)),
        Reason.WRONG_CHAIN,
    ),
    "another set": (
        lambda item: msgspec.structs.replace(
            item, validators=msgspec.structs.replace(item.validators, epoch=1)
        ),
        Reason.BAD_HEADER,
    ),
    "a set before the first": (
        lambda item: msgspec.structs.replace(item, previous=(item.validators,)),
        Reason.BAD_HEADER,
    ),
    "certificate of another block": (
        lambda item: msgspec.structs.replace(item, blocks=(CertifiedHeader(Y, IN_X.certificate),)),
        Reason.BAD_CERTIFICATE,
    ),
    "forged certificate": (
        lambda item: msgspec.structs.replace(item, blocks=(CertifiedHeader(Y, _forged(Y)),)),
        Reason.BAD_CERTIFICATE,
    ),
    "blocks that do not link": (
        lambda item: msgspec.structs.replace(
            item, blocks=(IN_X, block(KIT, KIT.header(Y), 0, SIDE_X))
        ),
        Reason.BAD_HEADER,
    ),
    "header of another epoch": (
        lambda item: msgspec.structs.replace(
            item, blocks=(block(KIT, msgspec.structs.replace(X, epoch=1), 0, SIDE_X),)
        ),
        Reason.BAD_HEADER,
    ),
    "no height in common": (
        lambda item: msgspec.structs.replace(item, blocks=(block(KIT, KIT.header(Y), 0, SIDE_X),)),
        Reason.BAD_HEADER,
    ),
    "NEW-VIEW that nobody signed": (
        lambda item: msgspec.structs.replace(
            item, new_views=(msgspec.structs.replace(KIT.new_view(1, ()), signature=bytes(64)),)
        ),
        Reason.BAD_SIGNATURE,
    ),
    "NEW-VIEW of no member": (
        lambda item: msgspec.structs.replace(item, new_views=(KIT.new_view(1, (), signer=9),)),
        Reason.MALFORMED,
    ),
    "NEW-VIEW of another epoch": (
        lambda item: msgspec.structs.replace(item, new_views=(KIT.new_view(1, (), epoch=3),)),
        Reason.MALFORMED,
    ),
}


def _forged(header: Header) -> Certificate:
    """By member 0 in the name of three."""
    good = KIT.certificate(COMMIT, header, signers=SIDE_X)
    return msgspec.structs.replace(good, signatures=(good.signatures[0],) * 3)


@pytest.mark.parametrize("name", BAD)
def test_material_that_no_honest_node_exports_is_refused(name: str) -> None:
    """Each fault by its reason, before anybody is looked at."""
    spoil, reason = BAD[name]
    with pytest.raises(Invalid) as caught:
        investigate([material(IN_X), spoil(material(IN_X))], KIT.rules)
    assert caught.value.reason is reason


FORGETS = KIT.view_change(0, 1)
HELD = KIT.new_view(1, [KIT.view_change(member, 1, entries=[KIT.entry(X)]) for member in SIDE_X])
OTHER_SET = msgspec.structs.replace(X, validators_hash=bytes(32))

NO_PROOFS = {
    "the same vote twice": Proof(
        Offence.DOUBLE_VOTE, 0, (KIT.vote(0, COMMIT, X), KIT.vote(0, COMMIT, X))
    ),
    "another view": Proof(
        Offence.DOUBLE_VOTE, 0, (KIT.vote(0, COMMIT, X), KIT.vote(0, COMMIT, Y, view=1))
    ),
    "another phase": Proof(
        Offence.DOUBLE_VOTE, 0, (KIT.vote(0, COMMIT, X), KIT.vote(0, PREPARE, Y))
    ),
    "another signer": Proof(
        Offence.DOUBLE_VOTE, 0, (KIT.vote(0, COMMIT, X), KIT.vote(1, COMMIT, Y))
    ),
    "signed by somebody else": Proof(
        Offence.DOUBLE_VOTE, 0, (KIT.vote(0, COMMIT, X), KIT.vote(1, COMMIT, Y, claim=0))
    ),
    "PREPARE, then forgotten": Proof(Offence.AMNESIA, 0, (KIT.vote(0, PREPARE, X), FORGETS), (X,)),
    "COMMIT in the view that is entered": Proof(
        Offence.AMNESIA, 0, (KIT.vote(0, COMMIT, X, view=1), FORGETS), (X,)
    ),
    "VIEW-CHANGE of somebody else": Proof(
        Offence.AMNESIA, 1, (KIT.vote(1, COMMIT, X), FORGETS), (X,)
    ),
    "VIEW-CHANGE with another's signature": Proof(
        Offence.AMNESIA,
        0,
        (KIT.vote(0, COMMIT, X), ViewChange(FORGETS.body, KIT.view_change(1, 1).signature)),
        (X,),
    ),
    "a header that is not the block's": Proof(
        Offence.AMNESIA, 0, (KIT.vote(0, COMMIT, X), FORGETS), (Y,)
    ),
    "a header of another set": Proof(
        Offence.AMNESIA, 0, (KIT.vote(0, COMMIT, OTHER_SET), FORGETS), (OTHER_SET,)
    ),
    "no header": Proof(Offence.AMNESIA, 0, (KIT.vote(0, COMMIT, X), FORGETS)),
    "vote that follows the NEW-VIEW": Proof(
        Offence.OWN_NEW_VIEW, 1, (KIT.vote(1, PREPARE, X, view=1), HELD)
    ),
    "vote above the NEW-VIEW": Proof(
        Offence.OWN_NEW_VIEW, 1, (KIT.vote(1, PREPARE, KIT.header(X), view=1), HELD)
    ),
    "vote of another view than the NEW-VIEW": Proof(
        Offence.OWN_NEW_VIEW, 1, (KIT.vote(1, PREPARE, Y, view=5), HELD)
    ),
    "a backup's vote against a NEW-VIEW": Proof(
        Offence.OWN_NEW_VIEW, 2, (KIT.vote(2, PREPARE, Y, view=1), HELD)
    ),
    "NEW-VIEW that proves its view": Proof(Offence.BAD_NEW_VIEW, 1, (HELD,)),
    "bad NEW-VIEW that somebody else signed": Proof(
        Offence.BAD_NEW_VIEW, 1, (NewView(KIT.new_view(1, ()).body, HELD.signature),)
    ),
    "too few messages": Proof(Offence.DOUBLE_VOTE, 0, (KIT.vote(0, COMMIT, X),)),
    "no votes": Proof(Offence.DOUBLE_VOTE, 0, (FORGETS, FORGETS)),
    "no such member": Proof(
        Offence.DOUBLE_VOTE, 7, (KIT.vote(0, COMMIT, X, claim=7), KIT.vote(0, COMMIT, Y, claim=7))
    ),
}


@pytest.mark.parametrize("name", NO_PROOFS)
def test_what_proves_nothing_convicts_nobody(name: str) -> None:
    """Each pair looks like a proof and is none."""
    with pytest.raises(Invalid):
        check_proof(NO_PROOFS[name], KIT.rules)


def test_primary_that_votes_against_its_own_new_view() -> None:
    """The derived height with another block, and a height at or below the base."""
    check_proof(Proof(Offence.OWN_NEW_VIEW, 1, (KIT.vote(1, PREPARE, Y, view=1), HELD)), KIT.rules)
    changes = [KIT.view_change(member, 1, base=X) for member in SIDE_X]
    based = KIT.new_view(1, changes)
    check_proof(Proof(Offence.OWN_NEW_VIEW, 1, (KIT.vote(1, COMMIT, Y, view=1), based)), KIT.rules)


def test_new_view_of_another_than_the_primary_is_an_offence() -> None:
    """Member 3 signs a NEW-VIEW for view 1, whose primary is member 1."""
    changes = [KIT.view_change(member, 1) for member in SIDE_X]
    signed = signed_new_view(NewViewBody(0, 1, tuple(changes), 3))
    check_proof(Proof(Offence.BAD_NEW_VIEW, 3, (signed,)), KIT.rules)


def test_a_false_set_of_the_epoch_before_frames_nobody() -> None:
    """An honest base of epoch 0 is judged by the set that it names, or not at all."""
    validators = msgspec.structs.replace(KIT.world.validators, epoch=1)
    others = [Member(bytes((number,)) * 32, f"false-{number}") for number in range(4)]
    boundary = msgspec.structs.replace(X, next_validators_hash=validators.hash)
    changes = [KIT.view_change(member, 1, base=boundary, epoch=1) for member in (0, 1, 2)]
    primary = validators.primary(1)
    signed = signed_new_view(NewViewBody(1, 1, tuple(changes), primary))
    proof = Proof(Offence.BAD_NEW_VIEW, primary, (signed,))
    rules = KIT.rules.following(validators)
    with pytest.raises(Invalid) as caught:
        check_proof(proof, rules)
    assert caught.value.reason is Reason.NO_CONFLICT
    with pytest.raises(Invalid) as caught:
        check_proof(proof, replace(rules, previous=ValidatorSet.of(others)))
    assert caught.value.reason is Reason.BAD_HEADER


def test_material_survives_encoding() -> None:
    """An export is read back as it was written."""
    changes = [KIT.view_change(member, 1) for member in SIDE_Y]
    written = material(IN_X, new_views=[KIT.new_view(1, changes)])
    data = codec.encode(written)
    assert codec.decode(data, Material, size_max=len(data)) == written


def played(seed: int, *, below_quorum: bool) -> tuple[ForkWorld, bool]:
    """A random fork world: size, window and evil members follow from the seed."""
    rng = Random(seed)
    n, window = rng.choice([4, 5, 6, 7]), rng.choice([1, 2, 4])
    f, quorum = (n - 1) // 3, (n + (n - 1) // 3 + 2) // 2
    count = rng.randint(f + 1, quorum - 1) if below_quorum else rng.randint(quorum, n - 1)
    world = ForkWorld(n, window, frozenset(rng.sample(range(n), count)), rng)
    world.run(5)
    return world, any(len(hashes) > 1 for hashes in world.final().values())


@pytest.mark.parametrize("first", range(0, 200, 20))
def test_forks_name_more_than_f_and_never_an_honest_member(first: int) -> None:
    """Random members turn evil, fewer than a quorum and more than f, over five views.

    Real replicas are played off against each other. With the exports of all honest members f + 1
    are named; with those of two, f + 1 or an honest member that has what is missing.
    """
    forks = 0
    for seed in range(first, first + 20):
        world, is_forked = played(seed, below_quorum=True)
        evil, f = set(world.evil), world.kit.world.validators.f
        exports = [member.material for member in world.honest]
        for one, other in zip(exports, exports[1:] + exports[:1], strict=True):
            if not ({item.header.height for item in one.blocks}) & (
                {item.header.height for item in other.blocks}
            ):
                continue
            finding = investigate([one, other], world.kit.rules)
            whole = investigate([one, other, *exports], world.kit.rules)
            assert (whole is not None) == is_forked, seed
            if whole is not None:
                forks += 1
                assert f < len(whole.culprits) <= len(evil), seed
                assert set(whole.culprits) <= evil, seed
            if finding is not None:
                assert set(finding.culprits) <= evil, seed
                missing = finding.missing
                assert len(finding.culprits) > f or missing is not None, seed
                assert missing is None or set(missing.holders) - evil, seed
    assert forks > 0


def test_with_a_quorum_evil_no_honest_member_is_named_either() -> None:
    """Nothing is promised then but that."""
    named = 0
    for seed in range(120):
        world, _ = played(seed, below_quorum=False)
        exports = [member.material for member in world.honest if member.decided]
        if len(exports) < 2:
            continue
        try:
            finding = investigate(exports, world.kit.rules)
        except Invalid as error:
            assert "height in common" in error.detail
            continue
        if finding is not None:
            named += 1
            assert set(finding.culprits) <= set(world.evil), seed
    assert named > 0
