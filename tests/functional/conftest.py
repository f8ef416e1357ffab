"""Devnet directories, and nothing left running after the tests that had them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cluster import Cluster


@contextmanager
def fresh() -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="marsa-"))
    made = Cluster(home)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(home)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A MARSA_HOME of its own; its devnet is started by the test."""
    with fresh() as made:
        yield made


@pytest.fixture(scope="module")
def lasting() -> Iterator[Cluster]:
    """One for several tests of a file, each of which leaves every node running and voting."""
    with fresh() as made:
        yield made


@pytest.fixture(scope="module")
def made(lasting: Cluster) -> Any:
    """What `devnet up` said of it."""
    return lasting.up()
