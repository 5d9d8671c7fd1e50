"""Which objects leave memory for the disk, and when one has left.  No I/O here.

Its laws:

1. An object's bytes are copied while it is LIVE: they never change.  Its place in the spill heap is written when the
   copy is whole, and then it is SPILLING: from now on readers miss it, and ask.
2. When a whole grace has passed since the index says so, and the sockets were drained, the lease tables are read.  If
   nobody holds the object it is SPILLED, and only then its extent is anybody's.  Otherwise it is LIVE again.
3. Who asks for an object that is SPILLING gets it as it was: it is LIVE again before the answer is sent.
4. Its place is taken out of its slot before it is LIVE again, or DYING.  So a store that starts anew knows of a DYING
   object where its bytes are.

A SPILLED object is not brought back: it is read where it is, under leases as every other one, until it is deleted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol import messages as m
from ..sizes import format_size
from ..tables.layout import LIVE, SPILLED, SPILLING
from .actions import Action, Punch, PunchSpill, SetState, Spill
from .agreements import agree
from .clients import Question
from .holders import Holders
from .ledger import Ledger, Object
from .reclaim import GRACE
from .spillspace import ADDRESSES
from .survey import Survey, may_spill

STALLED = 5.0
"""Seconds without a byte moved after which a put waits for the disk no longer."""

FRESH = 1.0
"""Seconds for which the disk is believed to be as full, or as broken, as it was found."""


@dataclass(eq=False, slots=True)
class Departure:
    """An object on its way to the spill heap."""

    object: Object
    offset: int  # in the spill heap
    nbytes: int  # whole pages
    due: float = math.inf  # when its leases may be looked at; infinite until it is known since when it is SPILLING


class Spilling:
    """Everything that is being spilled.

    Args:
        ledger: The books.
        holders: The lease tables.

    Attributes:
        fault: What went wrong with the last copy; "" when nothing did.
        told: Called with each object that has left.
    """

    def __init__(self, ledger: Ledger, holders: Holders) -> None:
        self._ledger = ledger
        self._holders = holders
        self._copying: Departure | None = None
        self._leaving: dict[int, Departure] = {}  # SPILLING, by id
        self._survey: Survey | None = None
        self._moved_at = -math.inf
        self._failed_at = self._measured_at = -math.inf
        self.fault = ""
        self.told: Callable[[Object], None] = _nobody

    # --- what others do ---------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Is nothing SPILLING?  Then there is nothing to ``wake`` or to ``stamp``."""
        return not self._leaving

    def stamp(self, now: float) -> None:
        """What an earlier call has told to write is written by now: graces begin."""
        for departure in self._leaving.values():
            if departure.due == math.inf:
                departure.due = now + GRACE

    def wake(self, object: Object) -> list[Action]:
        """Somebody asks for this object, refers to it, or ends it: let it be in memory, if it still is."""
        departure = self._leaving.pop(object.id, None)
        return [] if departure is None else self._stay(departure)

    def asked(self, question: Question) -> list[Action]:
        """Somebody asks: what he means stays in memory, if it still is there."""
        names = question.names if isinstance(question, m.Wait) else ()
        meant = [self._ledger.names.get(name) for name in names]
        if isinstance(question, (m.Look, m.Info)):
            meant.append(self._ledger.meant(question.name, getattr(question, "id", 0)))
        return [action for object in meant if object is not None for action in self.wake(object)]

    # --- leaving ----------------------------------------------------------------------------------------------------

    def next_look(self) -> float | None:
        """When the leases of the next object may be looked at, in the clock's seconds."""
        return min((one.due for one in self._leaving.values() if one.due < math.inf), default=None)

    def look(self, now: float) -> list[Action]:
        """Give up the extents of those that nobody holds.  The sockets were drained just before."""
        actions: list[Action] = []
        due = [one for one in self._leaving.values() if one.due <= now]
        look = self._holders.look() if due else None
        for departure in due:
            object = departure.object
            del self._leaving[object.id]
            assert look is not None
            if may_spill(object) and not look.is_held(object.slot, object.generation):
                actions += self._leave(object)
            else:
                actions += self._stay(departure)
        return actions

    def _leave(self, object: Object) -> list[Action]:
        self._ledger.label(object)  # as long as it can be read without the disk
        offset, nbytes = self._ledger.spill_out(object)
        self.told(object)
        actions: list[Action] = [SetState(object.slot, object.generation, SPILLED)]
        return [*actions, Punch(offset, nbytes)] if nbytes else actions

    def _stay(self, departure: Departure) -> list[Action]:
        object = departure.object
        actions: list[Action] = [
            *agree(object, object.terms._replace(spilled=0)),
            SetState(object.slot, object.generation, LIVE),
        ]
        return [*actions, self._drop(departure)]

    def _drop(self, departure: Departure) -> PunchSpill:
        return PunchSpill(*self._ledger.spill.give_back(departure.offset, departure.nbytes))

    # --- copying ----------------------------------------------------------------------------------------------------

    def make_room(self, nbytes: int, now: float) -> list[Action]:
        """Begin with the next object, if more has to leave than what is leaving already.

        Args:
            nbytes: Bytes that are missing.
            now: Seconds.
        """
        if self._copying is not None or not self.is_possible(now):
            return []
        survey = self._survey
        missing = nbytes - self.under_way
        while missing > 0 and survey is not None and survey.is_over:
            object = survey.next()
            if object is None:
                break
            if not may_spill(object) or object.id in self._leaving or self._is_held(object):
                continue
            space = self._ledger.spill
            if object.extent > self._room(now):
                survey.barred += object.extent
                continue
            spilled, self._copying = space.used, Departure(object, space.take(object.extent), object.extent)
            self._moved_at = now
            return [Spill(object.id, object.offset, self._copying.offset, object.extent, spilled)]
        return []

    def moved(self, now: float) -> None:
        """A copy goes on."""
        self._moved_at = now

    def copied(self, error: str, limit: int, now: float) -> list[Action]:
        """A copy has come to its end.

        Args:
            error: Why it failed; "" if it did not.
            limit: Bytes that the spill heap may take, as the disk is now; 0 if that is not known.
            now: Seconds.
        """
        departure, self._copying = self._copying, None
        assert departure is not None
        self._moved_at = now
        if limit:
            self._ledger.spill.limit, self._measured_at = limit, now
        self.fault = error
        object = departure.object
        space = self._ledger.spill
        if error and space.used <= space.limit:
            self._failed_at = now  # it was not for lack of what the limit leaves
        if error or not may_spill(object) or self._is_held(object):
            return [self._drop(departure)]
        self._leaving[object.id] = departure
        placed = agree(object, object.terms._replace(spilled=departure.offset + 1))
        return [*placed, SetState(object.slot, object.generation, SPILLING)]

    def _is_held(self, object: Object) -> bool:
        return bool(object.containers) or self._holders.look().is_held(object.slot, object.generation)

    # --- what it can do for a put that does not fit -------------------------------------------------------------------

    @property
    def under_way(self) -> int:
        """Bytes that are being copied, or whose grace has not ended."""
        copying = self._copying.nbytes if self._copying and self._copying.object.state == LIVE else 0
        return copying + sum(departure.nbytes for departure in self._leaving.values())

    @property
    def is_at_work(self) -> bool:
        """Is something under way, be it in vain, whose end is told or looked for?"""
        return self._copying is not None or bool(self._leaving)

    def is_possible(self, now: float) -> bool:
        """Is there any use in beginning a copy?"""
        return self._ledger.spill.is_open and now >= self._failed_at + FRESH

    def has_failed(self, since: float) -> bool:
        """Has a copy failed at this time or later, or can there be none at all?"""
        return self._failed_at >= since or not self._ledger.spill.is_open

    def has_stalled(self, now: float) -> bool:
        """Does a copy move no bytes?"""
        return self._copying is not None and now >= self._moved_at + STALLED

    @property
    def patience_ends(self) -> float:
        """When the copy that is under way counts as stalled, in the clock's seconds; infinite: there is none."""
        return math.inf if self._copying is None else self._moved_at + STALLED

    def trouble(self, now: float) -> str:
        """Why no more than what is ``within_reach`` can leave, for people; "" when everything could."""
        space = self._ledger.spill
        if not space.is_open:
            return f"nothing can be spilled to disk: {space.reason}"
        if self.has_stalled(now):
            return f"the disk has taken nothing for {STALLED:.0f} s"
        if not self.is_possible(now):
            return f"nothing can be spilled to disk: {self.fault}"
        survey = self._survey
        if survey is not None and (survey.barred or self._room(now) < survey.spillable):
            return f"the disk takes {format_size(space.room)} more"
        return ""

    @property
    def last_survey(self) -> Survey | None:
        """The last look at all objects."""
        return self._survey

    def survey(self, since: float, now: float) -> Survey:
        """Go on with a look at all objects that was begun at this time or later; a new one if there is none."""
        if self._survey is None or self._survey.since < since:
            self._survey = Survey(self._ledger, self._holders, now)
        if not self._survey.is_over:
            self._survey.go_on()
        return self._survey

    def within_reach(self, now: float) -> int:
        """Bytes that are leaving, or could leave, as far as the last look at all objects tells."""
        if self._survey is None or self.has_stalled(now) or not self.is_possible(now):
            return 0
        return self.under_way + min(self._survey.spillable, self._room(now))

    def _room(self, now: float) -> int:
        """Bytes that the disk takes, as far as is known: what was found long ago is to be found out again."""
        return self._ledger.spill.room if now < self._measured_at + FRESH else ADDRESSES


def _nobody(_object: Object) -> None:
    """Nobody wants to know."""
