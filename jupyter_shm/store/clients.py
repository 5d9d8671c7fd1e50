"""Who is connected: connections, ids, and rows of the index.  No I/O here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..protocol import messages as m
from ..tables.layout import MAX_CLIENTS
from .ledger import Object, Reservation

Question = m.Look | m.Wait | m.List | m.Info
"""What is answered only after all sockets were drained."""


@dataclass(eq=False, slots=True)
class Client:
    """One connection that said hello."""

    conn: int
    id: int
    row: int
    hello: m.Hello
    applied: int = 0  # number of the last request that changes something and was carried out, or refused
    reservations: dict[int, Reservation] = field(default_factory=dict)  # by id
    anonymous: dict[int, Object] = field(default_factory=dict)  # by id
    pending: dict[int, Object] = field(default_factory=dict)  # by id: those that it is still to make
    bound: dict[int, Object] = field(default_factory=dict)  # by id: those whose names end with this connection
    done: int = 0  # number of the last request about terms that was carried out
    tail: int = 0  # entries of its ring that were read
    is_looking: bool = False  # its row says that its ring is looked at without its telling
    look_at: float | None = None  # when to look at its ring, in seconds
    question: Question | None = None  # that it waits to be answered; what it sends afterwards is not read before


class Clients:
    """Everybody who said hello and has not hung up.

    Args:
        last: The highest id that was ever given to a client.

    Attributes:
        users: How many are there to do more than to watch.  A page that somebody left open is told of changes for days:
            it must neither keep an empty store running nor let a full one hog memory.
    """

    def __init__(self, last: int = 0) -> None:
        self.users = 0
        self._last = last
        self._by_conn: dict[int, Client] = {}
        self._by_id: dict[int, Client] = {}
        self._free_rows = list(range(MAX_CLIENTS - 1, -1, -1))

    def __len__(self) -> int:
        return len(self._by_conn)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._by_conn.values())

    def __contains__(self, conn: int) -> bool:
        return conn in self._by_conn

    def __getitem__(self, conn: int) -> Client:
        return self._by_conn[conn]

    def get(self, conn: int) -> Client | None:
        """The client at the other end of a connection."""
        return self._by_conn.get(conn)

    def by_id(self, id: int) -> Client | None:
        """The client of an id, while it is connected."""
        return self._by_id.get(id)

    def label(self, id: int) -> str:
        """Who the client of an id is, for people; "" when it is not connected."""
        client = self._by_id.get(id)
        return client.hello.label if client is not None else ""

    def admit(self, conn: int, hello: m.Hello) -> Client | None:
        """Take a new client in; ``None`` when there is no row left for it."""
        if not self._free_rows:
            return None
        self._last += 1
        return self._add(Client(conn, self._last, self._free_rows.pop(), hello))

    def resume(self, conn: int, id: int, row: int, hello: m.Hello, applied: int) -> Client:
        """Take a client in that an earlier store has welcomed.

        Args:
            conn: The daemon's number of the connection, a new one.
            id: As it was given then.
            row: The same.
            hello: What it had said.
            applied: Number of its last request that was carried out, or refused.
        """
        self._last = max(self._last, id)
        self._free_rows.remove(row)
        return self._add(Client(conn, id, row, hello, applied))

    def leave(self, conn: int) -> Client | None:
        """A connection is gone: who it was, if it had said hello."""
        client = self._by_conn.pop(conn, None)
        if client is not None:
            del self._by_id[client.id]
            self._free_rows.append(client.row)
            self.users -= not client.hello.watches
        return client

    def _add(self, client: Client) -> Client:
        self._by_conn[client.conn] = self._by_id[client.id] = client
        self.users += not client.hello.watches
        return client
