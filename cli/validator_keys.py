"""The genesis of a chain, and the keys of its providers where it is that of a devnet.

The keys of a devnet all follow from its genesis and are public by design, so that one command there
speaks for all its validators and its regulator.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.accounts import describe_devnet, devnets
from cli.devnet.blueprint import Blueprint
from cli.errors import CliError, ExitCode, usage_error
from cli.genesis import read_genesis
from ledger.crypto import SigningKey
from ledger.genesis import Genesis, chain_id
from ledger.operations import ATTESTOR
from ledger.reasons import Reason


def find_genesis(chain: str, file: Path | None) -> Genesis:
    """The genesis of this chain: from `file`, or of the devnet on this machine.

    It is the root of trust for licences, and proves itself: its hash is the chain's identity.
    """
    if file is None:
        found = devnet_genesis(chain)
        if found is None:
            detail = "the genesis file is needed, to see that the authority signed the licence"
            raise usage_error("genesis_needed", detail, "name it with --genesis FILE")
        return found
    genesis = read_genesis(file)
    if chain_id(genesis).hex() != chain:
        raise CliError(
            Reason.WRONG_CHAIN.value,
            f"{file} is the genesis of chain {chain_id(genesis).hex()}, not of {chain}",
            hint="take the file with which the nodes of this chain were made",
            exit_code=ExitCode.CHECK_FAILED,
        )
    return genesis


def devnet_genesis(chain: str) -> Genesis | None:
    """Of the devnet with this chain, where it is on this machine."""
    for directory in devnets(chain):
        file = directory / "genesis.json"
        if file.is_file():
            genesis = read_genesis(file)
            if chain_id(genesis).hex() == chain:
                return genesis
    return None


def devnet_operations_keys(
    genesis: Genesis, wanted: Iterable[tuple[str, str]]
) -> tuple[SigningKey, ...]:
    """Those of (licence, public key in hex) that follow from the genesis of a devnet."""
    if genesis.network != "devnet":
        return ()
    source = _blueprint(genesis)
    made = ((SigningKey(source.seed(name, "operations")), key) for name, key in wanted)
    return tuple(found for found, key in made if found.public.hex() == key)


def devnet_regulator_keys(genesis: Genesis, wanted: Iterable[str]) -> tuple[SigningKey, ...]:
    """Those of the regulator's keys (in hex) that follow from the genesis of a devnet."""
    if genesis.network != "devnet":
        return ()
    public = set(wanted)
    made = (SigningKey(seed) for seed in _blueprint(genesis).regulator_seeds)
    return tuple(found for found in made if found.public.hex() in public)


def devnet_provider_keys(chain: str, licence: str) -> tuple[SigningKey, ...]:
    """The operations key of a provider that the devnet with this chain knows: it was in genesis,
    or `devnet add` made it a node. None for whoever made keys of its own."""
    genesis = devnet_genesis(chain)
    if genesis is None:
        return ()
    found = [described for path in devnets(chain) if (described := describe_devnet(path))]
    known = {item.id for item in genesis.licences}
    known.update(node.licence for devnet in found for node in devnet.nodes)
    if not licence or licence not in known:
        return ()
    grant = _blueprint(genesis).newcomer(licence, genesis)
    return devnet_operations_keys(genesis, [(licence, grant.keys.operations.hex())])


def devnet_role_key(genesis: Genesis, name: str, role: str) -> SigningKey | None:
    """What follows from the genesis of a devnet for a provider's role or an attestor (`attestor`);
    whether it is the key in force the chain says."""
    if genesis.network != "devnet":
        return None
    source = _blueprint(genesis)
    is_attestor = role == ATTESTOR
    return SigningKey(source.attestor_seed(name) if is_attestor else source.seed(name, role))


def devnet_authority_key(genesis: Genesis) -> Ed25519PrivateKey | None:
    """The key that licenses providers of a devnet; None for a genesis that is not derived."""
    seed = _blueprint(genesis).seed("authority")
    is_derived = SigningKey(seed).public == genesis.authority.key
    return Ed25519PrivateKey.from_private_bytes(seed) if is_derived else None


def _blueprint(genesis: Genesis) -> Blueprint:
    return Blueprint(nonce=genesis.nonce, time_ms=genesis.time_ms)
