"""`marsa validator`: on a devnet in one step, elsewhere from operator to operator; refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from cli import payments, validator_grant
from cli.devnet.blueprint import Blueprint
from cli.errors import ExitCode
from ledger.crypto import SigningKey
from ledger.economy.licence import LicenceState, Seat
from ledger.genesis import dump
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import BLUEPRINT, devnet_node, write_json, write_role_keys
from tests.cli.live_node import LiveNode
from tests.ledger.world import TIME_MS

DAY_MS = 24 * 3_600_000
REJECTED = ExitCode.REJECTED
CHECK_FAILED = ExitCode.CHECK_FAILED
KEY = SigningKey(bytes([3]) * 32).public.hex()
"""A key that nobody has yet."""


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    with devnet_node(marsa_home) as node:
        yield node


@pytest.fixture
def grant(marsa: Marsa, node: LiveNode, tmp_path: Path) -> Path:
    """The grant of a new provider, its keys beside it."""
    file = tmp_path / "kite.json"
    named = ("--id", "kite", "--name", "Kite Compute")
    made = marsa("validator", "grant", file, *named, "--keys", tmp_path / "kite-keys", "--json")
    assert made.code == 0, made.out
    return file


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def edited(grant: Path, **fields: object) -> Path:
    """A copy of a grant with other fields."""
    file = grant.with_name(f"{grant.stem}-edited.json")
    file.write_text(json.dumps(json.loads(grant.read_text()) | fields))
    return file


def seat(node: LiveNode, name: str) -> tuple[LicenceState, Seat]:
    found = node.inside(lambda: node.world.licence(name))
    return found.state, found.seat


def test_on_a_devnet_one_command_does_all(marsa: Marsa, node: LiveNode, grant: Path) -> None:
    """Admit, remove, suspend, revoke, end the epoch: each final with the approvals of exactly three
    validators, those over licences with two of the regulator's too."""
    steps = [
        (("admit", grant), "kite", 5, (LicenceState.ACTIVE, Seat.WAITING)),
        (("remove", "acme"), "acme", 3, (LicenceState.ACTIVE, Seat.LEAVING)),
        (("suspend", "bolt"), "bolt", 3, (LicenceState.SUSPENDED, Seat.SEATED)),
        (("revoke", "kite"), "kite", 5, (LicenceState.REVOKED, Seat.NONE)),
    ]
    for height, (arguments, name, approvals, expected) in enumerate(steps, 1):
        done = marsa("validator", *arguments, "--json")
        assert done.code == 0, done.out
        assert set(done.json) == {
            *("schema", "txid", "status", "height", "elapsed_ms", "approvals")
        }
        assert (done.json["status"], done.json["height"]) == ("final", height)
        assert done.json["approvals"] == approvals
        assert done.json["schema"] == f"marsa.validator.{arguments[0]}/1"
        assert seat(node, name) == expected
        shown = marsa("tx", "show", done.json["txid"]).out
        assert f"does    {arguments[0]} '{name}'" in shown
    ended = marsa("validator", "end-epoch", "--json")
    assert ended.code == 0, ended.out
    assert "does    end epoch 0" in marsa("tx", "show", ended.json["txid"]).out
    assert node.inside(lambda: node.world.epoch.number) == 1


def test_status_lists_seats_and_wishes(marsa: Marsa, node: LiveNode, grant: Path) -> None:
    """Members, candidates, leaving, suspended, and the end of the epoch."""
    marsa("validator", "admit", grant)
    marsa("validator", "remove", "acme")
    marsa("validator", "suspend", "bolt")
    shown = marsa("validator", "status", "--json").json
    assert set(shown) == {"schema", "epoch", "members", "candidates", "leaving", "suspended"}
    assert sorted(shown["members"]) == sorted(BLUEPRINT.providers)
    assert shown["candidates"] == ["kite"]
    assert (shown["leaving"], shown["suspended"]) == (["acme"], ["bolt"])
    assert (shown["epoch"]["number"], shown["epoch"]["last_height_min"]) == (0, 21)
    text = marsa("validator", "status").out
    assert "4 validators, 1 may fail, 3 decide" in text
    assert "waits: its node is not ready" in text
    assert "leaves at the end of an epoch" in text


def test_from_operator_to_operator(
    marsa: Marsa, node: LiveNode, grant: Path, tmp_path: Path
) -> None:
    """--ptx writes; operators and regulator sign copies with keys of their own and the genesis
    file, one more than needed and one who does not count; combined, inspected and sent by
    anybody."""
    file, genesis = tmp_path / "admit.ptx", tmp_path / "genesis.json"
    genesis.write_bytes(dump(BLUEPRINT.genesis))
    made = marsa("validator", "admit", grant, "--ptx", file, "--genesis", genesis, "--json")
    assert (made.json["schema"], made.json["needed"]) == ("marsa.tx.unsigned/1", 5), made.out
    assert code_of(marsa("tx", "submit", file, "--json")) == (CHECK_FAILED, "needs_quorum")
    copies = []
    for name in BLUEPRINT.providers:
        copy = tmp_path / f"{name}.ptx"
        shutil.copy(file, copy)
        keys = write_role_keys(tmp_path / f"{name}.json", name)
        sign = ("tx", "sign", copy, "--key", keys, "--genesis", genesis)
        assert code_of(marsa(*sign, "--json")) == (ExitCode.REFUSED, "confirmation_needed")
        signed = marsa(*sign, "--yes", "--json", "--node", "http://127.0.0.1:9")
        assert (signed.code, signed.json["added"]) == (0, 1), signed.out
        assert "admit 'kite' (Kite Compute; Devnet)" in signed.err
        copies.append(copy)
    assert marsa("tx", "combine", file, *copies[:2]).code == 0
    assert (
        f"signatures missing: 3; next: marsa tx sign {file} --key FILE"
        in marsa("tx", "inspect", file).out
    )
    candidate = ("tx", "sign", copies[2], "--key", tmp_path / "kite-keys", "--yes")
    assert marsa(*candidate).code == 0
    for number in (1, 2):
        held = tmp_path / f"regulator-{number}.json"
        seed = BLUEPRINT.regulator_seeds[number - 1]
        write_json(held, {"regulator": "State Office", "key": seed.hex()})
        sign = ("tx", "sign", copies[2], "--key", held, "--genesis", genesis, "--yes")
        assert marsa(*sign).code == 0
    assert marsa("tx", "combine", file, *copies[2:], "--json").json["signatures"] == 7
    shown = marsa("tx", "inspect", file)
    assert "signed acme" in shown.out and "spare" in shown.out
    assert shown.out.splitlines()[-1] == f"complete; next: marsa tx submit {file}"
    final = marsa("tx", "finalize", file, "--json").json
    assert (len(final["signed_by"]), len(final["left_out"])) == (5, 2)
    assert marsa("tx", "submit", file, "--json").json["status"] == "final"
    assert seat(node, "kite") == (LicenceState.ACTIVE, Seat.WAITING)
    assert marsa("tx", "submit", file, "--json").json["status"] == "final"


def test_a_devnet_validator_signs_by_name(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Public keys sign without a question; without three of them nothing is sent."""
    file = tmp_path / "remove.ptx"
    assert marsa("validator", "remove", "acme", "--ptx", file, "--days", "1").code == 0
    for count, name in enumerate(("bolt", "coral", "delta"), 1):
        signed = marsa("tx", "sign", file, "--validator", name, "--json")
        assert signed.json["signatures"] == count
    assert marsa("tx", "submit", file).code == 0
    assert seat(node, "acme")[1] is Seat.LEAVING


def test_a_devnets_regulator_signs_by_number(
    marsa: Marsa, node: LiveNode, grant: Path, tmp_path: Path
) -> None:
    """A suspension that two of the regulator's keys carry alone; a third number is no key."""
    file = tmp_path / "suspend.ptx"
    assert marsa("validator", "suspend", "acme", "--ptx", file).code == 0
    assert marsa("tx", "sign", file, "--regulator", "1").code == 0
    assert "the regulator" in marsa("tx", "inspect", file).out
    assert code_of(marsa("tx", "submit", file, "--json")) == (CHECK_FAILED, "needs_quorum")
    assert marsa("tx", "sign", file, "--regulator", "3").code == 0
    lacking = marsa("tx", "sign", file, "--regulator", "4", "--json")
    assert code_of(lacking) == (ExitCode.NOT_FOUND, "unknown_regulator_key")
    assert marsa("tx", "submit", file).code == 0
    assert seat(node, "acme") == (LicenceState.SUSPENDED, Seat.SEATED)


def test_a_provider_that_joined_a_devnet_signs_by_name(
    marsa: Marsa, node: LiveNode, tmp_path: Path, marsa_home: Path
) -> None:
    """`devnet add` left it in devnet.json; whom that does not name has keys of its own."""
    file, described = tmp_path / "remove.ptx", marsa_home / "devnets/default/devnet.json"
    assert marsa("validator", "remove", "acme", "--ptx", file, "--days", "1").code == 0
    sign = ("tx", "sign", file, "--validator", "kite", "--json")
    assert code_of(marsa(*sign)) == (ExitCode.NOT_FOUND, "unknown_validator_key")
    devnet = json.loads(described.read_text())
    devnet["nodes"].append({"name": "val4", "api": node.url, "licence": "kite"})
    described.write_text(json.dumps(devnet))
    signed = marsa(*sign).json
    public = SigningKey(BLUEPRINT.role_seed("kite", "operations")).public
    assert signed["signed_by"] == [public.hex()]


def test_a_wallet_does_not_sign_for_a_validator(
    marsa: Marsa, node: LiveNode, tmp_path: Path
) -> None:
    """--from is for payments."""
    file = tmp_path / "remove.ptx"
    assert marsa("validator", "remove", "acme", "--ptx", file).code == 0
    refused = marsa("tx", "sign", file, "--from", "alice", "--json")
    assert code_of(refused) == (ExitCode.USAGE, "usage")


def test_an_admission_is_shown_in_lines(
    marsa: Marsa, node: LiveNode, grant: Path, tmp_path: Path
) -> None:
    """Whoever signs compares eight hashes and a time: one a line, on a terminal of 80 columns,
    wherever it is shown."""
    file, public = tmp_path / "admit.ptx", json.loads(grant.read_text())
    facts = {f"  {role:13}{key}" for role, key in public["keys"].items()}
    facts |= {f"  document     {public['document_hash']}"}
    offline = ("tx", "inspect", file, "--offline")
    shown = [
        marsa("validator", "admit", grant, "--ptx", file, "--days", "5").out,
        marsa(*offline).out,
        marsa("tx", "inspect", file).out,
        marsa("tx", "sign", file, "--validator", "acme").err,
    ]
    for text in shown:
        lines = text.splitlines()
        assert "does     admit 'kite' (Kite Compute; Devnet), version 0" in lines
        assert facts < set(lines)
        assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    assert marsa("validator", "admit", grant).out.splitlines()[0] in shown[0].splitlines()


def test_operations_that_the_state_refuses(marsa: Marsa, node: LiveNode, grant: Path) -> None:
    """Unknown, seatless, suspended, seated, revoked: refused before anybody has to sign."""
    absent = marsa("validator", "admit", grant.with_name("none.json"), "--json")
    assert code_of(absent) == (ExitCode.NOT_FOUND, "no_grant")
    validator = ("validator",)
    for command in ("remove", "suspend", "revoke"):
        refused = marsa(*validator, command, "nobody", "--json")
        assert code_of(refused) == (REJECTED, "unknown_licence")
    assert marsa(*validator, "suspend", "bolt").code == 0
    assert code_of(marsa(*validator, "suspend", "bolt", "--json")) == (
        REJECTED,
        "licence_inactive",
    )
    assert marsa(*validator, "remove", "acme").code == 0
    assert code_of(marsa(*validator, "remove", "acme", "--json")) == (REJECTED, "no_seat")
    assert marsa(*validator, "admit", grant).code == 0
    rekeyed = edited(grant, keys=json.loads(grant.read_text())["keys"] | {"consensus": KEY})
    assert code_of(marsa(*validator, "admit", rekeyed, "--json")) == (REJECTED, "has_seat")
    assert marsa(*validator, "revoke", "kite").code == 0
    for command in (("admit", grant), ("revoke", "kite"), ("remove", "kite")):
        refused = marsa(*validator, *command, "--json")
        assert code_of(refused) == (REJECTED, "licence_inactive")


def test_who_validates_is_renewed_in_its_seat(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """A later end and a new operations key with the votes' keys, certificate and role as they are:
    granted, seated as before; without its role it is not."""
    held = node.world.licence("acme").grant
    file = tmp_path / "acme.json"
    file.write_bytes(validator_grant.dump(held))
    longer = held.expires_ms + DAY_MS
    other = {name: getattr(held.keys, name).hex() for name in held.keys.__struct_fields__}
    renewed = edited(file, expires_ms=longer, keys=other | {"operations": KEY})
    done = marsa("licence", "grant", renewed, "--json")
    assert (done.code, done.json.get("status")) == (0, "final"), done.out
    after = node.inside(lambda: node.world.licence("acme"))
    assert (after.seat, after.grant.expires_ms) == (Seat.SEATED, longer)
    seatless = edited(renewed, validator=False)
    assert code_of(marsa("licence", "grant", seatless, "--json")) == (REJECTED, "has_seat")


def test_names_and_keys_belong_to_one_provider(
    marsa: Marsa, node: LiveNode, grant: Path, tmp_path: Path
) -> None:
    """A second grant with the name, or with a key, of a licence is refused before it travels."""
    named = ("--id", "lumen", "--name", "ACME compute", "--keys", tmp_path / "lumen-keys")
    assert marsa("validator", "grant", tmp_path / "lumen.json", *named).code == 0
    refused = marsa("validator", "admit", tmp_path / "lumen.json", "--json")
    assert code_of(refused) == (REJECTED, "bad_grant")
    assert "the name of 'acme'" in refused.json["error"]["message"]
    found = json.loads(grant.read_text())
    found["keys"]["treasury"] = BLUEPRINT.genesis.licences[0].keys.treasury.hex()
    grant.write_text(json.dumps(found))
    refused = marsa("validator", "admit", grant, "--ptx", tmp_path / "in.ptx", "--json")
    assert code_of(refused) == (REJECTED, "bad_grant")
    assert "a key of 'acme'" in refused.json["error"]["message"]
    assert not (tmp_path / "in.ptx").exists()


def test_what_was_overtaken_is_named(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """A file for a version or an epoch that has passed: inspect says it, submit refuses it."""
    removal, ending = tmp_path / "remove.ptx", tmp_path / "end.ptx"
    assert marsa("validator", "remove", "acme", "--ptx", removal).code == 0
    assert marsa("validator", "end-epoch", "--ptx", ending).code == 0
    assert marsa("validator", "suspend", "acme").code == 0
    assert marsa("validator", "end-epoch").code == 0
    for file, code in ((removal, "wrong_version"), (ending, "wrong_epoch")):
        assert marsa("tx", "inspect", file, "--json").json["faults"][0]["code"] == code
        assert f"fault    {code}" in marsa("tx", "inspect", file).out
        assert code_of(marsa("tx", "submit", file, "--json")) == (REJECTED, code)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("certificate_hash", "00" * 32, "certificate_hash"),
        ("id", "lumen", "for 'kite'"),
        ("expires_ms", TIME_MS, "expired"),
        ("certificate", "00", "certificate"),
        ("name", "Kite\nCompute", "name"),
        ("seat", 1, "unknown key"),
    ],
)
def test_a_grant_is_checked_before_it_is_proposed(
    marsa: Marsa, grant: Path, field: str, value: object, said: str
) -> None:
    """Each field that somebody changed in a grant is named, with exit code 9."""
    grant.write_text(json.dumps({**json.loads(grant.read_text()), field: value}))
    refused = marsa("validator", "admit", grant, "--json")
    assert code_of(refused) == (CHECK_FAILED, "bad_grant")
    assert said in refused.json["error"]["message"]


@pytest.mark.parametrize(
    ("role", "of", "said"),
    [
        ("link", "metering", "another link key"),
        ("operations", "treasury", "two roles"),
        ("treasury", None, "no usable public key"),
    ],
)
def test_the_keys_of_a_grant_are_checked(
    marsa: Marsa, grant: Path, role: str, of: str | None, said: str
) -> None:
    """The link key is that of the certificate, keys are usable and each has one role."""
    found = json.loads(grant.read_text())
    found["keys"][role] = "00" * 32 if of is None else found["keys"][of]
    grant.write_text(json.dumps(found))
    refused = marsa("validator", "admit", grant, "--json")
    assert code_of(refused) == (CHECK_FAILED, "bad_grant")
    assert said in refused.json["error"]["message"]


def test_every_signer_checks_the_certificate(
    marsa: Marsa, node: LiveNode, grant: Path, tmp_path: Path
) -> None:
    """A dishonest proposer writes a grant that another authority certified: nobody signs it."""
    from cli.wallet import ptx, ptx_document
    from ledger import json_form
    from ledger.economy.licence import LicenceGrant, certificate_fingerprint
    from ledger.operations import Admit
    from p2p.licence_cert import issue_authority_certificate, issue_licence_certificate

    found = json_form.loads(grant.read_bytes(), LicenceGrant, size_max=1 << 16)
    rogue = Blueprint(nonce=b"\x22" * 32, time_ms=TIME_MS).authority_key
    root = issue_authority_certificate(rogue, "Marsa Devnet Authority")
    certificate = issue_licence_certificate(rogue, root, found.keys.link, "kite")
    fields = {name: getattr(found, name) for name in found.__struct_fields__}
    fields |= {
        "certificate": certificate,
        "certificate_hash": certificate_fingerprint(certificate),
    }
    body = node.world.body(operations=[Admit(LicenceGrant(**fields), 0)])
    file = tmp_path / "admit.ptx"
    file.write_bytes(ptx_document.dump(ptx.create(body, "devnet")))
    refused = marsa("tx", "sign", file, "--validator", "acme", "--json")
    assert code_of(refused) == (CHECK_FAILED, "bad_grant")
    assert "did not sign" in refused.json["error"]["message"]
    assert json.loads(file.read_text())["signatures"] == []


def test_the_genesis_must_be_that_of_the_chain(
    marsa: Marsa, node: LiveNode, grant: Path, tmp_path: Path, marsa_home: Path
) -> None:
    """Another chain's genesis is refused; without any an admission is not signed."""
    file, other = tmp_path / "admit.ptx", tmp_path / "other.json"
    assert marsa("validator", "admit", grant, "--ptx", file).code == 0
    other.write_bytes(dump(Blueprint(nonce=b"\x22" * 32, time_ms=TIME_MS).genesis))
    keys = write_role_keys(tmp_path / "acme.json", "acme")
    sign = ("tx", "sign", file, "--key", keys, "--yes", "--json")
    assert code_of(marsa(*sign, "--genesis", other)) == (CHECK_FAILED, "wrong_chain")
    (marsa_home / "devnets" / "default" / "genesis.json").unlink()
    assert code_of(marsa(*sign)) == (ExitCode.USAGE, "genesis_needed")
    lacking = marsa("validator", "remove", "acme", "--json", "--node", node.url)
    assert code_of(lacking) == (ExitCode.NOT_FOUND, "too_few_keys")
    assert "--ptx" in lacking.json["error"]["hint"]


def test_only_keys_that_follow_from_the_genesis_sign_for_a_devnet() -> None:
    """A validator that joined with keys of its own is not signed for, nor is any chain but a
    devnet."""
    from cli.validator_keys import devnet_operations_keys

    genesis = BLUEPRINT.genesis
    wanted = [(item.id, item.keys.operations.hex()) for item in genesis.licences]
    found = devnet_operations_keys(genesis, [*wanted, ("kite", "00" * 32)])
    assert [item.public.hex() for item in found] == [key for _, key in wanted]
    assert devnet_operations_keys(structs.replace(genesis, network="test"), wanted) == ()


def test_making_a_grant_is_refused_by_name(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """Files that exist, a bad id, an authority that is not the chain's, no chain at all."""
    file, keys = tmp_path / "kite.json", tmp_path / "keys"
    make = ("validator", "grant", file, "--name", "Kite", "--keys", keys, "--json")
    assert code_of(marsa(*make, "--id", "Kite!"))[0] == ExitCode.USAGE
    assert not keys.exists() and not file.exists()
    wrong = tmp_path / "other.json"
    wrong.write_text("{}")
    assert code_of(marsa(*make, "--id", "kite", "--genesis", wrong))[0] == CHECK_FAILED
    keys.mkdir()
    assert code_of(marsa(*make, "--id", "kite")) == (ExitCode.NOT_FOUND, "no_key_file")
    keys.rmdir()
    file.touch()
    assert code_of(marsa(*make, "--id", "kite")) == (ExitCode.USAGE, "file_exists")


def test_a_grant_by_the_authority_of_a_genesis_file(
    marsa: Marsa, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a devnet: genesis and authority are files; who has no authority's key is told so."""
    from p2p.licence_cert import private_key_pem
    from tests.ledger.world import make_genesis

    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    genesis, pem = tmp_path / "genesis.json", tmp_path / "authority.pem"
    genesis.write_bytes(dump(BLUEPRINT.genesis))
    pem.touch(mode=0o600)
    pem.write_bytes(private_key_pem(BLUEPRINT.authority_key))
    file = tmp_path / "kite.json"
    make = ("validator", "grant", file, "--id", "kite", "--name", "Kite", "--json")
    make = (*make, "--keys", tmp_path / "keys")
    assert code_of(marsa(*make)) == (ExitCode.USAGE, "genesis_needed")
    foreign = tmp_path / "foreign.json"
    foreign.write_bytes(dump(make_genesis()))
    assert code_of(marsa(*make, "--genesis", foreign)) == (ExitCode.USAGE, "authority_needed")
    made = marsa(*make, "--genesis", genesis, "--authority", pem, "--days", "30")
    assert made.code == 0, made.out
    assert json.loads(file.read_text())["id"] == "kite"
    assert json.loads(file.read_text())["expires_ms"] == TIME_MS + 30 * DAY_MS
    for name in ("consensus.json", "link.pem", "roles.json"):
        assert (tmp_path / "keys" / name).stat().st_mode & 0o777 == 0o600
