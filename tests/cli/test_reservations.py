"""Reservations of coins: they expire, survive the process, and exclude a second process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.wallet.reservations import RESERVATIONS_MAX, reservations

COIN, OTHER = (b"\x01" * 32, 0), (b"\x02" * 32, 7)


def test_a_reservation_lasts_until_it_is_removed_or_expires(marsa_home: Path) -> None:
    """Reserved, seen by the next one, released; and gone by itself at its time."""
    with reservations(now_ms=1_000) as held:
        held.add([COIN, OTHER], expires_ms=2_000)
    with reservations(now_ms=1_999) as held:
        assert COIN in held and OTHER in held
        held.remove([OTHER])
    with reservations(now_ms=1_999) as held:
        assert OTHER not in held
    with reservations(now_ms=2_000) as held:
        assert COIN not in held


def test_nothing_is_reserved_when_planning_fails(marsa_home: Path) -> None:
    """An error inside leaves the file as it was."""
    with pytest.raises(ZeroDivisionError), reservations(now_ms=1_000) as held:
        held.add([COIN], expires_ms=2_000)
        raise ZeroDivisionError
    with reservations(now_ms=1_000) as held:
        assert COIN not in held


@pytest.mark.parametrize("data", [b"", b"[]", b'{"x": 1}', b'{"zz:0": 1}', b'{"00:x": 5}', b"\xff"])
def test_a_damaged_file_counts_as_empty(marsa_home: Path, data: bytes) -> None:
    """It only saves a retry, so it never stops a payment."""
    with reservations(now_ms=1_000) as held:
        held.add([COIN], expires_ms=2_000)
    (marsa_home / "reservations.json").write_bytes(data)
    with reservations(now_ms=1_000) as held:
        assert COIN not in held
        held.add([COIN], expires_ms=2_000)
    with reservations(now_ms=1_000) as held:
        assert COIN in held


def test_there_is_a_limit(marsa_home: Path) -> None:
    """More than the limit is an error, not a file without end."""
    many = [(index.to_bytes(32, "big"), 0) for index in range(RESERVATIONS_MAX + 1)]
    with pytest.raises(CliError, match="too_many_reservations"), reservations(now_ms=0) as held:
        held.add(many, expires_ms=2_000)


def test_processes_take_turns(marsa_home: Path) -> None:
    """Eight processes count up in one reservation each; none overwrites another's."""
    code = """
import sys
from cli.wallet.reservations import reservations
with reservations(now_ms=0) as held:
    held.add([(bytes([int(sys.argv[1])]) * 32, len(held.expiry_by_outpoint))], expires_ms=9)
"""
    started = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(8)]
    assert [process.wait(timeout=60) for process in started] == [0] * 8
    with reservations(now_ms=0) as held:
        assert sorted(index for _, index in held.expiry_by_outpoint) == list(range(8))
