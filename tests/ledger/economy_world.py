"""A world in which hours, bonds and time are within reach of a test."""

from __future__ import annotations

import msgspec

from ledger.genesis import Genesis
from tests.ledger.world import COIN


def well_bonded(genesis: Genesis, coins: int = 2_000) -> Genesis:
    """The same with bonds for all that its hours allow to be minted."""
    bonds = tuple(msgspec.structs.replace(item, amount=coins * COIN) for item in genesis.bonds)
    return msgspec.structs.replace(genesis, bonds=bonds)
