"""What an agent sees of the chain before it decides: read over HTTP, all in one value."""

from __future__ import annotations

from dataclasses import dataclass

from cli.client import Client
from node.api import economy_schemas as schemas


@dataclass(frozen=True, slots=True)
class Seen:
    """As of one look. Times are of the ledger clock."""

    commitments: tuple[schemas.Commitment, ...]
    numbers: dict[str, dict[int, int]]
    """The next one in each lane in use of an issuer's operations key."""
    attestors: dict[str, schemas.Attestor]
    audits: schemas.Audits
    drawn: dict[tuple[int, str], schemas.Opening]
    """Openings that are not complete, with their devices."""
    attestation_life_ms: int

    @property
    def now_ms(self) -> int:
        return self.audits.ledger_time_ms

    @property
    def period_ms(self) -> int:
        return self.audits.period_ms


def look(client: Client, attestation_life_ms: int) -> Seen:
    """Ask one node; raises ClientError."""
    economy = client.economy
    audits = economy.audits()
    drawn = {}
    for item in audits.openings:
        found = economy.opening(item.period, item.issuer)
        if found.opened < len(found.drawn):
            drawn[item.period, item.issuer] = found
    return Seen(
        commitments=tuple(economy.all_commitments()),
        numbers={
            item.licence.id: {lane.lane: lane.next_number for lane in item.lanes}
            for item in economy.licences()
        },
        attestors={item.id: item for item in economy.attestors()},
        audits=audits,
        drawn=drawn,
        attestation_life_ms=attestation_life_ms,
    )
