"""`marsa network init`: what it makes, what of it is secret, and every bad line of hosts.toml."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.errors import ExitCode
from cli.key_files import load_keys
from ledger.genesis import load
from node import config
from tests.cli.conftest import Marsa
from tests.cli.hosts_file import ISSUERS, PROVIDERS, host, hosts_text, write_hosts

ROOT = Path(__file__).parent.parent.parent
HOSTS = [host(name, f"198.51.100.{at}:8740") for at, name in enumerate(PROVIDERS, 7)]


@pytest.fixture
def network(marsa: Marsa, tmp_path: Path) -> Path:
    """A network of four hosts."""
    out = tmp_path / "net"
    made = marsa(
        "network", "init", "--hosts", write_hosts(tmp_path / "h.toml", HOSTS), "--out", out
    )
    assert made.code == ExitCode.OK, made
    return out


def test_each_host_gets_a_node_that_can_start(marsa: Marsa, network: Path) -> None:
    """Same genesis, all others as peers, every interface for links and loopback for the rest."""
    data = (network / "genesis.json").read_bytes()
    genesis = load(data)
    assert (genesis.network, genesis.hrp) == ("test", "mrst")
    assert [item.licence for item in genesis.validators.members] != []
    assert {item.id for item in genesis.issuers} == set(ISSUERS)
    for at, name in enumerate(PROVIDERS, 7):
        directory = network / "hosts" / name
        assert (directory / "genesis.json").read_bytes() == data
        found = config.load(directory)
        assert found.p2p.listen == "0.0.0.0:8740"
        assert found.api.listen_address.is_loopback
        assert found.operations.listen_address.is_loopback
        assert set(found.p2p.peers) == set(PROVIDERS) - {name}
        peers = {peer: f"198.51.100.{n}:8740" for n, peer in enumerate(PROVIDERS, 7) if n != at}
        assert found.p2p.peers == peers
        ports = [f"--set={key}.listen=127.0.0.1:0" for key in ("p2p", "api", "operations")]
        checked = marsa("node", "check", directory, *ports, "--json")
        assert checked.code == ExitCode.OK, checked.out
        assert checked.json["votes"]


def test_secrets_are_private_and_apart(network: Path) -> None:
    """Every file with a secret is 0600; a node has no key of its people, they none of the node."""
    public = {"genesis.json", "README.txt", "authority.pem", "licence.pem", "marsa.toml"}
    for path in network.rglob("*"):
        in_store = "chain" in path.relative_to(network).parts
        if path.is_file() and path.name not in public and not in_store:
            assert path.stat().st_mode & 0o777 in (0o600,), path
    names = sorted(str(path.relative_to(network)) for path in network.glob("*/*"))
    assert names == sorted(
        [
            *(f"{folder}/{name}" for folder in ("hosts", "roles") for name in PROVIDERS),
            *(f"attestors/{name}.json" for name in ("meridian", "northlight", "plumbline")),
            "holders/alice.words",
            *("authority/authority-key.pem", "authority/authority.pem"),
            *(f"regulator/{number}.json" for number in (1, 2, 3)),
        ]
    )
    for name in PROVIDERS:
        assert [path.name for path in (network / "roles" / name).iterdir()] == ["roles.json"]
        assert sorted(path.name for path in (network / "hosts" / name / "keys").iterdir()) == [
            "consensus.json",
            "link.pem",
        ]
    readme = (network / "README.txt").read_text()
    for folder in ("hosts", "roles", "authority", "regulator", "attestors", "holders"):
        assert f"{folder}/" in readme
    assert list(network.parent.glob(".net*")) == []


def test_an_attestor_can_sign_with_its_file(network: Path) -> None:
    """It is of the shape that `--key FILE` reads, and holds the key that genesis licenses."""
    genesis = json.loads((network / "genesis.json").read_text())
    for item in genesis["attestors"]:
        name, (key,) = load_keys(network / "attestors" / f"{item['id']}.json")
        assert (name, key.public.hex()) == (item["id"], item["key"])


def test_keys_are_new_each_time(marsa: Marsa, network: Path, tmp_path: Path) -> None:
    """Nothing follows from the file: a second network has another chain; the first is kept."""
    again = ("network", "init", "--hosts", tmp_path / "h.toml", "--json", "--out")
    refused = marsa(*again, network)
    assert refused.json["error"]["code"] == "directory_exists"
    other = marsa(*again, tmp_path / "other").json
    assert other["schema"] == "marsa.network.init/1"
    first = marsa("genesis", "hash", network / "genesis.json").out.strip()
    assert other["genesis_hash"] != first
    assert [item["licence"] for item in other["hosts"]] == list(PROVIDERS)


def test_the_new_wallet_holds_the_coins(marsa: Marsa, network: Path, password_file: Path) -> None:
    """The words of a holder without an address restore the wallet that genesis pays."""
    words = network / "holders" / "alice.words"
    marsa("wallet", "import", "alice", "--words-file", words, "--password-file", password_file)
    (address,) = marsa("wallet", "addresses", "alice", "--json").json["addresses"]
    genesis = json.loads((network / "genesis.json").read_text())
    assert {item["issuer"] for item in genesis["allocations"]} == set(ISSUERS)
    assert {item["address"] for item in genesis["allocations"]} == {address}


def test_what_is_said_is_what_is_made(marsa: Marsa, tmp_path: Path) -> None:
    """A main network with parameters, factors, addresses of its own, and a holder's address."""
    lines = ('listen = "10.0.0.7:8740"', 'api = "127.0.0.1:9640"', 'operations = "127.0.0.1:9840"')
    text = hosts_text([host("acme", "acme.example:8740", *lines), *HOSTS[1:]])
    marsa("wallet", "new", "ann", "--password-file", _password(tmp_path))
    (listed,) = marsa("wallet", "addresses", "ann", "--network", "main", "--json").json["addresses"]
    more = 'kind = "main"\nparameters = { epoch_blocks = 7 }\neconomy = { lower_ms = 60_000 }'
    text = text.replace('"harbour"', f'"harbour"\n{more}')
    text = text.replace('name = "alice"', f'name = "alice"\naddress = "{listed}"')
    text += "".join(
        f'[[factor]]\ndevice_class = "h100x8"\nworkload = "{name}"\nfactor = 900_000\n'
        for name in ("training", "inference")
    )
    text += '[[reference]]\nworkload = "training"\nunits = 31_000\n'
    (tmp_path / "h.toml").write_text(text)
    out = tmp_path / "net"
    made = marsa("network", "init", "--hosts", tmp_path / "h.toml", "--out", out, "--json")
    assert made.code == ExitCode.OK, made.out
    genesis = load((out / "genesis.json").read_bytes())
    assert (genesis.network, genesis.parameters.epoch_blocks) == ("main", 7)
    assert genesis.parameters.economy.lower_ms == 60_000
    assert {item.factor for item in genesis.standard} == {900_000}
    units = {item.workload: item.units for item in genesis.references}
    assert units == {"inference": 20_000, "training": 31_000}
    assert {item.address for item in genesis.allocations} == {listed}
    assert not (out / "holders").exists()
    found = config.load(out / "hosts" / "acme")
    listens = (found.p2p.listen, found.api.listen, found.operations.listen)
    assert listens == ("10.0.0.7:8740", "127.0.0.1:9640", "127.0.0.1:9840")
    assert config.load(out / "hosts" / "bolt").p2p.peers["acme"] == "acme.example:8740"


def test_example_of_the_document_is_taken(marsa: Marsa, tmp_path: Path) -> None:
    """docs/NETWORK.md shows one table of each kind; with three hosts and two attestors more it is
    a network."""
    text = (ROOT / "docs" / "NETWORK.md").read_text()
    example = text.partition("```toml\n")[2].partition("```")[0]
    more = "\n".join(HOSTS[1:])
    attestors = "".join(
        f'[[attestor]]\nid = "{name}"\nname = "{name}"\ngroup = "{name}-group"\n'
        for name in ("plumb", "square")
    )
    (tmp_path / "h.toml").write_text(f"{example}\n{more}\n{attestors}")
    made = marsa("network", "init", "--hosts", tmp_path / "h.toml", "--out", tmp_path / "net")
    assert made.code == ExitCode.OK, made


@pytest.mark.parametrize(
    ("address", "listen"),
    [
        ("127.0.0.1:9001", "127.0.0.1:9001"),
        ("[::1]:9001", "[::1]:9001"),
        ("[2001:db8::7]:9001", "[::]:9001"),
        ("acme.example:9001", "0.0.0.0:9001"),
    ],
)
def test_where_a_host_listens(marsa: Marsa, tmp_path: Path, address: str, listen: str) -> None:
    """Loopback stays loopback; what others dial from outside is every interface by default."""
    file = write_hosts(tmp_path / "h.toml", [host("acme", address), *HOSTS[1:]])
    made = marsa("network", "init", "--hosts", file, "--out", tmp_path / "net", "--json").json
    assert made["hosts"][0]["listen"] == listen


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('p2p = "198.51.100.8:8740"', 'p2p = "198.51.100.8"', "host 'bolt': p2p: "),
        ('p2p = "198.51.100.8:8740"', 'p2p = "0.0.0.0:8740"', "host 'bolt': p2p: "),
        ('p2p = "198.51.100.8:8740"', 'p2p = "198.51.100.8:0"', "host 'bolt': p2p: "),
        ('p2p = "198.51.100.8:8740"', 'p2p = "198.51.100.7:8740"', "198.51.100.7:8740"),
        ('p2p = "198.51.100.8:8740"', "p2p = 8740", "host 2: p2p: "),
        ('p2p = "198.51.100.8:8740"\n', "", "host 2: the table missing required key `p2p`"),
        ('p2p = "198.51.100.8:8740"', 'p2p="b:1"\nlisten="bolt.example:1"', "'bolt': listen: "),
        ('p2p = "198.51.100.8:8740"', 'p2p="b:1"\napi="0.0.0.0:1"', "host 'bolt': api: "),
        ('p2p = "198.51.100.8:8740"', 'p2p="b:1"\noperations="[::]:1"', "'bolt': operations: "),
        ('p2p = "198.51.100.8:8740"', 'p2p = "b:1"\nport = 7', "unknown key `port`"),
        ('licence = "bolt"', 'licence = "Bolt"', "host 2: licence: "),
        ('licence = "bolt"', 'licence = "acme"', "licence 'acme'"),
        ("Bolt Compute", "acme compute", "acme compute"),
        ("bond = { bolt", "bond = { acme", "acme"),
        ("devices = 20", "devices = 0", "host 1: capacity 1: devices: "),
        ('"training", "inference"', '"dancing"', "no factor for h100x8/dancing"),
        ('[network]\nname = "harbour"', "", "key `network`"),
        ('name = "harbour"', 'name = "harbour"\nkind = "devnet"', "network: kind: "),
        ('name = "harbour"', 'name = "harbour"\nhue = 3', "unknown key `hue`"),
        ('name = "harbour"', 'name = "harbour"\nparameters = { wind = 3 }', "parameters.wind"),
        ('name = "harbour"', 'name = "harbour"\nparameters = { window = 9 }', "parameters.window"),
        ('group = "northlight-group"', 'group = "meridian-group"', "groups of attestors"),
        ('acme = "1000"', 'acme = "1.5.5"', "holder 'alice': coins of 'acme': "),
        ('acme = "1000"', 'acme = "99999999"', "issuer 'acme'"),
        ('acme = "1000"', 'delta = "1000"', "holder 'alice': coins: 'delta'"),
        ('name = "alice"', 'name = "alice"\naddress = "mrs1zz"', "holder 'alice': address: "),
        ("[network]", "[network", "at line 1"),
        ('id = "northlight"', 'id = "meridian"', "attestor 'meridian'"),
    ],
)
def test_bad_line_is_named(marsa: Marsa, tmp_path: Path, old: str, new: str, said: str) -> None:
    """Exit code 2, the file, the place and the fault; nothing is made."""
    text = hosts_text(HOSTS)
    assert old in text
    file = tmp_path / "h.toml"
    file.write_text(text.replace(old, new, 1))
    found = marsa("network", "init", "--hosts", file, "--out", tmp_path / "net", "--json")
    error = found.json["error"]
    assert (found.code, error["code"]) == (ExitCode.USAGE, "bad_hosts")
    assert error["message"].startswith(f"{file}: ")
    assert said in error["message"]
    assert error["hint"]
    assert [path.name for path in tmp_path.iterdir() if "net" in path.name] == []


@pytest.mark.parametrize("count", [3, 33])
def test_number_of_hosts(marsa: Marsa, tmp_path: Path, count: int) -> None:
    """Four to thirty-two validators."""
    hosts = [host(f"host-{at}", f"198.51.100.{at}:8740") for at in range(count)]
    file = write_hosts(tmp_path / "h.toml", hosts)
    found = marsa("network", "init", "--hosts", file, "--out", tmp_path / "net", "--json")
    assert "4 to 32" in found.json["error"]["message"]


def test_issuers_are_three_at_least(marsa: Marsa, tmp_path: Path) -> None:
    """Hosts with capacity, and the file itself, must be there."""
    hosts = [host(f"host-{at}", f"198.51.100.{at}:8740") for at in range(4)]
    file = write_hosts(tmp_path / "h.toml", hosts)
    found = marsa("network", "init", "--hosts", file, "--out", tmp_path / "net", "--json")
    assert "0 of them have capacity, 3 must" in found.json["error"]["message"]
    missing = marsa("network", "init", "--hosts", tmp_path / "none.toml", "--json")
    assert missing.code == ExitCode.NOT_FOUND


def _password(directory: Path) -> Path:
    file = directory / "password-of-ann"
    file.touch(mode=0o600)
    file.write_text("correct horse battery\n")
    return file
