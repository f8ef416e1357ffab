"""What a node says about itself, as the error of a command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cli.errors import CliError, ExitCode
from node.errors import NodeError


@contextlib.contextmanager
def node_errors_mapped(exit_code: ExitCode = ExitCode.INTERNAL) -> Iterator[None]:
    """Turn a NodeError into a CliError that ends with this code."""
    try:
        yield
    except NodeError as error:
        raise CliError(error.code, error.sentence, hint=error.hint, exit_code=exit_code) from error
