"""The nursery of one connection: asked for when it is needed, and given back when the last one who writes there is done."""

from __future__ import annotations

import time
import weakref

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


class Cutter:
    """Cuts small extents for one connection.

    Args:
        connection: Whom to ask.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = new_lock()
        self._nursery: Nursery | None = None
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

    def _refill(self, nbytes: int) -> bool:
        numbers: list[int] = []
        try:
            fields = wanted(nbytes, self._times)
            granted: m.NurseryReserved = self._connection.request(m.ReserveNursery, *fields, ticket=numbers)
            if not granted.id:
                self._not_before = time.monotonic() + RETRY
                return False
            nursery = Nursery(granted)
            weakref.finalize(nursery, self._connection.tell, m.Abandon(granted.id)).atexit = False
        except BaseException:
            for number in numbers:
                self._connection.cancel(number)
            raise
        self._times += 1
        with self._lock:
            self._nursery = nursery
        return True
