"""The composition root: every part of a node is made here, once, and every task is started here.

Reads like a table of contents. Order of start: directory lock, genesis, keys, chain (with the
audit of the last blocks), vote log, engine, network, API. Order of stop: tasks, API, links,
storage, lock. Whatever fails on this machine ends the process with a sentence and code 1.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from contextlib import ExitStack
from dataclasses import dataclass

import uvloop

from consensus.replica_state import ReplicaBroken
from consensus.view_change import Rules
from ledger import genesis as genesis_rules
from ledger.boot_audit import audit_boot
from ledger.chain import Chain
from ledger.errors import InvariantBroken
from ledger.genesis import Genesis
from ledger.genesis_state import genesis_state
from ledger.leveldb import LevelDB
from ledger.mempool import Mempool
from ledger.reasons import Invalid
from ledger.reserve_history import ReserveHistory
from ledger.witnesses import Witnesses
from node import logs, snapshot_store, verify_workers
from node.api import schemas
from node.api.listener import Limits, Listener
from node.api.server import admin_app, operations_app, public_app
from node.api.services import Services as ApiServices
from node.config import NodeConfig
from node.config import load as load_config
from node.directory import Directory
from node.disk import (
    DirectoryLock,
    create_store,
    free_bytes,
    in_words,
    open_giving_way,
    storage_errors,
)
from node.driver import Driver, read_clocks
from node.engine import Engine
from node.epochs import rules_at
from node.errors import NodeError
from node.files import sync_directory
from node.guards import Guard, NoVotes
from node.intake import Intake
from node.keys import NodeKeys, check_authority, load_node_keys
from node.metrics import Metrics
from node.new_log import new_log, replace_log
from node.outbox import NetworkOutbox
from node.signer_client import RemoteKey
from node.snapshot_client import SnapshotClient
from node.supervise import Services, first_of
from node.verify import Verifier, helpers_here
from node.vote_guard import VoteGuard
from node.wal import DiskLogFile, LogDamaged, WriteAheadLog
from node.watch import NodeWatch, software_version
from p2p.handshake import SESSION_BYTES, LocalNode, Role
from p2p.limits import LinkLimits
from p2p.network import Endpoint, Network
from p2p.tls import LicenceFiles, client_context, server_context

DISK_CHECK_S = 5.0
EXIT_OK = 0
EXIT_FAILED = 1
READERS_OF_INBOX = 2
"""While the one waits for signatures that other cores verify, the other goes on."""

log = logging.getLogger("marsa.node")


@dataclass(frozen=True, slots=True)
class Stores:
    """What a node has on disk, opened and checked. `keys` is None for an observer."""

    genesis: Genesis
    keys: NodeKeys | None
    chain: Chain
    guard: Guard
    rules: Rules
    verifier: Verifier
    witnesses: Witnesses
    history: ReserveHistory


def init_node(config: NodeConfig) -> None:
    """Make the chain's store with its genesis and an empty vote log; raises NodeError.

    The directory, configuration, genesis file and keys are there already.
    """
    genesis = read_genesis(config)
    _load_keys(config, genesis)
    with DirectoryLock(config.directory):
        kv = create_store(config.chain_path)
        Chain.create(kv, genesis_state(genesis))
        kv.close()
        if not config.is_observer:
            new_log(config.votes_path).close()
        sync_directory(config.directory)


def check_node(config: NodeConfig) -> str:
    """Everything that `run_node` checks before it opens a socket; raises NodeError.

    The answer says why the node will only follow when it starts; empty when it may vote.
    """
    with storage_errors(), DirectoryLock(config.directory), ExitStack() as stack:
        return _open(config, stack).guard.fault


def stored_height(config: NodeConfig) -> int:
    """Of the chain in a directory in which no node runs; raises NodeError."""
    with storage_errors(), DirectoryLock(config.directory), ExitStack() as stack:
        kv = LevelDB.open(config.chain_path)
        stack.callback(kv.close)
        return Chain.open(kv).height


def run_node(config: NodeConfig) -> int:
    """Run until SIGTERM, SIGINT or a failure; the exit code. Raises NodeError before it runs."""
    if not __debug__:
        raise NodeError("optimised", "Python runs with -O, which removes this node's assertions")
    return uvloop.run(_main(config))


def read_genesis(config: NodeConfig) -> Genesis:
    """The genesis file, if it is the chain that the configuration names."""
    path = config.genesis_path
    try:
        with path.open("rb") as file:
            genesis = genesis_rules.load(file.read(genesis_rules.GENESIS_BYTES_MAX + 1))
    except FileNotFoundError:
        raise NodeError(
            "no_genesis", f"{path} does not exist", "copy the chain's genesis"
        ) from None
    except Invalid as error:
        raise NodeError("bad_genesis", f"{path}: {error.detail}", "copy it again") from None
    found = genesis_rules.chain_id(genesis)
    if found != config.genesis_hash:
        raise NodeError(
            "wrong_genesis",
            f"{path} is the genesis of chain {found.hex()}, not of {config.network.genesis_hash}",
            "put the right genesis there, or correct network.genesis_hash in marsa.toml",
        )
    return genesis


# Opening.


def _open(config: NodeConfig, stack: ExitStack) -> Stores:
    genesis = read_genesis(config)
    _check_free_space(config)
    snapshot_store.settle(config.chain_path)
    kv = open_giving_way(config.chain_path)
    stack.callback(kv.close)
    chain = Chain.open(kv, is_archive=config.storage.archive)
    if chain.chain_id != config.genesis_hash:
        raise NodeError(
            "wrong_chain",
            f"{config.chain_path} holds another chain than {config.network.genesis_hash}",
            "use another directory, or the genesis of the chain that is stored here",
        )
    keys = _load_keys(config, genesis, chain)
    audit_boot(chain)
    verifier = Verifier(helpers=helpers_here())
    rules = rules_at(chain, verifier.is_valid)
    guard = NoVotes() if keys is None else _open_guard(config, keys, rules, stack)
    return Stores(genesis, keys, chain, guard, rules, verifier, Witnesses(kv), ReserveHistory(kv))


def _load_keys(config: NodeConfig, genesis: Genesis, chain: Chain | None = None) -> NodeKeys | None:
    """An observer has none, and trusts the same authority; raises NodeError."""
    if config.is_observer:
        check_authority(config, genesis)
        return None
    return load_node_keys(config, genesis, chain)


def _open_guard(config: NodeConfig, keys: NodeKeys, rules: Rules, stack: ExitStack) -> VoteGuard:
    """A missing or damaged log is no reason to stop: the node follows and does not vote."""

    def begin_anew() -> WriteAheadLog:
        made = replace_log(config.votes_path)
        stack.callback(made.close)
        return made

    key = keys.consensus
    if isinstance(key, RemoteKey):
        stack.callback(key.close)
    try:
        log_, records = WriteAheadLog.open(DiskLogFile(config.votes_path))
        stack.callback(log_.close)
        return VoteGuard(key, rules, log_, records, new_log=begin_anew)
    except FileNotFoundError:
        why = f"{config.votes_path} is missing, as after a restore from a backup"
    except (LogDamaged, Invalid) as error:
        why = str(error)
    return VoteGuard(key, rules, None, new_log=begin_anew, why=why)


def _check_free_space(config: NodeConfig) -> None:
    free = free_bytes(config.directory)
    if free < config.storage.stop_voting_below_bytes:
        raise NodeError(
            "disk_full",
            f"{config.directory} has {free >> 20} MiB free, a node needs"
            f" {config.storage.stop_voting_below_mib} MiB",
            "free some space, or lower storage.stop_voting_below_mib in marsa.toml",
        )


# Running.


async def _main(config: NodeConfig) -> int:
    """Once more from the start, in the same process, whenever a snapshot replaces the chain."""
    session = secrets.token_bytes(SESSION_BYTES)  # one process, whatever it opens again
    with storage_errors(), DirectoryLock(config.directory):
        while True:
            ended = await _run_once(config, session)
            if ended is not None:
                return ended
            snapshot_store.put_in_place(config.chain_path)


async def _run_once(config: NodeConfig, session: bytes) -> int | None:
    """The exit code; None where a snapshot is whole that takes the place of the chain."""
    with ExitStack() as stack:
        node = RunningNode(config, _open(config, stack), session)
        logs.configure(
            config.name, config.log.level, node.position, as_json=config.log.format == "json"
        )
        code, refusal = EXIT_OK, None
        try:
            await node.run()
        except* OSError as group:
            log.critical("stopped by storage or system: %s", in_words(first_of(group)))
            code = EXIT_FAILED
        except* (ReplicaBroken, InvariantBroken) as group:
            log.critical("stopped, this node contradicts a quorum: %s", first_of(group))
            code = EXIT_FAILED
        except* NodeError as group:
            refusal = first_of(group)  # raised here it would be in a group again
        except* Exception as group:
            log.critical("stopped by a fault of this program", exc_info=group)
            raise
        if refusal is not None:
            raise refusal
        return None if code == EXIT_OK and node.has_snapshot else code


class RunningNode:
    """The parts of one running node, wired together."""

    def __init__(self, config: NodeConfig, stores: Stores, session: bytes) -> None:
        self.has_snapshot = False
        """A snapshot is whole and waits to be put in place of the chain."""
        self._session = session
        self._config = config
        self._stores = stores
        self._stop = asyncio.Event()
        self._fault: Exception | None = None
        self._disk_has_room = True
        key = None if stores.keys is None else stores.keys.consensus
        self._remote_key = key if isinstance(key, RemoteKey) else None
        self._directory = Directory(stores.chain)
        self._outbox = NetworkOutbox(self._directory)
        mempool = Mempool()
        intake = Intake(stores.chain, mempool, stores.verifier, stores.genesis.parameters.fees)
        self._engine = Engine(
            rules=stores.rules,
            chain=stores.chain,
            mempool=mempool,
            verifier=stores.verifier,
            guard=stores.guard,
            outbox=self._outbox,
            witnesses=stores.witnesses,
            now=read_clocks(),
        )
        self._driver = Driver(self._engine, intake, mempool, self._directory, stores.history)
        self._mempool = mempool

    def position(self) -> tuple[int, int, int]:
        """Epoch, view and height, for log lines."""
        state = self._engine.replica.state
        return state.rules.epoch, state.view, state.height

    async def run(self) -> None:
        """Until `stop`, a signal, or the failure of any task."""
        self._handle_signals()  # before the first wait: another's handlers may still be there
        processes = self._config.verify.processes
        async with verify_workers.running(self._stores.verifier, processes) as workers:
            self._driver.workers = workers
            await self._serve()
        if self._fault is not None:
            raise self._fault
        log.info("stopped")

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            services = Services(group)
            network = self._start_network(services)
            listeners = await self._start_api(network)
            services.start("timer", self._driver.run_timer())
            for number in range(READERS_OF_INBOX):
                services.start(f"inbox-{number}", self._driver.run_inbox())
            services.start("serving", self._driver.serving.run())
            services.start("events", self._driver.events.run())
            services.start("disk", self._watch_disk())
            if self._remote_key is not None:
                services.start("signer", self._remote_key.keep(self._look_at_signer))
            services.start("snapshot", self._start_snapshots(network).run())
            log.info("started height=%d", self._stores.chain.height)
            try:
                await self._stop.wait()
            finally:
                self._driver.events.close()
                for listener in listeners:
                    await listener.close()
                services.stop()
        network.close()

    def stop(self) -> None:
        """Counts more than a snapshot that became whole in this moment: it is taken again."""
        self.has_snapshot = False
        self._stop.set()

    def recover(self) -> None:
        """The operator's word that this key may vote again; raises Refused."""
        self._stores.guard.recover()
        self._look_at_voting()

    def _start_network(self, services: Services) -> Network:
        config, stores = self._config, self._stores
        licence = None
        if not config.is_observer:
            licence = LicenceFiles(config.licence_path, config.link_key_path)
        local = LocalNode(
            chain_id=stores.rules.chain_id,
            authority_key=stores.genesis.authority.key,
            role=Role(config.role),
            licence_id=config.licence,
            link_key=b"" if stores.keys is None else stores.keys.link_public,
            session=self._session,
        )
        network = Network(
            local,
            self._driver,
            services.spawn,
            client_tls=client_context(config.authority_path, licence),
            peers=_endpoints(config),
            limits=LinkLimits(
                unauthenticated_max=config.p2p.unauthenticated_max,
                unauthenticated_per_address_max=config.p2p.unauthenticated_per_address_max,
            ),
        )
        self._outbox.network = network
        self._driver.network = network
        if licence is not None:
            address = config.p2p.listen_address
            tls = server_context(config.authority_path, licence)
            network.listen(address.host, address.port, tls)
        network.start()
        return network

    def _start_snapshots(self, network: Network) -> SnapshotClient:
        client = SnapshotClient(
            self._stores.chain,
            self._config.chain_path,
            lambda: self._engine.replica.state.rules,
            self._driver,
            network,
            self._on_snapshot,
            distance=self._config.sync.snapshot_distance,
            key_of=self._directory.key,
        )
        self._driver.snapshots = client
        return client

    def _on_snapshot(self) -> None:
        if not self._stop.is_set():
            self.has_snapshot = True
            self._stop.set()

    async def _start_api(self, network: Network) -> list[Listener]:
        config, stores = self._config, self._stores
        watch = NodeWatch(self._driver, network, self._on_fault, config.name)
        services = ApiServices(
            genesis=stores.genesis,
            chain=stores.chain,
            mempool=self._mempool,
            node=schemas.NodeInfo(
                name=config.name, role=config.role, version=software_version(), key=config.key_place
            ),
            intake=self._driver,
            watch=watch,
            events=self._driver.events,
            history=stores.history,
        )
        metrics = Metrics()
        limits = Limits(connections_per_address_max=config.api.connections_per_address_max)
        api = config.api
        public = Listener(public_app(services, metrics, api.hosts, api.rate_per_address), limits)
        operations = Listener(operations_app(services, metrics, config.api.hosts))
        admin = Listener(admin_app(services, metrics, self.stop, self.recover))
        metrics.watch(services, public)
        address = config.api.listen_address
        await public.start_tcp(address.host, address.port, public=config.api.public)
        address = config.operations.listen_address
        await operations.start_tcp(address.host, address.port, public=config.api.public)
        await admin.start_unix(config.admin_socket_path)
        return [public, operations, admin]

    async def _watch_disk(self) -> None:
        """Stop taking transactions, then voting, before a write can fail; later go on."""
        while True:
            self._look_at_disk(free_bytes(self._config.directory))
            await asyncio.sleep(DISK_CHECK_S)

    def _look_at_disk(self, free: int) -> None:
        storage = self._config.storage
        self._driver.accepts_transactions = free >= storage.reject_below_bytes
        has_room = free >= storage.stop_voting_below_bytes
        if has_room == self._disk_has_room:
            return
        self._disk_has_room = has_room
        free_mib, needed_mib = free >> 20, storage.stop_voting_below_mib
        why = "" if has_room else f"{free_mib} MiB of disk are free, {needed_mib} MiB are needed"
        self._stores.guard.withhold(why)
        if has_room:
            log.info("the disk has room again, free_mib=%d", free_mib)
        else:
            log.error("not voting: %s", why)
        self._look_at_voting()

    def _look_at_signer(self) -> None:
        """The process that holds the key went away, came back, or fails in another way."""
        key = self._remote_key
        assert key is not None
        if key.is_at_hand:
            log.info("the signer is here")
        else:
            log.error("not voting: %s", key.trouble)
        self._look_at_voting()

    def _look_at_voting(self) -> None:
        self._engine.review_voting()
        self._driver.tick()

    def _on_fault(self, fault: Exception) -> None:
        self._fault = fault
        self.stop()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGUSR1, self._dial_new_peers)

    def _dial_new_peers(self) -> None:
        """Those that marsa.toml names by now; every other change waits for the next start."""
        network = self._driver.network
        try:
            peers = _endpoints(load_config(self._config.directory))
        except NodeError as error:
            log.error("peers were not read again: %s", error)
            return
        if network is not None:
            log.info("new_peers=%s", ",".join(network.dial_too(peers)) or "none")


def _endpoints(config: NodeConfig) -> dict[str, Endpoint]:
    return {
        name: Endpoint(address.host, address.port)
        for name, address in config.p2p.peer_addresses.items()
    }
