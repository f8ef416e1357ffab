"""The command `marsa`: its groups, and how every failure ends.

Nothing heavy is imported here: `marsa --help` answers in well under 150 ms. A failure leaves one
error of one shape (`cli.errors`) and an exit code; a traceback is shown only with -vv.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

import click

from cli.base import Group, examples
from cli.errors import CliError, ExitCode
from cli.output import show_error
from ledger.reasons import Invalid

_TABLE = {
    "devnet": ("cli.devnet_commands:devnet", "Real validators on this machine, ready to use."),
    "node": ("cli.node_commands:node", "One node in a directory of its own."),
    "network": ("cli.network_commands:network", "Validators on hosts of their own."),
    "genesis": ("cli.genesis:genesis", "The file that a chain begins with."),
    "wallet": ("cli.wallet_commands:wallet", "Keys, addresses, coins and signed messages."),
    "tx": ("cli.tx:tx", "Send coins; follow and prove transactions."),
    "validator": ("cli.validator:validator", "Who validates: look, admit, remove."),
    "consensus": ("cli.consensus:consensus", "How validators agree, as one node sees it."),
    "licence": ("cli.licence:licence", "Who may issue and validate; suspend, revoke, wind down."),
    "capacity": ("cli.capacity:capacity", "Hours behind the coins: promise, attest, doubt."),
    "standard": ("cli.standard:standard", "What a coin is worth in work, and how that rises."),
    "compliance": ("cli.compliance:compliance", "Orders that freeze coins until a day."),
    "redeem": ("cli.redeem:redeem", "Coins become compute: order, serve, close."),
    "coin": ("cli.coin:coin", "Mint, burn, supply, quotes, bonds."),
    "query": ("cli.query:query", "Blocks, addresses, validators, parameters."),
    "audit": ("cli.audit:audit", "Check a chain and its reserves against the genesis file."),
    "evidence": ("cli.evidence:evidence", "Validators who contradicted themselves, with proof."),
    "bench": ("cli.bench:bench", "Measure a running devnet and this machine."),
    "doctor": ("cli.doctor:doctor", "What is wrong with this machine, its devnets and a node."),
    "config": ("cli.config_commands:config", "The options of a node: values, origin, schema."),
    "completion": ("cli.completion:completion", "Complete commands in your shell."),
}


@click.command(
    "marsa",
    cls=Group,
    table=_TABLE,
    is_root=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help=f"""{examples("marsa tx send bob 5 --from alice", "marsa wallet balance alice --json")}

A permissioned blockchain node for coins that are backed by real AI compute.
""",
)
def marsa() -> None:
    """The root of all commands."""


def main() -> None:
    """Entry point of the `marsa` script."""
    if not __debug__:
        sys.stderr.write(
            "error[optimised]: invariants are checked by assertions, which python -O removes\n"
            "hint: start marsa without -O and with PYTHONOPTIMIZE unset\n"
        )
        sys.exit(ExitCode.USAGE)
    sys.excepthook = _on_fault
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code. Faults of our own propagate."""
    try:
        result = marsa.main(list(arguments), prog_name="marsa", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else ExitCode.OK
    except (KeyboardInterrupt, click.Abort):
        return _fail(arguments, CliError("interrupted", "stopped", exit_code=ExitCode.INTERRUPTED))
    except BrokenPipeError:
        # The reader of a pipe has gone. Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.INTERNAL
    except click.ClickException as error:
        return _fail(arguments, _of_click(error))
    except CliError as error:
        return _fail(arguments, error)
    except Invalid as error:
        exit_code = ExitCode.USAGE
        return _fail(arguments, CliError(error.reason.value, error.detail, exit_code=exit_code))
    except OSError as error:
        hint = "run it again with -vv to see where"
        return _fail(arguments, CliError("machine", str(error), hint=hint))


def _fail(arguments: Sequence[str], error: CliError) -> int:
    """Print an error. The flags are read here too: a wrong line may never have been parsed."""
    words = _options(arguments)
    if _wants_traceback(words):
        traceback.print_exc()
    show_error(error, as_json="--json" in words)
    return error.exit_code


def _options(arguments: Sequence[str]) -> list[str]:
    words = list(arguments)
    return words[: words.index("--")] if "--" in words else words


def _wants_traceback(words: Sequence[str]) -> bool:
    return "-vv" in words or words.count("-v") + words.count("--verbose") > 1


def _of_click(error: click.ClickException) -> CliError:
    hint = ""
    message = error.format_message().rstrip(".")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"{error.ctx.command_path} --help"
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            message = f"'{error.ctx.command_path}' needs a command"  # not the whole help again
    return CliError("usage", message, hint=hint, exit_code=ExitCode.USAGE)


def _on_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of our own: one sentence and exit code 1, and all of it with -vv."""
    words = _options(sys.argv[1:])
    if _wants_traceback(words):
        traceback.print_exception(kind, error, trace)
    hint = "this is a fault of marsa: run it again with -vv and report what it prints"
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    fault = CliError("internal", f"{type(error).__name__}: {error}", hint=hint)
    show_error(fault, as_json="--json" in words)


if __name__ == "__main__":
    main()
