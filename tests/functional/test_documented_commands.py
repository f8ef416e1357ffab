"""What docs/ECONOMY.md shows for the command line, typed on one devnet in the order of the page."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.functional.cluster import Cluster

pytestmark = pytest.mark.functional

DOCUMENT = Path(__file__).parents[2] / "docs" / "ECONOMY.md"
BLOCK = re.compile(r"^(<!-- not run: [^\n]+ -->\n)?```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PUBLIC = re.compile(r"^public +([0-9a-f]{64})$", re.MULTILINE)
ORDER = re.compile(r"^order +([0-9a-f]{64})$", re.MULTILINE)
PANEL = re.compile(r"^panel +(.+)$", re.MULTILINE)
PANEL_NEEDED = 3


def lines_to_run(text: str) -> list[str]:
    """Of all blocks but those whose comment says why they are not run."""
    return [line for why, lines in BLOCK.findall(text) if not why for line in lines.splitlines()]


@dataclass
class Reader:
    """Types what stands there, and for capital words what was printed before."""

    cluster: Cluster
    public: str = ""
    order: str = ""
    panel: tuple[str, ...] = ()

    def type(self, line: str) -> None:
        """A line about NAME is typed once for each of the three of the panel who decide."""
        names = self.panel[:PANEL_NEEDED] if " NAME " in line else ("",)
        assert names, line
        for name in names:
            given = line.replace(" KEY", f" {self.public}").replace(" ORDER", f" {self.order}")
            words = shlex.split(given.replace("NAME", name))
            assert words.pop(0) == "marsa", line
            shown = self.cluster.marsa(*words).out
            self.public = ([self.public, *PUBLIC.findall(shown)])[-1]
            self.order = ([self.order, *ORDER.findall(shown)])[-1]
            for found in PANEL.findall(shown):
                self.panel = tuple(found.split(", "))


def test_the_commands_of_the_economy_do_what_the_page_says(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends well, the panel that was shown has dismissed the challenge, and the chain holds.
    There are no agents: one that attests in the very same moment takes the number of the word."""
    cluster.up("--no-issuers")
    monkeypatch.chdir(tmp_path)
    Path("order.pdf").write_text("by order of the court")
    lines, reader = lines_to_run(DOCUMENT.read_text()), Reader(cluster)
    for line in lines:
        reader.type(line)
    assert {line.split()[1] for line in lines} >= {
        "capacity",
        "coin",
        "compliance",
        "licence",
        "redeem",
    }
    shown = cluster.marsa("capacity", "show", "acme", "west", "--json").json
    assert (shown["commitment"]["state"], shown["challenge"]) == ("live", None)
    cluster.marsa("audit", "chain")


def test_blocks_that_are_not_run_say_why() -> None:
    """A planted page: a block behind the comment is left out, others are not."""
    page = "```sh\na\nb\n```\n\n<!-- not run: it takes hours -->\n```sh\nc\n```\n```text\nd\n```\n"
    assert lines_to_run(page + "<!-- other -->\n```sh\ne\n```\n") == ["a", "b", "e"]
