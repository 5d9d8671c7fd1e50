"""A look at all objects, in parts: what could be spilled, in which order, and who has the memory.  No I/O here.

It is made when a put does not fit: before anything is spilled for it, and before it is refused, so that the refusal
tells what is true then.
"""

from __future__ import annotations

import heapq
from collections import Counter

from ..tables.layout import LIVE, PINNED
from .holders import Holders, Look
from .ledger import Ledger, Object

PART = 2000
"""Objects looked at in one go: a few milliseconds in which nobody else is served."""

THOROUGH = 50_000
"""Objects up to which it is found out of the small ones, too, who reads them."""

LEAST = 64 << 10
"""Bytes of an extent from which on an object is spilled: it has pages of its own, and enough of them."""


class Survey:
    """One look.

    Args:
        ledger: The books.
        holders: The lease tables.
        now: Seconds.

    Attributes:
        since: When it was begun.
        is_over: Has every object been looked at?
        spillable: Bytes of those that could be spilled, and were not yet taken by ``next``.
        barred: Bytes of those that were taken and could not leave for lack of disk.
        pinned: Bytes of extents that stay because they are pinned.
        busy: Bytes of extents of LIVE objects that somebody reads; where there are very many, of large ones alone.
        published: Bytes of extents, by id of the publishing client.
        read: Bytes of extents that it holds a lease on, by id of the client.
    """

    def __init__(self, ledger: Ledger, holders: Holders, now: float) -> None:
        self._ledger = ledger
        self._holders = holders
        self._todo = list(ledger.objects.values())
        self._todo.reverse()
        self._least = 0 if len(self._todo) <= THOROUGH else LEAST
        self._found: list[tuple[float, int, Object]] = []  # heap of (last use, sequence, object)
        self.since = now
        self.is_over = False
        self.spillable = self.barred = self.pinned = self.busy = 0
        self.published: Counter[int] = Counter()
        self.read: Counter[int] = Counter()
        self._examples: dict[int, Object] = {}  # one object by each publishing client

    def go_on(self) -> None:
        """Look at the next part."""
        part = self._todo[-PART:]
        del self._todo[-PART:]
        look = self._holders.look()
        known = self._ledger.objects
        for object in part:
            if not object.is_spilled and object.id in known:
                self._look_at(object, look)
        self.is_over = not self._todo

    def _look_at(self, object: Object, look: Look) -> None:
        self.published[object.client] += object.extent
        self._examples.setdefault(object.client, object)
        if object.extent < self._least:
            return
        readers = look.readers(object.slot, object.generation)
        for client in readers:
            self.read[client] += object.extent
        if object.state != LIVE:
            return
        if readers:
            self.busy += object.extent
        elif object.terms.flags & PINNED:
            self.pinned += object.extent
        elif may_spill(object):
            used_at = max(object.used_at, look.last_use(object.slot, object.generation))
            heapq.heappush(self._found, (used_at, object.sequence, object))
            self.spillable += object.extent

    def label(self, client: int) -> str:
        """Who a client is, for people, as one of its objects tells; "" if it has published none."""
        example = self._examples.get(client)
        return self._ledger.label(example) if example is not None and example.id in self._ledger.objects else ""

    def next(self) -> Object | None:
        """Take the least recently used object; ``None`` when there is none left.  It may have changed meanwhile."""
        if not self._found:
            return None
        object = heapq.heappop(self._found)[2]
        self.spillable -= object.extent
        return object


def may_spill(object: Object) -> bool:
    """Is it one of those that are spilled, as long as nobody reads it?

    Not one that contains others, or is contained: whose bytes are where is written in the object's own, and a reader of
    the one has no lease on the other.
    """
    return (
        object.state == LIVE
        and object.extent >= LEAST
        and not (object.is_spilled or object.terms.flags & PINNED or object.contained or object.containers)
    )
