"""Which bytes of the heap are whose: an allocator of address space that counts pages.  No I/O here.

The heap is far larger than memory, so address space is spent freely and memory is counted in pages: a page is in
use while at least one extent covers a byte of it.  Small extents share pages; an extent that dies gives back the
pages that nothing else covers.  Free space is kept as maximal intervals, in bins by power of two (as in Doug Lea's
allocator), so taking and giving back cost the same with ten extents as with a million.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

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


class _FreeSpace:
    """The free intervals of one zone.

    ``_bins[b]`` holds the starts of the intervals whose length has b bits, oldest first.  Not in a plain dict, which
    walks over everything that was deleted at its front.
    """

    def __init__(self, start: int, end: int) -> None:
        self._bins: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(64)]
        self._ends: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        if end > start:
            self._add(start, end)

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
