"""Faults of this machine, as opposed to what others get wrong (`ledger.reasons`).

Apart from the database, so that rules which read a damaged record can say so and consensus, which
imports rules, still knows no storage.
"""

from __future__ import annotations


class StorageError(OSError):
    """This machine's storage failed or is not as it was left: the process stops."""


class InvariantBroken(AssertionError):
    """The rules contradict themselves. The text is the dump for whoever looks into it."""
