"""`marsa audit reserve` and `verify-bundle`: shapes, exit codes, files, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client import Client
from ledger import genesis as genesis_rules
from ledger.economy.capacity import CapacityCommitment, CommitmentState, LowerFigure
from ledger.economy.licence import Cause, Licence, LicenceState
from ledger.economy.reserve import Solvency
from ledger.objects import key_of, load
from tests.cli.bundle_world import (
    bundle_of,
    changed_node,
    genesis_text,
    lie,
    reserve_of,
    small_node,
)
from tests.cli.conftest import Marsa
from tests.cli.live_node import LiveNode, live_node
from tests.cli.test_audit import node as node
from tests.ledger.world import COIN, make_genesis

ROW = {
    *("issuer", "status", "outstanding", "reserve", "coverage_ppm", "deliverability_ppm"),
    *("due", "residual", "headroom", "licence", "asset", "is_frozen", "minted", "mint_cap", "bond"),
    *("bond_required", "bond_worth", "commitments", "contested", "until_ms"),
    *("oldest_attestation_ms", "newest_attestation_ms"),
}
RESERVE = {"schema", "height", "issuers", "ok", "since", "objects", "bundle"}
VERIFY = {
    *("schema", "ok", "chain_id", "epoch", "height", "time_ms", "ledger_time_ms", "signers"),
    *("checks", "issuers", "deficits", "fault"),
}


def test_reserve_is_proved_and_shown(marsa: Marsa, node: LiveNode) -> None:
    """Every issuer, then one: exact JSON, table for people, exit code 0."""
    result = marsa("audit", "reserve", "--json")
    assert result.code == 0, result.err
    assert set(result.json) == RESERVE
    assert (result.json["height"], result.json["ok"]) == (3, True)
    assert [row["issuer"] for row in result.json["issuers"]] == ["val0", "val1", "val2", "val3"]
    assert all(set(row) == ROW for row in result.json["issuers"])
    assert [result.json[name] for name in ("since", "objects", "bundle")] == [None] * 3
    one = marsa("audit", "reserve", "--issuer", "val1", "--json")
    assert one.json["issuers"] == result.json["issuers"][1:2]
    text = marsa("audit", "reserve").out
    for heading in ("band", "coverage", "due in 7 d", "attested", "bond"):
        assert heading in text
    assert "260.000000 of 260.000000" in text
    assert "signed by 3 validators" in text


def test_a_bundle_is_written_and_verified(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """From a node into a file, and from the file alone to the same figures; nothing is ever
    overwritten."""
    file, trusted = tmp_path / "a.reserve", tmp_path / "genesis.json"
    trusted.write_bytes(genesis_rules.dump(node.world.genesis))
    written = marsa("audit", "reserve", "--bundle", file, "--json").json
    data = file.read_bytes()
    assert (written["bundle"]["file"], written["bundle"]["bytes"]) == (str(file), len(data))
    again = marsa("audit", "reserve", "--bundle", file, "--json")
    assert (again.code, again.json["error"]["code"]) == (2, "file_exists")
    assert file.read_bytes() == data
    result = marsa("audit", "verify-bundle", file, "--genesis", trusted, "--json")
    assert result.code == 0, result.out
    assert set(result.json) == VERIFY
    assert result.json["schema"] == "marsa.audit.verify-bundle/1"
    assert result.json["issuers"] == written["issuers"]
    assert (result.json["ok"], result.json["fault"], result.json["height"]) == (True, None, 3)
    text = marsa("audit", "verify-bundle", file, "--genesis", trusted)
    for word in ("ok  genesis", "ok  validators", "ok  objects", "ok  figures", "val3", "covered"):
        assert word in text.out


def test_what_changed_since_an_earlier_bundle(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """A mint after the earlier bundle is shown with its sign; a bundle that is later than the
    node, or broken, is refused by name."""
    early, late = tmp_path / "early", tmp_path / "late"
    marsa("audit", "reserve", "--bundle", early)
    node.inside(lambda: node.decide([node.world.mint(amount=7 * COIN)]))
    result = marsa("audit", "reserve", "--since", early, "--bundle", late, "--json")
    assert (result.code, result.json["since"], result.json["height"]) == (0, 3, 4)
    changes = {row["issuer"]: row["outstanding_change"] for row in result.json["issuers"]}
    assert changes == {"val0": "7000000", "val1": "0", "val2": "0", "val3": "0"}
    assert {row["reserve_change"] for row in result.json["issuers"]} == {"0"}
    assert {row["status_before"] for row in result.json["issuers"]} == {"healthy"}
    assert [row["bond_change"] for row in result.json["issuers"]] == ["700000", "0", "0", "0"]
    assert result.json["objects"] == {
        "added": [],
        "removed": [],
        "changed": ["ledger clock", "reserve val0"],
    }
    text = marsa("audit", "reserve", "--since", early).out
    assert "(+7.000000)" in text
    assert "since height 3" in text
    assert "changed: ledger clock, reserve val0" in text
    early.write_bytes(early.read_bytes()[:-1])
    broken = marsa("audit", "reserve", "--since", early, "--json")
    assert (broken.code, broken.json["error"]["code"]) == (9, "malformed")
    assert str(early) in broken.json["error"]["message"]


def test_a_later_bundle_is_no_earlier_one(
    marsa: Marsa, node: LiveNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node is behind the bundle: exit code 2, with both heights."""
    with Client(node.url) as client:
        behind = client.reserve_bundle()
    node.inside(lambda: node.decide([]))
    late = tmp_path / "late"
    marsa("audit", "reserve", "--bundle", late)
    monkeypatch.setattr(Client, "reserve_bundle", lambda self: behind)
    result = marsa("audit", "reserve", "--since", late, "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "later_bundle")


def test_reserve_of_unknown_issuer(marsa: Marsa, node: LiveNode) -> None:
    """The names that exist are said; exit code 6."""
    result = marsa("audit", "reserve", "--issuer", "nobody", "--json")
    assert (result.code, result.json["error"]["code"]) == (6, "unknown_issuer")
    assert "val0" in result.json["error"]["message"]


def test_before_the_first_block_there_is_nothing_to_prove(marsa: Marsa, tmp_path: Path) -> None:
    """A node at height 0 says so: nobody signed anything yet."""
    with live_node() as fresh:
        file = tmp_path / "genesis.json"
        file.write_bytes(genesis_rules.dump(fresh.world.genesis))
        result = marsa(*("audit", "reserve", "--json", "--node", fresh.url, "--genesis", file))
    assert (result.code, result.json["error"]["code"]) == (6, "not_found")


def test_a_node_that_lies_is_found(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One byte of what the node gave is another: exit code 9, no figures, no file."""
    ask = Client.reserve_bundle
    monkeypatch.setattr(Client, "reserve_bundle", lambda self: ask(self)[:-1] + b"\0")
    file = tmp_path / "kept"
    result = marsa("audit", "reserve", "--bundle", file, "--json")
    assert (result.code, result.json["error"]["code"]) == (9, "bad_object")
    assert not file.exists()


@pytest.mark.parametrize(
    ("band", "code"), [(Solvency.WARN, 0), (Solvency.DEFICIT, 9), (Solvency.CAGED, 9)]
)
def test_bands_are_shown_and_only_the_worst_fail(
    marsa: Marsa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, band: Solvency, code: int
) -> None:
    """A signed warning, deficit or cage: the rows; `ok` false and exit code 9 in both commands for
    the last two, and another issuer alone is fine."""
    made = small_node()
    name, found = reserve_of(made, "val1")
    over = 0 if band is Solvency.WARN else 1
    short = replace(found, supply=found.reserve + over, solvency=band)
    data, trusted, file = lie(made, {name: short}), tmp_path / "genesis.json", tmp_path / "b"
    trusted.write_bytes(genesis_text(made))
    file.write_bytes(data)
    result = marsa("audit", "verify-bundle", file, "--genesis", trusted, "--json")
    failed = ["val1"] if code else []
    assert (result.code, result.json["ok"], result.json["deficits"]) == (code, not code, failed)
    assert result.json["fault"] is None
    assert result.json["issuers"][1]["status"] == band.name.lower()
    text = marsa("audit", "verify-bundle", file, "--genesis", trusted)
    said = "in deficit or caged: val1" if code else "stopped by margin or deliverability: val1"
    assert (text.code, said in text.out) == (code, True)
    assert "val1: the bond is short; 0 of its 2 coins do not count" in text.out
    monkeypatch.setattr(Client, "reserve_bundle", lambda self: data)
    with live_node() as served:
        at = ("--node", served.url, "--genesis", trusted)
        shown = marsa("audit", "reserve", "--json", *at)
        other = marsa("audit", "reserve", "--issuer", "val0", *at)
    assert (shown.code, shown.json["ok"], other.code) == (code, not code, 0)


def test_what_does_not_go_without_saying(marsa: Marsa, tmp_path: Path) -> None:
    """A licence that is suspended, attestations that contradict each other, a contested commitment:
    each in a line of its own under the table."""
    made = small_node()
    identity = CapacityCommitment.identity("val1", "capacity-val1")
    item = load(made.chain, CapacityCommitment, identity)
    licence = load(made.chain, Licence, b"val1")
    assert item is not None
    assert licence is not None
    said = replace(item.attestations[0], lower=(LowerFigure(1, 1),))
    contested = replace(
        item, state=CommitmentState.CONTESTED, attestations=(said, *item.attestations[1:])
    )
    name, found = reserve_of(made, "val1")
    suspended = replace(licence, state=LicenceState.SUSPENDED, cause=Cause.REGULATOR)
    changes = {
        key_of(CapacityCommitment, identity): contested,
        key_of(Licence, b"val1"): suspended,
        name: replace(found, is_frozen=True),
    }
    trusted, file = tmp_path / "genesis.json", tmp_path / "b"
    trusted.write_bytes(genesis_text(made))
    file.write_bytes(lie(made, changes))
    text = marsa("audit", "verify-bundle", file, "--genesis", trusted).out
    assert "val1: the licence is suspended" in text
    assert "val1: attestations contradict each other" in text
    assert "val1: contested commitments: 1" in text


def test_a_bundle_that_does_not_hold_has_a_reason(marsa: Marsa, tmp_path: Path) -> None:
    """Another chain's genesis, a cut file and an empty genesis: exit code 9, what held before on
    standard output, the reason on standard error or in the JSON."""
    made = changed_node()
    file, trusted, other = (tmp_path / name for name in ("b", "genesis.json", "other.json"))
    file.write_bytes(bundle_of(made))
    trusted.write_bytes(genesis_text(made))
    other.write_bytes(genesis_rules.dump(make_genesis(epoch_blocks=77)))
    result = marsa("audit", "verify-bundle", file, "--genesis", other, "--json")
    assert (result.code, result.json["fault"]["code"]) == (9, "wrong_chain")
    assert [item["what"] for item in result.json["checks"]] == ["genesis", "file"]
    text = marsa("audit", "verify-bundle", file, "--genesis", other)
    assert (text.code, "error[wrong_chain]" in text.err) == (9, True)
    assert "ok  genesis" in text.out
    empty = tmp_path / "empty"
    empty.touch()
    nothing = marsa("audit", "verify-bundle", file, "--genesis", empty, "--json")
    assert (nothing.code, nothing.json["fault"]["code"]) == (9, "bad_genesis")
    cut = marsa("audit", "verify-bundle", empty, "--genesis", trusted, "--json")
    assert (cut.code, cut.json["fault"]["code"]) == (9, "malformed")
    missing = marsa("audit", "verify-bundle", tmp_path / "none", "--genesis", trusted)
    assert missing.code == 2
