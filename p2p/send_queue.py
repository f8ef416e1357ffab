"""What waits to be written to one peer: four classes, one byte limit. A pure value holder.

Strict priority: nothing of a class is taken while a higher class holds a frame. Within a class
first in, first out. Frames are whole: a frame that was taken is written to its end.

When the limit is reached, room is made by dropping from the lowest class upwards, newest first
(the oldest are nearest to being written), but only below the class of the new frame. If that is
not enough the new frame is dropped. What that means is for the owner of the queue to say.
"""

from __future__ import annotations

from collections import deque

from p2p.wire import QueueClass


class SendQueue:
    """Bounded class queues of encoded frames."""

    __slots__ = ("_classes", "_sizes", "_total", "_total_max", "dropped")

    def __init__(self, size_bytes_max: int) -> None:
        self._total_max = size_bytes_max
        self._total = 0
        self._classes: tuple[deque[bytes], ...] = tuple(deque() for _ in QueueClass)
        self._sizes = [0] * len(QueueClass)
        self.dropped = 0
        """Frames that were dropped for want of room since the link came up."""

    @property
    def size_bytes(self) -> int:
        return self._total

    def __bool__(self) -> bool:
        return self._total > 0

    def put(self, queue_class: QueueClass, frame: bytes) -> bool:
        """False when there was no room and `frame` was dropped."""
        size = len(frame)
        if self._total + size > self._total_max and not self._make_room(queue_class, size):
            self.dropped += 1
            return False
        self._total += size
        self._sizes[queue_class] += size
        self._classes[queue_class].append(frame)
        return True

    def take(self, batch_bytes: int) -> bytes:
        """Frames in order of priority, joined, until `batch_bytes` are reached or none is left."""
        frames: list[bytes] = []
        taken = 0
        for queue_class, waiting in enumerate(self._classes):
            before = taken
            while waiting and taken < batch_bytes:
                frame = waiting.popleft()
                taken += len(frame)
                frames.append(frame)
            self._sizes[queue_class] -= taken - before
        self._total -= taken
        return b"".join(frames)

    def _make_room(self, queue_class: QueueClass, size: int) -> bool:
        """Drop lower classes until `size` bytes fit; nothing when they would not fit even so."""
        excess = self._total + size - self._total_max
        if excess > sum(self._sizes[queue_class + 1 :]):
            return False
        for lower in range(len(self._classes) - 1, queue_class, -1):
            waiting = self._classes[lower]
            while waiting and excess > 0:
                freed = len(waiting.pop())
                self._sizes[lower] -= freed
                self._total -= freed
                excess -= freed
                self.dropped += 1
        return True
