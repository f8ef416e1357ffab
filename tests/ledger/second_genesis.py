"""Genesis a second time: from the text to the state at height 0; it imports nothing of the node."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from tests.ledger.second_codec import write_payload
from tests.ledger.second_membership import new_reserve
from tests.ledger.second_reserve import judge
from tests.ledger.second_roots import State
from tests.ledger.second_rules import asset_of, is_licensed_key, verify
from tests.ledger.second_shape import digest
from tests.ledger.second_standing import ACTIVE, LIVE, NO_CAUSE, keep, point_at_deadlines

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
ECONOMY = (
    *("deliverability_ppm", "mint_cap_ppm", "bond_ppm", "deposit_ppm", "attestation_life_ms"),
    *("lower_ms", "proposal_ms", "contest_ms", "cure_ms", "bond_cure_ms", "application_ms"),
    *("suspension_ms", "rotation_ms", "regulator_rotation_ms", "winddown_ms", "order_ms_max"),
    *("audit_devices", "accept_ms", "closing_ms", "tick_ms", "penalty_ppm", "penalty_ppm_max"),
    "forgive_ms",
    *("step_ppm", "step_spacing_ms", "notice_ms", "trigger_ppm"),
)


def lock_of_address(address: str) -> bytes:
    """The lock inside an address whose checksum others check."""
    values = [CHARSET.index(char) for char in address.rpartition("1")[2]][:-6]
    number = 0
    for value in values:
        number = number << 5 | value
    bits = 5 * len(values)
    data = (number >> bits % 8).to_bytes(bits // 8, "big")
    assert data[0] == 0
    return data[1:]


def genesis_value(text: bytes) -> list[Any]:
    """genesis.json as the positional value that is hashed."""
    tree = json.loads(text)

    def raw(value: str) -> bytes:
        return bytes.fromhex(value)

    def grant(item: dict[str, Any]) -> list[Any]:
        roles = ("operations", "treasury", "metering", "consensus", "link")
        hexes = [raw(item[name]) for name in ("document_hash", "certificate", "certificate_hash")]
        keys = [raw(item["keys"][role]) for role in roles]
        names = [item["id"], item["name"], item["jurisdiction"]]
        return [*names, *hexes, keys, item["expires_ms"], item["validator"], item["issuer"]]

    def commitment(item: dict[str, Any]) -> list[Any]:
        terms = item["terms"]
        names = (
            "id",
            "issuer",
            "device_class",
            "region",
            "workloads",
            "from_ms",
            "to_ms",
            "microhours",
        )
        attested = [
            [entry["attestor"], entry["microhours"], raw(entry["signature"])]
            for entry in item["attestations"]
        ]
        return [[terms[name] for name in names], [raw(key) for key in item["devices"]], attested]

    authority = tree["authority"]
    return [
        tree["format"],
        tree["network"],
        raw(tree["nonce"]),
        tree["time_ms"],
        [raw(authority["certificate"]), raw(authority["key"])],
        [
            tree["parameters"][name]
            for name in (
                "fee_per_byte",
                "fee_per_signature",
                "fee_per_new_output",
                "margin_ppm",
                "period_ms",
                "attestation_groups",
                "window",
                "block_interval_ms",
                "heartbeat_ms",
                "view_timeout_ms",
                "view_timeout_ms_max",
                "epoch_blocks",
                "epoch_ms",
            )
        ]
        + [[tree["parameters"]["economy"][name] for name in ECONOMY]],
        [[item["device_class"], item["workload"], item["factor"]] for item in tree["standard"]],
        [[item["workload"], item["units"]] for item in tree["references"]],
        [tree["regulator"]["needed"], [raw(key) for key in tree["regulator"]["keys"]]],
        [[item["id"], item["name"], item["group"], raw(item["key"])] for item in tree["attestors"]],
        [grant(item) for item in tree["licences"]],
        [commitment(item) for item in tree["commitments"]],
        [[item["issuer"], item["coin"], int(item["amount"])] for item in tree["bonds"]],
        [[item["issuer"], int(item["amount"]), item["address"]] for item in tree["allocations"]],
    ]


def check_genesis(value: list[Any]) -> None:
    """Keys, fingerprints and attestations; asserts, because the vector is good."""
    nonce, attestors = value[2], {item[0]: item[3] for item in value[9]}
    assert value[8][1] == sorted(set(value[8][1])) and value[8][0] <= len(value[8][1])
    for grant in value[10]:
        assert sha256(grant[4]).digest() == grant[5]
        assert all(is_licensed_key(key) for key in grant[6])
    for terms, devices, attestations in value[11]:
        for name, figure, signature in attestations:
            said = [name, figure, terms, digest("attestation/devices", *devices)]
            message = digest("attestation", nonce, write_payload("AttestationStatement", said))
            assert verify(attestors[name], message, signature)


def genesis_state(value: list[Any]) -> State:
    """The state at height 0."""
    state = State(digest("genesis", write_payload("Genesis", value)), time_ms=value[3])
    state.put("LedgerClock", b"", [value[3]])
    state.put("Parameters", b"", value[5])
    state.put("Standard", b"", [1, value[6], value[7], value[3]])
    state.put("Regulator", b"", [0, value[8], []])
    for item in value[9]:
        state.put("Attestor", item[0].encode(), [item, True, 1, 0])
    for terms, devices, attestations in value[11]:
        said = sorted([name, figure, value[3], terms[6], []] for name, figure, _ in attestations)
        standing = [terms, LIVE, 0, value[3], 0, len(devices), said, state.period, 0, 0, 0]
        keep(state, "CapacityCommitment", standing)
        for device in devices:
            keep(state, "Device", [device, terms[1], terms[0], 0, terms[6], 0, state.period])
    supply: dict[str, int] = {}
    for issuer, coin, amount in value[12]:
        asset = asset_of(state.chain_id, coin)
        state.put("Bond", issuer.encode() + b"\0" + asset, [issuer, asset, amount])
        supply[coin] = supply.get(coin, 0) + amount
    for index, (issuer, amount, address) in enumerate(value[13]):
        asset = asset_of(state.chain_id, issuer)
        txid = digest("sys", bytes(8), index.to_bytes(8, "big"))
        state.pay(txid, 0, [asset, amount, lock_of_address(address)])
        supply[issuer] = supply.get(issuer, 0) + amount
    for grant in value[10]:
        standing = [ACTIVE, 0, 3 if grant[8] else 0, 0, value[3], NO_CAUSE, [], 0, 0]
        keep(state, "Licence", [grant, *standing])
        if grant[9]:
            asset = asset_of(state.chain_id, grant[0])
            held = new_reserve(asset, grant[0], supply.get(grant[0], 0), value[3])
            keep(state, "Reserve", held)
    members = sorted([grant[6][3], grant[0]] for grant in value[10] if grant[8])
    state.put("Epoch", b"", [0, 0, bytes(32), value[3], False, members, []])
    judge(state)
    point_at_deadlines(state)
    return state
