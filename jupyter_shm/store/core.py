"""The store's decisions: events and time in, actions out.  No I/O here, and the clock is an argument.

Laws of the core:

1. Whatever changes what a name means is answered after the actions that make the index show it.
2. No is said only after the sockets were drained: questions and requests that do not fit are kept until ``settle``.
3. When an object may be freed is decided in ``reclaim``, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ..errors import InvalidKeyError, InvalidNameError
from ..protocol import messages as m
from ..protocol.names import encode_name
from ..tables.layout import FREE, LIVE, MAX_CLIENTS, RESERVED, Record, object_id
from . import report
from .actions import Action, Exit, OpenTable, Punch, Send, SetName, SetRow, SetState, WriteRecord
from .holders import Holders
from .ledger import Ledger, Object, Reservation
from .reclaim import GRACE, Reclaim
from .waiters import Waiter, Waiters

ROOM_PATIENCE = 0.9
"""Seconds that a put waits for grace times to end before it is refused: StoreFullError comes within a second."""

IDLE_EXIT = 600.0
"""Seconds without a client and without an object after which the store ends."""


@dataclass(eq=False, slots=True)
class Client:
    """One connection that said hello."""

    conn: int
    id: int
    row: int
    hello: m.Hello
    applied: int = 0  # number of the last request that was applied
    reservations: dict[int, Reservation] = field(default_factory=dict)  # by id
    anonymous: dict[int, Object] = field(default_factory=dict)  # by id


@dataclass(slots=True)
class Parked:
    """A Reserve that does not fit now and might when grace times end."""

    client: Client
    request: m.Reserve
    until: float  # seconds
    is_extended: bool = False


class Core:
    """All state of the store but the bytes.

    Args:
        ledger: The books, empty at first.
        holders: The clients' lease tables; the daemon adds and removes them.
        identity: ``(store id, pid, package version, Python version)``, told to clients.
        now: Seconds of a monotonic clock.

    Attributes:
        clients: Everybody who said hello, by connection.
        room: How many bytes the machine can give right now, for a put of so many; asked before an extent is granted.
            Whoever runs the core sets it.
    """

    def __init__(
        self,
        ledger: Ledger,
        holders: Holders,
        identity: tuple[int, int, str, str],
        now: float,
    ) -> None:
        self.ledger = ledger
        self.holders = holders
        self.clients: dict[int, Client] = {}  # by conn
        self._by_id: dict[int, Client] = {}
        self._store, self._pid, self._package, self._python = identity
        self.room: Callable[[int], int] = _same
        self._started = self._idle_since = now
        self._last_client = 0
        self._free_rows = list(range(MAX_CLIENTS - 1, -1, -1))
        self._waiters = Waiters()
        self._questions: list[tuple[Client, m.Look | m.Wait | m.List | m.Info]] = []
        self._parked: list[Parked] = []
        self._reclaim = Reclaim(ledger, holders)
        self._verbs: dict[type, Callable[..., list[Action]]] = {
            m.Forked: self._forked,
            m.Reserve: self._reserve,
            m.Abandon: self._abandon,
            m.Cancel: self._cancel,
            m.Delete: self._delete,
            m.Drop: self._drop,
            m.Hint: self._hint,
            m.Clients: self._people,
            m.Stats: self._stats,
            m.Stop: self._stop,
        }

    # --- events ------------------------------------------------------------------------------------------------

    def received(self, conn: int, message: m.Request, now: float, contained: tuple[int, ...] = ()) -> list[Action]:
        """A client sent a message that is legal in its session.

        Args:
            conn: The daemon's number of the connection.
            message: What came.
            now: Seconds; read after all earlier actions were carried out.
            contained: For a Commit: the ids that the object's prefix in the heap lists.

        Returns:
            What to do.
        """
        self._reclaim.stamp(now)
        if isinstance(message, m.Hello):
            return self._hello(conn, message)
        client = self.clients.get(conn)
        if client is None:
            return []  # refused at hello, and told so
        if isinstance(message, (m.Look, m.Wait, m.List, m.Info)):
            self._questions.append((client, message))
            return []
        if isinstance(message, m.Commit):
            return self._commit(client, message, contained)
        return self._verbs[type(message)](client, message, now)

    def hung_up(self, conn: int, now: float) -> list[Action]:
        """The peer's end is closed: its reservations, anonymous objects and leases are over.

        Call it before the client's lease table is taken away: the reads it counted are kept.
        """
        self._reclaim.stamp(now)
        client = self.clients.pop(conn, None)
        if client is None:
            return []
        self._waiters.hung_up(conn)
        self._questions = [entry for entry in self._questions if entry[0] is not client]
        self._parked = [entry for entry in self._parked if entry.client is not client]
        actions = [action for entry in list(client.reservations.values()) for action in self._release(client, entry)]
        for object in list(client.anonymous.values()):
            actions += self._condemn(object)
        del self._by_id[client.id]
        for slot, generation, _count, reads in self.holders.touched(client.id):
            self._reclaim.lease_ended(object_id(slot, generation), reads, now)
        self._free_rows.append(client.row)
        self._idle_since = now
        return [*actions, SetRow(client.row, 0, 0)]

    def settle(self, now: float) -> list[Action]:
        """All sockets were drained: say what had to wait for that, and free what can be freed."""
        self._reclaim.stamp(now)
        actions = self._reclaim.look(now)
        questions, self._questions = self._questions, []
        for client, question in questions:
            actions += self._answer(client, question)
        actions += self._retry_parked(now)
        if self.ledger.objects or self.clients:
            self._idle_since = now
        elif now >= self._idle_since + IDLE_EXIT:
            actions.append(Exit(f"no client and no object for {IDLE_EXIT:.0f} seconds"))
        return actions

    def deadline(self, now: float) -> float | None:
        """When ``settle`` is to be called at the latest, in the clock's seconds; ``None``: not before an event."""
        self._reclaim.stamp(now)
        if self._questions:
            return now
        times = [entry.until if self.ledger.in_grace else now for entry in self._parked]
        due = self._reclaim.next_look()
        if due is not None:
            times.append(due)
        if not self.clients and not self.ledger.objects:
            times.append(self._idle_since + IDLE_EXIT)
        return min(times, default=None)

    def extent_of(self, conn: int, reservation: int) -> tuple[int, int] | None:
        """Where a client's reservation is: ``(offset, bytes)``, or ``None`` if it has no such one."""
        client = self.clients.get(conn)
        entry = client.reservations.get(reservation) if client else None
        return (entry.offset, entry.extent) if entry else None

    # --- requests ----------------------------------------------------------------------------------------------

    def _hello(self, conn: int, hello: m.Hello) -> list[Action]:
        if not self._free_rows:
            text = f"the store serves {MAX_CLIENTS} clients, and so many are connected; end some of them"
            return [Send(conn, m.Refused(0, "connection", text))]
        self._last_client += 1
        client = Client(conn, self._last_client, self._free_rows.pop(), hello)
        self.clients[conn] = self._by_id[client.id] = client
        welcome = m.Welcome(
            client.id, client.row, self._store, self._pid, self.ledger.capacity, self._package, self._python
        )
        return [SetRow(client.row, client.id, 0), OpenTable(conn, client.id), Send(conn, welcome)]

    def _forked(self, client: Client, request: m.Forked, _now: float) -> list[Action]:
        client.hello = msgspec.structs.replace(client.hello, pid=request.pid)
        return []

    def _reserve(self, client: Client, request: m.Reserve, now: float) -> list[Action]:
        if request.nbytes < 1:
            return self._refuse(client, request.number, "protocol", f"cannot reserve {request.nbytes} bytes")
        granted = self._grant(client, request, self.room(request.nbytes))
        if granted is None:
            self._parked.append(Parked(client, request, now + ROOM_PATIENCE))
            return []
        return granted

    def _grant(self, client: Client, request: m.Reserve, room: int) -> list[Action] | None:
        ledger = self.ledger
        if not (ledger.has_slots() and ledger.fits(request.nbytes) and room >= request.nbytes):
            return None
        entry = ledger.reserve(client.id, request.number, request.nbytes)
        if entry is None:
            return None
        client.reservations[entry.id] = entry
        facts = (entry.generation, ledger.sequence, client.id, 0, request.number, entry.offset, entry.extent)
        record = Record(*facts, 0, 0, 0, 0, 0, b"")
        return [
            WriteRecord(entry.slot, record),
            SetState(entry.slot, entry.generation, RESERVED),
            *self._applied(client, request.number),
            Send(client.conn, m.Reserved(request.number, entry.id, entry.offset)),
        ]

    def _commit(self, client: Client, request: m.Commit, contained: tuple[int, ...]) -> list[Action]:
        entry = client.reservations.get(request.reservation)
        if entry is None or not 0 < request.nbytes <= entry.extent:
            text = f"client {client.id} has no reservation {request.reservation} of {request.nbytes} bytes or more"
            return self._refuse(client, request.number, "bad-reservation", text)
        try:
            name = encode_name(request.name) if request.name else b""
        except (InvalidNameError, InvalidKeyError) as error:
            return self._refuse(client, request.number, error.reason, str(error))
        old = self.ledger.names.get(request.name) if name else None
        if old is not None and not request.overwrite:
            return self._refuse(client, request.number, "exists", report.exists(old))
        contained = tuple(dict.fromkeys(contained))
        for id in contained:
            if not self._may_contain(client, id):
                text = f"object {id}, whose bytes the new one refers to, is gone; put a copy of the data"
                return self._refuse(client, request.number, "contained-gone", text)
        return self._seal(client, request, entry, name, old, contained)

    def _seal(
        self,
        client: Client,
        request: m.Commit,
        entry: Reservation,
        name: bytes,
        old: Object | None,
        contained: tuple[int, ...],
    ) -> list[Action]:
        del client.reservations[entry.id]
        object = self.ledger.seal(
            entry,
            name=request.name,
            request=request.number,
            label=client.hello.label,
            nbytes=request.nbytes,
            payload=request.payload,
            created_ns=request.created_ns,
            version=old.version + 1 if old else 1,
            contained=contained,
        )
        actions: list[Action] = [
            WriteRecord(object.slot, _record(object, name)),
            SetState(object.slot, object.generation, LIVE),
            SetState(entry.slot, entry.generation, FREE),
        ]
        if name:
            actions.append(SetName(name, object.slot, old.slot if old else None))
            if old is not None:
                actions += self._condemn(old, keep_name=True)
            self.ledger.names[object.name] = object
        else:
            client.anonymous[object.id] = object
        answer = m.Committed(
            request.number, object.id, object.version, old.version if old else 0, old.label if old else ""
        )
        actions += [*self._applied(client, request.number), Send(client.conn, answer)]
        return actions + self._announce(object.name)

    def _abandon(self, client: Client, request: m.Abandon, _now: float) -> list[Action]:
        entry = client.reservations.get(request.reservation)
        return self._release(client, entry) if entry else []

    def _cancel(self, client: Client, request: m.Cancel, _now: float) -> list[Action]:
        number = request.number
        self._waiters.cancel(client.conn, number)
        self._questions = [e for e in self._questions if e[0] is not client or e[1].number != number]
        self._parked = [e for e in self._parked if e.client is not client or e.request.number != number]
        actions: list[Action] = []
        for entry in [entry for entry in client.reservations.values() if entry.request == number]:
            actions += self._release(client, entry)
        for object in [object for object in client.anonymous.values() if object.request == number]:
            actions += self._condemn(object)
        return actions

    def _delete(self, client: Client, request: m.Delete, _now: float) -> list[Action]:
        object = self._meant(request.name, request.id)
        if object is None:
            # Not a question that has to wait for a drain: deletes and named puts are answered in the order they came.
            return self._refuse(client, request.number, "not-found", report.missing(request.name, request.id))
        return [
            *self._condemn(object),
            *self._applied(client, request.number),
            Send(client.conn, m.Done(request.number)),
        ]

    def _drop(self, client: Client, request: m.Drop, _now: float) -> list[Action]:
        object = client.anonymous.get(request.id)
        return self._condemn(object) if object else []

    def _hint(self, _client: Client, request: m.Hint, now: float) -> list[Action]:
        self._reclaim.hint(request.id, now)
        return []

    def _people(self, client: Client, request: m.Clients, _now: float) -> list[Action]:
        people = [m.Person(c.id, c.hello.pid, c.hello.label, c.hello.kernel) for c in self.clients.values()]
        return [Send(client.conn, report.people(people, request))]

    def _stats(self, client: Client, request: m.Stats, now: float) -> list[Action]:
        ledger = self.ledger
        accounts = m.Accounts(
            number=request.number,
            capacity=ledger.capacity,
            used=ledger.used,
            held=ledger.held,
            reserved=ledger.reserved,
            objects=len(ledger.objects),
            names=len(ledger.names),
            clients=len(self.clients),
            payload=min(ledger.payload, m.MAX_COUNT),
            uptime=now - self._started,
            pid=self._pid,
            package=self._package,
            python=self._python,
        )
        return [Send(client.conn, accounts)]

    def _stop(self, client: Client, request: m.Stop, _now: float) -> list[Action]:
        others = [other.hello for other in self.clients.values() if other.hello.pid != client.hello.pid]
        if others and not request.force:
            return self._refuse(client, request.number, "in-use", report.in_use(others))
        return [Send(client.conn, m.Done(request.number)), Exit(f"pid {client.hello.pid} asked for it")]

    # --- questions, answered after a drain ----------------------------------------------------------------------

    def _answer(self, client: Client, question: m.Look | m.Wait | m.List | m.Info) -> list[Action]:
        if isinstance(question, m.Look):
            object = self.ledger.names.get(question.name)
            if object is None:
                return self._refuse(client, question.number, "not-found", report.missing(question.name, 0))
            return [Send(client.conn, m.Found(question.number, object.id))]
        if isinstance(question, m.Wait):
            waiter = Waiter(client.conn, question.number, question.names, question.count)
            ready = self._ready(waiter)
            if ready is None:
                self._waiters.add(waiter)
            return [ready] if ready else []
        if isinstance(question, m.List):
            page = report.page(self.ledger, self.holders, question)
            return [Send(client.conn, page)]
        object = self._meant(question.name, question.id, dying=True)
        if object is None or not self._is_there(object):
            return self._refuse(client, question.number, "not-found", report.missing(question.name, question.id))
        return [Send(client.conn, m.Facts(question.number, report.facts(object, self.holders)))]

    def _ready(self, waiter: Waiter) -> Send | None:
        names = tuple(name for name in waiter.names if name in self.ledger.names)
        return Send(waiter.conn, m.Ready(waiter.number, names)) if len(names) >= waiter.count else None

    def _announce(self, name: str) -> list[Action]:
        actions: list[Action] = []
        for waiter in self._waiters.of(name) if name else ():
            ready = self._ready(waiter)
            if ready is not None:
                self._waiters.cancel(waiter.conn, waiter.number)
                actions.append(ready)
        return actions

    def _condemn(self, object: Object, keep_name: bool = False) -> list[Action]:
        publisher = None if object.name else self._by_id.get(object.client)
        if publisher is not None:
            publisher.anonymous.pop(object.id, None)
        return self._reclaim.condemn(object, keep_name)

    def _release(self, client: Client, entry: Reservation) -> list[Action]:
        del client.reservations[entry.id]
        offset, nbytes = self.ledger.release(entry)
        actions: list[Action] = [SetState(entry.slot, entry.generation, FREE)]
        return [*actions, Punch(offset, nbytes)] if nbytes else actions

    # --- a full store -------------------------------------------------------------------------------------------

    def _retry_parked(self, now: float) -> list[Action]:
        actions: list[Action] = []
        parked, self._parked = self._parked, []
        for entry in parked:
            room = self.room(entry.request.nbytes)
            granted = self._grant(entry.client, entry.request, room)
            if granted is None and self.ledger.in_grace and self._may_wait(entry, now):
                self._parked.append(entry)
            elif granted is None:
                text = report.full(self.ledger, entry.request.nbytes, room)
                actions += self._refuse(entry.client, entry.request.number, "full", text)
            else:
                actions += granted
        return actions

    def _may_wait(self, entry: Parked, now: float) -> bool:
        """Is a put that does not fit to wait for the grace times that are running?

        When its time is over, it waits for those once more: they may have begun late, if this process had to wait
        for a processor, and a refusal has to be true when it is said.
        """
        if now >= entry.until and not entry.is_extended:
            entry.until, entry.is_extended = now + 2 * GRACE, True
        return now < entry.until

    # --- small things -------------------------------------------------------------------------------------------

    def _meant(self, name: str, id: int, dying: bool = False) -> Object | None:
        object = self.ledger.objects.get(id) if id else self.ledger.names.get(name)
        if object is None or (object.state != LIVE and not dying) or (name and object.name != name):
            return None
        return object

    def _is_there(self, object: Object) -> bool:
        """Is it LIVE, or held by somebody, as the list tells?"""
        if object.state == LIVE or object.is_held or object.containers:
            return True
        return bool(self.holders.clients(object.slot, object.generation))

    def _may_contain(self, client: Client, id: int) -> bool:
        object = self.ledger.objects.get(id)
        if object is None:
            return False
        is_leased = self.holders.holds(client.id, object.slot, object.generation)
        return object.state == LIVE or is_leased or object.containers > 0

    def _applied(self, client: Client, number: int) -> list[Action]:
        # A request that had to wait for room is applied after later ones: the row says the highest.
        client.applied = max(client.applied, number)
        return [SetRow(client.row, client.id, client.applied)]

    def _refuse(self, client: Client, number: int, reason: str, text: str) -> list[Action]:
        return [Send(client.conn, m.Refused(number, reason, text))]


def _same(nbytes: int) -> int:
    return nbytes


def _record(object: Object, name: bytes) -> Record:
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
