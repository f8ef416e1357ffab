"""Framing: every cut of the stream gives the same frames; limits hold before buffering."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.reasons import Invalid, Reason
from p2p import wire
from p2p.frames import HEADER_BYTES, FrameReader, encode_frame, read_header
from p2p.wire import CONSENSUS_LINK_SIZES, HANDSHAKE_SIZES, MESSAGES, SYNC_LINK_SIZES

SMALL = st.tuples(
    st.sampled_from([wire.PREPARE, wire.COMMIT, wire.STATUS, wire.TXS, wire.GIVE]),
    st.binary(max_size=300),
)


@settings(deadline=None)
@given(frames=st.lists(SMALL, max_size=12), cuts=st.lists(st.integers(0, 4000), max_size=12))
def test_any_cutting_gives_the_same_frames(
    frames: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    """A stream of frames, cut anywhere into pieces, is read as it was written."""
    stream = b"".join(encode_frame(number, payload) for number, payload in frames)
    reader = FrameReader(CONSENSUS_LINK_SIZES)
    read: list[tuple[int, bytes]] = []
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in pairwise(edges):
        read += reader.feed(stream[start:end])
    assert read == frames
    assert reader.pending_bytes == 0


def test_one_byte_at_a_time() -> None:
    """Bytes that drip in one by one complete each frame exactly at its last byte."""
    first, second = encode_frame(wire.PREPARE, b"abc"), encode_frame(wire.PING, b"")
    reader = FrameReader(CONSENSUS_LINK_SIZES)
    got = [reader.feed(bytes((byte,))) for byte in first + second]
    assert [frames for frames in got if frames] == [[(wire.PREPARE, b"abc")], [(wire.PING, b"")]]
    assert got[len(first) - 1] and got[-1]


@pytest.mark.parametrize("number", sorted(CONSENSUS_LINK_SIZES))
def test_size_limits(number: int) -> None:
    """Every message passes at its limit - 1 and limit and is refused one above, unbuffered."""
    size_max = MESSAGES[number].size_max
    for size in {max(0, size_max - 1), size_max}:
        assert FrameReader(CONSENSUS_LINK_SIZES).feed(encode_frame(number, bytes(size))) == [
            (number, bytes(size))
        ]
    reader = FrameReader(CONSENSUS_LINK_SIZES)
    with pytest.raises(Invalid) as refused:
        reader.feed(struct.pack(">IB", size_max + 1, number))
    assert refused.value.reason is Reason.TOO_LARGE
    assert reader.pending_bytes == 0
    with pytest.raises(AssertionError):
        encode_frame(number, bytes(size_max + 1))


@settings(deadline=None)
@given(st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_only_listed_numbers_and_sizes_pass(number: int, size: int) -> None:
    """For any header, exactly what the phase allows passes; nothing but Invalid is raised."""
    for sizes in (HANDSHAKE_SIZES, SYNC_LINK_SIZES, CONSENSUS_LINK_SIZES):
        header = struct.pack(">IB", size, number)
        allowed = number in sizes and size <= sizes[number]
        try:
            assert read_header(header, sizes) == (number, size)
            passed = True
        except Invalid:
            passed = False
        assert passed == allowed


def test_a_broken_stream_stays_broken() -> None:
    """After a bad header no byte is read as a frame any more."""
    reader = FrameReader(CONSENSUS_LINK_SIZES)
    with pytest.raises(Invalid):
        reader.feed(b"GET / HTTP/1.1\r\n")
    with pytest.raises(Invalid):
        reader.feed(encode_frame(wire.PING, b""))


def test_a_claimed_length_reserves_nothing() -> None:
    """A header that announces 2 MiB keeps its five bytes and no more."""
    reader = FrameReader(CONSENSUS_LINK_SIZES)
    assert reader.feed(struct.pack(">IB", MESSAGES[wire.GIVE].size_max, wire.GIVE)) == []
    assert reader.pending_bytes == HEADER_BYTES
