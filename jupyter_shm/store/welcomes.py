"""Whoever says hello: who is let in, and what is told and written first.  No I/O here."""

from __future__ import annotations

import msgspec

from ..protocol import messages as m
from ..tables.layout import MAX_CLIENTS
from .actions import Action, NoteClient, OpenTable, Send, SetDone, SetLooking, SetRow, SetTail
from .clients import Client, Clients
from .inquiries import Identity
from .ledger import Ledger
from .linger import Linger


class Welcomes:
    """Lets clients in.

    Args:
        ledger: The books.
        clients: Who is connected.
        linger: Somebody is there.
        identity: What clients are told.
    """

    def __init__(self, ledger: Ledger, clients: Clients, linger: Linger, identity: Identity) -> None:
        self._ledger = ledger
        self._clients = clients
        self._linger = linger
        self._identity = identity

    def hello(self, conn: int, hello: m.Hello, now: float) -> list[Action]:
        """Welcome a client; its lease table and its note come first."""
        if not hello.watches:
            self._ledger.warm.note_put(now)  # the first one may come soon
            self._linger.end()
        is_new = conn not in self._clients
        client = self._clients.admit(conn, hello) if is_new else self._clients[conn]
        if client is None:
            text = f"the store serves {MAX_CLIENTS} clients, and so many are connected; end some of them"
            return [Send(conn, m.Refused(0, "connection", text))]
        us = self._identity
        welcome = m.Welcome(client.id, client.row, us.store, us.pid, self._ledger.capacity, us.package, us.python)
        if not is_new:
            return [Send(conn, welcome)]  # seen again: the store died before it was known that it had been welcomed
        fresh: list[Action] = [SetTail(client.row, 0), SetLooking(client.row, False), SetDone(client.row, 0)]
        fresh.append(SetRow(client.row, client.id, 0))
        return [*fresh, OpenTable(conn, client.id), NoteClient(conn), Send(conn, welcome)]

    def forked(self, client: Client, request: m.Forked, _now: float) -> list[Action]:
        """A connection that was opened for a child is the child's now."""
        client.hello = msgspec.structs.replace(client.hello, pid=request.pid)
        return [NoteClient(client.conn)]
