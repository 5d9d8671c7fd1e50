"""The nursery of one connection: asked for when it is needed, and given back when the last one who writes there is done.

Who has used up one is asked to wait for the second.  From then on the next one is asked for when half of one is used,
and is there before it is needed: the store makes it while the client goes on.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections import deque

from ..protocol import messages as m
from ..tables.alignment import rounded
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
        self._ahead: list[int] = []  # number of the request for the next one

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

    @property
    def is_low(self) -> bool:
        """Will the next nursery be needed soon, and nobody has asked for it?"""
        nursery = self._nursery
        return nursery is not None and nursery.is_low and not self._ahead and self._times > 1

    def ask_ahead(self, nbytes: int) -> None:
        """Ask for the next nursery, without waiting for it.

        Args:
            nbytes: Bytes of an object such as are put now.
        """
        numbers: list[int] = []
        try:
            with self._lock:
                if not self._ahead and time.monotonic() >= self._not_before:
                    self._connection.ask(m.ReserveNursery, *wanted(nbytes, self._times), ticket=numbers)
                    self._ahead = numbers
        except BaseException:
            self._cancel(numbers)
            raise

    def let_go(self) -> None:
        """Give the nursery back, when nobody writes there any more."""
        self._cancel(self._ahead)
        self.forget()

    def forget(self) -> None:
        """Have none any more.  After a fork, what there is is the parent's."""
        self._lock = new_lock()
        self._nursery = None
        self._ahead = []

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
            granted = self._granted(nbytes, numbers)
            if not granted.id:
                self._not_before = time.monotonic() + RETRY
                return False
            nursery = Nursery(granted)
            self._watch(nursery)
        except BaseException:
            self._cancel(numbers)
            raise
        self._times += 1
        with self._lock:
            self._nursery = nursery
        return True

    def _granted(self, nbytes: int, numbers: list[int]) -> m.NurseryReserved:
        """The nursery that was asked for ahead, or one that is asked for now."""
        with self._lock:
            numbers += self._ahead
            self._ahead = []
        if numbers:
            answer = self._connection.answer(numbers[0]) if self._connection.awaits(numbers[0]) else None
            if isinstance(answer, m.NurseryReserved) and (not answer.id or answer.nbytes >= rounded(nbytes)):
                return answer
            self._cancel(numbers)
            numbers.clear()
        asked: m.NurseryReserved = self._connection.request(
            m.ReserveNursery, *wanted(nbytes, self._times), ticket=numbers
        )
        return asked

    def _cancel(self, numbers: list[int]) -> None:
        for number in numbers:
            self._connection.cancel(number)
        # Last, for an interrupt may fall anywhere: it is cancelled again then.
        if self._ahead and self._ahead[0] in numbers:
            self._ahead = []
