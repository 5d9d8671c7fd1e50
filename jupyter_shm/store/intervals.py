"""Free intervals of a range of addresses, found by size.  No I/O here, and no idea of pages.

Maximal intervals in bins by power of two (as in Doug Lea's allocator): taking and giving back cost the same with ten
intervals as with a million.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice

FEW = 8  # free intervals looked at in each bin before the next bin is tried


class FreeSpace:
    """The free intervals between two addresses.

    Args:
        start, end: All between them is free at first.

    ``_bins[b]`` holds the starts of the intervals whose length has b bits, oldest first.  Not in a plain dict, which
    walks over everything that was deleted at its front.
    """

    def __init__(self, start: int, end: int) -> None:
        self._bins: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(64)]
        self._ends: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._start, self._end = start, end
        if end > start:
            self._add(start, end)

    def cut_out(self, spans: list[tuple[int, int]]) -> None:
        """Take these extents, sorted by offset, out of a zone that is wholly free."""
        at, end = self._start, self._end
        if at < end:
            self._remove(at, end)
        for offset, size in spans:
            if offset < at or size < 1 or offset + size > end:
                raise ValueError(
                    f"an extent of {size} bytes at {offset} does not lie between the one before it, which ends at {at}, "
                    f"and the end of its zone of the heap, {end}"
                )
            if offset > at:
                self._add(at, offset)
            at = offset + size
        if at < end:
            self._add(at, end)

    def intervals(self) -> list[tuple[int, int]]:
        """All free intervals, by start."""
        return sorted(self._ends.items())

    def take(self, size: int, align: int) -> tuple[int, int, int] | None:
        """Cut an extent out of a free interval: (offset, start and end of the interval it came from)."""
        start = self._fit(size, align, FEW)
        if start is None:
            start = self._fit(size, align, None)
        if start is None:
            return None
        end = self._ends[start]
        offset = start + -start % align
        self.cut(start, offset, size)
        return offset, start, end

    def cut(self, start: int, offset: int, size: int) -> None:
        """Take these bytes out of the free interval that begins at ``start``."""
        end = self._ends[start]
        self._remove(start, end)
        if start < offset:
            self._add(start, offset)
        if offset + size < end:
            self._add(offset + size, end)

    def room_at(self, start: int) -> int:
        """Length of the free interval that begins here; 0 if none does."""
        return self._ends.get(start, start) - start

    def by_size(self, least: int) -> Iterator[tuple[int, int]]:
        """Tell of the free intervals of at least so many bytes: ``(start, end)``, the short ones first.

        Whoever takes or gives back meanwhile must not go on with this.
        """
        for bin in self._bins[least.bit_length() :]:
            for start in bin:
                yield start, self._ends[start]

    def give_back(self, offset: int, size: int) -> tuple[int, int]:
        """Join an extent with the free space on both sides: the interval that it is now part of."""
        start, end = offset, offset + size
        before = self._starts.get(start)
        if before is not None:
            self._remove(before, start)
            start = before
        after = self._ends.get(end)
        if after is not None:
            self._remove(end, after)
            end = after
        self._add(start, end)
        return start, end

    def _fit(self, size: int, align: int, tries: int | None) -> int | None:
        # A few intervals of each bin are enough to look at: a higher bin is long enough but for the alignment, and
        # from (size + align) on certainly.  Only a zone cut to pieces needs the second, exhaustive round.
        for bin in self._bins[size.bit_length() :]:
            for start in islice(bin, tries):
                if start + -start % align + size <= self._ends[start]:
                    return start
        return None

    def _add(self, start: int, end: int) -> None:
        self._bins[(end - start).bit_length()][start] = None
        self._ends[start] = end
        self._starts[end] = start

    def _remove(self, start: int, end: int) -> None:
        del self._bins[(end - start).bit_length()][start]
        del self._ends[start]
        del self._starts[end]
