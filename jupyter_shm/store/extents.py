"""Which bytes of the heap are whose: an allocator of address space that counts pages.  No I/O here.

The heap is far larger than memory, so address space is spent freely and memory is counted in pages: a page is in
use while at least one extent covers a byte of it.  Small extents share pages; an extent that dies gives back the
pages that nothing else covers.  Free space is kept as maximal intervals, in bins by power of two (as in Doug Lea's
allocator), so taking and giving back cost the same with ten extents as with a million.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import itemgetter

PAGE = 4096  # bytes
HUGE = 2 << 20  # bytes: the larger page of x86-64 and of arm64 with 4 KiB pages
LINE = 64  # bytes: what the smallest extents are aligned to
LARGE = 64 << 10  # bytes: from here on extents start on a page boundary, and live in a zone of their own
FEW = 8  # free intervals looked at in each bin before the next bin is tried


def alignment(nbytes: int) -> int:
    """Bytes that an extent of this size is aligned to: 64; a page from 64 KiB on; 2 MiB from 2 MiB on."""
    if nbytes >= HUGE:
        return HUGE
    return PAGE if nbytes >= LARGE else LINE


def rounded(nbytes: int) -> int:
    """Bytes that an extent for ``nbytes`` takes: whole pages from 64 KiB on, else a multiple of 64."""
    unit = PAGE if nbytes >= LARGE else LINE
    return max(nbytes + -nbytes % unit, LINE)


_offset = itemgetter(0)


class Extents:
    """Give out and take back extents of the heap.

    Args:
        nbytes: Size of the heap's address space, a multiple of the page.

    Attributes:
        pages_used: Pages that at least one extent covers.
    """

    def __init__(self, nbytes: int) -> None:
        # Small extents keep to the first sixteenth, so that they do not cut the large ones' space into pieces.
        border = nbytes // 16 // HUGE * HUGE
        self._small = _FreeSpace(0, border)
        self._large = _FreeSpace(border, nbytes)
        self._border = border
        self.pages_used = 0

    @classmethod
    def restored(cls, nbytes: int, spans: Iterable[tuple[int, int]]) -> Extents:
        """An allocator that has given out exactly these extents.

        Args:
            nbytes: Size of the heap's address space, as the allocator that gave them had it.
            spans: ``(offset, bytes)`` of each extent, in any order.

        Raises:
            ValueError: Two of them overlap, or one does not lie in a zone of the heap.
        """
        extents = cls(nbytes)
        taken = sorted(spans, key=_offset)  # by one number: comparing pairs takes four times as long
        first_large = bisect_left(taken, extents._border, key=_offset)
        for zone, its in ((extents._small, taken[:first_large]), (extents._large, taken[first_large:])):
            zone.cut_out(its)
            extents.pages_used += _pages_covered(its)
        return extents

    def free_ranges(self) -> Iterator[tuple[int, int]]:
        """Tell of all free space in whole pages, which nothing covers a byte of.

        Yields:
            ``(offset, bytes)``, by offset.
        """
        for zone in (self._small, self._large):
            for start, end in zone.intervals():
                first, behind = -(-start // PAGE) * PAGE, end // PAGE * PAGE
                if first < behind:
                    yield first, behind - first

    def pages_needed(self, nbytes: int) -> int:
        """An upper bound of the pages that an extent of this size adds."""
        nbytes = rounded(nbytes)
        return -(-nbytes // PAGE) + (nbytes < LARGE)

    def take(self, nbytes: int) -> tuple[int, int, int] | None:
        """Find room.

        Args:
            nbytes: Bytes wanted, at least 1.

        Returns:
            ``(offset, bytes, pages)``: the extent, its size rounded up, and how many pages came into use with it.
            ``None`` when no free interval is long enough.
        """
        size = rounded(nbytes)
        zones = (self._small, self._large) if size < LARGE else (self._large, self._small)
        for zone in zones:
            found = zone.take(size, alignment(size))
            if found is not None:
                offset, free_start, free_end = found
                pages = _whole_pages(offset, size, free_start, free_end)[1]
                self.pages_used += pages
                return offset, size, pages
        return None

    def give_back(self, offset: int, nbytes: int) -> tuple[int, int]:
        """Take an extent back.

        Args:
            offset: Of an extent that ``take`` has given.
            nbytes: Its size, as ``take`` has told it.

        Returns:
            ``(offset, bytes)`` of the pages that nothing covers any more, to be punched out; 0 bytes if none.
        """
        zone = self._small if offset < self._border else self._large
        free_start, free_end = zone.give_back(offset, nbytes)
        start, pages = _whole_pages(offset, nbytes, free_start, free_end)
        self.pages_used -= pages
        return start, pages * PAGE


def _whole_pages(offset: int, nbytes: int, free_start: int, free_end: int) -> tuple[int, int]:
    """Pages that the extent touches and that lie wholly inside the free interval around it: (first byte, count)."""
    start = max(offset // PAGE * PAGE, -(-free_start // PAGE) * PAGE)
    end = min(-(-(offset + nbytes) // PAGE) * PAGE, free_end // PAGE * PAGE)
    return start, max(0, (end - start) // PAGE)


def _pages_covered(spans: list[tuple[int, int]]) -> int:
    """Pages that at least one of these extents, which are sorted, covers a byte of."""
    pages, counted = 0, 0  # `counted`: the page before which all are
    for offset, nbytes in spans:
        first, behind = offset // PAGE, -(-(offset + nbytes) // PAGE)
        pages += behind - first - (first < counted)  # they do not overlap: no more than one page can be shared
        counted = behind
    return pages


def pages_alone(spans: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[int]:
    """How many pages each of these extents adds, one after the other, to those that the others cover.

    Args:
        spans: ``(offset, bytes)`` of each.
        others: The same; looked at only if there are ``spans``.  No two of all overlap.
    """
    if not spans:
        return []
    # Only its first and its last page can an extent share with another.
    shared = {offset // PAGE for offset, _ in others}
    shared |= {(offset + nbytes - 1) // PAGE for offset, nbytes in others}
    pages = []
    for offset, nbytes in spans:
        first, last = offset // PAGE, (offset + nbytes - 1) // PAGE
        pages.append(last - first + 1 - len(shared & {first, last}))
        shared |= {first, last}
    return pages


class _FreeSpace:
    """The free intervals of one zone.

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
        self._remove(start, end)
        if start < offset:
            self._add(start, offset)
        if offset + size < end:
            self._add(offset + size, end)
        return offset, start, end

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
