"""What stands where: every struct that a bundle or a genesis file holds, once, as a table.

Written from docs/AUDIT.md and docs/PROTOCOL.md alone. Numbers are the type bytes of envelopes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cli.verify_bytes import Bin, Flag, Int, Many, Record, Text

UINT: Final = Int(0, 2**63 - 1)
AMOUNT: Final = Int(1, 2**62 - 1, is_amount=True)
AMOUNT_OR_ZERO: Final = Int(0, 2**62 - 1, is_amount=True)
HASH: Final = Bin(32, 32)
SIGNATURE: Final = Bin(64, 64)
SLUG: Final = Text(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", 32)
NAME: Final = Text(r"[!-~](?:[ -~]{0,62}[!-~])?", 64)
DER: Final = Bin(1, 2_048)
MICROHOURS: Final = Int(0, 2**40)

# Blocks and the sets that sign them.

HEADER: Final = Record(
    "header",
    (
        ("version", Int(1, 1)),
        ("chain_id", HASH),
        ("epoch", UINT),
        ("height", UINT),
        ("parent_hash", HASH),
        ("tx_root", HASH),
        ("evidence_root", HASH),
        ("receipts_root", HASH),
        ("state_root", HASH),
        ("validators_hash", HASH),
        ("next_validators_hash", HASH),
        ("time_ms", UINT),
        ("proposer", HASH),
    ),
)
CERTIFICATE: Final = Record(
    "certificate",
    (
        ("epoch", UINT),
        ("phase", Int(1, 2)),
        ("view", UINT),
        ("height", UINT),
        ("block_hash", HASH),
        ("signers", Int(0, 2**32 - 1)),
        ("signatures", Many(SIGNATURE, 0, 32)),
    ),
)
MEMBER: Final = Record("member", (("key", HASH), ("licence", SLUG)))
CHANGE: Final = Record(
    "change",
    (("header", HEADER), ("certificate", CERTIFICATE), ("members", Many(MEMBER, 4, 32))),
)
ROOTS: Final = Record(
    "roots",
    (
        ("outputs_root", HASH),
        ("outputs_count", UINT),
        ("spent_root", HASH),
        ("objects_root", HASH),
        ("supply_root", HASH),
    ),
)
SUPPLY_LINE: Final = Record(
    "supply line",
    (
        ("asset", HASH),
        ("supply", AMOUNT_OR_ZERO),
        ("reserve", AMOUNT_OR_ZERO),
        ("coverage_ppm", UINT),
        ("deliverability_ppm", UINT),
    ),
)

# Protocol objects.

CLOCK: Final = Record("ledger clock", (("time_ms", UINT),), 32)
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
WEEK: Final = Int(MINUTE_MS, 7 * DAY_MS)
MONTH: Final = Int(MINUTE_MS, 30 * DAY_MS)
HALF_YEAR: Final = Int(MINUTE_MS, 180 * DAY_MS)
YEAR: Final = Int(MINUTE_MS, 365 * DAY_MS)
ECONOMY: Final = Record(
    "economy",
    (
        ("deliverability_ppm", Int(10_000, 250_000)),
        ("mint_cap_ppm", Int(1_000, 1_000_000)),
        ("bond_ppm", Int(50_000, 500_000)),
        ("deposit_ppm", Int(1_000, 100_000)),
        ("attestation_life_ms", MONTH),
        ("lower_ms", WEEK),
        ("proposal_ms", MONTH),
        ("contest_ms", MONTH),
        ("cure_ms", MONTH),
        ("bond_cure_ms", HALF_YEAR),
        ("application_ms", HALF_YEAR),
        ("suspension_ms", HALF_YEAR),
        ("rotation_ms", MONTH),
        ("regulator_rotation_ms", HALF_YEAR),
        ("winddown_ms", Int(MINUTE_MS, 3_650 * DAY_MS)),
        ("order_ms_max", HALF_YEAR),
        ("audit_devices", Int(59, 1_000)),
        ("accept_ms", WEEK),
        ("closing_ms", WEEK),
        ("tick_ms", Int(1_000, 60 * MINUTE_MS)),
        ("penalty_ppm", Int(1_000, 200_000)),
        ("penalty_ppm_max", Int(1_000, 200_000)),
        ("forgive_ms", MONTH),
        ("step_ppm", Int(0, 400_000)),
        ("step_spacing_ms", YEAR),
        ("notice_ms", YEAR),
        ("trigger_ppm", Int(10_000, 10**6)),
    ),
)
PARAMETERS: Final = Record(
    "parameters",
    (
        ("fee_per_byte", Int(1, 10**6)),
        ("fee_per_signature", Int(1, 10**6)),
        ("fee_per_new_output", Int(1, 10**6)),
        ("margin_ppm", Int(0, 400_000)),
        ("period_ms", Int(60_000, 86_400_000)),
        ("attestation_groups", Int(2, 16)),
        ("window", Int(1, 4)),
        ("block_interval_ms", Int(1, 1_000)),
        ("heartbeat_ms", Int(100, 30_000)),
        ("view_timeout_ms", Int(100, 60_000)),
        ("view_timeout_ms_max", Int(100, 60_000)),
        ("epoch_blocks", Int(1, 10**6)),
        ("epoch_ms", Int(1_000, 7 * DAY_MS)),
        ("economy", ECONOMY),
    ),
    34,
)
FACTOR: Final = Record(
    "factor", (("device_class", SLUG), ("workload", SLUG), ("factor", Int(1, 10**9)))
)
FACTORS: Final = Many(FACTOR, 1, 256)
REFERENCE: Final = Record("reference", (("workload", SLUG), ("units", Int(1, 2**40))))
REFERENCES: Final = Many(REFERENCE, 1, 64)
STANDARD: Final = Record(
    "standard",
    (
        ("version", Int(1, 2**32 - 1)),
        ("factors", FACTORS),
        ("references", REFERENCES),
        ("since_ms", UINT),
    ),
    35,
)
PAST_STANDARD: Final = Record("past standard", (("standard", STANDARD), ("until_ms", UINT)), 68)
ROLE_KEYS: Final = Record(
    "role keys",
    (
        ("operations", HASH),
        ("treasury", HASH),
        ("metering", HASH),
        ("consensus", HASH),
        ("link", HASH),
    ),
)
GRANT: Final = Record(
    "grant",
    (
        ("id", SLUG),
        ("name", NAME),
        ("jurisdiction", NAME),
        ("document_hash", HASH),
        ("certificate", DER),
        ("certificate_hash", HASH),
        ("keys", ROLE_KEYS),
        ("expires_ms", UINT),
        ("validator", Flag()),
        ("issuer", Flag()),
    ),
)
ROTATION: Final = Record("rotation", (("role", SLUG), ("key", HASH), ("after_ms", UINT)))
LICENCE: Final = Record(
    "licence",
    (
        ("grant", GRANT),
        ("state", Int(1, 7)),
        ("version", UINT),
        ("seat", Int(0, 4)),
        ("seat_height", UINT),
        ("since_ms", UINT),
        ("cause", Int(0, 4)),
        ("rotations", Many(ROTATION, 0, 3)),
        ("evidence_from", UINT),
        ("winding_since_ms", UINT),
    ),
    36,
)
ATTESTOR_GRANT: Final = Record(
    "attestor grant", (("id", SLUG), ("name", NAME), ("group", SLUG), ("key", HASH))
)
ATTESTOR: Final = Record(
    "attestor",
    (("grant", ATTESTOR_GRANT), ("is_active", Flag()), ("version", UINT), ("strikes", UINT)),
    37,
)
LOWER: Final = Record("lower figure", (("microhours", MICROHOURS), ("since_ms", UINT)))
ATTESTATION: Final = Record(
    "attestation",
    (
        ("attestor", SLUG),
        ("microhours", MICROHOURS),
        ("since_ms", UINT),
        ("until_ms", UINT),
        ("lower", Many(LOWER, 0, 1)),
    ),
)
TERMS: Final = Record(
    "terms",
    (
        ("id", SLUG),
        ("issuer", SLUG),
        ("device_class", SLUG),
        ("region", SLUG),
        ("workloads", Many(SLUG, 1, 8)),
        ("from_ms", UINT),
        ("to_ms", UINT),
        ("microhours", MICROHOURS),
    ),
)
COMMITMENT: Final = Record(
    "commitment",
    (
        ("terms", TERMS),
        ("state", Int(1, 4)),
        ("version", UINT),
        ("since_ms", UINT),
        ("born", UINT),
        ("devices", UINT),
        ("attestations", Many(ATTESTATION, 0, 16)),
        ("pledged_in", UINT),
        ("devices_before", UINT),
        ("delivered_in", UINT),
        ("delivered", UINT),
    ),
    38,
)
RESERVE: Final = Record(
    "reserve",
    (
        ("asset", HASH),
        ("issuer", SLUG),
        ("supply", AMOUNT_OR_ZERO),
        ("reserve", AMOUNT_OR_ZERO),
        ("deliverable", AMOUNT_OR_ZERO),
        ("solvency", Int(1, 4)),
        ("since_ms", UINT),
        ("is_frozen", Flag()),
        ("period", UINT),
        ("minted", AMOUNT_OR_ZERO),
        ("short_since_ms", UINT),
        ("residual", AMOUNT_OR_ZERO),
        ("batch_reserve", AMOUNT_OR_ZERO),
        ("batch_supply", AMOUNT_OR_ZERO),
    ),
    39,
)
BOND: Final = Record("bond", (("issuer", SLUG), ("asset", HASH), ("amount", AMOUNT)), 46)
OBJECTS: Final = {
    kind.type_byte: kind
    for kind in (
        *(CLOCK, PARAMETERS, STANDARD, LICENCE, ATTESTOR, COMMITMENT, RESERVE, BOND),
        PAST_STANDARD,
    )
}
"""Kinds of objects in a bundle, by their type byte."""
IDENTITIES: Final[dict[str, Callable[[Any], bytes]]] = {
    LICENCE.name: lambda item: item.grant.id.encode("ascii"),
    ATTESTOR.name: lambda item: item.grant.id.encode("ascii"),
    COMMITMENT.name: lambda item: f"{item.terms.issuer}\0{item.terms.id}".encode("ascii"),
    RESERVE.name: lambda item: item.asset,
    BOND.name: lambda item: item.issuer.encode("ascii") + b"\0" + item.asset,
    PAST_STANDARD.name: lambda item: item.standard.version.to_bytes(4, "big"),
}
"""What follows the type byte in an object's key; nothing where there is one of the kind."""

# The two files.

PROVED_OBJECT: Final = Record(
    "object", (("key", Bin(1, 256)), ("value", Bin(1, 65_536)), ("path", Many(HASH, 0, 256)))
)
BUNDLE: Final = Record(
    "bundle",
    (
        ("chain_id", HASH),
        ("changes", Many(CHANGE, 0, 1_024)),
        ("header", HEADER),
        ("certificate", CERTIFICATE),
        ("roots", ROOTS),
        ("supply", Many(SUPPLY_LINE, 0, 64)),
        ("objects", Many(PROVED_OBJECT, 0, 8_192)),
    ),
    14,
)
SIGNED_ATTESTATION: Final = Record(
    "signed attestation",
    (("attestor", SLUG), ("microhours", MICROHOURS), ("signature", SIGNATURE)),
)
GENESIS_COMMITMENT: Final = Record(
    "commitment of genesis",
    (
        ("terms", TERMS),
        ("devices", Many(HASH, 0, 10_000)),
        ("attestations", Many(SIGNED_ATTESTATION, 0, 16)),
    ),
)
REGULATOR: Final = Record("regulator", (("needed", Int(1, 16)), ("keys", Many(HASH, 1, 16))))
GENESIS: Final = Record(
    "genesis",
    (
        ("format", Int(1, 1)),
        ("network", Text("main|test|devnet", 6)),
        ("nonce", HASH),
        ("time_ms", UINT),
        ("authority", Record("authority", (("certificate", DER), ("key", HASH)))),
        ("parameters", PARAMETERS),
        ("standard", FACTORS),
        ("references", REFERENCES),
        ("regulator", REGULATOR),
        ("attestors", Many(ATTESTOR_GRANT, 0, 64)),
        ("licences", Many(GRANT, 0, 64)),
        ("commitments", Many(GENESIS_COMMITMENT, 0, 1_024)),
        (
            "bonds",
            Many(
                Record("bond of genesis", (("issuer", SLUG), ("coin", SLUG), ("amount", AMOUNT))),
                0,
                4_096,
            ),
        ),
        (
            "allocations",
            Many(
                Record(
                    "allocation",
                    (("issuer", SLUG), ("amount", AMOUNT), ("address", Text(r"[0-9a-z]+", 90))),
                ),
                0,
                4_096,
            ),
        ),
    ),
)
