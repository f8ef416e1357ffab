"""A network of hosts as `marsa network init` makes it: each validator starts from its own directory
alone, on one address with four ports, and on four addresses with a network between them."""

from __future__ import annotations

import pytest

from cli.devnet.state import ports
from tests.cli.hosts_file import PROVIDERS, host
from tests.functional.cluster import Cluster
from tests.functional.hosts import Host, Hosts, all_voting, assert_works, namespaces

pytestmark = pytest.mark.functional

SUBNET = "10.87.40"


def test_four_ports_of_one_machine(cluster: Cluster) -> None:
    """Loopback addresses: everything stays on loopback, a payment is final, and with the keys that
    lie apart another provider is licensed and admitted."""
    tables, hosts = [], []
    for index, name in enumerate(PROVIDERS):
        api, operations, p2p = ports(cluster.base_port, index)
        listen = (f'api = "127.0.0.1:{api}"', f'operations = "127.0.0.1:{operations}"')
        tables.append(host(name, f"127.0.0.1:{p2p}", *listen))
        hosts.append(Host(name, f"http://127.0.0.1:{api}"))
    network = Hosts(cluster, hosts)
    network.found(tables)
    with all_voting(network) as running:
        assert network.admit(hosts[0], "kite")["status"] == "final"
        status = network.marsa(hosts[1], "validator", "status").json
        assert status["candidates"] == ["kite"]
        assert_works(network, running)


def test_four_hosts(cluster: Cluster) -> None:
    """Each validator in a network of its own with its own address, the default ports everywhere:
    links cross the bridge, and no interface of one is an interface of another."""
    addresses = [f"{SUBNET}.{index + 1}" for index in range(len(PROVIDERS))]
    with namespaces(addresses) as places:
        api = "http://127.0.0.1:8640"
        hosts = [Host(name, api, enter) for name, enter in zip(PROVIDERS, places, strict=True)]
        network = Hosts(cluster, hosts)
        network.found([host(n, f"{a}:8740") for n, a in zip(PROVIDERS, addresses, strict=True)])
        with all_voting(network) as running:
            assert_works(network, running)
