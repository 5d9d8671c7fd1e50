"""The books of the store: slots, extents, objects, reservations, names, and the pages they take.  No I/O here.

The ledger moves things between books and knows every sum; what is said to whom, and when, is the core's.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter

from ..tables.layout import DYING, LIVE, MAX_OBJECTS, object_id
from .extents import PAGE, Extents

FIRST_BACKOFF = 0.05
"""Seconds between the first two looks at an object that is still held."""


@dataclass(eq=False, slots=True)
class Reservation:
    """An extent that a client is filling.  It has a slot of its own, in state RESERVED."""

    id: int
    slot: int
    generation: int
    client: int
    request: int
    offset: int
    extent: int  # bytes
    pages: int  # that came into use with it


@dataclass(eq=False, slots=True)
class Object:
    """A sealed object."""

    id: int
    slot: int
    generation: int
    sequence: int
    name: str  # "" when anonymous; stays what it was when the name is gone
    client: int
    request: int
    label: str
    offset: int
    extent: int  # bytes of the extent
    nbytes: int  # bytes covered, header included
    payload: int  # bytes of data
    created_ns: int
    version: int
    contained: tuple[int, ...] = ()
    state: int = LIVE
    containers: int = 0  # objects whose bytes refer to this one's
    reads: int = 0  # by clients that have hung up since
    due: float | None = None  # when to look whether a DYING one is still held; None while LIVE
    backoff: float = 0.0  # seconds between looks; 0 until the first one
    is_held: bool = False  # a look found a lease, or a container


@dataclass(slots=True)
class Ledger:
    """Everything that the store owns.

    Args:
        capacity: Bytes that used and reserved pages together may take.
        heap_nbytes: Size of the heap's address space.
        max_objects: Slots.
    """

    capacity: int
    heap_nbytes: int
    max_objects: int = MAX_OBJECTS
    objects: dict[int, Object] = field(default_factory=dict)  # by id: LIVE and DYING ones
    names: dict[str, Object] = field(default_factory=dict)  # LIVE, named
    reservations: dict[int, Reservation] = field(default_factory=dict)  # by id
    sequence: int = 0
    held: int = 0  # bytes of extents of DYING objects that somebody still holds
    payload: int = 0  # bytes of data of all objects
    reserved_pages: int = 0
    extents: Extents = field(init=False)
    in_grace: int = 0  # DYING objects that nobody has looked at yet
    _generations: list[int] = field(default_factory=list)  # of each slot ever used
    _by_slot: list[Object | None] = field(default_factory=list)
    _free_slots: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.extents = Extents(self.heap_nbytes)

    @property
    def reserved(self) -> int:
        """Bytes of pages that came into use with extents that are being filled."""
        return self.reserved_pages * PAGE

    @property
    def used(self) -> int:
        """Bytes of pages of sealed objects."""
        return (self.extents.pages_used - self.reserved_pages) * PAGE

    @property
    def free(self) -> int:
        """Bytes that may still be taken."""
        return max(0, self.capacity - self.extents.pages_used * PAGE)

    def fits(self, nbytes: int) -> bool:
        """Is there capacity for an extent of this size now?"""
        return self.extents.pages_needed(nbytes) * PAGE <= self.free

    def has_slots(self) -> bool:
        """Is there a slot for one more reservation?  One is kept, into which a reservation is committed."""
        unused = self.max_objects - len(self._generations) + len(self._free_slots)
        return unused >= 2

    def reserve(self, client: int, request: int, nbytes: int) -> Reservation | None:
        """Take a slot and an extent.  ``None`` when the heap's address space has no interval that is long enough."""
        taken = self.extents.take(nbytes)
        if taken is None:
            return None
        offset, extent, pages = taken
        slot, generation = self._take_slot()
        reservation = Reservation(object_id(slot, generation), slot, generation, client, request, offset, extent, pages)
        self.reservations[reservation.id] = reservation
        self.reserved_pages += pages
        return reservation

    def release(self, reservation: Reservation) -> tuple[int, int]:
        """Take a reservation back, unused: the pages to punch, as ``Extents.give_back`` says."""
        self._forget(reservation)
        return self.extents.give_back(reservation.offset, reservation.extent)

    def seal(self, reservation: Reservation, **facts: object) -> Object:
        """Turn a reservation's extent into an object, in a slot of its own.

        The reservation's slot is free afterwards.  Two slots, because the immutable part of a slot is only written
        while it is FREE, and only the commit knows the name, the sequence and the request that count.
        """
        slot, generation = self._take_slot()
        self._forget(reservation)
        self.sequence += 1
        object = Object(
            id=object_id(slot, generation),
            slot=slot,
            generation=generation,
            sequence=self.sequence,
            client=reservation.client,
            offset=reservation.offset,
            extent=reservation.extent,
            **facts,  # type: ignore[arg-type]
        )
        self.objects[object.id] = self._by_slot[slot] = object
        self.payload += object.payload
        for id in object.contained:
            self.objects[id].containers += 1
        return object

    def condemn(self, object: Object) -> None:
        """A LIVE object loses its name and is to be freed."""
        object.state = DYING
        self.in_grace += 1
        if self.names.get(object.name) is object:
            del self.names[object.name]

    def set_held(self, object: Object, is_held: bool) -> None:
        """Note what a look at a DYING object found."""
        if object.backoff == 0.0:
            self.in_grace -= 1
            object.backoff = FIRST_BACKOFF
        if object.is_held != is_held:
            object.is_held = is_held
            self.held += object.extent if is_held else -object.extent

    def free_object(self, object: Object) -> tuple[int, int]:
        """A DYING object that nobody holds is gone: the pages to punch, as ``Extents.give_back`` says."""
        self.set_held(object, False)
        del self.objects[object.id]
        self._by_slot[object.slot] = None
        self.payload -= object.payload
        for id in object.contained:
            self.objects[id].containers -= 1
        self._free_slots.append(object.slot)
        return self.extents.give_back(object.offset, object.extent)

    def from_slot(self, first: int) -> Iterator[Object]:
        """All objects in slot ``first`` and above, by slot."""
        for slot in range(max(first, 0), len(self._by_slot)):
            object = self._by_slot[slot]
            if object is not None:
                yield object

    def largest(self, count: int) -> list[Object]:
        """The objects with the largest extents."""
        return heapq.nlargest(count, self.objects.values(), key=attrgetter("extent"))

    def _take_slot(self) -> tuple[int, int]:
        if self._free_slots:
            slot = self._free_slots.pop()
            self._generations[slot] += 1
        else:
            slot = len(self._generations)
            self._generations.append(1)
            self._by_slot.append(None)
        return slot, self._generations[slot]

    def _forget(self, reservation: Reservation) -> None:
        del self.reservations[reservation.id]
        self.reserved_pages -= reservation.pages
        self._free_slots.append(reservation.slot)

    def check(self) -> None:
        """Compare every sum with what it is the sum of; for tests.

        Raises:
            AssertionError: The books do not balance.
        """
        live_names = {object.name: object for object in self.objects.values() if object.state == LIVE and object.name}
        assert self.names == live_names, "names and LIVE objects differ"
        entries: list[Object | Reservation] = [*self.objects.values(), *self.reservations.values()]
        slots = [entry.slot for entry in entries]
        assert len(slots) + len(self._free_slots) == len(self._generations), "a slot is lost or doubled"
        assert len({*slots, *self._free_slots}) == len(self._generations), "a slot has two owners"
        extents = sorted((entry.offset, entry.offset + entry.extent) for entry in entries)
        assert all(a[1] <= b[0] for a, b in pairwise(extents)), "two extents overlap"
        pages = {page for start, end in extents for page in range(start // PAGE, -(-end // PAGE))}
        assert self.extents.pages_used == len(pages), "pages in use are miscounted"
        assert self.payload == sum(object.payload for object in self.objects.values()), "payload is miscounted"
        unseen = sum(object.state == DYING and object.backoff == 0.0 for object in self.objects.values())
        assert self.in_grace == unseen, "objects in grace are miscounted"
        assert self.held == sum(object.extent for object in self.objects.values() if object.is_held), "held"
        for object in self.objects.values():
            containers = sum(object.id in other.contained for other in self.objects.values())
            assert object.containers == containers, "containers are miscounted"
