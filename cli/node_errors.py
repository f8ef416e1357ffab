"""What a node finds about its own directory, as the error of a command.

Most of it is a check that failed; what means another thing has a row here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cli.errors import CliError, ExitCode
from node.errors import NodeError

EXIT_CODES = {
    "genesis_needed": ExitCode.USAGE,
    "no_directory": ExitCode.NOT_FOUND,
    "no_genesis": ExitCode.NOT_FOUND,
    "no_node": ExitCode.NOT_FOUND,
    "no_such_blocks": ExitCode.NOT_FOUND,
    "optimised": ExitCode.USAGE,
    "signer_unreachable": ExitCode.UNREACHABLE,
}


@contextlib.contextmanager
def node_errors_mapped() -> Iterator[None]:
    """Turn a NodeError into the CliError of its code, whichever command meets it."""
    try:
        yield
    except NodeError as error:
        exit_code = EXIT_CODES.get(error.code, ExitCode.CHECK_FAILED)
        raise CliError(error.code, error.sentence, hint=error.hint, exit_code=exit_code) from error
