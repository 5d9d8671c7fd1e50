"""Questions that change nothing: what is published, by whom, who is connected, and the accounts.  No I/O here."""

from __future__ import annotations

from typing import NamedTuple

from ..protocol import messages as m
from ..tables.layout import LIVE
from . import report
from .actions import Action, Send
from .clients import Client, Clients, Question
from .holders import Holders
from .ledger import Ledger, Object
from .waiters import Waiter, Waiters


class Identity(NamedTuple):
    """What a store says of itself."""

    store: int  # random number of 64 bits, the same for all processes over one memory
    pid: int
    package: str  # version of jupyter_shm
    python: str  # "3.11.7"
    since: float  # seconds of the monotonic clock when the first process over this memory started
    starts: int = 1  # processes over this memory so far


class Inquiries:
    """Answers from the books as they are.

    Args:
        ledger: The books.
        holders: The lease tables.
        clients: Who is connected.
        identity: What is said of this store.

    Attributes:
        keeper: Process id of the keeper.
    """

    def __init__(self, ledger: Ledger, holders: Holders, clients: Clients, identity: Identity) -> None:
        self._ledger = ledger
        self._holders = holders
        self._clients = clients
        self._identity = identity
        self.keeper = 0
        self._waiters = Waiters()

    def answer(self, client: Client, question: Question) -> list[Action]:
        """Answer a question; a ``Wait`` for what is not there yet is kept until it is."""
        if isinstance(question, m.Look):
            object = self._ledger.names.get(question.name)
            if object is None:
                return [_no(client, question.number, report.missing(question.name, 0))]
            return [Send(client.conn, m.Found(question.number, object.id))]
        if isinstance(question, m.Wait):
            return self.wait(client, question)
        if isinstance(question, m.List):
            return [Send(client.conn, report.page(self._ledger, self._holders, question))]
        return [self._info(client, question)]

    def _info(self, client: Client, question: m.Info) -> Send:
        object = self._ledger.meant(question.name, question.id, dying=True)
        if object is None or not self._is_there(object):
            return _no(client, question.number, report.missing(question.name, question.id))
        return Send(client.conn, m.Facts(question.number, report.facts(object, self._ledger, self._holders)))

    def people(self, client: Client, request: m.Clients) -> list[Action]:
        """Who is connected."""
        people = [m.Person(c.id, c.hello.pid, c.hello.label, c.hello.kernel) for c in self._clients]
        return [Send(client.conn, report.people(people, request))]

    def stats(self, client: Client, request: m.Stats, now: float) -> list[Action]:
        """The accounts."""
        ledger, us = self._ledger, self._identity
        accounts = m.Accounts(
            number=request.number,
            capacity=ledger.capacity,
            used=ledger.used,
            held=ledger.held,
            reserved=ledger.reserved,
            reserve=ledger.warm.nbytes,
            objects=len(ledger.objects),
            names=len(ledger.names),
            clients=self._clients.users,
            payload=min(ledger.payload, m.MAX_COUNT),
            uptime=now - us.since,
            pid=us.pid,
            keeper=self.keeper,
            starts=us.starts,
            package=us.package,
            python=us.python,
            spilled=ledger.spill.used,
            spilled_objects=ledger.spilled,
            spill_limit=ledger.spill.limit if ledger.spill.is_open else 0,
            spill_reason=ledger.spill.reason,
        )
        return [Send(client.conn, accounts)]

    # --- waits -------------------------------------------------------------------------------------------------

    def wait(self, client: Client, question: m.Wait) -> list[Action]:
        """Answer now if the names are there, else as soon as they are."""
        waiter = Waiter(client.conn, question.number, question.names, question.count, question.newer_than, question.ids)
        ready = self._ready(waiter)
        if ready is None:
            self._waiters.add(waiter)
        return [ready] if ready else []

    def announce(self, key: str | int) -> list[Action]:
        """A name is published, or the object of an id is PENDING no more: answer those whose wait that ends."""
        actions: list[Action] = []
        for waiter in self._waiters.of(key) if key else ():
            ready = self._ready(waiter)
            if ready is not None:
                self._waiters.cancel(waiter.conn, waiter.number)
                actions.append(ready)
        return actions

    def cancel(self, client: Client, number: int) -> None:
        """Nobody waits for this any more."""
        self._waiters.cancel(client.conn, number)

    def hung_up(self, conn: int) -> None:
        """Nobody at the other end waits for anything any more."""
        self._waiters.hung_up(conn)

    def _ready(self, waiter: Waiter) -> Send | None:
        found = ((name, self._ledger.names.get(name)) for name in waiter.names)
        names = tuple(name for name, object in found if object is not None and object.version > waiter.newer_than)
        ids = tuple(id for id in waiter.ids if not self._is_awaited(id)) if waiter.ids else ()
        return Send(waiter.conn, m.Ready(waiter.number, names, ids)) if len(names) + len(ids) >= waiter.count else None

    def _is_awaited(self, id: int) -> bool:
        object = self._ledger.objects.get(id)
        return object is not None and object.is_pending and not object.is_lost and object.state == LIVE

    def _is_there(self, object: Object) -> bool:
        """Is it LIVE, or held by somebody, as the list tells?"""
        if object.state == LIVE or object.is_held or object.containers:
            return True
        return bool(self._holders.clients(object.slot, object.generation))


def _no(client: Client, number: int, text: str) -> Send:
    return Send(client.conn, m.Refused(number, "not-found", text))
