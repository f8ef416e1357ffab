"""Judging HELLO: each condition alone, in order, and bytes that are no handshake."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.codec import encode_payload
from ledger.reasons import Invalid
from p2p import wire
from p2p.frames import HEADER_BYTES
from p2p.handshake import (
    PROTOCOL_VERSION,
    SESSION_BYTES,
    Accepted,
    Hello,
    LocalNode,
    Refused,
    RefusedReason,
    Role,
    hello_frame,
    judge,
    read_refusal,
    refused_frame,
)
from p2p.licence_cert import LicenceCertificate

SESSION = b"\x04" * SESSION_BYTES
OWN_KEY, PEER_KEY = b"\x01" * 32, b"\x02" * 32
LOCAL = LocalNode(
    chain_id=b"\xaa" * 32,
    authority_key=b"\xbb" * 32,
    role=Role.VALIDATOR,
    licence_id="val0",
    link_key=OWN_KEY,
    session=b"\x03" * SESSION_BYTES,
)
HELLO = Hello(LOCAL.chain_id, PROTOCOL_VERSION, Role.VALIDATOR, "val1", 5, SESSION)
CERTIFICATE = LicenceCertificate("val1", PEER_KEY)


def admit(link_key: bytes) -> str | RefusedReason:
    assert link_key == PEER_KEY
    return "val1"


def outcome(
    hello: Hello, certificate: LicenceCertificate | None = CERTIFICATE
) -> Accepted | Refused:
    return judge(LOCAL, certificate, wire.HELLO, encode_payload(hello), admit)


def refused(reason: RefusedReason) -> Refused:
    return Refused(reason, by_peer=False)


def test_a_validator_is_accepted() -> None:
    """Right chain and version, its own certificate, admitted by the node."""
    expected = Accepted("val1", PEER_KEY, True, 5, SESSION, "val1")
    assert outcome(HELLO) == expected


def test_a_licence_that_the_chain_lacks_follows() -> None:
    """Signed by the authority, unknown to the node: a sync link that knows who is behind it."""
    verdict = judge(
        LOCAL,
        CERTIFICATE,
        wire.HELLO,
        encode_payload(HELLO),
        lambda _key: RefusedReason.LICENCE_UNKNOWN,
    )
    assert verdict == Accepted(None, PEER_KEY, False, 5, SESSION, "val1")


def test_an_observer_has_no_consensus_links() -> None:
    """It knows the validator that it dialled by name, and neither end sends it consensus."""
    local = LocalNode(
        chain_id=LOCAL.chain_id, authority_key=LOCAL.authority_key, role=Role.OBSERVER
    )
    verdict = judge(local, CERTIFICATE, wire.HELLO, encode_payload(HELLO), admit)
    assert verdict == Accepted("val1", PEER_KEY, False, 5, SESSION, "val1")


def test_an_observer_is_accepted_without_a_name() -> None:
    """No certificate, or one that it does not use: a sync link and no identity."""
    hello = msgspec.structs.replace(HELLO, role=Role.OBSERVER, licence_id="")
    expected = Accepted(None, b"", may_consensus=False, height=5, session=SESSION)
    assert outcome(hello, None) == outcome(hello) == expected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chain_id": bytes(32)}, RefusedReason.WRONG_CHAIN),
        ({"chain_id": bytes(32), "version": 2}, RefusedReason.WRONG_CHAIN),
        ({"version": 0}, RefusedReason.VERSION),
        ({"version": 2, "licence_id": "x"}, RefusedReason.VERSION),
        ({"licence_id": "val2"}, RefusedReason.LICENCE_UNKNOWN),
        ({"licence_id": ""}, RefusedReason.LICENCE_UNKNOWN),
    ],
)
def test_each_condition(change: dict[str, object], reason: RefusedReason) -> None:
    """One wrong field, one reason; the first wrong field in order decides."""
    assert outcome(msgspec.structs.replace(HELLO, **change)) == refused(reason)


def test_a_validator_needs_a_certificate() -> None:
    """The claim alone is worth nothing."""
    assert outcome(HELLO, None) == refused(RefusedReason.LICENCE_UNKNOWN)


def test_this_node_itself_is_a_duplicate() -> None:
    """A node that dials its own address does not link with itself."""
    own = LicenceCertificate("val0", OWN_KEY)
    hello = msgspec.structs.replace(HELLO, licence_id="val0")
    assert outcome(hello, own) == refused(RefusedReason.DUPLICATE)


def test_the_nodes_refusal_is_passed_on() -> None:
    """What `admit` says is what the other end hears."""
    reason = RefusedReason.LICENCE_INACTIVE
    verdict = judge(LOCAL, CERTIFICATE, wire.HELLO, encode_payload(HELLO), lambda _key: reason)
    assert verdict == refused(reason)


@pytest.mark.parametrize("reason", RefusedReason)
def test_a_refusal_is_understood(reason: RefusedReason) -> None:
    """Every reason survives the frame and is known to come from the other end."""
    payload = refused_frame(reason)[HEADER_BYTES:]
    assert read_refusal(payload) is reason
    assert judge(LOCAL, None, wire.REFUSED, payload, admit) == Refused(reason, by_peer=True)


def test_own_hello_is_read_back() -> None:
    """What this node sends is a HELLO of its own chain."""
    frame = hello_frame(LOCAL, 9)
    assert frame[4] == wire.HELLO
    verdict = judge(LOCAL, CERTIFICATE, wire.HELLO, frame[HEADER_BYTES:], admit)
    assert verdict == refused(RefusedReason.LICENCE_UNKNOWN)  # it names val0, not val1


@settings(deadline=None)
@given(st.sampled_from([wire.HELLO, wire.REFUSED, wire.PING, 99]), st.binary(max_size=120))
def test_garbage_is_invalid(number: int, payload: bytes) -> None:
    """Random payloads raise Invalid and nothing else."""
    with pytest.raises(Invalid):
        judge(LOCAL, CERTIFICATE, number, payload, admit)


def test_unknown_roles_and_spare_fields_are_invalid() -> None:
    """Closed types: a third role, a sixth field, a negative height."""
    fields = [LOCAL.chain_id, 1, "validator", "val1", 5]
    for changed in (
        [*fields[:2], "auditor", *fields[3:]],
        [*fields, 0],
        [*fields[:4], -1],
        [*fields[:3], "v" * 33, 5],
    ):
        with pytest.raises(Invalid):
            judge(LOCAL, CERTIFICATE, wire.HELLO, encode_payload(changed), admit)
