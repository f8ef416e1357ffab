"""What commands write: results on standard output, everything else on standard error.

With --json a command writes exactly one object on standard output, whose first member `schema`
names its shape and version. Progress, prompts and notes never mix with it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click
import msgspec

from cli.base import settings
from cli.errors import CliError, ExitCode

if TYPE_CHECKING:
    from rich.status import Status

ERROR_SCHEMA = "marsa.error/1"


def emit(schema: str, value: object, human: str | Callable[[], str]) -> None:
    """The result of a command: `value` (a mapping or a struct) as JSON, or its text."""
    if settings().json:
        click.echo(json_text(schema, value))
    else:
        click.echo(human if isinstance(human, str) else human(), color=settings().color)


def json_text(schema: str, value: object) -> str:
    """One line; bytes as lower-case hex."""
    plain = msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=_plain)
    if not isinstance(plain, Mapping):
        raise TypeError(f"{schema} must be an object")
    return json.dumps({"schema": schema, **plain}, ensure_ascii=False, default=_plain)


def note(text: str, *, verbosity: int = 0) -> None:
    """One line of progress for people, on standard error."""
    if settings().verbosity >= verbosity:
        click.echo(text, err=True)


def show_error(error: CliError, *, as_json: bool) -> None:
    """The one shape of every error, for people or for programs."""
    if as_json:
        body = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "details": error.details,
        }
        click.echo(json_text(ERROR_SCHEMA, {"error": body}))
        return
    click.echo(f"error[{error.code}]: {error.message}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint}", err=True)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell; the last one is not padded."""
    lines = [list(headings), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def is_interactive() -> bool:
    """Whether somebody can answer a question; without a terminal nothing is ever asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def has_desktop() -> bool:
    """Whether a browser would open in front of somebody; in a bare terminal it would take that."""
    return sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def confirm(question: str) -> None:
    """Ask before something that cannot be taken back; --yes answers."""
    if settings().yes:
        return
    if not is_interactive():
        raise CliError(
            "confirmation_needed",
            f"{question} There is no terminal to ask on",
            hint="repeat the command with --yes",
            exit_code=ExitCode.REFUSED,
        )
    if not click.confirm(question, err=True):
        raise CliError("confirmation_refused", "nothing was done", exit_code=ExitCode.REFUSED)


class Waiting:
    """A wait with a deadline and a live reason: a spinner on a terminal, lines elsewhere."""

    def __init__(self, what: str, timeout_ms: int) -> None:
        self._what = what
        self._deadline = time.monotonic() + timeout_ms / 1_000
        self._reason = ""
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and settings().verbosity >= 0:
            from rich.console import Console

            console = Console(stderr=True, no_color=not settings().color)
            self._status = console.status(self._text())
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    @property
    def left_ms(self) -> int:
        """Milliseconds until the deadline, 0 when it is over."""
        return max(0, int((self._deadline - time.monotonic()) * 1_000))

    @property
    def reason(self) -> str:
        """The last reason given."""
        return self._reason

    def because(self, reason: str) -> None:
        """Say what is being waited for."""
        is_new = reason != self._reason
        self._reason = reason
        if self._status is not None:
            self._status.update(self._text())
        elif is_new:
            note(self._text())

    def _text(self) -> str:
        reason = f": {self._reason}" if self._reason else ""
        return f"{self._what}{reason} ({self.left_ms / 1_000:.0f} s left)"


def _plain(value: object) -> object:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    raise TypeError(f"{type(value).__name__} has no JSON form")
