"""One row of the table of operations, and the words for who signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ledger.codec import Wire
from ledger.reasons import Reason

ANY = ("any",)
NONE = ("none",)
"""The object is made by the operation."""

HOLDER = "a holder, by what it spends"
VALIDATORS = "validators"
REGULATOR_OR_VALIDATORS = "validators or regulator"
BOTH = "validators and regulator"
OPERATIONS = "the issuer's operations key"
TREASURY = "the issuer's treasury key"
ATTESTOR = "the attestor"

States: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation."""

    operation: type[Wire]
    signer: str
    kind: str
    """The kind of object that it acts on."""
    states: States
    """In which it may; names as the API writes them."""
    leaves: str
    reasons: tuple[Reason, ...]

    @property
    def name(self) -> str:
        name: str = self.operation.name  # type: ignore[attr-defined]
        return name
