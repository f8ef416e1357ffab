"""Which node a command talks to, and how the client's errors become the command's.

--node or MARSA_NODE name one node, and nothing else is tried. Without them the nodes of the only
devnet on this machine (of several: of `default`) are tried in their order, so that a killed
validator does not stop its users; without a devnet it is the built-in address.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import click

from cli.accounts import describe_devnet, devnets
from cli.base import settings
from cli.client import DEFAULT_URL, ApiProblem, Client, ClientError, Timeout, Unreachable
from cli.errors import CliError, ExitCode
from cli.output import note
from ledger.transaction import FeeSchedule
from node.api import schemas

PROBE_TIMEOUT_S = 1.0
"""A stopped process still accepts connections; among several nodes it is not waited for."""

DEFAULT_DEVNET = "default"
"""Which of several devnets is meant where none is named, as in `marsa devnet`."""

HINTS = {
    "above_commitment": "marsa capacity show ISSUER COMMITMENT",
    "above_headroom": "marsa coin supply",
    "above_mint_cap": "wait for the next period, or mint less: marsa coin quote AMOUNT --issuer ID",
    "already_contested": "marsa capacity show ISSUER COMMITMENT",
    "bad_order": "marsa compliance list",
    "bad_schedule": "marsa capacity list",
    "commitment_exists": "marsa capacity list",
    "commitment_over": "marsa capacity list",
    "frozen": "marsa compliance list",
    "licence_inactive": "marsa licence list",
    "low_deliverability": "marsa capacity list",
    "mint_frozen": "marsa capacity list",
    "not_healthy": "marsa capacity list",
    "short_bond": "marsa coin bond show ID",
    "unknown_asset": "choose coins of another issuer with --issuer ID",
    "unknown_class": "take a class and workloads of: marsa capacity list",
    "unknown_order": "marsa compliance list",
    "device_pledged": "pledge other machines, or wait until that commitment is over",
    "double_spend": "wait until the other transaction is final, then send again",
    "fee_too_low": "marsa query params",
    "not_yet": "wait until then and send the same again",
    "no_panel": "marsa capacity show ISSUER COMMITMENT",
    "not_on_panel": "marsa capacity show ISSUER COMMITMENT",
    "operation_gap": "wait until the operations before it are final, or use another --lane",
    "overlapping_schedule": "marsa capacity amend ISSUER COMMITMENT",
    "own_coin": "choose coins of another issuer with --issuer ID",
    "replayed_operation": "run the command again, or use another --lane",
    "spent_input": "marsa wallet coins NAME",
    "too_late": "spend the coins in another way that their lock allows",
    "wrong_chain": "marsa query params",
    "wrong_state": "marsa redeem status ORDER",
    "wrong_version": "it was changed meanwhile: look at it, and run the command again",
}
"""The next command, where the node's own hint speaks of the API."""

ABOUT_ROUTES = ("bad_request", "malformed", "not_found")
"""Whose hints describe the API's routes; a user of commands has the help of the command."""

EXIT_CODES = {404: ExitCode.NOT_FOUND, 410: ExitCode.NOT_FOUND}
"""By HTTP status: nothing of that name, or nothing any more. All else was rejected."""
DEADLINE = "deadline"
"""The node gave up in the middle: what was sent may still take effect."""
HTTP_BUSY = 429


@dataclass(frozen=True)
class Node:
    """A node that answers, and the constants of its chain."""

    client: Client

    @cached_property
    def params(self) -> schemas.Params:
        return self.client.params()

    @property
    def hrp(self) -> str:
        return self.params.address_prefix

    @property
    def chain_id(self) -> str:
        return self.params.chain_id

    @property
    def fees(self) -> FeeSchedule:
        fees = self.params.fees
        return FeeSchedule(int(fees.per_byte), int(fees.per_signature), int(fees.per_new_output))


@contextlib.contextmanager
def connected() -> Iterator[Node]:
    """A node for the length of a command; its errors leave as CliError."""
    with errors_mapped():
        client = _choose(settings().node)
        with client:
            yield Node(client)


@contextlib.contextmanager
def errors_mapped() -> Iterator[None]:
    """Turn what a client raises into errors with exit codes and hints."""
    try:
        yield
    except Unreachable as error:
        raise CliError(
            "unreachable",
            str(error),
            hint="start a network with: marsa devnet up, or name a node with --node URL",
            exit_code=ExitCode.UNREACHABLE,
            details={"node": error.url},
        ) from None
    except Timeout as error:
        raise CliError(
            "timeout",
            str(error),
            hint="ask again; what was sent may still take effect. A longer limit: --timeout 30s",
            exit_code=ExitCode.TIMEOUT,
            details={"node": error.url},
        ) from None
    except ApiProblem as error:
        raise problem_error(error) from None


def problem_error(problem: ApiProblem) -> CliError:
    """What the node refused, with its own code and hint."""
    exit_code = EXIT_CODES.get(problem.status, ExitCode.REJECTED)
    if problem.code == DEADLINE:
        exit_code = ExitCode.TIMEOUT
    hint = HINTS.get(problem.code, problem.hint)
    context = click.get_current_context(silent=True)
    if problem.code in ABOUT_ROUTES and context is not None:
        hint = f"{context.command_path} --help"
    if problem.status == HTTP_BUSY and not hint:
        hint = "the node is busy: try again in a few seconds"
    return CliError(
        problem.code,
        problem.detail,
        hint=hint,
        exit_code=exit_code,
        details={"status": problem.status},
    )


def candidates(given: str | None) -> list[str]:
    """The API addresses to try, in order."""
    if given is not None:
        return [given]
    by_name = {directory.name: directory for directory in devnets()}
    if len(by_name) > 1:
        by_name = {name: by_name[name] for name in by_name if name == DEFAULT_DEVNET}
    described = describe_devnet(*by_name.values()) if by_name else None
    if described is None or not described.nodes:
        return [DEFAULT_URL]
    return [node.api for node in described.nodes]


def _choose(given: str | None) -> Client:
    """The first node that answers and is not catching up, else the first that answers."""
    urls = candidates(given)
    timeout_s = settings().timeout_ms / 1_000
    if len(urls) == 1:
        return Client(urls[0], timeout_s=timeout_s)
    usable: list[str] = []
    cause: ClientError | None = None
    for url in urls:
        try:
            with Client(url, timeout_s=min(timeout_s, PROBE_TIMEOUT_S)) as probe:
                is_behind = probe.status().sync.catching_up
        except (Unreachable, Timeout) as error:
            cause = cause or error
            note(f"{url}: {error}", verbosity=1)
            continue
        if not is_behind:
            return Client(url, timeout_s=timeout_s)
        usable.append(url)
    if usable:
        return Client(usable[0], timeout_s=timeout_s)
    raise cause or Unreachable(urls[0], "nothing answers")
