"""What the model of the economy is made of: plain values with the numbers that matter."""

from __future__ import annotations

from dataclasses import dataclass, field

PPM = 1_000_000
WEEK_MS = 7 * 86_400_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365 * 86_400_000
AMOUNT_MAX = 2**62 - 1

OPEN = ("queued", "requested", "accepted", "ready", "active", "closing", "disputed")
"""States of an order that has not ended."""
KEEPS = OPEN[1:]
"""Those in which it keeps hours."""

Place = tuple[str, str]
"""Issuer and commitment."""


@dataclass
class Times:
    """The parameters of the chain, as plain numbers."""

    period: int
    groups: int
    margin: int
    deliverability: int
    mint_cap: int
    bond: int
    deposit: int
    life: int
    lower: int
    proposal: int
    contest: int
    cure: int
    bond_cure: int
    application: int
    suspension: int
    rotation: int
    winddown: int
    order: int
    audit: int
    step: int
    spacing: int
    notice: int
    trigger: int
    accept: int
    closing: int
    penalty: int
    penalty_max: int
    forgive: int


@dataclass
class LicenceModel:
    issuer: bool
    expires: int
    keys: dict[str, str]
    title: str
    """The display name."""
    state: str = "active"
    since: int = 0
    cause: str = ""
    version: int = 0
    coming: dict[str, tuple[str, int]] = field(default_factory=dict)
    answers_from: int = 0
    """The first epoch that it can be accused of."""
    winding: int = 0
    """Since when, while evidence has it suspended instead."""


@dataclass
class Said:
    figure: int
    at: int
    until: int
    """Where the schedule ended that it was said of."""
    lower: int | None = None
    lower_at: int = 0


@dataclass
class CommitmentModel:
    line: tuple[str, str, str]
    workloads: tuple[str, ...]
    begin: int
    end: int
    hours: int
    state: str
    since: int
    born: int = 0
    version: int = 0
    devices: int = 0
    said: dict[str, Said] = field(default_factory=dict)
    served: dict[int, int] = field(default_factory=dict)
    """µh that were delivered in the last period with any."""


@dataclass
class CoinModel:
    supply: int = 0
    solvency: str = "healthy"
    since: int = 0
    minted: dict[int, int] = field(default_factory=dict)
    short: int = 0
    bond: dict[str, int] = field(default_factory=dict)
    reserve: int = 0
    deliverable: int = 0
    frozen: bool = False
    claims: int = 0
    """Of those whose coins were not covered."""
    share: tuple[int, int] = (0, 0)
    """What covers so many coins in this period; nothing to be shared where all are covered."""


@dataclass
class ChallengeModel:
    coin: str
    deposit: int
    penalty: int
    since: int
    panel: tuple[str, ...]
    votes: dict[str, bool] = field(default_factory=dict)
    decided: int = 0


@dataclass
class OpeningModel:
    """Devices of one issuer that are to be opened for one period."""

    seed: bytes
    devices: int
    opened: set[bytes] = field(default_factory=set)


@dataclass
class StepModel:
    """A standard that is to come."""

    units: dict[str, int]
    factors: dict[tuple[str, str], int]
    since: int
    ends: int
    state: str = "noticed"
    """Or a draft."""


@dataclass
class OrderModel:
    targets: tuple[str, ...]
    until: int
    version: int = 1


@dataclass
class Ask:
    """One order."""

    place: Place
    work: str
    amount: int
    session: str
    refund: str
    factor: int
    units: int
    start: int
    end: int
    queue: int
    state: str
    since: int
    burned: int = 0
    claimed: int = 0
    paid: bool = False
    number: int = 0
    used: int = 0
    turn: int = 0
    """Its place in the queue."""

    @property
    def left(self) -> int:
        return self.amount - self.burned - self.claimed

    @property
    def hours(self) -> int:
        """For the whole of it."""
        return (self.amount * PPM + self.factor - 1) // self.factor

    @property
    def kept(self) -> int:
        return self.hours - self.burned * PPM // self.factor if self.state in KEEPS else 0


@dataclass
class Quarrel:
    """A dispute."""

    by_issuer: bool
    claimed: int
    coin: str
    deposit: int
    since: int
    panel: tuple[str, ...]
    votes: dict[str, bool] = field(default_factory=dict)
    decided: int = 0


@dataclass
class Conduct:
    strikes: int
    period: int
    since: int
    day: int
    most: int
    paid: int
