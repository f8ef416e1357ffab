"""`marsa coin quote` and `marsa coin bond`: room for minting, and what an issuer stands by with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import payments
from cli.devnet.blueprint import BOND_COINS
from cli.errors import ExitCode
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import BLUEPRINT, devnet_node, write_json, write_role_keys
from tests.cli.live_node import LiveNode
from tests.cli.redeem_world import passes
from tests.ledger.world import COIN, TIME_MS


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    with devnet_node(marsa_home) as node:
        yield node


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def in_bond(marsa: Marsa, coin: str) -> int:
    shown = marsa("coin", "bond", "show", "acme", "--json").json
    return next(int(x["amount"]) for x in shown["bond"] if x["issuer"] == coin)


def test_a_quote_is_what_minting_says(marsa: Marsa, node: LiveNode, marsa_home: Path) -> None:
    """Yes and no with the same reason as the mint itself, which exit codes tell apart."""
    seed = BLUEPRINT.role_seed("acme", "treasury").hex()
    issuers = marsa_home / "devnets" / "default" / "issuers"
    issuers.mkdir()
    write_json(issuers / "acme.json", {"issuer": "acme", "treasury_seed": seed})
    for amount in ("100", "30000", "400000", "9000000"):
        asked = marsa("coin", "quote", amount, "--issuer", "acme", "--json")
        assert (asked.code, asked.json["schema"]) == (0, "marsa.coin.quote/1")
        minted = marsa("coin", "mint", amount, "--issuer", "acme", "--to", "alice", "--json")
        assert asked.json["allowed"] == (minted.code == 0)
        if minted.code:
            assert code_of(minted) == (ExitCode.REJECTED, asked.json["code"])
    text = marsa("coin", "quote", "9000000", "--issuer", "acme").out
    assert "9000000.000000 acme  no: above_headroom\n" in text
    assert max(map(len, text.splitlines())) <= 100
    assert text.splitlines()[-1] == "next: marsa capacity list --issuer acme"
    text = marsa("coin", "quote", "1", "--issuer", "acme").out
    assert "1.000000 acme  yes" in text
    for line in ("outstanding", "headroom", "this period", "bond", "band"):
        assert f"\n{line} " in text
    unknown = marsa("coin", "quote", "1", "--issuer", "nobody", "--json")
    assert unknown.code == ExitCode.NOT_FOUND


def test_mint_with_a_key_of_ones_own(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """--key takes the roles of the issuer, and those of nobody else."""
    mint = ("coin", "mint", "1", "--issuer", "acme", "--to", "alice", "--json", "--key")
    keys = {name: write_role_keys(tmp_path / f"{name}.json", name) for name in ("acme", "bolt")}
    assert marsa(*mint, keys["acme"]).json["status"] == "final"
    assert code_of(marsa(*mint, keys["bolt"])) == (ExitCode.REJECTED, "wrong_role_key")


def test_deposit_and_withdraw(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """alice adds, the treasury takes; not more than is there, nor what is required."""
    assert in_bond(marsa, "bolt") == BOND_COINS
    deposit = ("coin", "bond", "deposit", "acme", "100", "--from", "alice", "--json")
    added = marsa(*deposit, "--issuer", "bolt").json
    assert (added["schema"], added["amount"]) == ("marsa.coin.bond.deposit/1", "100000000")
    assert in_bond(marsa, "bolt") == BOND_COINS + 100 * COIN
    withdraw = ("coin", "bond", "withdraw", "acme", "--issuer", "bolt", "--to", "alice", "--json")
    taken = marsa(*withdraw, "25").json
    assert (taken["schema"], taken["number"]) == ("marsa.coin.bond.withdraw/1", 0)
    keys = write_role_keys(tmp_path / "acme.json", "acme")
    assert marsa(*withdraw, "25", "--key", keys).json["number"] == 1
    assert in_bond(marsa, "bolt") == BOND_COINS + 50 * COIN
    above = marsa(*withdraw, "999999")
    assert code_of(above) == (ExitCode.REJECTED, "short_bond")
    assert above.json["error"]["hint"] == "marsa coin bond show ID"


def test_a_wallet_is_asked_first(marsa: Marsa, node: LiveNode, password_file: Path) -> None:
    """Real money: a question, the password, and a reservation that ends with the refusal."""
    secret = ("--password-file", password_file)
    assert marsa("wallet", "new", "savings", *secret).code == 0
    pay = ("tx", "send", "savings", "100", "--from", "alice", "--issuer", "bolt")
    assert marsa(*pay).code == 0
    deposit = ("coin", "bond", "deposit", "acme", "60", "--from", "savings", "--json", *secret)
    assert code_of(marsa(*deposit)) == (ExitCode.REFUSED, "confirmation_needed")
    own = marsa("tx", "send", "savings", "100", "--from", "alice", "--issuer", "acme")
    assert own.code == 0
    refused = marsa(*deposit, "--yes", "--issuer", "acme")
    assert code_of(refused) == (ExitCode.REJECTED, "own_coin")
    assert marsa(*deposit, "--yes").json["status"] == "final"
    short = marsa(*deposit, "--yes")
    assert code_of(short) == (ExitCode.REJECTED, "insufficient_funds")


def test_a_deposit_is_never_of_the_own_coin(marsa: Marsa, node: LiveNode) -> None:
    """alice has most of acme's: without a choice the bond gets another; chosen, it is refused."""
    deposit = ("coin", "bond", "deposit", "acme", "1", "--from", "alice", "--json")
    assert bytes.fromhex(marsa(*deposit).json["asset"]) == node.world.asset("bolt")
    assert code_of(marsa(*deposit, "--issuer", "acme")) == (ExitCode.REJECTED, "own_coin")
    assert code_of(marsa(*deposit, "--issuer", "nobody"))[0] == ExitCode.NOT_FOUND


def test_a_short_bond_says_what_is_missing(marsa: Marsa, node: LiveNode) -> None:
    """Coins of suspended issuers count for nothing: what is missing, and the next command."""
    text = marsa("coin", "bond", "show", "acme").out
    assert "are required" in text and "short" not in text
    for name in ("bolt", "coral", "delta"):
        assert marsa("licence", "suspend", name, "--by", "regulator").code == 0
    shown = marsa("coin", "bond", "show", "acme", "--json").json
    assert (shown["worth"], shown["short_since_ms"]) == ("0", None)
    lines = marsa("coin", "bond", "show", "acme").out.splitlines()
    assert "nothing is minted until" in lines[-2]
    assert lines[-1].startswith("next: marsa coin bond deposit acme ")
    quote = marsa("coin", "quote", "1", "--issuer", "acme").out
    assert "no: short_bond" in quote and "next: marsa coin bond show acme" in quote
    passes(node, 120)
    assert marsa("coin", "bond", "show", "acme", "--json").json["short_since_ms"] > TIME_MS
    assert "it is short for 1m" in marsa("coin", "bond", "show", "acme").out
