"""marsa.toml: what is read, what is refused and in which words, and what `init` writes."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from node import config, config_text
from node.config import Address, LinksSection, NetworkSection, Options
from node.errors import NodeError

HASH = "ab" * 32
OPTIONS = Options(
    licence="acme",
    network=NetworkSection(genesis_hash=HASH),
    p2p=LinksSection(
        listen="0.0.0.0:8740", peers={"bolt": "node.example:8741", "coral": "[::1]:8742"}
    ),
)


def directory_with(tmp_path: Path, text: str) -> Path:
    (tmp_path / config.CONFIG_NAME).write_text(text)
    return tmp_path


def minimal(extra: str = "") -> str:
    return f'licence = "acme"\n{extra}\n[network]\ngenesis_hash = "{HASH}"\n'


def test_template_reads_back(tmp_path: Path) -> None:
    """What `template` writes is the options that it was given, and every option stands in it."""
    text = config_text.template(OPTIONS)
    found = config.load(directory_with(tmp_path, text))
    assert (found.licence, found.p2p, found.api) == ("acme", OPTIONS.p2p, OPTIONS.api)
    assert found.p2p.peer_addresses["coral"] == Address("::1", 8742)
    for section in ("p2p", "api", "operations", "storage", "sync", "verify", "log"):
        for field in msgspec.structs.fields(type(getattr(OPTIONS, section))):
            assert f"{field.name} = " in text


def test_template_with_defaults_uncommented_is_the_same(tmp_path: Path) -> None:
    """The values shown as defaults are the defaults: uncommented, they change nothing."""
    text = re.sub(r"^# (?=[a-z_]+ = )", "", config_text.template(OPTIONS), flags=re.MULTILINE)
    assert "\nreject_below_mib = 1024\n" in text
    assert config.load(directory_with(tmp_path, text)) == config.NodeConfig.of(tmp_path, OPTIONS)


def test_an_observer_has_a_name(tmp_path: Path) -> None:
    """Its own one, in place of the licence that a validator is called by."""
    options = Options(role="observer", name="watcher", network=NetworkSection(genesis_hash=HASH))
    found = config.load(directory_with(tmp_path, config_text.template(options)))
    assert (found.name, found.licence, found.is_observer) == ("watcher", "", True)
    validator = config.NodeConfig.of(tmp_path, OPTIONS)
    assert (validator.name, validator.is_observer) == ("acme", False)


def test_other_peers_leave_the_rest_of_a_file_as_it_is(tmp_path: Path) -> None:
    """Also where there were none; a file whose peers are written in another way keeps them."""
    peers = {"delta": "127.0.0.1:1", "ember": "[::1]:2"}
    for before in (OPTIONS.p2p.peers, {}):
        options = msgspec.structs.replace(OPTIONS, p2p=LinksSection(peers=before))
        text = config_text.template(options).replace('# level = "info"', 'level = "debug"')
        found = config.load(directory_with(tmp_path, config_text.with_peers(text, peers)))
        assert (found.p2p.peers, found.log.level) == (peers, "debug")
    table = minimal() + '[p2p.peers]\nbolt = "127.0.0.1:1"\n'
    assert config_text.with_peers(table, peers) == table


def test_other_addresses_leave_the_rest_of_a_file_as_it_is(tmp_path: Path) -> None:
    """Each in its own section; those that were the default, too."""
    text = config_text.template(OPTIONS).replace('# level = "info"', 'level = "debug"')
    addresses = {"p2p": "127.0.0.1:1", "api": "127.0.0.1:2", "operations": "[::1]:3"}
    for section, address in addresses.items():
        text = config_text.with_listen(text, section, address)
    found = config.load(directory_with(tmp_path, text))
    assert [getattr(found, section).listen for section in addresses] == [*addresses.values()]
    assert (found.log.level, found.p2p.peers) == ("debug", dict(OPTIONS.p2p.peers))


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    """Each source overrides those after it, and text becomes the option's type."""
    directory = directory_with(tmp_path, minimal() + "[storage]\nreject_below_mib = 2000\n")
    environment = {"MARSA_STORAGE_REJECT_BELOW_MIB": "3000", "MARSA_API_PUBLIC": "true"}
    flags = {"storage.reject_below_mib": "4000"}
    assert config.load(directory).storage.reject_below_bytes == 2000 << 20
    assert config.load(directory, environment=environment).storage.reject_below_mib == 3000
    both = config.load(directory, environment=environment, flags=flags)
    assert (both.storage.reject_below_mib, both.api.public) == (4000, True)
    assert config.load(directory).storage.stop_voting_below_mib == 256


def test_archive_and_snapshots_are_options(tmp_path: Path) -> None:
    """A node archives and takes snapshots from 10,000 blocks on unless it is told otherwise; 0 is
    never, less than that is refused."""
    text = minimal()
    found = config.load(directory_with(tmp_path, text))
    assert (found.storage.archive, found.sync.snapshot_distance) == (True, 10_000)
    flags = {"storage.archive": "false", "sync.snapshot_distance": "0"}
    found = config.load(directory_with(tmp_path, text), flags=flags)
    assert (found.storage.archive, found.sync.snapshot_distance) == (False, 0)
    with pytest.raises(NodeError, match="snapshot_distance"):
        config.load(tmp_path, flags={"sync.snapshot_distance": "-1"})


@pytest.mark.parametrize(
    "text", ["1e3", "1.0", "\u0663", "\uff13", "+3", " 3", "1_0", "0x10", "", "-1"]
)
def test_numbers_are_written_in_digits(tmp_path: Path, text: str) -> None:
    """Not as floats, nor in digits of other scripts, which look like other numbers or like none."""
    directory = directory_with(tmp_path, minimal())
    option = "storage.reject_below_mib"
    for source, given in (
        (
            "MARSA_STORAGE_REJECT_BELOW_MIB",
            {"environment": {"MARSA_STORAGE_REJECT_BELOW_MIB": text}},
        ),
        (f"--set {option}", {"flags": {option: text}}),
    ):
        with pytest.raises(NodeError) as caught:
            config.load(directory, **given)
        assert caught.value.code == "bad_config"
        assert (
            caught.value.sentence == f"{source}: {text!r} is not a number: write it in digits 0-9"
        )


@pytest.mark.parametrize("value", ["1e3", "1000.0", '"1000"', "true"])
def test_numbers_of_the_file_are_integers(tmp_path: Path, value: str) -> None:
    """TOML has numbers of its own: a float or a text is none of them."""
    text = minimal() + f"[storage]\nreject_below_mib = {value}\n"
    with pytest.raises(NodeError, match="reject_below_mib") as caught:
        config.load(directory_with(tmp_path, text))
    assert caught.value.code == "bad_config"


@pytest.mark.parametrize("text", ["1", "yes", "TRUE", ""])
def test_true_and_false_are_written_so(tmp_path: Path, text: str) -> None:
    """As in the file."""
    with pytest.raises(NodeError, match="is not true or false"):
        config.load(directory_with(tmp_path, minimal()), flags={"storage.archive": text})


def test_environment_of_other_commands_is_no_option(tmp_path: Path) -> None:
    """MARSA_HOME and MARSA_NODE belong to the command line and mean nothing here."""
    directory = directory_with(tmp_path, minimal())
    environment = {"MARSA_HOME": "/x", "MARSA_NODE": "http://x"}
    assert config.load(directory, environment=environment) == config.load(directory)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (minimal("lisence = 1"), "lisence"),
        (minimal() + "[p2p]\nlissten = 1\n", "key `lissten` - at `p2p`"),
        (minimal() + "[storrage]\n", "storrage"),
        ("[network]\n", "genesis_hash"),
        (f'[network]\ngenesis_hash = "{HASH}"\n', "licence"),
        ('licence = "acme"\n', "network"),
        (
            minimal('role = "observer"\nname = "watcher"\nsigner = "s"').replace(
                'licence = "acme"', ""
            ),
            "no `signer` for it",
        ),
        (minimal(f'signer = "{"s" * 101}"'), "signer"),
        (minimal('role = "observer"'), "an observer has a `name` and no `licence`"),
        (minimal('role = "observer"').replace('licence = "acme"', ""), "an observer has a `name`"),
        (minimal('name = "watcher"'), "and no other `name`"),
        (minimal('role = "auditor"'), "role"),
        ('licence = "Acme!"\n[network]\ngenesis_hash = "00"\n', "licence"),
        ('licence = "acme"\n[network]\ngenesis_hash = "AB"\n', "network.genesis_hash"),
        (minimal() + '[api]\nlisten = "127.0.0.1"\n', "host:port"),
        (minimal() + '[api]\nlisten = "127.0.0.1:70000"\n', "host:port"),
        (minimal() + '[api]\nlisten = "localhost:1"\n', "localhost"),
        (minimal() + '[api]\nlisten = "0.0.0.0:8640"\n', "api.public"),
        (minimal() + '[p2p]\npeers = { acme = "127.0.0.1:1" }\n', "this node itself"),
        (minimal() + '[p2p]\npeers = { bolt = "127.0.0.1" }\n', "host:port"),
        (minimal() + "[p2p]\nunauthenticated_max = 0\n", "p2p.unauthenticated_max"),
        (minimal() + "[storage]\nstop_voting_below_mib = 2000\n", "above reject_below_mib"),
        (minimal() + '[log]\nlevel = "loud"\n', "log.level"),
        ("licence = \n", "line 1"),
    ],
)
def test_bad_file_names_the_key(tmp_path: Path, text: str, words: str) -> None:
    """Every mistake in the file is refused with the file's path and the key or line at fault."""
    with pytest.raises(NodeError) as caught:
        config.load(directory_with(tmp_path, text))
    assert caught.value.code == "bad_config"
    assert words in caught.value.sentence
    assert str(tmp_path / config.CONFIG_NAME) in caught.value.sentence


def test_bad_bytes_and_size_are_refused(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and a file beyond the limit, end in a sentence as well."""
    path = tmp_path / config.CONFIG_NAME
    path.write_bytes(b"licence = '\xff'")
    with pytest.raises(NodeError, match="utf-8"):
        config.load(tmp_path)
    path.write_bytes(b"#" * (config.CONFIG_BYTES_MAX + 1))
    with pytest.raises(NodeError, match="larger"):
        config.load(tmp_path)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """A directory without marsa.toml is no node's; the hint is the command that makes one."""
    with pytest.raises(NodeError) as caught:
        config.load(tmp_path / "nowhere")
    assert caught.value.code == "no_node"
    assert "marsa node init" in caught.value.hint


def test_unknown_flag_lists_the_options(tmp_path: Path) -> None:
    """A misspelt --set is refused with the names there are."""
    with pytest.raises(NodeError) as caught:
        config.load(directory_with(tmp_path, minimal()), flags={"p2p.lissten": "x"})
    assert "p2p.listen" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8640", Address("127.0.0.1", 8640)),
        ("[::1]:0", Address("::1", 0)),
        ("node-1.example:65535", Address("node-1.example", 65535)),
    ],
)
def test_address_reads_and_prints(text: str, address: Address) -> None:
    """An address is what it prints."""
    assert config.parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", ":1", "host", "host:", "host:65536", "a b:1", "host:１", "::1:2"]
)
def test_bad_address_is_refused(text: str) -> None:
    """Without host or port, with a port that is none, or with other alphabets' digits."""
    with pytest.raises(ValueError, match="host:port"):
        config.parse_address(text)
