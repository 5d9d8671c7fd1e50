"""Extents out of which clients cut small objects without asking, and the rings in which they tell of it.  No I/O here.

A client is given an extent and slots once, and then needs no round trip for an object: it writes the bytes, and an
entry of its ring (``tables.ring``).  The store reads the ring when the client says that there is something in it, and
then by itself, until it finds nothing any more.  Laws:

1. Before any packet of a client is handled, and before its hang-up is, its ring is read: what was written before a
   packet was sent counts before it.  Before any question is answered, all rings are.
2. The row's tail is written after all that the entries say was done.  A store that starts anew finds what was done in
   the slots: the id of an entry whose object is there, or whose slot is promised no more, is passed over.
3. After the row says that nobody looks, the ring is looked at once more, a grace later: the client may have read the
   row just before.
"""

from __future__ import annotations

from collections.abc import Callable

from ..protocol import messages as m
from ..tables.alignment import PAGE, alignment, rounded
from ..tables.layout import FREE, RESERVED, Record, generation_of, slot_of
from ..tables.ring import COMMIT
from .actions import Action, Promise, Publish, Punch, Send, SetLooking, SetState, SetTail, WriteRecord
from .admission import Admission
from .clients import Client
from .entries import Nursery, Object
from .history import LARGE, PUBLISH, History
from .holders import Holders, Look
from .ledger import Ledger
from .reclaim import GRACE

LARGEST = 16 << 20
"""Bytes of a nursery at most."""

LEAST = 64 << 10
"""Bytes below which a nursery is of no use."""

SHARE = 256
"""A nursery is at most this part of the capacity: what it does not use, nobody can."""

MAX_SLOTS = 1024
MAX_NURSERIES = 4  # of one client: one, and those that threads are still writing into

LOOK = 0.005
"""Seconds between two looks at a ring that was written to."""

BATCH = 512
"""Entries read in one go, when nobody waits for them: some three milliseconds in which nobody else is served."""


class Nurseries:
    """All nurseries, and all rings.

    Args:
        ledger: The books.
        holders: The clients' tables, with the rings.
        admission: Decides about extents.
        history: Is told of large objects.
        drop: What it takes that a publisher lets go of an object.
    """

    def __init__(
        self,
        ledger: Ledger,
        holders: Holders,
        admission: Admission,
        history: History,
        drop: Callable[[Client, Object, Look], list[Action]],
    ) -> None:
        self._ledger = ledger
        self._holders = holders
        self._admission = admission
        self._history = history
        self._drop = drop
        self._resting: list[Client] = []  # their rows are about to say that nobody looks
        self._ringing: dict[int, Client] = {}  # by id: those who have a ring that was ever written to

    # --- nurseries ---------------------------------------------------------------------------------------------

    def open(self, client: Client, request: m.ReserveNursery) -> list[Action]:
        """Grant a nursery, or none; all but the row."""
        self._ringing[client.id] = client
        nbytes = min(request.nbytes, LARGEST, self._ledger.capacity // SHARE) // PAGE * PAGE
        slots = min(request.slots, MAX_SLOTS)
        nursery = None
        if (
            nbytes >= LEAST
            and slots
            and sum(isinstance(e, Nursery) for e in client.reservations.values()) < MAX_NURSERIES
        ):
            nursery = self._admission.open_nursery(client, request.number, nbytes, slots)
        if nursery is None:
            return [Send(client.conn, m.NurseryReserved(request.number, 0, 0, 0, (), False))]
        client.reservations[nursery.id] = nursery
        facts = (
            nursery.generation,
            self._ledger.sequence,
            client.id,
            0,
            request.number,
            nursery.offset,
            nursery.extent,
        )
        return [
            WriteRecord(nursery.slot, Record(*facts, 0, 0, 0, len(nursery.promised), 0, b"")),
            *(Promise(slot_of(id), generation_of(id), nursery.id) for id in nursery.promised),
            SetState(nursery.slot, nursery.generation, RESERVED),
            Send(client.conn, self.answer(request.number, nursery)),
        ]

    def answer(self, number: int, nursery: Nursery) -> m.NurseryReserved:
        """What its client is told of a nursery that nothing was cut out of yet."""
        is_huge = self._ledger.warm.huge(nursery.offset, nursery.extent) == nursery.extent
        return m.NurseryReserved(number, nursery.id, nursery.offset, nursery.extent, tuple(nursery.promised), is_huge)

    def close(self, nursery: Nursery) -> list[Action]:
        """Take back what was not used of a nursery that is in nobody's books any more."""
        actions: list[Action] = [SetState(slot_of(id), generation_of(id), FREE) for id in nursery.promised]
        gaps = [self._ledger.warm.give_back(start, end - start) for start, end in nursery.gaps]
        gaps.append(self._ledger.release(nursery))
        actions.append(SetState(nursery.slot, nursery.generation, FREE))
        return actions + [Punch(*gap) for gap in gaps if gap[1]]

    def can_cut(self, nursery: Nursery, id: int, offset: int, nbytes: int) -> bool:
        """May an object of this id be here?"""
        size = rounded(nbytes)
        if id not in nursery.promised or nbytes < 1 or offset % alignment(size):
            return False
        if nursery.offset <= offset <= nursery.offset + nursery.extent - size:
            return True
        return any(start <= offset and offset + size <= end for start, end in nursery.spans())

    # --- rings -------------------------------------------------------------------------------------------------

    def forget(self, client: Client) -> None:
        """It hung up."""
        self._ringing.pop(client.id, None)
        self._resting = [other for other in self._resting if other is not client]

    def resume(self, client: Client, now: float) -> None:
        """An earlier store has died: look."""
        client.look_at, client.is_looking = now, True
        self._ringing[client.id] = client

    def read(self, client: Client, now: float, limit: int = 1 << 62) -> list[Action]:
        """Do what the entries of a client's ring say.

        Args:
            client: Whose ring.
            now: Seconds.
            limit: Entries to read at most.
        """
        entries = self._holders.ring(client.id, client.tail, limit) if client.id in self._ringing else ()
        if not entries:
            return []
        dropped = {entry[1] for entry in entries if entry[0] != COMMIT}
        look = self._holders.look()
        actions: list[Action] = []
        for kind, id, *place in entries:
            if kind == COMMIT:
                # Who drops at once has let go of its own lease; but a child that it had before may have one.
                is_gone = id in dropped and not look.is_referred(slot_of(id), generation_of(id))
                actions += self._commit(client, id, place, is_gone)
            elif id in client.anonymous:
                actions += self._drop(client, client.anonymous[id], look)
        self._ledger.warm.note_put(now)
        client.tail += len(entries)
        actions.append(SetTail(client.row, client.tail))
        client.look_at = now if len(entries) >= limit else now + LOOK
        if not client.is_looking:
            client.is_looking = True
            actions.append(SetLooking(client.row, True))
        return actions

    def read_all(self, now: float) -> list[Action]:
        """Read all rings: somebody asks."""
        return [action for client in tuple(self._ringing.values()) for action in self.read(client, now)]

    def look(self, now: float) -> list[Action]:
        """Read the rings whose time has come."""
        actions: list[Action] = []
        for client in tuple(self._ringing.values()):
            if client.look_at is not None and client.look_at <= now:
                found = self.read(client, now, BATCH)
                actions += found or self._rest(client)
        return actions

    def next_look(self) -> float | None:
        """When the next ring is to be looked at, in the clock's seconds."""
        return min((client.look_at for client in self._ringing.values() if client.look_at is not None), default=None)

    def stamp(self, now: float) -> None:
        """What earlier calls have told to write is written by now: the grace before the last look begins."""
        for client in self._resting:
            if not client.is_looking:
                client.look_at = now + GRACE
        self._resting.clear()

    def _rest(self, client: Client) -> list[Action]:
        """Nothing was found: law 3."""
        if not client.is_looking:
            client.look_at = None
            return []
        client.is_looking, client.look_at = False, None
        self._resting.append(client)
        return [SetLooking(client.row, False)]

    def _commit(self, client: Client, id: int, place: list[int], is_gone: bool) -> list[Action]:
        offset, nbytes, payload, created_ns = place
        nursery = self._nursery_of(client, id)
        if nursery is None or not self.can_cut(nursery, id, offset, nbytes):
            return []  # done before (law 2), or a liar's
        size = rounded(nbytes)
        self._ledger.cut(nursery, offset, size)
        if is_gone:
            # Nobody can know of it: made and gone before anybody looked.
            del nursery.promised[id]
            return [SetState(slot_of(id), generation_of(id), FREE), *self._gone(id, offset, size)]
        object = self._ledger.seal_piece(
            nursery,
            id,
            (offset, size),
            name="",
            request=0,
            label=client.hello.label,
            nbytes=nbytes,
            payload=min(payload, m.MAX_COUNT),
            created_ns=min(created_ns, m.MAX_COUNT),
            version=1,
        )
        client.anonymous[id] = object
        if payload >= LARGE:
            self._history.note(PUBLISH, object, client.hello.label)
        return [Publish(object.slot, record_of(object, b""))]

    def _nursery_of(self, client: Client, id: int) -> Nursery | None:
        for entry in client.reservations.values():
            if isinstance(entry, Nursery) and id in entry.promised:
                return entry
        return None

    def _gone(self, id: int, offset: int, size: int) -> list[Action]:
        self._ledger.free_slot(slot_of(id))
        gap = self._ledger.warm.give_back(offset, size)
        return [Punch(*gap)] if gap[1] else []


def record_of(object: Object, name: bytes) -> Record:
    """The immutable facts of an object, as they stand in its slot."""
    return Record(
        object.generation,
        object.sequence,
        object.client,
        len(object.contained),
        object.request,
        object.offset,
        object.extent,
        object.nbytes,
        object.payload,
        object.created_ns,
        object.version,
        len(name),
        name,
    )
