"""What happened: the store's recent past, asked for a page at a time."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import InvalidArgumentError
from ..protocol import messages as m
from .arguments import is_count
from .calls import Caller, once_more_if_lost
from .session import Session, opening

if TYPE_CHECKING:
    from ..linux.runtime import StorePaths
    from .watching import Watch, Watcher

LOST, RESTART = "lost", "restart"
"""Kinds of events that are about no object: some are missing before the next one; another store process goes on."""


class Event(msgspec.Struct, frozen=True):
    """Something that happened.

    Attributes:
        sequence: Its number: numbers rise, and never go back, also when the store is started again.
        time: Seconds since 1970.
        kind: ``"publish"``, ``"overwrite"``, ``"delete"``, ``"expire"``, ``"pin"``, ``"unpin"``, ``"ttl"`` (it was
            given another time to live), ``"spill"`` (its bytes went to disk), ``"free"`` (it had lost its name, and
            nobody reads it any more); ``"death"``: a client is gone, one event for each object that it took along, and
            then one for itself with the bytes of them all; ``"restart"``: another store process goes on, its number is
            ``version``; ``"lost"``: what happened before the next event is forgotten.
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
    """The methods of a store that tell what happened, and what happens."""

    _watching: tuple[list[Watcher], Any] | None = None  # the watcher, if there is one, and what ends it with the store

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

    def watch(self, callback: Callable[[Event], Any], pattern: str | None = None) -> Watch:
        """Have every change told, from now on.

        One background thread for each ``Store``, with a connection of its own, calls all callbacks, one after the other.
        It keeps neither the process nor this ``Store`` alive, costs nothing while nothing happens, and goes on when the
        store is started again.  Whoever is slow is told later, and of more at a time; when the store has forgotten
        something by then, of an event of kind ``"lost"``.  A child that is forked has no watch.

        Args:
            callback: Called with each ``Event``, in the background thread.  What it raises is logged (in the logger
                ``jupyter_shm``), and ends nothing.
            pattern: Only events of names that match it, as in a shell, and ``"lost"`` and ``"restart"``.

        Returns:
            A handle; ``close()`` it, or use it in a ``with``.  Without that it ends with this ``Store``.
        """
        if not callable(callback):
            raise InvalidArgumentError(f"callback is called with each event, got {callback!r:.100}")
        if pattern is not None and not isinstance(pattern, str):
            raise InvalidArgumentError(f"pattern is text such as 'run*', got {pattern!r:.100}")
        since, paths = self._now()
        from .watching import Watcher

        with opening:  # two threads at a time would make two watchers; and a child knows of this one, or there is none
            if self._watching is None:
                found: list[Watcher] = []
                self._watching = found, weakref.finalize(self, _end, found)
                self._watching[1].atexit = False
            watchers = self._watching[0]
            watch = watchers[0].add(callback, pattern, since) if watchers else None
            if watch is None:
                watcher = Watcher(self.name, paths, since)
                watch = watcher.add(callback, pattern, since)
                watchers[:] = [watcher]
                watcher.start()
            assert watch is not None
            return watch

    @once_more_if_lost
    def _now(self) -> tuple[int, StorePaths]:
        """Number of the last event, and where the store is."""
        with self._call() as session:
            past: m.Past = session.connection.request(m.Events, m.MAX_COUNT)
            return past.last, session.paths

    def _end_watches(self) -> None:
        if self._watching is not None:
            _end(self._watching[0])


def _end(watchers: list[Watcher]) -> None:
    for watcher in watchers:
        watcher.stop()


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
