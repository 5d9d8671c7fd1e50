"""How many pages some extents cover, of which no two overlap.  No I/O here.

Only its first and its last page can an extent share with others; so those are counted one by one, and all between them
at once.
"""

from __future__ import annotations

from ..tables.alignment import PAGE


class Coverage:
    """Extents that come and go.

    Attributes:
        pages: Pages of which at least one of them covers a byte.
    """

    def __init__(self) -> None:
        self.pages = 0
        self._ends: dict[int, int] = {}  # page to how many extents begin or end in it

    def add(self, offset: int, nbytes: int) -> None:
        """One more extent; bytes, at least one."""
        ends = self._ends
        first, last = offset // PAGE, (offset + nbytes - 1) // PAGE
        if first != last:
            self.pages += last - first - 1
            count = ends.get(last, 0)
            self.pages += not count
            ends[last] = count + 1
        count = ends.get(first, 0)
        self.pages += not count
        ends[first] = count + 1

    def remove(self, offset: int, nbytes: int) -> None:
        """One less, as it was added."""
        first, last = offset // PAGE, (offset + nbytes - 1) // PAGE
        if first != last:
            self.pages -= last - first - 1
            self._less(last)
        self._less(first)

    def _less(self, page: int) -> None:
        count = self._ends.pop(page) - 1
        if count:
            self._ends[page] = count
        else:
            self.pages -= 1
