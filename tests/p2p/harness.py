"""Nodes with real sockets and certificates for the tests of links."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from p2p.handshake import SESSION_BYTES, LocalNode, RefusedReason, Role
from p2p.licence_cert import (
    certificate_pem,
    issue_authority_certificate,
    issue_licence_certificate,
    private_key_pem,
)
from p2p.limits import LinkLimits
from p2p.network import Endpoint, Network
from p2p.peer import Peer
from p2p.tls import LicenceFiles, client_context, server_context

CHAIN_ID = hashlib.sha256(b"chain").digest()
DEADLINE_S = 10.0
TEST_LIMITS = {"tick_s": 0.02, "redial_min_s": 0.02, "redial_max_s": 0.2, "handshake_s": 3.0}


def private_key(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())


def public_key(seed: str) -> bytes:
    return private_key(seed).public_key().public_bytes_raw()


class Authority:
    """Issues licences; its files lie in one directory."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._name = name
        self._key = private_key(name)
        self.certificate = issue_authority_certificate(self._key, name)
        self.public = public_key(name)
        self.path = directory / f"{name}.pem"
        self.path.write_bytes(certificate_pem(self.certificate))

    def licence(self, licence_id: str, **dates: Any) -> LicenceFiles:
        """Certificate and key files for `licence_id`, whose link key derives from its name."""
        der = issue_licence_certificate(
            self._key, self.certificate, public_key(licence_id), licence_id, **dates
        )
        stem = self._directory / f"{self._name}-{licence_id}"
        files = LicenceFiles(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        files.certificate.write_bytes(certificate_pem(der))
        files.link_key.write_bytes(private_key_pem(private_key(licence_id)))
        return files


class Node:
    """A network with an owner that records what it is told and admits whom it is told to."""

    def __init__(
        self, world: World, name: str, *, role: Role = Role.VALIDATOR, **options: Any
    ) -> None:
        self.name = name
        self.world = world
        self.admitted: dict[bytes, str | RefusedReason] = {
            public_key(other): other for other in world.names
        }
        self.received: list[tuple[str, int, bytes]] = []
        self.recording = True
        self.events: list[tuple[str, str]] = []
        self.frame_hook: Callable[[Peer, int, bytes], None] | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.port = 0
        self.session = b""
        self._role = role
        self._chain_id = options.pop("chain_id", CHAIN_ID)
        self._files = options.pop("files", None)
        self._clock = options.pop("clock", time.monotonic)
        self._limits = LinkLimits(**{**TEST_LIMITS, **options})
        self.network: Network

    # What the network asks of its owner.

    def admit(self, link_key: bytes) -> str | RefusedReason:
        return self.admitted.get(link_key, RefusedReason.LICENCE_UNKNOWN)

    def height(self) -> int:
        return 7

    def on_link_up(self, peer: Peer) -> None:
        self.events.append(("up", peer.identity))

    def on_link_down(self, peer: Peer) -> None:
        self.events.append(("down", peer.identity))

    def on_key_in_use(self) -> None:
        self.events.append(("key in use", ",".join(self.network.key_in_use_at())))

    def on_frame(self, peer: Peer, number: int, payload: bytes) -> None:
        if self.frame_hook is not None:
            self.frame_hook(peer, number, payload)
        if self.recording:
            self.received.append((peer.identity, number, payload))

    # What the tests do with it.

    def start(self, dials: dict[str, int], *, port: int = 0) -> None:
        """Listen (validators only) and dial the given peers by name and port, as a new process."""
        self.session = secrets.token_bytes(SESSION_BYTES)
        authority = self.world.authority
        validator = self._role is Role.VALIDATOR
        files = self._files
        if files is None and validator:
            files = authority.licence(self.name)
        self.network = Network(
            LocalNode(
                chain_id=self._chain_id,
                authority_key=authority.public,
                role=self._role,
                licence_id=self.name if validator else "",
                link_key=public_key(self.name) if validator else b"",
                session=self.session,
            ),
            self,
            self._spawn,
            client_tls=client_context(authority.path, files),
            peers={name: Endpoint("127.0.0.1", port) for name, port in dials.items()},
            limits=self._limits,
            clock=self._clock,
        )
        if validator and files is not None:
            tls = server_context(authority.path, files)
            self.port = self.network.listen("127.0.0.1", port, tls)
        self.network.start()

    def linked(self) -> list[str]:
        return [peer.identity for peer in self.network.peers()]

    def peer(self, name: str) -> Peer:
        return next(peer for peer in self.network.peers() if peer.identity == name)

    async def stop(self) -> None:
        """Cancel every task, as a process that ends does."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        self.network.close()

    def _spawn(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(self.world.group.create_task(coroutine, name=name))


class HandClock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """One authority, one TaskGroup, the nodes of a test."""

    def __init__(self, directory: Path, group: asyncio.TaskGroup) -> None:
        self.authority = Authority(directory)
        self.group = group
        self.names = ("val0", "val1", "val2", "val3")
        self.nodes: list[Node] = []

    def node(self, name: str, **options: Any) -> Node:
        node = Node(self, name, **options)
        self.nodes.append(node)
        return node

    def raw_client(self, name: str | None) -> ssl.SSLContext:
        """TLS of a dialler that a test drives by hand."""
        files = None if name is None else self.authority.licence(name)
        return client_context(self.authority.path, files)


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    """A world whose nodes are stopped at the end, whatever happened."""
    async with asyncio.TaskGroup() as group:
        world = World(directory, group)
        try:
            yield world
        finally:
            for node in world.nodes:
                await node.stop()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail with `what` when it does not come true in time."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 - anything may be waited for
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE_S} s in vain: {what}") from None
