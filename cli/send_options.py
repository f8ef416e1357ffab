"""The options of commands that send a transaction: look only, and how long to wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from cli.units import parse_duration

DEFAULT_WAIT = "10s"

F = TypeVar("F", bound=Callable[..., object])

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show what would be sent; no password needed."
)


def waited(command: F) -> F:
    """How long to wait for finality."""
    for option in (
        click.option(
            "--wait", default=DEFAULT_WAIT, show_default=True, help="Wait so long for finality."
        ),
        click.option("--no-wait", is_flag=True, help="Return as soon as the node has taken it."),
    ):
        command = option(command)
    return command


def wait_of(no_wait: bool, wait: str) -> int | None:
    """Milliseconds; None where nothing is waited for."""
    return None if no_wait else parse_duration(wait)
