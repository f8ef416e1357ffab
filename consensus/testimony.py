"""What nodes testify with when two final blocks contradict each other, read and checked.

A node exports the certified headers of a range of one epoch with the NEW-VIEWs that it kept. All
of it is signed by validators, so nobody needs to trust the operator: what does not verify is
refused, what verifies counts wherever it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from msgspec import Meta

from consensus.messages import NewView, ViewChange, new_view_hash
from consensus.view_change import (
    CheckedViewChange,
    Derived,
    Rules,
    check_new_view,
    check_view_change,
)
from ledger.block import COMMIT, Certificate, Header, check_certificate, header_hash, is_commit_of
from ledger.codec import Bytes32, Wire
from ledger.reasons import Invalid, Reason
from ledger.validators import ValidatorSet

MATERIAL_BLOCKS_MAX = 1_000
"""Certified headers of one export; a fork needs those of one window below it."""
MATERIAL_NEW_VIEWS_MAX = 1_024
"""As many as a node keeps."""
MATERIAL_BYTES_MAX = 96 * 1024 * 1024
"""64 MiB of NEW-VIEWs, as a node keeps them, and 1,000 headers with certificates of 32 members."""


class CertifiedHeader(Wire, frozen=True):
    """A final header with the certificate that made it final."""

    header: Header
    certificate: Certificate


class Material(Wire, frozen=True):
    """One node's testimony on a range of one epoch. Type byte 43.

    `previous` is the set of the epoch before, none in the first. Blocks ascend, each the parent of
    the next; NEW-VIEWs are in any order.
    """

    TYPE: ClassVar[int] = 43
    chain_id: Bytes32
    validators: ValidatorSet
    previous: Annotated[tuple[ValidatorSet, ...], Meta(max_length=1)]
    blocks: Annotated[tuple[CertifiedHeader, ...], Meta(max_length=MATERIAL_BLOCKS_MAX)]
    new_views: Annotated[tuple[NewView, ...], Meta(max_length=MATERIAL_NEW_VIEWS_MAX)]


@dataclass(frozen=True, slots=True)
class Final:
    """A block of this epoch that a quorum committed."""

    header: Header
    certificate: Certificate

    @property
    def block_hash(self) -> bytes:
        return self.certificate.block_hash


@dataclass(frozen=True, slots=True)
class Entered:
    """A NEW-VIEW that proves its view, and what it derives."""

    message: NewView
    derived: Derived


@dataclass(slots=True)
class Testimony:
    """All materials together, each thing once; every signature in it is verified."""

    window: int
    finals: dict[int, list[Final]] = field(default_factory=dict)
    prepared: list[Certificate] = field(default_factory=list)
    entered: list[Entered] = field(default_factory=list)
    refuted: list[NewView] = field(default_factory=list)
    """Signed by the member that they name, and yet they prove nothing."""
    headers: dict[bytes, Header] = field(default_factory=dict)

    def certificates(self) -> Iterator[Certificate]:
        for finals in self.finals.values():
            yield from [item.certificate for item in finals]
        yield from self.prepared

    def ancestors(self, final: Final) -> tuple[Header, ...]:
        """A final header and those below it in the window, ascending, as far as they are here."""
        found = [final.header]
        while len(found) < self.window:
            parent = self.headers.get(found[-1].parent_hash)
            if parent is None or parent.epoch != final.header.epoch:
                break
            found.append(parent)
        return tuple(reversed(found))

    def add_final(self, header: Header, certificate: Certificate) -> None:
        held = self.finals.setdefault(header.height, [])
        if all(item.certificate.payload != certificate.payload for item in held):
            held.append(Final(header, certificate))
        self.headers[certificate.block_hash] = header

    def add_prepared(self, header: Header, certificate: Certificate) -> None:
        if all(item.payload != certificate.payload for item in self.prepared):
            self.prepared.append(certificate)
        self.headers[certificate.block_hash] = header


def testimony_of(materials: Sequence[Material], rules: Rules) -> Testimony:
    """Read and verify; raises Invalid for a material that no honest node exports.

    Each is of this chain, epoch and set; its blocks link and are certified; its NEW-VIEWs bear the
    signature of the member that they name. Two of them must have a height in common, or nothing
    could contradict.
    """
    testimony = Testimony(rules.window)
    known: dict[tuple[int, bytes], CheckedViewChange] = {}
    heights: list[set[int]] = []
    seen: set[bytes] = set()
    for material in materials:
        _check_sets(material, rules)
        heights.append(_add_blocks(testimony, material, rules))
        for message in material.new_views:
            if message.signature not in seen:
                seen.add(message.signature)
                _add_new_view(testimony, message, rules, known)
    if len(heights) > 1 and not heights[0] & heights[1]:
        raise Invalid(Reason.BAD_HEADER, "the first two have no height in common")
    return testimony


def first_height(message: NewView) -> int:
    """Where the view of a NEW-VIEW that was checked begins."""
    return 1 + max(item.body.base.height for item in message.body.view_changes)


def _check_sets(material: Material, rules: Rules) -> None:
    if material.chain_id != rules.chain_id:
        raise Invalid(Reason.WRONG_CHAIN, f"material of chain {material.chain_id.hex()}")
    previous = () if rules.previous is None else (rules.previous,)
    if material.validators != rules.validators or material.previous != previous:
        detail = f"validators of epoch {material.validators.epoch} that are not those expected"
        raise Invalid(Reason.BAD_HEADER, detail)


def _add_blocks(testimony: Testimony, material: Material, rules: Rules) -> set[int]:
    parent: bytes | None = None
    heights = set()
    for item in material.blocks:
        header, certificate = item.header, item.certificate
        block_hash = header_hash(header)
        if parent is not None and header.parent_hash != parent:
            raise Invalid(Reason.BAD_HEADER, f"height {header.height} does not continue its parent")
        if header.epoch != rules.epoch or header.validators_hash != rules.validators.hash:
            detail = f"height {header.height} is of epoch {header.epoch} or of another set"
            raise Invalid(Reason.BAD_HEADER, detail)
        if header.chain_id != rules.chain_id or not is_commit_of(certificate, header, block_hash):
            detail = f"the certificate at height {header.height} is of another block"
            raise Invalid(Reason.BAD_CERTIFICATE, detail)
        check_certificate(certificate, rules.chain_id, rules.validators, COMMIT, rules.is_valid)
        testimony.add_final(header, certificate)
        heights.add(header.height)
        parent = block_hash
    return heights


def _add_new_view(
    testimony: Testimony,
    message: NewView,
    rules: Rules,
    known: dict[tuple[int, bytes], CheckedViewChange],
) -> None:
    """Keep a NEW-VIEW with the certificates in it; what it cannot prove accuses its signer."""
    body = message.body
    if body.epoch != rules.epoch or body.signer >= rules.validators.n:
        raise Invalid(Reason.MALFORMED, f"a NEW-VIEW of epoch {body.epoch} or of no member")
    key = rules.validators.members[body.signer].key
    if not rules.is_valid(key, new_view_hash(rules.chain_id, body), message.signature):
        raise Invalid(Reason.BAD_SIGNATURE, f"NEW-VIEW of member {body.signer}")
    checked: dict[int, CheckedViewChange] = {}
    try:
        for item in body.view_changes:
            checked[item.body.signer] = _checked(item, rules, known)
        derived = check_new_view(message, rules, checked)
    except Invalid:
        testimony.refuted.append(message)
        return
    testimony.entered.append(Entered(message, derived))
    for view_change in checked.values():
        for entry in view_change.entries:
            testimony.add_prepared(entry.header, entry.certificate)
        for certificate in view_change.message.body.base_certificate:
            if certificate.epoch == rules.epoch:
                testimony.add_final(view_change.base, certificate)


def _checked(
    message: ViewChange, rules: Rules, known: dict[tuple[int, bytes], CheckedViewChange]
) -> CheckedViewChange:
    """A VIEW-CHANGE is checked once, in however many NEW-VIEWs it stands."""
    place = (message.body.signer, message.signature)
    held = known.get(place)
    if held is None or held.message != message:
        held = known[place] = check_view_change(message, rules)
    return held
