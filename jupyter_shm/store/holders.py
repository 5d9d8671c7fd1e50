"""Who holds a lease on what: all clients' lease tables, seen from the store.  No I/O here."""

from __future__ import annotations

from collections.abc import Iterator

from ..tables.leases import LeaseTable, page_of
from ..tables.ring import Entry


class Holders:
    """The lease tables of the clients that have not hung up.

    The daemon adds a table when it opens one and takes it away at the hang-up; the tables themselves are written
    by their clients at any time, so an answer is as old as the reading of its word.
    """

    def __init__(self) -> None:
        self._tables: dict[int, LeaseTable] = {}

    def __len__(self) -> int:
        return len(self._tables)

    def add(self, client: int, table: LeaseTable) -> None:
        """Count this client's leases from now on."""
        self._tables[client] = table

    def remove(self, client: int) -> LeaseTable | None:
        """Forget this client's leases.  The caller owns the table's memory."""
        return self._tables.pop(client, None)

    def holds(self, client: int, slot: int, generation: int) -> bool:
        """Does this client hold a lease on this very object?"""
        table = self._tables.get(client)
        return table is not None and table.holds(slot, generation)

    def ring(self, client: int, tail: int, limit: int) -> list[Entry]:
        """The entries of a client's ring behind ``tail``, ``limit`` at most."""
        table = self._tables.get(client)
        return [] if table is None or table.ring_head == tail else table.ring(tail, limit)

    def is_withdrawn(self, client: int, number: int) -> bool:
        """Has the client written that nobody waits for this request any more?"""
        table = self._tables.get(client)
        return table is not None and table.is_withdrawn(number)

    def look(self, but: int = 0) -> Look:
        """Look at many objects at one time; ``but``: a client that does not count, for it is hanging up."""
        return Look([table for client, table in self._tables.items() if client != but])

    def has_sent(self, client: int, slot: int, generation: int) -> bool:
        """Has this client pickled a reference to this very object?"""
        table = self._tables.get(client)
        return table is not None and table.has_sent(slot, generation)

    def clients(self, slot: int, generation: int) -> list[int]:
        """Everybody who holds a lease on this very object."""
        return [client for client, table in self._tables.items() if table.holds(slot, generation)]

    def reads(self, slot: int, generation: int) -> int:
        """How often the clients that are still there have fetched this object."""
        return sum(table.reads(slot, generation) for table in self._tables.values())

    def last_use(self, client: int, slot: int, generation: int) -> float:
        """When this client used this very object last, in seconds; 0.0: it never did."""
        table = self._tables.get(client)
        return 0.0 if table is None else table.last_use(slot, generation) / 1000

    def touched(self, client: int) -> Iterator[tuple[int, int, int, int]]:
        """What a client ever leased: ``(slot, generation, count, reads)``.

        Entries that another object has taken since are not told.
        """
        table = self._tables.get(client)
        return iter(()) if table is None else table.touched_slots()


class Look:
    """A look at many objects, each DYING for a whole grace when it begins.

    Who has touched a page of entries is asked once per page, not once per object: a client that was idle costs one
    word per 256 slots.  A lease on one of these objects was written before the look began, and so was the summary.

    Args:
        tables: The lease tables of all clients.
    """

    def __init__(self, tables: list[LeaseTable]) -> None:
        self._tables = tables
        self._touched: dict[int, list[LeaseTable]] = {}

    def is_held(self, slot: int, generation: int) -> bool:
        """Does anybody hold a lease on this very object?"""
        return any(table.holds(slot, generation) for table in self._of(slot))

    def is_referred(self, slot: int, generation: int) -> bool:
        """Does anybody hold a lease on this very object, or has anybody pickled a reference to it?"""
        return any(table.refers(slot, generation) for table in self._of(slot))

    def readers(self, slot: int, generation: int) -> list[int]:
        """Who holds a lease on this very object: ids of clients, as their tables say."""
        return [table.client for table in self._of(slot) if table.holds(slot, generation)]

    def last_use(self, slot: int, generation: int) -> float:
        """When one of these clients used this very object last, in seconds; 0.0: none of them ever did."""
        return max((table.last_use(slot, generation) for table in self._of(slot)), default=0) / 1000

    def _of(self, slot: int) -> list[LeaseTable]:
        page = page_of(slot)
        tables = self._touched.get(page)
        if tables is None:
            tables = self._touched[page] = [table for table in self._tables if table.has_touched(slot)]
        return tables
