"""What validators decide about themselves in a seed."""

from __future__ import annotations

from enum import StrEnum


class Turn(StrEnum):
    """What the validators decide."""

    ADMIT = "admit a new validator"
    REMOVE = "remove a validator"
    REMOVE_PRIMARY = "remove the primary"
    END = "end the epoch"
