"""Leaving a view with what was prepared in it, and entering the next one with the right blocks.

Pure functions of signed messages: everyone who holds the same q VIEW-CHANGEs derives the same
proposals. Why it is safe: a committed block at height k was prepared, with all its ancestors in
the window, by q members who logged the certificates before they sent COMMIT. Any q VIEW-CHANGEs
contain one of an honest member among those. Later views can only certify the same chain up to k,
so at each height the entry of the highest view is the committed block or leads to it.

A bad entry is dropped and the others count; a bad base or signature drops the whole message.
Hash and parent are computed from the header, never taken from a claim beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from consensus.messages import (
    NewView,
    PreparedEntry,
    ViewChange,
    new_view_hash,
    view_change_hash,
)
from ledger.block import COMMIT, PREPARE, Certificate, Header, IsValid, check_certificate
from ledger.block import header_hash as hash_of
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.validators import ValidatorSet


@dataclass(frozen=True, slots=True)
class Timing:
    """Chain parameters, ms: T, where its doubling ends, how often an idle chain makes a block."""

    view_timeout_ms: int
    view_timeout_ms_max: int
    heartbeat_ms: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What certificates are checked against and timers run by: one value per epoch.

    `previous` is the set of the epoch before, whose last block this one begins with; None in the
    first, which begins with genesis.
    """

    chain_id: bytes
    genesis_hash: bytes
    validators: ValidatorSet
    previous: ValidatorSet | None
    window: int
    is_valid: IsValid
    timing: Timing

    @property
    def epoch(self) -> int:
        return self.validators.epoch

    @classmethod
    def of(
        cls,
        genesis: Header,
        validators: ValidatorSet,
        numbers: Parameters,
        is_valid: IsValid,
        *,
        previous: ValidatorSet | None = None,
    ) -> Rules:
        """Those of an epoch of the chain that begins with the header `genesis`."""
        return cls(
            chain_id=genesis.chain_id,
            genesis_hash=hash_of(genesis),
            validators=validators,
            previous=previous,
            window=numbers.window,
            is_valid=is_valid,
            timing=Timing(
                numbers.view_timeout_ms, numbers.view_timeout_ms_max, numbers.heartbeat_ms
            ),
        )

    def following(self, validators: ValidatorSet) -> Rules:
        """Those of the next epoch."""
        return replace(self, validators=validators, previous=self.validators)

    def check_final(self, certificate: Certificate) -> None:
        """A COMMIT certificate of this epoch, or of the last block of the one before; raises
        Invalid. The caller compares height and hash with what it expects."""
        signers = self.validators
        if self.previous is not None and certificate.epoch == self.previous.epoch:
            signers = self.previous
        if certificate.epoch != signers.epoch:
            detail = f"of epoch {certificate.epoch}, this is {self.epoch}"
            raise Invalid(Reason.BAD_CERTIFICATE, detail)
        check_certificate(certificate, self.chain_id, signers, COMMIT, self.is_valid)


@dataclass(frozen=True, slots=True)
class CheckedViewChange:
    """A VIEW-CHANGE whose signature and base are proved, with the entries that are."""

    message: ViewChange
    entries: tuple[PreparedEntry, ...]

    @property
    def base(self) -> Header:
        return self.message.body.base


@dataclass(frozen=True, slots=True)
class Derived:
    """What a NEW-VIEW means: the base everyone starts from and the blocks proposed again."""

    base: Header
    base_certificate: Certificate | None
    proposals: tuple[PreparedEntry, ...]

    @property
    def top(self) -> int:
        """The last height that the view's NEW-VIEW decides."""
        return self.base.height + len(self.proposals)


def check_view_change(message: ViewChange, rules: Rules) -> CheckedViewChange:
    """Signature, base and entries of a VIEW-CHANGE; raises Invalid if it must be dropped.

    Accepted when the signer is a member, the epoch is this one, the base is genesis or proved by
    a COMMIT certificate, and the signature is the signer's.
    """
    body = message.body
    if body.epoch != rules.epoch or body.signer >= rules.validators.n or body.view == 0:
        raise Invalid(Reason.MALFORMED, "VIEW-CHANGE of another epoch, view 0 or no member")
    key = rules.validators.members[body.signer].key
    if not rules.is_valid(key, view_change_hash(rules.chain_id, body), message.signature):
        raise Invalid(Reason.BAD_SIGNATURE, f"VIEW-CHANGE of member {body.signer}")
    _check_base(message, rules)
    entries = [entry for entry in body.entries if _is_proved(entry, body.view, rules)]
    base = body.base.height
    by_height = {entry.header.height: entry for entry in entries}
    allowed = range(base + 1, base + rules.window + 1)
    return CheckedViewChange(
        message, tuple([by_height[height] for height in allowed if height in by_height])
    )


def check_new_view(message: NewView, rules: Rules, known: dict[int, CheckedViewChange]) -> Derived:
    """The proposals of a NEW-VIEW; raises Invalid where it does not prove its view.

    Accepted when the signer is the view's primary, its signature is right, and it holds exactly q
    valid VIEW-CHANGEs of distinct members for this very view. `known` spares a second check.
    """
    body = message.body
    primary = rules.validators.primary(body.view)
    if body.epoch != rules.epoch or body.view == 0 or body.signer != primary:
        raise Invalid(Reason.MALFORMED, "NEW-VIEW of another epoch or not of the primary")
    key = rules.validators.members[primary].key
    if not rules.is_valid(key, new_view_hash(rules.chain_id, body), message.signature):
        raise Invalid(Reason.BAD_SIGNATURE, f"NEW-VIEW of member {primary}")
    signers = {item.body.signer for item in body.view_changes}
    if len(signers) != len(body.view_changes) or len(signers) != rules.validators.quorum:
        raise Invalid(Reason.BAD_CERTIFICATE, f"NEW-VIEW with {len(signers)} VIEW-CHANGEs")
    checked = []
    for item in body.view_changes:
        if item.body.view != body.view:
            raise Invalid(Reason.BAD_CERTIFICATE, "NEW-VIEW with a VIEW-CHANGE of another view")
        held = known.get(item.body.signer)
        same = held is not None and held.message == item
        checked.append(held if held is not None and same else check_view_change(item, rules))
    return derive(checked)


def derive(view_changes: Sequence[CheckedViewChange]) -> Derived:
    """Base = the highest proved commit; then per height the entry of the highest view.

    Stops at the first gap and at the first entry that does not continue its predecessor.
    """
    highest = max(view_changes, key=lambda item: item.base.height)
    base = highest.base
    best: dict[int, PreparedEntry] = {}
    for item in view_changes:
        for entry in item.entries:
            held = best.get(entry.header.height)
            if held is None or entry.certificate.view > held.certificate.view:
                best[entry.header.height] = entry
    proposals = []
    parent = hash_of(base)
    ends = False
    height = base.height + 1
    while height in best and best[height].header.parent_hash == parent and not ends:
        proposals.append(best[height])
        parent = best[height].certificate.block_hash
        ends = best[height].header.ends_epoch
        height += 1
    certificates = highest.message.body.base_certificate
    return Derived(base, certificates[0] if certificates else None, tuple(proposals))


def _check_base(message: ViewChange, rules: Rules) -> None:
    body = message.body
    base_hash = hash_of(body.base)
    if not body.base_certificate:
        if base_hash != rules.genesis_hash or rules.previous is not None:
            raise Invalid(Reason.BAD_CERTIFICATE, "VIEW-CHANGE with an unproved base")
        return
    certificate = body.base_certificate[0]
    names_base = (
        certificate.block_hash == base_hash
        and certificate.height == body.base.height
        and certificate.epoch == body.base.epoch
        and body.base.next_validators_hash == rules.validators.hash
    )
    if not names_base:
        raise Invalid(Reason.BAD_CERTIFICATE, "VIEW-CHANGE whose certificate names another base")
    rules.check_final(certificate)


def _is_proved(entry: PreparedEntry, view: int, rules: Rules) -> bool:
    certificate = entry.certificate
    names_header = (
        certificate.epoch == rules.epoch
        and certificate.view < view
        and certificate.height == entry.header.height
        and certificate.block_hash == hash_of(entry.header)
    )
    if not names_header:
        return False
    try:
        check_certificate(certificate, rules.chain_id, rules.validators, PREPARE, rules.is_valid)
    except Invalid:
        return False
    return True
