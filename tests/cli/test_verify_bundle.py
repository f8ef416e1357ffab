"""A bundle holds as a node makes it, and with nothing changed: every byte, every object, every
signature and every figure is looked at."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache

import msgpack
import pytest
from msgspec.structs import replace

from cli import verify_bundle, verify_chain
from cli.verify_bundle import BUNDLE_BYTES_MAX, Report, verify
from cli.verify_bytes import ITEMS_MAX, Fault, Refused
from cli.verify_layouts import OBJECTS
from ledger import codec
from ledger import genesis as genesis_rules
from ledger.block import PREPARE, Certificate, VotePayload, make_certificate, vote_hash
from ledger.boundaries import Boundary, boundary_of
from ledger.economy.reserve import Reserve
from ledger.economy.standard import PastStandard
from ledger.epochs import Epoch
from ledger.objects import LedgerClock, key_of, load_all, load_one
from ledger.validators import Member, ValidatorSet
from node.reserve_bundle import ReserveBundle
from tests.cli.audit_world import certify
from tests.cli.bundle_world import (
    bundle_of,
    changed,
    fault_of,
    genesis_text,
    least,
    lie,
    read,
    small,
    small_node,
    stepped,
    trust_of,
    verified,
)
from tests.ledger.world import (
    World,
    key,
    make_genesis,
)
from tests.node.api.harness import Node

SIGNATURES_MAX, HASHES_MAX = 4_096, 16_384


def test_figures_are_those_of_the_state() -> None:
    """A whole bundle holds; its rows are the reserves of the chain, its signers a quorum."""
    node, data, text = small()
    report = verified(data, text)
    reserves = sorted(load_all(node.chain, Reserve), key=lambda item: item.issuer)
    assert [row.issuer for row in report.rows] == [item.issuer for item in reserves]
    for row, item in zip(report.rows, reserves, strict=True):
        assert (row.outstanding, row.reserve, row.due) == (
            item.supply,
            item.reserve,
            item.deliverable,
        )
        assert (row.coverage_ppm, row.deliverability_ppm) == (
            item.coverage_ppm,
            item.deliverability_ppm,
        )
        assert (row.band, row.licence, row.commitments) == ("healthy", "active", 1)
        assert (row.oldest_ms, row.newest_ms, row.contested) == (1_000, 1_000, 0)
        needed = -(-item.supply // 10)
        assert (row.bond_required, row.bond_worth) == (needed, needed)
    assert (report.height, report.epoch, len(report.signers)) == (1, 0, 3)
    assert report.ledger_ms == load_one(node.chain, LedgerClock).time_ms
    assert [item.what for item in report.checks] == [
        "genesis",
        "file",
        "validators",
        "header",
        "state root",
        "supply",
        "objects",
        "rules",
        "attestations",
        "figures",
    ]


def test_validators_that_changed_are_followed() -> None:
    """Two changes lead to the set that signed; without one of them, twice or in another order
    they do not."""
    _, data, text = changed()
    report = verified(data, text)
    assert (report.epoch, set(report.signers) <= {"val1", "val2", "val3", "val9"}) == (4, True)
    bundle = read(data)
    first, second = bundle.changes
    for changes in ((), (first,), (second,), (second, first), (first, first, second)):
        spoiled = codec.encode(replace(bundle, changes=changes))
        assert fault_of(spoiled, text) == "bad_set"


def test_a_set_that_a_quorum_must_not_name_is_found() -> None:
    """Members out of order, with one licence twice, with a key of small order, too few of them,
    other ones than the header names, and the same as before: each signed by the set before."""
    node, data, text = small()
    bundle = read(data)
    members = node.world.validators.members
    weak = Member((1).to_bytes(32, "little"), "weak")
    cases = {
        "out of order": members[::-1],
        "twice": (*members[:3], replace(members[3], licence=members[0].licence)),
        "small order": tuple(sorted((*members, weak), key=lambda item: item.key)),
        "too few": members[:3],
        "the same": members,
        "others": None,
    }
    for name, named in cases.items():
        following = members if named is None else named
        hashed = bytes(32) if named is None else ValidatorSet(1, following).hash
        header = replace(bundle.header, next_validators_hash=hashed)
        change = Boundary(header, certify(node.world, header), following)
        later = replace(bundle.header, epoch=1, height=2)
        code = fault_of(codec.encode(replace(bundle, changes=(change,), header=later)), text)
        expected = {"small order": "bad_key", "too few": "malformed"}.get(name, "bad_set")
        assert code == expected, name


def test_a_boundary_without_a_change_has_no_place() -> None:
    """The end of epoch 0, true and signed, at which nobody came or went."""
    node, data, text = changed()
    bundle, spare = read(data), boundary_of(node.chain, 0)
    assert spare is not None
    spoiled = replace(bundle, changes=(spare, *bundle.changes))
    assert fault_of(codec.encode(spoiled), text) == "bad_set"


def test_a_header_before_the_last_change_is_found() -> None:
    """A quorum signs a header of the present epoch that is not after its beginning."""
    node, data, text = changed()
    last = read(data).changes[-1].header
    for field, value in (("height", last.height), ("time_ms", last.time_ms)):
        assert fault_of(lie(node, {}, **{field: value}), text) == "bad_header"
    assert fault_of(lie(node, {}), text) == ""
    assert fault_of(lie(node, {}, validators_hash=bytes(32)), text) == "bad_set"


def flips(data: bytes, text: bytes, step: int) -> list[str]:
    """Positions at which a changed byte is not refused."""
    missed = []
    for position in range(0, len(data), step):
        spoiled = bytearray(data)
        spoiled[position] ^= 1 << position % 8
        if not fault_of(bytes(spoiled), text):
            missed.append(f"byte {position}")
    return missed


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most signatures and hashes in thousands of spoiled files are those of the sound one."""
    signatures = lru_cache(SIGNATURES_MAX)(verify_chain.is_signed)
    monkeypatch.setattr(verify_chain, "is_signed", signatures)
    monkeypatch.setattr(verify_bundle, "digest", lru_cache(HASHES_MAX)(verify_bundle.digest))


@pytest.mark.usefixtures("remembering")
def test_each_changed_byte_is_refused() -> None:
    """Turns over a bit of every byte of the least bundle, in which every kind of object is but one,
    and of many of larger ones: with changes of the validators, with standards that are past."""
    _, data, text = least()
    assert {item.key[0] for item in read(data).objects} == set(OBJECTS) - {PastStandard.TYPE}
    assert fault_of(data, text) == ""
    assert flips(data, text, 1) == []
    _, data, text = changed()
    assert flips(data, text, 13) == []
    node = stepped()
    assert flips(bundle_of(node), genesis_text(node), 29) == []


@pytest.mark.usefixtures("remembering")
def test_each_missing_or_added_byte_is_refused() -> None:
    """Cuts the file short, takes bytes out and puts bytes in, all over it."""
    _, data, text = small()
    for position in range(0, len(data), 29):
        assert fault_of(data[:position], text)
        assert fault_of(data[:position] + data[position + 1 :], text)
        for extra in (b"\x00", b"\xc0", data[position : position + 1]):
            assert fault_of(data[:position] + extra + data[position:], text)
    assert fault_of(data + b"\x00", text) == "trailing_bytes"


HOSTILE = {
    "empty": b"",
    "envelope alone": b"\x0e\x01",
    "another type": b"\x0d\x01\x90",
    "another version": b"\x0e\x02\x90",
    "deep arrays": b"\x0e\x01" + b"\x91" * 200_000,
    "deep arrays that end": b"\x0e\x01" + b"\x91" * 1_000 + b"\xc0",
    "deep inside": b"\x0e\x01\x97" + b"\x91" * 900 + b"\xc0" * 7,
    "a huge array": b"\x0e\x01\xdd\xff\xff\xff\xff",
    "huge arrays in each other": b"\x0e\x01" + (b"\xdd" + ITEMS_MAX.to_bytes(4, "big")) * 1_000,
    "huge bytes": b"\x0e\x01\xc6\xff\xff\xff\xff",
    "a map": b"\x0e\x01\x80",
    "a map with a list for a key": b"\x0e\x01\x81\x90\x90",
    "an extension": b"\x0e\x01\xd4\x05\x00",
    "a timestamp": b"\x0e\x01\xd6\xff\x00\x00\x00\x00",
    "text that is no UTF-8": b"\x0e\x01\xa2\xff\xff",
    "a float": b"\x0e\x01\x97" + b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00" * 7,
    "nothing in it": b"\x0e\x01\x97" + b"\xc0" * 7,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_have_a_reason(name: str) -> None:
    """Whatever the bytes are, they are refused by a named reason and raise nothing else."""
    code = fault_of(HOSTILE[name], small()[2])
    assert code == ("unsupported_version" if name == "another version" else "malformed")


def test_random_bytes_have_a_reason() -> None:
    """Bytes drawn at random, alone and in the place of a part of a good bundle."""
    _, data, text = small()
    draw = random.Random(7)
    for _ in range(300):
        noise = draw.randbytes(draw.randrange(1, 200))
        at = draw.randrange(len(data))
        for spoiled in (b"\x0e\x01" + noise, data[:at] + noise + data[at + len(noise) :]):
            assert fault_of(spoiled, text)


def test_too_much_is_not_read() -> None:
    """A byte more than the largest bundle is refused before anything is unpacked."""
    assert fault_of(bytes(BUNDLE_BYTES_MAX + 1), small()[2]) == "too_large"


def test_another_encoding_of_the_same_value_is_refused() -> None:
    """The counts of the certificate in two bytes where one is enough, and a list in long form."""
    _, data, text = small()
    value = msgpack.unpackb(data[2:], raw=False)
    assert b"\x0e\x01" + msgpack.packb(value) == data
    epoch_first = msgpack.packb(value[3])
    longer = b"\x97\xcc\x00" + epoch_first[2:]
    spoiled = data.replace(epoch_first, longer)
    assert (len(spoiled), fault_of(spoiled, text)) == (len(data) + 1, "non_canonical")
    assert fault_of(b"\x0e\x01\xdc\x00\x07" + data[3:], text) == "non_canonical"


def test_another_chain_is_refused_by_name() -> None:
    """The genesis of a chain that differs in one parameter, and files that are no genesis."""
    _, data, text = small()
    foreign = Node(World(make_genesis(epoch_blocks=77)))
    foreign.decide([])
    assert fault_of(data, genesis_text(foreign)) == "wrong_chain"
    renamed = replace(read(bundle_of(foreign)), chain_id=read(data).chain_id)
    assert fault_of(codec.encode(renamed), text) == "wrong_chain"
    nonce = small()[0].world.genesis.nonce.hex().encode()
    for wrong in (
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        text[:-5],
        text.replace(b'"format": 1', b'"format": 1.0'),
        text.replace(b'"format": 1', b'"format": 1, "format": 1'),
        text.replace(b'"format": 1', b'"format": 1, "colour": 1'),
        text.replace(b'"format": 1', b'"format": "1"'),
        text.replace(nonce, nonce.upper()),
        text.replace(b'"1000000000"', b'"1_000000000"'),
        text.replace(b'"1000000000"', b"1000000000"),
        genesis_rules.dump(make_genesis(3, ())),
        text.replace(key("val0/consensus").public.hex().encode(), b"00" * 32),
        text.replace(key("val0/consensus").public.hex().encode(), b"01" + b"00" * 31),
    ):
        assert fault_of(data, wrong) == "bad_genesis", wrong[:40]


def test_white_space_in_the_genesis_file_does_not_count() -> None:
    """The same values in one line hash to the same chain."""
    _, data, text = small()
    assert fault_of(data, b" ".join(text.split())) == ""


def spoiled_certificates() -> dict[str, Callable[[Certificate], Certificate]]:
    """Certificates that no q distinct members gave for exactly this block."""
    node, data, _ = small()
    header = read(data).header

    def of_phase(certificate: Certificate) -> Certificate:
        payload = VotePayload(0, PREPARE, 0, header.height, certificate.block_hash)
        message = vote_hash(node.world.chain_id, payload)
        members = node.world.validators.members
        keys = {i: key(f"{members[i].licence}/consensus") for i in certificate.signer_indices}
        return make_certificate(payload, {i: item.sign(message) for i, item in keys.items()})

    return {
        "too few": lambda _: certify(node.world, header, 2),
        "too many": lambda _: certify(node.world, header, 4),
        "one twice": lambda it: replace(it, signatures=(*it.signatures[:2], it.signatures[1])),
        "a bit without a member": lambda it: replace(it, signers=0b10000011),
        "a prepare": of_phase,
        "another view": lambda it: replace(it, view=1),
        "nobody": lambda it: replace(it, signers=0, signatures=()),
        "another block": lambda it: replace(it, block_hash=bytes(32)),
        "another epoch": lambda it: replace(it, epoch=1),
        "another height": lambda it: replace(it, height=2),
    }


@pytest.mark.parametrize("name", spoiled_certificates())
def test_only_a_quorum_makes_a_header_final(name: str) -> None:
    """The header is good, its certificate is not."""
    _, data, text = small()
    bundle = read(data)
    spoil = spoiled_certificates()[name]
    spoiled = replace(bundle, certificate=spoil(bundle.certificate))
    expected = "bad_signature" if name in ("one twice", "another view") else "bad_certificate"
    assert fault_of(codec.encode(spoiled), text) == expected


def is_told(report: Report) -> bool:
    rules = {item.what: item.found for item in report.checks}["rules"]
    short = any(row.bond_worth < row.bond_required for row in report.rows)
    return rules == "other than in the genesis file: attestor" or short


def test_each_object_is_needed_in_its_place() -> None:
    """Objects left out, given twice, in another order, under another's proof or of another kind.

    Without an attestor that vouches for nothing, or a part of a bond, the rest holds: the report
    says that attestors are others, or that a bond is short.
    """
    node, data, text = small()
    bundle = read(data)
    items = bundle.objects
    for index, item in enumerate(items):
        left = codec.encode(replace(bundle, objects=items[:index] + items[index + 1 :]))
        if not fault_of(left, text):
            assert is_told(verified(left, text)), item.key
        twice = replace(bundle, objects=(*items[: index + 1], item, *items[index + 1 :]))
        assert fault_of(codec.encode(twice), text) == "bad_object"
    swapped = replace(bundle, objects=(items[1], items[0], *items[2:]))
    assert fault_of(codec.encode(swapped), text) == "bad_object"
    proof = node.chain.head.commitments.objects.prove(key_of(Epoch)).path
    epoch = replace(
        items[-1], key=key_of(Epoch), value=codec.encode(load_one(node.chain, Epoch)), path=proof
    )
    assert fault_of(codec.encode(replace(bundle, objects=(*items, epoch))), text) == "bad_object"


def test_the_report_says_what_held_before_a_fault() -> None:
    """A wrong supply line: everything up to the state root is listed, and no figure."""
    _, data, text = small()
    bundle = read(data)
    spoiled = codec.encode(replace(bundle, supply=bundle.supply[1:]))
    report = Report()
    with pytest.raises(Refused) as caught:
        verify(report, spoiled, trust_of(text))
    assert caught.value.fault is Fault.BAD_SUPPLY
    assert [item.what for item in report.checks][-1] == "state root"
    assert report.rows == []


def test_the_same_state_gives_the_same_bytes() -> None:
    """Two nodes with the same blocks and certificates, and the structs written again."""
    _, data, _ = small()
    assert bundle_of(small_node()) == data
    assert codec.encode(read(data)) == data
    assert isinstance(read(data), ReserveBundle)
