"""Genesis, roots and one block a second time, naively; it imports nothing of the node.

A state is three plain values: all outputs ever made in order, which of them are spent, and the
objects by key. Every root is worked out from scratch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tests.ledger.second_codec import (
    TYPE_BYTES,
    digest,
    need,
    read_payload,
    write,
    write_payload,
)
from tests.ledger.second_membership import (
    check_approvals,
    close_block,
    operate,
    share_fees,
    start_epoch,
)
from tests.ledger.second_rules import (
    asset_of,
    check_moment,
    identities,
    is_licensed_key,
    is_of_the_validators,
    pack,
    verify,
)

CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
Parent = tuple[bytes, int]
"""Hash and time of the block before."""
WEEK_MS = 7 * 24 * 3_600_000
RATIO_MAX = 10**9


def tree_top(node: str, level: list[bytes]) -> bytes:
    """From the top down: the left half holds the largest power of two below the count."""
    if len(level) == 1:
        return level[0]
    half = 1 << (len(level) - 1).bit_length() - 1
    return digest(node, tree_top(node, level[:half]), tree_top(node, level[half:]))


def list_root(root: str, node: str, level: list[bytes], count: int) -> bytes:
    tops = [tree_top(node, level)] if level else []
    return digest(root, count.to_bytes(8, "big"), *tops)


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    level = [digest("merkle/leaf", leaf) for leaf in leaves]
    return list_root("merkle/root", "merkle/node", level, len(level))


def object_root(objects: dict[bytes, bytes]) -> bytes:
    leaves = []
    for key, value in objects.items():
        place = digest("objects/key", key)
        leaf = digest("objects/leaf", place, digest("objects/value", value))
        leaves.append((int.from_bytes(place, "big"), leaf))

    def top(items: list[tuple[int, bytes]], bit: int) -> bytes:
        if len(items) <= 1:
            return items[0][1] if items else bytes(32)
        halves = [[item for item in items if item[0] >> bit & 1 == side] for side in (0, 1)]
        return digest("objects/node", top(halves[0], bit - 1), top(halves[1], bit - 1))

    return top(leaves, 255)


@dataclass
class State:
    """Outputs as [txid, index, asset, amount, lock, height]."""

    chain_id: bytes
    outputs: list[list[Any]] = field(default_factory=list)
    spent: set[int] = field(default_factory=set)
    objects: dict[bytes, bytes] = field(default_factory=dict)

    def copy(self) -> State:
        """Another state that begins as this one."""
        return State(self.chain_id, list(self.outputs), set(self.spent), dict(self.objects))

    def put(self, kind: str, identity: bytes, value: Any) -> None:
        self.objects[bytes([TYPE_BYTES[kind]]) + identity] = write(kind, value)

    def get(self, kind: str, identity: bytes = b"") -> Any:
        data = self.objects.get(bytes([TYPE_BYTES[kind]]) + identity)
        return None if data is None else read_payload(kind, data[2:])

    def drop(self, kind: str, identity: bytes) -> None:
        del self.objects[bytes([TYPE_BYTES[kind]]) + identity]

    def all(self, kind: str) -> list[Any]:
        prefix = bytes([TYPE_BYTES[kind]])
        return [
            read_payload(kind, data[2:])
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        ]

    def roots(self) -> dict[str, bytes]:
        leaves = [digest("output", pack([1, *item, bytes(16)])) for item in self.outputs]
        count = len(leaves)
        chunks = []
        for first in range(0, count, 1024):
            flags = bytearray(128)
            for index in self.spent:
                if first <= index < first + 1024:
                    flags[(index - first) // 8] |= 1 << index % 8
            chunks.append(digest("spent/chunk", bytes(flags)))
        lines = [supply_line(item) for item in self.all("Reserve")]
        roots = {
            "outputs": list_root("outputs/root", "outputs/node", leaves, count),
            "spent": list_root("spent/root", "spent/node", chunks, count),
            "objects": object_root(self.objects),
            "supply": merkle_root([digest("supply", pack(line)) for line in lines]),
        }
        roots["state"] = digest(
            "state",
            roots["outputs"],
            count.to_bytes(8, "big"),
            roots["spent"],
            roots["objects"],
            roots["supply"],
        )
        return roots


def supply_line(reserve: list[Any]) -> list[Any]:
    asset, _, supply, backing, soon = reserve
    ratios = [
        min(part * 10**6 // supply, RATIO_MAX) if supply else RATIO_MAX for part in (backing, soon)
    ]
    return [asset, supply, backing, *ratios]


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
        return [*(item[name] for name in names), attested]

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
        ],
        [[item["device_class"], item["workload"], item["factor"]] for item in tree["standard"]],
        [[item["id"], item["name"], item["group"], raw(item["key"])] for item in tree["attestors"]],
        [grant(item) for item in tree["licences"]],
        [commitment(item) for item in tree["commitments"]],
        [[item["issuer"], int(item["amount"]), item["address"]] for item in tree["allocations"]],
    ]


def check_genesis(value: list[Any]) -> None:
    """Keys, fingerprints and attestations; asserts, because the vector is good."""
    nonce, attestors = value[2], {item[0]: item[3] for item in value[7]}
    for grant in value[8]:
        assert sha256(grant[4]).digest() == grant[5]
        assert all(is_licensed_key(key) for key in grant[6])
    for item in value[9]:
        for name, figure, signature in item[8]:
            statement = write_payload("AttestationStatement", [name, figure, *item[:8]])
            assert verify(attestors[name], digest("attestation", nonce, statement), signature)


def hours(state: State, issuer: str, clock_ms: int) -> tuple[int, int]:
    """The reserve and what of it falls due in a week, each floored once."""
    parameters = state.get("Parameters")
    period, groups_needed = parameters[4], parameters[5]
    factors = {(item[0], item[1]): item[2] for item in state.get("Standard")[1]}
    groups = {item[0]: item[2] for item in state.all("Attestor")}
    total = soon = 0
    for item in state.all("CapacityCommitment"):
        if item[1] != issuer:
            continue
        best: dict[str, int] = {}
        for name, figure, _ in item[8]:
            best[groups[name]] = max(figure, best.get(groups[name], 0))
        ranked = sorted(best.values(), reverse=True)
        counted = ranked[groups_needed - 1] if len(ranked) >= groups_needed else 0
        worth = counted * min(factors[item[2], workload] for workload in item[4])
        now, begin, end = clock_ms // period, item[5] // period, item[6] // period
        total += worth * max(0, end - max(now, begin))
        soon += worth * max(0, min(end, (clock_ms + WEEK_MS) // period) - max(now, begin))
    return total // 10**6, soon // 10**6


def genesis_state(value: list[Any]) -> State:
    """The state at height 0."""
    state = State(digest("genesis", write_payload("Genesis", value)))
    state.put("LedgerClock", b"", [value[3]])
    state.put("Parameters", b"", value[5])
    state.put("Standard", b"", [1, value[6]])
    for kind, items in (("Attestor", value[7]), ("CapacityCommitment", value[9])):
        for item in items:
            state.put(kind, item[0].encode(), item)
    supply: dict[str, int] = {}
    for index, (issuer, amount, address) in enumerate(value[10]):
        txid = digest("sys", bytes(8), index.to_bytes(8, "big"))
        asset = asset_of(state.chain_id, issuer)
        state.outputs.append([txid, 0, asset, amount, lock_of_address(address), 0])
        supply[issuer] = supply.get(issuer, 0) + amount
    for grant in value[8]:
        state.put("Licence", grant[0].encode(), [grant, 1, 0, 3 if grant[8] else 0, 0])
        if grant[9]:
            asset = asset_of(state.chain_id, grant[0])
            figures = hours(state, grant[0], value[3])
            state.put("Reserve", asset, [asset, grant[0], supply.get(grant[0], 0), *figures])
    members = sorted([grant[6][3], grant[0]] for grant in value[8] if grant[8])
    state.put("Epoch", b"", [0, 0, bytes(32), value[3], False, members, []])
    return state


def apply_block(state: State, raws: Sequence[bytes], header: list[Any], parent: Parent) -> bytes:
    """Execute a block; the hash of the next block's validators. Raises Refused."""
    height, time_ms = header[3], header[11]
    start_block(state, height, time_ms, parent)
    for raw in raws:
        add_transaction(state, raw, height, time_ms)
    return close_block(state, height, time_ms)


def start_block(state: State, height: int, time_ms: int, parent: Parent) -> None:
    """What the system does first."""
    parent_hash, parent_ms = parent
    before = state.get("LedgerClock")[0]
    after = before + min(time_ms - parent_ms, 30_000)
    state.put("LedgerClock", b"", [after])
    if before // state.get("Parameters")[4] != after // state.get("Parameters")[4]:
        for asset, issuer, supply, _, _ in state.all("Reserve"):
            state.put("Reserve", asset, [asset, issuer, supply, *hours(state, issuer, after)])
    start_epoch(state, height, parent_hash)
    for index, (asset, amount, lock) in enumerate(share_fees(state)):
        txid = digest("sys", height.to_bytes(8, "big"), index.to_bytes(8, "big"))
        state.outputs.append([txid, 0, asset, amount, lock, height])


def add_transaction(state: State, raw: bytes, height: int, time_ms: int) -> None:
    """Judge a transaction that passed the checks without state, and do what it says."""
    found = identities(raw)
    _, _, inputs, outputs, fee, operations, expires_ms, _ = found["body"]
    need(time_ms <= expires_ms, "expired")
    need(expires_ms <= time_ms + WEEK_MS, "expires_too_late")
    spent = [_spend(state, item, height) for item in inputs]
    needed, revealed = {item[4] for item in spent}, set(found["locks"])
    need(needed <= revealed, "missing_condition")
    need(revealed <= needed, "spare_condition")
    for condition in found["witness"][0]:
        check_moment(condition, found["witness"], height, time_ms)
    if is_of_the_validators(operations):
        check_approvals(state, [key for key, _ in found["witness"][1]])
    for operation in operations:
        if operation[0] <= 2:
            _issue(state, operation)
        else:
            operate(state, operation, height)
    for index, (asset, amount, lock) in enumerate(outputs):
        state.outputs.append([found["txid"], index, asset, amount, lock, height])
    if fee[1]:
        number = state.get("Epoch")[0]
        identity = number.to_bytes(8, "big") + fee[0]
        pot = state.get("FeePot", identity) or [number, fee[0], 0]
        state.put("FeePot", identity, [number, fee[0], pot[2] + fee[1]])


def _spend(state: State, item: list[Any], height: int) -> list[Any]:
    names = [output[:2] for output in state.outputs]
    need(item[:2] in names, "unknown_input")
    leaf = names.index(item[:2])
    output = state.outputs[leaf]
    is_of_the_system = output[5] == height and output[0] == digest(
        "sys", height.to_bytes(8, "big"), (leaf - _outputs_before(state, height)).to_bytes(8, "big")
    )
    need(not is_of_the_system, "unknown_input")
    need(leaf not in state.spent, "spent_input")
    need(item[2:] == output[2:4], "input_mismatch")
    state.spent.add(leaf)
    return output


def _outputs_before(state: State, height: int) -> int:
    return sum(1 for output in state.outputs if output[5] < height)


def _issue(state: State, operation: list[Any]) -> None:
    """A mint or a burn."""
    if operation[0] == 2:
        _, asset, amount = operation
        reserve = state.get("Reserve", asset)
        need(reserve is not None and amount <= reserve[2], "unknown_asset")
        moved = -amount
    else:
        _, issuer, key, lane, number, moved = operation
        licence = state.get("Licence", issuer.encode())
        need(licence is not None and licence[0][9], "unknown_issuer")
        clock_ms = state.get("LedgerClock")[0]
        need(licence[1] in (1, 2) and clock_ms <= licence[0][7], "licence_inactive")
        need(key == licence[0][6][1], "wrong_role_key")
        identity = b"\0".join((issuer.encode(), b"treasury", bytes([lane])))
        expected = (state.get("Lane", identity) or [0])[-1]
        need(number >= expected, "replayed_operation")
        need(number == expected, "operation_gap")
        state.put("Lane", identity, [issuer, "treasury", lane, number + 1])
        asset = asset_of(state.chain_id, issuer)
        reserve = state.get("Reserve", asset)
        limit = reserve[3] * (10**6 - state.get("Parameters")[3]) // 10**6
        need(reserve[2] + moved <= limit, "above_headroom")
    state.put("Reserve", asset, [*reserve[:2], reserve[2] + moved, *reserve[3:]])
