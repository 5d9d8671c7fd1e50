"""The space of the spill heap: who has which part of the file, and how much of it may be used.  No I/O here."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter

from ..tables.alignment import PAGE
from .intervals import FreeSpace

ADDRESSES = 1 << 43
"""Bytes of offsets that are given out: more than any disk holds, less than any file system refuses (ext4: 16 TiB)."""


class SpillSpace:
    """Give out and take back parts of the spill heap, in whole pages.

    Args:
        reason: Why nothing is spilled; "" when objects are.

    Attributes:
        limit: Bytes that may be used at most, as the disk was when it was asked last.
        used: Bytes that were given out.
        reason: As above; whoever finds that there is no use in it any more says so here.
    """

    def __init__(self, reason: str = "the store has no spill heap") -> None:
        self.limit = 0
        self.used = 0
        self.reason = reason
        self._free = FreeSpace(0, ADDRESSES)

    @property
    def is_open(self) -> bool:
        """Can objects be spilled at all?"""
        return not self.reason

    @property
    def room(self) -> int:
        """Bytes that may still be used, as far as is known."""
        return max(0, self.limit - self.used) if self.is_open else 0

    def take(self, nbytes: int) -> int:
        """Take a part; where it is.  What the limit says is the caller's to heed."""
        size = nbytes + -nbytes % PAGE
        found = self._free.take(size, PAGE)
        if found is None:
            raise ValueError(f"the spill heap has no {size} bytes in one piece")
        self.used += size
        return found[0]

    def take_back(self, spans: Iterable[tuple[int, int]]) -> None:
        """Note what the objects of a store that died have; nothing was given out yet.

        Args:
            spans: ``(offset, bytes)`` of each, in any order.

        Raises:
            ValueError: Two of them overlap.
        """
        taken = [(offset, size + -size % PAGE) for offset, size in sorted(spans, key=itemgetter(0))]
        self._free.cut_out(taken)
        self.used = sum(size for _, size in taken)

    def give_back(self, offset: int, nbytes: int) -> tuple[int, int]:
        """Take a part back: what is to be punched, ``(offset, bytes)``."""
        size = nbytes + -nbytes % PAGE
        self._free.give_back(offset, size)
        self.used -= size
        return offset, size

    def free_ranges(self) -> list[tuple[int, int]]:
        """All that nobody has: ``(offset, bytes)``, by offset; the last one reaches beyond the end of any file."""
        return [(start, end - start) for start, end in self._free.intervals()]
