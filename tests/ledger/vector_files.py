"""The golden vectors as tests read them, and who refuses what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ledger.reasons import Invalid
from tests.ledger import second_roots, second_rules, second_state
from tests.ledger.faults import judge
from tests.ledger.second_shape import Refused
from tests.ledger.world import World
from tests.vectors.generate import FOLDER

SIZE_MAX = 1 << 20


def table(name: str) -> Any:
    return json.loads((FOLDER / name).read_bytes())


def raw(value: str) -> bytes:
    return bytes.fromhex(value)


def reason_of_ours(world: World, data: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        judge(world, data)
    return caught.value.reason.value


def reason_of_second(world: World, state: second_roots.State, data: bytes) -> str:
    """What the second implementation says to a transaction in the block after `world`."""
    head, again = world.state.head, state.copy()
    height, time_ms = head.header.height + 1, head.header.time_ms + 1_000
    fees = state.get("Parameters")[:3]
    with pytest.raises(Refused) as caught:
        second_rules.check(data, state.chain_id, tuple(fees))
        second_state.start_block(again, height, time_ms, (head.hash, head.header.time_ms))
        second_state.add_transaction(again, data)
    return caught.value.code
