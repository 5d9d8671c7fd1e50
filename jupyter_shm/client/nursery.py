"""An extent of the client's own, out of which objects are cut without asking.  No I/O here."""

from __future__ import annotations

from ..protocol.messages import NurseryReserved
from ..tables.alignment import alignment, rounded

LARGEST_PIECE = 2 << 20
"""Bytes above which an object gets an extent of its own: two round trips are little beside such a copy."""

FIRST_BYTES, FIRST_SLOTS = 1 << 20, 128
"""What is asked for first.  Four times as much each time that it was used up."""

MOST_BYTES, MOST_SLOTS = 16 << 20, 1024

SPARE_SLOTS = 16


class Nursery:
    """What the store has granted.

    Args:
        granted: Its answer.

    Attributes:
        id: Id of the reservation.
        is_huge: It lies in huge pages.
    """

    def __init__(self, granted: NurseryReserved) -> None:
        self.id = granted.id
        self.is_huge = granted.is_huge
        self._at = granted.offset
        self._end = granted.offset + granted.nbytes
        self._ids = list(reversed(granted.ids))
        self._low = (granted.offset + granted.nbytes // 2, len(granted.ids) // 2)

    @property
    def is_low(self) -> bool:
        """Is half of it used?"""
        return self._at > self._low[0] or len(self._ids) <= self._low[1]

    def cut(self, nbytes: int) -> tuple[int, int] | None:
        """Cut an extent out of it.  One thread at a time.

        Args:
            nbytes: Bytes of the object, header included.

        Returns:
            The id that the object will have, and its offset in the heap; ``None`` when it is used up.  What is not
            committed of them is lost until the nursery is the store's again.
        """
        size = rounded(nbytes)
        offset = self._at + -self._at % alignment(size)
        if offset + size > self._end or not self._ids:
            return None
        self._at = offset + size
        return self._ids.pop(), offset


def wanted(nbytes: int, times: int) -> tuple[int, int]:
    """What to ask for.

    Args:
        nbytes: Bytes of the object that is to be put.
        times: How many nurseries this client has used up.

    Returns:
        Bytes and slots.
    """
    growth = 4 ** min(times, 4)
    size = min(max(FIRST_BYTES * growth, 8 * rounded(nbytes)), MOST_BYTES)
    # Each slot costs the store a microsecond or two: no more than go into the extent if all are as large as this one.
    return size, min(FIRST_SLOTS * growth, MOST_SLOTS, size // rounded(nbytes) + SPARE_SLOTS)
