"""Who holds a lease on what: all clients' lease tables, seen from the store.  No I/O here."""

from __future__ import annotations

from collections.abc import Iterator

from ..tables.leases import LeaseTable


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

    def is_held(self, slot: int, generation: int) -> bool:
        """Does anybody hold a lease on this very object?"""
        return any(table.holds(slot, generation) for table in self._tables.values())

    def clients(self, slot: int, generation: int) -> list[int]:
        """Everybody who holds a lease on this very object."""
        return [client for client, table in self._tables.items() if table.holds(slot, generation)]

    def reads(self, slot: int, generation: int) -> int:
        """How often the clients that are still there have fetched this object."""
        return sum(table.reads(slot, generation) for table in self._tables.values())

    def touched(self, client: int) -> Iterator[tuple[int, int, int, int]]:
        """What a client ever leased: ``(slot, generation, count, reads)``.

        Entries that another object has taken since are not told.
        """
        table = self._tables.get(client)
        return iter(()) if table is None else table.touched_slots()
