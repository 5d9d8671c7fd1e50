"""Who gets an extent, who waits for one, and who is refused.  No I/O here.

A put that does not fit now may fit when the grace times of deleted objects end: it waits for those, but not for long.
It may fit when others have left for the spill heap: it waits for that as long as bytes move.  In this order: graces,
the warm reserve, the spill heap; then it is refused, with figures that justify it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..protocol import messages as m
from ..sizes import format_size
from .actions import Action, Send, SetCapacity
from .clients import Client
from .entries import Nursery, Reservation
from .extents import PAGE
from .ledger import Ledger
from .reclaim import GRACE
from .shortage import Asked, Label, Shortage, shortage
from .spilling import Spilling

FIRST = 2 * GRACE
"""Seconds that a put waits for grace times that are running before anything is spilled for it."""

ROOM_PATIENCE = 0.9
"""Seconds that a put waits for grace times to end before it is refused: StoreFullError comes within a second.  Who has
waited for so long, because others leave for the spill heap, is not overtaken any more."""

RECENT = 0.1
"""Seconds for which a refusal believes a look at all objects."""

SHRINK = 1.0
"""Seconds between two looks for somebody who can leave, while more is used than is to be."""

LEAST_CAPACITY = 1 << 20
"""Bytes of capacity below which a store is of no use."""

LONGEST = 60.0
SLOWEST = 10 << 20
"""Nobody waits for the spill heap for longer than so many seconds and the time that a disk of so many bytes a second
takes: others may take what it frees, and what leaves may be fetched again and again."""


@dataclass(slots=True)
class Parked:
    """A Reserve that does not fit now and might when grace times end, or objects have left."""

    client: Client
    request: m.Reserve
    since: float  # seconds
    until: float  # how long it waits for grace times, in seconds
    is_extended: bool = False
    retry_at: float = 0.0  # when to decide again, in seconds; other events may come first
    is_spilling: bool = False  # objects leave for it
    is_surveying: bool = False  # a look at all objects is not over
    judged: float = 0.0  # a look at all objects that was begun then, or later, can refuse it


class Admission:
    """Decides about extents, one request after the other.

    Args:
        ledger: The books.
        spilling: What is leaving, and could.
        label: Who is who.

    Attributes:
        room: How many bytes the machine can give right now, for a put of so many; asked before an extent is granted.
        spare: How many it can give to the warm reserve without feeling it.
        machine: Bytes of memory that the machine has, or its memory limit leaves.
        missing: Bytes that have to leave for those who wait, and for a capacity that was lowered.
    """

    def __init__(self, ledger: Ledger, spilling: Spilling, label: Label) -> None:
        self._ledger = ledger
        self._spilling = spilling
        self._label = label
        self._parked: list[Parked] = []
        self.room: Callable[[int], int] = _same
        self.spare: Callable[[int], int] = _same
        self.machine = ledger.heap_nbytes
        self.missing = 0
        self._shrink_at = self._shrink_since = 0.0
        self._is_shrinking = False  # a look at all objects is not over
        self._unloading_since = math.inf

    def ask(self, client: Client, request: m.Reserve, now: float) -> Reservation | None:
        """Grant an extent; ``None``: it waits."""
        entry = None if self._is_taken(now) else self._grant(client, request, self.room(request.nbytes))
        if entry is None:
            self._parked.append(Parked(client, request, now, now + ROOM_PATIENCE, judged=now))
        return entry

    def open_nursery(self, client: Client, number: int, nbytes: int, slots: int) -> Nursery | None:
        """Grant a nursery; ``None``: there is none to be had, and nobody waits for one."""
        ledger = self._ledger
        if not (ledger.has_slots_for(slots) and ledger.fits(nbytes) and self.room(nbytes) >= nbytes):
            return None
        if self._is_taken(ledger.now):
            return None
        nursery = ledger.open_nursery(client.id, number, nbytes, slots)
        ledger.warm.give_up(ledger.excess)
        return nursery

    def retry(self, now: float) -> Iterator[tuple[Client, m.Reserve, Reservation | Shortage]]:
        """Decide again about those who wait: what was granted, or the refusal."""
        parked, self._parked = self._parked, []
        self.missing = self._excess
        if self.missing:
            self._shrink(now)
        for waiting in parked:
            client, request = waiting.client, waiting.request
            room = self.room(request.nbytes)
            found: Reservation | Shortage | None = None
            if not self._is_taken(now):
                found = self._grant(client, request, room)
            if found is None:
                found = self._refuse(waiting, room + self._ledger.warm.firm(), now)
            if found is None:
                self._parked.append(waiting)
            else:
                yield client, request, found

    def set_capacity(self, client: Client, request: m.SetCapacity) -> list[Action]:
        """Let used and reserved together take so many bytes from now on, which may be less than they do.

        Behind what this tells to do, what was given up of the warm reserve is to be punched.
        """
        reason = self._set_capacity(request.nbytes)
        if reason:
            return [Send(client.conn, m.Refused(request.number, "setting", reason))]
        return [SetCapacity(request.nbytes), Send(client.conn, m.Done(request.number))]

    def _set_capacity(self, nbytes: int) -> str:
        """Why not; "" if it is so."""
        if nbytes < LEAST_CAPACITY:
            return f"a capacity of {format_size(nbytes)} is of no use; the least is {format_size(LEAST_CAPACITY)}"
        if nbytes > self.machine:
            return (
                f"a capacity of {format_size(nbytes)} is more than the {format_size(self.machine)} of memory that this "
                "machine, or its memory limit, has. Choose a smaller one: half of it leaves room for everybody else."
            )
        ledger = self._ledger
        ledger.capacity, self._shrink_at = nbytes, 0.0
        ledger.warm.fit(nbytes)
        ledger.warm.give_up(ledger.excess)
        return ""

    @property
    def has_waiting(self) -> bool:
        """Does a put wait for room?"""
        return bool(self._parked)

    def forget(self, client: Client) -> None:
        """This client waits no more."""
        self._parked = [waiting for waiting in self._parked if waiting.client is not client]
        for waiting in self._parked:
            waiting.retry_at = 0.0  # the one that they were behind may have gone

    def deadlines(self, now: float) -> list[float]:
        """When to ``retry`` at the latest, in seconds."""
        times = [self._deadline(waiting, now) for waiting in self._parked]
        if self._excess and self._ledger.spill.is_open and not self._spilling.is_at_work:
            times.append(self._shrink_at)
        return times

    def unload(self, now: float) -> None:
        """Let everything leave that can, until it has, or the disk fails, or somebody says ``keep``."""
        self._unloading_since, self._shrink_at = now, 0.0

    def keep(self) -> None:
        """Let no more leave than has to."""
        self._unloading_since = math.inf

    @property
    def _is_unloading(self) -> bool:
        return self._unloading_since < math.inf

    @property
    def _excess(self) -> int:
        """Bytes that are to leave although nobody waits."""
        return self._ledger.used if self._is_unloading else self._ledger.overdraft

    def _deadline(self, waiting: Parked, now: float) -> float:
        if waiting.is_spilling:
            # What comes of it is told; and when somebody is to look at leases, ``Spilling.next_look`` says.
            return max(now, self._spilling.patience_ends) if self._spilling.is_at_work else now
        return waiting.retry_at

    def _shrink(self, now: float) -> None:
        """More is used than is to be: look now and then who can leave."""
        if now >= self._shrink_at and not self._is_shrinking:
            self._shrink_since = now
        survey = self._spilling.survey(self._shrink_since, now)
        self._is_shrinking = not survey.is_over
        self._shrink_at = now if self._is_shrinking else self._shrink_since + SHRINK
        can_go_on = not survey.is_over or survey.spillable or survey.busy or self._spilling.is_at_work
        if self._is_unloading and (not can_go_on or self._spilling.has_failed(self._unloading_since)):
            self.keep()
            self.missing = self._excess

    def _is_taken(self, now: float) -> bool:
        """Is whatever becomes free somebody's, who has waited for it for long?"""
        if not self._parked:
            return False
        first = self._parked[0]
        return first.is_spilling and now >= first.since + ROOM_PATIENCE

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

    # --- to wait, or to be refused ----------------------------------------------------------------------------------

    def _refuse(self, waiting: Parked, room: int, now: float) -> Shortage | None:
        """Refuse a put that does not fit; ``None``: there is something that it can wait for."""
        waiting.is_spilling, waiting.retry_at = False, waiting.since + FIRST
        if self._ledger.in_grace and now < waiting.retry_at:
            return None
        missing = self._lacks(waiting.request, room)
        if missing:
            return self._refuse_bytes(waiting, missing, room, now)
        if self._is_taken(now):
            waiting.retry_at = math.inf  # until the first one is served, or refused
            return None
        if self._may_end_grace(waiting, now):
            return None
        return shortage(self._ledger, Asked(waiting.request.nbytes, room), None, self._label)

    def _refuse_bytes(self, waiting: Parked, missing: int, room: int, now: float) -> Shortage | None:
        reach, trouble = self._reach(waiting, missing, now), self._spilling.trouble(now)
        if missing <= reach:
            if now < waiting.since + LONGEST + missing / SLOWEST:
                waiting.is_spilling = True
                self.missing += missing
                return None
            reach, trouble = 0, "others have taken the room that spilling made"
        if waiting.is_surveying:
            waiting.retry_at = now
            return None
        if self._may_end_grace(waiting, now):
            return None
        asked = Asked(waiting.request.nbytes, room, reach, trouble)
        return shortage(self._ledger, asked, self._spilling.last_survey, self._label)

    def _may_end_grace(self, waiting: Parked, now: float) -> bool:
        """Is a put that does not fit to wait for the grace times that are running?

        When its time is over, it waits for those once more: they may have begun late, if this process had to wait for a
        processor, and a refusal has to be true when it is said.
        """
        if not self._ledger.in_grace:
            return False
        if now >= waiting.until and not waiting.is_extended:
            waiting.until, waiting.is_extended = now + 2 * GRACE, True
        waiting.retry_at = waiting.until
        return now < waiting.until

    def _lacks(self, request: m.Reserve, room: int) -> int:
        """Bytes that are missing for it: of the capacity, or of the machine's memory."""
        ledger, nbytes = self._ledger, request.nbytes
        if not ledger.has_slots():
            return 0
        needed = ledger.extents.pages_needed(nbytes) * PAGE
        return max(0, needed + ledger.overdraft - ledger.free, nbytes - room)

    def _reach(self, waiting: Parked, missing: int, now: float) -> int:
        """Bytes that could leave; if that is too little, as a look at all objects tells that was just made."""
        spilling = self._spilling
        if missing > spilling.within_reach(now):
            if now >= waiting.judged + RECENT and not waiting.is_surveying:
                waiting.judged = now
            waiting.is_surveying = not spilling.survey(waiting.judged, now).is_over
        return spilling.within_reach(now)


def _same(nbytes: int) -> int:
    return nbytes
