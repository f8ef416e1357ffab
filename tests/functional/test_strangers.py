"""Peers and clients that are not what they should be, against a running network."""

from __future__ import annotations

import socket
import ssl
import subprocess
from http.client import HTTPConnection
from pathlib import Path

import pytest

from cli.devnet.sockets import is_free
from cli.devnet.state import ports
from tests.functional.cluster import Cluster, until
from tests.functional.commands import MARSA

pytestmark = pytest.mark.functional

CLOSED_S = 15
"""Longer than any limit on half-sent requests and handshakes."""


def connect(port: int, data: bytes) -> socket.socket:
    """A connection that sent `data` and waits."""
    opened = socket.create_connection(("127.0.0.1", port), timeout=CLOSED_S)
    opened.sendall(data)
    return opened


def is_closed(opened: socket.socket) -> bool:
    """Whether the other side ends it, in time; what it still says is read."""
    try:
        while opened.recv(65_536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_silent_and_half_sent_connections_are_closed(cluster: Cluster) -> None:
    """Nothing, half a header, half a body, half a handshake: closed in time, and payments go on."""
    cluster.up()
    api, operations, p2p = ports(cluster.base_port, 0)
    half_body = b"POST /v1/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\nx"
    waiting = [
        connect(api, b""),
        connect(api, b"GET /v1/status HTTP/1.1\r\nHost: 12"),
        connect(api, half_body),
        connect(operations, b"GET /li"),
        connect(p2p, b""),
        connect(p2p, b"\x16\x03\x01"),
        connect(p2p, b"GET / HTTP/1.1\r\n\r\n"),
    ]
    assert cluster.send("5", "alice", "bob")["status"] == "final"
    for opened in waiting:
        assert is_closed(opened)
        opened.close()
    assert cluster.send("5", "bob", "alice")["status"] == "final"


def test_tls_without_a_licence_is_an_observer_at_most(cluster: Cluster) -> None:
    """TLS 1.2 is refused, and what is no HELLO ends a TLS 1.3 link."""
    cluster.up()
    p2p = ports(cluster.base_port, 0)[2]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(connect(p2p, b"")) as link:
        assert link.version() == "TLSv1.3"
        link.sendall(b"\xff" * 64)
        assert link.recv(1) == b""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(p2p, b"") as opened, pytest.raises(ssl.SSLError):
        context.wrap_socket(opened)
    assert cluster.send("5", "alice", "bob")["status"] == "final"


def test_validator_of_another_chain_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """A node under another authority is refused inside TLS; the network notes it and goes on."""
    cluster.up()
    foreign = tmp_path / "foreign"
    cluster.marsa("genesis", "new", "--devnet", "--out", foreign)
    mine = [cluster.base_port + offset for offset in (20, 21, 22)]
    assert all(is_free(port) for port in mine)
    p2p = ports(cluster.base_port, 0)[2]
    cluster.marsa(
        *("node", "init", tmp_path / "node", "--genesis", foreign / "genesis.json"),
        *("--licence", "acme", "--keys", foreign / "nodes" / "acme"),
        *("--listen", f"127.0.0.1:{mine[0]}", "--api", f"127.0.0.1:{mine[1]}"),
        *("--operations", f"127.0.0.1:{mine[2]}", "--peer", f"bolt=127.0.0.1:{p2p}"),
    )
    log = cluster.node_dir("val0") / "node.log"
    with subprocess.Popen(
        [MARSA, "node", "run", tmp_path / "node"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=cluster.environment,
    ) as stranger:
        try:
            until(lambda: "tls_refused" in log.read_text(), "val0 refuses the stranger")
            assert cluster.send("5", "alice", "bob")["status"] == "final"
        finally:
            stranger.terminate()
            assert stranger.wait(30) == 0
    for node in cluster.nodes().values():
        assert node["alive"]
        assert node["height"] <= 10


BAD_COMMANDS = [
    (("tx", "send", "bob", "１２３", "--from", "alice"), 2, "bad_amount"),
    (("tx", "send", "bob", "-1", "--from", "alice"), 2, "usage"),
    (("tx", "send", "bob", "0", "--from", "alice"), 2, "bad_amount"),
    (("tx", "send", "bob", "1e3", "--from", "alice"), 2, "bad_amount"),
    (("tx", "send", "bob", "0.0000001", "--from", "alice"), 2, "bad_amount"),
    (("tx", "send", "nobody", "1", "--from", "alice"), 6, "unknown_address"),
    (("tx", "send", "bob", "1", "--from", "nobody"), 6, "unknown_account"),
    (("tx", "send", "bob", "1", "--from", "alice", "--memo", "x" * 257), 2, "memo_too_long"),
    (("tx", "send", "bob", "99999999", "--from", "alice"), 5, "insufficient_funds"),
    (("coin", "mint", "99999999", "--issuer", "acme", "--to", "bob"), 5, "above_headroom"),
    (("tx", "show", "00" * 32), 6, "unknown_transaction"),
    (("query", "block", "99999999"), 6, None),
]


def test_bad_input_is_refused_by_name_and_changes_nothing(cluster: Cluster) -> None:
    """Each wrong command has its own code; afterwards the network pays as before."""
    cluster.up()
    for arguments, code, name in BAD_COMMANDS:
        ended = cluster.marsa(*arguments, "--json", code=None)
        assert ended.code == code, (arguments, ended)
        assert name in (None, ended.error["code"]), (arguments, ended)
        assert "Traceback" not in ended.err
    pids = {node["pid"] for node in cluster.nodes().values()}
    assert cluster.send("5", "alice", "bob")["status"] == "final"
    assert pids == {node["pid"] for node in cluster.nodes().values()}


BAD_BODIES = [
    (b"", "application/msgpack", "malformed"),
    (b"\xff" * 40, "application/msgpack", "malformed"),
    (b'{"nonsense": 1}', "application/json", None),
    (b"{", "application/json", None),
]


def test_bad_bodies_are_problems(cluster: Cluster) -> None:
    """Bytes that are no transaction get a 4xx problem with a code, and the node answers on."""
    cluster.up()
    api = ports(cluster.base_port, 0)[0]
    for body, kind, code in BAD_BODIES:
        connection = HTTPConnection("127.0.0.1", api, timeout=CLOSED_S)
        connection.request("POST", "/v1/transactions", body, {"Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert 400 <= answer.status < 500, (body, text)
        assert answer.getheader("Content-Type", "").startswith("application/problem+json")
        assert code is None or f'"{code}"' in text
    assert cluster.send("5", "alice", "bob")["status"] == "final"
