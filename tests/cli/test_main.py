"""The command line as a whole: help, globals in any position, one shape of errors, exit codes."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from cli.base import Group
from cli.errors import ExitCode
from cli.main import marsa as root
from tests.cli.command_tree import all_commands
from tests.cli.conftest import Marsa

HEAVY = ("aiohttp", "rich", "cryptography", "nacl", "mnemonic", "prometheus_client", "plyvel")
UNUSED_NODE = "http://127.0.0.1:9"  # the discard port: nothing listens


COMMANDS = list(all_commands())


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(p) for p, _ in COMMANDS])
def test_every_help_begins_with_two_examples(
    marsa: Marsa, path: tuple[str, ...], command: click.Command
) -> None:
    """-h prints usage, then two commands to copy, each `marsa` or a shell's use of it."""
    shown = marsa(*path, "-h")
    assert shown.code == 0
    lines = shown.out.splitlines()
    assert lines[0].startswith(f"Usage: marsa {' '.join(path)}")
    assert all(re.match(r' +\$ (eval "\$\()?marsa ', line) for line in lines[2:4])
    assert command.get_short_help_str()


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(p) for p, _ in COMMANDS])
def test_every_command_takes_the_globals(path: tuple[str, ...], command: click.Command) -> None:
    """--node, --json, -q, -v, --no-color, --yes, --timeout, --version exist at every level."""
    options = {name for param in command.params for name in param.opts}
    assert {
        "--node",
        "--json",
        "-q",
        "-v",
        "--no-color",
        "--yes",
        "--timeout",
        "--version",
    } <= options


def test_names_of_examples_exist() -> None:
    """A command shown as an example is one of the table, so that copying it works."""
    names = {path for path, _ in COMMANDS}
    for _, command in COMMANDS:
        for line in (command.help or "").splitlines():
            if line.strip().startswith("$ marsa "):
                words = line.split()[2:]
                assert tuple(words[:2]) in names or tuple(words[:1]) in names, line


def test_help_imports_nothing_heavy() -> None:
    """`--help` of every command, in a fresh interpreter for all: none of the libraries that cost
    time is loaded, or the first command that loads some is named with them."""
    code = f"""
import sys
from cli.main import run
for path in {[list(path) for path in [(), *(path for path, _ in COMMANDS)]]}:
    assert run([*path, "--help"]) == 0
    if loaded := [name for name in {HEAVY!r} if name in sys.modules]:
        sys.exit(f"{{path}} loads {{loaded}}")
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.count("Usage: marsa ") == len(COMMANDS) + 1


def test_optimised_python_is_refused() -> None:
    """Under python -O invariants would vanish: a sentence and exit code 2."""
    shown = subprocess.run(
        [sys.executable, "-O", "-m", "cli.main", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == ExitCode.USAGE
    assert "error[optimised]" in shown.stderr


@pytest.mark.parametrize("at", range(4))
def test_json_works_in_any_position(marsa: Marsa, at: int) -> None:
    """--json before the group, between, after the command and at the end."""
    words = ["wallet", "list", "--network=main"]
    words.insert(at, "--json")
    shown = marsa(*words)
    assert shown.code == 0
    assert shown.json == {"schema": "marsa.wallet.list/1", "wallets": []}


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["tx", "nonsense"],
        ["tx", "send", "bob"],
        ["tx", "send", "bob", "5"],
        ["tx", "show"],
        ["wallet", "list", "--nonsense"],
        ["wallet", "list", "--timeout", "soon"],
        ["tx", "send", "bob", "1e3", "--from", "alice"],
        ["tx", "send", "bob", "１２３", "--from", "alice"],
        ["tx", "wait", "abc"],
        ["query", "outpoint", "abc"],
    ],
)
def test_usage_errors_have_one_shape(marsa: Marsa, words: list[str]) -> None:
    """Exit 2; for people `error[code]: …` on stderr, with --json one object on stdout."""
    shown = marsa(*words, "--node", UNUSED_NODE)
    assert (shown.code, shown.out) == (ExitCode.USAGE, "")
    assert shown.err.startswith("error[")
    assert "\nhint: " in shown.err
    assert "Traceback" not in shown.err
    as_json = marsa(*words, "--node", UNUSED_NODE, "--json")
    assert as_json.code == ExitCode.USAGE
    assert as_json.json["schema"] == "marsa.error/1"
    assert set(as_json.json["error"]) == {"code", "message", "hint", "details"}
    assert f"error[{as_json.json['error']['code']}]" in shown.err


def test_unreachable_node_is_exit_3_with_the_next_command(marsa: Marsa) -> None:
    """Nobody listens: what was tried, and what to type."""
    shown = marsa("query", "params", "--node", UNUSED_NODE)
    assert shown.code == ExitCode.UNREACHABLE
    assert UNUSED_NODE in shown.err
    assert "hint: " in shown.err and "marsa devnet up" in shown.err


def test_node_comes_from_the_environment_below_the_flag(
    marsa: Marsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MARSA_NODE is used without --node, and not with it."""
    monkeypatch.setenv("MARSA_NODE", "http://127.0.0.1:7")
    assert ":7" in marsa("query", "params").err
    assert ":9" in marsa("query", "params", "--node", UNUSED_NODE).err


def test_timeout_comes_from_the_environment_below_the_flag(
    marsa: Marsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MARSA_TIMEOUT is used without --timeout, and not with it; what is no duration is refused."""
    monkeypatch.setenv("MARSA_TIMEOUT", "soon")
    refused = marsa("query", "params", "--node", UNUSED_NODE, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (ExitCode.USAGE, "bad_duration")
    given = marsa("query", "params", "--node", UNUSED_NODE, "--timeout", "1s")
    assert given.code == ExitCode.UNREACHABLE


def test_traceback_only_with_vv(marsa: Marsa) -> None:
    """-vv shows where an error came from; without it there is the sentence alone."""
    words = ["wallet", "show", "nobody"]
    assert "Traceback" not in marsa(*words).err
    assert "Traceback" in marsa(*words, "-vv").err
    assert marsa(*words).code == ExitCode.NOT_FOUND


def test_own_faults_are_a_sentence_and_exit_1() -> None:
    """An unexpected exception ends with error[internal], as JSON too, without a traceback; what
    tasks wrapped it in does not hide it."""
    code = """
import sys
from cli import main, query
def broken():
    try:
        1 // 0
    except ZeroDivisionError as error:
        raise ExceptionGroup("of a task", [ExceptionGroup("of another", [error])])
query.params.callback = broken
sys.argv = ["marsa", "query", "params", *sys.argv[1:]]
main.main()
"""
    for flag, stream in (("-q", "stderr"), ("--json", "stdout")):
        shown = subprocess.run(
            [sys.executable, "-c", code, flag], capture_output=True, text=True, timeout=60
        )
        assert shown.returncode == ExitCode.INTERNAL
        assert "internal" in getattr(shown, stream)
        assert "ZeroDivisionError" in getattr(shown, stream)
        assert "Traceback" not in shown.stderr


def test_ctrl_c_is_exit_130(marsa: Marsa, monkeypatch: pytest.MonkeyPatch) -> None:
    """KeyboardInterrupt in a command: one line, exit 130."""
    from cli.wallet import store

    def interrupt() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "names", interrupt)
    shown = marsa("wallet", "list")
    assert shown.code == ExitCode.INTERRUPTED
    assert "error[interrupted]" in shown.err


@pytest.mark.parametrize("path", [(), ("tx",), ("devnet",)])
def test_group_alone_asks_for_a_command(marsa: Marsa, path: tuple[str, ...]) -> None:
    """A group without a command: one sentence and where help is, not the help as an error."""
    shown = marsa(*path)
    name = " ".join(("marsa", *path))
    assert shown.code == ExitCode.USAGE
    assert shown.err == f"error[usage]: '{name}' needs a command\nhint: {name} --help\n"


def test_version_anywhere(marsa: Marsa) -> None:
    """--version at the root and after a command."""
    assert marsa("--version").out == marsa("tx", "show", "--version").out
    assert marsa("--version").out.startswith("marsa 0.")


def test_later_commands_are_absent(marsa: Marsa) -> None:
    """What is not built is not in --help."""
    for group, names in (("tx", {"swap"}), ("bench", {"soak"})):
        assert not names & {path[1] for path, _ in COMMANDS if path[0] == group and len(path) > 1}
    assert isinstance(root, Group)
    assert "dividend" not in marsa("--help").out


NUMBER_OPTIONS = [
    (path, param)
    for path, command in all_commands()
    for param in command.params
    if isinstance(param.type, click.types.IntParamType)
    and not (isinstance(param, click.Option) and param.count)
]


NO_NUMBERS = ("+5", "1_0", "５", "٥", " 5", "5e0", "-5")


@pytest.mark.parametrize(
    ("path", "param"), NUMBER_OPTIONS, ids=[f"{' '.join(p)} {o.opts[0]}" for p, o in NUMBER_OPTIONS]
)
def test_numbers_are_ascii_digits(path: tuple[str, ...], param: click.Parameter) -> None:
    """Every option that takes a number, of every command: what Python's int would take as well is
    a usage error with the value in it."""
    for text in NO_NUMBERS:
        with pytest.raises(click.BadParameter, match=re.escape(repr(text))):
            param.type.convert(text, param, None)


def test_a_number_with_a_sign_is_a_usage_error(marsa: Marsa) -> None:
    """At the command line: exit 2 and what to write instead."""
    shown = marsa("wallet", "history", "alice", "--limit", "+5")
    assert shown.code == ExitCode.USAGE
    assert "'+5' is not a number: write it in digits 0-9" in shown.err
