"""`marsa validator keys`: what it makes, what it shows, and a licence for what it made."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint, nonce_of_seed
from cli.errors import ExitCode
from cli.home import write_private
from ledger.crypto import SigningKey
from ledger.genesis import dump
from p2p.licence_cert import private_key_pem
from tests.cli.conftest import Marsa, Result

BLUEPRINT = Blueprint(nonce_of_seed(0), SEEDED_TIME_MS)
ROLES = ["operations", "treasury", "metering", "consensus", "link"]


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


@pytest.fixture
def directory(marsa: Marsa, tmp_path: Path) -> Path:
    """New keys of the provider 'kite'."""
    made = tmp_path / "kite-keys"
    told = marsa("validator", "keys", "new", made, "--id", "kite", "--json").json
    shown = marsa("validator", "keys", "show", made, "--json").json
    assert (told["directory"], told["licence"], told["keys"]) == (str(made), "kite", shown["keys"])
    return made


def test_keys_are_private_and_never_overwritten(marsa: Marsa, directory: Path) -> None:
    """Five distinct keys in three 0600 files of a 0700 directory; a second attempt is refused."""
    assert directory.stat().st_mode & 0o777 == 0o700
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["consensus.json", "link.pem", "roles.json"]
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    before = {path: path.read_bytes() for path in directory.iterdir()}
    again = marsa("validator", "keys", "new", directory, "--id", "kite", "--json")
    assert code_of(again) == (ExitCode.USAGE, "directory_exists")
    assert {path: path.read_bytes() for path in directory.iterdir()} == before
    assert list(directory.parent.glob(".*")) == []


def test_show_gives_public_keys_and_no_secret(marsa: Marsa, directory: Path) -> None:
    """Each role with the key of its seed and its fingerprint; no seed, in no form."""
    shown = marsa("validator", "keys", "show", directory, "--json")
    found = shown.json
    assert (found["schema"], found["licence"]) == ("marsa.validator.keys.show/1", "kite")
    assert [item["role"] for item in found["keys"]] == ROLES
    public = {item["role"]: item["public"] for item in found["keys"]}
    assert len(set(public.values())) == len(ROLES)
    seeds = json.loads((directory / "roles.json").read_text())
    del seeds["licence"]
    for role, seed in seeds.items():
        assert SigningKey(bytes.fromhex(seed)).public.hex() == public[role]
    seeds["consensus"] = json.loads((directory / "consensus.json").read_text())["seed"]
    text = marsa("validator", "keys", "show", directory).out
    for item in found["keys"]:
        digits = sha256(bytes.fromhex(item["public"])).hexdigest()[:32]
        assert item["fingerprint"].replace(" ", "") == digits
        assert item["fingerprint"] in text
    for seed in seeds.values():
        assert seed not in text + shown.out


def test_parts_that_went_elsewhere_are_not_shown(marsa: Marsa, directory: Path) -> None:
    """A node's directory has two keys and names no licence; one without any is refused."""
    (directory / "roles.json").unlink()
    found = marsa("validator", "keys", "show", directory, "--json").json
    assert found["licence"] is None
    assert [item["role"] for item in found["keys"]] == ["consensus", "link"]
    (directory / "consensus.json").unlink()
    (directory / "link.pem").unlink()
    missing = marsa("validator", "keys", "show", directory, "--json")
    assert code_of(missing) == (ExitCode.NOT_FOUND, "no_key_file")


def test_keys_that_others_can_read_are_refused(marsa: Marsa, directory: Path) -> None:
    """As ssh does, before anybody has copied them."""
    (directory / "consensus.json").chmod(0o640)
    assert marsa("validator", "keys", "show", directory).code == ExitCode.CHECK_FAILED


@pytest.mark.parametrize("licence", ["Kite", "-kite", "kite_1", "k" * 33])
def test_bad_licence_makes_nothing(marsa: Marsa, tmp_path: Path, licence: str) -> None:
    """What no licence can be called is refused before a key is made."""
    made = marsa("validator", "keys", "new", tmp_path / "keys", f"--id={licence}", "--json")
    assert code_of(made) == (ExitCode.USAGE, "bad_name")
    assert not (tmp_path / "keys").exists()


def test_grant_takes_the_keys_that_were_made(marsa: Marsa, directory: Path, tmp_path: Path) -> None:
    """The grant names these keys; those of another, and those with a licence, are refused."""
    genesis, authority = tmp_path / "genesis.json", tmp_path / "authority.pem"
    genesis.write_bytes(dump(BLUEPRINT.genesis))
    write_private(authority, private_key_pem(BLUEPRINT.authority_key), replace=False)
    chain = ("--genesis", genesis, "--authority", authority, "--json")
    make = ("validator", "grant", tmp_path / "kite.json", "--keys", directory, *chain)
    other = marsa(*make, "--id", "lumen", "--name", "Lumen")
    assert code_of(other) == (ExitCode.USAGE, "wrong_keys")
    public = marsa("validator", "keys", "show", directory, "--json").json["keys"]
    assert marsa(*make, "--id", "kite", "--name", "Kite").code == ExitCode.OK
    granted = json.loads((tmp_path / "kite.json").read_text())["keys"]
    assert granted == {item["role"]: item["public"] for item in public}
    assert (directory / "licence.pem").is_file()
    (tmp_path / "kite.json").unlink()
    again = marsa(*make, "--id", "kite", "--name", "Kite")
    assert code_of(again) == (ExitCode.USAGE, "directory_exists")
    (directory / "licence.pem").unlink()
    (directory / "link.pem").unlink()
    part = marsa(*make, "--id", "kite", "--name", "Kite")
    assert code_of(part) == (ExitCode.NOT_FOUND, "no_key_file")
    assert "link" in part.json["error"]["message"]
