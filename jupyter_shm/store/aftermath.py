"""What a store that died had done: answers to requests that are seen again.  No I/O here.

A packet is consumed only after it was answered.  So the next store may find at the head of a queue a request that was
carried out, or refused, already: its number is not above its client's row.  What came of it stands in the slots.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..protocol import messages as m
from ..tables.layout import DYING
from .clients import Client
from .entries import Nursery
from .ledger import Ledger, Object


@dataclass(slots=True)
class Aftermath:
    """What the slots say of requests.

    Args:
        ledger: The books as they were restored.
        applied: The highest number of a request whose effect is in the slots, by id of the client.
        ended: ``(client, number)`` of the requests that have ended objects, which are DYING.
        last_client: The highest id that was ever given to a client.
    """

    ledger: Ledger
    applied: dict[int, int] = field(default_factory=dict)
    ended: frozenset[tuple[int, int]] = frozenset()
    last_client: int = 0

    def answer(
        self,
        client: Client,
        request: m.Reserve | m.ReserveNursery | m.Commit | m.Delete | m.Pin | m.Expire | m.Pend | m.Fulfil,
    ) -> m.Answer:
        """Answer a request that is not to be carried out again."""
        number = request.number
        if isinstance(request, m.Delete):
            return m.Done(number) if (client.id, number) in self.ended else _again(number)
        if isinstance(request, (m.Pin, m.Expire)):
            is_done = client.done == number or (client.id, number) in self.ended
            return m.Done(number) if is_done else _again(number)
        if isinstance(request, (m.Reserve, m.ReserveNursery)):
            return self._granted(client, request)
        object = self._made_by(client.id, number)
        if object is None:
            return _again(number)
        if not isinstance(request, m.Commit):
            return m.Done(number) if isinstance(request, m.Fulfil) else m.Pended(number, object.id)
        old = self._before(object)
        replaced = (old.version, self.ledger.label(old)) if old else (object.version - 1, "")
        return m.Committed(number, object.id, object.version, *replaced)

    def _granted(self, client: Client, request: m.Reserve | m.ReserveNursery) -> m.Answer:
        number = request.number
        entry = next((entry for entry in client.reservations.values() if entry.request == number), None)
        if isinstance(entry, Nursery):
            ids = tuple(entry.promised)
            return m.NurseryReserved(number, entry.id, entry.offset, entry.extent, ids, False)
        return m.Reserved(number, entry.id, entry.offset, 0) if entry else _again(number)

    def _made_by(self, client: int, number: int) -> Object | None:
        for object in self.ledger.objects.values():
            if object.request == number and object.client == client:
                return object
        return None

    def _before(self, object: Object) -> Object | None:
        """The version that this one replaced: its grace is not over yet."""
        for old in self.ledger.objects.values():
            if object.name and old.name == object.name and old.version == object.version - 1 and old.state == DYING:
                return old
        return None


def _again(number: int) -> m.Refused:
    """It was refused, and nobody knows any more why: nothing was changed."""
    return m.Refused(number, "again", "the store ended while it refused this request; it is to be asked again")
