"""Leases on what is still to be made: there are no bytes yet, so no view holds them, but an anchor that references share.

The word in the lease table is that of every other lease, so it goes on to count when the object is there.
"""

from __future__ import annotations

import weakref

from ..tables.layout import LIVE, PENDING, SPILLED, SPILLING, generation_of, slot_of
from .leases import KeptRef
from .spilled import AllLeases


class Anchor:
    """Holds one lease, for as long as it lives.

    Attributes:
        id: Of the object.
    """

    __slots__ = ("__weakref__", "id")

    def __init__(self, id: int) -> None:
        self.id = id


class AnchoredLeases(AllLeases):
    """The leases of one connection: on what is in memory, on disk, and still to be made."""

    def is_pending(self, id: int) -> bool:
        """Is this object still to be made, or lost?  What the index says is true; the store knows which."""
        return not self.is_over and self.index.state(slot_of(id)) == generation_of(id) << 8 | PENDING

    def hold(self, id: int) -> object | None:
        """Take a lease on an object that is still to be made.

        Args:
            id: Of the object.

        Returns:
            What holds the lease, for as long as it lives; ``None``: it is not PENDING, or not any more.
        """
        try:
            with self.lock:
                kept = self._kept.get(id)
                anchor = None if kept is None else kept()
                return self._anchor(id) if anchor is None else anchor
        finally:
            self.drain()

    def _anchor(self, id: int) -> Anchor | None:
        slot, generation = slot_of(id), generation_of(id)
        others, count = self.table.entry(slot)
        if self._is_passive or not self.is_pending(id) or (count and others != generation):
            return None
        anchor = Anchor(id)
        keeper: object = anchor
        alarm = weakref.ref(keeper, self._end)  # the younger reference is called first
        kept = KeptRef(keeper, self._ended.append)
        kept.id, kept.entry, kept.alarm = id, None, alarm
        self._unsettled = id
        self._kept[id] = kept
        self._settle()
        # As for a view: what is no longer meant to be held may have been looked at before the word was written.
        state = self.index.state(slot)
        return anchor if state >> 8 == generation and state & 0xFF in {PENDING, LIVE, SPILLED, SPILLING} else None
