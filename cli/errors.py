"""What a command ends with: exit codes, and the one error that commands raise.

An error has a stable code for scripts, a sentence with the user's own values, and a hint that is
the next command to type where there is one. `cli.main` prints it in one shape for people and in
one for programs; nothing else in `cli` prints errors or chooses exit codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """Stable process exit codes."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMEOUT = 4
    """The outcome is unknown, which is not the same as failed."""
    REJECTED = 5
    NOT_FOUND = 6
    LOCKED = 7
    REFUSED = 8
    CHECK_FAILED = 9
    INTERRUPTED = 130


class CliError(Exception):
    """Ends a command. `details` holds figures for programs, never a secret."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        exit_code: ExitCode = ExitCode.INTERNAL,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"error[{code}]: {message}")
        self.code = code
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.details = dict(details or {})


def usage_error(code: str, message: str, hint: str = "") -> CliError:
    """The arguments cannot mean anything: exit code 2."""
    return CliError(code, message, hint=hint, exit_code=ExitCode.USAGE)


def not_found(code: str, message: str, hint: str = "") -> CliError:
    """What was named does not exist: exit code 6."""
    return CliError(code, message, hint=hint, exit_code=ExitCode.NOT_FOUND)
