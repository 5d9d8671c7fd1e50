"""Who waits for which names and objects.  No I/O here; a time-out is the client's, who then cancels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Waiter:
    """One ``Wait`` that is not answered yet."""

    conn: int
    number: int
    names: tuple[str, ...]
    count: int  # how many of the names must be published at the same time, and of the objects PENDING no more
    newer_than: int = 0  # in versions above this one
    ids: tuple[int, ...] = ()  # of objects

    @property
    def keys(self) -> set[str | int]:
        """All that it waits for."""
        return {*self.names, *self.ids}


class Waiters:
    """All unanswered waits, by name or id and by who asked."""

    def __init__(self) -> None:
        self._by_key: dict[str | int, list[Waiter]] = {}
        self._by_request: dict[tuple[int, int], Waiter] = {}

    def __len__(self) -> int:
        return len(self._by_request)

    def add(self, waiter: Waiter) -> None:
        """Remember a wait that is not over yet.  One that is seen again is remembered already."""
        if (waiter.conn, waiter.number) in self._by_request:
            return
        self._by_request[waiter.conn, waiter.number] = waiter
        for key in waiter.keys:
            self._by_key.setdefault(key, []).append(waiter)

    def of(self, key: str | int) -> list[Waiter]:
        """The waits that the appearance of a name, or of an object, may end."""
        return list(self._by_key.get(key, ()))

    def cancel(self, conn: int, number: int) -> None:
        """Forget one wait, if it is still there."""
        waiter = self._by_request.pop((conn, number), None)
        if waiter is not None:
            for key in waiter.keys:
                self._forget(key, waiter)

    def hung_up(self, conn: int) -> None:
        """Forget every wait of a connection."""
        for key in [key for key in self._by_request if key[0] == conn]:
            self.cancel(*key)

    def _forget(self, key: str | int, waiter: Waiter) -> None:
        waiters = self._by_key[key]
        waiters.remove(waiter)
        if not waiters:
            del self._by_key[key]
