"""The send queue against a naive model, and its promises one by one."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.send_queue import SendQueue
from p2p.wire import QueueClass

CONSENSUS, STATUS, TRANSACTIONS, SYNC = QueueClass


def test_strict_priority_and_fifo() -> None:
    """Higher classes leave first, each class in order, whatever the order of putting."""
    queue = SendQueue(1000)
    for queue_class, frame in [
        (SYNC, b"s1"), (TRANSACTIONS, b"t1"), (CONSENSUS, b"c1"), (SYNC, b"s2"),
        (STATUS, b"u1"), (CONSENSUS, b"c2"),
    ]:  # fmt: skip
        assert queue.put(queue_class, frame)
    assert queue.take(100) == b"c1c2u1t1s1s2"
    assert not queue


def test_a_batch_ends_with_a_whole_frame() -> None:
    """`take` stops at the first frame that reaches the batch size and never cuts one."""
    queue = SendQueue(1000)
    for frame in (b"aaaa", b"bbbb", b"cccc"):
        queue.put(STATUS, frame)
    assert queue.take(5) == b"aaaabbbb"
    assert queue.take(1) == b"cccc"


def test_lower_classes_make_room() -> None:
    """A vote pushes out sync first, then transactions, newest first; nothing of its own class."""
    queue = SendQueue(10)
    for queue_class, frame in [(CONSENSUS, b"cc"), (TRANSACTIONS, b"tttt"), (SYNC, b"ssss")]:
        assert queue.put(queue_class, frame)
    assert queue.put(CONSENSUS, b"vvvv")
    assert queue.dropped == 1
    assert queue.put(CONSENSUS, b"wwww")
    assert not queue.put(CONSENSUS, b"x")
    assert queue.take(100) == b"ccvvvvwwww"


def test_nothing_is_lost_for_a_frame_that_does_not_fit() -> None:
    """A frame too large even without the lower classes is dropped and drops nothing else."""
    queue = SendQueue(10)
    queue.put(CONSENSUS, b"cccc")
    queue.put(SYNC, b"ssss")
    assert not queue.put(STATUS, b"1234567")
    assert queue.size_bytes == 8
    assert queue.dropped == 1


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(QueueClass), st.integers(1, 40)),
            st.tuples(st.none(), st.integers(1, 60)),
        ),
        max_size=60,
    )
)
def test_bytes_are_accounted_for(steps: list[tuple[QueueClass | None, int]]) -> None:
    """Over any puts and takes: within the limit, and put = taken + dropped + queued."""
    queue, put, taken, accepted = SendQueue(100), 0, 0, 0
    for queue_class, size in steps:
        if queue_class is None:
            taken += len(queue.take(size))
        else:
            put += 1
            accepted += queue.put(queue_class, bytes(size))
        assert 0 <= queue.size_bytes <= 100
        assert bool(queue) == (queue.size_bytes > 0)
    left = queue.size_bytes
    assert len(queue.take(1000)) == left
    assert not queue
    assert queue.dropped >= put - accepted
