"""HELLO: who both ends are and whether they belong together. No I/O.

After TLS the dialler sends HELLO. The listener judges it and answers with its own HELLO, which
accepts, or with REFUSED, which names why and ends the link. The dialler judges the answer the
same way and may still refuse. Nothing but these two messages is read before.

HELLO names the session: a number that each process draws for itself. A peer that meets two sessions
of one link key has met two processes, which no key must have.

The shape of HELLO never changes: a node must be able to read the version of any other in order to
refuse it by name. TLS has proved by now that the authority signed the peer's certificate and that
the peer holds its key; whether the licence counts is for the node to say (`admit`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from ledger.codec import Bytes32, UInt, Wire, decode_payload, encode_payload
from ledger.reasons import Invalid, Reason
from p2p.frames import encode_frame
from p2p.licence_cert import LicenceCertificate
from p2p.wire import HANDSHAKE_SIZES, HELLO, REFUSED

PROTOCOL_VERSION = 1
LICENCE_ID_MAX = 32
SESSION_BYTES = 16


class Role(StrEnum):
    """What a node claims to be. A validator has a licence certificate, an observer needs none."""

    VALIDATOR = "validator"
    OBSERVER = "observer"


class RefusedReason(StrEnum):
    """Why a link is refused: stable names, the same in the frame, the log and the metrics."""

    WRONG_CHAIN = "wrong_chain"
    VERSION = "version"
    LICENCE_UNKNOWN = "licence_unknown"
    LICENCE_INACTIVE = "licence_inactive"
    DUPLICATE = "duplicate"
    KEY_IN_USE = "key_in_use"
    """Another process with this link key is linked and alive."""
    FULL = "full"


class Hello(Wire, frozen=True):
    """The first message of either end."""

    chain_id: Bytes32
    version: UInt
    role: Role
    licence_id: Annotated[str, Meta(max_length=LICENCE_ID_MAX)]
    """Empty for an observer."""
    height: UInt
    session: Annotated[bytes, Meta(min_length=SESSION_BYTES, max_length=SESSION_BYTES)]


class Refusal(Wire, frozen=True):
    """The last message of a link that is not to be."""

    reason: RefusedReason


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNode:
    """Who this node is on its links."""

    chain_id: bytes
    authority_key: bytes
    role: Role
    licence_id: str = ""
    link_key: bytes = b""
    """Public key; empty for an observer."""
    session: bytes = field(default_factory=lambda: secrets.token_bytes(SESSION_BYTES))
    """Of this process, and of no other that ever was."""


Admit = Callable[[bytes], str | RefusedReason]
"""The node's answer for a link key: the licence that it belongs to, or why it is turned away."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The other end belongs to this chain and may stay."""

    identity: str | None
    """None: an observer, known by nothing but its link."""
    link_key: bytes
    """Empty where no certificate was shown."""
    may_consensus: bool
    height: int
    session: bytes
    licence_id: str = ""
    """What its certificate names; without `identity` a licence that this node's chain lacks."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The link must end; `by_peer` says who refused, `identity` whom, where a licence was shown."""

    reason: RefusedReason
    by_peer: bool
    identity: str = ""


def hello_frame(local: LocalNode, height: int) -> bytes:
    """The bytes of this node's HELLO."""
    hello = Hello(
        local.chain_id, PROTOCOL_VERSION, local.role, local.licence_id, height, local.session
    )
    return encode_frame(HELLO, encode_payload(hello))


def refused_frame(reason: RefusedReason) -> bytes:
    """The bytes of a REFUSED."""
    return encode_frame(REFUSED, encode_payload(Refusal(reason)))


def read_refusal(payload: bytes) -> RefusedReason:
    """The reason in a REFUSED; Invalid when it is none that this version knows."""
    return decode_payload(payload, Refusal, size_max=HANDSHAKE_SIZES[REFUSED]).reason


def judge(
    local: LocalNode,
    certificate: LicenceCertificate | None,
    number: int,
    payload: bytes,
    admit: Admit,
) -> Accepted | Refused:
    """The outcome of the other end's first message; Invalid when it is not a handshake at all.

    Accepted when, in this order: it is a HELLO of this chain and version; an observer, or a
    validator whose certificate names the licence that it claims; not this node itself; and the
    node admits the link key, or does not know it: then the other end is an observer for now. Links
    of an observer never carry consensus, at neither end.
    """
    if number == REFUSED:
        return Refused(read_refusal(payload), by_peer=True)
    if number != HELLO:
        raise Invalid(Reason.MALFORMED, f"message {number} before HELLO")
    hello = decode_payload(payload, Hello, size_max=HANDSHAKE_SIZES[HELLO])
    if hello.chain_id != local.chain_id:
        return Refused(RefusedReason.WRONG_CHAIN, by_peer=False)
    if hello.version != PROTOCOL_VERSION:
        return Refused(RefusedReason.VERSION, by_peer=False)
    if hello.role is Role.OBSERVER:
        return Accepted(None, b"", False, hello.height, hello.session)
    if certificate is None or certificate.licence_id != hello.licence_id:
        return Refused(RefusedReason.LICENCE_UNKNOWN, by_peer=False)
    if certificate.link_key == local.link_key:
        return Refused(RefusedReason.DUPLICATE, by_peer=False)
    answer: str | RefusedReason | None = admit(certificate.link_key)
    if answer is RefusedReason.LICENCE_UNKNOWN:  # signed by the authority, not yet on the chain
        answer = None
    if isinstance(answer, RefusedReason):
        return Refused(answer, by_peer=False)
    return Accepted(
        answer,
        certificate.link_key,
        local.role is Role.VALIDATOR and answer is not None,
        hello.height,
        hello.session,
        certificate.licence_id,
    )
