"""Genesis: each rule refuses what breaks it with a sentence of its own; the id binds the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from ledger import genesis
from ledger.accumulator import Commitments
from ledger.address import encode_address
from ledger.economy.capacity import CapacityCommitment, Device
from ledger.economy.licence import Cause, Licence, LicenceState, Seat
from ledger.economy.regulator import Regulator
from ledger.economy.reserve import Reserve, supply_root
from ledger.economy.standard import Factor, Reference, Standard
from ledger.genesis import Allocation, Genesis, GenesisBond, GenesisCommitment
from ledger.genesis_state import genesis_state, system_txid
from ledger.invariants import recount
from ledger.object_tree import verify_object
from ledger.objects import LedgerClock, load, load_all, load_one, value_hash
from ledger.parameters import Parameters
from ledger.reasons import Invalid, Reason
from ledger.transaction import asset_id
from tests.ledger.economy_world import well_bonded
from tests.ledger.faults import NON_CANONICAL_KEY, SMALL_ORDER_KEY
from tests.ledger.world import (
    COIN,
    DAY_MS,
    MACHINES,
    PERIOD_MS,
    TIME_MS,
    MemoryState,
    attest,
    commitment,
    grant,
    key,
    lock_of,
    make_genesis,
    regulator_keys,
)

GOOD = make_genesis()
GOOD = msgspec.structs.replace(
    GOOD, bonds=tuple(item for item in GOOD.bonds if item.issuer != "val3")
)
REGULATOR = regulator_keys()
replace = msgspec.structs.replace

Change = Callable[[Genesis], Genesis]


def with_licence(**changes: Any) -> Change:
    """The first licence, changed."""
    return lambda good: replace(
        good, licences=(replace(good.licences[0], **changes), *good.licences[1:])
    )


def with_keys(**changes: bytes) -> Change:
    """The keys of the first licence, changed."""
    return with_licence(keys=replace(GOOD.licences[0].keys, **changes))


def with_commitment(**changes: Any) -> Change:
    """The first commitment, changed and attested anew."""
    first = GOOD.commitments[0]
    item = replace(first, terms=replace(first.terms, **changes))
    figures = {entry.attestor: min(1, item.terms.microhours) for entry in item.attestations}
    item = attest(GOOD.nonce, item, figures)
    return lambda good: replace(good, commitments=(item, *good.commitments[1:]))


def with_attestation(**changes: Any) -> Change:
    """The first attestation of the first commitment, changed and not signed anew."""
    first = GOOD.commitments[0]
    entry = replace(first.attestations[0], **changes)
    item = replace(first, attestations=(entry, *first.attestations[1:]))
    return lambda good: replace(good, commitments=(item, *good.commitments[1:]))


def with_parameters(**changes: int) -> Change:
    return lambda good: replace(good, parameters=replace(good.parameters, **changes))


def with_allocation(**changes: Any) -> Change:
    return lambda good: replace(
        good, allocations=(replace(good.allocations[0], **changes), *good.allocations[1:])
    )


def with_bond(**changes: Any) -> Change:
    """The first bond, changed."""
    return lambda good: replace(good, bonds=(replace(good.bonds[0], **changes), *good.bonds[1:]))


def with_devices(item: GenesisCommitment, devices: tuple[bytes, ...]) -> GenesisCommitment:
    """The commitment with other devices, attested anew."""
    figures = {entry.attestor: entry.microhours for entry in item.attestations}
    return attest(GOOD.nonce, replace(item, devices=devices), figures)


def with_economy(**changes: Any) -> Change:
    return lambda good: with_parameters(economy=replace(good.parameters.economy, **changes))(good)


def with_regulator(**changes: Any) -> Change:
    return lambda good: replace(good, regulator=replace(good.regulator, **changes))


def only_issuers(count: int) -> Change:
    """Licences beyond the first `count` do not issue, and nothing hangs on them."""

    def change(good: Genesis) -> Genesis:
        licences = tuple(
            replace(item, issuer=index < count) for index, item in enumerate(good.licences)
        )
        return replace(good, licences=licences, commitments=(), allocations=(), bonds=())

    return change


def and_licence(**changes: Any) -> Change:
    """One more licence, changed."""
    return lambda good: replace(good, licences=(*good.licences, replace(grant("other"), **changes)))


@dataclass(frozen=True)
class Rule:
    says: str
    change: Change


FIRST = GOOD.commitments[0].terms
RULES = [
    Rule(
        "time_ms 1800000000000000 is after the year 9999",
        lambda g: replace(g, time_ms=TIME_MS * 1_000),
    ),
    Rule(
        "view_timeout_ms 2000 is above view_timeout_ms_max 1999",
        with_parameters(view_timeout_ms_max=1_999),
    ),
    Rule(
        "attestation_life_ms 60000 is below two periods",
        with_economy(attestation_life_ms=60_000),
    ),
    Rule("8 groups of attestors, 9 must attest", with_parameters(attestation_groups=9)),
    Rule(
        "authority: .* is no usable",
        lambda g: replace(g, authority=replace(g.authority, key=bytes(32))),
    ),
    Rule("role operations: .* is no usable", with_keys(operations=SMALL_ORDER_KEY)),
    Rule("role treasury: .* is no usable", with_keys(treasury=NON_CANONICAL_KEY)),
    Rule("role link: .* is no usable", with_keys(link=(2).to_bytes(32, "little"))),
    Rule(
        "role metering has the same key as licence 'val0', role treasury",
        with_keys(metering=key("val0/treasury").public),
    ),
    Rule("role link has the same key as authority", with_keys(link=key("authority").public)),
    Rule(
        "role link has the same key as attestor 'att-north'",
        with_keys(link=key("attestor/att-north").public),
    ),
    Rule(
        "role consensus has the same key as licence 'val0', role consensus",
        and_licence(keys=replace(grant("other").keys, consensus=key("val0/consensus").public)),
    ),
    Rule("licence id 'val1' is given 2 times", and_licence(id="val1")),
    Rule("licence name 'cloud val1' is given 2 times", and_licence(name="CLOUD val1")),
    Rule(
        "attestor 'att-north' is given 2 times",
        lambda g: replace(
            g, attestors=(*g.attestors, replace(g.attestors[0], key=key("x").public))
        ),
    ),
    Rule("licence 'val0': certificate_hash does not match", with_licence(certificate=b"other")),
    Rule("licence 'val0': expires at .*, not after time_ms", with_licence(expires_ms=TIME_MS)),
    Rule("2 issuers, at least 3", only_issuers(2)),
    Rule("3 validators, 4 to 32", with_licence(validator=False)),
    Rule(
        "33 validators, 4 to 32",
        lambda g: replace(g, licences=tuple(grant(f"val{i}") for i in range(33))),
    ),
    Rule(
        "factor 'gpu-80g/training' is given 2 times",
        lambda g: replace(g, standard=(*g.standard, Factor("gpu-80g", "training", 5))),
    ),
    Rule(
        "workload 'dancing' has no reference",
        lambda g: replace(g, standard=(*g.standard, Factor("gpu-80g", "dancing", 5))),
    ),
    Rule(
        "workload 'zoology' is of no factor",
        lambda g: replace(g, references=(*g.references, Reference("zoology", 5))),
    ),
    Rule(
        "references ascend by workload, each once",
        lambda g: replace(g, references=g.references[::-1]),
    ),
    Rule(
        "references ascend by workload, each once",
        lambda g: replace(g, references=(*g.references, g.references[1])),
    ),
    Rule(
        "step_ppm 200001 is above margin_ppm 200000",
        lambda g: replace(
            g,
            parameters=replace(
                g.parameters, economy=replace(g.parameters.economy, step_ppm=200_001)
            ),
        ),
    ),
    Rule(
        "commitment 'val0/capacity-val0' is given 2 times",
        lambda g: replace(g, commitments=(*g.commitments, g.commitments[0])),
    ),
    Rule(
        "commitments 'capacity-val0' and 'more' of 'val0': their schedules overlap",
        lambda g: replace(g, commitments=(*g.commitments, commitment("val0", name="more"))),
    ),
    Rule(
        "device '.*' is given 2 times",
        lambda g: replace(
            g,
            commitments=(
                *g.commitments[:3],
                with_devices(g.commitments[3], g.commitments[2].devices),
            ),
        ),
    ),
    Rule(
        "devices ascend, each once",
        lambda g: replace(
            g,
            commitments=(
                *g.commitments[:3],
                with_devices(g.commitments[3], g.commitments[3].devices[::-1]),
            ),
        ),
    ),
    Rule(
        "'capacity-val0' of 'val0': 60 devices, its hours need 59",
        with_commitment(microhours=59 * 1_000_000 // 60),
    ),
    Rule("'nobody' holds no licence to issue", with_commitment(issuer="nobody")),
    Rule("workloads ascend, each once", with_commitment(workloads=("training", "training"))),
    Rule("no factor for gpu-80g/rendering", with_commitment(workloads=("rendering",))),
    Rule("no factor for gpu-40g/", with_commitment(device_class="gpu-40g")),
    Rule("over before it begins", with_commitment(to_ms=FIRST.from_ms)),
    Rule("more than 365 days", with_commitment(to_ms=FIRST.from_ms + 365 * DAY_MS + PERIOD_MS)),
    Rule("not whole periods", with_commitment(from_ms=FIRST.from_ms + 1)),
    Rule("not whole periods of", with_commitment(to_ms=FIRST.to_ms - 1)),
    Rule("over before it begins, clock", with_commitment(from_ms=TIME_MS - DAY_MS, to_ms=TIME_MS)),
    Rule("attestation of 'att-lost': no such attestor", with_attestation(attestor="att-lost")),
    Rule("attestation of 'att-south' is given 2 times", with_attestation(attestor="att-south")),
    Rule(
        "attestation of 'att-north': 1000001 µh, only 1000000 committed",
        with_attestation(microhours=1_000_001),
    ),
    Rule("attestation of 'att-north': the signature is wrong", with_attestation(microhours=5)),
    Rule(
        "attestation of 'att-north': the signature is wrong", with_attestation(signature=bytes(64))
    ),
    Rule(
        "attestation of 'att-north': the signature is wrong", lambda g: replace(g, nonce=bytes(32))
    ),
    Rule(r"allocations\[0\]: 'nobody' holds no licence to issue", with_allocation(issuer="nobody")),
    Rule(r"allocations\[0\]: .* is not an address", with_allocation(address="alice")),
    Rule(
        r"allocations\[0\]: an address of network 'mrs'",
        with_allocation(address=encode_address(lock_of("alice"), "mrs")),
    ),
    Rule(
        r"allocations\[0\]: addresses are written in lower case",
        with_allocation(address=encode_address(lock_of("alice"), "mrst").upper()),
    ),
    Rule("no hours", with_commitment(microhours=0)),
    Rule("3 of 2 keys of the regulator", with_regulator(needed=3, keys=REGULATOR.keys[:2])),
    Rule("regulator's keys are not in strictly", with_regulator(keys=REGULATOR.keys[::-1])),
    Rule("the regulator: .* is no usable", with_regulator(keys=(bytes(32),))),
    Rule(
        "licence 'val0', role link has the same key as the regulator",
        with_keys(link=REGULATOR.keys[0]),
    ),
    Rule("bond 'val0/val1' is given 2 times", lambda g: replace(g, bonds=(*g.bonds, g.bonds[0]))),
    Rule(r"bonds\[0\]: 'nobody' holds no licence to issue", with_bond(issuer="nobody")),
    Rule(r"bonds\[0\]: 'nobody' holds no licence to issue", with_bond(coin="nobody")),
    Rule(r"bonds\[0\]: 'val0' in its own coin", with_bond(coin="val0")),
    Rule("bonds count for 130000001 µ, 260000000 are required", with_bond(amount=1)),
    Rule(
        "2 issuers have attested hours, 3 are needed",
        lambda g: replace(g, commitments=g.commitments[:2], allocations=(), bonds=()),
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.says)
def test_each_rule_refuses_with_its_own_sentence(rule: Rule) -> None:
    """One change breaks one rule; the file is read from its bytes, as an operator's is."""
    with pytest.raises(Invalid, match=rule.says) as caught:
        genesis.load(genesis.dump(rule.change(GOOD)))
    assert caught.value.reason is Reason.BAD_GENESIS


def test_devices_of_an_issuer_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are is enough, one less is not."""
    monkeypatch.setattr(genesis, "DEVICES_OF_ISSUER_MAX", MACHINES)
    genesis.check(GOOD)
    monkeypatch.setattr(genesis, "DEVICES_OF_ISSUER_MAX", MACHINES - 1)
    with pytest.raises(Invalid) as caught:
        genesis.check(GOOD)
    assert caught.value.detail == "issuer 'val0': 60 devices, at most 59 may be pledged"


def test_supply_is_backed_with_the_margin_to_the_last_unit() -> None:
    """floor((1 - h) R) may exist, one µ more may not; the refusal names the figures."""
    reserve = GOOD.hours("val3").reserve
    limit = reserve * 8 // 10
    address = GOOD.allocations[0].address
    bonds = tuple(GenesisBond("val3", f"val{index}", limit // 20 + 1) for index in (0, 1))

    def allocating(amount: int) -> Genesis:
        allocations = (*GOOD.allocations, Allocation("val3", amount, address))
        return replace(GOOD, allocations=allocations, bonds=(*well_bonded(GOOD).bonds, *bonds))

    genesis.check(allocating(limit))
    with pytest.raises(Invalid, match=f"{limit + 1} µ allocated, may have {limit} µ .*{reserve}"):
        genesis.check(allocating(limit + 1))


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("format",), 2, "format: "),
        (("network",), "mainnet", "network: "),
        (("nonce",), "00", "nonce: "),
        (("time_ms",), "5", "time_ms: "),
        (("colour",), 1, "colour: unknown key"),
        (("parameters", "period_ms"), 59_999, "parameters.period_ms: .*60000"),
        (("parameters", "attestation_groups"), 1, "parameters.attestation_groups: "),
        (("parameters", "margin_ppm"), 400_001, "parameters.margin_ppm: "),
        (("parameters", "fee_per_byte"), 0, "parameters.fee_per_byte: "),
        (("parameters", "heartbeat_ms"), 30_001, "parameters.heartbeat_ms: "),
        (("parameters", "view_timeout_ms_max"), 60_001, "parameters.view_timeout_ms_max: "),
        (("parameters", "window"), 0, "parameters.window: "),
        (("licences", 0, "certificate"), "00" * 2_049, r"licences\[0\].certificate: "),
        (("licences", 0, "certificate"), "", r"licences\[0\].certificate: "),
        (("licences", 0, "name"), "Clоud", r"licences\[0\].name: "),
        (("licences", 0, "validator"), 1, r"licences\[0\].validator: "),
        (("licences", 0, "keys", "spare"), "00" * 32, r"licences\[0\].keys.spare: unknown key"),
        (("allocations", 0, "amount"), 5, r"allocations\[0\].amount: "),
        (("allocations", 0, "amount"), "１２３", r"allocations\[0\].amount: "),
        (("commitments", 0, "terms", "workloads"), [], r"terms.workloads: 0 entries"),
        (("parameters", "economy", "bond_ppm"), 49_999, "parameters.economy.bond_ppm: "),
        (("parameters", "economy", "cure_ms"), 59_999, "parameters.economy.cure_ms: "),
        (("regulator", "needed"), 0, "regulator.needed: "),
    ],
)
def test_wrong_shapes_are_named_with_their_path(
    path: tuple[str | int, ...], value: object, says: str
) -> None:
    """A field of a wrong type or out of range: the path leads to it."""
    tree = json.loads(genesis.dump(GOOD))
    place = tree
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(Invalid, match=says) as caught:
        genesis.load(json.dumps(tree).encode())
    assert caught.value.reason is Reason.BAD_GENESIS


def test_dump_and_load_agree_and_spelling_does_not_count() -> None:
    """The same id from the file, from a compact spelling and from reversed keys."""
    data = genesis.dump(GOOD)
    tree = json.loads(data)
    spellings = [data, json.dumps(tree).encode(), json.dumps(dict(reversed(tree.items()))).encode()]
    assert {genesis.chain_id(genesis.load(item)) for item in spellings} == {genesis.chain_id(GOOD)}
    assert genesis.dump(genesis.load(data)) == data


@pytest.mark.parametrize("name", [n for n in Genesis.__struct_fields__ if n != "format"])
def test_every_field_is_in_the_chain_id(name: str) -> None:
    """Two files that differ anywhere make two chains."""
    others: dict[str, Any] = {
        "network": "test",
        "nonce": bytes(32),
        "time_ms": TIME_MS + 1,
        "authority": replace(GOOD.authority, certificate=b"other"),
        "parameters": replace(GOOD.parameters, window=2),
        "regulator": replace(GOOD.regulator, needed=1),
    }
    value = others[name] if name in others else getattr(GOOD, name)[:-1]
    assert genesis.chain_id(replace(GOOD, **{name: value})) != genesis.chain_id(GOOD)


def test_state_at_height_0_holds_everything_and_adds_up() -> None:
    """Outputs, objects and roots as the file says; the recount agrees."""
    state = MemoryState.of(GOOD)
    head, identity = state.head, genesis.chain_id(GOOD)
    recount(state, state.outputs.items())
    assert (head.header.height, head.header.chain_id) == (0, identity)
    assert head.header.state_root == head.commitments.state_root
    assert head.header.validators_hash == GOOD.validators.hash
    assert len(state.outputs) == head.commitments.outputs.count == len(GOOD.allocations)
    for index, item in enumerate(GOOD.allocations):
        entry = state.outputs[system_txid(0, index), 0]
        assert (entry.asset, entry.amount) == (asset_id(identity, item.issuer), item.amount)
        assert (entry.leaf, entry.height) == (index, 0)
    assert load_one(state, Parameters) == GOOD.parameters
    assert load_one(state, LedgerClock).time_ms == TIME_MS
    standard = Standard(1, GOOD.standard, GOOD.references, TIME_MS)
    assert load_one(state, Standard) == standard == GOOD.first_standard
    third = Licence(
        GOOD.licences[2], LicenceState.ACTIVE, 0, Seat.SEATED, 0, TIME_MS, Cause.NONE, (), 0, 0
    )
    assert load(state, Licence, b"val2") == third
    assert [item.terms for item in load_all(state, CapacityCommitment)] == [
        item.terms for item in GOOD.commitments
    ]
    assert [item.counts for item in load_all(state, CapacityCommitment)] == [True] * 4
    assert len(load_all(state, Device)) == sum(len(item.devices) for item in GOOD.commitments)
    assert load_one(state, Regulator) == Regulator(0, GOOD.regulator, ())
    reserves = {reserve.issuer: reserve for reserve in load_all(state, Reserve)}
    assert {name: item.supply for name, item in reserves.items()} == {
        "val0": 2_600 * COIN,
        "val1": 2_600 * COIN,
        "val2": 2_600 * COIN,
        "val3": 0,
    }
    assert head.commitments.supply_root == supply_root(reserves.values())


def test_objects_of_genesis_are_committed() -> None:
    """Each stored object is provable under the root of height 0, with its very bytes."""
    changes = genesis_state(GOOD)
    commitments: Commitments = changes.head.commitments
    for name, data in changes.objects.items():
        digest = value_hash(data)
        assert digest is not None
        proof = commitments.objects.prove(name)
        assert verify_object(commitments.objects.root, name, digest, proof)
