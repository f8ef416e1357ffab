"""A reserve bundle checked against a genesis file, offline, with code that no node runs.

`verify` goes from what is believed, the genesis file, to the figures; each step says what it found.
The first thing that does not hold ends it, with a reason. Nothing but `Refused` leaves it, whatever
the bytes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.verify_bytes import Fault, Refused, digest, named, open_envelope, pack
from cli.verify_chain import Trust, check_after, check_header, follow, quorum_of, signers_of
from cli.verify_hours import Objects, check_attestations
from cli.verify_layouts import (
    ATTESTOR,
    BOND,
    BUNDLE,
    CLOCK,
    HEADER,
    IDENTITIES,
    OBJECTS,
    PARAMETERS,
    PAST_STANDARD,
    RESERVE,
    ROOTS,
    STANDARD,
)
from cli.verify_reserve import Row, check_figures
from cli.verify_standard import fault_of_steps

BUNDLE_BYTES_MAX = 12 * 1024 * 1024
COUNT_BYTES = 8
SINGLE = (CLOCK.name, PARAMETERS.name, STANDARD.name)
"""Kinds of which there is one."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that holds."""

    what: str
    found: str


@dataclass(slots=True)
class Report:
    """What was found so far; all of it when `verify` returns."""

    checks: list[Check] = field(default_factory=list)
    chain_id: bytes = b""
    epoch: int = 0
    height: int = 0
    time_ms: int = 0
    ledger_ms: int = 0
    signers: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    """Hashes of what was proved, by a name for people: to tell what changed between two bundles."""
    rows: list[Row] = field(default_factory=list)

    def holds(self, what: str, found: str) -> None:
        self.checks.append(Check(what, found))

    @property
    def deficits(self) -> list[str]:
        """Issuers in deficit or caged: proved, and not as it should be."""
        return [row.issuer for row in self.rows if not row.is_sound]


def verify(report: Report, data: bytes, trust: Trust) -> None:
    """Fill `report`; raises Refused for the first thing that does not hold."""
    report.chain_id = trust.chain_id
    found = f"chain {trust.chain_id.hex()}, {len(trust.members)} validators"
    report.holds("genesis", found)
    chain, changes, header, certificate, roots, supply, objects = open_envelope(
        data, BUNDLE, BUNDLE_BYTES_MAX
    )
    report.holds("file", f"{len(data):,} bytes, canonical, version {data[1]}")
    if chain != trust.chain_id:
        detail = f"the bundle is of chain {chain.hex()}, the genesis file of {trust.chain_id.hex()}"
        raise Refused(Fault.WRONG_CHAIN, detail)
    _check_final(report, trust, changes, header, certificate)
    state_root = named(HEADER, header).state_root
    _check_roots(roots, state_root)
    report.holds("state root", f"{state_root.hex()}, opened into its five parts")
    _check_supply(supply, named(ROOTS, roots).supply_root)
    report.holds("supply", f"{len(supply)} assets, all that the supply root counts")
    proved = _prove_objects(objects, named(ROOTS, roots).objects_root)
    report.holds("objects", f"{len(objects)} proved under the objects root: {_counted(proved)}")
    names = _names(proved)
    report.objects = {names[key]: digest("objects/value", value) for key, value, _ in objects}
    report.ledger_ms = named(CLOCK, proved[CLOCK.name][0]).time_ms
    report.holds("rules", _rules(proved, trust))
    count = check_attestations(proved)
    report.holds(
        "attestations", f"{count} of attestors that were licensed, within what is promised"
    )
    rows = check_figures(proved, supply, trust)
    found = f"reserve, what is due and band of {len(rows)} issuers, worked out again"
    report.holds("figures", found)
    report.rows = rows


def _check_final(
    report: Report, trust: Trust, changes: list[Any], header: list[Any], certificate: list[Any]
) -> None:
    """The validators of its epoch, who follow from those of genesis, signed the header."""
    head = named(HEADER, header)
    members = follow(trust, changes, head.epoch)
    found = (
        f"epoch {head.epoch} has {len(members)} validators, changes since genesis: {len(changes)}"
    )
    report.holds("validators", f"{found}, each signed by a quorum of those before")
    check_after(head, changes)
    check_header(trust, header, certificate, members)
    report.epoch, report.height, report.time_ms = head.epoch, head.height, head.time_ms
    report.signers = [members[index][1] for index in signers_of(certificate)]
    names = ", ".join(report.signers)
    quorum = f"{quorum_of(members)} of {len(members)}"
    report.holds("header", f"height {head.height}, signed by {quorum}: {names}")


def _check_roots(roots: list[Any], state_root: bytes) -> None:
    item = named(ROOTS, roots)
    count = item.outputs_count.to_bytes(COUNT_BYTES, "big")
    parts = (item.outputs_root, count, item.spent_root, item.objects_root, item.supply_root)
    if digest("state", *parts) != state_root:
        raise Refused(Fault.BAD_STATE_ROOT, "the roots do not open the header's state root")


def _check_supply(lines: list[Any], root: bytes) -> None:
    if merkle_root([digest("supply", pack(line)) for line in lines]) != root:
        raise Refused(Fault.BAD_SUPPLY, "the lines are not those of the supply root")


def _prove_objects(items: list[Any], root: bytes) -> Objects:
    """Each object is in the state, under its own key, and of a kind that figures need."""
    proved: Objects = {kind.name: [] for kind in OBJECTS.values()}
    last = b""
    for item in items:
        key, value, path = item
        where = f"object {key.hex()}"
        if key <= last:
            raise Refused(Fault.BAD_OBJECT, f"{where} is not in ascending order of key")
        if object_root(key, value, path) != root:
            raise Refused(Fault.BAD_OBJECT, f"{where}: the proof does not lead to the root")
        kind = OBJECTS.get(key[0])
        if kind is None:
            raise Refused(Fault.BAD_OBJECT, f"{where}: kind {key[0]} has no place in a bundle")
        held = open_envelope(value, kind, len(value))
        identity = IDENTITIES.get(kind.name, lambda _: b"")
        if key[1:] != identity(named(kind, held)):
            raise Refused(Fault.BAD_OBJECT, f"{where} holds another {kind.name}")
        proved[kind.name].append(held)
        last = key
    for name in SINGLE:
        if not proved[name]:
            raise Refused(Fault.BAD_OBJECT, f"the {name} is missing")
    return proved


def object_root(key: bytes, value: bytes, path: Sequence[bytes]) -> bytes:
    """The root of a tree that holds this value at this key; the path runs from the leaf up.

    A key stands where the bits of its hash lead, the first bit at the top.
    """
    place = digest("objects/key", key)
    bits = int.from_bytes(place, "big")
    top = digest("objects/leaf", place, digest("objects/value", value))
    for above, sibling in enumerate(path, 256 - len(path)):
        pair = (sibling, top) if bits >> above & 1 else (top, sibling)
        top = digest("objects/node", *pair)
    return top


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Pairs are hashed level by level, a last one without a neighbour moves up as it is; the
    root covers the count."""
    level = [digest("merkle/leaf", leaf) for leaf in leaves]
    while len(level) > 1:
        paired = [digest("merkle/node", *level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return digest("merkle/root", len(leaves).to_bytes(COUNT_BYTES, "big"), *level)


def _rules(proved: Objects, trust: Trust) -> str:
    """What hours are worth and who may vouch for them: whether that is as genesis had it."""
    attestors = [grant for grant, is_active, _, _ in proved[ATTESTOR.name] if is_active]
    found = proved | {ATTESTOR.name: attestors}
    fault, steps = fault_of_steps(proved, trust), len(proved[PAST_STANDARD.name])
    changed = [
        name
        for name, held in trust.rules.items()
        if (fault if name == STANDARD.name else found[name] != held)
    ]
    if changed:
        why = f" ({fault})" if fault else ""
        return f"other than in the genesis file: {', '.join(changed)}{why}"
    if steps:
        what = f"standard {steps + 1} follows from it by steps"
        return f"parameters and attestors are those of the genesis file, {what}"
    return "parameters, standard and attestors are those of the genesis file"


def _names(proved: Objects) -> dict[bytes, str]:
    """A name for each object, by its key."""
    names = {}
    for kind in OBJECTS.values():
        identify = IDENTITIES.get(kind.name, lambda _: b"")
        for value in proved[kind.name]:
            item = named(kind, value)
            identity = identify(item)
            if kind is RESERVE:
                shown = item.issuer
            elif kind is BOND:
                shown = f"{item.issuer}/{item.asset.hex()}"
            elif kind is PAST_STANDARD:
                shown = str(item.standard.version)
            else:
                shown = identity.replace(b"\0", b"/").decode("ascii")
            names[bytes((kind.type_byte,)) + identity] = f"{kind.name} {shown}".rstrip()
    return names


def _counted(proved: Objects) -> str:
    return ", ".join(f"{name} {len(items)}" for name, items in proved.items() if items)
