"""What campaigns share: a state of one version of the code, which is never half written."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

PACKAGES = ("ledger", "consensus", "node", "p2p", "tests")
"""What a result may depend on: the modules in them that are loaded."""


def fingerprint(*more: Path) -> str:
    """Of the code that is loaded now, tests apart, and of `more` files: what a run needs is never
    imported later, inside of a function."""
    names = sorted(name for name in sys.modules if name.split(".")[0] in PACKAGES)
    files = (sys.modules[name].__file__ for name in names if ".test_" not in name)
    return fingerprint_of([*[Path(file) for file in files if file], *more])


def fingerprint_of(files: Iterable[Path]) -> str:
    """Of these files, in this order."""
    digest = sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def save(state: bytes, path: Path) -> None:
    """In place of what was there, as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_bytes(state)
    beside.replace(path)


def of_another_version(path: Path) -> str:
    """Why a campaign does not go on."""
    return f"{path} is of another version of the code: remove it or name another with --state"
