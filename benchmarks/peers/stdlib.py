"""``multiprocessing.shared_memory``: a segment created and filled, attached to by its name."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from .peer import Array, Peer

Handle = tuple[SharedMemory, str]

UNTRACKED = {"track": False} if sys.version_info >= (3, 13) else {}


class Segments(Peer):
    """Each array is a segment; length and dtype travel in the key."""

    most = 7000
    """Two descriptors each, of the 20,000 that a process often may have."""

    def __init__(self) -> None:
        self._fetched: list[SharedMemory] = []

    def versions(self) -> dict[str, str]:
        return {"Python": platform.python_version(), **super().versions()}

    def join(self, _address: str) -> None:
        # Before 3.13 whoever attaches is registered as an owner, which costs time and removes the segment at its end.
        if not UNTRACKED:
            resource_tracker.register = lambda _name, _kind: None

    def put(self, array: Array, name: str) -> Handle:
        segment = SharedMemory(name, create=True, size=array.nbytes)
        np.copyto(np.ndarray(array.shape, array.dtype, segment.buf), array)
        return segment, f"{name} {array.size} {array.dtype.str}"

    def key(self, handle: Handle) -> str:
        return handle[1]

    def open(self, key: str) -> tuple[str, int, str]:
        name, length, dtype = key.split(" ")
        return name, int(length), dtype

    def get(self, opened: tuple[str, int, str]) -> Array:
        name, length, dtype = opened
        segment = SharedMemory(name, **UNTRACKED)
        self._fetched.append(segment)  # it must not be collected before the array is
        return np.frombuffer(
            segment.buf, dtype, length
        )  # unlike np.ndarray(buffer=), it keeps the map from being closed

    def tidy(self) -> None:
        unused = []
        for segment in self._fetched:
            with suppress(BufferError):  # an array of it is alive
                segment.close()
                unused.append(segment)
        for segment in unused:
            self._fetched.remove(segment)

    def delete(self, handle: Handle) -> None:
        handle[0].close()
        handle[0].unlink()

    def park(self, handle: Handle) -> None:
        handle[0].close()


PEER = Segments
