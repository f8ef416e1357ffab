"""The process of a devnet's agents: looks at the chain, decides, signs, sends, looks again.

One process for all: they wait most of the time. What an agent sent and what is final is not kept:
the next look says what is still missing, and what was sent twice is refused as known.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cli.agents.attestor import AttestorAgent
from cli.agents.issuer import IssuerAgent
from cli.agents.seen import look
from cli.client import ApiProblem, Client, ClientError
from cli.devnet import state
from cli.devnet.blueprint import COMMITTED, VOUCHING, Blueprint
from cli.sending import signed_free
from ledger.crypto import SigningKey

LOOKS_A_PERIOD = 6
LOOK_S_MIN = 1.0

log = logging.getLogger("marsa.agents")


@dataclass(frozen=True, slots=True)
class Signing:
    """An agent and the key that signs what it decides."""

    agent: AttestorAgent | IssuerAgent
    key: SigningKey


def agents_of(blueprint: Blueprint, attestors: Sequence[str]) -> list[Signing]:
    """All of a devnet; their keys are public like every key of it."""
    made = []
    for name in attestors:
        seed = blueprint.attestor_seed(name)
        key = SigningKey(seed)
        vouches = name in VOUCHING
        made.append(Signing(AttestorAgent(name, seed, key.public, vouches=vouches), key))
    for issuer in blueprint.issuers:
        key = SigningKey(blueprint.role_seed(issuer, "operations"))
        kept = frozenset(f"{issuer}-{kind}" for kind in COMMITTED)
        made.append(Signing(IssuerAgent(issuer, key.public, kept), key))
    return made


class Agents:
    """Runs until `stop`."""

    def __init__(self, signing: Sequence[Signing], chain_id: bytes, apis: Sequence[str]) -> None:
        self._signing = signing
        self._chain_id = chain_id
        self._apis = list(apis)
        self._is_stopping = False

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self._is_stopping = True

    def run(self, life_ms: int, period_ms: int) -> None:
        """`life_ms` of an attestation, `period_ms` of a period."""
        pause_s = max(LOOK_S_MIN, period_ms / 1_000 / LOOKS_A_PERIOD)
        while not self._is_stopping:
            try:
                with Client(self._apis[0]) as client:
                    self.turn(client, life_ms)
            except ClientError as error:
                log.info("%s; asking another node", error)
                self._apis.append(self._apis.pop(0))
            self._wait(pause_s)

    def turn(self, client: Client, life_ms: int) -> int:
        """One look and what follows from it; how many transactions were taken."""
        seen = look(client, life_ms)
        now_ms = client.status().sync.header_time_ms
        taken = 0
        for item in self._signing:
            for operation in item.agent.decide(seen):
                raw = signed_free(self._chain_id, [operation], item.key, now_ms)
                taken += self._send(client, raw)
        return taken

    def _send(self, client: Client, raw: bytes) -> bool:
        try:
            client.submit(raw)
        except ApiProblem as problem:
            log.info("refused: %s", problem)
            return False
        return True

    def _wait(self, seconds: float) -> None:
        """In short steps, so that a signal ends it soon."""
        ends = time.monotonic() + seconds
        while not self._is_stopping and time.monotonic() < ends:
            time.sleep(0.1)


def run_agents_of(directory: Path) -> int:
    """What the process does: `directory` lies beside the nodes of its devnet."""
    from ledger import genesis

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    place = state.load(directory.parent)
    made = genesis.load((place.directory / "genesis.json").read_bytes())
    attestors = [item.id for item in made.attestors]
    signing = agents_of(Blueprint.of(made), attestors)
    apis = [node.api for node in place.devnet.nodes]
    agents = Agents(signing, genesis.chain_id(made), apis)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, agents.stop)
    agents.run(made.parameters.economy.attestation_life_ms, made.parameters.period_ms)
    return 0
