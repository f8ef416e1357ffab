"""Whom an IP address is counted for, wherever strangers have a share of something.

Leaf module: no project imports.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IPV6_NETWORK_BITS = 64
"""Of an IPv6 address: who has one has the whole network of it (RFC 6177)."""


def owned(host: str) -> str:
    """What the owner of `host` has for certain: an IPv4 address alone, mapped into IPv6 or not, and
    of an IPv6 address its network, as 2001:db8:1:2::/64. ValueError for what is no address."""
    address = _parse(host)
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, IPV6_NETWORK_BITS), strict=False))


def is_own(host: str) -> bool:
    """Whether it is this machine's, spoken to by itself. ValueError as above."""
    return _parse(host).is_loopback


def _parse(host: str) -> IPv4Address | IPv6Address:
    address = ip_address(host.partition("%")[0])  # the scope names an interface of this machine
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
