"""CRC-32C against published values and against the definition, bit by bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crc32c import crc32c


def bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
    ],
)
def test_published_values(data: bytes, expected: int) -> None:
    """The check value of the algorithm and the iSCSI examples of RFC 3720, appendix B.4."""
    assert crc32c(data) == expected


@given(st.binary(max_size=70))
def test_tables_agree_with_the_definition(data: bytes) -> None:
    """Every length around the eight-byte turns of the loop."""
    assert crc32c(data) == bit_by_bit(data)
