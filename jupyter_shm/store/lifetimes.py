"""When objects end by themselves: their time is over, nothing refers to them, or their publisher is gone; and pins.

No I/O here.  Laws:

1. What is pinned does not expire.  If its time is over when it is unpinned, it expires then and there.
2. A name that lives as long as its publisher ends with the publisher's connection, pinned or not.
3. A request that was begun by a store that died is carried out again: it comes to the same end.  So that nobody can
   tell, the next store carries it out before it serves anybody.  One that has ended a name is known by its slot.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from ..protocol import messages as m
from ..tables.layout import KERNEL_LIFETIME, LIVE, PINNED
from ..tables.terms import NO_TERMS, Terms
from . import report
from .actions import Action, Send, SetDone, SetEnder
from .agreements import agree
from .clients import Client, Clients
from .entries import Object
from .history import DEATH, EXPIRE, PIN, TERM, UNPIN, History
from .ledger import Ledger
from .rows import applied, refused

BATCH = 1000
"""Names that expire in one go: some milliseconds in which nobody else is served."""

SPARE = 64
"""Outdated entries that the heap of times may hold besides as many as it holds true ones."""


class Expiries:
    """What expires when."""

    def __init__(self) -> None:
        self._times: dict[int, int] = {}  # by id: nanoseconds
        self._heap: list[tuple[int, int]] = []  # (nanoseconds, id); those that ``_times`` does not know are outdated

    def __len__(self) -> int:
        return len(self._times)

    def set(self, id: int, time: int) -> None:
        """Let an object expire at this time, in nanoseconds; 0: never."""
        if not time:
            self._times.pop(id, None)
        elif self._times.get(id) != time:
            self._times[id] = time
            heapq.heappush(self._heap, (time, id))
            if len(self._heap) > 2 * len(self._times) + SPARE:
                self._heap = [(time, id) for id, time in self._times.items()]
                heapq.heapify(self._heap)

    def next(self) -> float | None:
        """When the next one expires, in seconds."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] / 1e9 if self._heap else None

    def take(self, now: float) -> int | None:
        """Take one out whose time is over; its id."""
        first = self.next()
        if first is None or first > now:
            return None
        _, id = heapq.heappop(self._heap)
        del self._times[id]
        return id


class Lifetimes:
    """All objects that end by themselves.

    Args:
        ledger: The books.
        clients: Who is connected.
        history: Is told.
        condemn: What the end of an object takes.
    """

    def __init__(
        self, ledger: Ledger, clients: Clients, history: History, condemn: Callable[[Object], list[Action]]
    ) -> None:
        self._ledger = ledger
        self._clients = clients
        self._history = history
        self._condemn = condemn
        self._expiries = Expiries()

    # --- objects -----------------------------------------------------------------------------------------------

    def begin(self, object: Object) -> None:
        """A LIVE object has terms now, or other ones."""
        terms = object.terms
        self._expiries.set(object.id, 0 if terms.flags & PINNED else terms.expiry)
        if terms.flags & KERNEL_LIFETIME:
            publisher = self._clients.by_id(object.client)
            if publisher is not None:
                publisher.bound[object.id] = object

    def forget(self, object: Object) -> None:
        """An object that had terms is DYING, for whatever reason."""
        self._expiries.set(object.id, 0)
        publisher = self._clients.by_id(object.client)
        if publisher is not None:
            publisher.bound.pop(object.id, None)

    def leave(self, client: Client, nbytes: int) -> list[Action]:
        """A client is gone, and what lived as long as it did.

        Args:
            client: Who.
            nbytes: Bytes of data without a name that went with it.
        """
        actions: list[Action] = []
        taken = list(client.bound.values())
        for object in taken:
            self._history.note(DEATH, object, client.hello.label)
            actions += self._condemn(object)
        if taken or client.applied:  # who only looked is not missed
            self._history.note_death(client.hello.label, nbytes + sum(object.payload for object in taken))
        return actions

    def recover(self) -> list[Action]:
        """All clients of the store that died were resumed: go on, and end the names of those who are gone."""
        actions: list[Action] = []
        for object in [one for one in self._ledger.objects.values() if one.terms is not NO_TERMS]:
            if object.state != LIVE or not object.name:
                continue  # what has no name is kept by references, for a time or not
            if object.terms.flags & KERNEL_LIFETIME and self._clients.by_id(object.client) is None:
                self._history.note(DEATH, object, self._ledger.label(object))
                actions += self._condemn(object)
            else:
                self.begin(object)
        return actions

    # --- time --------------------------------------------------------------------------------------------------

    def look(self, now: float) -> list[Action]:
        """End the names whose time is over, ``BATCH`` at most: the rest is due at once."""
        actions: list[Action] = []
        for _ in range(BATCH):
            id = self._expiries.take(now)
            if id is None:
                break
            actions += self._expired(self._ledger.objects[id])
        return actions

    def next_look(self) -> float | None:
        """When to look, in the clock's seconds; ``None``: nothing expires."""
        return self._expiries.next()

    # --- requests ----------------------------------------------------------------------------------------------

    def pin(self, client: Client, request: m.Pin, now: float) -> list[Action]:
        """Pin a name, or take the pin away."""
        object = self._ledger.meant(request.name, request.id)
        if object is None or not object.name:
            return self._no(client, request)
        flags = object.terms.flags & ~PINNED | (PINNED if request.is_pinned else 0)
        self._history.note(PIN if request.is_pinned else UNPIN, object, client.hello.label)
        return self._agree(client, request, object, object.terms._replace(flags=flags), now)

    def expire(self, client: Client, request: m.Expire, now: float) -> list[Action]:
        """Let a name end at another time."""
        object = self._ledger.meant(request.name, request.id)
        if object is None or not object.name:
            return self._no(client, request)
        self._history.note(TERM, object, client.hello.label)
        return self._agree(client, request, object, object.terms._replace(expiry=expiry(request.ttl_ns, now)), now)

    def _agree(
        self, client: Client, request: m.Pin | m.Expire, object: Object, terms: Terms, now: float
    ) -> list[Action]:
        actions: list[Action] = [*agree(object, terms)]
        if terms.expiry and not terms.flags & PINNED and terms.expiry / 1e9 <= now:
            object.ender = (client.id, request.number)  # known by that when it is seen again, as a Delete is
            actions += [SetEnder(object.slot, *object.ender), *self._expired(object)]
        else:
            self.begin(object)
        client.done = request.number
        done = [SetDone(client.row, request.number), applied(client, request.number)]
        return [*actions, *done, Send(client.conn, m.Done(request.number))]

    def _expired(self, object: Object) -> list[Action]:
        self._history.note(EXPIRE, object, "")
        return self._condemn(object)

    def _no(self, client: Client, request: m.Pin | m.Expire) -> list[Action]:
        if self._ledger.meant(request.name, request.id) is not None:
            text = (
                f"object {request.id} has no name: it lives as long as a reference or a view of it does, and is "
                "neither pinned nor given a time. Put it under a name."
            )
            return refused(client, request.number, "invalid-argument", text)
        return refused(client, request.number, "not-found", report.missing(request.name, request.id))


def expiry(ttl_ns: int, now: float) -> int:
    """When something ends that has so many nanoseconds from now on: a word of the terms; 0 for 0, which is never."""
    return int(now * 1e9) + ttl_ns if ttl_ns else 0
