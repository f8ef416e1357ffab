"""What the API answers about epochs and licences; conventions as in `node.api.schemas`."""

from __future__ import annotations

from node.api.forms import Count, Hex32
from node.api.schemas import Answer, Certificate, Header


class LicenceKeys(Answer, frozen=True, kw_only=True):
    """The public key of each role."""

    operations: Hex32
    treasury: Hex32
    metering: Hex32
    consensus: Hex32
    link: Hex32


class Licence(Answer, frozen=True, kw_only=True):
    """A licence after the last block. `version` is what the next operation on it must name."""

    id: str
    name: str
    jurisdiction: str
    state: str
    """`applied`, `active`, `accused` (until the epoch ends), `suspended`, `winddown` (it expired,
    or its holder stops), `closed` or `revoked`."""
    seat: str
    """`none`, `waiting` (for its node), `ready`, `seated` or `leaving`."""
    seat_height: Count
    """Of the block in which `seat` last changed; the oldest wish is served first."""
    version: Count
    validator: bool
    issuer: bool
    expires_ms: Count
    expires: str
    document_hash: Hex32
    certificate_hash: Hex32
    keys: LicenceKeys


class EpochMember(Answer, frozen=True, kw_only=True):
    """A validator of the epoch. Its operations key approves operations of the validators."""

    index: Count
    licence: str
    name: str
    key: Hex32
    operations_key: Hex32


class NextRegulator(Answer, frozen=True, kw_only=True):
    """Keys that are announced, and count after `after_ms` of the ledger clock."""

    needed: Count
    keys: list[Hex32]
    after_ms: Count
    after: str


class Regulator(Answer, frozen=True, kw_only=True):
    """`needed` of `keys` stand behind what the regulator carries. `version` is what the next
    rotation must name; `announced` is null where none is on its way."""

    version: Count
    needed: Count
    keys: list[Hex32]
    announced: NextRegulator | None


class Epoch(Answer, frozen=True, kw_only=True):
    """The epoch of the next block, and every licence, all after the block at `height`.

    It ends with the first block that is at `last_height_min` or higher and whose header time is
    `last_time_ms_min` or later, or with the block that ends it early.
    """

    height: Count
    number: Count
    base_height: Count
    base_hash: Hex32
    """Zero until the epoch's first block: no block's state can hold its own hash."""
    base_ms: Count
    last_height_min: Count
    last_time_ms_min: Count
    last_time_min: str
    validators_hash: Hex32
    n: Count
    f: Count
    quorum: Count
    members: list[EpochMember]
    regulator: Regulator
    licences: list[Licence]
    """By id; at most `ledger.membership.LICENCES_EVER_MAX`, so all of them."""


class SetMember(Answer, frozen=True, kw_only=True):
    """A member as the hash of a set covers it."""

    key: Hex32
    licence: str


class EpochSet(Answer, frozen=True, kw_only=True):
    """Who votes in one epoch. `hash` covers the number of the epoch and the members in their
    order."""

    epoch: Count
    hash: Hex32
    members: list[SetMember]


class SetChange(Answer, frozen=True, kw_only=True):
    """The last block of an epoch whose members are not those of the next.

    `members` are those of the next epoch, in the order of their index: with its number they hash to
    the header's `next_validators_hash`. Between two changes the members stay, and only the number
    of the epoch grows.
    """

    header: Header
    certificate: Certificate
    members: list[SetMember]


class SetChanges(Answer, frozen=True, kw_only=True):
    """All changes at the ends of the epochs from the one that was asked for to `next_epoch`."""

    items: list[SetChange]
    next_epoch: Count | None
    """Where to go on; null when these are all there are."""
