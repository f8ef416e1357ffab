"""GET /v1/epochs/current: members, licences and the end of the epoch, from one state."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cli.trust import validators_at
from ledger.chain import Chain
from ledger.kv import MemoryKV
from ledger.operations import Admit, EndEpoch, Remove, Revoke, Suspend
from ledger.reasons import Invalid
from ledger.snapshot_import import Import
from ledger.validators import Member, ValidatorSet
from node.api import epoch_schemas as schemas
from node.api import epochs
from tests.ledger.snapshot_world import all_chunks, keep_ends
from tests.ledger.world import REGULATORS, TIME_MS, World, grant, key, make_genesis
from tests.node.api.harness import Api, Node, open_api

PATH = "/epochs/current"
CHANGES = "/epochs/changes"


async def read(api: Api) -> schemas.Epoch:
    return await api.read(PATH, schemas.Epoch)


async def test_a_new_chain_is_in_epoch_zero() -> None:
    """At height 0: all of genesis, the limits of its parameters, who approves and how many."""
    async with open_api(Node(World(make_genesis(epoch_blocks=20, epoch_ms=60_000)))) as api:
        found = await read(api)
        world = api.node.world
    assert (found.height, found.number, found.base_height, found.base_hash) == (0, 0, 0, "00" * 32)
    assert (found.last_height_min, found.last_time_ms_min) == (21, TIME_MS + 60_000)
    assert (found.n, found.f, found.quorum) == (4, 1, 3)
    assert found.validators_hash == world.validators.hash.hex()
    assert [item.key for item in found.members] == [
        member.key.hex() for member in world.validators.members
    ]
    for item in found.members:
        assert item.operations_key == key(f"{item.licence}/operations").public.hex()
    assert [(x.id, x.state, x.seat, x.version) for x in found.licences] == [
        (f"val{index}", "active", "seated", 0) for index in range(4)
    ]
    assert found.licences[0].keys.link == key("val0/link").public.hex()
    assert (found.regulator.version, found.regulator.needed) == (0, 2)
    assert found.regulator.keys == sorted(key(name).public.hex() for name in REGULATORS)


async def test_licences_show_what_was_done_to_them() -> None:
    """Admitted, leaving, suspended and revoked ones, each with the version that comes next."""
    async with open_api() as api:
        world = api.node.world
        newcomer = grant("val9", issuer=False)
        api.node.decide([world.govern(Admit(newcomer, 0), Remove("val0", 0), Suspend("val1", 0))])
        api.node.decide([world.govern(Revoke("val2", 0))])
        found = await read(api)
    shown = {item.id: (item.state, item.seat, item.version) for item in found.licences}
    assert shown == {
        "val0": ("active", "leaving", 1),
        "val1": ("suspended", "seated", 1),
        "val2": ("revoked", "leaving", 1),
        "val3": ("active", "seated", 0),
        "val9": ("active", "waiting", 1),
    }
    assert {item.licence for item in found.members} == {"val0", "val1", "val2", "val3"}
    assert found.height == 2


async def test_an_expired_licence_winds_down() -> None:
    """The ledger clock passes a licence's expiry without any operation."""
    async with open_api() as api:
        world = api.node.world
        short = grant("val9")
        soon = type(short)(
            **{
                **{name: getattr(short, name) for name in short.__struct_fields__},
                "expires_ms": TIME_MS + 1_500,
            }
        )
        api.node.decide([world.govern(Admit(soon, 0))])
        api.node.decide([])
        found = await read(api)
    assert {item.id: item.state for item in found.licences}["val9"] == "winddown"


async def test_the_next_epoch_follows_its_last_block() -> None:
    """After END_EPOCH the answer is that of the next block: epoch 1, based on the last block."""
    async with open_api() as api:
        block = api.node.decide([api.node.world.govern(EndEpoch(0))])
        found = await read(api)
    assert block.header.height == 1
    assert (found.number, found.base_height, found.height) == (1, 1, 1)
    assert found.base_ms == block.header.time_ms


def change_twice(node: Node) -> None:
    """val9 joins for epoch 2, val0 leaves for epoch 4; the ends of epochs 0 and 2 change nobody."""
    world = node.world
    newcomer = grant("val9", issuer=False)
    node.decide([world.govern(Admit(newcomer, 0))])
    node.decide([world.govern(EndEpoch(0))])
    node.decide([])
    node.decide([world.ready("val9")])
    node.decide([world.govern(EndEpoch(1))])
    node.decide([world.govern(EndEpoch(2))])
    node.decide([world.govern(Remove("val0", 0))])
    node.decide([world.govern(EndEpoch(3))])
    node.decide([])


async def test_changes_lead_from_genesis_to_any_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes, each with its last block: from genesis they give the set that signs now, in one
    answer or in pages; a change left out, forged or out of place does not."""
    async with open_api() as api:
        genesis = api.node.world.genesis
        assert (await api.read(CHANGES, schemas.SetChanges)).items == []
        change_twice(api.node)
        whole = await api.read(CHANGES, schemas.SetChanges)
        monkeypatch.setattr(epochs, "EPOCHS_A_REQUEST", 1)
        pages = [await api.read(f"{CHANGES}?start={n}", schemas.SetChanges) for n in range(5)]
        assert (await api.ask(f"{CHANGES}?start=x")).code == "bad_request"
    assert whole.next_epoch is None
    assert [item.header.epoch for item in whole.items] == [1, 3]
    assert [page.next_epoch for page in pages] == [1, 2, 3, None, None]
    assert [item for page in pages for item in page.items] == whole.items
    now = api.node.world.validators
    assert validators_at(genesis, whole.items, 4) == now
    assert {member.licence for member in now.members} == {"val1", "val2", "val3", "val9"}
    assert validators_at(genesis, whole.items[:1], 3).n == 5
    assert validators_at(genesis, [], 1) == ValidatorSet(1, genesis.validators.members)
    first, second = whole.items
    for bad in (
        [second],
        [second, first],
        [first, first, second],
        [first, replace(second, members=first.members)],
        [first, replace(second, header=replace(second.header, state_root="00" * 32))],
        [replace(first, certificate=second.certificate), second],
    ):
        with pytest.raises(Invalid):
            validators_at(genesis, bad, 4)
    with pytest.raises(Invalid, match="to get to epoch 3"):
        validators_at(genesis, whole.items, 3)
    other = make_genesis(epoch_blocks=77)
    with pytest.raises(Invalid, match="chain"):
        validators_at(other, whole.items, 4)


async def test_a_node_that_imported_shows_all_changes() -> None:
    """Its chain begins with the end of epoch 4; the changes before are those that it walked."""
    async with open_api() as api:
        original = api.node
        change_twice(original)
        original.decide([original.world.govern(EndEpoch(4))])
        whole = await api.read(CHANGES, schemas.SetChanges)
    node = Node(original.world)
    kv = MemoryKV()
    keep_ends(kv, original.chain, 4)
    state, validators = original.chain.freeze(), original.chain.validators(4)
    assert validators is not None
    taking = Import.begin(kv, state.manifest, original.world.chain_id, validators)
    for number, data in all_chunks(state).items():
        taking.add(number, data)
    taking.finish()
    node.chain = Chain.open(kv)
    assert node.chain.first_epoch == 4
    async with open_api(node) as api:
        found = await api.read(CHANGES, schemas.SetChanges)
    assert len(whole.items) == 2
    assert found == whole


async def test_it_takes_no_parameters() -> None:
    """An unknown parameter is refused as everywhere."""
    async with open_api() as api:
        assert (await api.ask(f"{PATH}?epoch=3")).code == "bad_request"


async def test_the_validators_of_an_epoch_hash_to_what_its_headers_name() -> None:
    """Ends an epoch early and asks for both: their hashes stand in the headers, and may be kept."""
    async with open_api() as api:
        api.node.decide([api.node.world.govern(EndEpoch(0))])
        api.node.decide([])
        for number in (0, 1):
            reply = await api.ask(f"/epochs/{number}/validators")
            found = reply.read(schemas.EpochSet)
            members = [Member(bytes.fromhex(x.key), x.licence) for x in found.members]
            assert ValidatorSet.of(members, number).hash.hex() == found.hash
            header = api.node.chain.header(number + 1)
            assert header is not None
            assert (header.epoch, header.validators_hash.hex()) == (number, found.hash)
            assert "immutable" in reply.headers["Cache-Control"]
        later = await api.ask("/epochs/2/validators")
        wrong = await api.ask("/epochs/-1/validators")
    assert (later.code, wrong.code) == ("not_found", "bad_request")
