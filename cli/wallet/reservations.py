"""Coins that this machine has just spent, so that two quick payments do not pick the same one.

A reservation lasts until the transaction is final or refused, at the latest until it expires: from
then on it can never be included. The file is read, extended and written under one lock, held while
coins are chosen and never while the network is waited for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from cli.errors import CliError, ExitCode
from cli.home import home, locked, read_private, write_private

RESERVATIONS_MAX = 10_000
"""Expired ones leave first; beyond that the file would mean that something never releases."""

Outpoint = tuple[bytes, int]


@dataclass(slots=True)
class Reservations:
    """The reservations, while their lock is held."""

    expiry_by_outpoint: dict[Outpoint, int]

    def __contains__(self, outpoint: Outpoint) -> bool:
        return outpoint in self.expiry_by_outpoint

    def add(self, outpoints: Iterable[Outpoint], expires_ms: int) -> None:
        self.expiry_by_outpoint.update(dict.fromkeys(outpoints, expires_ms))
        if len(self.expiry_by_outpoint) > RESERVATIONS_MAX:
            raise CliError(
                "too_many_reservations",
                f"{RESERVATIONS_MAX} coins are reserved on this machine",
                hint="wait until the pending payments are final",
                exit_code=ExitCode.REJECTED,
            )

    def remove(self, outpoints: Iterable[Outpoint]) -> None:
        for outpoint in outpoints:
            self.expiry_by_outpoint.pop(outpoint, None)


@contextlib.contextmanager
def reservations(now_ms: int) -> Iterator[Reservations]:
    """Hold the lock; what is changed inside is written on leaving, unless an error leaves."""
    file = home() / "reservations.json"
    with locked(file):
        saved: dict[str, int] = {}
        if file.exists():
            saved = _decode(read_private(file))
        live = {_outpoint(name): until for name, until in saved.items() if until > now_ms}
        held = Reservations(dict(live))
        yield held
        if held.expiry_by_outpoint != live or len(live) != len(saved):
            names = {f"{txid.hex()}:{i}": t for (txid, i), t in held.expiry_by_outpoint.items()}
            write_private(file, msgspec.json.encode(names, order="sorted"), replace=True)


def _decode(data: bytes) -> dict[str, int]:
    """A damaged file is an empty one: it only ever saves a retry."""
    try:
        saved = msgspec.json.decode(data, type=dict[str, int])
        for name in saved:
            _outpoint(name)
    except (msgspec.DecodeError, ValueError):
        return {}
    return saved


def _outpoint(name: str) -> Outpoint:
    txid, _, index = name.partition(":")
    return bytes.fromhex(txid), int(index)
