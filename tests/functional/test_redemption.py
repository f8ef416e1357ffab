"""Coins become compute on a devnet: one order is served by hand, one is left alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.client import Client
from cli.devnet.blueprint import PERIOD_MS
from ledger.crypto import SigningKey
from ledger.economy.redemption import Receipt, receipt_hash
from tests.functional.cluster import Cluster, until

pytestmark = pytest.mark.functional

COIN = 1_000_000
DEADLINE_S = 150
"""A minute of the ledger clock to accept or to close, and blocks that write it down."""
CERTIFICATE = "ab" * 32


def submit(cluster: Cluster, amount: int) -> Any:
    wanted = ("--issuer", "acme", "--class", "h100x8", "--workload", "training")
    return cluster.marsa("redeem", "submit", amount, "--from", "alice", *wanted, "--json").json


def order(cluster: Cluster, wanted: str) -> Any:
    return cluster.marsa("redeem", "status", wanted[:16], "--json").json["order"]


def figures(cluster: Cluster) -> tuple[int, int, int]:
    """Period, supply and reserve of acme, of one height."""
    with Client(cluster.api(0)) as client:
        shown = client.reserve()
    (row,) = [item for item in shown.issuers if item.issuer == "acme"]
    return shown.ledger_time_ms // PERIOD_MS, int(row.outstanding), int(row.reserve)


def signed(cluster: Cluster, wanted: str, number: int, delivered: int) -> Path:
    """A receipt as a session writes it, by the session key that `submit` kept."""
    kept = json.loads((cluster.home / "orders" / f"{wanted}.json").read_text())
    key = SigningKey(bytes.fromhex(kept["session_seed"]))
    meter = bytes([number]) * 32
    receipt = Receipt(bytes.fromhex(wanted), number, delivered, delivered // 10, meter)
    signature = key.sign(receipt_hash(bytes.fromhex(kept["chain_id"]), receipt))
    said = {
        "order": wanted,
        "number": number,
        "delivered": str(delivered),
        "microhours": delivered // 10,
        "meter_root": meter.hex(),
    }
    file = cluster.home / f"receipt-{number}.json"
    file.write_text(json.dumps({"receipt": said, "signature": signature.hex()}))
    return file


def test_one_order_is_served_and_one_is_left_alone(cluster: Cluster) -> None:
    """Receipts burn coins and hours together, the rest comes back; who is left alone is paid back
    with two per cent on top, without doing anything. Every coin is accounted for."""
    cluster.up("--no-issuers")
    before = cluster.balance("alice")
    served, alone = submit(cluster, 4), submit(cluster, 10)
    assert served["state"] == alone["state"] == "requested"
    listed = cluster.marsa("redeem", "list", "--json").json["orders"]
    assert {item["id"] for item in listed} == {served["order"], alone["order"]}

    place = ("--endpoint", "127.0.0.1:9000", "--certificate", CERTIFICATE)
    made = cluster.marsa("redeem", "accept", served["order"][:16], *place, "--json").json
    assert made["state"] == "ready"
    in_one_period = 0
    for number, delivered in ((1, COIN), (2, 2 * COIN), (3, 3 * COIN)):
        file = signed(cluster, served["order"], number, delivered)
        then = figures(cluster)
        cluster.marsa("redeem", "receipt", file)
        now = figures(cluster)
        assert then[1] - now[1] == COIN
        if now[0] == then[0]:  # else the hours of a period left as well
            assert abs(then[2] - now[2] - COIN) <= 1
            in_one_period += 1
    assert in_one_period
    assert order(cluster, served["order"])["state"] == "active"
    closed = cluster.marsa("redeem", "close", served["order"][:16], "--json").json
    assert closed["by"] == "holder"

    lapsed = until(lambda: paid(cluster, alone["order"]), "it lapses", DEADLINE_S)
    settled = until(lambda: paid(cluster, served["order"]), "it is settled", DEADLINE_S)
    assert (lapsed["state"], lapsed["refunded"]) == ("lapsed", str(10 * COIN))
    assert (settled["state"], settled["burned"]) == ("settled", str(3 * COIN))
    assert settled["refunded"] == str(COIN)
    fees = int(served["fee"]) + int(alone["fee"])
    penalty = 10 * COIN // 50
    assert cluster.balance("alice") == before - fees - 3 * COIN + penalty
    text = cluster.marsa("redeem", "status", alone["order"], "-w").out
    assert "way        requested > [lapsed]" in text
    cluster.marsa("audit", "chain")


def paid(cluster: Cluster, wanted: str) -> Any:
    """The order, once it ended and nothing lies in it."""
    held = order(cluster, wanted)
    return held if held["is_paid"] else None
