"""`marsa licence attestor | regulator`: who vouches and who stands beside the validators."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import payments
from cli.devnet.blueprint import ATTESTORS
from cli.errors import ExitCode
from ledger.crypto import SigningKey
from ledger.economy.attestor import Attestor
from ledger.objects import load_all
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import BLUEPRINT, devnet_node, write_json, write_role_keys
from tests.cli.live_node import LiveNode
from tests.ledger.world import TIME_MS

HELIX = ("helix", "--name", "Helix Labs", "--group", "helix")
PUBLIC = ("--public", SigningKey(bytes(32)).public.hex())


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    with devnet_node(marsa_home) as node:
        yield node


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def attestors(node: LiveNode) -> dict[str, Attestor]:
    return {item.id: item for item in node.inside(lambda: load_all(node.world.state, Attestor))}


def test_an_attestor_comes_goes_and_comes_again(marsa: Marsa, node: LiveNode) -> None:
    """On a devnet five sign at once; each step is on the chain and listed."""
    admitted = marsa("licence", "attestor", "admit", *HELIX, *PUBLIC, "--json")
    assert (admitted.code, admitted.json.get("approvals")) == (0, 5), admitted.out
    assert admitted.json["schema"] == "marsa.licence.attestor.admit/1"
    assert attestors(node)["helix"].is_active
    removed = marsa("licence", "attestor", "remove", "helix", "--json")
    assert (removed.code, removed.json["schema"]) == (0, "marsa.licence.attestor.remove/1")
    assert not attestors(node)["helix"].is_active
    again = marsa("licence", "attestor", "admit", *HELIX, *PUBLIC)
    assert again.code == 0 and "admit attestor 'helix' (Helix Labs; group helix)" in again.out
    assert (attestors(node)["helix"].is_active, attestors(node)["helix"].version) == (True, 3)
    shown = marsa("licence", "attestor", "list", "--json").json
    assert [item["id"] for item in shown["attestors"]] == sorted([*ATTESTORS, "helix"])
    lines = marsa("licence", "attestor", "list").out.splitlines()
    assert lines[0].split() == ["attestor", "name", "group", "state", "strikes", "version"]
    assert max(map(len, lines)) <= 100


def test_a_licensed_attestor_attests(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """With the key that it made itself, whose public half alone it gave away, and without which
    nobody licenses it: not on a devnet either, where keys of others are known."""
    file = tmp_path / "helix.json"
    made = marsa("licence", "attestor", "key", file, "--id", "helix", "--json").json
    assert file.stat().st_mode & 0o777 == 0o600
    assert made["public"] not in file.read_text()
    again = marsa("licence", "attestor", "key", file, "--id", "helix", "--json")
    assert code_of(again) == (ExitCode.USAGE, "file_exists")
    admit = ("licence", "attestor", "admit", *HELIX)
    assert code_of(marsa(*admit, "--json")) == (ExitCode.USAGE, "usage")
    admitted = marsa(*admit, "--public", made["public"])
    assert admitted.code == 0, admitted.out
    attest = ("capacity", "attest", "acme", "acme-h100x8", "--attestor", "helix", "--json")
    assert code_of(marsa(*attest)) == (ExitCode.REJECTED, "wrong_role_key")
    assert marsa(*attest, "--key", file).code == 0


def test_what_the_state_refuses_is_refused_before_anybody_signs(
    marsa: Marsa, node: LiveNode, tmp_path: Path
) -> None:
    """Licensed already, not licensed, a key or a name that cannot be; no file is written."""
    file = tmp_path / "x.ptx"
    group = ("licence", "attestor")
    known = ("meridian", "--name", "Meridian", "--group", "meridian", *PUBLIC)
    refused = marsa(*group, "admit", *known, "--ptx", file, "--json")
    assert code_of(refused) == (ExitCode.REJECTED, "bad_grant")
    for name in ("nobody", "Nobody!"):
        refused = marsa(*group, "remove", name, "--ptx", file, "--json")
        assert code_of(refused) == (ExitCode.REJECTED, "unknown_attestor")
    for key in ("00" * 32, "ab", "AB" * 32):
        refused = marsa(*group, "admit", *HELIX, "--public", key, "--ptx", file, "--json")
        assert code_of(refused) == (ExitCode.USAGE, "bad_key")
    for bad in (("Helix", *HELIX[1:]), (*HELIX[:4], "He lix"), ("helix", "--name", "", *HELIX[3:])):
        refused = marsa(*group, "admit", *bad, *PUBLIC, "--ptx", file, "--json")
        assert code_of(refused) == (ExitCode.USAGE, "bad_name")
    assert not file.exists()


def test_a_file_of_an_attestor_goes_from_hand_to_hand(
    marsa: Marsa, node: LiveNode, tmp_path: Path, marsa_home: Path
) -> None:
    """Elsewhere --ptx writes, operators and regulator sign with files of their own; a second copy
    is faulty once the first is final."""
    (marsa_home / "devnets" / "default" / "genesis.json").unlink()
    file, elsewhere = tmp_path / "admit.ptx", ("--node", node.url, "--json")
    admit = ("licence", "attestor", "admit", *HELIX, *elsewhere)
    made = marsa("licence", "attestor", "key", tmp_path / "helix.json", "--id", "helix", "--json")
    public = ("--public", made.json["public"])
    assert code_of(marsa(*admit, *public)) == (ExitCode.NOT_FOUND, "too_few_keys")
    assert marsa(*admit, *public, "--ptx", file).json["needed"] == 5
    sign_all(marsa, tmp_path, file)
    late = shutil.copy(file, tmp_path / "late.ptx")
    assert marsa("tx", "submit", file, *elsewhere).json["status"] == "final"
    assert attestors(node)["helix"].grant.key.hex() == public[1]
    assert "bad_grant" in marsa("tx", "inspect", late, "--node", node.url).out


def sign_all(marsa: Marsa, directory: Path, file: Path) -> None:
    """Three operators and two holders of the regulator's keys."""
    keys = [write_role_keys(directory / f"{x}.json", x) for x in BLUEPRINT.providers[:3]]
    for number, seed in enumerate(BLUEPRINT.regulator_seeds[:2], 1):
        keys.append(directory / f"regulator-{number}.json")
        write_json(keys[-1], {"regulator": "State Office", "key": seed.hex()})
    for key in keys:
        assert marsa("tx", "sign", file, "--key", key, "--yes").code == 0


def test_the_regulators_keys_are_rotated(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Announced with the moment from which they count; both sign; another announcement replaces
    the first."""
    public = []
    for number in (1, 2):
        file = tmp_path / f"next-{number}.json"
        made = marsa("licence", "regulator", "key", file, "--name", "State Office", "--json").json
        assert set(json.loads(file.read_text())) == {"regulator", "key"}
        public.append(made["public"])
    before = marsa("licence", "regulator", "show", "--json").json
    assert (before["schema"], before["announced"]) == ("marsa.licence.regulator.show/1", None)
    given = [item for key in public for item in ("--public", key)]
    rotate = ("licence", "regulator", "rotate", "--needed")
    done = marsa(*rotate, "2", *given, "--json")
    assert (done.code, done.json.get("approvals")) == (0, 5), done.out
    assert done.json["schema"] == "marsa.licence.regulator.rotate/1"
    shown = marsa("licence", "regulator", "show", "--json").json
    assert (shown["version"], shown["keys"]) == (before["version"] + 1, before["keys"])
    assert (shown["announced"]["needed"], shown["announced"]["keys"]) == (2, sorted(public))
    assert marsa(*rotate, "1", *given[:2]).code == 0
    text = marsa("licence", "regulator", "show").out
    assert f"new key  {public[0]}" in text and public[1] not in text
    assert "1 of these 1 from 20" in text


@pytest.mark.parametrize(
    ("needed", "keys"), [("2", [0]), ("1", [0, 0]), ("0", [0]), ("17", [0]), ("1", [])]
)
def test_a_rotation_that_cannot_be_is_a_mistake(
    marsa: Marsa, node: LiveNode, needed: str, keys: list[int]
) -> None:
    """Fewer keys than must sign, one twice, none."""
    public = BLUEPRINT.genesis.regulator.keys
    given = [item for index in keys for item in ("--public", public[index].hex())]
    refused = marsa("licence", "regulator", "rotate", "--needed", needed, *given, "--json")
    assert code_of(refused) == (ExitCode.USAGE, "usage")
    assert node.inside(lambda: node.chain.height) == 0


def test_a_rotation_that_was_overtaken_is_refused_in_its_file(
    marsa: Marsa, node: LiveNode, tmp_path: Path
) -> None:
    """It names the version of the regulator for which it was made."""
    public = BLUEPRINT.genesis.regulator.keys[0].hex()
    rotate = ("licence", "regulator", "rotate", "--needed", "1", "--public", public)
    file = tmp_path / "rotate.ptx"
    assert "validators of epoch 0" in marsa(*rotate, "--ptx", file).out
    assert marsa(*rotate).code == 0
    assert "wrong_version" in marsa("tx", "inspect", file).out
