"""`marsa licence`: every step of a licence's life, by those who may take it, and refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import payments
from cli.errors import ExitCode
from ledger.economy.licence import Cause, LicenceState
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import BLUEPRINT, devnet_node, write_role_keys
from tests.cli.live_node import LiveNode
from tests.ledger.world import TIME_MS


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    with devnet_node(marsa_home) as node:
        yield node


@pytest.fixture
def grant(marsa: Marsa, node: LiveNode, tmp_path: Path) -> Path:
    """The grant of a new issuer, its keys beside it."""
    file = tmp_path / "kite.json"
    named = ("--id", "kite", "--name", "Kite Compute", "--issuer")
    keys = tmp_path / "kite-keys"
    made = marsa("validator", "grant", file, *named, "--keys", keys, "--json")
    assert made.code == 0, made.out
    told = (made.json["file"], made.json["licence"], made.json["keys"])
    assert told == (str(file), "kite", str(keys))
    return file


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def state(node: LiveNode, name: str) -> tuple[LicenceState, Cause]:
    found = node.inside(lambda: node.world.licence(name))
    return found.state, found.cause


def test_list_and_show(marsa: Marsa, node: LiveNode) -> None:
    """Every licence with its state in a table that fits; one with keys and what it takes."""
    shown = marsa("licence", "list", "--json").json
    assert set(shown) == {"schema", "ledger_time_ms", "licences"}
    assert shown["schema"] == "marsa.licence.list/1"
    assert [x["licence"]["id"] for x in shown["licences"]] == sorted(BLUEPRINT.providers)
    lines = marsa("licence", "list").out.splitlines()
    assert lines[0].split() == ["licence", "name", "may", "state", "seat", "ends", "in"]
    assert max(map(len, lines)) <= 100
    one = marsa("licence", "show", "acme", "--json").json
    assert (one["schema"], one["state"]) == ("marsa.licence.show/1", "active")
    text = marsa("licence", "show", "acme").out
    assert "takes    admit, suspend, revoke, wind-down, rotate-key" in text
    assert one["licence"]["keys"]["treasury"] in text
    assert code_of(marsa("licence", "show", "nobody", "--json"))[0] == ExitCode.NOT_FOUND


def test_apply_then_grant(marsa: Marsa, node: LiveNode, grant: Path, tmp_path: Path) -> None:
    """The provider's key signs and alice pays; then five grant what was applied for."""
    keys = tmp_path / "kite-keys"
    applied = marsa("licence", "apply", grant, "--from", "alice", "--key", keys, "--json")
    assert (applied.code, applied.json["status"]) == (0, "final"), applied.out
    assert int(applied.json["fee"]) > 0
    assert state(node, "kite")[0] is LicenceState.APPLIED
    again = marsa("licence", "apply", grant, "--from", "alice", "--key", keys, "--json")
    assert code_of(again) == (ExitCode.REJECTED, "bad_grant")
    granted = marsa("licence", "grant", grant, "--json")
    assert (granted.json["schema"], granted.json["approvals"]) == ("marsa.licence.grant/1", 5)
    assert state(node, "kite")[0] is LicenceState.ACTIVE
    assert marsa("coin", "supply", "--issuer", "kite", "--json").json["total"] == "0"


def test_who_applied_under_a_name_keeps_nobody_from_being_granted_it(
    marsa: Marsa, node: LiveNode, grant: Path, tmp_path: Path
) -> None:
    """The command asks no more than the ledger does."""
    squat, keys = tmp_path / "squat.json", tmp_path / "squat-keys"
    named = ("--id", "squat", "--name", "KITE compute", "--keys", keys)
    assert marsa("validator", "grant", squat, *named, "--json").code == 0
    applied = marsa("licence", "apply", squat, "--from", "alice", "--key", keys, "--json")
    assert applied.code == 0, applied.out
    granted = marsa("licence", "grant", grant, "--json")
    assert granted.code == 0, granted.out
    assert state(node, "kite")[0] is LicenceState.ACTIVE
    late = marsa("licence", "grant", squat, "--json")
    assert code_of(late) == (ExitCode.REJECTED, "bad_grant")


def test_an_application_needs_the_providers_key(
    marsa: Marsa, node: LiveNode, grant: Path, tmp_path: Path
) -> None:
    """Somebody else's keys are refused before anything is signed or paid."""
    keys = write_role_keys(tmp_path / "acme.json", "acme")
    refused = marsa("licence", "apply", grant, "--from", "alice", "--key", keys, "--json")
    assert code_of(refused) == (ExitCode.REJECTED, "wrong_role_key")
    assert node.inside(lambda: node.chain.height) == 0


@pytest.mark.parametrize(
    ("by", "approvals", "cause"),
    [("regulator", 2, Cause.REGULATOR), ("validators", 3, Cause.VALIDATORS)],
)
def test_suspend_reinstate_revoke(
    marsa: Marsa, node: LiveNode, by: str, approvals: int, cause: Cause
) -> None:
    """Regulator or validators suspend, both reinstate and revoke."""
    done = marsa("licence", "suspend", "acme", "--by", by, "--json").json
    assert (done["schema"], done["approvals"]) == ("marsa.licence.suspend/1", approvals)
    assert state(node, "acme") == (LicenceState.SUSPENDED, cause)
    assert f"suspended ({by})" in marsa("licence", "list").out
    minted = marsa("coin", "mint", "1", "--issuer", "acme", "--to", "alice", "--json")
    assert minted.code != 0
    assert marsa("licence", "reinstate", "acme", "--json").json["approvals"] == 5
    assert state(node, "acme") == (LicenceState.ACTIVE, Cause.NONE)
    refused = marsa("licence", "reinstate", "acme", "--json")
    assert code_of(refused) == (ExitCode.REJECTED, "licence_inactive")
    assert marsa("licence", "revoke", "acme", "--json").json["status"] == "final"
    assert state(node, "acme")[0] is LicenceState.REVOKED


def test_a_file_says_who_must_sign(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """--ptx writes for the regulator or for the validators, who sign as for any other."""
    file = tmp_path / "suspend.ptx"
    made = marsa("licence", "suspend", "acme", "--by", "regulator", "--ptx", file)
    assert "2 of 3, the regulator" in made.out
    for number in ("1", "2"):
        assert marsa("tx", "sign", file, "--regulator", number).code == 0
    assert marsa("tx", "submit", file).code == 0
    assert state(node, "acme") == (LicenceState.SUSPENDED, Cause.REGULATOR)
    other = tmp_path / "other.ptx"
    made = marsa("licence", "suspend", "bolt", "--ptx", other)
    assert "3 of 4, the validators of epoch 0" in made.out


def test_wind_down(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """By the issuer's operations key; a key of one's own is asked about first."""
    keys = write_role_keys(tmp_path / "acme.json", "acme")
    asked = marsa("licence", "wind-down", "acme", "--key", keys, "--json")
    assert code_of(asked) == (ExitCode.REFUSED, "confirmation_needed")
    done = marsa("licence", "wind-down", "acme", "--key", keys, "--yes", "--json")
    assert (done.json["schema"], done.json["status"]) == ("marsa.licence.wind-down/1", "final")
    assert state(node, "acme")[0] is LicenceState.WINDDOWN
    assert marsa("licence", "wind-down", "bolt").code == 0
    refused = marsa("licence", "wind-down", "bolt", "--json")
    assert code_of(refused) == (ExitCode.REJECTED, "licence_inactive")


def test_rotate(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """The new key is in a private file and announced; a second one is refused, and no file of
    before is overwritten."""
    file = tmp_path / "next.json"
    done = marsa("licence", "rotate", "acme", "treasury", "--out", file, "--json").json
    held = json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert (held["licence"], held["role"]) == ("acme", "treasury")
    assert done["schema"] == "marsa.licence.rotate/1"
    shown = marsa("licence", "show", "acme", "--json").json
    assert [x["key"] for x in shown["rotations"]] == [done["new_key"]]
    assert "(new key)" in marsa("licence", "list").out
    again = marsa("licence", "rotate", "acme", "treasury", "--out", tmp_path / "b.json", "--json")
    assert code_of(again) == (ExitCode.REJECTED, "bad_role")
    assert not (tmp_path / "b.json").exists()
    kept = marsa("licence", "rotate", "acme", "metering", "--out", file, "--json")
    assert code_of(kept) == (ExitCode.USAGE, "file_exists")
    assert json.loads(file.read_text()) == held
