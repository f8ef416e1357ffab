"""An error code has one exit code, whichever command meets it, and docs/COMMANDS.md lists both."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cli.client import ApiProblem
from cli.errors import CliError, ExitCode
from cli.node_errors import EXIT_CODES, node_errors_mapped
from cli.nodes import problem_error
from ledger.reasons import Reason
from node.errors import NodeError

ROOT = Path(__file__).parents[2]
REASONS = {reason.value for reason in Reason}
MADE_BY = {
    "CliError": ExitCode.INTERNAL,
    "usage_error": ExitCode.USAGE,
    "not_found": ExitCode.NOT_FOUND,
}
"""What makes an error, with the exit code where none is given."""
FROM_ELSEWHERE = {
    ("cli/audit_bundle.py", "fault.fault.value"),
    ("cli/audit.py", "fault.code"),
    ("cli/devnet/members.py", "code"),
    ("cli/errors.py", "code"),
    ("cli/evidence.py", "error.reason.value"),
    ("cli/genesis.py", "error.reason.value"),
    ("cli/main.py", "error.reason.value"),
    ("cli/node_errors.py", "error.code"),
    ("cli/node_setup.py", "problem.code"),
    ("cli/nodes.py", "problem.code"),
    ("cli/payments.py", "found.code or 'rejected'"),
    ("cli/proofs.py", "code"),
    ("cli/standard.py", "found.code"),
    ("cli/redeem_ask.py", "found.code"),
    ("cli/tx_file.py", "error.reason.value"),
    ("cli/tx_file.py", "reason.value"),
}
"""Where a code is not written out: what a node said, a reason of the ledger, a helper."""
NAMED_OTHERWISE = {
    "bad_proof": ExitCode.CHECK_FAILED,
    "rejected": ExitCode.REJECTED,
    "unexpected_answer": ExitCode.REJECTED,
}
"""Of those, codes of the commands' own."""
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \|([^|]*)\|$", re.MULTILINE)


@cache
def calls() -> tuple[tuple[str, str, ast.Call], ...]:
    """(file, name, call) of everything that makes an error."""
    return tuple(_calls())


def _calls() -> Iterator[tuple[str, str, ast.Call]]:
    for folder in ("cli", "node"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for item in ast.walk(ast.parse(path.read_text())):
                if isinstance(item, ast.Call) and isinstance(item.func, ast.Name) and item.args:
                    is_node = item.func.id == "NodeError"
                    if is_node or (folder == "cli" and item.func.id in MADE_BY):
                        yield path.relative_to(ROOT).as_posix(), item.func.id, item


def code_of(argument: ast.expr) -> str | None:
    """The code, where it is written out."""
    if isinstance(argument, ast.Constant):
        return str(argument.value)
    named = re.fullmatch(r"Reason\.([A-Z_]+)\.value", ast.unparse(argument))
    return Reason[named[1]].value if named else None


def exit_code_of(name: str, code: str, call: ast.Call) -> ExitCode:
    if name == "NodeError":
        return EXIT_CODES.get(code, ExitCode.CHECK_FAILED)
    given = [item.value for item in call.keywords if item.arg == "exit_code"]
    if not given:
        return MADE_BY[name]
    return ExitCode[ast.unparse(given[0]).removeprefix("ExitCode.")]


def found() -> dict[str, set[ExitCode]]:
    """The exit codes of every code that is written out."""
    codes: dict[str, set[ExitCode]] = defaultdict(set)
    for _, name, call in calls():
        code = code_of(call.args[0])
        if code is not None:
            codes[code].add(exit_code_of(name, code, call))
    return codes


def test_one_code_has_one_exit_code() -> None:
    """A script that knows one knows the other."""
    assert {code: exits for code, exits in found().items() if len(exits) != 1} == {}


def test_codes_that_come_from_elsewhere_are_few() -> None:
    """A new place is looked at: is its exit code that of the rules in COMMANDS.md?"""
    dynamic = {
        (path, ast.unparse(call.args[0]))
        for path, _, call in calls()
        if code_of(call.args[0]) is None
    }
    assert dynamic == FROM_ELSEWHERE


def test_the_table_is_the_code() -> None:
    """Every code of our own stands in the row of its exit code; reasons of the ledger in none."""
    rows = ROW.findall((ROOT / "docs" / "COMMANDS.md").read_text())
    assert [int(number) for number, _, _ in rows] == list(ExitCode)
    listed = {
        code: int(number) for number, _, codes in rows for code in re.findall(r"`(\w+)`", codes)
    }
    expected = {code: max(exits) for code, exits in found().items() if code not in REASONS}
    assert listed == expected | NAMED_OTHERWISE


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "not_found", ExitCode.NOT_FOUND),
        (410, "pruned", ExitCode.NOT_FOUND),
        (422, "bad_signature", ExitCode.REJECTED),
        (429, "mempool_full", ExitCode.REJECTED),
        (503, "low_disk_space", ExitCode.REJECTED),
        (503, "deadline", ExitCode.TIMEOUT),
    ],
)
def test_what_a_node_says(status: int, code: str, expected: ExitCode) -> None:
    """Nothing of that name, no answer in time, or no."""
    assert problem_error(ApiProblem(status, code, "detail", "")).exit_code is expected


def test_what_a_node_finds_in_its_directory() -> None:
    """One code ends every command alike."""
    for code, expected in (("no_node", ExitCode.NOT_FOUND), ("disk_full", ExitCode.CHECK_FAILED)):
        with pytest.raises(CliError) as caught, node_errors_mapped():
            raise NodeError(code, "a sentence")
        assert caught.value.exit_code is expected
