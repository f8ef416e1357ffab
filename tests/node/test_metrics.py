"""A scrape: our names, finite labels, figures of the node."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.node.api.harness import Api, Node, open_api


async def scrape(api: Api) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Samples by name and labels."""
    async with api.session.get(f"{api.ops_url}/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = await response.text()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def test_scrape_follows_the_node() -> None:
    """Submits, decides and loses a validator: the gauges follow."""
    async with open_api() as api:
        await api.ask("/transactions", api.node.world.transfer("alice", "bob").raw)
        waiting = await scrape(api)
        api.node.decide()
        api.node.missing = ["val3"]
        after = await scrape(api)
    assert waiting["marsa_mempool_transactions"][()] == 1
    assert after["marsa_mempool_transactions"][()] == 0
    assert after["marsa_consensus_height"][()] == 1
    assert after["marsa_consensus_connected"][()] == 3
    assert after["marsa_validator_connected"][("validator", "val3"),] == 0
    assert after["marsa_validator_connected"][("validator", "val0"),] == 1
    assert after["marsa_supply_units"][("issuer", "val0"),] == 2_600_000_000
    assert after["marsa_coverage_ratio"][("issuer", "val0"),] > 1
    assert after["marsa_links_refused_total"][("reason", "wrong_chain"),] == 2
    assert after["marsa_links_refused_total"][("reason", "tls_refused"),] == 0
    assert after["marsa_gossip_dropped_bytes_total"][()] == 7


async def test_labels_come_from_closed_sets() -> None:
    """Asks for many different paths, with odd methods: the number of series does not grow."""
    async with open_api() as api:
        await api.ask(f"/transactions/{bytes(32).hex()}")
        await api.ask("/nothing/0")
        before = len((await scrape(api))["marsa_api_request_seconds_count"])
        for index in range(10):
            await api.ask(f"/transactions/{index:064x}")
            await api.ask(f"/nothing/{index}")
        async with api.session.request("PATCH", f"{api.url}/v1/status") as response:
            assert response.status == 405
        after = (await scrape(api))["marsa_api_request_seconds_count"]
    labels = {value for key in after for name, value in key if name == "route"}
    assert "/v1/transactions/{txid}" in labels
    assert "unmatched" in labels
    assert not any("000000" in value for value in labels)
    assert len(after) <= before + 2


async def test_the_document_names_every_figure() -> None:
    """docs/NETWORK.md has each metric that a scrape has, and no other."""
    async with open_api(Node()) as api:
        await api.ask("/transactions", b"\0")
        names = await scrape(api)
    ends = re.compile(r"_(bucket|count|sum)$")
    ours = [name for name in names if name.startswith("marsa_") and not name.endswith("_created")]
    scraped = {ends.sub("", name) for name in ours}
    text = (Path(__file__).parents[2] / "docs" / "NETWORK.md").read_text()
    named = set(re.findall(r"`(marsa_[a-z_]*[a-z])[`{]", text))
    assert named == scraped | {"marsa_consensus_last_commit_age_seconds"}  # there was no block


async def test_every_name_is_ours() -> None:
    """Names begin with marsa_, but for the process's own figures, which have standard names."""
    async with open_api(Node()) as api:
        await api.ask("/status")
        names = await scrape(api)
    assert [n for n in names if not n.startswith(("marsa_", "process_"))] == []
