"""Names, aliases, devnets on disk, and which node is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import accounts, nodes
from cli.client import DEFAULT_URL
from cli.errors import CliError
from cli.wallet import store
from ledger.address import encode_address
from ledger.crypto import SigningKey
from ledger.locks import Key, lock_hash

SEED = "11" * 32
LOCK = lock_hash(Key(SigningKey(bytes.fromhex(SEED)).public))
ADDRESS = encode_address(LOCK, "mrst")
PASSWORD = "correct horse battery"


def write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(value))


def add_devnet(home: Path, name: str, chain_id: str, *, seed: str = SEED) -> None:
    directory = home / "devnets" / name
    address = encode_address(lock_hash(Key(SigningKey(bytes.fromhex(seed)).public)), "mrst")
    urls = [{"name": f"val{n}", "api": f"http://127.0.0.1:{n}/{name}"} for n in (1, 2)]
    write(directory / "devnet.json", {"genesis_hash": chain_id, "nodes": urls, "later": 1})
    write(directory / "accounts.json", [{"name": "alice", "address": address, "seed": seed}])
    write(directory / "issuers" / "acme.json", {"issuer": "acme", "treasury_seed": seed})


def ask(_: str) -> str:
    return PASSWORD


def test_addresses_aliases_accounts_and_wallets_mean_locks(marsa_home: Path) -> None:
    """All four ways to name a receiver, with and without the @ in the aliases file."""
    add_devnet(marsa_home, "default", "aa")
    wallet = store.create("savings", bytes(32), PASSWORD)
    write(marsa_home / "aliases.json", {"@pot": ADDRESS, "till": ADDRESS})
    assert accounts.resolve_address(ADDRESS, "mrst") == LOCK
    assert accounts.resolve_address(ADDRESS.upper(), "mrst") == LOCK
    assert accounts.resolve_address("@pot", "mrst") == LOCK
    assert accounts.resolve_address("@till", "mrst") == LOCK
    assert accounts.resolve_address("alice", "mrst") == LOCK
    saved = lock_hash(Key(wallet.public_keys[0]))
    assert accounts.resolve_address("savings", "mrst") == saved


def test_a_wallet_stands_for_all_its_addresses_where_it_is_read(marsa_home: Path) -> None:
    """Balances sum over a wallet's addresses, payments go to the first."""
    store.create("savings", bytes(32), PASSWORD, count=3)
    assert len(accounts.resolve_locks("savings", "mrst")) == 3
    assert accounts.resolve_locks(ADDRESS, "mrst") == (LOCK,)


@pytest.mark.parametrize(
    ("text", "code"),
    [("nobody", "unknown_address"), ("@nobody", "unknown_alias"), ("../x", "unknown_address")],
)
def test_unknown_names_list_the_known_ones(marsa_home: Path, text: str, code: str) -> None:
    """The error names what exists."""
    add_devnet(marsa_home, "default", "aa")
    write(marsa_home / "aliases.json", {"@pot": ADDRESS})
    with pytest.raises(CliError) as caught:
        accounts.resolve_address(text, "mrst")
    assert caught.value.code == code
    assert "alice" in caught.value.message or "@pot" in caught.value.message


def test_the_chain_tells_devnets_apart(marsa_home: Path) -> None:
    """Two devnets have an alice: the chain id chooses; without one the name is ambiguous."""
    add_devnet(marsa_home, "one", "aa")
    add_devnet(marsa_home, "two", "bb", seed="22" * 32)
    one = accounts.find_holder("alice", ask, chain_id="aa")
    two = accounts.find_holder("alice", ask, chain_id="bb")
    assert one.is_public and one.locks != two.locks
    assert [key.public for key in one.unlock()] == list(one.public_keys)
    with pytest.raises(CliError, match=r"ambiguous_account.*one, two"):
        accounts.find_holder("alice", ask)
    assert accounts.find_issuer_key("acme", "bb").public == two.public_keys[0]
    with pytest.raises(CliError, match="unknown_issuer_key"):
        accounts.find_issuer_key("acme", "cc")


def test_damaged_files_are_named(marsa_home: Path) -> None:
    """A file that is not what it should be: its path and the fault, exit 9."""
    add_devnet(marsa_home, "default", "aa")
    file = marsa_home / "devnets" / "default" / "accounts.json"
    file.write_text('[{"name": "alice", "seed": "zz"}]')
    with pytest.raises(CliError, match=r"bad_file.*accounts\.json"):
        accounts.find_holder("alice", ask)


def test_which_nodes_are_tried(marsa_home: Path) -> None:
    """Given: that one. Else the only devnet's, of several those of `default`, else built in."""
    assert nodes.candidates("http://x") == ["http://x"]
    assert nodes.candidates(None) == [DEFAULT_URL]
    add_devnet(marsa_home, "one", "aa")
    assert nodes.candidates(None) == ["http://127.0.0.1:1/one", "http://127.0.0.1:2/one"]
    add_devnet(marsa_home, "two", "bb")
    assert nodes.candidates(None) == [DEFAULT_URL]
    add_devnet(marsa_home, "default", "cc")
    assert nodes.candidates(None)[0].endswith("/default")
