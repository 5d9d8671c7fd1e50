"""Objects that are still to be made: a slot and an id that others may refer to already, and wait for.  No I/O here.

Laws:

1. A PENDING object is anonymous and lives as others do; only whether it ever is made depends on one client, who asked
   for it.  When that hangs up it is lost: who waits is told, and who asks.
2. It is made once.  Its facts are written while it is PENDING, when nobody reads them, and one word makes it LIVE.
3. What makes it never contains it, by whatever way.
"""

from __future__ import annotations

from ..protocol import messages as m
from ..tables.alignment import rounded
from ..tables.layout import FREE, LIVE, MAX_OBJECTS, generation_of, slot_of
from . import report
from .actions import Action, Pend, Publish, Send, SetState
from .circles import MOST, leads_to
from .clients import Client
from .commits import Commits
from .entries import Nursery, Object, Reservation
from .history import PUBLISH, History
from .inquiries import Inquiries
from .ledger import Ledger
from .nurseries import Nurseries, record_of
from .references import References
from .rows import applied, refused


class Pendings:
    """All PENDING objects.

    Args:
        ledger: The books.
        references: Knows who is to make them.
        nurseries: Where the bytes of small ones come from.
        commits: Knows what may become an object.
        history: Is told of large ones.
        inquiries: Knows who waits.
    """

    def __init__(
        self,
        ledger: Ledger,
        references: References,
        nurseries: Nurseries,
        commits: Commits,
        history: History,
        inquiries: Inquiries,
    ) -> None:
        self._ledger = ledger
        self._references = references
        self._nurseries = nurseries
        self._commits = commits
        self._history = history
        self._inquiries = inquiries

    # --- requests ----------------------------------------------------------------------------------------------

    def pend(self, client: Client, request: m.Pend) -> list[Action]:
        """Give an id for an object that this client will make."""
        ledger = self._ledger
        if not ledger.has_slots():
            text = f"there are {len(ledger.objects):,} objects; {MAX_OBJECTS - 1:,} are possible. Delete some"
            return refused(client, request.number, "full", text)
        object = ledger.pend(client.id, request.number, client.hello.label, self._now_ns())
        client.anonymous[object.id] = client.pending[object.id] = object
        return [
            Pend(object.slot, object.generation, client.id, request.number),
            applied(client, request.number),
            Send(client.conn, m.Pended(request.number, object.id)),
        ]

    def fulfil(self, client: Client, request: m.Fulfil, contained: tuple[int, ...]) -> list[Action]:
        """Let a PENDING object be what its client has written, or say why not.

        Args:
            client: Who asks.
            request: What it says.
            contained: Ids that the object's prefix in the heap lists.
        """
        object = self._ledger.objects.get(request.pending)
        if object is None or (object.is_pending and object.state != LIVE):
            return refused(client, request.number, "not-found", report.missing("", request.pending))
        if not object.is_pending or object.client != client.id:
            return refused(client, request.number, *self._not_for(client, object))
        entry = client.reservations.get(request.reservation)
        if entry is None or not self._commits.may_seal(entry, request):
            text = f"client {client.id} has no reservation {request.reservation} of {request.nbytes} bytes or more"
            return refused(client, request.number, "bad-reservation", text)
        contained = tuple(dict.fromkeys(contained))
        fault = self._fault_of(client, object, contained) if contained else None
        return (
            refused(client, request.number, *fault) if fault else self._make(client, request, object, entry, contained)
        )

    def _not_for(self, client: Client, object: Object) -> tuple[str, str]:
        """Why this client does not make this object: reason and text."""
        if not object.is_pending:
            text = f"object {object.id} is there already, put by {self._ledger.label(object)}; it stays what it is"
            return "fulfilled", text
        text = f"object {object.id} is to be made by client {object.client}, who asked for it, and not by {client.id}"
        return "invalid-argument", text

    def _fault_of(self, client: Client, object: Object, contained: tuple[int, ...]) -> tuple[str, str] | None:
        """Why it must not contain these: reason and text."""
        for id in contained:
            if not self._commits.may_contain(client, id):
                return "contained-gone", f"object {id}, which the new one refers to, is gone; put a copy of the data"
        may_lead = object.containers or object.id in contained
        if may_lead and leads_to(self._ledger.objects, contained, object.id, MOST):
            text = f"object {object.id} would contain itself, by way of what it refers to, and never be freed"
            return "invalid-argument", text
        return None

    def _make(
        self, client: Client, request: m.Fulfil, object: Object, entry: Reservation, contained: tuple[int, ...]
    ) -> list[Action]:
        object.request, object.nbytes, object.payload = request.number, request.nbytes, request.payload
        object.created_ns = request.created_ns
        # A store that dies behind the first of these leaves a reservation with an object's extent, or a promise that
        # its nursery takes back.
        place, freed = self._take(client, request, entry)
        self._ledger.fulfil(object, place, contained)
        del client.pending[object.id]
        self._history.note(PUBLISH, object, client.hello.label)
        return [
            Publish(object.slot, record_of(object, b"")),
            freed,
            applied(client, request.number),
            Send(client.conn, m.Done(request.number)),
            *self._inquiries.announce(object.id),
        ]

    def _take(self, client: Client, request: m.Fulfil, entry: Reservation) -> tuple[tuple[int, int], Action]:
        """Take the extent out of the reservation: where it is, and how its slot becomes free."""
        if isinstance(entry, Nursery):
            size = rounded(request.nbytes)
            self._ledger.cut(entry, request.offset, size)
            del entry.promised[request.id]
            slot = slot_of(request.id)
            self._ledger.free_slot(slot)
            return (request.offset, size), SetState(slot, generation_of(request.id), FREE)
        del client.reservations[entry.id]
        self._ledger.unreserve(entry)
        return (entry.offset, entry.extent), SetState(entry.slot, entry.generation, FREE)

    # --- ends --------------------------------------------------------------------------------------------------

    def dropped(self, object: Object, owner: Client | None) -> list[Action]:
        """Nobody refers to a PENDING object any more: it needs not be made."""
        if owner is not None:
            owner.pending.pop(object.id, None)
        return self._inquiries.announce(object.id)

    def hung_up(self, client: Client) -> list[Action]:
        """What this client was to make is lost."""
        lost = list(client.pending.values())
        client.pending.clear()
        for object in lost:
            object.is_lost = True
        return [action for object in lost for action in self._inquiries.announce(object.id)]

    def recover(self) -> None:
        """All clients of a store that died were resumed: who is to make what?"""
        for object in self._ledger.objects.values():
            if object.is_pending:
                object.created_ns = self._now_ns()  # it was earlier; nobody has written when
                self._references.wait_for(object)

    def _now_ns(self) -> int:
        return int(self._history.wall() * 1e9)
