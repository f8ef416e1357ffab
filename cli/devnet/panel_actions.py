"""What the panel can do: each action is a command that one could type, run as a process of its own.

So the panel has no rules of its own about nodes and links, an action cannot do more than the
command, and its errors are the command's, with their hints.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cli.devnet.state import NODES_MAX, Place
from cli.errors import CliError, ExitCode, usage_error

ACTION_S = 90.0
"""A restart waits a minute for the node; whatever takes longer is ended."""
KEPT_MAX = 30
"""Actions that are remembered, the newest ones."""
DELAY_MS_MAX = 10_000
OUTPUT_BYTES_MAX = 64 * 1024

Names = Annotated[tuple[str, ...], Meta(max_length=NODES_MAX)]


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a button asks for; `groups` are for `partition`, `delay_ms` for `delay`."""

    action: Literal["kill", "restart", "pause", "resume", "partition", "heal", "delay"]
    nodes: Names = ()
    groups: Annotated[tuple[Names, ...], Meta(max_length=NODES_MAX)] = ()
    delay_ms: Annotated[int, Meta(ge=0, le=DELAY_MS_MAX)] = 0


class Done(msgspec.Struct, frozen=True):
    """How an action ended; `message` and `hint` are what the command said of an error."""

    command: str
    ok: bool
    message: str
    hint: str
    time_ms: int
    took_ms: int


def words_of(place: Place, action: Action) -> list[str]:
    """The command's words behind `marsa devnet`; raises CliError for what cannot be meant."""
    named = [place.node(name).name for name in action.nodes]
    if action.action == "heal":
        return ["heal"]
    if action.action == "partition":
        groups = [",".join(place.node(name).name for name in group) for group in action.groups]
        if len(groups) < 2 or not all(groups):
            raise usage_error("bad_groups", "two groups with a node in each are needed")
        return ["partition", "/".join(groups)]
    if len(named) != 1:
        raise usage_error("usage", f"{action.action} is for one node")
    if action.action == "delay":
        return ["delay", named[0], f"{action.delay_ms}ms"]
    return [action.action, named[0]]


class Actions:
    """One at a time, as the devnet's lock would have it anyway."""

    def __init__(self) -> None:
        self.done: deque[Done] = deque(maxlen=KEPT_MAX)
        self.under_way = ""

    async def run(self, place: Place, action: Action) -> Done:
        """Raises CliError for what cannot be meant, and while another one is under way."""
        words = words_of(place, action)
        if self.under_way:
            raise CliError(
                "devnet_busy",
                f"'{self.under_way}' is under way",
                hint="wait until it has ended, then try again",
                exit_code=ExitCode.CHECK_FAILED,
            )
        self.under_way = "marsa devnet " + " ".join(words)
        try:
            done = await _run(place, words, self.under_way)
        finally:
            self.under_way = ""
        self.done.append(done)
        return done


async def _run(place: Place, words: list[str], command: str) -> Done:
    begun = time.monotonic()
    now_ms = int(time.time() * 1_000)
    home = place.directory.parent.parent
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "devnet", *words),
        *("--name", place.devnet.name, "--json", "--yes"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "MARSA_HOME": str(home)},
        limit=OUTPUT_BYTES_MAX,
    )
    try:
        async with asyncio.timeout(ACTION_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        output = b""
    message, hint = _error_of(output) if process.returncode else ("", "")
    took_ms = round((time.monotonic() - begun) * 1_000)
    return Done(command, process.returncode == 0, message, hint, now_ms, took_ms)


def _error_of(output: bytes) -> tuple[str, str]:
    """Of the last object that the command wrote."""
    try:
        error = msgspec.json.decode(output.splitlines()[-1])["error"]
        return str(error["message"]), str(error["hint"])
    except (msgspec.DecodeError, IndexError, KeyError, TypeError):
        return f"it did not end within {ACTION_S:g} s, or broke", "look at the node's log"
