"""What happened: the store's recent past, asked for a page at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from ..errors import InvalidArgumentError
from ..protocol import messages as m
from .arguments import is_count
from .calls import Caller, once_more_if_lost
from .session import Session

LOST = "lost"
"""Kind of an event that says that some are missing before the next one."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Attributes:
        sequence: Its number: numbers rise, and never go back, also when the store is started again.
        time: Seconds since 1970.
        kind: ``"publish"``, ``"overwrite"``, ``"delete"``, ``"expire"``, ``"pin"``, ``"unpin"``, ``"ttl"`` (it was
            given another time to live), ``"spill"``, ``"unspill"``; ``"death"``: a client is gone, one event for each
            object that it took along, and then one for itself with the bytes of them all; ``"restart"``: another
            store process goes on, its number is ``version``; ``"lost"``: what happened before the next event is
            forgotten.
        name: ``""`` for an object without one, and where the event is about none.
        id: Of the object; 0 where the event is about none.
        version: Of the object.
        nbytes: Bytes of data.
        who: Who did it: the label of a client; ``""`` for the store itself.
    """

    sequence: int
    time: float
    kind: str
    name: str = ""
    id: int = 0
    version: int = 0
    nbytes: int = 0
    who: str = ""

    @property
    def when(self) -> datetime:
        """The time, in UTC."""
        return datetime.fromtimestamp(self.time, timezone.utc)


class Events(Caller):
    """The methods of a store that tell what happened."""

    @once_more_if_lost
    def events(self, since: int | None = None) -> list[Event]:
        """Tell what happened lately, the oldest first.

        The store remembers ten minutes, and 10,000 events at most; what happened before a restart of its process is
        forgotten.  Of objects without a name only those of 1 MiB and more are told.

        Args:
            since: Only what came after the event of this number; if some of that is forgotten, the first event is a
                ``"lost"``.
        """
        if since is not None and (not is_count(since) or not 0 <= since <= m.MAX_COUNT):
            raise InvalidArgumentError(f"since is the sequence of an event, got {since!r:.100}")
        with self._call() as session:
            found: list[Event] = []
            for past in pages(session, since or 0):
                found += events_of(past)
            return found


def pages(session: Session, after: int) -> Iterator[m.Past]:
    """Yield what happened after the event of a number; 0: all that the store remembers."""
    while True:
        past: m.Past = session.connection.request(m.Events, after)
        yield past
        after = past.last
        if not past.has_more:
            return


def events_of(past: m.Past) -> Iterator[Event]:
    """The events of one page, and before them that some are lost, if they are."""
    if past.is_lost:
        yield Event(past.events[0].sequence - 1 if past.events else past.last, time.time(), LOST)
    for one in past.events:
        yield Event(one.sequence, one.time, one.kind, one.name, one.id, one.version, one.nbytes, one.who)
