"""Bonds: what an issuer stands by with, in the coins of others.

A bond in one's own coin is worth nothing on the day it is needed, so none is taken. Coins count at
par, and for nothing while their own issuer is not active or in deficit; those of one issuer fill at
most half of what is required. Who is short mints nothing, and is suspended when it stays so: that
never touches holders.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import ClassVar

from ledger.amounts import format_amount
from ledger.codec import Amount, Bytes32, Slug, Wire
from ledger.parameters import PPM
from ledger.reasons import Invalid, Reason


class Bond(Wire, frozen=True):
    """What an issuer has put up in one asset. Identity: issuer, zero byte, asset."""

    TYPE: ClassVar[int] = 46
    issuer: Slug
    asset: Bytes32
    amount: Amount

    @staticmethod
    def prefix(issuer: str) -> bytes:
        return issuer.encode("ascii") + b"\0"

    @staticmethod
    def identity(issuer: str, asset: bytes) -> bytes:
        return Bond.prefix(issuer) + asset


def required(outstanding: int, bond_ppm: int) -> int:
    """ceil(beta O), in µ."""
    return -(-outstanding * bond_ppm // PPM)


def worth(bonds: Iterable[Bond], sound: Collection[bytes], needed: int) -> int:
    """What bonds count for against `needed`. `sound` are assets whose issuers are active and not
    in deficit."""
    half = -(-needed // 2)
    return sum(min(item.amount, half) for item in bonds if item.asset in sound)


def deposited(held: Bond | None, issuer: str, own: bytes, asset: bytes, amount: int) -> Bond:
    """More of one asset; raises Invalid(OWN_COIN)."""
    if asset == own:
        raise Invalid(Reason.OWN_COIN, f"a bond of '{issuer}' is made of other issuers' coins")
    return Bond(issuer, asset, amount + (held.amount if held else 0))


def withdrawn(held: Bond | None, issuer: str, asset: bytes, amount: int) -> Bond | None:
    """What is left of one asset, None where nothing is; raises Invalid(SHORT_BOND)."""
    there = held.amount if held else 0
    if amount > there:
        detail = f"{format_amount(amount)} of {asset.hex()}, the bond holds {format_amount(there)}"
        raise Invalid(Reason.SHORT_BOND, f"'{issuer}' takes {detail}")
    return Bond(issuer, asset, there - amount) if amount < there else None


def slash(bonds: Iterable[Bond], amount: int) -> list[tuple[Bond, int]]:
    """How much of each bond goes, pro rata and floored; what is missing goes unpaid."""
    ordered = sorted(bonds, key=lambda item: item.asset)
    total = sum(item.amount for item in ordered)
    due = min(amount, total)
    return [(item, item.amount * due // total) for item in ordered] if total else []
