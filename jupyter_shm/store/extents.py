"""Which bytes of the heap are whose: an allocator of address space that counts pages.  No I/O here.

The heap is far larger than memory, so address space is spent freely and memory is counted in pages: a page is in
use while at least one extent covers a byte of it.  Small extents share pages; an extent that dies gives back the
pages that nothing else covers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from operator import itemgetter

from ..tables.alignment import HUGE, LARGE, LINE, PAGE, alignment, rounded
from .intervals import FreeSpace

__all__ = ["HUGE", "LARGE", "LINE", "PAGE", "Extents", "alignment", "rounded"]

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
        self._small = FreeSpace(0, border)
        self._large = FreeSpace(border, nbytes)
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

    def room_at(self, offset: int) -> int:
        """Bytes that are free from here on, if a free interval of the large extents' zone begins here; else 0."""
        return self._large.room_at(offset)

    def take_at(self, offset: int, nbytes: int) -> None:
        """Take whole pages at the beginning of such an interval."""
        self._large.cut(offset, offset, nbytes)
        self.pages_used += nbytes // PAGE

    def is_small(self, offset: int) -> bool:
        """Is this in the zone of the small extents?"""
        return offset < self._border

    def give_back(self, offset: int, nbytes: int, keep: bool = False) -> tuple[int, int]:
        """Take an extent back.

        Args:
            offset: Of an extent that ``take`` has given.
            nbytes: Its size, as ``take`` has told it.
            keep: The pages that nothing covers any more become an extent of the caller's instead, and stay in use.

        Returns:
            ``(offset, bytes)`` of the pages that nothing covers any more, to be punched out; 0 bytes if none.
        """
        zone = self._small if offset < self._border else self._large
        free_start, free_end = zone.give_back(offset, nbytes)
        start, pages = _whole_pages(offset, nbytes, free_start, free_end)
        if keep and pages:
            zone.cut(free_start, start, pages * PAGE)
        else:
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
