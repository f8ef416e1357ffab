"""The fixture that users have: their tests, in a directory of their own, over a real devnet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.functional

CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def marsa_devnet_options():
    return ("--seed", "7", "--accounts", "3", "--no-issuers")
"""
TESTS = """
import os
from itertools import islice
from pathlib import Path

import pytest
from cli.pytest_plugin import MarsaFailed

def test_a_payment(marsa_devnet):
    paid = marsa_devnet.marsa("tx", "send", "bob", "5", "--from", "alice")
    with marsa_devnet.client() as client, marsa_devnet.client(3) as other:
        assert client.transaction(paid["txid"]).status == "final"
        events = client.events(("transactions",), after=paid["height"] - 1)
        assert next(events).value.txid == paid["txid"]
        assert other.status().network.chain_id == marsa_devnet.genesis_hash
        assert len(other.address(marsa_devnet.accounts["bob"]).balances) > 0
    assert len(marsa_devnet.urls) == 4
    assert set(marsa_devnet.accounts) == {"alice", "bob", "carol", "faucet"}

def test_a_refusal(marsa_devnet):
    with pytest.raises(MarsaFailed) as caught:
        marsa_devnet.marsa("tx", "send", "bob", "99999999", "--from", "alice")
    assert caught.value.code == 5
    assert caught.value.error["code"]

def test_it_is_one_devnet(marsa_devnet):
    Path("home").write_text(str(marsa_devnet.home))
    assert marsa_devnet.client().status().sync.height >= 1
"""


def test_users_have_a_devnet(tmp_path: Path) -> None:
    """Three tests share one; options come from the conftest; nothing is left of it."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_mine.py").write_text(TESTS)
    worker = "PYTEST_XDIST_WORKER"  # tells which ports are whose
    kept = {
        name: item
        for name, item in os.environ.items()
        if not name.startswith("PYTEST_") or name == worker
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
    assert not Path((tmp_path / "home").read_text()).exists()
