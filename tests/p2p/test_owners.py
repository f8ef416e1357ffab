"""Whom strangers are counted for: by what one owner of an address has for certain."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from typing import cast

import pytest

from p2p.limits import LinkLimits
from p2p.listener import SocketSlots, accept_forever
from p2p.owners import is_own, owned
from p2p.refusals import Refusals


@pytest.mark.parametrize(
    ("host", "owner"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_owner_has_an_address_or_a_network(host: str, owner: str) -> None:
    assert owned(host) == owner
    assert not is_own(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_known_in_every_writing(host: str) -> None:
    assert is_own(host)


@pytest.mark.parametrize("host", ["", "localhost", "192.0.2", "192.0.2.7:80"])
def test_what_is_no_address(host: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        owned(host)


class Arrivals:
    """A listening socket at which these addresses arrive, and then nobody."""

    def __init__(self, hosts: list[str]) -> None:
        self._hosts = hosts

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if not self._hosts:
            raise asyncio.CancelledError
        return socket.socket(), (self._hosts.pop(0), 5)


def test_a_network_has_the_slots_of_one_address(run) -> None:
    """Nine strangers of a /64, one of the next, ten of an IPv4 address in both writings: eight, one
    and eight are let in, and places that come free are the owner's again."""
    slots, let_in = SocketSlots(LinkLimits()), []

    def on_socket(sock: socket.socket, owner: str, address: str) -> None:
        sock.close()
        let_in.append((owner, address))

    async def arrive(*hosts: str) -> None:
        listening = cast(socket.socket, Arrivals(list(hosts)))
        with pytest.raises(asyncio.CancelledError):
            await accept_forever(listening, slots.take, Refusals(lambda: 0.0), on_socket)

    async def story() -> None:
        await arrive(*[f"2001:db8::{last:x}" for last in range(9)], "2001:db8:0:1::1")
        await arrive(*[f"{writing}192.0.2.7" for writing in ("", "::ffff:") for _ in range(5)])
        owners = Counter(owner for owner, _ in let_in)
        assert owners == {"2001:db8::/64": 8, "2001:db8:0:1::/64": 1, "192.0.2.7": 8}
        slots.release(let_in[3][0])
        await arrive("2001:db8::ffff", "2001:db8::fffe")
        assert let_in[-1] == ("2001:db8::/64", "2001:db8::ffff:5")

    run(story())
