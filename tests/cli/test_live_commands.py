"""Commands against a node with the real API, rules and proofs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from cli import payments
from cli.client import ApiProblem, Client
from cli.errors import ExitCode
from ledger import genesis
from ledger.address import encode_address
from ledger.amounts import format_amount
from ledger.objects import LedgerClock
from tests.cli.conftest import Marsa, Result
from tests.cli.live_node import LiveNode, live_node
from tests.ledger.world import COIN, TIME_MS, lock_of

ISSUER = "val0"
SEEDS = {name: sha256(name.encode()).hexdigest() for name in ("alice", "bob")}
"""As `tests.ledger.world.key` derives them."""

JsonPath = tuple[str | int, ...]
"""Where a value stands in JSON."""


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    """A live node, the files of its devnet in MARSA_HOME, and the clock of its world."""
    with live_node() as node:
        chain_id = node.world.chain_id.hex()
        directory = marsa_home / "devnets" / "default"
        description = {"genesis_hash": chain_id, "nodes": [{"name": "val0", "api": node.url}]}
        accounts = [
            {"name": name, "address": encode_address(lock_of(name), "mrst"), "seed": seed}
            for name, seed in SEEDS.items()
        ]
        treasury = sha256(f"{ISSUER}/treasury".encode()).hexdigest()
        _write(directory / "devnet.json", description)
        _write(directory / "accounts.json", accounts)
        key = {"issuer": ISSUER, "treasury_seed": treasury}
        _write(directory / "issuers" / f"{ISSUER}.json", key)
        monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
        yield node


def _write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(value))


def balance(marsa: Marsa, name: str) -> dict[str, int]:
    shown = marsa("wallet", "balance", name, "--json")
    assert set(shown.json) == {"schema", "address", "balances"}
    return {item["issuer"]: int(item["amount"]) for item in shown.json["balances"]}


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def test_send_is_final_and_balances_add_up(marsa: Marsa, node: LiveNode) -> None:
    """alice sends bob 5: exact JSON, balances move by amount and fee, history and show agree."""
    before = balance(marsa, "alice"), balance(marsa, "bob")
    sent = marsa("tx", "send", "bob", "5", "--from", "alice", "--memo", "rent", "--json")
    assert sent.code == 0, sent.err
    assert set(sent.json) == {
        *("schema", "txid", "status", "height", "asset", "amount", "fee", "elapsed_ms")
    }
    assert (sent.json["status"], sent.json["height"], sent.json["amount"]) == (
        "final",
        1,
        "5000000",
    )
    assert sent.err.splitlines()[0] == f"txid {sent.json['txid']}"
    after = balance(marsa, "alice"), balance(marsa, "bob")
    (issuer,) = [name for name in before[0] if before[0][name] != after[0][name]]
    fee = int(sent.json["fee"])
    assert after[0][issuer] == before[0][issuer] - 5 * COIN - fee
    assert after[1][issuer] == before[1][issuer] + 5 * COIN
    history = marsa("wallet", "history", "bob", "--json").json["transactions"]
    assert history[0]["txid"] == sent.json["txid"]
    shown = marsa("tx", "show", sent.json["txid"])
    assert "status  final" in shown.out and "b'rent'" in shown.out
    waited = marsa("tx", "wait", sent.json["txid"], "--json").json
    assert (waited["status"], waited["height"]) == ("final", 1)


def test_people_see_the_txid_before_the_outcome(marsa: Marsa, node: LiveNode) -> None:
    """Without --json: txid, amount, fee and change, then one line with the block."""
    lines = marsa("tx", "send", "bob", "5", "--from", "alice").out.splitlines()
    assert [line.split()[0] for line in lines] == ["txid", "amount", "fee", "change", "final"]
    assert "signed by 3 validators" in lines[-1]


def test_dry_run_sends_nothing(marsa: Marsa, node: LiveNode) -> None:
    """--dry-run plans only: no block, nothing reserved, the same coins are free afterwards."""
    shown = marsa("tx", "send", "bob", "5", "--from", "alice", "--dry-run", "--json")
    assert (shown.json["status"], shown.json["height"]) == ("draft", None)
    assert node.inside(lambda: node.chain.height) == 0
    assert marsa("tx", "send", "bob", "999", "--from", "alice").code == 0


def test_two_quick_sends_take_different_coins(marsa: Marsa, node: LiveNode) -> None:
    """While one is on its way its coin is reserved; when all are, the error says so."""
    node.is_deciding = False
    issuer = ("--issuer", ISSUER)
    first = marsa("tx", "send", "bob", "5", "--from", "alice", "--no-wait", "--json", *issuer)
    assert (first.code, first.json["status"]) == (0, "pending")
    second = marsa("tx", "send", "bob", "5", "--from", "alice", "--no-wait", "--json", *issuer)
    assert code_of(second) == (ExitCode.REJECTED, "funds_reserved")
    node.inside(node.decide)
    third = marsa("tx", "send", "bob", "6", "--from", "alice", "--no-wait", "--json", *issuer)
    assert third.code == 0, third.out


def test_a_node_that_is_busy_meanwhile_is_asked_again(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payment is on its way; that nobody can be told yet is no refusal of it."""
    answers = [ApiProblem(429, "busy", "so it is"), ApiProblem(503, "deadline", "gave up")]
    ask = Client.transaction

    def busy(client: Client, *arguments: Any, **options: Any) -> Any:
        if answers:
            raise answers.pop()
        return ask(client, *arguments, **options)

    monkeypatch.setattr(Client, "transaction", busy)
    sent = marsa("tx", "send", "bob", "5", "--from", "alice", "--json")
    assert (sent.code, sent.json["status"], answers) == (ExitCode.OK, "final", [])


def test_a_question_that_is_refused_leaves_the_payment_open(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node took it, and answers no question any more."""
    node.is_deciding = False

    def refused(client: Client, *arguments: Any, **options: Any) -> Any:
        raise ApiProblem(421, "host_not_allowed", "not by that name")

    monkeypatch.setattr(Client, "transaction", refused)
    sent = marsa("tx", "send", "bob", "5", "--from", "alice", "--json")
    assert code_of(sent) == (ExitCode.TIMEOUT, "outcome_unknown")
    assert len(sent.json["error"]["details"]["txid"]) == 64


@pytest.mark.parametrize(
    ("status", "code"), [(503, "deadline"), (503, "storage"), (502, "unexpected_answer")]
)
def test_a_node_that_gave_up_has_refused_nothing(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    """Exit code 4 with the txid, and the coins stay reserved: the payment may be on its way."""
    node.is_deciding = False
    submit = Client.submit

    def cut_off(client: Client, raw: bytes) -> Any:
        submit(client, raw)
        raise ApiProblem(status, code, "no time")

    monkeypatch.setattr(Client, "submit", cut_off)
    send = ("tx", "send", "bob", "5", "--from", "alice", "--issuer", ISSUER, "--json")
    unknown = marsa(*send)
    assert code_of(unknown) == (ExitCode.TIMEOUT, "outcome_unknown")
    assert code_of(marsa(*send)) == (ExitCode.REJECTED, "funds_reserved")
    node.inside(node.decide)
    assert marsa("tx", "wait", unknown.json["error"]["details"]["txid"]).code == ExitCode.OK


def test_money_that_is_missing_has_three_names(marsa: Marsa, node: LiveNode) -> None:
    """Too much in all, too much for one asset (and --mix pays it), too much of one issuer."""
    send = ("tx", "send", "bob", "--from", "alice", "--json")
    assert code_of(marsa(*send, "3001")) == (ExitCode.REJECTED, "insufficient_funds")
    assert code_of(marsa(*send, "1500")) == (ExitCode.REJECTED, "insufficient_single_asset")
    assert code_of(marsa(*send, "1001", "--issuer", "val1"))[1] == "insufficient_funds"
    mixed = marsa(*send, "1500", "--mix")
    assert mixed.code == 0, mixed.out
    assert sum(int(part["amount"]) for part in mixed.json["parts"]) == 1500 * COIN
    assert mixed.json["amount"] == str(1500 * COIN)


def test_unknown_outcome_is_exit_4_and_names_who_is_missing(marsa: Marsa, node: LiveNode) -> None:
    """No quorum: the wait ends with the txid, the reason, and no claim of failure."""
    node.is_deciding = False
    node.missing = ["val2", "val3"]
    shown = marsa("tx", "send", "bob", "5", "--from", "alice", "--wait", "300ms")
    assert shown.code == ExitCode.TIMEOUT
    txid = shown.out.split()[1]
    assert "error[outcome_unknown]" in shown.err and txid in shown.err
    assert "2 of 4 validators are connected, 3 are needed; missing: val2, val3" in shown.err
    assert f"hint: it may still become final. Follow it with: marsa tx wait {txid}" in shown.err
    node.inside(node.decide)
    assert marsa("tx", "wait", txid).code == 0


def test_refusal_by_the_node_frees_the_coins(
    marsa: Marsa, node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired transaction is refused with the ledger's code; the next send can use its coins."""
    monkeypatch.setattr(payments, "LIFETIME_MS", -1)
    refused = marsa("tx", "send", "bob", "5", "--from", "alice", "--issuer", ISSUER, "--json")
    assert code_of(refused) == (ExitCode.REJECTED, "expired")
    txid = refused.err.split()[1]
    assert code_of(marsa("tx", "wait", txid, "--json")) == (ExitCode.REJECTED, "expired")
    monkeypatch.setattr(payments, "LIFETIME_MS", 60_000)
    assert marsa("tx", "send", "bob", "5", "--from", "alice", "--issuer", ISSUER).code == 0


def test_wallet_receives_and_sends(
    marsa: Marsa, node: LiveNode, password_file: Path, marsa_home: Path
) -> None:
    """An encrypted wallet, an alias for it, a payment from it that needs the password."""
    password = ("--password-file", password_file)
    made = marsa("wallet", "new", "savings", *password, "--json").json
    (marsa_home / "aliases.json").write_text(json.dumps({"@pot": made["address"]}))
    assert marsa("tx", "send", "@pot", "20", "--from", "alice").code == 0
    back = ("tx", "send", "bob", "7.5", "--from", "savings")
    locked = marsa(*back, "--json")
    assert code_of(locked) == (ExitCode.LOCKED, "password_needed")
    assert marsa(*back, *password).code == 0
    assert 12 * COIN < sum(balance(marsa, "savings").values()) < 12_500_000
    coins = marsa("wallet", "coins", "savings", "--json").json["coins"]
    name = f"{coins[0]['txid']}:{coins[0]['index']}"
    assert (
        marsa("tx", "send", "alice", "1", "--from", "savings", "--coin", name, *password).code == 0
    )


def test_wallet_merges_its_coins(marsa: Marsa, node: LiveNode, password_file: Path) -> None:
    """Three coins become one, less the fee; of one coin nothing is left to merge."""
    password = ("--password-file", password_file)
    pot = marsa("wallet", "new", "savings", *password, "--json").json["address"]
    for amount in ("1", "2", "3"):
        assert marsa("tx", "send", pot, amount, "--from", "alice", "--issuer", ISSUER).code == 0
    merge = ("wallet", "merge", "savings")
    dry = marsa(*merge, "--dry-run", "--json").json
    assert (dry["status"], dry["schema"]) == ("draft", "marsa.wallet.merge/1")
    assert code_of(marsa(*merge, "--json")) == (ExitCode.LOCKED, "password_needed")
    merged = marsa(*merge, "--issuer", ISSUER, *password, "--json").json
    (left,) = marsa("wallet", "coins", "savings", "--json").json["coins"]
    assert (merged["txid"], merged["amount"]) == (left["txid"], left["amount"])
    assert int(merged["amount"]) + int(merged["fee"]) == 6 * COIN
    assert code_of(marsa(*merge, *password, "--json")) == (ExitCode.NOT_FOUND, "nothing_to_merge")


def test_proof_verifies_offline_and_fails_when_changed(
    marsa: Marsa, node: LiveNode, tmp_path: Path
) -> None:
    """tx proof, then verify-proof without a node; any changed hex digit or genesis is exit 9."""
    txid = marsa("tx", "send", "bob", "5", "--from", "alice", "--json").json["txid"]
    proof, trusted = tmp_path / "proof.json", tmp_path / "genesis.json"
    written = marsa("tx", "proof", txid, "--out", proof, "--json").json
    assert (written["txid"], written["file"]) == (txid, str(proof))
    assert marsa("tx", "proof", txid).json == json.loads(proof.read_text())
    trusted.write_bytes(genesis.dump(node.world.genesis))
    check = ("tx", "verify-proof", proof, "--genesis", trusted, "--node", "http://127.0.0.1:9")
    shown = marsa(*check, "--json")
    assert (shown.code, shown.json["ok"], len(shown.json["signers"])) == (0, True, 3)
    assert len(marsa(*check).out.splitlines()) == 5
    good = proof.read_text()
    for path, old in sorted(_hex_strings(json.loads(good))):
        changed = json.loads(good)
        _replace(changed, path, ("0" if old[0] != "0" else "1") + old[1:])
        proof.write_text(json.dumps(changed))
        assert marsa(*check).code == ExitCode.CHECK_FAILED, path
    proof.write_text(good)
    trusted.write_bytes(genesis.dump(node.world.genesis).replace(b"Cloud val0", b"Cloud valX"))
    assert marsa(*check).code == ExitCode.CHECK_FAILED


def _hex_strings(
    value: object, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    for name, inner in items:
        if isinstance(inner, dict | list):
            yield from _hex_strings(inner, (*path, name))
        elif isinstance(inner, str) and len(inner) >= 64:
            yield (*path, name), inner


def _replace(value: object, path: JsonPath, new: str) -> None:
    for name in path[:-1]:
        value = value[name]  # type: ignore[index]
    value[path[-1]] = new  # type: ignore[index]


def test_mint_moves_supply_and_headroom_refuses_with_figures(marsa: Marsa, node: LiveNode) -> None:
    """Two mints take the next numbers; supply rises; above the headroom the node refuses."""

    def supply() -> tuple[int, int]:
        row = marsa("coin", "supply", "--issuer", ISSUER, "--json").json["assets"][0]
        return int(row["supply"]), int(row["headroom"])

    mint = ("coin", "mint", "--issuer", ISSUER, "--to", "bob", "--json")
    before = supply()
    minted = [marsa(*mint, "10"), marsa(*mint, "0.5")]
    assert [shown.code for shown in minted] == [0, 0], minted
    assert minted[1].json["number"] == minted[0].json["number"] + 1
    after = supply()
    assert after[0] == before[0] + 10_500_000
    above = marsa(*mint, str(after[1] // COIN + 1))
    assert code_of(above) == (ExitCode.REJECTED, "above_headroom")
    assert format_amount(after[1]) in above.json["error"]["message"]
    assert above.json["error"]["hint"] == "marsa coin supply"
    assert supply() == after
    assert code_of(marsa("coin", "mint", "1", "--issuer", "val1", "--to", "bob", "--json")) == (
        ExitCode.NOT_FOUND,
        "unknown_issuer_key",
    )


def test_mint_with_another_treasury_key_is_refused(
    marsa: Marsa, node: LiveNode, tmp_path: Path
) -> None:
    """The role keys in a file are compared with the issuer's before anything is signed."""
    assert marsa("validator", "keys", "new", tmp_path / "keys", "--id", "kite").code == 0
    mint = ("coin", "mint", "1", "--issuer", ISSUER, "--to", "bob", "--json")
    refused = marsa(*mint, "--key", tmp_path / "keys")
    assert code_of(refused) == (ExitCode.REJECTED, "wrong_role_key")
    assert str(tmp_path / "keys") in refused.json["error"]["message"]


def test_burn_lowers_the_supply(marsa: Marsa, node: LiveNode, password_file: Path) -> None:
    """A public account burns without a question; a wallet needs --yes where nobody can answer."""
    before = int(marsa("coin", "supply", "--json").json["total"])
    burned = marsa("coin", "burn", "5", "--from", "alice", "--issuer", ISSUER, "--json")
    assert burned.json["status"] == "final"
    assert int(marsa("coin", "supply", "--json").json["total"]) == before - 5 * COIN
    marsa("wallet", "new", "savings", "--password-file", password_file)
    refused = marsa("coin", "burn", "5", "--from", "savings", "--json")
    assert code_of(refused) == (ExitCode.REFUSED, "confirmation_needed")


@pytest.mark.parametrize("as_json", [False, True])
def test_every_query_answers(marsa: Marsa, node: LiveNode, as_json: bool) -> None:
    """Each query works at height 0 and 1, for people and as an object with its schema."""
    sent = marsa("tx", "send", "bob", "5", "--from", "alice", "--json").json
    key = marsa("query", "outpoint", f"{sent['txid']}:0", "--json")
    assert key.code == 0, key.out
    questions: list[list[str]] = [
        ["block"],
        ["block", "0"],
        ["header", "1"],
        ["address", "alice"],
        ["outpoint", f"{sent['txid']}:0"],
        ["validators"],
        ["params"],
        ["mempool"],
        ["object", bytes([LedgerClock.TYPE]).hex()],
    ]
    for question in questions:
        shown = marsa("query", *question, *(["--json"] if as_json else []))
        assert shown.code == 0, (question, shown)
        if as_json:
            assert shown.json["schema"] == f"marsa.query.{question[0]}/1"
        else:
            assert len(shown.out) > 20 and "{" not in shown.out


def test_what_does_not_exist_is_exit_6(marsa: Marsa, node: LiveNode) -> None:
    """Unknown height, transaction, output, account, alias and wallet."""
    for words in (
        ("query", "block", "99"),
        ("query", "outpoint", "00" * 32 + ":0"),
        ("tx", "show", "00" * 32),
        ("tx", "proof", "00" * 32),
        ("tx", "send", "nobody", "1", "--from", "alice"),
        ("tx", "send", "@nobody", "1", "--from", "alice"),
        ("tx", "send", "bob", "1", "--from", "nobody"),
        ("query", "object", "ff"),
    ):
        shown = marsa(*words, "--json")
        assert shown.code == ExitCode.NOT_FOUND, (words, shown.out)
        assert shown.json["error"]["message"]


def test_other_networks_addresses_are_refused(marsa: Marsa, node: LiveNode) -> None:
    """An address of the main network, and one with a typing mistake."""
    for address in (encode_address(lock_of("bob"), "mrs"), "mrst1qqqqqqqq"):
        shown = marsa("tx", "send", address, "1", "--from", "alice", "--json")
        assert code_of(shown) == (ExitCode.USAGE, "bad_address")


def test_another_node_of_the_devnet_is_used_when_the_first_is_down(
    marsa: Marsa, node: LiveNode, marsa_home: Path
) -> None:
    """Without --node the devnet's nodes are tried in order; with --node only that one."""
    nodes = [{"name": "val9", "api": "http://127.0.0.1:9"}, {"name": "val0", "api": node.url}]
    description = {"genesis_hash": node.world.chain_id.hex(), "nodes": nodes}
    _write(marsa_home / "devnets" / "default" / "devnet.json", description)
    assert marsa("query", "params").code == 0
    only = marsa("query", "params", "--node", "http://127.0.0.1:9")
    assert only.code == ExitCode.UNREACHABLE


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("query", "block", "9" * 15), "not_found", "marsa query block --help"),
        (("tx", "proof", "0" * 64), "not_found", "marsa tx proof --help"),
        (("coin", "supply", "--issuer", "nobody"), "unknown_issuer", "marsa coin supply"),
    ],
)
def test_hints_are_commands_not_routes(
    marsa: Marsa, node: LiveNode, words: tuple[str, ...], code: str, hint: str
) -> None:
    """What a node cannot find or read: the hint is a command to type, never a matter of HTTP."""
    error = marsa(*words, "--json").json["error"]
    assert (error["code"], error["hint"]) == (code, hint)


@pytest.mark.parametrize("place", ["abc", "-1", "１", "0" * 63, "LATEST", ""])
@pytest.mark.parametrize("command", ["block", "header"])
def test_what_names_no_block_is_a_mistake_in_the_command(
    marsa: Marsa, command: str, place: str
) -> None:
    """Seen before any node is asked: exit code 2."""
    refused = marsa("query", command, "--json", "--", place)
    assert code_of(refused) == (ExitCode.USAGE, "bad_place")
