"""The choice of a Python by `.ci/python`, over planted interpreters on a planted PATH."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

SCRIPT = Path(__file__).parent.parent / ".ci" / "python"
BROKEN = ""
"""A shim that is on PATH and does not run."""


def choose(tmp_path: Path, *places: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script with one directory on PATH for each of `places`: version by name."""
    folders = []
    for number, versions in enumerate(places):
        folder = tmp_path / f"place{number}"
        folder.mkdir()
        folders.append(str(folder))
        for name, version in versions.items():
            answer = f"echo {version.replace('.', ' ')}" if version else "exit 127"
            (folder / name).write_text(f"#!/bin/sh\n{answer}\n")
            (folder / name).chmod(0o755)
    environment = {"PATH": os.pathsep.join(folders)}
    command = ["/bin/bash", str(SCRIPT)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("places", "chosen"),
    [
        ([{"python3.12": "3.12.9", "python3.11": "3.11.7"}], "place0/python3.12"),
        ([{"python3.12": BROKEN, "python3.11": "3.11.0"}], "place0/python3.11"),
        ([{"python3.12": BROKEN}, {"python3.12": "3.12.11"}], "place1/python3.12"),
        ([{"python3.12": "3.12.8", "python3": "3.13.2"}], "place0/python3"),
        ([{"python3.12": "3.12.0", "python3.11": "3.11.14"}], "place0/python3.11"),
        ([{"python3": "3.13.1"}, {"python3": "3.14.0"}], "place1/python3"),
    ],
)
def test_first_fit_python_is_chosen(
    tmp_path: Path, places: list[dict[str, str]], chosen: str
) -> None:
    """Broken shims and refused versions are passed over, name by name and place by place."""
    result = choose(tmp_path, *places)
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/{chosen}\n"), result.stderr


@pytest.mark.parametrize(
    ("version", "fault"),
    [
        ("3.10.13", "older than 3.11"),
        ("2.7.18", "older than 3.11"),
        ("3.12.0", "CVE-2024-12254"),
        ("3.12.8", "CVE-2024-12254"),
        ("3.13.0", "CVE-2024-12254"),
        ("3.13.1", "CVE-2024-12254"),
        (BROKEN, "does not run"),
    ],
)
def test_unfit_python_is_refused_by_name(tmp_path: Path, version: str, fault: str) -> None:
    """With nothing better on PATH the answer is a sentence with place, version and reason."""
    result = choose(tmp_path, {"python3": version})
    assert (result.returncode, result.stdout) == (1, "")
    assert fault in result.stderr
    assert f"{tmp_path}/place0/python3" in result.stderr
    assert version in result.stderr


@pytest.mark.parametrize("minor", range(9, 15))
def test_pip_refuses_the_same_versions(tmp_path: Path, minor: int) -> None:
    """What `.ci/python` does not take, `requires-python` excludes, and nothing else."""
    project = tomllib.loads((SCRIPT.parent.parent / "pyproject.toml").read_text())["project"]
    allowed = SpecifierSet(project["requires-python"])
    for patch in range(12):
        version = f"3.{minor}.{patch}"
        place = tmp_path / str(patch)
        place.mkdir()
        is_chosen = choose(place, {"python3": version}).returncode == 0
        assert is_chosen is (version in allowed), version


def test_no_python_at_all(tmp_path: Path) -> None:
    """An empty PATH is answered by what is needed."""
    result = choose(tmp_path, {})
    assert result.returncode == 1
    assert "3.11" in result.stderr
