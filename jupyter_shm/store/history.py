"""The recent past: what happened to names, in a ring that forgets.  No I/O here.

Events have numbers that rise and never go back, also from one store to the next on this machine: the first one is
counted from the time that the machine has been running, in microseconds, and none has ever so many events.

Objects without a name come and go a hundred thousand times a second: of them only those of ``LARGE`` bytes and more
are told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING

from ..protocol import messages as m

if TYPE_CHECKING:
    from .entries import Object

PUBLISH, OVERWRITE, DELETE, EXPIRE, DEATH = "publish", "overwrite", "delete", "expire", "death"
PIN, UNPIN, TERM, SPILL, FREED, RESTART = "pin", "unpin", "ttl", "spill", "free", "restart"
"""Kinds of events.  DEATH: a client is gone, and one for each object that it took along; TERM: a name was given another
time to live; FREED: nobody reads any more what had lost its name while it was read; RESTART: another store process goes on, and knows nothing of what was before."""

EVENTS = 10_000
"""Events that are kept at most."""

AGE = 600.0
"""Seconds for which an event is kept."""

LARGE = 1 << 20
"""Bytes of data from which on an object without a name is told of."""

Entry = tuple[float, str, str, int, int, int, str]
"""Time, kind, name, id, version, bytes, who."""


def _no_time() -> float:
    return 0.0


class History:
    """The ring of events.

    Args:
        now: Seconds of the monotonic clock.

    Attributes:
        wall: Reads CLOCK_REALTIME, in seconds; whoever runs the core sets it.
        last: Number of the last event; before the first one, the number before that.
    """

    def __init__(self, now: float) -> None:
        self.wall: Callable[[], float] = _no_time
        self.last = int(now * 1e6)
        self._ring: deque[Entry] = deque(maxlen=EVENTS)

    def __len__(self) -> int:
        return len(self._ring)

    def note(self, kind: str, object: Object, who: str) -> None:
        """Something happened to an object.

        Args:
            kind: One of the kinds.
            object: To which object.  One without a name that is smaller than ``LARGE`` is passed over.
            who: Label of the client that did it; ``""``: the store itself.
        """
        # Every put under a name comes here, so nothing is done that can be done when somebody asks.
        name, nbytes = object.name, object.payload
        if name or nbytes >= LARGE:
            self._ring.append((self.wall(), kind, name, object.id, object.version, nbytes, who))
            self.last += 1

    def note_death(self, who: str, nbytes: int) -> None:
        """A client is gone; bytes of data that it took along."""
        self._add(DEATH, "", 0, 0, nbytes, who)

    def note_restart(self, starts: int) -> None:
        """Another store process begins; the how manieth it is, is told as the version."""
        self._add(RESTART, "", 0, starts, 0, "")

    def _add(self, kind: str, name: str, id: int, version: int, nbytes: int, who: str) -> None:
        self._ring.append((self.wall(), kind, name, id, version, min(nbytes, m.MAX_COUNT), who))
        self.last += 1

    def after(self, number: int, limit: int) -> tuple[list[m.Event], bool, bool]:
        """Tell of the events behind one.

        Args:
            number: Of the last event that is known; 0 for all that there are.
            limit: Events to tell at most.

        Returns:
            The events, the oldest first; are there more; and are some lost that came between ``number`` and them.
        """
        self._forget()
        first = self.last - len(self._ring) + 1
        known = max(0, number - first + 1)
        entries = islice(self._ring, known, known + limit)
        events = [m.Event(first + at, *entry) for at, entry in enumerate(entries, known)]
        return events, known + limit < len(self._ring), 0 < number < first - 1

    def _forget(self) -> None:
        if self._ring:
            time = self.wall()
            while self._ring and self._ring[0][0] < time - AGE:
                self._ring.popleft()
