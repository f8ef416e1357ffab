"""Who is who, before and after licences change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ledger.codec import encode
from ledger.economy.licence import Licence, Seat
from ledger.objects import key_of
from node.directory import Directory, believed
from tests.ledger.world import World, grant, key


class Objects:
    """The licences of a chain, as a test sets them."""

    def __init__(self, licences: Sequence[Licence]) -> None:
        self.licences = licences

    def object(self, name: bytes) -> bytes | None:
        raise AssertionError(f"nobody asks for {name!r} alone")

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for item in self.licences:
            name = key_of(Licence, item.grant.id.encode("ascii"))
            assert name.startswith(prefix)
            yield name, encode(item)


SEATED = Licence.granted(grant("val0"), 0)
WAITING = Licence.granted(grant("val1"), 0).with_seat(Seat.WAITING, 3)
READY = Licence.granted(grant("val2"), 0).with_seat(Seat.READY, 4)


def test_a_licence_is_found_by_its_keys_and_its_name() -> None:
    """Its link key leads to it; its name and its consensus key lead to each other."""
    directory = Directory(Objects([SEATED, WAITING]))
    assert directory.licence(key("val1/link").public) == WAITING
    assert directory.licence(key("val1/consensus").public) is None
    public = key("val0/consensus").public
    assert (directory.key("val0"), directory.identity(public)) == (public, "val0")


def test_who_has_no_licence_has_its_name_for_a_key() -> None:
    """Both ways, so that an answer finds the link that the question came from."""
    directory = Directory(Objects([SEATED]))
    assert directory.key("observer:3") == b"observer:3"
    assert directory.identity(b"observer:3") == "observer:3"
    assert directory.seat("observer:3") is None


def test_seats_and_who_waits_for_one() -> None:
    """Whether its node is ready or not."""
    directory = Directory(Objects([READY, SEATED, WAITING]))
    assert (directory.seat("val0"), directory.seat("val1")) == (Seat.SEATED, Seat.WAITING)
    assert directory.waiting() == ["val1", "val2"]


def test_nothing_changes_before_it_is_read_again() -> None:
    """A licence that a block granted counts from `refresh` on."""
    objects = Objects([SEATED])
    directory = Directory(objects)
    objects.licences = [SEATED, WAITING]
    assert directory.licence(key("val1/link").public) is None
    assert directory.key("val1") == b"val1"
    directory.refresh()
    assert directory.licence(key("val1/link").public) == WAITING
    assert directory.key("val1") == key("val1/consensus").public


def test_more_than_f_members_are_believed() -> None:
    """One of them is honest; who is no member does not count, nor who says it twice."""
    validators = World().genesis.validators
    names = sorted(member.licence for member in validators.members)
    assert believed(names[:1] * 2, validators) == []
    assert believed([names[0], "stranger"], validators) == []
    assert believed([names[2], names[0]], validators) == [names[0], names[2]]
