"""The warm reserve: free ranges of the heap whose memory is there already, and what is to be warmed next.  No I/O here.

A put into pages that the system has yet to clear runs at a tenth of the speed of memory.  So memory of dead extents is
kept for a while instead of being given back, and some more is made ahead of demand, in huge pages, by a process that
does nothing else (``warmer``).

To the extents' books a warm range is an extent: nobody else's, in whole pages.  Laws:

1. What is warm is given up before a put is refused, and before capacity is exceeded.
2. What exceeds the wanted size goes back to the system within a second; all of it goes after ten minutes without a put.
3. What is being warmed is neither free nor warm: it comes in, or goes back, when the warmer has told.
"""

from __future__ import annotations

from collections.abc import Callable

from .extents import HUGE, LARGE, PAGE, Extents, alignment, rounded
from .intervals import FreeSpace

STEP = 32 << 20
"""Bytes warmed in one go: 80 ms where the machine never used them before (Linux 6.18)."""

QUIET = 0.05
"""Seconds after a put before anything is warmed: puts need the memory's bandwidth themselves."""

EXCESS = 0.5
"""Seconds for which what exceeds the wanted size is kept: the next put may be on its way."""

TRIM = 16 << 20
"""Bytes given back in one go: 3 ms in pages of 4 KiB, in which nobody is served."""

FORGET = 600.0
"""Seconds without a put after which all is given back."""

Range = tuple[int, int]
"""Offset in the heap, and bytes; whole pages."""


class Reserve:
    """What is warm.

    Args:
        extents: Who owns the address space.
        heap_nbytes: Its size.
        target: Bytes that are to be warm when nothing is going on; 0 keeps nothing warm.
        now: Seconds.

    Attributes:
        nbytes: Bytes of pages that are warm, or being warmed.
        warming: The range that the warmer is at.
        wanted: Bytes that were asked for; ``target`` is what the capacity allows of it.
    """

    def __init__(self, extents: Extents, heap_nbytes: int, target: int = 0, now: float = 0.0) -> None:
        self.target = self.wanted = target
        self.nbytes = 0
        self.warming: Range | None = None
        self._extents = extents
        self._warm = FreeSpace(0, 0)
        # One byte for each huge page of the heap.  0: it is not one, as far as is known; HUGE_PAGE; TRIED, in vain.
        self._kinds = bytearray(heap_nbytes // HUGE + 1)
        self._last_put = now
        self._excess_since: float | None = None
        self._spoilt: list[Range] = []  # given up, and not punched yet
        self._is_complete = False  # there is nothing to warm, until something changes

    def fit(self, capacity: int) -> None:
        """Want no more than a quarter of the capacity: a small store needs it for objects."""
        self.target = min(self.wanted, capacity // 4) // HUGE * HUGE
        self._is_complete = False

    # --- extents -----------------------------------------------------------------------------------------------

    def take(self, nbytes: int) -> Range | None:
        """Find a warm extent.

        Args:
            nbytes: As for ``Extents.take``.

        Returns:
            ``(offset, bytes)``; its pages came out of the reserve, but for the end of a very large one.  ``None``: no
            warm range is long enough.
        """
        size = rounded(nbytes)
        found = self._warm.take(size, alignment(size)) if size >= LARGE else None
        if found is None:
            return self._take_longer(size) if size >= STEP else None
        self.nbytes -= size
        self._is_complete = False
        return found[0], size

    def _take_longer(self, size: int) -> Range | None:
        """A large extent whose beginning is warm, and whose end is cold: at least the half of it is to be warm."""
        best: tuple[int, int, int] | None = None  # warm bytes, where the range starts, where the extent does
        for start, end in self._warm.by_size(size // 2):
            offset = start + -start % HUGE
            if self._extents.room_at(end) >= offset + size - end and (best is None or end - offset > best[0]):
                best = end - offset, start, offset
        if best is None or best[0] < size // 2:
            return None
        warm, start, offset = best
        self._warm.cut(start, offset, warm)
        self._extents.take_at(offset + warm, size - warm)
        self.nbytes -= warm
        self._is_complete = False
        return offset, size

    def give_back(self, offset: int, nbytes: int) -> Range:
        """Take an extent back; its pages become warm ones, where they are wanted.

        Returns:
            What is to be punched now: ``(offset, bytes)``, 0 bytes if nothing is.
        """
        keep = self.target > 0 and not self._extents.is_small(offset)
        start, size = self._extents.give_back(offset, nbytes, keep)
        if keep and size:
            self._warm.give_back(start, size)
            self.nbytes += size
            self._is_complete = False
            return start, 0
        self._forget(start, size)
        return start, size

    def huge(self, offset: int, nbytes: int) -> int:
        """How many bytes of this extent, from its beginning on, lie in huge pages, as far as is known."""
        kinds = self._kinds[offset // HUGE : -(-(offset + nbytes) // HUGE)]
        end = (offset // HUGE + len(kinds) - len(kinds.lstrip(_HUGE_PAGES))) * HUGE
        return min(max(0, end - offset), nbytes)

    def firm(self) -> int:
        """Bytes that are warm for certain: pages that were only read the system may have taken back."""
        huge = 0
        for start, end in self._warm.by_size(HUGE):
            huge += self._kinds.count(_HUGE_PAGE, -(-start // HUGE), end // HUGE)
        return huge * HUGE

    def give_up(self, nbytes: int) -> None:
        """Give at least so many warm bytes back to the system, if there are so many: see ``take_spoilt``."""
        while nbytes > 0:
            found = next(self._warm.by_size(PAGE), None)
            if found is None:
                return
            start, end = found
            # The end of it, and no part of a huge page: that would be split, and the rest be slow for ever.
            first = max(start, (end - nbytes) // HUGE * HUGE)
            self._warm.cut(start, first, end - first)
            self._extents.give_back(first, end - first)
            self._forget(first, end - first)
            self.nbytes -= end - first
            nbytes -= end - first
            self._spoilt.append((first, end - first))

    def ranges(self) -> list[Range]:
        """All that is warm, or being warmed."""
        warm = [(start, end - start) for start, end in self._warm.intervals()]
        return [*warm, self.warming] if self.warming else warm

    def take_spoilt(self) -> list[Range]:
        """What was given up since the last call: to be punched before anything else is done."""
        spoilt, self._spoilt = self._spoilt, []
        return spoilt

    def _forget(self, start: int, size: int) -> None:
        if size:
            first, behind = start // HUGE, -(-(start + size) // HUGE)
            self._kinds[first:behind] = bytes(behind - first)

    # --- time --------------------------------------------------------------------------------------------------

    def note_put(self, now: float) -> None:
        """Somebody puts, or is about to: warm memory is wanted for ten minutes more."""
        if now >= self._last_put + FORGET:
            self._is_complete = False
        self._last_put = now

    def retreat(self, now: float) -> None:
        """Nobody has put for long, and nobody is expected to: give all back, until ``note_put``."""
        self._last_put = min(self._last_put, now - FORGET)

    def settle(self, now: float) -> None:
        """Give up what exceeds the wanted size; see ``take_spoilt``."""
        excess = self._excess(now)
        if excess <= 0:
            self._excess_since = None
        elif self._excess_since is None:
            self._excess_since = now
        elif now >= self._excess_since + EXCESS:
            self.give_up(min(excess, TRIM))

    def deadline(self, now: float) -> float | None:
        """When to ``settle``, or to ask for the ``next_step``, at the latest."""
        if self.target == 0 or (self.nbytes == 0 and not self._is_wanted(now)):
            return None
        times = [self._last_put + FORGET] if self._is_wanted(now) else []
        if self._excess(now) > 0:
            times.append(now if self._excess_since is None else self._excess_since + EXCESS)
        if not (self._is_complete or self.warming) and self._is_wanted(now):
            times.append(self._last_put + QUIET)
        return min(times, default=None)

    def _is_wanted(self, now: float) -> bool:
        return self.target > 0 and now < self._last_put + FORGET

    def _excess(self, now: float) -> int:
        return self.nbytes - (self.target if self._is_wanted(now) else 0) - (self.warming or (0, 0))[1]

    # --- warming -----------------------------------------------------------------------------------------------

    def next_step(self, room: Callable[[int], int], now: float) -> Range | None:
        """What to warm now.

        Args:
            room: How many of so many bytes may be added.
            now: Seconds.

        Returns:
            A range that nobody has; tell ``warmed`` what came of it.  ``None``: nothing is to be done now.
        """
        if self._is_complete or self.warming or not self._is_wanted(now) or now < self._last_put + QUIET:
            return None
        self.warming = self._slow_range() or self._cold_range(room)
        self._is_complete = self.warming is None
        return self.warming

    def warmed(self, huge: int, present: int) -> None:
        """The warmer is done with what ``next_step`` gave.

        Args:
            huge: Bytes of it that are in huge pages now.
            present: Bytes that have memory, but in small pages.
        """
        assert self.warming is not None
        (offset, nbytes), self.warming = self.warming, None
        if huge + present < nbytes:
            # Memory is short, or the warmer has died: not again before something changes.
            self._extents.give_back(offset, nbytes)
            self._forget(offset, nbytes)
            self.nbytes -= nbytes
            self._spoilt.append((offset, nbytes))
            self._is_complete = True
            return
        kind = _HUGE_PAGE if huge >= nbytes else _TRIED
        self._kinds[offset // HUGE : (offset + nbytes) // HUGE] = bytes([kind]) * (nbytes // HUGE)
        self._warm.give_back(offset, nbytes)

    def _slow_range(self) -> Range | None:
        """Warm already, but in small pages: what was written before it could be warmed."""
        for start, end in self._warm.by_size(HUGE):
            behind = end // HUGE
            first = self._kinds.find(0, -(-start // HUGE), behind)
            if first >= 0:
                last = min(behind, first + STEP // HUGE)
                pages = next((at for at in range(first, last) if self._kinds[at]), last) - first
                self._warm.cut(start, first * HUGE, pages * HUGE)
                return first * HUGE, pages * HUGE
        return None

    def _cold_range(self, room: Callable[[int], int]) -> Range | None:
        wanted = min(STEP, self.target - self.nbytes) // HUGE * HUGE
        nbytes = min(wanted, room(wanted)) // HUGE * HUGE if wanted > 0 else 0
        taken = self._extents.take(nbytes) if nbytes > 0 else None
        if taken is None:
            return None
        if self._extents.is_small(taken[0]):
            self._extents.give_back(*taken[:2])  # what is warm is never there
            return None
        self.nbytes += taken[1]
        return taken[0], taken[1]


_HUGE_PAGE, _TRIED = 1, 2
_HUGE_PAGES = bytes([_HUGE_PAGE])
