"""SLIP-0010 derivation of Ed25519 keys from a seed.

Ed25519 has hardened children only: no public key ever yields another, so a wallet file lists the
public keys that it has handed out.

Path: m/44'/7172723'/0'/0'/index'. SLIP-0044 has no entry for this coin; 7172723 is the
ASCII of "mrs", the prefix of its addresses, read as a number. All networks share it: signatures
bind the chain, so one key on two networks gives nothing away.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha512

from cli.errors import usage_error

COIN_TYPE = 7_172_723
ACCOUNT_PATH = f"m/44'/{COIN_TYPE}'/0'/0'"
"""Of the addresses, whose index follows. One account: wallets are told apart by their files."""
HARDENED = 1 << 31
DEPTH_MAX = 16

_MASTER_KEY = b"ed25519 seed"
_PATH = re.compile(r"m(?:/[0-9]{1,10}')*", re.ASCII)


def parse_path(path: str) -> tuple[int, ...]:
    """The child numbers, without the hardened bit."""
    if _PATH.fullmatch(path) is None:
        raise usage_error("bad_path", f"{path!r} is not a path of hardened children")
    numbers = tuple(int(part[:-1]) for part in path.split("/")[1:])
    if len(numbers) > DEPTH_MAX or any(number >= HARDENED for number in numbers):
        raise usage_error("bad_path", f"{path!r} is too deep or has a number above 2^31 - 1")
    return numbers


def derive(seed: bytes, path: str) -> bytes:
    """The 32-byte Ed25519 private seed at `path`."""
    return derive_node(seed, path)[0]


def derive_node(seed: bytes, path: str) -> tuple[bytes, bytes]:
    """(private key, chain code) at `path`."""
    digest = hmac.digest(_MASTER_KEY, seed, sha512)
    for number in parse_path(path):
        child = (HARDENED + number).to_bytes(4, "big")
        digest = hmac.digest(digest[32:], b"\0" + digest[:32] + child, sha512)
    return digest[:32], digest[32:]
