"""Frames: a 4-byte big-endian payload length, a 1-byte message number, the payload.

No I/O: bytes in, frames out. A header is judged the moment its five bytes are there: a number
that may not arrive, or a length above its limit, raises before any of the payload is kept, and a
claimed length reserves no memory. After `Invalid` the stream has no known boundary any more, so
the link must end; the reader refuses to go on.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from ledger.reasons import Invalid, Reason
from p2p.wire import MESSAGES

HEADER_BYTES = 5
_HEADER = struct.Struct(">IB")


def encode_frame(number: int, payload: bytes) -> bytes:
    """The bytes of one frame. A payload above its limit is a fault of this node, never input."""
    size_max = MESSAGES[number].size_max
    assert len(payload) <= size_max, f"{len(payload)} B for message {number}, limit {size_max}"
    return _HEADER.pack(len(payload), number) + payload


def read_header(header: bytes, sizes: Mapping[int, int]) -> tuple[int, int]:
    """(number, payload size) of five header bytes; Invalid when `sizes` does not allow them."""
    size, number = _HEADER.unpack(header)
    check_header(number, size, sizes)
    return number, size


def check_header(number: int, size: int, sizes: Mapping[int, int]) -> None:
    """Raises Invalid when the message may not arrive now or is above its limit."""
    size_max = sizes.get(number)
    if size_max is None:
        raise Invalid(Reason.MALFORMED, f"message {number} may not arrive on this link now")
    if size > size_max:
        name = MESSAGES[number].name
        raise Invalid(Reason.TOO_LARGE, f"{name} of {size} bytes, at most {size_max} are read")


class FrameReader:
    """Cuts a byte stream into frames; keeps at most one incomplete frame.

    `sizes` maps each number that may arrive to its payload limit.
    """

    __slots__ = ("_broken", "_needed", "_pending", "_sizes")

    def __init__(self, sizes: Mapping[int, int]) -> None:
        self._sizes = sizes
        self._pending = bytearray()
        self._needed = HEADER_BYTES  # no frame can be complete below this many pending bytes
        self._broken = False

    @property
    def pending_bytes(self) -> int:
        """Bytes of the incomplete frame."""
        return len(self._pending)

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that `data` completes, in order; raises Invalid for a bad header.

        Frames before a bad header are lost with it: its sender is about to be cut off.
        """
        if self._broken:
            raise Invalid(Reason.MALFORMED, "the stream broke at an earlier frame")
        if not self._pending:
            return self._cut(data)
        # Appending in place keeps a frame that drips in byte by byte linear.
        self._pending += data
        if len(self._pending) < self._needed:
            return []
        whole = bytes(self._pending)
        self._pending.clear()
        return self._cut(whole)

    def _cut(self, data: bytes) -> list[tuple[int, bytes]]:
        frames: list[tuple[int, bytes]] = []
        sizes = self._sizes
        unpack = _HEADER.unpack_from
        start, end = 0, len(data)
        needed = HEADER_BYTES
        while end - start >= HEADER_BYTES:
            size, number = unpack(data, start)
            # The table look-up of check_header, unrolled: this runs for every frame of a link.
            if size > sizes.get(number, -1):
                self._broken = True
                check_header(number, size, sizes)
            body = start + HEADER_BYTES
            if end - body < size:
                needed = HEADER_BYTES + size
                break
            start = body + size
            frames.append((number, data[body:start]))
        if start < end:
            self._pending += data[start:]
        self._needed = needed
        return frames
