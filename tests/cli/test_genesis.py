"""`marsa genesis`, and the blueprint that a devnet's genesis is made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.devnet.blueprint import SEEDED_TIME_MS, Blueprint, nonce_of_seed
from cli.errors import ExitCode
from cli.units import ACCOUNTS_MAX
from ledger.genesis import chain_id, check, dump, load, supply_by_issuer
from ledger.parameters import PPM
from tests.cli.conftest import Marsa

ROOT = Path(__file__).parent.parent.parent
NEW = ("genesis", "new", "--devnet", "--seed", "0")


def test_example_in_the_root_is_what_the_command_makes(marsa: Marsa) -> None:
    """genesis.json is, byte for byte, `marsa genesis new --devnet --seed 0`."""
    assert marsa(*NEW).out.encode() == (ROOT / "genesis.json").read_bytes()


def test_val0_is_the_first_primary() -> None:
    """Providers stand in the order of the validator set, so val0 leads view 0."""
    for seed in range(8):
        made = Blueprint(nonce_of_seed(seed), SEEDED_TIME_MS, validators=7)
        members = made.genesis.validators
        assert tuple(member.licence for member in members.members) == made.providers
        assert members.primary(0) == 0


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, (1 << 63) - 1),
    validators=st.integers(4, 32),
    accounts=st.integers(2, ACCOUNTS_MAX),
    period_ms=st.sampled_from((60_000, 61_000, 3_600_000, 86_400_000)),
)
def test_every_devnet_is_valid(seed: int, validators: int, accounts: int, period_ms: int) -> None:
    """Any seed, size and period gives a genesis that obeys every rule and reads back the same."""
    nonce = nonce_of_seed(seed)
    made = Blueprint(nonce, SEEDED_TIME_MS + seed % 1_000, validators, accounts, period_ms)
    genesis = made.genesis
    check(genesis)
    assert load(dump(genesis)) == genesis
    assert genesis.validators.n == validators
    assert len(made.holders) == accounts + 1


def test_devnet_leaves_room_to_mint_and_to_spend() -> None:
    """Outstanding is well below what is backed, and every account holds coins of two issuers."""
    made = Blueprint(nonce_of_seed(0), SEEDED_TIME_MS)
    genesis = made.genesis
    supply, margin = supply_by_issuer(genesis), genesis.parameters.margin_ppm
    for issuer in made.issuers:
        hours = genesis.hours(issuer)
        assert supply[issuer] * 2 < hours.reserve * (PPM - margin) // PPM
        assert hours.deliverable * 10 > supply[issuer]
    for holder in made.holders[:-1]:
        own = {item.issuer for item in genesis.allocations if item.address == holder.address}
        assert len(own) == 2
    faucet = [item for item in genesis.allocations if item.address == made.holders[-1].address]
    assert {item.issuer for item in faucet} == set(made.issuers)


def test_seed_decides_everything_and_no_seed_nothing(marsa: Marsa) -> None:
    """The same seed gives the same bytes, another seed or none another chain."""
    first, again, other = marsa(*NEW).out, marsa(*NEW).out, marsa(*NEW[:-1], "1").out
    fresh = [marsa("genesis", "new", "--devnet").out for _ in range(2)]
    assert first == again
    assert len({first, other, *fresh}) == 4


def test_new_without_devnet_explains_itself(marsa: Marsa) -> None:
    """A genesis with secret keys is not made by one command; the error says whose work it is."""
    found = marsa("genesis", "new", "--json")
    assert found.code == ExitCode.USAGE
    assert "authority" in found.json["error"]["message"]


def test_out_writes_everything_and_never_overwrites(marsa: Marsa, tmp_path: Path) -> None:
    """--out makes a new directory with genesis and private key files, and refuses an old one."""
    out = tmp_path / "net"
    made = marsa(*NEW, "--out", out, "--json")
    assert made.json["genesis_hash"] == marsa("genesis", "hash", out / "genesis.json").out.strip()
    for name in ("authority-key.pem", "accounts.json", "nodes/acme/consensus.json"):
        assert (out / name).stat().st_mode & 0o777 == 0o600
    again = marsa(*NEW, "--out", out, "--json")
    assert again.json["error"]["code"] == "directory_exists"


def test_white_space_does_not_change_the_hash(marsa: Marsa, tmp_path: Path) -> None:
    """The identity is that of what the file says."""
    text = (ROOT / "genesis.json").read_text()
    file = tmp_path / "flat.json"
    file.write_text(json.dumps(json.loads(text)))
    expected = chain_id(load(text.encode())).hex()
    assert marsa("genesis", "hash", file).out.strip() == expected
    assert marsa("genesis", "hash", file, "--json").json["genesis_hash"] == expected


def test_check_and_show_give_the_figures(marsa: Marsa) -> None:
    """Counts, quorum and backing of the example."""
    found = marsa("genesis", "check", ROOT / "genesis.json", "--json").json
    assert (found["validators"], found["faults_tolerated"], found["quorum"]) == (4, 1, 3)
    shown = marsa("genesis", "show", ROOT / "genesis.json", "--json").json
    assert [item["licence"] for item in shown["validators"]] == ["acme", "bolt", "coral", "delta"]
    for line in shown["issuers"]:
        assert int(line["outstanding"]) + int(line["headroom"]) <= int(line["reserve"]) * 8 // 10
    assert "acme" in marsa("genesis", "show", ROOT / "genesis.json").out


def test_broken_genesis_names_the_rule(marsa: Marsa, tmp_path: Path) -> None:
    """An allocation beyond what is backed ends in exit code 9 and the figures."""
    value = json.loads((ROOT / "genesis.json").read_text())
    value["allocations"][0]["amount"] = "9" * 15
    file = tmp_path / "genesis.json"
    file.write_text(json.dumps(value))
    found = marsa("genesis", "check", file, "--json")
    assert found.code == ExitCode.CHECK_FAILED
    assert found.json["error"]["code"] == "bad_genesis"
    assert "reserve" in found.json["error"]["message"]


def test_missing_file_is_not_found(marsa: Marsa, tmp_path: Path) -> None:
    """A path without a file ends in exit code 6."""
    assert marsa("genesis", "hash", tmp_path / "none").code == ExitCode.NOT_FOUND


@pytest.fixture
def network(marsa: Marsa, tmp_path: Path) -> Path:
    """A genesis with all its keys."""
    out = tmp_path / "net"
    assert marsa(*NEW, "--out", out).code == ExitCode.OK
    return out


def add_validator(marsa: Marsa, network: Path, *more: object, licence: str = "kite") -> object:
    return marsa(
        *("genesis", "add-validator", network / "genesis.json", "--id", licence),
        *(
            "--name",
            f"{licence.capitalize()} Compute",
            "--authority",
            network / "authority-key.pem",
        ),
        *("--keys", network / licence, "--json", *more),
    )


def test_add_validator_then_init_and_check(marsa: Marsa, network: Path) -> None:
    """A fifth validator gets keys and a certificate, and a node can be made from them."""
    before = marsa("genesis", "hash", network / "genesis.json").out.strip()
    added = add_validator(marsa, network)
    assert added.code == ExitCode.OK
    assert added.json["genesis_hash"] != before
    found = marsa("genesis", "check", network / "genesis.json", "--json").json
    assert (found["validators"], found["quorum"]) == (5, 4)
    made = marsa(
        *("node", "init", network / "node", "--genesis", network / "genesis.json"),
        *("--licence", "kite", "--keys", network / "kite", "--json"),
    )
    assert made.json["genesis_hash"] == found["genesis_hash"]
    assert (network / "node" / "marsa.toml").is_file()


def test_init_in_the_present_directory(
    marsa: Marsa, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`.` may be empty and then becomes the node's directory."""
    add_validator(marsa, network)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    made = marsa(
        *("node", "init", ".", "--genesis", network / "genesis.json"),
        *("--licence", "kite", "--keys", network / "kite"),
    )
    assert made.code == ExitCode.OK, made
    assert (tmp_path / "empty" / "marsa.toml").is_file()


@pytest.mark.parametrize("licence", ["acme", "Kite", "-kite", "kite_1"])
def test_bad_licence_changes_nothing(marsa: Marsa, network: Path, licence: str) -> None:
    """A licence id that exists or cannot be one is refused, file and keys untouched."""
    before = (network / "genesis.json").read_bytes()
    assert add_validator(marsa, network, licence=licence).code != ExitCode.OK
    assert (network / "genesis.json").read_bytes() == before
    assert not (network / licence).exists()


def test_another_key_than_the_authoritys_is_refused(marsa: Marsa, network: Path) -> None:
    """A certificate signed by somebody else would lock the new validator out of every link."""
    key = network / "nodes" / "acme" / "link.pem"
    assert add_validator(marsa, network, "--authority", key).code != ExitCode.OK
