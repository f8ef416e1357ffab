"""Metrics for Prometheus: names begin with `marsa_`, units are base units, labels closed sets.

No label holds an address, a txid or anything else that a client chooses: routes, reasons,
issuers and validators are finite. What a node counts while it works is a metric here; what can be
read off it at any time is read when somebody asks.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.economy.reserve import Reserve
from ledger.objects import load_all
from ledger.parameters import PPM
from ledger.reasons import Reason
from node.api.listener import Listener
from node.api.services import Services
from node.api.status import mempool_of, status_of

CONTENT_TYPE = CONTENT_TYPE_LATEST
_METHODS = frozenset(("GET", "HEAD", "POST"))
_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One registry a node; nothing is global, so that two nodes fit into one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._request_seconds = Histogram(
            "marsa_api_request_seconds",
            "Time to receive, handle and answer a request.",
            ("route", "method", "status"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._refused = Counter(
            "marsa_transactions_refused",
            "Transactions that clients sent and this node refused.",
            ("code",),
            registry=self.registry,
        )

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        known = method if method in _METHODS else "other"
        self._request_seconds.labels(route, known, str(status)).observe(seconds)

    def count_refusal(self, reason: Reason) -> None:
        self._refused.labels(reason.value).inc()

    def watch(self, services: Services, listener: Listener) -> None:
        """Read the node and its public listener at every scrape from now on."""
        self.registry.register(_NodeCollector(services, listener))

    def expose(self) -> bytes:
        return generate_latest(self.registry)


class _NodeCollector(Collector):
    def __init__(self, services: Services, listener: Listener) -> None:
        self._services = services
        self._listener = listener

    def describe(self) -> list[Metric]:
        """Nothing: else registering would already read the node."""
        return []

    def collect(self) -> Iterator[Metric]:
        services = self._services
        info = GaugeMetricFamily(
            "marsa_build_info", "What runs here.", labels=("version", "python")
        )
        info.add_metric((services.node.version, platform.python_version()), 1)
        yield info
        yield from self._network()
        yield from self._links()
        yield from self._economy()
        pool = mempool_of(services)
        yield _gauge("marsa_mempool_transactions", "Waiting.", pool.transactions)
        yield _gauge("marsa_mempool_bytes", "Waiting.", pool.size_bytes)
        seconds = pool.oldest_pending_ms / 1_000
        yield _gauge("marsa_mempool_oldest_pending_seconds", "Age of the oldest.", seconds)
        yield _gauge("marsa_api_connections", "Open connections.", self._listener.connections)
        events = services.events
        yield _gauge("marsa_api_event_streams", "Clients that listen to events.", len(events))
        yield CounterMetricFamily(
            "marsa_api_event_gaps",
            "Clients that were too far behind for single events.",
            events.gaps,
        )
        yield CounterMetricFamily(
            "marsa_api_connections_refused",
            "Connections turned away because the listener was full.",
            self._listener.refused,
        )

    def _network(self) -> Iterator[Metric]:
        services = self._services
        status = status_of(services)
        sync, now = status.sync, status.consensus
        ready = all(check.ok for check in services.watch.health())
        yield _gauge("marsa_ready", "1 when every readiness check passes.", ready)
        yield _gauge("marsa_sync_catching_up", "1 while behind the network.", sync.catching_up)
        yield _gauge("marsa_sync_target_height", "Highest proved height.", sync.target_height)
        yield _gauge("marsa_consensus_height", "Last final height.", sync.height)
        yield _gauge("marsa_consensus_epoch", "Current epoch.", now.epoch)
        yield _gauge("marsa_consensus_view", "Current view.", now.view)
        is_primary = now.primary == services.node.name
        yield _gauge("marsa_consensus_is_primary", "1 on the primary.", is_primary)
        yield _gauge("marsa_consensus_is_voting", "1 while this node votes.", now.is_voting)
        yield _gauge("marsa_consensus_has_seat", "1 on a validator of the epoch.", now.has_seat)
        yield _gauge("marsa_consensus_validators", "Members of the epoch.", now.validators)
        yield _gauge("marsa_consensus_quorum", "Votes that decide.", now.quorum)
        blocks = sync.height - now.epoch_base_height
        yield _gauge("marsa_consensus_epoch_blocks", "Blocks of the epoch so far.", blocks)
        waiting = len(now.waiting)
        yield _gauge("marsa_licences_waiting", "Licences that wait for a seat.", waiting)
        yield _gauge("marsa_consensus_connected", "Members with a link.", now.connected)
        if now.last_commit_age_ms is not None:
            age = now.last_commit_age_ms / 1_000
            yield _gauge("marsa_consensus_last_commit_age_seconds", "Since a commit.", age)
        linked = GaugeMetricFamily(
            "marsa_validator_connected", "1 for each member with a link.", labels=("validator",)
        )
        for member in services.validators.members:
            linked.add_metric((member.licence,), member.licence not in now.missing)
        yield linked

    def _links(self) -> Iterator[Metric]:
        watch = self._services.watch
        refused = CounterMetricFamily(
            "marsa_links_refused", "Links turned away or failed.", labels=("reason",)
        )
        for reason, count in watch.links_refused().items():
            refused.add_metric((reason,), count)
        yield refused
        yield CounterMetricFamily(
            "marsa_gossip_dropped_bytes",
            "Pushed transactions that were dropped because too many waited.",
            watch.inbox_dropped_bytes(),
        )

    def _economy(self) -> Iterator[Metric]:
        supply = GaugeMetricFamily("marsa_supply_units", "Outstanding, µ.", labels=("issuer",))
        backing = GaugeMetricFamily("marsa_reserve_units", "Reserve, µ.", labels=("issuer",))
        cover = GaugeMetricFamily("marsa_coverage_ratio", "Reserve / supply.", labels=("issuer",))
        for item in load_all(self._services.chain, Reserve):
            supply.add_metric((item.issuer,), item.supply)
            backing.add_metric((item.issuer,), item.reserve)
            cover.add_metric((item.issuer,), item.coverage_ppm / PPM)
        yield from (supply, backing, cover)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)
