"""The chains among the golden vectors: both implementations execute every block of each.

From genesis on both reach the same roots and refuse the same with the same reason.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from ledger import codec, genesis, transaction
from ledger.block import (
    COMMIT,
    Block,
    Certificate,
    Header,
    VotePayload,
    check_certificate,
    header_hash,
    vote_hash,
)
from ledger.catalogue_redemption import REDEMPTION_ROWS
from ledger.execution import execute_block
from ledger.reasons import Reason
from ledger.validators import ValidatorSet
from tests.ledger import (
    second_codec,
    second_genesis,
    second_redemption_values,
    second_roots,
    second_rules,
    second_shape,
    second_standard,
    second_standing,
    second_state,
)
from tests.ledger.vector_files import SIZE_MAX, raw, reason_of_ours, reason_of_second, table
from tests.ledger.world import MemoryState, World
from tests.vectors.generate import FOLDER

REFUSED = table("refused.json")
CHAIN = table("chain.json")
EPOCHS = table("epochs.json")
ECONOMY = table("economy.json")
REDEMPTION = table("redemption.json")
LOCKS = table("locks.json")


STORIES = {
    "chain": ("devnet_genesis.json", CHAIN),
    "epochs": ("epochs_genesis.json", EPOCHS),
    "economy": ("economy_genesis.json", ECONOMY),
    "redemption": ("redemption_genesis.json", REDEMPTION),
    "locks": ("devnet_genesis.json", LOCKS),
}

Replayed = tuple[second_roots.State, bytes]
"""A state after a block, and the hash of the next block's validators; empty for genesis."""


@cache
def replayed(story: str) -> list[Replayed]:
    """What the second implementation comes to, from genesis on: once for all tests, which change
    nothing of it."""
    file, rows = STORIES[story]
    value = second_genesis.genesis_value((FOLDER / file).read_bytes())
    second = second_genesis.genesis_state(value)
    found = [(second.copy(), b"")]
    parent = (raw(rows["heights"][0]["hash"]), second.time_ms)
    for row in rows["heights"][1:]:
        fields = second_codec.read("Header", raw(row["header"]), SIZE_MAX)
        raws = [raw(item) for item in row["transactions"]]
        following = second_state.apply_block(second, raws, fields, parent)
        found.append((second.copy(), following))
        parent = (raw(row["hash"]), fields[11])
    return found


@pytest.mark.parametrize("story", STORIES)
def test_both_reach_the_same_roots_at_every_height(story: str) -> None:
    """From genesis on: chain id, every root, header hash, validators, certificate; and what each
    state refuses, with the reason."""
    file, rows = STORIES[story]
    text = (FOLDER / file).read_bytes()
    world = World(genesis.load(text))
    second_genesis.check_genesis(second_genesis.genesis_value(text))
    steps = zip(rows["heights"], replayed(story), strict=True)
    for number, (row, (second, following)) in enumerate(steps):
        assert world.chain_id == second.chain_id == raw(rows["chain_id"])
        header_bytes = raw(row["header"])
        header = codec.decode(header_bytes, Header, size_max=SIZE_MAX)
        fields = second_codec.read("Header", header_bytes, SIZE_MAX)
        validators = world.validators
        if number:
            assert world.state.head.hash == fields[4]
            raws = [raw(item) for item in row["transactions"]]
            txs = [transaction.decode(item) for item in raws]
            world.state.apply(execute_block(world.state, Block(header, tuple(raws)), txs))
            assert following == fields[10]
        check_roots(world.state, second, row, fields)
        check_proofs_of_height(header, row, world.chain_id, validators)
        for item in row.get("refused", ()):
            assert reason_of_ours(world, raw(item["raw"])) == item["reason"], item["name"]
            assert reason_of_second(world, second, raw(item["raw"])) == item["reason"], item["name"]


def test_the_epochs_of_the_vectors_tell_what_they_should() -> None:
    """Boundaries by length and by order, swaps, a wait, shares with a remainder, every operation,
    and each reason that epochs and membership brought."""
    heights = EPOCHS["heights"]
    headers = [second_codec.read("Header", raw(row["header"]), SIZE_MAX) for row in heights]
    last = [header[3] for header in headers if header[9] != header[10]]
    assert last[:3] == [4, 6, 8]
    assert [header[2] for header in headers[:10]] == [0, 0, 0, 0, 0, 1, 1, 2, 2, 3]
    names = [{name for _, name in row["members"]} for row in heights]
    assert names[4] == {"val0", "val1", "val2", "val3"}
    assert names[5] == names[7] == {"val0", "new0", "val2", "val3"}
    assert names[9] == {"val0", "new0", "val2", "new1"}
    numbers = {
        operation[0]
        for row in heights
        for item in row["transactions"]
        for operation in second_rules.identities(raw(item))["body"][5]
    }
    assert numbers == {1, *range(3, 10)}
    reasons = {item["reason"] for row in heights for item in row["refused"]}
    reasons |= {row["reason"] for row in REFUSED["transactions"]}
    assert reasons >= {
        reason.value
        for reason in (
            *(Reason.NOT_ALONE, Reason.NEEDS_QUORUM, Reason.BAD_GRANT, Reason.UNKNOWN_LICENCE),
            *(Reason.WRONG_VERSION, Reason.HAS_SEAT, Reason.NO_SEAT, Reason.WRONG_EPOCH),
            Reason.NO_CONFLICT,
        )
    }


def test_the_economy_of_the_vectors_tells_what_it_should() -> None:
    """Every operation that epochs do not tell of, every object, each state of a licence, each way
    that an issuer stands, and each reason that capacity, bonds and orders brought."""
    heights = ECONOMY["heights"]
    numbers = {
        operation[0]
        for row in heights
        for item in row["transactions"]
        for operation in second_rules.identities(raw(item))["body"][5]
    }
    assert numbers >= {1, 3, 5, 7, 9, *range(10, 31)}
    reasons = {item["reason"] for row in heights for item in row["refused"]}
    reasons |= {row["reason"] for kind in ("transactions", "blocks") for row in REFUSED[kind]}
    names = [reason.name for reason in Reason]
    brought = names[names.index("BAD_ROLE") : names.index("UNKNOWN_REDEMPTION")]
    brought += names[names.index("FROZEN") : names.index("MEMPOOL_FULL")]
    assert {Reason[name].value for name in brought} <= reasons


def test_the_economy_passes_through_every_state() -> None:
    """A licence is applied for, granted, suspended, accused, revoked, wound down and closed; a coin
    is healthy, in warning, in deficit, caged; a commitment proposed, live, contested, void. An
    application is gone once it is revoked, evidence falls on one that is suspended and on one that
    winds down and goes on with it once reinstated, some attest a schedule shorter than it is, a
    deposit is larger than what the bond pays, and once more is due than a block sweeps, which the
    next one does."""
    seen: dict[str, set[int]] = {"Licence": set(), "Reserve": set(), "CapacityCommitment": set()}
    kinds: set[int] = set()
    names, punished, backlog = [], set(), []
    amended = oversized = resumed = False
    for second, _ in replayed("economy")[1:]:
        for kind, place in (("Licence", 1), ("Reserve", 5), ("CapacityCommitment", 1)):
            seen[kind] |= {item[place] for item in second.all(kind)}
        kinds |= {key[0] for key in second.objects}
        licences = second.all("Licence")
        names.append({item[0][0] for item in licences})
        punished |= {item[0][0] for item in licences if item[6] == second_standing.BY_EVIDENCE}
        resumed = resumed or any(x[1] == second_standing.WINDDOWN and x[8] for x in licences)
        for terms, standing, _, _, _, _, attestations, *_ in second.all("CapacityCommitment"):
            ends = {entry[3] for entry in attestations}
            live = standing == second_standing.LIVE
            amended = amended or (live and len(ends) > 1 and max(ends) == terms[6])
        oversized = oversized or any(item[3] > 2 * item[4] for item in second.all("Challenge"))
        backlog.append(len(second_standing.due(second)))
    assert seen["Licence"] == set(range(1, 8))
    assert seen["CapacityCommitment"] == seen["Reserve"] == set(range(1, 5))
    objects = {number for number in second_codec.TYPE_BYTES.values() if number >= 32}
    told = ("Genesis", *second_redemption_values.KINDS)
    assert kinds == objects - {second_codec.TYPE_BYTES[name] for name in told}
    assert "squat" in names[0] and "squat" not in names[1]
    assert punished == {"val2", "newco", "other"}
    assert amended and oversized and resumed
    waiting = [place for place, count in enumerate(backlog) if count]
    assert len(waiting) == 1 and waiting[0] < len(backlog) - 1


def test_redemption_in_the_vectors_tells_what_it_should() -> None:
    """Every operation, and each reason that a state may refuse one with: but for a licence that is
    gone, which no issuer's ever is, and for the limit of open orders."""
    heights = REDEMPTION["heights"]
    numbers = {
        operation[0]
        for row in heights
        for item in row["transactions"]
        for operation in second_rules.identities(raw(item))["body"][5]
    }
    assert numbers >= set(range(31, 39))
    refused: dict[int, set[str]] = {number: set() for number in range(31, 39)}
    for row in heights:
        for item in row["refused"]:
            for operation in second_rules.identities(raw(item["raw"]))["body"][5]:
                refused[operation[0]].add(item["reason"])
    reasons = {reason for found in refused.values() for reason in found}
    wanted = {reason.value for row in REDEMPTION_ROWS for reason in row.reasons}
    assert reasons == wanted - {Reason.UNKNOWN_LICENCE.value, Reason.TOO_MANY.value}
    for row in REDEMPTION_ROWS:
        assert refused[row.operation.__struct_config__.tag] <= {item.value for item in row.reasons}


def test_redemption_passes_through_every_state() -> None:
    """Every state of an order and every object; orders wait, claims are made and return as coins,
    a second strike costs twice as much, receipts of fast devices bring a draft of the standard,
    which lapses, and in the end nothing is left but strikes."""
    states, kinds, claimed, strikes = set[int](), set[int](), list[int](), set[int]()
    drafts = list[list[Any]]()
    left: set[int] = set()
    for second, _ in replayed("redemption")[1:]:
        states |= {item[8] for item in second.all("Redemption")}
        left = {key[0] for key in second.objects}
        kinds |= left
        claimed.append(sum(item[2] for item in second.all("ResidualClaim")))
        strikes |= {item[1] for item in second.all("Conduct")}
        drafts += second.all("StandardStep")
    assert states == set(range(1, 13))
    new = {second_codec.TYPE_BYTES[name] for name in second_redemption_values.KINDS}
    assert new <= kinds
    assert left & new == {second_codec.TYPE_BYTES["Conduct"]}
    assert max(claimed) > 0 and claimed[-1] == 0
    assert max(strikes) >= 2
    assert {tuple(held[:2]) for held in drafts} == {(second_standard.DRAFT, 2)}
    assert second_codec.TYPE_BYTES["StandardStep"] not in left


def test_the_locks_of_the_vectors_tell_what_they_should() -> None:
    """Every type of condition is spent, and every reason that only they have is met."""
    spent = [
        condition
        for row in LOCKS["heights"]
        for item in row["transactions"]
        for condition in second_rules.identities(raw(item))["witness"][0]
    ]
    numbers = {node[0] for item in spent for node in second_rules.nodes(item)}
    assert numbers == set(range(1, 8))
    assert {item["reason"] for row in LOCKS["heights"] for item in row["refused"]} == {
        reason.value
        for reason in (
            *(Reason.NOT_YET, Reason.TOO_LATE),
            *(Reason.MISSING_SIGNATURE, Reason.SPARE_SIGNATURE),
            *(Reason.MISSING_PREIMAGE, Reason.SPARE_PREIMAGE),
        )
    }


def check_roots(
    state: MemoryState, second: second_roots.State, row: dict[str, Any], fields: list[Any]
) -> None:
    roots, again = state.head.commitments.roots, second.roots()
    assert roots.outputs_count == len(second.outputs) == row["outputs_count"]
    assert roots.outputs_root == again["outputs"] == raw(row["outputs_root"])
    assert roots.spent_root == again["spent"] == raw(row["spent_root"])
    assert roots.objects_root == again["objects"] == raw(row["objects_root"])
    assert roots.supply_root == again["supply"] == raw(row["supply_root"])
    assert roots.state_root == again["state"] == raw(row["state_root"]) == fields[8]
    assert state.stored == second.objects
    wtxids = [second_rules.identities(raw(item))["wtxid"] for item in row["transactions"]]
    assert second_roots.merkle_root(wtxids) == raw(row["tx_root"]) == fields[5]


def check_proofs_of_height(
    header: Header, row: dict[str, Any], chain_id: bytes, validators: ValidatorSet
) -> None:
    digest = second_shape.digest
    payload = raw(row["header"])[2:]
    assert header_hash(header) == digest("header", payload) == raw(row["hash"])
    prepare = [header.epoch, 1, 0, header.height, raw(row["hash"])]
    expected = digest("vote", chain_id, second_codec.write_payload("VotePayload", prepare))
    assert vote_hash(chain_id, VotePayload(*prepare)) == expected == raw(row["prepare"])
    members = [[member.key, member.licence] for member in validators.members]
    assert [[name.hex(), licence] for name, licence in members] == row["members"]
    assert (
        digest("validators", second_rules.pack([header.epoch, members])) == header.validators_hash
    )
    if not row["certificate"]:
        return
    certificate = codec.decode(raw(row["certificate"]), Certificate, size_max=SIZE_MAX)
    check_certificate(certificate, chain_id, validators, COMMIT)
    fields = second_codec.read("Certificate", raw(row["certificate"]), SIZE_MAX)
    message = digest("vote", chain_id, second_codec.write_payload("VotePayload", fields[:5]))
    signers = [index for index in range(32) if fields[5] >> index & 1]
    for index, signature in zip(signers, fields[6], strict=True):
        assert second_rules.verify(members[index][0], message, signature)
