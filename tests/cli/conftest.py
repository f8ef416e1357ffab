"""A fresh MARSA_HOME for each test, and quick keystores."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def marsa_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MARSA_HOME; nothing of the user's environment reaches a test."""
    home = tmp_path / "marsa-home"
    monkeypatch.setenv("MARSA_HOME", str(home))
    monkeypatch.delenv("MARSA_NODE", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return home
