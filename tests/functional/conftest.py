"""A fresh devnet directory for each test, and nothing left running after it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cluster import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A MARSA_HOME of its own; its devnet is started by the test."""
    home = Path(tempfile.mkdtemp(prefix="marsa-"))
    made = Cluster(home)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(home)
