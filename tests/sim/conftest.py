"""What tests that drive a cluster by hand share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sim.remembered import remembered_decoding, remembered_hashes
from tests.sim.remembered_blocks import remembered_execution


@pytest.fixture
def remembering() -> Iterator[None]:
    """What was decoded, checked or executed for one node is not done again for the next, as where
    seeds run."""
    with remembered_hashes(), remembered_decoding(), remembered_execution():
        yield
