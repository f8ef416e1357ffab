"""Golden scripts: what members say, word for word, when messages arrive in a given order.

A script is a text file of commands (`> `), each followed by what it caused, and comments (`#`).
`pytest tests/golden --update` writes what happens now into the scripts; the difference is then
read by a human before it is committed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.stage import ScriptError, Stage

FOLDER = Path(__file__).parent
SCRIPTS = sorted(FOLDER.glob("*.txt"))


def replay(text: str) -> str:
    """The same script with what its commands cause now."""
    stage = Stage()
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("> "):
            lines.append(line)
            lines.extend(f"  {caused}" for caused in stage.run(line[2:].partition("#")[0]))
        elif not line or line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script(script: Path, pytestconfig: pytest.Config) -> None:
    """Every command causes what the script says, no more, no less and in this order."""
    text = script.read_text("utf-8")
    found = replay(text)
    if pytestconfig.getoption("update", default=False):
        script.write_text(found, "utf-8")
    else:
        hint = "if the change is meant: pytest tests/golden --update, then read the difference"
        assert found.splitlines() == text.splitlines(), hint


def test_a_wrong_line_is_seen() -> None:
    """A script with one vote too many, and one with an unknown command, are not taken."""
    text = "> start 4\n> propose A\n  0 -> *  PRE-PREPARE v0 h1 A\n"
    assert replay(text) == text
    assert replay(text + "  1 -> *  PREPARE v0 h1 A\n") == text
    with pytest.raises(ScriptError, match="no command dance"):
        replay("> dance\n")


def test_all_situations_are_there() -> None:
    """The list of situations that a script must tell; a lost file is not a passed test."""
    assert {script.stem for script in SCRIPTS} == {
        "bad_new_view_entry",
        "bad_new_view",
        "claim_beside_header",
        "competing_certificates",
        "early_messages",
        "forged_parent",
        "late_joiner",
        "lost_commits_at_the_tip",
        "normal_case",
        "suspicion_fades",
        "view_change_prepared",
        "view_change_unprepared",
        "window_of_four",
    }
