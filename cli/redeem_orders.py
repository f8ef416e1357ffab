"""Orders of this machine: what their holder needs to speak for them.

    MARSA_HOME/orders/ID.json   the session key of one order and what was asked for, 0600

The file is on disk before the order is sent, so that whatever happens then the key is not lost.
Coins come back without it: it is needed to use an order, to cancel it and to sign receipts.
Beside it lie the last receipt and a lock of `redeem use`. All of it is removed when the order has
ended and nodes have forgotten it, which is an hour later: until then `redeem list` shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from cli.client import ApiProblem
from cli.errors import CliError, ExitCode, not_found, usage_error
from cli.home import home, read_private, write_private

if TYPE_CHECKING:
    from cli.nodes import Node
    from ledger.crypto import SigningKey
    from ledger.redemption_operations import Redeem
    from node.api.redemption_schemas import Redemption

FORMAT = 1
PREFIX_CHARS_MIN = 4
ORDER_CHARS = 64
PAGES_MAX = 64
"""Of the orders that begin alike; nobody's prefix of four digits has so many."""
HTTP_NOT_FOUND = 404
ASKED_MAX = 32
"""Of those whose window is over, the oldest: so many are asked for before they are removed."""
SUFFIXES = (".receipt", ".lock", ".json")
"""Of the files of one order; the one that it is found by goes last."""

_HEX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_FILE = re.compile(r"[0-9a-f]{64}\.json", re.ASCII)
Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class OrderFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order as its holder keeps it. Amounts are decimal strings of µ."""

    format: Annotated[int, Meta(ge=FORMAT, le=FORMAT)] = FORMAT
    order: Hex32
    network: str
    chain_id: Hex32
    node: str
    """The API that it was sent to."""
    owner: str
    """The account or wallet that paid, for people."""
    session_seed: Hex32
    issuer: str
    commitment: str
    device_class: str
    workload: str
    amount: str
    refund_lock: Hex32
    start_by_ms: int
    end_ms: int
    queue_until_ms: int

    @property
    def session_key(self) -> SigningKey:
        from ledger.crypto import SigningKey

        return SigningKey(bytes.fromhex(self.session_seed))


def orders_dir() -> Path:
    return home() / "orders"


def path_of(order: str) -> Path:
    return orders_dir() / f"{order}.json"


def order_file(
    node: Node,
    operation: Redeem,
    order: bytes,
    *,
    seed: bytes,
    owner: str,
    device_class: str,
) -> OrderFile:
    """The file of an order that is about to be sent."""
    return OrderFile(
        order=order.hex(),
        network=node.params.network,
        chain_id=node.chain_id,
        node=node.client.url,
        owner=owner,
        session_seed=seed.hex(),
        issuer=operation.issuer,
        commitment=operation.commitment,
        device_class=device_class,
        workload=operation.workload,
        amount=str(operation.amount),
        refund_lock=operation.refund_lock.hex(),
        start_by_ms=operation.start_by_ms,
        end_ms=operation.end_ms,
        queue_until_ms=operation.queue_until_ms,
    )


def save(held: OrderFile) -> Path:
    """On disk, durably, and private; one that exists is not overwritten."""
    path = path_of(held.order)
    write_private(path, msgspec.json.format(msgspec.json.encode(held)) + b"\n", replace=False)
    return path


def load(order: str) -> OrderFile | None:
    """Of this machine; None where another one made it. Raises CliError."""
    path = path_of(order)
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(read_private(path), type=OrderFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CliError(
            "bad_file",
            f"{path} cannot be read: {error}",
            hint="mend it or move it away",
            exit_code=ExitCode.CHECK_FAILED,
        ) from None


def known(chain_id: str) -> list[OrderFile]:
    """Of this machine and chain, the newest first."""
    if not orders_dir().is_dir():
        return []
    files = [path for path in orders_dir().iterdir() if _FILE.fullmatch(path.name)]
    files.sort(key=lambda path: (-path.stat().st_mtime_ns, path.name))
    found = (load(path.stem) for path in files)
    return [held for held in found if held is not None and held.chain_id == chain_id]


def forget_ended(node: Node) -> list[str]:
    """Remove what is kept of orders that ended so long ago that nodes know them no more, or that
    never arrived and come too late now; their ids. Raises CliError."""
    clock_ms = node.client.status().sync.ledger_time_ms  # first: none is placed after its end
    late = [held.order for held in known(node.chain_id) if held.end_ms < clock_ms]
    gone = [order for order in late[-ASKED_MAX:] if find(node, order) is None]
    for order in gone:
        for suffix in SUFFIXES:
            path_of(order).with_suffix(suffix).unlink(missing_ok=True)
    return gone


def session_key(order: str) -> SigningKey:
    """Of an order that was made here; raises CliError."""
    held = load(order)
    if held is None:
        detail = f"the session key of order {order[:12]} is not on this machine"
        raise not_found(
            "unknown_key", detail, f"it lies where it was sent from, as {path_of(order)}"
        )
    return held.session_key


def resolve(node: Node, text: str) -> str:
    """The id that is meant: all 64 digits, or the first ones of an order that the node or this
    machine knows; raises CliError."""
    wanted = text.lower().removesuffix("…")
    if not _HEX.fullmatch(wanted) or len(wanted) < PREFIX_CHARS_MIN:
        detail = f"{text!r} is no id of an order"
        hint = f"write its first {PREFIX_CHARS_MIN} to {ORDER_CHARS} hex digits"
        raise usage_error("bad_order_id", detail, hint)
    if len(wanted) == ORDER_CHARS:
        return wanted
    found = {held.order for held in known(node.chain_id) if held.order.startswith(wanted)}
    found.update(held.id for held in _alike(node, wanted))
    if len(found) > 1:
        listed = ", ".join(item[: len(wanted) + PREFIX_CHARS_MIN] for item in sorted(found)[:4])
        detail = f"{len(found)} orders begin with {wanted}: {listed}"
        raise usage_error("ambiguous_order", detail, "write more of its digits")
    if not found:
        raise no_order(wanted)
    return found.pop()


def no_order(order: str) -> CliError:
    detail = f"there is no order {order}; one that ended is forgotten after a while"
    return not_found("no_order", detail, "marsa redeem list")


def fetch(node: Node, order: str) -> Redemption:
    """As the node has it; raises CliError(no_order)."""
    held = find(node, order)
    if held is None:
        raise no_order(order)
    return held


def find(node: Node, order: str) -> Redemption | None:
    """None where the node does not know it, or no more."""
    try:
        return node.client.economy.redemption(order)
    except ApiProblem as problem:
        if problem.status == HTTP_NOT_FOUND:
            return None
        raise


def _alike(node: Node, prefix: str) -> Iterable[Redemption]:
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        page = node.client.economy.redemptions(prefix=prefix, cursor=cursor)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return
