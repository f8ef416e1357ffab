"""The documents are true where a machine can tell: links lead somewhere, commands exist.

Only files that git knows count, as reader and as target: what is on one disk alone is not there
for the next reader.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from posixpath import normpath

import click
import pytest

from cli.main import marsa

ROOT = Path(__file__).parent.parent
SHELL_FENCES = ("", "sh", "bash", "console")
FENCE = re.compile(r"^ *(```+|~~~+) *(\w*)")
CODE_SPAN = re.compile(r"(`+)(.+?)\1")
LINK = re.compile(r"\[[^\]]*\]\(\s*([^)\s]+)[^)]*\)")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
INVOCATION = re.compile(r"^(?:\$ )?(?:[A-Z_]+=\S* )*(?:\.venv/bin/)?marsa( .*|)$")
PLACEHOLDER = re.compile(r"[A-Z]+|…|\.\.\.|<.*>")


@cache
def files_in_git() -> frozenset[str]:
    command = ["git", "ls-files", "-z"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return frozenset(name for name in output.split("\0") if name)


def documents() -> list[str]:
    return sorted(name for name in files_in_git() if name.endswith(".md"))


def split_fences(text: str) -> tuple[str, str]:
    """A document's prose, and the lines of its shell examples."""
    prose, shell = [], []
    mark = language = ""
    for line in text.splitlines():
        fence = FENCE.match(line)
        if fence and not mark:
            mark, language = fence[1], fence[2]
        elif fence and fence[1].startswith(mark) and not fence[2]:
            mark = ""
        elif not mark:
            prose.append(line)
        elif language in SHELL_FENCES:
            shell.append(line)
    return "\n".join(prose), "\n".join(shell)


def anchors(text: str) -> set[str]:
    """The anchors that a forge makes of a document's headings; repeated ones are numbered."""
    found: Counter[str] = Counter()
    result = set()
    for line in split_fences(text)[0].splitlines():
        heading = HEADING.match(line)
        if heading:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            result.add(f"{slug}-{found[slug]}" if found[slug] else slug)
            found[slug] += 1
    return result


def dead_links(name: str, text: str, known: frozenset[str]) -> Iterator[str]:
    """Relative links of a document that lead to no file or heading that git knows."""
    folders = {str(parent) for item in known for parent in PurePosixPath(item).parents}
    for target in LINK.findall(CODE_SPAN.sub("", split_fences(text)[0])):
        if ELSEWHERE.match(target):
            continue
        path, _, anchor = target.partition("#")
        file = normpath(PurePosixPath(name).parent / path) if path else name
        if file not in known and file not in folders:
            yield f"{name}: {target} leads to no file"
        elif anchor and anchor not in anchors(text if file == name else read(file)):
            yield f"{name}: {target} leads to no heading"


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def invocations(text: str) -> Iterator[str]:
    """What follows `marsa` wherever a document shows it as code."""
    prose, shell = split_fences(text)
    spans = [re.sub(r"\s+", " ", span) for _, span in CODE_SPAN.findall(prose)]
    for line in [*spans, *shell.splitlines()]:
        for part in re.split(r"&&|;| \| | > ", line):
            match = INVOCATION.match(part.strip())
            if match:
                yield match[1].strip()


def words_of(line: str) -> list[str]:
    """The words of a shell line; the brackets of a synopsis mean nothing here."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # an apostrophe in a comment
        words = line.split()
    return [word.strip("[]") for word in words]


def unknown_word(line: str, command: click.Command) -> str | None:
    """The first word of an invocation that is neither a command nor one of its options."""
    context = click.Context(command)
    options = {"-h": True, "--help": True}
    options.update(flags_of(command))
    words = iter(words_of(line))
    for word in words:
        if word.startswith("-"):
            name = word.partition("=")[0]
            if name not in options and not re.fullmatch(r"-v+", name):
                return word
            if not options.get(name, True) and "=" not in word:
                next(words, None)
        elif isinstance(command, click.Group):
            if PLACEHOLDER.fullmatch(word):
                return None
            found = [command.get_command(context, name) for name in word.split("|")]
            if None in found:
                return word
            if len(found) > 1:
                return None
            assert found[0] is not None
            command = found[0]
            options.update(flags_of(command))
    return None


def missing_option(line: str, command: click.Command) -> str | None:
    """A required option that an invocation lacks which says more than the names of a command and an
    option."""
    context, words = click.Context(command), words_of(line)
    while words and isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        if found is None:
            return None
        command = found
    if isinstance(command, click.Group) or all(word.startswith("-") for word in words):
        return None
    given = {word.partition("=")[0] for word in words}
    for option in command.params:
        if isinstance(option, click.Option) and option.required and not given & {*option.opts}:
            return option.opts[0]
    return None


def flags_of(command: click.Command) -> dict[str, bool]:
    """Each option of a command, and whether it takes no value."""
    return {
        name: option.is_flag or option.count
        for option in command.params
        if isinstance(option, click.Option)
        for name in (*option.opts, *option.secondary_opts)
    }


def test_links_lead_somewhere() -> None:
    """Every relative link in every document names a file in git and a heading in it."""
    assert documents()
    dead = [fault for name in documents() for fault in dead_links(name, read(name), files_in_git())]
    assert dead == []


def test_commands_exist() -> None:
    """Every `marsa` command and option that a document shows is there."""
    faults = [
        f"{name}: marsa {line}: {word}"
        for name in documents()
        for line in invocations(read(name))
        if (word := unknown_word(line, marsa)) is not None
    ]
    assert faults == []


def test_commands_have_what_they_need() -> None:
    """Whoever copies an example is not told that an option is missing."""
    faults = [
        f"{name}: marsa {line}: {option}"
        for name in documents()
        for line in invocations(read(name))
        if (option := missing_option(line, marsa)) is not None
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        ("[a](b.md)", []),
        ("[a](./b.md#one-two)", ["./b.md#one-two"]),
        ("[a](c.md)", ["c.md"]),
        ("[a](../LICENSE) [b](../docs) [c](https://example.org/x)", []),
        ("# Q & `a`\n[a](#q--a)", []),
        ("# Twice\n# Twice\n[a](#twice-1) [b](#twice-2)", ["#twice-2"]),
        ("`[a](c.md)`\n```sh\n[a](c.md)\n# No heading\n```\n[a](#no-heading)", ["#no-heading"]),
    ],
)
def test_dead_link_is_found(text: str, dead: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted links: those to missing files and headings are found, code and the web are not."""
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_: "# Other\n")
    known = frozenset(("docs/a.md", "docs/b.md", "LICENSE"))
    found = [
        fault.split(": ")[1].split(" leads")[0] for fault in dead_links("docs/a.md", text, known)
    ]
    assert found == dead


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Type `marsa tx send bob 5` or `make test`.", ["tx send bob 5"]),
        (
            "```sh\n$ MARSA_HOME=x .venv/bin/marsa tx show A && marsa query\n```",
            ["tx show A", "query"],
        ),
        ("```text\nmarsa 0.1.0\n```\n`marsa = x` and `marsa_height`", ["= x"]),
    ],
)
def test_invocations_are_found(text: str, lines: list[str]) -> None:
    """Code spans and shell fences are read, sample output and longer words are not."""
    assert list(invocations(text)) == lines


PLANTED = click.Group(
    "planted",
    params=[
        click.Option(["-v", "--verbose"], count=True),
        click.Option(["--json"], is_flag=True),
        click.Option(["--node"]),
    ],
    commands=[
        click.Group("tx", commands=[click.Command("send", params=[click.Option(["--from"])])]),
        click.Command("query"),
    ],
)


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("", None),
        ("-vv --json --node URL tx send bob 5 --from alice --json", None),
        ("--node=http://127.0.0.1:8640 COMMAND", None),
        ("tx|query --help", None),
        ("[--json] tx … # it's a comment", None),
        ("frobnicate", "frobnicate"),
        ("--frobnicate", "--frobnicate"),
        ("--from x", "--from"),
        ("--node tx send", "send"),
        ("tx query", "query"),
        ("tx send --frobnicate", "--frobnicate"),
        ("tx|frobnicate", "tx|frobnicate"),
    ],
)
def test_unknown_word_is_found(line: str, unknown: str | None) -> None:
    """A planted tree of commands: a word that is neither command nor option there is named."""
    assert unknown_word(line, PLANTED) == unknown


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("devnet chaos --for 30s", "--seed"),
        ("devnet chaos --seed=7 --for 30s", None),
        ("devnet chaos", None),
        ("coin mint --key", None),
        ("coin mint 5", "--issuer"),
        ("devnet kill|pause val0", None),
    ],
)
def test_missing_option_is_found(line: str, missing: str | None) -> None:
    """What stands for a whole command has its options; a name in prose is a name."""
    assert missing_option(line, marsa) == missing
