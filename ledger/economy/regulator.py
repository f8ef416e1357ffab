"""The regulator: k of n keys, and who carries which operation of government.

A role key of a provider is worth one provider; these keys are worth all of them. So they change
only by regulator and validators together, and a change is public for a long time before it counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Annotated, ClassVar

from msgspec import Meta

from ledger.codec import Bytes32, UInt, Wire
from ledger.crypto import is_licensed_key
from ledger.economy.parameters import EconomyParameters
from ledger.reasons import Invalid, Reason

REGULATOR_KEYS_MAX = 16

Keys = Annotated[tuple[Bytes32, ...], Meta(min_length=1, max_length=REGULATOR_KEYS_MAX)]


class RegulatorKeys(Wire, frozen=True):
    """`needed` of `keys`, which stand in strictly ascending order."""

    needed: Annotated[int, Meta(ge=1, le=REGULATOR_KEYS_MAX)]
    keys: Keys


class RegulatorChange(Wire, frozen=True):
    """Keys that are announced and count after `after_ms`."""

    keys: RegulatorKeys
    after_ms: UInt


class Regulator(Wire, frozen=True):
    """The keys in force and those announced. One a state."""

    TYPE: ClassVar[int] = 44
    version: UInt
    keys: RegulatorKeys
    announced: Annotated[tuple[RegulatorChange, ...], Meta(max_length=1)]


def matured(held: Regulator, clock_ms: int) -> Regulator:
    """As of the clock."""
    if held.announced and clock_ms > held.announced[0].after_ms:
        return Regulator(held.version, held.announced[0].keys, ())
    return held


def deadline(held: Regulator) -> int | None:
    return held.announced[0].after_ms if held.announced else None


def announce(
    held: Regulator, keys: RegulatorKeys, clock_ms: int, parameters: EconomyParameters
) -> Regulator:
    """Other keys from a later day on; a second announcement replaces the first. Raises Invalid."""
    check_keys(keys)
    change = RegulatorChange(keys, clock_ms + parameters.regulator_rotation_ms)
    return Regulator(held.version + 1, held.keys, (change,))


def check_keys(keys: RegulatorKeys) -> None:
    """Usable, in strictly ascending order, at least as many as needed; raises Invalid(BAD_KEY)."""
    if keys.needed > len(keys.keys):
        raise Invalid(Reason.BAD_KEY, f"{keys.needed} of {len(keys.keys)} keys of the regulator")
    if any(a >= b for a, b in pairwise(keys.keys)):
        raise Invalid(Reason.BAD_KEY, "the regulator's keys are not in strictly ascending order")
    for key in keys.keys:
        if not is_licensed_key(key):
            raise Invalid(Reason.BAD_KEY, f"regulator: {key.hex()} is no usable public key")


class Carrier(Enum):
    """Who stands behind an operation of government."""

    VALIDATORS = "validators"
    REGULATOR = "regulator"
    BOTH = "validators and regulator"
    EITHER = "validators or regulator"


@dataclass(frozen=True, slots=True)
class Carriers:
    """Whose signatures the operations of one transaction had."""

    validators: bool
    regulator: bool


def check_approvals(
    approvals: Iterable[bytes],
    wanted: Iterable[Carrier],
    *,
    members: dict[bytes, str],
    quorum: int,
    regulator: RegulatorKeys,
) -> Carriers:
    """Exactly a quorum of the validators, by operations key, exactly as many of the regulator's
    keys as needed, or both, as the operations want; raises Invalid.

    `members` maps the operations keys of the present validators to their licences.
    """
    given = set(approvals)
    by_validators, by_regulator = given & members.keys(), given & set(regulator.keys)
    for key in sorted(given - by_validators - by_regulator):
        detail = f"{key.hex()} is no operations key of a validator and no key of the regulator"
        raise Invalid(Reason.WRONG_ROLE_KEY, detail)
    carriers = _carriers(set(wanted), bool(by_validators), bool(by_regulator))
    for found, needed, is_wanted, all_of_them, who in (
        (len(by_validators), quorum, carriers.validators, len(members), "validators"),
        (
            len(by_regulator),
            regulator.needed,
            carriers.regulator,
            len(regulator.keys),
            "keys of the regulator",
        ),
    ):
        exact = needed if is_wanted else 0
        if found != exact:
            detail = f"{found} of {all_of_them} {who} signed, exactly {exact} must"
            raise Invalid(Reason.NEEDS_QUORUM, detail)
    return carriers


def _carriers(wanted: set[Carrier], has_validators: bool, has_regulator: bool) -> Carriers:
    validators = bool(wanted & {Carrier.VALIDATORS, Carrier.BOTH})
    regulator = bool(wanted & {Carrier.REGULATOR, Carrier.BOTH})
    if Carrier.EITHER in wanted and not validators and not regulator:
        # Both would do no harm, but one transaction should have one form.
        return Carriers(has_validators or not has_regulator, has_regulator and not has_validators)
    return Carriers(validators, regulator)


def regulator_keys(held: Regulator) -> Iterator[bytes]:
    """Every key that is or will be the regulator's."""
    yield from held.keys.keys
    for change in held.announced:
        yield from change.keys.keys
