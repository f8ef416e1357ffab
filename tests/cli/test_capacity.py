"""`marsa capacity`: from a promise to counted hours, doubts and rulings, against a live node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import payments
from cli.agents.run import Agents, agents_of
from cli.client import Client
from cli.devnet.blueprint import ATTESTORS
from cli.errors import CliError, ExitCode
from cli.spans import machines_of, microhours_of, parse_span, parse_time, span_text, whole_periods
from ledger.amounts import format_amount
from ledger.economy.capacity import CapacityCommitment, CommitmentState
from ledger.registers import COMMITMENTS
from tests.cli.conftest import Marsa, Result
from tests.cli.devnet_node import BLUEPRINT, devnet_node, write_json
from tests.cli.live_node import LiveNode
from tests.ledger.world import TIME_MS

MINUTE_MS = 60_000
DAY_MS = 24 * 3_600_000
LIFE_MS = BLUEPRINT.genesis.parameters.economy.attestation_life_ms
COMMIT = (
    *("capacity", "commit", "--issuer", "acme", "--id", "west", "--class", "l40sx8"),
    *("--region", "west-1", "--workloads", "inference"),
)


@pytest.fixture
def node(marsa_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    monkeypatch.setattr(payments, "now_ms", lambda: TIME_MS)
    with devnet_node(marsa_home) as node:
        yield node


@pytest.fixture
def live(marsa: Marsa, node: LiveNode) -> LiveNode:
    """With ten machines of acme in the west, attested by two groups."""
    assert marsa(*COMMIT, "--machines", "10", "--for", "30d").code == 0
    assert marsa("capacity", "pledge", "acme", "west", "--machines", "10").code == 0
    for name in ("meridian", "vantage"):
        assert marsa("capacity", "attest", "acme", "west", "--attestor", name).code == 0
    return node


def code_of(result: Result) -> tuple[int, str]:
    return result.code, result.json["error"]["code"]


def held(node: LiveNode) -> CapacityCommitment:
    identity = CapacityCommitment.identity("acme", "west")
    found = node.inside(lambda: COMMITMENTS.get(node.world.draft, identity))
    assert found is not None
    return found


def test_list(marsa: Marsa, node: LiveNode) -> None:
    """What genesis committed, of all issuers and of one, in a table that fits."""
    shown = marsa("capacity", "list", "--json").json
    assert set(shown) == {"schema", "ledger_time_ms", "period_ms", "commitments"}
    assert len(shown["commitments"]) == 12
    lines = marsa("capacity", "list", "--issuer", "acme").out.splitlines()
    assert len(lines) == 4 and max(map(len, lines)) <= 100
    assert "0.333333/0.333333" in lines[2] and "meridian +2" in lines[2]
    refused = marsa("capacity", "list", "--issuer", "nobody", "--json")
    assert code_of(refused) == (ExitCode.NOT_FOUND, "not_found")


def test_from_promise_to_coins(marsa: Marsa, node: LiveNode) -> None:
    """Commit, pledge, two attest: live, with the reserve that is worth; the figures in JSON."""
    before = int(marsa("coin", "supply", "--issuer", "acme", "--json").json["assets"][0]["reserve"])
    made = marsa(*COMMIT, "--machines", "10", "--for", "30d", "--json").json
    assert made["schema"] == "marsa.capacity.commit/1"
    assert (made["microhours"], made["machines"]) == ("166666", 10)
    assert made["periods"] == (made["to_ms"] - made["from_ms"]) // MINUTE_MS == 30 * 24 * 60
    pledged = marsa("capacity", "pledge", "acme", "west", "--machines", "10", "--json").json
    assert (pledged["schema"], len(pledged["devices"])) == ("marsa.capacity.pledge/1", 10)
    states = []
    for name in ("meridian", "vantage"):
        said = marsa("capacity", "attest", "acme", "west", "--attestor", name, "--json").json
        states.append((said["microhours"], said["state"]))
    assert states == [("166666", "proposed"), ("166666", "live")]
    shown = marsa("capacity", "show", "acme", "west", "--json").json
    assert (shown["commitment"]["state"], shown["challenge"]) == ("live", None)
    after = int(marsa("coin", "supply", "--issuer", "acme", "--json").json["assets"][0]["reserve"])
    assert abs(after - before - int(shown["commitment"]["worth"])) <= 1  # R is floored once
    text = marsa("capacity", "show", "acme", "west").out
    assert "machines    10 pledged, 10 needed" in text
    assert "attested    vantage (vantage-group): 0.166666 h 0s ago, 0.166666 left" in text
    assert "takes       pledge-devices, amend, attest, challenge" in text
    assert text.splitlines()[-1] == "next: marsa coin quote 100 --issuer acme"


def test_amend_by_hours_and_by_time(marsa: Marsa, live: LiveNode) -> None:
    """More machines, then longer; a promise never shrinks."""
    grown = marsa("capacity", "amend", "acme", "west", "--machines", "20", "--json").json
    assert (grown["schema"], grown["microhours"]) == ("marsa.capacity.amend/1", "333333")
    longer = marsa("capacity", "amend", "acme", "west", "--for", "40d", "--json").json
    assert longer["to_ms"] == held(live).terms.to_ms == TIME_MS - TIME_MS % MINUTE_MS + 40 * DAY_MS
    shrunk = marsa("capacity", "amend", "acme", "west", "--hours", "0.1", "--json")
    assert code_of(shrunk) == (ExitCode.REJECTED, "bad_schedule")
    assert shrunk.json["error"]["hint"] == "marsa capacity list"
    nothing = marsa("capacity", "amend", "acme", "west", "--json")
    assert code_of(nothing) == (ExitCode.USAGE, "usage")


def test_challenge_dismissed(marsa: Marsa, live: LiveNode) -> None:
    """The deposit follows from what is at stake, with a little to spare, in coins of another
    issuer; three of the panel dismiss it and it stands."""
    shown = marsa("capacity", "show", "acme", "west", "--json").json["commitment"]
    at_stake = int(shown["at_stake"])
    assert at_stake == int(shown["worth"]) > 0
    opened = marsa("capacity", "challenge", "acme", "west", "--from", "alice", "--json").json
    assert opened["schema"] == "marsa.capacity.challenge/1"
    needed = int(opened["deposit_needed"])
    assert needed == int(shown["deposit_needed"])
    assert int(opened["deposit"]) == needed + needed // 50
    assert 0 < needed <= -(-at_stake // 100)
    assert bytes.fromhex(opened["asset"]) != live.world.asset("acme")
    assert len(opened["panel"]) == 5 and not {"meridian", "vantage"} & set(opened["panel"])
    assert held(live).state is CommitmentState.CONTESTED
    doubt = marsa("capacity", "show", "acme", "west", "--json").json["challenge"]
    assert (doubt["issuer"], doubt["panel"]) == ("acme", opened["panel"])
    text = marsa("capacity", "show", "acme", "west").out
    assert f"panel       {', '.join(opened['panel'])}" in text and "nobody yet" in text
    again = marsa("capacity", "challenge", "acme", "west", "--from", "alice", "--json")
    assert code_of(again) == (ExitCode.REJECTED, "already_contested")
    party = marsa(
        "capacity", "rule", "acme", "west", "--attestor", "vantage", "--dismiss", "--json"
    )
    assert code_of(party) == (ExitCode.REJECTED, "not_on_panel")
    rule = ("capacity", "rule", "acme", "west", "--dismiss", "--json", "--attestor")
    for count, name in enumerate(opened["panel"][:3], 1):
        ruled = marsa(*rule, name).json
        assert (ruled["votes_upheld"], ruled["votes_dismissed"]) == (0, count)
    marsa("tx", "send", "bob", "1", "--from", "alice")  # the next block settles it
    assert held(live).state is CommitmentState.LIVE


def test_challenge_upheld_with_a_chosen_coin(marsa: Marsa, live: LiveNode) -> None:
    """--issuer chooses the coin; the issuer's own is refused, with what to choose instead."""
    doubt = ("capacity", "challenge", "acme", "west", "--from", "alice", "--json", "--issuer")
    shown = marsa("capacity", "show", "acme", "west", "--json").json["commitment"]
    least = int(shown["deposit_needed"])
    small = marsa(*doubt, "bolt", "--deposit", format_amount(least - 1))
    assert code_of(small) == (ExitCode.REJECTED, "low_deposit")
    own = marsa(*doubt, "acme")
    assert code_of(own) == (ExitCode.REJECTED, "own_coin")
    assert "--issuer" in own.json["error"]["hint"]
    opened = marsa(*doubt, "bolt", "--deposit", format_amount(least)).json
    assert int(opened["deposit"]) == least
    assert bytes.fromhex(opened["asset"]) == live.world.asset("bolt")
    for name in opened["panel"][:3]:
        marsa("capacity", "rule", "acme", "west", "--attestor", name, "--uphold")
    marsa("tx", "send", "bob", "1", "--from", "alice")
    assert held(live).state is CommitmentState.VOID


def test_keys_of_ones_own(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """--key takes an attestor's file; another attestor's is refused before anything is signed."""
    assert marsa(*COMMIT, "--hours", "0.1", "--for", "2h").code == 0
    assert marsa("capacity", "pledge", "acme", "west", "--machines", "6").code == 0
    file = tmp_path / "vantage.json"
    seed = BLUEPRINT.attestor_seed("vantage")
    write_json(file, {"attestor": "vantage", "key": seed.hex()})
    attest = ("capacity", "attest", "acme", "west", "--key", file, "--json", "--attestor")
    assert marsa(*attest, "vantage").json["microhours"] == "100000"
    assert code_of(marsa(*attest, "meridian")) == (ExitCode.REJECTED, "wrong_role_key")
    assert code_of(marsa(*attest, "nobody")) == (ExitCode.NOT_FOUND, "unknown_attestor")


def test_machines_have_ids(marsa: Marsa, node: LiveNode, tmp_path: Path) -> None:
    """From the line or a file, each once; nothing to attest without them."""
    assert marsa(*COMMIT, "--machines", "4", "--for", "2h").code == 0
    bare = marsa("capacity", "attest", "acme", "west", "--attestor", "vantage", "--json")
    assert code_of(bare) == (ExitCode.REJECTED, "no_machines")
    pledge = ("capacity", "pledge", "acme", "west", "--json")
    assert code_of(marsa(*pledge, "abc")) == (ExitCode.USAGE, "bad_device")
    assert code_of(marsa(*pledge)) == (ExitCode.USAGE, "usage")
    assert marsa(*pledge, "22" * 32, "11" * 32).json["devices"] == ["11" * 32, "22" * 32]
    file = tmp_path / "ids.txt"
    file.write_text(f"{'33' * 32}\n{'44' * 32}\n")
    assert len(marsa(*pledge, "--file", file).json["devices"]) == 2
    again = marsa(*pledge, "11" * 32)
    assert code_of(again) == (ExitCode.REJECTED, "device_pledged")
    assert held(node).devices == 4


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--machines", "1"), "usage"),
        (("--for", "30d"), "usage"),
        (("--machines", "1", "--hours", "1", "--for", "30d"), "usage"),
        (("--machines", "1", "--for", "30 days"), "bad_duration"),
        (("--machines", "1", "--to", "tomorrow"), "bad_time"),
        (("--machines", "1", "--for", "59s"), "bad_schedule"),
    ],
)
def test_a_schedule_that_nobody_can_mean(
    marsa: Marsa, node: LiveNode, more: tuple[str, ...], code: str
) -> None:
    assert code_of(marsa(*COMMIT, *more, "--json")) == (ExitCode.USAGE, code)


def test_audits_without_any(marsa: Marsa, node: LiveNode) -> None:
    """Nothing sealed and nothing drawn is said; to open nothing is refused."""
    shown = marsa("capacity", "audits", "--json").json
    assert (shown["schema"], shown["drawn"]) == ("marsa.capacity.audits/1", [])
    assert "no machines are drawn" in marsa("capacity", "audits").out
    assert code_of(marsa("capacity", "open", "acme", "--json")) == (ExitCode.NOT_FOUND, "not_drawn")


def test_drawn_machines_are_opened(marsa: Marsa, node: LiveNode) -> None:
    """Attestors seal, reveal a period later, and what that draws of an issuer is opened by it; the
    agents that seal and reveal are those of a devnet."""
    chain_id = node.world.chain_id
    agents = Agents(agents_of(BLUEPRINT, ATTESTORS), chain_id, [node.url])
    with Client(node.url) as client:
        assert agents.turn(client, LIFE_MS) >= len(ATTESTORS)  # sealed for the next period
        pass_periods(node, 2)
        agents.turn(client, LIFE_MS)
    shown = marsa("capacity", "audits", "--json").json["audits"]
    revealed = [x["attestor"] for x in shown["rounds"][0]["sealed"] if x["nonce"] is not None]
    assert revealed == sorted(ATTESTORS)
    text = marsa("capacity", "audits").out
    assert f"nonces for period {shown['period'] - 1}: 8 sealed, 8 revealed" in text
    pass_periods(node, 1)
    drawn = marsa("capacity", "audits", "--json").json["drawn"]
    assert (drawn[0]["issuer"], drawn[0]["devices"]) == ("acme", 48)
    lines = marsa("capacity", "audits").out.splitlines()
    assert [row.split()[0] for row in lines[-4:]] == ["acme", "bolt", "coral", "delta"]
    done = marsa("capacity", "open", "acme", "--json").json
    assert (done["schema"], done["opened"], done["drawn"]) == ("marsa.capacity.open/1", 48, 48)
    assert code_of(marsa("capacity", "open", "acme", "--json")) == (ExitCode.NOT_FOUND, "not_drawn")


def pass_periods(node: LiveNode, count: int) -> None:
    """Empty blocks until so many periods have begun."""

    def run() -> None:
        until = node.world.draft.period + count
        while node.world.draft.period < until:
            node.decide([])

    node.inside(run)


def test_whole_periods_lie_inside_of_what_is_asked() -> None:
    """From the present period; a given start rounds up, every end down."""
    assert whole_periods(None, None, 150, 130, 100) == (100, 200)
    assert whole_periods(101, 399, None, 0, 100) == (200, 300)
    with pytest.raises(CliError) as refused:
        whole_periods(150, 199, None, 0, 100)
    assert refused.value.code == "bad_schedule"


def test_spans_and_times() -> None:
    """What people type and read."""
    assert (parse_span("30d"), parse_span("90m")) == (30 * DAY_MS, 90 * MINUTE_MS)
    assert parse_time("1970-01-02") == parse_time("1970-01-02T00:00:00Z") == DAY_MS
    assert [span_text(x) for x in (0, 61_000, DAY_MS, DAY_MS + 5_000)] == [
        "0s",
        "1m 1s",
        "1d",
        "1d",
    ]
    for bad in ("0d", "367d", "-1d", "1.5h"):
        with pytest.raises(CliError):
            parse_span(bad)
    for bad in ("2027-13-01", "2027-01-01T00:00:00+01:00", "1"):
        with pytest.raises(CliError):
            parse_time(bad)


def test_machines_and_hours_agree() -> None:
    """So many machines are needed for what so many machines deliver, whatever the period."""
    for period_ms in (MINUTE_MS, 7 * MINUTE_MS, 3_600_000):
        for machines in (1, 3, 10, 999):
            assert machines_of(microhours_of(machines, period_ms), period_ms) == machines
