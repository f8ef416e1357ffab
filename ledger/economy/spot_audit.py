"""Spot audits: which devices an issuer must open, drawn by nobody.

For a period attestors commit to nonces before it begins and reveal them when it is over. The seed
hashes what was revealed, so that neither issuer nor any single attestor chose it; who commits and
keeps silent gets a strike. Devices that are pledged once the first nonce may be known do not count
for that period. A device is drawn when its hash under the seed lies below a share that
makes the mean the wanted number: anyone can check one device without knowing the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.codec import Bytes32, Slug, UInt, Wire
from ledger.crypto import ZERO_HASH, tagged_hash
from ledger.economy.attestor import ATTESTORS_MAX
from ledger.reasons import Invalid, Reason

OPENED_MAX = 256
"""Devices in one operation."""

nonce_digest = tagged_hash("audit/nonce")
_seed_hash = tagged_hash("audit/seed")
_draw_hash = tagged_hash("audit/draw")


class Sealed(Wire, frozen=True):
    """One attestor's digest, and its nonce once revealed (32 zero bytes before)."""

    attestor: Slug
    digest: Bytes32
    nonce: Bytes32


class AuditRound(Wire, frozen=True):
    """The nonces of one period. Identity: the period's number, 8 bytes."""

    TYPE: ClassVar[int] = 48
    period: UInt
    sealed: Annotated[tuple[Sealed, ...], Meta(max_length=ATTESTORS_MAX)]

    @staticmethod
    def identity(period: int) -> bytes:
        return period.to_bytes(8, "big")


class Opening(Wire, frozen=True):
    """How many of the devices drawn for a period an issuer opened. Identity: period, issuer."""

    TYPE: ClassVar[int] = 49
    period: UInt
    issuer: Slug
    seed: Bytes32
    devices: UInt
    """Pledged before the draw could be known, to commitments that counted when it was made."""
    opened: UInt
    until_ms: UInt

    @staticmethod
    def identity(period: int, issuer: str) -> bytes:
        return AuditRound.identity(period) + issuer.encode("ascii")


def sealed(
    held: AuditRound | None, attestor: str, digest: bytes, *, period: int, now: int
) -> AuditRound:
    """The round with a digest; `now` is the present period. Raises Invalid(BAD_PERIOD)."""
    if period != now + 1:
        raise Invalid(Reason.BAD_PERIOD, f"nonces are sealed for period {now + 1}, not {period}")
    entries = {} if held is None else {item.attestor: item for item in held.sealed}
    if attestor in entries:
        raise Invalid(Reason.REPLAYED_OPERATION, f"'{attestor}' has sealed for period {period}")
    entries[attestor] = Sealed(attestor, digest, ZERO_HASH)
    return AuditRound(period, tuple([entries[name] for name in sorted(entries)]))


def revealed(
    held: AuditRound | None, attestor: str, nonce: bytes, *, period: int, now: int
) -> AuditRound:
    """The round with a nonce, in the period after it. Raises Invalid."""
    entries = {} if held is None else {item.attestor: item for item in held.sealed}
    item = entries.get(attestor)
    if period != now - 1:
        raise Invalid(Reason.BAD_PERIOD, f"nonces of period {now - 1} are revealed, not {period}")
    if held is None or item is None:
        raise Invalid(Reason.BAD_PERIOD, f"'{attestor}' sealed nothing for period {period}")
    if item.nonce != ZERO_HASH:
        raise Invalid(Reason.REPLAYED_OPERATION, f"'{attestor}' has revealed for {period}")
    if nonce == ZERO_HASH or nonce_digest(attestor.encode("ascii"), nonce) != item.digest:
        raise Invalid(Reason.BAD_NONCE, f"'{attestor}' sealed another nonce for period {period}")
    entries[attestor] = msgspec.structs.replace(item, nonce=nonce)
    return AuditRound(period, tuple([entries[name] for name in sorted(entries)]))


def seed_of(held: AuditRound) -> bytes:
    """What was revealed, hashed; zero where nobody revealed: then nothing is drawn."""
    nonces = [item.nonce for item in held.sealed if item.nonce != ZERO_HASH]
    return _seed_hash(*nonces) if nonces else ZERO_HASH


def silent(held: AuditRound) -> list[str]:
    """Who sealed and did not reveal."""
    return [item.attestor for item in held.sealed if item.nonce == ZERO_HASH]


def is_drawn(seed: bytes, device: bytes, *, devices: int, wanted: int) -> bool:
    """Whether a device is one of those to be opened; all are where there are so few."""
    if seed == ZERO_HASH:
        return False
    place = int.from_bytes(_draw_hash(seed, device)[:8], "big")
    return place * devices < wanted << 64


def opened(held: Opening | None, devices: Iterable[bytes], before: int, wanted: int) -> Opening:
    """The opening with further devices; `before` is how many were opened. Raises Invalid."""
    if held is None:
        raise Invalid(Reason.BAD_PERIOD, "nothing is drawn for this issuer and period")
    if before != held.opened:
        detail = f"{held.opened} are opened, the operation says {before}"
        raise Invalid(Reason.WRONG_VERSION, detail)
    chosen = list(devices)
    for device in chosen:
        if not is_drawn(held.seed, device, devices=held.devices, wanted=wanted):
            raise Invalid(Reason.NOT_DRAWN, f"device {device.hex()} is not drawn")
    return msgspec.structs.replace(held, opened=held.opened + len(chosen))
