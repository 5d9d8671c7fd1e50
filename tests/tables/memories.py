"""Memory for tables: sparse and zeroed as a memfd, and one that lets somebody look between any two stores."""

from __future__ import annotations

import mmap
from collections.abc import Callable


def sparse_memory(nbytes: int) -> memoryview:
    """Zeroed memory that is used only where it is written."""
    return memoryview(mmap.mmap(-1, nbytes))


class WatchedMemory:
    """Writable memory, as far as a writer of tables uses it, that is written in the smallest steps there are.

    A word is one step.  A slice is copied byte after byte, as a memcpy may look from another processor.

    Args:
        memory: What is really written.
        watch: Called after every step.
    """

    def __init__(self, memory: memoryview, watch: Callable[[], None]) -> None:
        self._memory = memory
        self._watch = watch

    def __getitem__(self, key: int | slice):
        return self._memory[key]

    def __setitem__(self, key: int | slice, value) -> None:
        if isinstance(key, int):
            self._memory[key] = value
            self._watch()
            return
        for at, byte in zip(range(*key.indices(len(self._memory))), value, strict=True):
            if self._memory[at] != byte:
                self._memory[at] = byte
                self._watch()

    def cast(self, format: str) -> WatchedMemory:
        return WatchedMemory(self._memory.cast(format), self._watch)
