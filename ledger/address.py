"""Addresses: bech32m (BIP 350) of a version byte and a lock hash.

The human-readable part names the network, so that coins of a test network are never sent to an
address of the real one by mistake. Mixed case is refused as BIP 173 requires.
"""

from __future__ import annotations

from ledger.reasons import Invalid, Reason

HRP_BY_NETWORK = {"main": "mrs", "test": "mrst", "devnet": "mrst"}
ADDRESS_VERSION = 0
LOCK_BYTES = 32

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE_BY_CHAR = {char: value for value, char in enumerate(_CHARSET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32M_CONST = 0x2BC830A3
_CHECKSUM_CHARS = 6
ADDRESS_CHARS_MAX = 90


def encode_address(lock: bytes, hrp: str) -> str:
    """The address of a 32-byte lock hash on the network that `hrp` names."""
    data = _regroup(bytes((ADDRESS_VERSION,)) + lock, 8, 5, pad=True)
    checksum = _polymod(_expand(hrp) + data + [0] * _CHECKSUM_CHARS) ^ _BECH32M_CONST
    tail = [(checksum >> 5 * (5 - i)) & 31 for i in range(_CHECKSUM_CHARS)]
    return hrp + "1" + "".join(_CHARSET[value] for value in data + tail)


def decode_address(text: str, hrp: str) -> bytes:
    """The lock hash of an address; raises Invalid(BAD_ADDRESS) that says what is wrong."""
    if len(text) > ADDRESS_CHARS_MAX or (text != text.lower() and text != text.upper()):
        raise Invalid(Reason.BAD_ADDRESS, "mixed case or too long")
    found, separator, payload = text.lower().rpartition("1")
    if not separator or len(payload) < _CHECKSUM_CHARS or not found.isascii():
        raise Invalid(Reason.BAD_ADDRESS, f"{text!r} is not an address")
    if found != hrp:
        detail = f"an address of network '{found}', this network's begin with '{hrp}1'"
        raise Invalid(Reason.BAD_ADDRESS, detail)
    if any(char not in _VALUE_BY_CHAR for char in payload):
        raise Invalid(Reason.BAD_ADDRESS, f"{text!r} has a character that no address has")
    values = [_VALUE_BY_CHAR[char] for char in payload]
    if _polymod(_expand(hrp) + values) != _BECH32M_CONST:
        raise Invalid(Reason.BAD_ADDRESS, f"the checksum of {text!r} is wrong: a typing mistake?")
    data = bytes(_regroup(values[:-_CHECKSUM_CHARS], 5, 8, pad=False))
    if len(data) != 1 + LOCK_BYTES:
        raise Invalid(Reason.BAD_ADDRESS, f"{len(data)} bytes of data, expected {1 + LOCK_BYTES}")
    if data[0] != ADDRESS_VERSION:
        raise Invalid(Reason.BAD_ADDRESS, f"address version {data[0]} is unknown")
    return data[1:]


def _expand(hrp: str) -> list[int]:
    return [ord(char) >> 5 for char in hrp] + [0] + [ord(char) & 31 for char in hrp]


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if (top >> bit) & 1:
                checksum ^= generator
    return checksum


def _regroup(data: bytes | list[int], bits_from: int, bits_to: int, *, pad: bool) -> list[int]:
    accumulator = bits = 0
    result = []
    for value in data:
        accumulator = (accumulator << bits_from) | value
        bits += bits_from
        while bits >= bits_to:
            bits -= bits_to
            result.append((accumulator >> bits) & ((1 << bits_to) - 1))
    rest = accumulator & ((1 << bits) - 1)
    if pad and bits:
        result.append((rest << (bits_to - bits)) & ((1 << bits_to) - 1))
    elif not pad and (bits >= bits_from or rest):
        raise Invalid(Reason.BAD_ADDRESS, "padding bits are not zero")
    return result
