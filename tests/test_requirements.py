"""What is installed is fixed by hash, and no file says where it comes from.

Where packages are fetched is the machine's own setting; a file that named an index would override
it, or betray an address.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")

# Spelled so that this file does not find itself.
INDEX = re.compile(
    r"pypi[.]org|python[h]osted|/simple/?(?=[\s\"']|$)"
    r"|--(?:extra-)?index-url|--trusted-[h]ost|--find-[l]inks"
    r"|\b(?:PIP|UV)_(?:EXTRA_)?(?:DEFAULT_)?INDEX",
    re.MULTILINE,
)


def pins(lock: str) -> dict[str, str]:
    """Version by name."""
    lines = (ROOT / lock).read_text("ascii").splitlines()
    return {match[1]: match[2] for line in lines if (match := PIN.match(line))}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_and_hashed(lock: str) -> None:
    """A lock holds nothing but exact versions, each with two hashes or more, and comments."""
    hashes = 0
    for line in reversed((ROOT / lock).read_text("ascii").splitlines()):
        if HASH.match(line):
            hashes += 1
        elif PIN.match(line):
            # One archive of the source and one wheel at least, or the same on two machines.
            assert hashes >= 2, line
            hashes = 0
        else:
            assert not line.strip() or line.lstrip().startswith("#"), line
    assert len(pins(lock)) > 10


def test_development_lock_holds_the_runtime_lock() -> None:
    """What is tested is what runs: the same versions of the same packages, and more."""
    runtime, development = (pins(lock) for lock in LOCKS)
    assert runtime.items() < development.items()


def test_locks_hold_what_the_project_names() -> None:
    """Each dependency in pyproject.toml is locked, for running and for development."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9._-]", item)[0].lower() for item in requirements}

    assert names(project["dependencies"]) <= pins("requirements.lock").keys()
    assert names(project["optional-dependencies"]["dev"]) <= pins("requirements-dev.lock").keys()


def test_no_file_names_a_package_index() -> None:
    """No file in git names an index, by address or by option; the locks hold no address at all."""
    command = ["git", "ls-files", "-z"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    faults = []
    for name in output.split("\0"):
        path = ROOT / name
        if name and path.is_file():
            text = path.read_bytes().decode("utf-8", "replace")
            faults += [f"{name}: {match[0]}" for match in INDEX.finditer(text)]
            if name in LOCKS and "://" in text:
                faults.append(f"{name}: an address")
    assert faults == []


@pytest.mark.parametrize(
    "text",
    [
        "https://" + "pypi" + ".org/",
        "https://mirror.example/root/" + "simple/",
        "--index" + "-url https://mirror.example",
        "pip install --extra-index" + "-url x",
        "PIP_" + "INDEX_URL=x",
        "UV_DEFAULT_" + "INDEX=x",
    ],
)
def test_index_is_found(text: str) -> None:
    """Planted addresses and options of an index are seen."""
    assert INDEX.search(text)
