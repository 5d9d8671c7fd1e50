"""The nursery of one connection: asked for when it is needed, and given back when the last one who writes there is done."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections import deque

from ..protocol import messages as m
from .connection import Connection
from .lock import new_lock
from .nursery import LARGEST_PIECE, Nursery, wanted

RETRY = 1.0
"""Seconds until a store that had no nursery to give is asked again."""


class Piece:
    """An extent that was cut out of a nursery, and not committed yet.

    It keeps the nursery: that is given back when the last piece of it is gone, whatever happened to it.

    Attributes:
        nursery: Where it comes from.
        id: Id that the object will have.
        offset: Where it is in the heap, in bytes.
    """

    __slots__ = ("id", "nursery", "offset")

    def __init__(self, nursery: Nursery, id: int, offset: int) -> None:
        self.nursery, self.id, self.offset = nursery, id, offset


class NurseryRef(weakref.ref[Nursery]):
    """Notices the end of a nursery: nobody writes there any more."""

    __slots__ = ("alarm", "id")

    id: int  # of the reservation
    alarm: weakref.ref[Nursery]  # calls Python code at the end, after this one was noted without any


class Cutter:
    """Cuts small extents for one connection.

    Args:
        connection: Whom to ask.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = new_lock()
        self._nursery: Nursery | None = None
        self._refs: dict[int, NurseryRef] = {}
        self._ended: deque[NurseryRef] = deque()
        self._times = 0
        self._not_before = 0.0

    def cut(self, nbytes: int) -> Piece | None:
        """Cut an extent; ``None`` where an object is to have one of its own.

        Args:
            nbytes: Bytes of the object, header included.
        """
        if nbytes > LARGEST_PIECE:
            return None
        piece = self.cut_at_once(nbytes)
        if piece is None and time.monotonic() >= self._not_before and self._refill(nbytes):
            piece = self.cut_at_once(nbytes)
        return piece

    def cut_at_once(self, nbytes: int) -> Piece | None:
        """Cut an extent out of what is there; ``None``: it is used up, or there is none."""
        with self._lock:
            nursery = self._nursery
            found = None if nursery is None else nursery.cut(nbytes)
            return None if nursery is None or found is None else Piece(nursery, *found)

    def let_go(self) -> None:
        """Give the nursery back, when nobody writes there any more; after a fork, it is the parent's."""
        self._lock = new_lock()
        self._nursery = None

    def _end(self, _ref: object) -> None:
        try:
            self._abandon()
        except BaseException:
            self._abandon()  # an interrupt leaves nothing for the next put: there may be none for long
            raise

    def _abandon(self) -> None:
        """Give back what has ended.  The note of it goes last, for an interrupt may fall anywhere; said twice, no harm."""
        while self._ended:
            with contextlib.suppress(IndexError, ValueError):  # another thread is at it, too
                ref = self._ended[0]
                self._connection.tell(m.Abandon(ref.id))
                self._refs.pop(ref.id, None)
                self._ended.remove(ref)

    def _watch(self, nursery: Nursery) -> None:
        alarm = weakref.ref(nursery, self._end)  # the younger reference is called first
        ref = NurseryRef(nursery, self._ended.append)
        ref.id, ref.alarm = nursery.id, alarm
        self._refs[ref.id] = ref

    def _refill(self, nbytes: int) -> bool:
        self._abandon()
        numbers: list[int] = []
        try:
            fields = wanted(nbytes, self._times)
            granted: m.NurseryReserved = self._connection.request(m.ReserveNursery, *fields, ticket=numbers)
            if not granted.id:
                self._not_before = time.monotonic() + RETRY
                return False
            nursery = Nursery(granted)
            self._watch(nursery)
        except BaseException:
            for number in numbers:
                self._connection.cancel(number)
            raise
        self._times += 1
        with self._lock:
            self._nursery = nursery
        return True
