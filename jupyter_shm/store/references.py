"""Objects without a name: who refers to them, and the end of those that nobody refers to any more.  No I/O here.

An anonymous object lives as long as one of these is true:

1. Its publisher is connected and has not dropped it.
2. Somebody holds a lease on it: by a view, or by a reference.
3. A reference to it was pickled and may be on its way: whoever pickled it is connected, or hung up not long ago.
4. A stored object contains it: its bytes, or a reference.

Whoever lets go of his last lease tells, a hang-up and the end of a container are seen; then it is looked at.  What such a
look finds may be a moment old, so it only makes the object DYING: who turns up during the grace brings it back.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from ..tables.layout import DYING, LIVE, PENDING, SPILLED, object_id
from .actions import Action, SetState
from .agreements import agree
from .clients import Client, Clients
from .entries import Object
from .history import DEATH, DELETE, LARGE, History
from .holders import Holders, Look
from .ledger import Ledger

KEEP = 600.0
"""Seconds for which a pickled reference keeps its object after whoever pickled it has hung up."""


PATIENCE = 1.0
"""Seconds for which an object lives that somebody has asked for, without a lease."""


class References:
    """All anonymous objects.

    Args:
        ledger: The books.
        holders: The clients' lease tables.
        clients: Who is connected.
        history: Is told of the end of large ones.
        condemn: What the end of an object takes.

    Attributes:
        keep: Seconds, as ``KEEP``; a setting.
    """

    def __init__(
        self,
        ledger: Ledger,
        holders: Holders,
        clients: Clients,
        history: History,
        condemn: Callable[[Object], list[Action]],
    ) -> None:
        self.keep = KEEP
        self._ledger = ledger
        self._holders = holders
        self._clients = clients
        self._history = history
        self._condemn = condemn
        self._due: list[tuple[float, int]] = []  # heap of (when to look at it, id)

    # --- letting go ---------------------------------------------------------------------------------------------

    def drop(self, client: Client, object: Object, look: Look | None = None) -> list[Action]:
        """The publisher has nothing any more that refers to it."""
        client.anonymous.pop(object.id, None)
        return self.check(object, look)

    def check(self, object: Object | None, look: Look | None = None, kind: str = DELETE) -> list[Action]:
        """Let it end if nobody refers to it; otherwise, and if it has a name, do nothing."""
        if object is None or object.state != LIVE or object.name or self._is_referred(object, look):
            return []
        if object.payload >= LARGE:
            self._history.note(kind, object, self._ledger.label(object))
        return self._condemn(object)

    def hung_up(self, client: Client, now: float) -> tuple[list[Action], int]:
        """A client has gone, and its table still tells what it had: look at all of that.

        Args:
            client: Who; nothing of it counts any more, but for the references that it pickled.
            now: Seconds.

        Returns:
            What is to be done, and the bytes of data that end.
        """
        look = self._holders.look(but=client.id)
        published = list(client.anonymous.values())
        client.anonymous.clear()
        leased = (object_id(slot, generation) for slot, generation, *_ in self._holders.touched(client.id))
        objects = {object.id: object for object in published}
        objects |= {id: self._ledger.objects[id] for id in leased if id in self._ledger.objects}
        actions: list[Action] = []
        nbytes = 0
        for object in objects.values():
            if object.name or object.state != LIVE:
                continue
            if self._holders.has_sent(client.id, object.slot, object.generation):
                actions += self._keep(object, now + self.keep)
            ends = self.check(object, look, DEATH)
            nbytes += object.payload if ends else 0
            actions += ends
        return actions, nbytes

    # --- time ---------------------------------------------------------------------------------------------------

    def look(self, now: float) -> list[Action]:
        """Nobody is waited for any more who was to unpickle a reference, or to take a lease, until now."""
        actions: list[Action] = []
        while self._due and self._due[0][0] <= now:
            object = self._ledger.objects.get(heapq.heappop(self._due)[1])
            if object is not None and object.terms.expiry and object.terms.expiry <= now * 1e9:
                actions += agree(object, object.terms._replace(expiry=0))
            actions += self.check(object)
        return actions

    def next_look(self) -> float | None:
        """When to look, in the clock's seconds."""
        return self._due[0][0] if self._due else None

    # --- coming back --------------------------------------------------------------------------------------------

    def revive(self, object: Object) -> list[Action]:
        """Somebody turned up who refers to a DYING object that nobody has deleted."""
        if object.name or object.state != DYING or object.ender is not None:
            return []
        self._ledger.revive(object)
        if object.is_pending:
            self.wait_for(object)
            return [SetState(object.slot, object.generation, PENDING)]
        return [SetState(object.slot, object.generation, SPILLED if object.is_spilled else LIVE)]

    def wait_for(self, object: Object) -> None:
        """A PENDING object is to be made, or will not be."""
        owner = self._clients.by_id(object.client)
        object.is_lost = owner is None
        if owner is not None:
            owner.pending[object.id] = object
            object.label = owner.hello.label

    def heed(self, returning: Iterable[Object], let_go: Iterable[int]) -> list[Action]:
        """What a look at the DYING has found.

        Args:
            returning: Those that somebody turned out to hold.
            let_go: Ids of what freed objects have contained.
        """
        actions = [action for object in returning for action in self.revive(object)]
        for id in let_go:
            actions += self.check(self._ledger.objects.get(id))
        return actions

    def asked(self, id: int, now: float) -> list[Action]:
        """Somebody asks for this very object: he has a reference, and is about to take a lease."""
        object = self._ledger.objects.get(id)
        actions = self.revive(object) if object is not None else []
        if actions:
            heapq.heappush(self._due, (now + PATIENCE, id))
        return actions

    def recover(self) -> list[Action]:
        """All clients of a store that died were resumed: say again whose the objects are, and end those of nobody."""
        actions: list[Action] = []
        look = self._holders.look()
        for object in [one for one in self._ledger.objects.values() if one.state == LIVE and not one.name]:
            owner = self._clients.by_id(object.client)
            if object.terms.expiry:
                heapq.heappush(self._due, (object.terms.expiry / 1e9, object.id))
            if owner is not None and (
                self._holders.holds(owner.id, object.slot, object.generation) or not self._is_referred(object, look)
            ):
                # Who has just made it takes its lease only when that was answered.
                owner.anonymous[object.id] = object
            actions += self.check(object, look, DEATH)
        return actions

    def _keep(self, object: Object, until: float) -> list[Action]:
        heapq.heappush(self._due, (until, object.id))
        return [*agree(object, object.terms._replace(expiry=int(until * 1e9)))]

    def _is_referred(self, object: Object, look: Look | None) -> bool:
        owner = self._clients.by_id(object.client)
        if object.containers or object.terms.expiry or (owner is not None and object.id in owner.anonymous):
            return True
        return (look or self._holders.look()).is_referred(object.slot, object.generation)
