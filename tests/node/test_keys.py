"""Key files: private, whole, and the ones that genesis names."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint, nonce_of_seed
from ledger.crypto import SigningKey
from ledger.genesis import chain_id
from node import keys
from node.config import NetworkSection, NodeConfig, Options
from node.errors import NodeError

BLUEPRINT = Blueprint(nonce_of_seed(0), SEEDED_TIME_MS)
SEED = bytes(range(32))


def node_directory(directory: Path, licence: str = "acme") -> NodeConfig:
    """The key files of one validator of the blueprint."""
    genesis = BLUEPRINT.genesis
    options = Options(licence=licence, network=NetworkSection(genesis_hash=chain_id(genesis).hex()))
    config = NodeConfig.of(directory, options)
    (directory / "keys").mkdir()
    consensus = BLUEPRINT.role_seed(licence, "consensus")
    keys.save_consensus_key(config.consensus_key_path, consensus, note="test")
    keys.save_link_key(config.link_key_path, BLUEPRINT.role_seed(licence, "link"))
    grant = keys.find_grant(genesis, licence)
    keys.save_certificate(config.licence_path, grant.certificate)
    keys.save_certificate(config.authority_path, genesis.authority.certificate)
    return config


def test_keys_come_back(tmp_path: Path) -> None:
    """Both keys are read as they were saved, and their files are for the owner alone."""
    config = node_directory(tmp_path)
    found = keys.load_node_keys(config, BLUEPRINT.genesis)
    assert found.consensus.public == found.grant.keys.consensus
    assert found.link_public == found.grant.keys.link
    for path in (config.consensus_key_path, config.link_key_path):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
@pytest.mark.parametrize("name", ["consensus.json", "link.pem"])
def test_readable_key_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    """A key that group or others may read is not used; the hint is the chmod that mends it."""
    config = node_directory(tmp_path)
    path = tmp_path / "keys" / name
    path.chmod(mode)
    with pytest.raises(NodeError) as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis)
    assert caught.value.code == "key_not_private"
    assert f"chmod 600 {path}" in caught.value.hint


@pytest.mark.parametrize("name", ["keys/consensus.json", "keys/link.pem", "licence.pem"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    """Each file that is missing is named in the error."""
    config = node_directory(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(NodeError, match=name) as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis)
    assert caught.value.code == "missing_key"


@pytest.mark.parametrize("name", ["keys/consensus.json", "keys/link.pem", "licence.pem"])
@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b"-----BEGIN PRIVATE KEY-----\n"])
def test_damaged_file_is_named(tmp_path: Path, name: str, data: bytes) -> None:
    """Whatever bytes a file holds, the error names it and nothing else is raised."""
    config = node_directory(tmp_path)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NodeError, match=name) as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis)
    assert caught.value.code == "bad_key_file"


@pytest.mark.parametrize("name", ["keys/consensus.json", "keys/link.pem", "licence.pem"])
def test_anothers_key_is_refused(tmp_path: Path, name: str) -> None:
    """A key or certificate of another validator of the same chain is not this node's."""
    (tmp_path / "own").mkdir()
    (tmp_path / "other").mkdir()
    config = node_directory(tmp_path / "own")
    node_directory(tmp_path / "other", "bolt")
    (tmp_path / "own" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(NodeError) as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis)
    assert caught.value.code == "wrong_key"
    assert name in caught.value.sentence


def test_foreign_authority_is_refused(tmp_path: Path) -> None:
    """An authority's certificate of another chain would let strangers in."""
    config = node_directory(tmp_path)
    other = Blueprint(nonce_of_seed(1), SEEDED_TIME_MS).genesis
    keys.save_certificate(config.authority_path, other.authority.certificate)
    with pytest.raises(NodeError, match="authority") as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis)
    assert caught.value.code == "wrong_key"


def test_unknown_licence_lists_the_validators(tmp_path: Path) -> None:
    """A licence that genesis does not have is refused with those that it has."""
    with pytest.raises(NodeError) as caught:
        keys.find_grant(BLUEPRINT.genesis, "nobody")
    assert "acme, bolt, coral, delta" in caught.value.hint


def test_seed_and_public_key_must_agree(tmp_path: Path) -> None:
    """A consensus key file whose halves differ is damaged."""
    path = tmp_path / "consensus.json"
    keys.save_consensus_key(path, SEED, note="test")
    other = SigningKey(bytes(32)).public.hex()
    path.write_text(path.read_text().replace(SigningKey(SEED).public.hex(), other))
    with pytest.raises(NodeError, match="public key"):
        keys.load_consensus_key(path)


def test_other_kinds_of_private_keys_are_refused(tmp_path: Path) -> None:
    """A key of another curve, and an encrypted one, are no link keys."""
    path = tmp_path / "link.pem"
    path.touch(mode=0o600)
    key = Ed448PrivateKey.generate()
    for encryption in (NoEncryption(), BestAvailableEncryption(b"password")):
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        with pytest.raises(NodeError) as caught:
            keys.load_link_public(path)
        assert caught.value.code == "bad_key_file"


def test_huge_file_is_not_read(tmp_path: Path) -> None:
    """A path to something large is refused without reading all of it."""
    path = tmp_path / "consensus.json"
    path.touch(mode=0o600)
    path.write_bytes(b" " * (keys.KEY_FILE_BYTES_MAX + 1))
    with pytest.raises(NodeError, match="larger"):
        keys.load_consensus_key(path)


def test_secrets_are_not_in_errors(tmp_path: Path) -> None:
    """No sentence about a damaged key file repeats what stands in it."""
    path = tmp_path / "consensus.json"
    keys.save_consensus_key(path, SEED, note="test")
    path.write_text(path.read_text().replace('"note"', '"nota"'))
    with pytest.raises(NodeError) as caught:
        keys.load_consensus_key(path)
    assert SEED.hex() not in caught.value.sentence + caught.value.hint
