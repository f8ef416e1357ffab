"""What every command shares: the global options, lazy groups, and the settings they yield.

Global options are accepted in any position because every command and group declares them, hidden
except on the root. A group names its commands in a table of (module, attribute, one-line help),
so that `--help` imports nothing but click and a command imports only what it needs.

Precedence: flag, then MARSA_* in the environment, then built-in.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from cli.units import parse_duration
from ledger.amounts import parse_number

DEFAULT_TIMEOUT = "10s"
"""How long one HTTP request may take; waits for finality have their own option."""

_FLAGS = "cli.flags"


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options of one invocation."""

    node: str | None
    """The URL given by flag or environment; None leaves the choice to `cli.nodes`."""
    json: bool
    verbosity: int
    """-1 quiet, 0 normal, 1 and 2 more."""
    color: bool
    yes: bool
    timeout_ms: int


def settings() -> Settings:
    """The settings of the running command."""
    flags = click.get_current_context().meta.get(_FLAGS, {})
    quiet = bool(flags.get("quiet"))
    color_wanted = not flags.get("no_color") and not os.environ.get("NO_COLOR")
    return Settings(
        node=flags.get("node") or os.environ.get("MARSA_NODE") or None,
        json=bool(flags.get("json")),
        verbosity=-1 if quiet else int(flags.get("verbose", 0)),
        color=color_wanted and sys.stdout.isatty(),
        yes=bool(flags.get("yes")),
        timeout_ms=parse_duration(
            flags.get("timeout") or os.environ.get("MARSA_TIMEOUT") or DEFAULT_TIMEOUT
        ),
    )


class Command(click.Command):
    """A command that takes the global options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("epilog", "Also --json, --node, -q, -v, --yes, --timeout: marsa --help")
        super().__init__(*args, **kwargs)
        self.params.extend(_global_options(hidden=True))


class Group(click.Group):
    """A group of commands that are imported when they are called.

    `table` maps a name to ("module:attribute", one line of help).
    """

    command_class = Command

    def __init__(
        self,
        *args: Any,
        table: Mapping[str, tuple[str, str]] | None = None,
        is_root: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.table = dict(table or {})
        self.params.extend(_global_options(hidden=not is_root))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.table, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, summary) for name, (_, summary) in self.table.items()]
        for name in super().list_commands(ctx):
            command = self.commands[name]
            rows.append((name, command.get_short_help_str(limit=80)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Number(click.IntRange):
    """An integer in a range, written in ASCII digits; click's own takes `+3`, `1_0` and `٣`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str):
            number = parse_number(value)
            if number is None:
                self.fail(f"{value!r} is not a number: write it in digits 0-9", param, ctx)
            value = number
        return super().convert(value, param, ctx)


def examples(*lines: str) -> str:
    """The block that opens a help text: commands to copy, never rewrapped."""
    return "\b\n" + "\n".join(f"  $ {line}" for line in lines)


def _global_options(*, hidden: bool) -> list[click.Option]:
    def option(declaration: str, help_text: str, **kwargs: Any) -> click.Option:
        name = "global_" + declaration.split("--")[-1].split()[0].replace("-", "_")
        return click.Option(
            [*declaration.split(), name],
            help=help_text,
            hidden=hidden,
            expose_value=False,
            callback=_remember,
            **kwargs,
        )

    return [
        option("--node", "The node's API, instead of MARSA_NODE.", metavar="URL"),
        option("--json", "One JSON object on standard output.", is_flag=True),
        option("-q --quiet", "Results only.", is_flag=True),
        option("-v --verbose", "More detail; -vv with tracebacks.", count=True),
        option("--no-color", "No colours; NO_COLOR does the same.", is_flag=True),
        option("--yes", "Confirm what would be asked.", is_flag=True),
        option("--timeout", f"Limit of one request, {DEFAULT_TIMEOUT}.", metavar="DURATION"),
        click.Option(
            ["--version"],
            help="The version.",
            hidden=hidden,
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
        ),
    ]


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if param.name is None or value in (None, False, 0):
        return
    flags = ctx.meta.setdefault(_FLAGS, {})
    name = param.name.removeprefix("global_")
    if name == "timeout":
        parse_duration(str(value))
    if name == "verbose" and isinstance(value, int):
        value = value + flags.get(name, 0)
    flags[name] = value


def _print_version(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"marsa {version('marsa')}")
    ctx.exit()
