"""What an operation does, in words that name all that is signed. Pure.

The words are a part of the format of .ptx files (`cli.wallet.ptx_document`): other words would be
another format. Of certificates, votes and lists only the hashes, the place, the number.
"""

from __future__ import annotations

from cli.wallet.redemption_text import describe_redemption
from ledger import operations as ops
from ledger.amounts import format_amount
from ledger.crypto import tagged_hash
from ledger.economy.licence import LicenceGrant, RoleKeys
from ledger.operations import Operation
from ledger.redemption_operations import DisputeRedemption, OnRedemption, Redeem
from ledger.times import rfc3339

_list_hash = tagged_hash("list")


def describe_operation(operation: Operation) -> str:
    """One operation in words."""
    if isinstance(operation, Redeem | DisputeRedemption | OnRedemption):
        return describe_redemption(operation)
    match operation:
        case ops.Mint() | ops.Burn() | ops.DepositBond() | ops.WithdrawBond() | ops.OpenChallenge():
            return _coins(operation)
        case ops.Commit() | ops.PledgeDevices() | ops.Amend() | ops.OpenDevices():
            return _capacity(operation)
        case ops.Attest() | ops.Rule() | ops.SealNonce() | ops.RevealNonce():
            return _attestor(operation)
        case ops.FreezeOrder() | ops.RenewOrder() | ops.LiftOrder():
            return _order(operation)
        case ops.RotateRegulator() | ops.AdmitAttestor() | ops.RemoveAttestor() | ops.EndEpoch():
            return _government(operation)
        case ops.ProposeStandard() | ops.WithdrawStandard():
            return _standard(operation)
        case _:
            return _licence(operation)


def _coins(
    operation: ops.Mint | ops.Burn | ops.DepositBond | ops.WithdrawBond | ops.OpenChallenge,
) -> str:
    amount = format_amount(operation.amount)
    match operation:
        case ops.Mint():
            where = f"lane {operation.lane}, number {operation.number}"
            by = f"by key {operation.key.hex()}"
            return f"mint {amount} coins of '{operation.issuer}', {where}, {by}"
        case ops.Burn():
            return f"burn {amount} of asset {operation.asset.hex()}"
        case ops.DepositBond():
            return f"put {amount} of asset {operation.asset.hex()} into bond '{operation.issuer}'"
        case ops.WithdrawBond():
            where = f"lane {operation.lane}, number {operation.number}"
            taken = f"{amount} of asset {operation.asset.hex()} from bond '{operation.issuer}'"
            return f"take {taken}, {where}, by key {operation.key.hex()}"
        case ops.OpenChallenge():
            what = f"commitment '{operation.commitment}' of '{operation.issuer}'"
            deposit = f"deposit {amount} of asset {operation.asset.hex()}"
            return f"challenge {what}, {deposit}, back to lock {operation.refund_lock.hex()}"


def _capacity(operation: ops.OnCapacity) -> str:
    by = f"by key {operation.key.hex()}"
    match operation:
        case ops.Commit():
            terms = operation.terms
            hours = f"{terms.microhours} µh a period of {terms.device_class} in {terms.region}"
            span = f"from {rfc3339(terms.from_ms)} to {rfc3339(terms.to_ms)}"
            where = f"lane {operation.lane}, number {operation.number}"
            use = f"for {', '.join(terms.workloads)}"
            return f"commit '{terms.id}' of '{terms.issuer}': {hours} {use} {span}, {where}, {by}"
        case ops.PledgeDevices():
            what = f"{_listed(operation.devices, 'devices')} to '{operation.commitment}'"
            where = f"lane {operation.lane}, number {operation.number}"
            what = f"{what} of '{operation.issuer}', version {operation.version}"
            return f"pledge {what}, {where}, {by}"
        case ops.Amend():
            what = f"'{operation.commitment}' of '{operation.issuer}', version {operation.version}"
            new = f"{operation.microhours} µh a period to {rfc3339(operation.to_ms)}"
            where = f"lane {operation.lane}, number {operation.number}"
            return f"amend {what}: {new}, {where}, {by}"
        case ops.OpenDevices():
            what = f"{_listed(operation.devices, 'devices')} of '{operation.issuer}'"
            where = f"for period {operation.period} after {operation.opened}"
            return f"open {what} {where}, {by}"


def _attestor(operation: ops.ByAttestor) -> str:
    by = f"by key {operation.key.hex()}"
    match operation:
        case ops.Attest():
            what = f"'{operation.commitment}' of '{operation.issuer}', of height {operation.born}"
            what = f"{what}, until {rfc3339(operation.until_ms)}"
            said = f"attest {operation.microhours} µh a period of {what}, as '{operation.attestor}'"
            return f"{said}, lane {operation.lane}, number {operation.number}, {by}"
        case ops.Rule():
            verdict = "upheld" if operation.upheld else "dismissed"
            what = f"'{operation.commitment}' of '{operation.issuer}'"
            since = rfc3339(operation.since_ms)
            return f"rule as '{operation.attestor}': {verdict}, {what} challenged {since}, {by}"
        case ops.SealNonce():
            what = f"digest {operation.digest.hex()} for period {operation.period}"
            return f"seal {what} as '{operation.attestor}', {by}"
        case ops.RevealNonce():
            what = f"nonce {operation.nonce.hex()} of period {operation.period}"
            return f"reveal {what} as '{operation.attestor}', {by}"


def _order(operation: ops.OnOrder) -> str:
    match operation:
        case ops.FreezeOrder():
            what = f"{_listed(operation.targets, 'locks')} until {rfc3339(operation.until_ms)}"
            why = f"reference {operation.reference.hex()}"
            return f"freeze {what} by order '{operation.order}', {why}"
        case ops.RenewOrder():
            until = rfc3339(operation.until_ms)
            return f"renew order '{operation.order}' until {until}, version {operation.version}"
        case ops.LiftOrder():
            return f"lift order '{operation.order}', version {operation.version}"


def _government(
    operation: ops.RotateRegulator | ops.AdmitAttestor | ops.RemoveAttestor | ops.EndEpoch,
) -> str:
    match operation:
        case ops.RotateRegulator():
            keys = ", ".join(key.hex() for key in operation.keys.keys)
            needed = f"{operation.keys.needed} of {keys}"
            return f"rotate the regulator's keys to {needed}, version {operation.version}"
        case ops.AdmitAttestor():
            grant = operation.attestor
            who = f"'{grant.id}' ({grant.name}; group {grant.group})"
            return f"admit attestor {who}, version {operation.version}, key {grant.key.hex()}"
        case ops.RemoveAttestor():
            return f"remove attestor '{operation.attestor}', version {operation.version}"
        case ops.EndEpoch():
            return f"end epoch {operation.epoch} with the block that holds this"


def _standard(operation: ops.OnStandard) -> str:
    match operation:
        case ops.ProposeStandard():
            units = [f"{item.workload} {item.units}" for item in operation.raised]
            new = [f"{x.device_class}/{x.workload} {x.factor}" for x in operation.added]
            raised = f"units an hour {', '.join(units) or 'as they are'}"
            added = f"new factors {', '.join(new) or 'none'}"
            return f"propose standard {operation.version}: {raised}; {added}"
        case ops.WithdrawStandard():
            return f"withdraw the step of the standard noticed {rfc3339(operation.since_ms)}"


def _licence(
    operation: ops.Admit
    | ops.Apply
    | ops.OnLicence
    | ops.WindDown
    | ops.RotateKey
    | ops.ValidatorReady
    | ops.Evidence,
) -> str:
    match operation:
        case ops.Admit():
            return f"admit {_grant(operation.grant, f', version {operation.version}')}"
        case ops.Apply():
            return f"apply for {_grant(operation.grant, '')}"
        case ops.ValidatorReady():
            block = f"block {operation.block_hash.hex()} at height {operation.height}"
            return f"'{operation.licence}' holds {block}, by key {operation.key.hex()}"
        case ops.Evidence():
            first, second = operation.first, operation.second
            place = f"epoch {first.epoch}, view {first.view}, height {first.height}"
            blocks = f"{first.block_hash.hex()} and {second.block_hash.hex()}"
            return f"'{operation.licence}' voted at {place} for {blocks}"
        case ops.RotateKey():
            new = f"{operation.role} key of '{operation.licence}' to {operation.new_key.hex()}"
            return f"rotate {new}, version {operation.version}, by key {operation.key.hex()}"
        case ops.WindDown():
            by = f"by key {operation.key.hex()}"
            return f"{operation.name} '{operation.licence}', version {operation.version}, {by}"
        case _:
            return f"{operation.name} '{operation.licence}', version {operation.version}"


def rights(grant: LicenceGrant) -> str:
    """What its holder may do."""
    roles = (("validate", grant.validator), ("issue coins", grant.issuer))
    return " and ".join(role for role, granted in roles if granted) or "do nothing"


def _grant(grant: LicenceGrant, version: str) -> str:
    keys = ", ".join(
        f"{role} {getattr(grant.keys, role).hex()}" for role in RoleKeys.__struct_fields__
    )
    return (
        f"'{grant.id}' ({grant.name}; {grant.jurisdiction}){version}, "
        f"to {rights(grant)} until {rfc3339(grant.expires_ms)}; keys: {keys}; "
        f"document {grant.document_hash.hex()}, certificate {grant.certificate_hash.hex()}"
    )


def _listed(items: tuple[bytes, ...], what: str) -> str:
    """Too many to be read; whoever has the list can compare its hash."""
    return f"{len(items)} {what} (hash {_list_hash(*items).hex()})"
