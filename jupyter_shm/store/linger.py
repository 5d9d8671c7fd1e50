"""A store with objects and without clients: when it is time to take no more than the objects need.  No I/O here."""

from __future__ import annotations

LINGER = 3600.0
"""Seconds without a client, unless a setting says otherwise."""


class Linger:
    """Counts the time since the last client has gone.

    Attributes:
        seconds: How long a client is waited for.
    """

    def __init__(self) -> None:
        self.seconds = LINGER
        self._since: float | None = None
        self._is_over = False

    def end(self) -> None:
        """A client is there."""
        self._since, self._is_over = None, False

    def deadline(self, now: float) -> float | None:
        """When it is over, in the clock's seconds; ``None``: it was.  To be asked only while nobody is there."""
        if self._since is None:
            self._since = now
        return None if self._is_over else self._since + self.seconds

    def look(self, now: float) -> bool:
        """Is it over now?  Said once, and only asked while nobody is there."""
        due = self.deadline(now)
        if due is None or due > now:
            return False
        self._is_over = True
        return True
