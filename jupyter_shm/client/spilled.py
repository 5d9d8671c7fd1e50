"""Objects whose bytes are on disk: read where they are, under leases like all others, each through a map of its own.

A slot says SPILLED as those of others say LIVE, and a lease holds the place in the spill heap as it holds an extent.  So
a get of such an object asks nobody, either; but it is looked for only when there is none that is LIVE.
"""

from __future__ import annotations

from ..linux.maps import Map
from ..tables.index import Place
from ..tables.layout import SPILLED, TERM_SPILLED, Record, generation_of, slot_of
from ..tables.terms import term_word
from .heap import Heap
from .leases import Leased, Leases, RootRef


class SpillHeap(Heap):
    """As the heap, but never mapped as a whole, and nobody writes it.

    Args:
        fd: The file, ``O_RDONLY``; owned from now on.
    """

    def __init__(self, fd: int) -> None:
        self.nbytes = 0
        self._read_only = fd
        self._writable = -1
        self._map: Map | None = None


class SpilledRef(RootRef):
    """Notices the end of the root of a spilled object."""

    __slots__ = ()

    is_spilled = True


class AllLeases(Leases):
    """The leases of one connection, on what is in memory and on what is on disk.

    Attributes:
        spill: The spill heap, if the store has one.
    """

    spill: SpillHeap | None = None

    def heap_of(self, leased: Leased) -> Heap:
        """Where the bytes are that a leased object's record tells of."""
        return self.spill if leased.ref.is_spilled and self.spill is not None else self.heap

    def heap_at(self, spilled: int) -> Heap:
        """Where the bytes are of an object that has this place in the spill heap, plus 1; 0: it has none."""
        return self.spill if spilled and self.spill is not None else self.heap

    def take_spilled(self, name: bytes | None, id: int = 0) -> Leased | None:
        """Take a lease on an object that is on disk.

        Args:
            name: What it is published under; ``None``: go by its id.
            id: That.

        Returns:
            The object; ``None`` is a miss, which only the store can confirm.
        """
        try:
            with self.lock:
                if self.is_over or self.spill is None:
                    return None
                index = self.index
                hit = index.look_at(slot_of(id), SPILLED) if name is None else index.look_up(name, SPILLED)
                if hit is None or (name is None and hit[1].generation != generation_of(id)):
                    return None
                if not index.words[term_word(hit[0], TERM_SPILLED)]:
                    return None  # read before the state was, by a machine that may do so
                return self._take(*hit, count_read=True, make=self._make_spilled_root)
        finally:
            self.drain()

    def _make_spilled_root(self, id: int, record: Record, place: Place | None) -> Leased:
        assert self.spill is not None
        words, at = self.index.words, term_word(slot_of(id), TERM_SPILLED)
        while True:
            spilled = words[at]
            root, window = self.spill.root(spilled - 1, record.extent)
            if words[at] == spilled:
                break  # the same before and after a system call: it is not one of an earlier time
            assert window is not None
            window.close()
        record = record._replace(offset=spilled - 1)
        ref = self._watch(root, id, record, window, SpilledRef)
        self._held.setdefault(id, []).append(ref)
        return Leased(id, root, record.offset, record, ref, place)
