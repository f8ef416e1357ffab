"""One box for every name: each kind is found under what people would paste."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from ledger.address import encode_address
from ledger.block import header_hash
from node.api.record_schemas import Search
from tests.ledger.world import COIN, lock_of
from tests.node.api.harness import Api, RedeemingNode, open_api


async def find(api: Api, text: str) -> list[tuple[str, str]]:
    """Kind and name of what is found, after a look at every link."""
    found = await api.read(f"/search?q={quote(text, safe='')}", Search)
    for item in found.items:
        reply = await api.ask(item.link.removeprefix("/v1"))
        assert reply.status == 200, item
    return [(item.kind, item.name) for item in found.items]


async def test_every_kind_is_found_and_its_link_leads_there() -> None:
    node = RedeemingNode()
    async with open_api(node) as api:
        order = node.order(2 * COIN).hex()
        sent, waiting = node.world.transfer("bob", "alice"), node.world.transfer("alice", "bob")
        block = node.decide([sent])
        await node.submit([waiting.raw])
        name, address = header_hash(block.header).hex(), encode_address(lock_of("alice"), "mrst")
        txids = [sent.txid.hex(), waiting.txid.hex()]
        asset = (await api.read("/assets", dict))["items"][0]["asset"]
        found = {
            text: await find(api, text)
            for text in (
                "2",
                name,
                *txids,
                address,
                address.upper(),
                "val0",
                asset,
                order,
                "capacity-val0",
                "val0/capacity-val0",
                f"  {name.upper()} ",
            )
        }
    block_found = [("block", "2")]
    expected = {
        "2": block_found,
        name: block_found,
        f"  {name.upper()} ": block_found,
        **{txid: [("transaction", txid)] for txid in txids},
        address: [("address", address)],
        address.upper(): [("address", address)],
        "val0": [("licence", "val0"), ("issuer", "val0")],
        asset: [("asset", asset)],
        order: [("order", order)],
        "capacity-val0": [("commitment", "val0/capacity-val0")],
        "val0/capacity-val0": [("commitment", "val0/capacity-val0")],
    }
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        "99",
        "007",
        "-1",
        "nobody",
        "ff" * 32,
        "val0/",
        "/",
        "val0/nothing",
        "a/b/c",
        "mrst1qqqqqq",
        "é",
        "\0",
        "<script>",
        "٣",
        "val0 " + "x",
        "9" * 30,
        "%",
        "..",
        "a" * 90,
    ],
)
async def test_what_there_is_not_is_found_nowhere(text: str) -> None:
    async with open_api() as api:
        assert await find(api, text) == []


@pytest.mark.parametrize("query", ["", "q=", "q=%20%20", "q=" + "a" * 91, "text=1", "q=1&q=2"])
async def test_what_is_no_question_is_refused(query: str) -> None:
    async with open_api() as api:
        reply = await api.ask(f"/search?{query}")
        assert (reply.status, reply.code) == (400, "bad_request")
