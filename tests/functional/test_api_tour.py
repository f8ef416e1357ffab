"""What docs/API.md shows, typed on one devnet in the order of the page: shell and Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functional.cluster import Cluster
from tests.functional.commands import MARSA

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the tour needs curl"),
]

DOCUMENT = Path(__file__).parents[2] / "docs" / "API.md"
BLOCK = re.compile(
    r"^(?:<!-- refused: (\w+) -->\n)?```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
NODE = "http://127.0.0.1:8640"
TYPED_S = 90


def shell_of(text: str) -> str:
    """One script of all shell examples but the first, which starts the devnet; each refusal must be
    the one that is announced, and nothing else may fail."""
    script = ["set -eu", f"NODE={NODE}"]
    blocks = [found for found in BLOCK.findall(text) if found[1] == "sh"]
    for refused, _, lines in blocks[1:]:
        if refused:
            script.append(f"! refused=$({lines.strip()}) && echo $refused | grep '{refused}'")
        else:
            script.append(lines)
    return "\n".join(script)


def python_of(text: str) -> list[str]:
    return [lines for _, language, lines in BLOCK.findall(text) if language == "python"]


def test_the_tour_as_it_stands(cluster: Cluster, tmp_path: Path) -> None:
    """curl ends badly on every status from 400 on; what the commands print is looked at where it
    says that they did something."""
    cluster.up("--detach")
    (tmp_path / ".curlrc").write_text("fail-with-body\n")
    path = f"{MARSA.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**cluster.environment, "CURL_HOME": str(tmp_path), "PATH": path}
    environment["MARSA_NODE"] = cluster.api(0)
    text = DOCUMENT.read_text()
    assert text.count(NODE) >= 3
    done = subprocess.run(
        ["sh", "-c", shell_of(text).replace(NODE, cluster.api(0))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=TYPED_S,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, (done.stdout[-2_000:], done.stderr)
    assert '"code":"not_found"' in done.stdout
    assert '"status":"known"' in done.stdout
    assert '"status":"final"' in done.stdout
    assert "event: transaction" in done.stdout
    assert (tmp_path / "today.reserve").stat().st_size > 0
    programs = python_of(text)
    assert len(programs) == 2
    for program in programs:
        ended = subprocess.run(
            [sys.executable, "-c", program.replace(NODE, cluster.api(0))],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TYPED_S,
        )
        assert ended.returncode == 0, ended.stderr
        assert "acme" in ended.stdout


def test_a_command_that_fails_fails_the_tour() -> None:
    """Planted pages: a wrong path, and a refusal that is another or none."""
    begin = "```sh\nstart\n```\n"

    def ends(page: str) -> int:
        return subprocess.run(["sh", "-c", shell_of(begin + page)], check=False).returncode

    assert ends("```sh\ntrue\n```\n") == 0
    assert ends("```sh\nfalse\ntrue\n```\n") != 0
    refused = "<!-- refused: not_found -->\n```sh\necho '{}'; exit 22\n```\n"
    assert ends(refused.format("not_found")) == 0
    assert ends(refused.format("busy")) != 0
    assert ends(refused.format("not_found").replace("exit 22", "exit 0")) != 0
