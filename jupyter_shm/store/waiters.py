"""Who waits for which names.  No I/O here; a time-out is the client's, who then cancels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Waiter:
    """One ``Wait`` that is not answered yet."""

    conn: int
    number: int
    names: tuple[str, ...]
    count: int  # how many of the names must be published at the same time
    newer_than: int = 0  # in versions above this one


class Waiters:
    """All unanswered waits, by name and by who asked."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[Waiter]] = {}
        self._by_request: dict[tuple[int, int], Waiter] = {}

    def __len__(self) -> int:
        return len(self._by_request)

    def add(self, waiter: Waiter) -> None:
        """Remember a wait that is not over yet.  One that is seen again is remembered already."""
        if (waiter.conn, waiter.number) in self._by_request:
            return
        self._by_request[waiter.conn, waiter.number] = waiter
        for name in set(waiter.names):
            self._by_name.setdefault(name, []).append(waiter)

    def of(self, name: str) -> list[Waiter]:
        """The waits that a name's appearance may end."""
        return list(self._by_name.get(name, ()))

    def cancel(self, conn: int, number: int) -> None:
        """Forget one wait, if it is still there."""
        waiter = self._by_request.pop((conn, number), None)
        if waiter is not None:
            for name in set(waiter.names):
                self._forget(name, waiter)

    def hung_up(self, conn: int) -> None:
        """Forget every wait of a connection."""
        for key in [key for key in self._by_request if key[0] == conn]:
            self.cancel(*key)

    def _forget(self, name: str, waiter: Waiter) -> None:
        waiters = self._by_name[name]
        waiters.remove(waiter)
        if not waiters:
            del self._by_name[name]
