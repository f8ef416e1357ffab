"""Files of partially signed transactions, and what a node knows about what is in them.

A file is changed under a lock on its directory and replaced whole, so that two signers at one
machine lose nothing. It is private: whoever may read it is told who pays whom.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli import payments
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.home import read_limited, write_private
from cli.nodes import Node
from cli.units import quoted
from cli.wallet import ptx_document
from cli.wallet.ptx import Approvers, Need, Ptx, refusals_at
from ledger.economy.licence import LicenceGrant
from ledger.locks import Moment
from ledger.operations import (
    Admit,
    AdmitAttestor,
    EndEpoch,
    Governance,
    OnLicence,
    Reinstate,
    Remove,
    RemoveAttestor,
    RotateRegulator,
    Suspend,
)
from ledger.reasons import Invalid, Reason
from ledger.transaction import asset_id
from node.api.epoch_schemas import Epoch, Licence

SUFFIX = ".ptx"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the state of the chain says about a document. `faults` would make a node refuse it.

    `issuers` are by asset, each checked: an asset's id is made from its issuer's.
    """

    approvers: Approvers | None
    locks: frozenset[bytes]
    at: Moment
    """The next block, as far as the node and this machine's clock tell."""
    faults: tuple[CliError, ...]
    issuers: dict[bytes, str]


def create(path: Path, ptx: Ptx) -> None:
    """Write a new file; one that exists is never overwritten, for it may hold signatures."""
    _check_name(path)
    write_private(path, ptx_document.dump(ptx), replace=False)


def read(path: Path) -> Ptx:
    """A file that says what its body says; raises CliError that names the file."""
    if not path.is_file():
        raise not_found("no_file", f"there is no file {path}", "marsa tx create --help")
    with refusing(path):
        return ptx_document.load(read_limited(path))


def update(path: Path, change: Callable[[Ptx], Ptx]) -> tuple[Ptx, Ptx]:
    """Replace a file by what `change` makes of it; before and after."""
    with _locked(path):
        before = read(path)
        with refusing(path):
            after = change(before)
        if after != before:
            write_private(path, ptx_document.dump(after), replace=True)
    return before, after


@contextlib.contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Turn Invalid into the refusal of a file, with exit code 9."""
    try:
        yield
    except Invalid as error:
        hint = _HINTS.get(error.reason, "ask whoever sent it for another copy").format(quoted(path))
        raise CliError(
            error.reason.value,
            f"{path}: {error.detail}",
            hint=hint,
            exit_code=ExitCode.CHECK_FAILED,
        ) from None


def check_not_expired(path: Path, ptx: Ptx, now_ms: int) -> None:
    """What has expired is neither signed nor sent."""
    if ptx.body.expires_at_ms < now_ms:
        expired = ptx_document.describe(ptx).expires
        raise CliError(
            Reason.EXPIRED.value,
            f"{path} expired at {expired}",
            hint="make a new one; signatures of this one are of no use",
            exit_code=ExitCode.CHECK_FAILED,
        )


def ask_node(node: Node, path: Path, ptx: Ptx) -> Facts:
    """The facts of a document, from a node of its chain; raises CliError for another chain."""
    params = node.params
    if (params.chain_id, params.network) != (ptx.body.chain_id.hex(), ptx.network):
        raise CliError(
            Reason.WRONG_CHAIN.value,
            f"{path} is for chain {ptx.body.chain_id.hex()} ({ptx.network}), "
            f"{node.client.url} is on {params.chain_id} ({params.network})",
            hint="name a node of that chain with --node URL",
            exit_code=ExitCode.CHECK_FAILED,
        )
    if not ptx.is_governance:
        return _ask_coins(node, ptx)
    epoch = node.client.epoch()
    found = [
        fault_of(node, epoch, item) for item in ptx.body.operations if isinstance(item, Governance)
    ]
    faults = tuple(fault for fault in found if fault is not None)
    return Facts(approvers_of(epoch), frozenset(), _next_moment(node), faults, {})


def approvers_of(epoch: Epoch) -> Approvers:
    """The present validators, by their operations keys, and the regulator."""
    names = {bytes.fromhex(item.operations_key): item.licence for item in epoch.members}
    regulator = epoch.regulator
    keys = tuple(bytes.fromhex(key) for key in regulator.keys)
    return Approvers(epoch.number, epoch.quorum, names, regulator.needed, keys)


def fault_of(node: Node, epoch: Epoch, operation: Governance) -> CliError | None:
    """Why government would be refused now, as far as licences, attestors, regulator and epoch
    tell."""
    if isinstance(operation, AdmitAttestor | RemoveAttestor):
        return _fault_of_attestor(node, operation)
    if isinstance(operation, EndEpoch):
        detail = f"it ends epoch {operation.epoch}, this is {epoch.number}"
        return None if operation.epoch == epoch.number else _fault(Reason.WRONG_EPOCH, detail)
    if isinstance(operation, RotateRegulator):
        return _fault_of_version(operation.version, epoch.regulator.version, "the regulator")
    if not isinstance(operation, Admit | OnLicence):
        return None
    name = operation.grant.id if isinstance(operation, Admit) else operation.licence
    held = next((item for item in epoch.licences if item.id == name), None)
    if held is None and not isinstance(operation, Admit):
        known = ", ".join(item.id for item in epoch.licences)
        return _fault(Reason.UNKNOWN_LICENCE, f"there is no licence '{name}' (licences: {known})")
    version = 0 if held is None else held.version
    fault = _fault_of_version(operation.version, version, f"'{name}'")
    if fault is not None:
        return fault
    if isinstance(operation, Admit):
        taken = _fault_of_grant(epoch, operation.grant)
        if taken is not None:
            return taken
    if held is None:
        return None
    if held.state in ("revoked", "closed"):
        return _fault(Reason.LICENCE_INACTIVE, f"'{name}' is {held.state}")
    return _fault_of_seat(operation, held)


def _fault_of_attestor(node: Node, operation: AdmitAttestor | RemoveAttestor) -> CliError | None:
    attestors = {item.id: item for item in node.client.economy.attestors()}
    active = [item.id for item in attestors.values() if item.state == "active"]
    if isinstance(operation, AdmitAttestor):
        name = operation.attestor.id
        if name in active:
            return _fault(Reason.BAD_GRANT, f"attestor '{name}' is licensed")
    else:
        name = operation.attestor
        if name not in active:
            detail = f"'{name}' is not licensed to attest (attestors: {', '.join(active)})"
            return _fault(Reason.UNKNOWN_ATTESTOR, detail)
    version = attestors[name].version if name in attestors else 0
    return _fault_of_version(operation.version, version, f"attestor '{name}'")


def _fault_of_version(named: int, held: int, what: str) -> CliError | None:
    detail = f"it names version {named} of {what}, which is at {held} now"
    return None if named == held else _fault(Reason.WRONG_VERSION, detail)


def _fault_of_seat(operation: Admit | OnLicence, held: Licence) -> CliError | None:
    name, state, seat = held.id, held.state, held.seat
    match operation:
        case Admit() if seat != "none" and not _keeps_seat(operation.grant, held):
            detail = f"'{name}' is {seat}, and its grant changes what votes; remove it first"
            return _fault(Reason.HAS_SEAT, detail)
        case Remove() if seat in ("none", "leaving"):
            return _fault(Reason.NO_SEAT, f"'{name}' has no seat to lose: {seat}")
        case Suspend() if state != "active":
            return _fault(Reason.LICENCE_INACTIVE, f"'{name}' is {state}")
        case Reinstate() if state != "suspended":
            return _fault(Reason.LICENCE_INACTIVE, f"'{name}' is {state}, not suspended")
        case _:
            return None


def _keeps_seat(grant: LicenceGrant, held: Licence) -> bool:
    """What a seat is bound to stays: the keys that vote and connect, the certificate, the role."""
    after = (grant.keys.consensus.hex(), grant.keys.link.hex(), grant.certificate_hash.hex())
    before = (held.keys.consensus, held.keys.link, held.certificate_hash)
    return (after, grant.validator) == (before, held.validator)


def _fault_of_grant(epoch: Epoch, grant: LicenceGrant) -> CliError | None:
    """Keys and names belong to one provider each; who only applied holds none."""
    wanted = {getattr(grant.keys, role).hex() for role in grant.keys.__struct_fields__}
    for item in epoch.licences:
        if item.id == grant.id or item.state == "applied":
            continue
        keys = {getattr(item.keys, role) for role in item.keys.__struct_fields__}
        for key in sorted(keys & wanted):
            return _fault(Reason.BAD_GRANT, f"'{grant.id}': {key} is a key of '{item.id}'")
        if item.name.casefold() == grant.name.casefold():
            return _fault(Reason.BAD_GRANT, f"'{grant.id}' has the name of '{item.id}'")
    return None


def _ask_coins(node: Node, ptx: Ptx) -> Facts:
    locks, faults, issuers = set[bytes](), list[CliError](), dict[bytes, str]()
    for spent in ptx.body.inputs:
        found = node.client.outpoint(spent.txid.hex(), spent.index)
        coin = f"coin {spent.txid.hex()}:{spent.index}"
        if found.coin is not None:
            locks.add(bytes.fromhex(found.coin.lock))
            if asset_id(ptx.body.chain_id, found.coin.issuer) == spent.asset:
                issuers[spent.asset] = found.coin.issuer
        elif found.status == "spent":
            by = f" by {found.spent_by}" if found.spent_by else ""
            detail = f"{coin} was spent{by}"
            faults.append(_fault(Reason.SPENT_INPUT, detail))
        else:
            detail = f"no final transaction made {coin}"
            faults.append(_fault(Reason.UNKNOWN_INPUT, detail))
    return Facts(None, frozenset(locks), _next_moment(node), tuple(faults), issuers)


def _next_moment(node: Node) -> Moment:
    tip = node.client.status().sync
    return Moment(tip.height + 1, max(tip.header_time_ms + 1, payments.now_ms()))


def limit_faults(ptx: Ptx, needs: Sequence[Need], facts: Facts) -> list[CliError]:
    """Why the network would refuse it now and not at another time."""
    return [_fault(item.reason, item.detail) for item in refusals_at(ptx, needs, facts.at)]


def _fault(reason: Reason, detail: str) -> CliError:
    hint = _FAULT_HINTS.get(reason, "marsa validator status")
    return CliError(reason.value, detail, hint=hint, exit_code=ExitCode.REJECTED)


def check_names(paths: Sequence[Path]) -> None:
    """Each file once: a file combined with itself is a slip of the hand."""
    resolved = [path.resolve() for path in paths]
    for path in paths:
        if resolved.count(path.resolve()) > 1:
            raise usage_error("same_file", f"{path} is given twice")


def _check_name(path: Path) -> None:
    if path.suffix != SUFFIX:
        hint = f"call it {path.name}{SUFFIX}"
        raise usage_error("bad_name", f"{path} is no name of a transaction's file", hint)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One change at a time in this directory; held for milliseconds."""
    if not path.parent.is_dir():
        raise not_found("no_file", f"there is no directory {path.parent}")
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


_HINTS = {
    Reason.SPARE_SIGNATURE: "marsa tx inspect {}",
    Reason.MISSING_SIGNATURE: "marsa tx inspect {}",
    Reason.MISSING_PREIMAGE: "marsa tx sign {} --secret FILE",
    Reason.SPARE_PREIMAGE: "marsa tx inspect {}",
    Reason.NEEDS_QUORUM: "marsa tx inspect {}",
    Reason.UNSUPPORTED_VERSION: "use the release of marsa that wrote it",
}
_FAULT_HINTS = {
    Reason.SPENT_INPUT: "make a new one; this can never be final",
    Reason.NOT_YET: "wait; the file stays as it is, and good",
    Reason.TOO_LATE: "spend the coins in another way that their lock allows",
    Reason.UNKNOWN_ATTESTOR: "marsa licence attestor list",
    Reason.UNKNOWN_INPUT: "wait until the payment that makes the coin is final",
}
