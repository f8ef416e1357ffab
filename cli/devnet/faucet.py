"""The faucet of a devnet: an account like any other that holds most of the coins."""

from __future__ import annotations

from functools import partial

from cli.accounts import find_holder, resolve_address
from cli.base import settings
from cli.client import Client
from cli.devnet import control
from cli.devnet.blueprint import FAUCET
from cli.devnet.state import Place
from cli.errors import CliError, ExitCode
from cli.nodes import Node, errors_mapped
from cli.tx import pay
from cli.wallet.payment import Wish, plan

WAIT_MS = 10_000


def fund(place: Place, address: str, amount: int, issuer: str | None) -> None:
    """Send from the faucet and wait until it is final, through --node or the first node that
    answers; raises CliError."""
    answering = next((item for item in control.look(place) if item.status is not None), None)
    url = settings().node or (answering and answering.node.api)
    if not url:
        raise CliError(
            "unreachable",
            f"no node of devnet '{place.devnet.name}' answers",
            hint=f"marsa devnet up{place.devnet.option}",
            exit_code=ExitCode.UNREACHABLE,
        )
    with errors_mapped(), Client(url, timeout_s=settings().timeout_ms / 1_000) as client:
        node = Node(client)
        holder = find_holder(FAUCET, lambda _: "", chain_id=node.chain_id)
        wish = Wish(
            amount=amount,
            to=resolve_address(address, node.hrp, chain_id=node.chain_id),
            change_lock=holder.locks[0],
            asset=bytes.fromhex(client.issuer(issuer).asset) if issuer else None,
        )
        pay(
            node,
            holder,
            partial(plan, wish=wish),
            memo=None,
            to=address,
            dry_run=False,
            wait_ms=WAIT_MS,
            schema="marsa.devnet.fund/1",
        )
