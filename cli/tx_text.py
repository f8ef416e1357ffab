"""How a partially signed transaction and its standing are shown, to people and to programs."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from cli.units import quoted, short_hex
from ledger.amounts import format_amount
from ledger.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.tx_file import Facts
    from cli.wallet.ptx import Need, Ptx
    from ledger.locks import Condition
    from ledger.operations import Operation

LINE_CHARS = 80
"""A terminal's; a hash of 64 digits and its label fit."""


def body_text(ptx: Ptx, issuers: Mapping[bytes, str] | None = None) -> str:
    """What is signed, and nothing that is not; assets by their issuers where these are known."""
    from cli.wallet import ptx_document

    def amount(units: int, asset: bytes) -> str:
        name = (issuers or {}).get(asset) or f"of asset {short_hex(asset.hex())}"
        return f"{format_amount(units)} {name}"

    summary = ptx_document.describe(ptx)
    lines = [
        f"txid     {ptx.txid.hex()}",
        f"chain    {ptx.body.chain_id.hex()}",
        f"network  {ptx.network}",
    ]
    for spent in summary.spends:
        coin = f"{short_hex(spent.txid.hex())}:{spent.index}"
        lines += folded("spends   ", f"{amount(spent.amount, spent.asset)}, coin {coin}")
    for paid in summary.pays:
        lines += folded("pays     ", f"{amount(paid.amount, paid.asset)} to {paid.address}")
    if summary.fee.amount:
        lines.append(f"fee      {amount(summary.fee.amount, summary.fee.asset)}")
    for operation in ptx.body.operations:
        lines += operation_lines("does     ", operation)
    if summary.memo:
        lines.append(f"memo     {summary.memo}")
    return "\n".join([*lines, f"expires  {summary.expires}"])


def operation_lines(label: str, operation: Operation) -> list[str]:
    """One operation, in lines that a terminal holds; of an admission each fact has its own."""
    from cli.wallet import operation_text
    from ledger.economy.licence import RoleKeys
    from ledger.operations import Admit, Apply

    if not isinstance(operation, Admit | Apply):
        return folded(label, operation_text.describe_operation(operation))
    grant = operation.grant
    who = f"'{grant.id}' ({grant.name}; {grant.jurisdiction})"
    if isinstance(operation, Admit):
        who = f"admit {who}, version {operation.version}"
    else:
        who = f"apply for {who}"
    facts = [
        ("may", f"{operation_text.rights(grant)} until {rfc3339(grant.expires_ms)}"),
        *((role, getattr(grant.keys, role).hex()) for role in RoleKeys.__struct_fields__),
        ("document", grant.document_hash.hex()),
        ("certificate", grant.certificate_hash.hex()),
    ]
    return [*folded(label, who), *(f"  {name:13}{value}" for name, value in facts)]


def folded(label: str, text: str) -> list[str]:
    """Broken at blanks, under each other."""
    return textwrap.wrap(
        text,
        LINE_CHARS,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def signers_text(ptx: Ptx) -> str:
    if not ptx.signatures:
        return "signed   by nobody yet"
    return "\n".join(f"signed   by key {item.key.hex()}" for item in ptx.signatures)


def standing_text(
    file: Path, ptx: Ptx, facts: Facts, needs: Sequence[Need], names: dict[bytes, str]
) -> str:
    from cli import payments

    lines = [body_text(ptx, facts.issuers)]
    for need in needs:
        lines.append(f"needs    {need_text(need, names)}")
        for key in need.keys:
            mark = "signed " if key in need.signed else "may    "
            lines.append(f"  {mark}{names.get(key) or key.hex()}")
        for digest in need.digests:
            lines.append(f"  {'known  ' if digest in need.known else 'secret '}{digest.hex()}")
    for key in sorted(ptx.signers.difference(*(need.keys for need in needs))):
        lines.append(f"spare    {names.get(key) or key.hex()}: its signature does not count now")
    lines += [f"fault    {fault.code}: {fault.message}" for fault in facts.faults]
    left = sum(need.left for need in needs)
    if ptx.body.expires_at_ms < payments.now_ms():
        lines.append("expired: make a new one")
    elif left and any(need.left and need.tree for need in needs):
        lines.append(
            f"not complete; next: marsa tx sign {quoted(file)} --from NAME, or --secret FILE"
        )
    elif left:
        signer = "--key FILE" if ptx.is_governance else "--from NAME"
        lines.append(f"signatures missing: {left}; next: marsa tx sign {quoted(file)} {signer}")
    elif not facts.faults:
        lines.append(f"complete; next: marsa tx submit {quoted(file)}")
    return "\n".join(lines)


def need_text(need: Need, names: Mapping[bytes, str]) -> str:
    """What is needed; of a lock that opens in several ways the whole condition."""
    if need.tree is None:
        return f"{need.needed} of {need.what}"
    return f"{need.what}: {condition_text(need.tree, names)}"


def condition_text(condition: Condition, names: Mapping[bytes, str]) -> str:
    """A condition in one line; keys by their names where these are known."""
    from ledger.locks import HEIGHT, After, All, Any, Before, HashLock, Key, Threshold

    def name(key: bytes) -> str:
        return names.get(key) or short_hex(key.hex())

    match condition:
        case Key():
            return name(condition.key)
        case Threshold():
            return f"{condition.needed} of {', '.join(map(name, condition.keys))}"
        case After() | Before():
            is_height = condition.unit == HEIGHT
            value = f"height {condition.value}" if is_height else rfc3339(condition.value)
            return f"{condition.name} {value}"
        case HashLock():
            return f"secret {short_hex(condition.digest.hex())}"
        case All() | Any():
            parts = "; ".join(condition_text(part, names) for part in condition.parts)
            return f"{condition.name}({parts})"


def document_json(ptx: Ptx) -> dict[str, object]:
    from cli import payments
    from cli.wallet import ptx_document
    from ledger import json_form

    summary = ptx_document.describe(ptx)
    return {
        "txid": ptx.txid.hex(),
        "chain_id": ptx.body.chain_id.hex(),
        "network": ptx.network,
        "expired": ptx.body.expires_at_ms < payments.now_ms(),
        "summary": json_form.to_json(summary, type(summary)),
        "signatures": [item.key.hex() for item in ptx.signatures],
        "secrets": [digest.hex() for digest in sorted(ptx.digests)],
    }


def need_json(need: Need, names: dict[bytes, str]) -> dict[str, object]:
    return {
        "what": need.what,
        "needed": need.needed,
        "missing": need.left,
        "keys": [
            {"key": key.hex(), "name": names.get(key), "signed": key in need.signed}
            for key in need.keys
        ],
        "secrets": [
            {"digest": digest.hex(), "known": digest in need.known} for digest in need.digests
        ],
        "condition": None if need.tree is None else condition_json(need.tree),
    }


def condition_json(condition: Condition) -> object:
    """As the API writes it, and files of conditions."""
    import msgspec

    from node.api.convert import condition_form

    return msgspec.to_builtins(condition_form(condition))


def names_of_keys(ptx: Ptx, facts: Facts) -> dict[bytes, str]:
    """Who the keys belong to, as far as this machine and the node know."""
    from cli import accounts
    from cli.wallet import store
    from ledger.crypto import SigningKey

    names = {
        SigningKey(bytes.fromhex(account.seed)).public: account.name
        for _, account in accounts.public_accounts()
    }
    for name in store.names():
        names.update(dict.fromkeys(store.load(name).public_keys, name))
    return {**names, **(facts.approvers.names if facts.approvers else {})}
