"""A devnet with observers, and one that grows: what is on disk, and what is done next."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from cli.devnet import control, launch, members, plan, show, state
from cli.devnet.blueprint import PROVIDERS, Blueprint
from cli.devnet.members import READY_S, Step, next_step
from cli.devnet.plan import Founding
from cli.devnet.processes import Process
from cli.devnet.state import LINKED_NODES_MAX, NODES_MAX, DevnetNode, Place, make_node
from cli.errors import CliError, ExitCode
from cli.genesis import read_genesis
from ledger.genesis import Genesis
from node import config, keys
from node.api.epoch_schemas import Epoch, EpochMember, Licence, LicenceKeys, Regulator
from p2p.licence_cert import read_licence_certificate
from tests.cli.conftest import Marsa

HASH = "00" * 32
KEYS = LicenceKeys(operations=HASH, treasury=HASH, metering=HASH, consensus=HASH, link=HASH)


@pytest.fixture(autouse=True)
def no_databases(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Databases are made in a process of their own; here it is only noted for which nodes."""
    asked: list[Path] = []
    monkeypatch.setattr(launch, "initialise_nodes", asked.extend)
    return asked


def licence(name: str, seat: str, standing: str = "active") -> Licence:
    return Licence(
        id=name,
        name=name,
        jurisdiction="Devnet",
        state=standing,
        seat=seat,
        seat_height=0,
        version=0,
        validator=True,
        issuer=False,
        expires_ms=1,
        expires="",
        document_hash=HASH,
        certificate_hash=HASH,
        keys=KEYS,
    )


def epoch(number: int, **seats: str) -> Epoch:
    """An epoch in which these licences have these seats."""
    seated = [name for name, seat in seats.items() if seat in ("seated", "leaving")]
    return Epoch(
        height=10,
        number=number,
        base_height=0,
        base_hash=HASH,
        base_ms=0,
        last_height_min=20,
        last_time_ms_min=0,
        last_time_min="",
        validators_hash=HASH,
        n=len(seated),
        f=(len(seated) - 1) // 3,
        quorum=3,
        members=[
            EpochMember(index=index, licence=name, name=name, key=HASH, operations_key=HASH)
            for index, name in enumerate(seated)
        ],
        regulator=Regulator(version=0, needed=1, keys=[HASH], announced=None),
        licences=[licence(name, seat) for name, seat in seats.items()],
    )


FOUR = dict.fromkeys(PROVIDERS[:4], "seated")


def test_observers_follow_the_validators(no_databases: list[Path]) -> None:
    """Each has ports after those of the validators, a name, no key, and dials all validators; no
    validator dials it."""
    place = plan.found("default", Founding(base_port=20_000, observers=2))
    assert [path.name for path in no_databases][4:] == ["obs0", "obs1"]
    for index, node in enumerate(place.devnet.observers):
        found = config.load(place.node_dir(node))
        assert (found.role, found.name, found.licence) == ("observer", f"obs{index}", "")
        assert found.api.listen == f"127.0.0.1:{20_004 + index}"
        assert set(found.p2p.peers) == set(PROVIDERS[:4])
        assert not found.consensus_key_path.exists()
        assert not found.licence_path.exists()
        keys.check_authority(found, read_genesis(found.genesis_path))
    for node in place.devnet.validators:
        assert len(config.load(place.node_dir(node)).p2p.peers) == 3
    assert place.node("obs1").name == "obs1"
    moved = plan.move(place, 21_000)
    assert [node.ports[0] for node in moved.devnet.nodes] == list(range(21_000, 21_006))


def test_observers_survive_a_reset_and_are_compared() -> None:
    """A new genesis has as many of both kinds; another number than there is, is refused."""
    place = plan.found("default", Founding(observers=1))
    plan.check_same(place, Founding(validators=4, observers=1))
    with pytest.raises(CliError, match="observers"):
        plan.check_same(place, Founding(observers=2))
    fresh = plan.recreate(place)
    assert [node.name for node in fresh.devnet.nodes] == ["val0", "val1", "val2", "val3", "obs0"]


def test_observers_count_for_no_quorum() -> None:
    """Two of four validators down: the observers that run do not make up for them."""
    place = plan.found("default", Founding(observers=3))
    down = ("val0", "val1")
    states = [
        control.NodeState(node, None if node.name in down else Process(4_000, "x"), None)
        for node in place.devnet.nodes
    ]
    assert "2 of 4 validators run, 3 are needed: nothing is committed" in show.missing_text(states)


def make(place: Place, provider: str) -> tuple[Place, DevnetNode]:
    genesis = genesis_of(place)
    return members._make(place, Blueprint.of(genesis), genesis, provider)


def genesis_of(place: Place) -> Genesis:
    return read_genesis(place.directory / "genesis.json")


def test_a_newcomer_is_made_and_set_aside(no_databases: list[Path]) -> None:
    """Its keys follow from the genesis, its certificate is the authority's, its ports are free; the
    others will dial it and keep what was changed in their files; gone, its number is not used
    again but its ports are."""
    place = plan.found("default", Founding(base_port=20_000, observers=1))
    changed = place.node_dir(place.devnet.nodes[0]) / config.CONFIG_NAME
    changed.write_text(changed.read_text().replace('# level = "info"', 'level = "debug"'))
    grown, node = make(place, "ember")
    assert (node.name, node.licence, node.ports[0]) == ("val4", "ember", 20_005)
    assert no_databases[-1] == grown.node_dir(node)
    assert state.find("default") == grown
    found = config.load(grown.node_dir(node))
    held = keys.load_node_keys(found, genesis_of(grown))
    grant = Blueprint.of(genesis_of(grown)).newcomer("ember", genesis_of(grown))
    authority = genesis_of(grown).authority.key
    assert held.consensus.public == grant.keys.consensus
    assert read_licence_certificate(grant.certificate, authority).link_key == held.link_public
    assert set(found.p2p.peers) == set(PROVIDERS[:4])
    for other in grown.devnet.nodes[:5]:
        assert config.load(grown.node_dir(other)).p2p.peers["ember"] == node.p2p
    assert config.load(grown.node_dir(grown.devnet.nodes[0])).log.level == "debug"
    smaller = members._set_aside(grown, grown.node("val0"))
    assert [item.name for item in smaller.devnet.nodes] == ["val1", "val2", "val3", "obs0", "val4"]
    assert (smaller.directory / "retired" / "val0" / config.CONFIG_NAME).is_file()
    assert "acme" not in config.load(smaller.node_dir(node)).p2p.peers
    again, next_node = make(smaller, "acme")
    assert (next_node.name, next_node.ports[0], next_node.issuer) == ("val5", 20_000, "acme")
    assert (
        Blueprint.of(genesis_of(again)).newcomer("acme", genesis_of(again))
        == (genesis_of(again).licences[0])
    )


@pytest.mark.parametrize(
    ("now", "waited_s", "expected"),
    [
        (epoch(7, **FOUR), 0, Step.END_EPOCH),
        (epoch(8, **FOUR), 0, Step.ADMIT),
        (epoch(8, **FOUR, ember="none"), 0, Step.ADMIT),
        (epoch(8, **FOUR, ember="waiting"), 0, Step.WAIT),
        (epoch(8, **FOUR, ember="waiting"), READY_S + 1, Step.END_EPOCH),
        (epoch(8, **FOUR, ember="ready"), 0, Step.END_EPOCH),
        (epoch(9, **FOUR, ember="seated"), 0, Step.DONE),
    ],
)
def test_the_next_step_of_a_newcomer(now: Epoch, waited_s: float, expected: Step) -> None:
    """It follows since epoch 7: the grant comes in the next, and each epoch is ended once."""
    ended = now.number - 1
    assert next_step(now, "ember", since=7, ended=ended, waited_s=waited_s) is expected
    if expected is Step.END_EPOCH:
        again = next_step(now, "ember", since=7, ended=now.number, waited_s=waited_s)
        assert again is Step.WAIT


def test_who_may_join() -> None:
    """The next unused name by itself; one that has a node or a seat is refused, one whose seat was
    taken may come again."""
    place = plan.found("default", Founding())
    now = epoch(3, **FOUR, ember="none", flint="waiting")
    assert members._choose(place, now, None) == "grove"
    assert members._choose(place, now, "ember") == "ember"
    assert members._choose(place, now, "my-own") == "my-own"
    for name in ("acme", "flint"):
        with pytest.raises(CliError):
            members._choose(place, now, name)
    val4 = make_node("val4", 4, place.devnet.base_port, licence="flint")
    begun = Place(place.directory, plan.devnet_with(place.devnet, [*place.devnet.nodes, val4]))
    assert members._choose(begun, now, "flint") == "flint"
    with pytest.raises(CliError, match="has a node of 'flint', val4"):
        members._choose(begun, epoch(3, **FOUR, flint="seated"), "flint")
    revoked = epoch(3, **FOUR)
    revoked.licences.append(licence("ember", "none", "revoked"))
    with pytest.raises(CliError, match="revoked"):
        members._choose(place, revoked, "ember")
    suspended = epoch(3, **FOUR)
    suspended.licences.append(licence("flint", "none", "suspended"))
    with pytest.raises(CliError, match="suspended"):
        members._choose(begun, suspended, "flint")


@pytest.mark.parametrize(("faults", "limit"), [(False, NODES_MAX), (True, LINKED_NODES_MAX)])
def test_a_devnet_has_room_for_so_many(faults: bool, limit: int) -> None:
    """One below the limit there is room for one more, at the limit and above there is none."""
    now = epoch(3, **FOUR)
    for observers, fits in ((limit - 5, True), (limit - 4, False), (limit - 3, False)):
        blueprint = plan.make_blueprint(1, validators=4, accounts=2, period_ms=60_000)
        devnet = plan.describe("x", blueprint, base_port=20_000, seed=1, observers=observers)
        place = Place(Path("x"), plan.devnet_with(devnet, devnet.nodes))
        if faults:
            place = Place(Path("x"), structs.replace(devnet, faults=True))
        if fits:
            assert members._choose(place, now, None) == "ember"
            continue
        with pytest.raises(CliError, match="room for"):
            members._choose(place, now, None)


def run(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Of a devnet these nodes run."""
    found = {name: Process(4_000, "x") for name in names}
    monkeypatch.setattr(control, "running", lambda _: found)


def test_four_stay_and_a_quorum_of_the_rest_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four nobody goes; of five one goes, unless too few of the others run."""
    place = plan.found("default", Founding(validators=5))
    four = epoch(3, **FOUR)
    five = epoch(3, **FOUR, ember="seated")
    run(monkeypatch, "val0", "val1", "val2", "val3", "val4")
    with pytest.raises(CliError) as caught:
        members._check_may_leave(place, four, place.node("val0"))
    assert (caught.value.code, caught.value.exit_code) == ("too_few_validators", ExitCode.REJECTED)
    members._check_may_leave(place, five, place.node("val0"))
    run(monkeypatch, "val0", "val1", "val2", "val3")
    members._check_may_leave(place, five, place.node("val0"))
    run(monkeypatch, "val0", "val1", "val2")
    with pytest.raises(CliError, match="2 of the 4 others run, 3") as caught:
        members._check_may_leave(place, five, place.node("val0"))
    assert caught.value.code == "no_quorum"
    with pytest.raises(CliError, match="2 of 4 validators run"):
        run(monkeypatch, "val0", "val1")
        members._check_quorum_runs(place, four)


def test_a_devnet_that_is_down_neither_grows_nor_shrinks(marsa: Marsa) -> None:
    """Both commands say that no validator answers; a name that is no licence id is refused before
    that."""
    plan.found("default", Founding(base_port=20_000))
    for command in (("add",), ("retire", "val0")):
        failed = marsa("devnet", *command, "--json")
        assert (failed.code, failed.json["error"]["code"]) == (3, "unreachable")
    assert marsa("devnet", "add", "No Slug", "--json").code == ExitCode.USAGE
    assert marsa("devnet", "retire", "val9", "--json").code == ExitCode.NOT_FOUND


def test_an_observer_is_retired_without_the_chain(marsa: Marsa) -> None:
    """It has no seat, so that nothing needs to run."""
    place = plan.found("default", Founding(base_port=20_000, observers=1))
    found = marsa("devnet", "retire", "obs0", "--json").json
    assert (found["node"], found["epoch"], found["nodes"]) == ("obs0", None, 4)
    assert not place.node_dir(place.node("obs0")).exists()
