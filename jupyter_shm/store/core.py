"""The store's decisions: events and time in, actions out.  No I/O here, and the clock is an argument.

Laws of the core:

1. Whatever changes what a name means is answered after the actions that make the index show it.
2. No is said only after the sockets were drained: questions, and requests that do not fit, wait for that.
3. When an object may be freed is decided in ``reclaim``, and nowhere else.
4. The number of a request that changes something is in its client's row before the answer is sent, also when it was
   refused.  A client's requests are carried out in the order of their numbers.  So a request that is seen again, by
   the store that comes after one that died, is known: it is answered (``aftermath``), and not carried out twice.
"""

from __future__ import annotations

from collections.abc import Callable

from ..protocol import messages as m
from ..tables.layout import FREE, object_id
from ..tables.terms import NO_TERMS
from . import report
from .actions import (
    Action,
    Exit,
    ForgetClient,
    Punch,
    Send,
    SetEnder,
    SetReads,
    SetRow,
    SetState,
    Warm,
)
from .admission import Admission
from .aftermath import Aftermath
from .clients import Client, Clients
from .commits import Commits, Filled
from .entries import Nursery
from .history import DELETE, SPILL, History
from .holders import Holders
from .inquiries import Identity, Inquiries
from .ledger import Ledger, Object, Reservation
from .lifetimes import Lifetimes
from .linger import Linger
from .nurseries import Nurseries
from .pendings import Pendings
from .reclaim import Reclaim
from .references import References
from .rows import applied, granted, refused
from .shortage import Shortage
from .spilling import Spilling
from .watchers import Watchers
from .welcomes import Welcomes

IDLE_EXIT = 600.0
"""Seconds without a client and without an object after which the store ends."""

CHANGES = (m.Reserve, m.ReserveNursery, m.Commit, m.Delete, m.Pin, m.Expire, m.Pend, m.Fulfil)
"""Requests that change something: their numbers are in the rows."""


class Core:
    """All state of the store but the bytes.

    Args:
        ledger: The books: empty, or what a store that died has left.
        holders: The clients' lease tables; the daemon adds and removes them.
        identity: What clients are told.
        now: Seconds of a monotonic clock.
        aftermath: What is known of requests that a store that died had carried out.

    Attributes:
        clients: Everybody who said hello.
        admission: Decides about extents; whoever runs the core tells it what the machine can give.
        references: Ends what nobody refers to; whoever runs the core may set how long it keeps.
        history: What happened; whoever runs the core tells it what time of day it is.
        linger: Counts the time without a client; whoever runs the core tells it how long that may be.
        inquiries: Answers questions; whoever runs the core tells it who the keeper is.
    """

    def __init__(
        self, ledger: Ledger, holders: Holders, identity: Identity, now: float, aftermath: Aftermath | None = None
    ) -> None:
        self.ledger = ledger
        self.holders = holders
        self.aftermath = aftermath or Aftermath(ledger)
        self.clients = Clients(self.aftermath.last_client)
        self._spilling = Spilling(ledger, holders)
        self.admission = Admission(ledger, self._spilling, self.clients.label)
        self.inquiries = Inquiries(ledger, holders, self.clients, identity)
        self.history = History(now)
        self._watchers = Watchers(self.history)
        self._spilling.told = lambda one: self.history.note(SPILL, one, "")
        self.linger = Linger()
        self._welcomes = Welcomes(ledger, self.clients, self.linger, identity)
        self._identity = identity
        self._idle_since = now
        self._asking: list[Client] = []
        self._gives_back = False  # memory, in what the last ``settle`` has told to do, while somebody waits for room
        self._reclaim = Reclaim(ledger, holders, self.history)
        self.references = References(ledger, holders, self.clients, self.history, self._condemn)
        self._lifetimes = Lifetimes(ledger, self.clients, self.history, self._condemn)
        self._nurseries = Nurseries(ledger, holders, self.admission, self.history, self.references.drop)
        self._commits = Commits(ledger, holders, self._nurseries, self._lifetimes, self.history, self._condemn)
        self._pendings = Pendings(ledger, self.references, self._nurseries, self._commits, self.history, self.inquiries)
        self._verbs: dict[type, Callable[..., list[Action]]] = {
            m.Forked: self._welcomes.forked,
            m.Reserve: self._reserve,
            m.ReserveNursery: self._open_nursery,
            m.Ring: lambda *_: [],  # read with every packet
            m.Abandon: self._abandon,
            m.Cancel: self._cancel,
            m.Delete: self._delete,
            m.Pin: self._lifetimes.pin,
            m.Expire: self._lifetimes.expire,
            m.Pend: lambda client, request, _: self._pendings.pend(client, request),
            m.Drop: self._drop,
            m.Hint: self._hint,
            m.Clients: lambda client, request, _: self.inquiries.people(client, request),
            m.Stats: self._stats,
            m.SetCapacity: self._set_capacity,
            m.Events: self._past,
            m.Stop: self._stop,
        }

    # --- events ------------------------------------------------------------------------------------------------

    def received(self, conn: int, message: m.Request, now: float, contained: tuple[int, ...] = ()) -> list[Action]:
        """A client sent a message that is legal in its session.

        A question is only noted; ``answer`` answers it.  What the client sends behind a request that is not answered
        yet has to be kept back until it is, but for a Wait: law 4.

        Args:
            conn: The daemon's number of the connection.
            message: What came.
            now: Seconds; read after all earlier actions were carried out.
            contained: For a Commit: the ids that the object's prefix in the heap lists.

        Returns:
            What to do.
        """
        self._stamp(now)
        if isinstance(message, m.Hello):
            self.admission.keep()
            return self._welcomes.hello(conn, message, now)
        client = self.clients.get(conn)
        if client is None:
            return []  # refused at hello, and told so
        if isinstance(message, (m.Look, m.Wait, m.List, m.Info)):
            client.question = message
            self._asking.append(client)
            return []
        told = self._nurseries.read(client, now)
        if isinstance(message, CHANGES) and message.number <= client.applied:
            return [*told, Send(conn, self.aftermath.answer(client, message))]
        if isinstance(message, (m.Commit, m.Fulfil)):
            return told + self._commit(client, message, now, contained)
        return told + self._verbs[type(message)](client, message, now)

    def _commit(self, client: Client, commit: Filled, now: float, contained: tuple[int, ...]) -> list[Action]:
        if self.holders.is_withdrawn(client.id, commit.number):
            return refused(client, commit.number, "again", "nobody waits for it any more")
        told: list[Action] = []
        if any(id not in self.ledger.objects for id in contained):
            told = self._nurseries.read_all(now)  # another one may just have made it
        self.ledger.warm.note_put(now)
        if isinstance(commit, m.Fulfil):
            return told + self._pendings.fulfil(client, commit, contained)
        actions = self._commits.commit(client, commit, contained, now)
        return [*told, *actions, *self.inquiries.announce(commit.name)]

    def refused(self, conn: int, number: int, reason: str, text: str) -> list[Action]:
        """A request that changes something cannot be carried out, for a reason that only the daemon can see."""
        client = self.clients.get(conn)
        return refused(client, number, reason, text) if client is not None else []

    def hung_up(self, conn: int, now: float) -> list[Action]:
        """The peer's end is closed: its reservations, anonymous objects and leases are over.

        Call it before the client's lease table is taken away: the reads it counted are kept.
        """
        self._stamp(now)
        leaving = self.clients.get(conn)
        # Before all else: a child that it had forked may hold what only its ring tells of.
        told = self._nurseries.read(leaving, now) if leaving else []
        client = self.clients.leave(conn)
        if client is None:
            return []
        self.inquiries.hung_up(conn)
        self._watchers.hung_up(conn)
        self._nurseries.forget(client)
        self._asking = [other for other in self._asking if other is not client]
        self.admission.forget(client)
        self._reclaim.forget(client.id, now)
        actions = [action for entry in list(client.reservations.values()) for action in self._release(client, entry)]
        actions = [*told, *actions]
        actions += self._pendings.hung_up(client)
        referred, nbytes = self.references.hung_up(client, now)
        actions += [*referred, *self._lifetimes.leave(client, nbytes)]
        for slot, generation, _count, reads in self.holders.touched(client.id):
            used_at = self.holders.last_use(client.id, slot, generation)
            total = self._reclaim.lease_ended(object_id(slot, generation), reads, used_at, now)
            if total:
                actions.append(SetReads(slot, total))
        self._idle_since = now
        return [*actions, ForgetClient(conn), SetRow(client.row, 0, 0)]

    def is_unanswered(self, conn: int, number: int) -> None:
        """The answer to this request has no room yet.

        Another store may have to give it: the slots that tell the result are not freed until ``is_consumed``.
        """
        client = self.clients.get(conn)
        if client is not None:
            self._reclaim.unanswered.add((client.id, number))

    def is_consumed(self, conn: int, number: int, now: float) -> None:
        """The answer was sent after all, and the request is out of its queue."""
        client = self.clients.get(conn)
        if client is not None:
            self._reclaim.answered(client.id, number, now)

    def answer(self, conn: int, now: float) -> list[Action]:
        """All sockets were drained: answer what this client has asked."""
        self._stamp(now)
        client = self.clients.get(conn)
        if client is None or client.question is None:
            return []
        question, client.question = client.question, None
        self._asking = [other for other in self._asking if other is not client]
        revived = self.references.asked(question.id, now) if isinstance(question, m.Info) else []
        woken = [] if self._spilling.is_idle else self._spilling.asked(question)
        return [*revived, *woken, *self.inquiries.answer(client, question)]

    @property
    def is_asked(self) -> bool:
        """Does somebody wait for a drain: with a question, or for room?"""
        return bool(self._asking) or self.admission.has_waiting

    def asking(self) -> list[int]:
        """Connections of those whose question is not answered yet, in the order in which they asked."""
        return [client.conn for client in self._asking]

    def settle(self, now: float) -> list[Action]:
        """All sockets were drained: free what can be freed, and decide about those who wait for room."""
        self._stamp(now)
        # Who waits for room is not refused before it is known what others have dropped.
        actions = self._nurseries.read_all(now) if self.is_asked else []
        actions += self._nurseries.look(now)
        actions += [*self._lifetimes.look(now), *self.references.look(now), *self._reclaim.look(now)]
        actions += self.references.heed(self._reclaim.take_returning(), self._reclaim.take_let_go())
        actions += self._spilling.look(now)
        self.ledger.warm.settle(now)
        # The machine has what is given back only when these actions were carried out: the next call decides.
        self._gives_back = self.admission.has_waiting and any(type(action) is Punch for action in actions)
        if not self._gives_back:
            actions += self._decide(now)
        if self.ledger.objects or self.clients.users:
            self._idle_since = now
        elif now >= self._idle_since + IDLE_EXIT:
            actions.append(Exit(f"no client and no object for {IDLE_EXIT:.0f} seconds"))
        if self.ledger.objects and not self.clients.users and self.linger.look(now):
            self._retreat(now)
        return [*actions, *self._punch_spoilt(), *self._warm_next(now), *self._watchers.tell(now)]

    def _decide(self, now: float) -> list[Action]:
        """About those who wait for room."""
        actions: list[Action] = []
        for client, request, found in self.admission.retry(now):
            if isinstance(found, Shortage):
                actions += refused(client, request.number, "full", found.text, found.figures)
            else:
                actions += self._granted(client, request, found)
        return actions + self._spilling.make_room(self.admission.missing, now)

    def warmed(self, huge: int, present: int) -> list[Action]:
        """The warmer has told what came of a ``Warm``.

        Args:
            huge: Bytes that are in huge pages now.
            present: Bytes that have memory, but in small pages.
        """
        warm = self.ledger.warm
        warm.warmed(huge, present)
        warm.give_up(self.ledger.excess)
        return self._punch_spoilt()

    def spilled(self, moved: int, error: str, limit: int, now: float) -> list[Action]:
        """The spiller has told what came of a ``Spill``, or how far it is.

        Args:
            moved: Bytes that were copied so far; -1 when it is at its end.
            error: Why it failed; "" if it did not.
            limit: Bytes that the spill heap may take, as the disk is now; 0 if that is not known.
            now: Seconds.
        """
        self._stamp(now)
        if moved >= 0:
            self._spilling.moved(now)
            return []
        actions = self._spilling.copied(error, limit, now)
        return actions + self._spilling.make_room(self.admission.missing, now)

    def _stamp(self, now: float) -> None:
        """What earlier calls have told to do is done by now: graces begin."""
        self.ledger.now = now
        self._spilling.stamp(now)
        self._reclaim.stamp(now)
        self._nurseries.stamp(now)

    def _retreat(self, now: float) -> None:
        """Nobody was there for long: take no more memory than the objects need, and as little of that as can be."""
        self.ledger.warm.retreat(now)
        self.admission.unload(now)

    def _punch_spoilt(self) -> list[Action]:
        return [Punch(offset, nbytes) for offset, nbytes in self.ledger.warm.take_spoilt()]

    def _warm_next(self, now: float) -> list[Action]:
        ledger = self.ledger
        step = ledger.warm.next_step(lambda nbytes: min(self.admission.spare(nbytes), ledger.unused), now)
        return [Warm(*step)] if step else []

    def deadline(self, now: float) -> float | None:
        """When to drain, ``answer`` and ``settle`` at the latest, in the clock's seconds; ``None``: after an event."""
        self._stamp(now)
        if self._asking or self._gives_back:
            return now
        times: list[float | None] = [*self.admission.deadlines(now), self.ledger.warm.deadline(now)]
        times += [self._reclaim.next_look(), self._nurseries.next_look(), self._spilling.next_look()]
        times += [self.references.next_look(), self._lifetimes.next_look(), self._watchers.deadline()]
        if not self.clients.users:
            times.append(self.linger.deadline(now) if self.ledger.objects else self._idle_since + IDLE_EXIT)
        return min((time for time in times if time is not None), default=None)

    def extent_of(self, conn: int, reservation: int) -> tuple[int, int] | None:
        """Where a client's reservation is: ``(offset, bytes)``, or ``None`` if it has no such one."""
        client = self.clients.get(conn)
        entry = client.reservations.get(reservation) if client else None
        if isinstance(entry, Nursery):
            start = min(start for start, _ in entry.spans())
            return start, entry.offset + entry.extent - start
        return (entry.offset, entry.extent) if entry else None

    # --- after a store that died --------------------------------------------------------------------------------

    def resume(
        self, conn: int, id: int, row: int, hello: m.Hello, number: int, tail: int, done: int, now: float
    ) -> None:
        """Go on with a client that an earlier store has welcomed.

        Args:
            conn: The daemon's number of the connection.
            id: As the earlier store has noted it.
            row: The same.
            hello: The same.
            number: What the row says.
            tail: The same.
            done: The same.
            now: Seconds.
        """
        client = self.clients.resume(conn, id, row, hello, max(number, self.aftermath.applied.get(id, 0)))
        client.tail, client.done = tail, done
        self._nurseries.resume(client, now)
        self._watchers.resume(client, now)
        self.linger.end()

    def recover(self) -> list[Action]:
        """Everybody was resumed: let the rows say what the slots say, and take back what has no owner any more.

        To be carried out before anything else is told to the core.
        """
        self.history.note_restart(self._identity.starts)
        actions: list[Action] = [SetRow(client.row, client.id, client.applied) for client in self.clients]
        for entry in list(self.ledger.reservations.values()):
            owner = self.clients.by_id(entry.client)
            if owner is not None:
                owner.reservations[entry.id] = entry
            else:
                actions += self._give_back(entry)
        self._pendings.recover()
        actions += self.references.recover()
        actions += self._lifetimes.recover()
        self._reclaim.resume()
        return actions

    def was_applied(self, conn: int, message: m.Request) -> bool:
        """Is this, seen again, a request that was carried out, or refused?"""
        client = self.clients.get(conn)
        return client is not None and isinstance(message, CHANGES) and message.number <= client.applied

    def wait_again(self, conn: int, message: m.Wait) -> list[Action]:
        """Go on with a wait that an earlier store has not answered."""
        client = self.clients.get(conn)
        return self.inquiries.wait(client, message) if client is not None else []

    # --- requests ----------------------------------------------------------------------------------------------

    def _reserve(self, client: Client, request: m.Reserve, now: float) -> list[Action]:
        if request.nbytes < 1:
            return refused(client, request.number, "protocol", f"cannot reserve {request.nbytes} bytes")
        self.ledger.warm.note_put(now)
        entry = self.admission.ask(client, request, now)
        return [] if entry is None else self._granted(client, request, entry)

    def _granted(self, client: Client, request: m.Reserve, entry: Reservation) -> list[Action]:
        client.reservations[entry.id] = entry
        # What is given back goes first, before the memory that this makes room for is touched.
        return [*self._punch_spoilt(), *granted(client, request.number, entry, self.ledger)]

    def _open_nursery(self, client: Client, request: m.ReserveNursery, now: float) -> list[Action]:
        self.ledger.warm.note_put(now)
        *actions, answer = self._nurseries.open(client, request)
        return [*self._punch_spoilt(), *actions, applied(client, request.number), answer]

    def _abandon(self, client: Client, request: m.Abandon, _now: float) -> list[Action]:
        entry = client.reservations.get(request.reservation)
        return self._release(client, entry) if entry else []

    def _cancel(self, client: Client, request: m.Cancel, _now: float) -> list[Action]:
        number = request.number
        self.inquiries.cancel(client, number)
        actions: list[Action] = []
        if not number:
            return actions  # what came by the ring has no number
        for entry in [entry for entry in client.reservations.values() if entry.request == number]:
            actions += self._release(client, entry)
        # Of what was PENDING, others know the id.
        for object in [one for one in client.anonymous.values() if one.request == number and not one.was_pending]:
            actions += self._condemn(object)
        return actions

    def _delete(self, client: Client, request: m.Delete, now: float) -> list[Action]:
        told: list[Action] = []
        if request.id not in self.ledger.objects and request.id:
            told = self._nurseries.read_all(now)  # another one may just have made it
        object = self.ledger.meant(request.name, request.id)
        if object is None:
            # Not a question that has to wait for a drain: deletes and named puts are answered in the order they came.
            no = refused(client, request.number, "not-found", report.missing(request.name, request.id))
            return [*told, *no]
        if object.is_pending:
            return refused(client, request.number, "invalid-argument", report.unmade(object))
        object.ender = (client.id, request.number)
        self.history.note(DELETE, object, client.hello.label)
        return [
            *told,
            SetEnder(object.slot, *object.ender),
            *self._condemn(object),
            applied(client, request.number),
            Send(client.conn, m.Done(request.number)),
        ]

    def _drop(self, client: Client, request: m.Drop, _now: float) -> list[Action]:
        object = client.anonymous.get(request.id)
        return self.references.drop(client, object) if object else []

    def _hint(self, _client: Client, request: m.Hint, now: float) -> list[Action]:
        self._reclaim.hint(request.id, now)
        return self.references.check(self.ledger.objects.get(request.id))

    def _stats(self, client: Client, request: m.Stats, now: float) -> list[Action]:
        return [*self._nurseries.read_all(now), *self.inquiries.stats(client, request, now)]

    def _set_capacity(self, client: Client, request: m.SetCapacity, _now: float) -> list[Action]:
        return [*self.admission.set_capacity(client, request), *self._punch_spoilt()]

    def _past(self, client: Client, request: m.Events, now: float) -> list[Action]:
        return [*self._nurseries.read_all(now), *self._watchers.answer(client, request, now)]

    def _stop(self, client: Client, request: m.Stop, _now: float) -> list[Action]:
        others = [one.hello for one in self.clients if one.hello.pid != client.hello.pid and not one.hello.watches]
        if others and not request.force:
            return [Send(client.conn, m.Refused(request.number, "in-use", report.in_use(others)))]
        return [Send(client.conn, m.Done(request.number)), Exit(f"pid {client.hello.pid} asked for it")]

    # --- objects and reservations -------------------------------------------------------------------------------

    def _condemn(self, object: Object, keep_name: bool = False) -> list[Action]:
        publisher = None if object.name else self.clients.by_id(object.client)
        if publisher is not None:
            publisher.anonymous.pop(object.id, None)
        if object.is_pending:
            return self._reclaim.condemn(object, keep_name) + self._pendings.dropped(object, publisher)
        if object.terms is not NO_TERMS:
            self._lifetimes.forget(object)
        return [*self._spilling.wake(object), *self._reclaim.condemn(object, keep_name)]

    def _release(self, client: Client, entry: Reservation) -> list[Action]:
        del client.reservations[entry.id]
        return self._give_back(entry)

    def _give_back(self, entry: Reservation) -> list[Action]:
        if isinstance(entry, Nursery):
            return self._nurseries.close(entry)
        offset, nbytes = self.ledger.release(entry)
        actions: list[Action] = [SetState(entry.slot, entry.generation, FREE)]
        return [*actions, Punch(offset, nbytes)] if nbytes else actions
