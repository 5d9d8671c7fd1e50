"""Who gets an extent, who waits for one, and who is refused.  No I/O here.

A put that does not fit now may fit when the grace times of deleted objects end: it waits for those, but not for long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..protocol import messages as m
from . import report
from .clients import Client
from .entries import Nursery, Reservation
from .ledger import Ledger
from .reclaim import GRACE

ROOM_PATIENCE = 0.9
"""Seconds that a put waits for grace times to end before it is refused: StoreFullError comes within a second."""


@dataclass(slots=True)
class Parked:
    """A Reserve that does not fit now and might when grace times end."""

    client: Client
    request: m.Reserve
    until: float  # seconds
    is_extended: bool = False


class Admission:
    """Decides about extents, one request after the other.

    Args:
        ledger: The books.

    Attributes:
        room: How many bytes the machine can give right now, for a put of so many; asked before an extent is granted.
        spare: How many it can give to the warm reserve without feeling it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._parked: list[Parked] = []
        self.room: Callable[[int], int] = _same
        self.spare: Callable[[int], int] = _same

    def ask(self, client: Client, request: m.Reserve, now: float) -> Reservation | None:
        """Grant an extent; ``None``: it waits."""
        entry = self._grant(client, request, self.room(request.nbytes))
        if entry is None:
            self._parked.append(Parked(client, request, now + ROOM_PATIENCE))
        return entry

    def open_nursery(self, client: Client, number: int, nbytes: int, slots: int) -> Nursery | None:
        """Grant a nursery; ``None``: there is none to be had, and nobody waits for one."""
        ledger = self._ledger
        if not (ledger.has_slots_for(slots) and ledger.fits(nbytes) and self.room(nbytes) >= nbytes):
            return None
        nursery = ledger.open_nursery(client.id, number, nbytes, slots)
        ledger.warm.give_up(ledger.excess)
        return nursery

    def retry(self, now: float) -> Iterator[tuple[Client, m.Reserve, Reservation | str]]:
        """Decide again about those who wait: what was granted, or the text of the refusal."""
        parked, self._parked = self._parked, []
        for waiting in parked:
            client, request = waiting.client, waiting.request
            room = self.room(request.nbytes)
            entry = self._grant(client, request, room)
            if entry is not None:
                yield client, request, entry
            elif self._ledger.in_grace and _may_wait(waiting, now):
                self._parked.append(waiting)
            else:
                yield client, request, report.full(self._ledger, request.nbytes, room + self._ledger.warm.firm())

    @property
    def has_waiting(self) -> bool:
        """Does a put wait for room?"""
        return bool(self._parked)

    def forget(self, client: Client) -> None:
        """This client waits no more."""
        self._parked = [waiting for waiting in self._parked if waiting.client is not client]

    def deadlines(self, now: float) -> list[float]:
        """When to ``retry`` at the latest, in seconds."""
        return [waiting.until if self._ledger.in_grace else now for waiting in self._parked]

    def _grant(self, client: Client, request: m.Reserve, room: int) -> Reservation | None:
        ledger, nbytes = self._ledger, request.nbytes
        if not (ledger.has_slots() and ledger.fits(nbytes)) or (room < nbytes and room + ledger.warm.firm() < nbytes):
            return None
        warm = ledger.warm.nbytes
        entry = ledger.reserve(client.id, request.number, nbytes)
        if entry is not None:
            cold = nbytes - (warm - ledger.warm.nbytes)
            ledger.warm.give_up(max(ledger.excess, cold - room))
        return entry


def _may_wait(waiting: Parked, now: float) -> bool:
    """Is a put that does not fit to wait for the grace times that are running?

    When its time is over, it waits for those once more: they may have begun late, if this process had to wait for a
    processor, and a refusal has to be true when it is said.
    """
    if now >= waiting.until and not waiting.is_extended:
        waiting.until, waiting.is_extended = now + 2 * GRACE, True
    return now < waiting.until


def _same(nbytes: int) -> int:
    return nbytes
