"""Whether anybody still looks at a page: told by its answers, which a kernel that computes cannot read.  No I/O here."""

from __future__ import annotations

PATIENCE = 30.0
"""Seconds without an answer, of a kernel that could have read one, after which nobody looks."""


class Audience:
    """A page says that it has seen something, every few seconds at most.

    While a cell runs, what the page says waits in a queue; that time does not count.  All times are seconds of one clock.
    """

    def __init__(self) -> None:
        self._waiting_since: float | None = None  # the first thing that was told and that nobody said to have seen
        self._is_busy = False
        self._free_since = 0.0

    def told(self, now: float) -> None:
        """Something was told."""
        if self._waiting_since is None:
            self._waiting_since = now

    def seen(self) -> None:
        """The page says so."""
        self._waiting_since = None

    def busy(self) -> None:
        """A cell begins."""
        self._is_busy = True

    def free(self, now: float) -> None:
        """A cell has ended."""
        self._is_busy, self._free_since = False, now

    def is_gone(self, now: float) -> bool:
        """Nobody looks: there was time enough to say something, and nothing was said."""
        if self._waiting_since is None or self._is_busy:
            return False
        return now - max(self._waiting_since, self._free_since) > PATIENCE
