"""Key files: private, whole, and the ones that genesis names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from msgspec import structs

from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint, nonce_of_seed
from cli.genesis_licence import new_grant
from cli.role_keys import KeyDirectory
from ledger.codec import encode
from ledger.crypto import SigningKey
from ledger.economy.licence import Licence
from ledger.genesis import chain_id
from ledger.objects import key_of
from node import keys
from node.config import NetworkSection, NodeConfig, Options
from node.errors import NodeError
from node.signer import Beginning, open_signer
from p2p.licence_cert import issue_licence_certificate, read_licence_certificate
from tests.node.signer_world import directory_in, serving

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
    assert grant is not None
    keys.save_certificate(config.licence_path, grant.certificate)
    keys.save_certificate(config.authority_path, genesis.authority.certificate)
    return config


def test_keys_come_back(tmp_path: Path) -> None:
    """Both keys are read as they were saved, and their files are for the owner alone."""
    config = node_directory(tmp_path)
    found = keys.load_node_keys(config, BLUEPRINT.genesis)
    grant = keys.find_grant(BLUEPRINT.genesis, "acme")
    assert grant is not None
    assert (found.consensus.public, found.link_public) == (grant.keys.consensus, grant.keys.link)
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


class Objects(dict[bytes, bytes]):
    """The objects of a chain, as far as these tests need one."""

    def object(self, key: bytes) -> bytes | None:
        return self.get(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        raise AssertionError(f"nobody asks for all of {prefix!r}")


def joiner_directory(directory: Path, licence: str = "kite") -> NodeConfig:
    """The key files of a provider that genesis does not know, as `marsa validator grant` makes
    them."""
    genesis = BLUEPRINT.genesis
    place = KeyDirectory.of(directory / "keys", licence)
    expires_ms = genesis.time_ms + 1
    named = (licence, "Kite", "Devnet")
    authority = BLUEPRINT.authority_key
    grant = new_grant(genesis, authority, place.public, *named, expires_ms=expires_ms)
    options = Options(licence=licence, network=NetworkSection(genesis_hash=chain_id(genesis).hex()))
    config = NodeConfig.of(directory, options)
    place.save(grant.certificate)
    (directory / "keys" / "licence.pem").rename(config.licence_path)
    keys.save_certificate(config.authority_path, genesis.authority.certificate)
    return config


def test_a_licence_that_genesis_lacks_needs_its_certificate_alone(tmp_path: Path) -> None:
    """The authority signed this id with this link key: the keys are taken, and the chain's word
    counts once it has the licence."""
    config = joiner_directory(tmp_path)
    assert keys.find_grant(BLUEPRINT.genesis, "kite") is None
    found = keys.load_node_keys(config, BLUEPRINT.genesis)
    certificate = keys.load_certificate(config.licence_path)
    authority = BLUEPRINT.genesis.authority.key
    assert found.link_public == read_licence_certificate(certificate, authority).link_key


@pytest.mark.parametrize(
    ("name", "code"), [("licence.pem", "bad_licence"), ("keys/link.pem", "wrong_key")]
)
def test_a_licence_of_another_is_refused(tmp_path: Path, name: str, code: str) -> None:
    """The certificate of another joiner, and another link key than the certificate names."""
    for licence in ("kite", "jade"):
        (tmp_path / licence).mkdir()
        joiner_directory(tmp_path / licence, licence)
    own, other = tmp_path / "kite", tmp_path / "jade"
    (own / name).write_bytes((other / name).read_bytes())
    options = Options(licence="kite", network=NetworkSection(genesis_hash="00" * 32))
    with pytest.raises(NodeError) as caught:
        keys.load_node_keys(NodeConfig.of(own, options), BLUEPRINT.genesis)
    assert caught.value.code == code


def test_a_licence_of_another_authority_is_refused(tmp_path: Path) -> None:
    """A certificate that the authority in genesis did not sign is no licence of this chain."""
    config = joiner_directory(tmp_path)
    other = Blueprint(nonce_of_seed(1), SEEDED_TIME_MS)
    link = keys.load_link_public(config.link_key_path)
    certificate = issue_licence_certificate(
        other.authority_key, other.genesis.authority.certificate, link, "kite"
    )
    keys.save_certificate(config.licence_path, certificate)
    with pytest.raises(NodeError, match="authority did not sign") as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis)
    assert caught.value.code == "bad_licence"


def test_the_chain_knows_more_than_genesis(tmp_path: Path) -> None:
    """Once the chain has a licence, its keys must match; one without the right to validate has no
    node."""
    (tmp_path / "own").mkdir()
    config = joiner_directory(tmp_path / "own")
    granted = structs.replace(BLUEPRINT.genesis.licences[0], id="kite")
    reader = Objects({key_of(Licence, b"kite"): encode(Licence.granted(granted, 0))})
    with pytest.raises(NodeError) as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis, reader)
    assert caught.value.code == "wrong_key"
    issuer = Licence.granted(structs.replace(granted, validator=False), 0)
    reader = Objects({key_of(Licence, b"kite"): encode(issuer)})
    with pytest.raises(NodeError) as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis, reader)
    assert caught.value.code == "unknown_licence"
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


def made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def test_a_key_in_a_signer(tmp_path: Path) -> None:
    """Asked over its socket; a file beside it is one key too many, another key is refused."""
    config = dataclasses.replace(
        node_directory(made(tmp_path / "node")), signer=str(tmp_path / "s")
    )
    with pytest.raises(NodeError) as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis)
    assert caught.value.code == "two_keys"
    config.consensus_key_path.unlink()
    away = keys.load_node_keys(config, BLUEPRINT.genesis).consensus
    assert not away.is_at_hand
    assert away.public == SigningKey(BLUEPRINT.role_seed("acme", "consensus")).public
    opened = open_signer(
        directory_in(tmp_path / "signer"), Beginning(None, chain_id(BLUEPRINT.genesis))
    )
    with serving(opened, tmp_path / "s"), pytest.raises(NodeError) as caught:
        keys.load_node_keys(config, BLUEPRINT.genesis)
    assert caught.value.code == "wrong_key"
