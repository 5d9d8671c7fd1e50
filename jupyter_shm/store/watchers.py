"""Who wants to be told when something happens, and how often.  No I/O here.

A watcher is told one thing, "look again", and then nothing until it has asked for the events and has got the last one.
So at most one packet is on its way to whoever does not read, and a busy store is not kept busier by those who watch.
"""

from __future__ import annotations

from ..protocol import messages as m
from .actions import Send
from .clients import Client
from .history import History

PAUSE = 0.02
"""Seconds between two calls to one watcher: what happens meanwhile it fetches in one go."""


class Watchers:
    """All watchers.

    Args:
        history: What happened.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._waiting: dict[int, int] = {}  # by connection: number of the last event that it knows
        self._not_before: dict[int, float] = {}  # by connection: seconds

    def answer(self, client: Client, request: m.Events, now: float) -> list[Send]:
        """Tell of events; a watcher that has got the last one is called at the next one."""
        after = min(request.after, self._history.last)
        events, has_more, is_lost = self._history.after(after, m.PAGE_EVENTS)
        last = events[-1].sequence if events else self._history.last
        if client.hello.watches and not has_more:
            self._waiting[client.conn] = last
            self._not_before.setdefault(client.conn, now)
        return [Send(client.conn, m.Past(request.number, tuple(events), last, has_more, is_lost))]

    def resume(self, client: Client, now: float) -> None:
        """An earlier store has died: whatever this watcher knows, there is something new."""
        if client.hello.watches:
            self._waiting[client.conn] = 0
            self._not_before[client.conn] = now

    def hung_up(self, conn: int) -> None:
        """Nobody is there any more."""
        self._waiting.pop(conn, None)
        self._not_before.pop(conn, None)

    def tell(self, now: float) -> list[Send]:
        """Call those for whom there is something new."""
        last = self._history.last
        called = [conn for conn, known in self._waiting.items() if known < last and self._not_before[conn] <= now]
        for conn in called:
            del self._waiting[conn]
            self._not_before[conn] = now + PAUSE
        return [Send(conn, m.Changed(0, last)) for conn in called]

    def deadline(self) -> float | None:
        """When to call the next one, in the clock's seconds; ``None``: there is nothing new for anybody."""
        if not self._waiting:
            return None
        last = self._history.last
        return min((self._not_before[conn] for conn, known in self._waiting.items() if known < last), default=None)
