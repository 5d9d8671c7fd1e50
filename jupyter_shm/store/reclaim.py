"""The end of objects: from DYING to FREE, when nobody can be reading them any more.  No I/O here.

This is the store's half of the lease protocol (ARCHITECTURE.md, "The lease protocol"): hazard pointers with a grace
period in place of the fence.  Its laws:

1. A DYING object is looked at only when a whole grace has passed since its state word was written.  The actions of
   one call have been carried out when the next call comes, so that call's ``now`` is where its grace begins.
2. A look comes after a drain of all sockets, and reads the lease tables then, not before.
3. An object is freed when no lease and no container is left, and not before.
4. The slot that tells what came of a request is not freed before the answer to it was sent: if the store dies, the
   next one has to give it.
"""

from __future__ import annotations

import heapq

from ..tables.layout import DROPPED, DYING, FREE
from ..tables.terms import NO_TERMS
from .actions import Action, ClearName, Punch, PunchSpill, SetState
from .agreements import agree
from .history import FREED, History
from .holders import Holders
from .ledger import FIRST_BACKOFF, Ledger, Object

GRACE = 0.008
"""Seconds between DYING and the first look at the lease tables.  A reader's word becomes visible to other cores in
microseconds; five milliseconds are a thousand times that, and a few more cost nobody anything."""

LAST_BACKOFF = 30.0
"""Seconds between looks at an object that has been held for long.  Hints make these looks unnecessary; they are for
hints that could not be sent."""

BATCH = 1000
"""Objects looked at in one go: some ten milliseconds in which nobody else is served."""


class Reclaim:
    """All DYING objects, and when to look at each.

    Args:
        ledger: The books.
        holders: The lease tables.
        history: What happened; told of what was held and is not any more, for no other event says that.

    Attributes:
        unanswered: ``(client, number)`` of requests that were carried out and whose answers have no room yet.
    """

    def __init__(self, ledger: Ledger, holders: Holders, history: History | None = None) -> None:
        self._ledger = ledger
        self._holders = holders
        self._history = history
        self._fresh: list[Object] = []  # DYING, but the time is not yet known
        self._due: list[tuple[float, int]] = []  # heap of (when to look, id); stale entries are skipped
        self.unanswered: set[tuple[int, int]] = set()
        self._postponed: list[Object] = []  # nobody holds them, but what came of a request is told by their slots
        self._returning: list[Object] = []  # found held, though nobody was known to refer to them
        self._let_go: list[int] = []  # ids that a freed object has contained

    def condemn(self, object: Object, keep_name: bool) -> list[Action]:
        """LIVE to DYING.

        Args:
            object: A LIVE object.
            keep_name: The index's name already means another slot.
        """
        state = DROPPED if object.is_pending else DYING
        actions: list[Action] = [SetState(object.slot, object.generation, state)]
        if object.name and not keep_name:
            actions.append(ClearName(object.name.encode(), object.slot))
        self._ledger.condemn(object)
        self._fresh.append(object)
        return actions

    def stamp(self, now: float) -> None:
        """Law 1: what an earlier call condemned is DYING in the index by now."""
        for object in self._fresh:
            self._schedule(object, now + GRACE)
        self._fresh.clear()

    def hint(self, id: int, now: float) -> None:
        """A lease on this object was let go: look at it at the next occasion, if a look found it held before."""
        object = self._ledger.objects.get(id)
        if object is not None and object.is_held:
            self._schedule(object, now)

    def resume(self) -> None:
        """An earlier store has died: every DYING object waits a whole grace, which begins with the next call."""
        known = set(map(id, self._fresh))
        dying = [object for object in self._ledger.objects.values() if object.state == DYING]
        self._fresh += [object for object in dying if object.due is None and id(object) not in known]

    def lease_ended(self, id: int, reads: int, used_at: float, now: float) -> int:
        """A client that had fetched this object hung up: keep the reads that it counted, and when the last one was; look.

        Also when it held no lease any more: it may have let go when it could not send a hint.

        Returns:
            Reads of the object by all clients that have hung up.
        """
        object = self._ledger.objects.get(id)
        if object is None:
            return 0
        object.reads += reads
        object.used_at = max(object.used_at, used_at)
        self.hint(id, now)
        return object.reads

    def answered(self, client: int, number: int, now: float) -> None:
        """The answer to this request was sent: law 4 holds nothing back for it any more."""
        self.unanswered.discard((client, number))
        postponed, self._postponed = self._postponed, []
        for object in postponed:
            self._schedule(object, now)

    def forget(self, client: int, now: float) -> None:
        """Nobody waits for answers at this client's end any more."""
        for known, number in tuple(self.unanswered):
            if known == client:
                self.answered(client, number, now)

    def next_look(self) -> float | None:
        """When the next object is due, in the clock's seconds."""
        return self._due[0][0] if self._due else None

    def look(self, now: float) -> list[Action]:
        """Free what is due and not held; come back later for the rest.  The sockets were drained just before.

        At most ``BATCH`` objects at a time: what is left is due at once, after others were served.
        """
        actions: list[Action] = []
        look = self._holders.look()
        for _ in range(BATCH):
            if not self._due or self._due[0][0] > now:
                break
            when, id = heapq.heappop(self._due)
            object = self._ledger.objects.get(id)
            if object is None or object.due != when:
                continue
            if object.containers or look.is_held(object.slot, object.generation):
                if not object.name and object.ender is None:
                    self._returning.append(object)
                self._keep(object, now)
            elif self.unanswered and self._is_awaited(object):
                self._note_end_of_reading(object)
                self._ledger.set_held(object, False)
                self._postponed.append(object)
            else:
                actions += self._free(object, now)
        return actions

    def take_returning(self) -> list[Object]:
        """Anonymous objects that somebody turned out to hold, since the last call."""
        returning, self._returning = self._returning, []
        # The same look may have freed what held one of them, and then that one.
        return [object for object in returning if object.id in self._ledger.objects]

    def take_let_go(self) -> list[int]:
        """Ids of what freed objects have contained, since the last call."""
        let_go, self._let_go = self._let_go, []
        return let_go

    def _is_awaited(self, object: Object) -> bool:
        return (object.client, object.request) in self.unanswered or object.ender in self.unanswered

    def _keep(self, object: Object, now: float) -> None:
        self._ledger.set_held(object, True)
        self._schedule(object, now + object.backoff)
        object.backoff = min(2 * object.backoff, LAST_BACKOFF)

    def _free(self, object: Object, now: float) -> list[Action]:
        self._note_end_of_reading(object)
        offset, nbytes = self._ledger.free_object(object)
        for id in object.contained:
            self.hint(id, now)
        self._let_go += object.contained
        actions: list[Action] = [SetState(object.slot, object.generation, FREE)]
        if object.is_spilled:
            actions.append(PunchSpill(*self._ledger.spill.give_back(object.place, object.extent)))
        if object.terms is not NO_TERMS:
            actions += agree(object, NO_TERMS)
        return [*actions, Punch(offset, nbytes)] if nbytes else actions

    def _note_end_of_reading(self, object: Object) -> None:
        if object.is_held and self._history is not None:
            self._history.note(FREED, object, "")

    def _schedule(self, object: Object, when: float) -> None:
        object.due = when
        heapq.heappush(self._due, (when, object.id))


__all__ = ["BATCH", "FIRST_BACKOFF", "GRACE", "LAST_BACKOFF", "Reclaim"]
