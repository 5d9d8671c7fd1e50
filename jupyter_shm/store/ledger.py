"""The books of the store: slots, extents, objects, reservations, names, and the pages they take.  No I/O here.

The ledger moves things between books and knows every sum; what is said to whom, and when, is the core's.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise
from operator import attrgetter

from ..tables.layout import DYING, LIVE, MAX_OBJECTS, object_id
from .entries import Object, Reservation
from .extents import PAGE, Extents, pages_alone

FIRST_BACKOFF = 0.05
"""Seconds between the first two looks at an object that is still held."""


def _no_label(_object: Object) -> str:
    return ""


@dataclass(slots=True)
class Ledger:
    """Everything that the store owns.

    Args:
        capacity: Bytes that used and reserved pages together may take.
        heap_nbytes: Size of the heap's address space.
        max_objects: Slots.

    Attributes:
        read_label: Reads the label of an object whose label is ``None``.  Whoever has the heap sets it.
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
    read_label: Callable[[Object], str] = _no_label
    in_grace: int = 0  # DYING objects that nobody has looked at yet
    _generations: list[int] = field(default_factory=list)  # of each slot ever used
    _by_slot: list[Object | None] = field(default_factory=list)
    _free_slots: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.extents = Extents(self.heap_nbytes)

    @classmethod
    def restored(
        cls,
        limits: tuple[int, int, int],
        objects: Iterable[Object],
        reservations: Iterable[Reservation],
        generations: list[int],
        sequence: int,
    ) -> Ledger:
        """Balance the books of a store that died.

        Args:
            limits: Capacity, ``heap_nbytes`` and ``max_objects``, as above.
            objects: LIVE and DYING ones, owned from now on.  They refer to none that is not among them, LIVE ones
                have different names, and nobody has counted their containers yet or looked at the DYING ones.
            reservations: Owned from now on; their pages are counted here.
            generations: Of each slot ever used, by slot; it is kept.
            sequence: The last one that was given.

        Raises:
            ValueError: Two extents overlap, or one is not in the heap.
        """
        ledger = cls(*limits)
        ledger.objects = {object.id: object for object in objects}
        ledger.reservations = {entry.id: entry for entry in reservations}
        ledger.sequence, ledger._generations = sequence, generations
        ledger._restore_slots()
        for object in ledger.objects.values():
            ledger.payload += object.payload
            if object.state == DYING:
                ledger.in_grace += 1
            elif object.name:
                ledger.names[object.name] = object
            for id in object.contained:
                ledger.objects[id].containers += 1
        return ledger

    def _restore_slots(self) -> None:
        sealed = [(object.offset, object.extent) for object in self.objects.values()]
        reserved = [(entry.offset, entry.extent) for entry in self.reservations.values()]
        self.extents = Extents.restored(self.heap_nbytes, chain(sealed, reserved))
        for entry, pages in zip(self.reservations.values(), pages_alone(reserved, sealed), strict=True):
            entry.pages = pages
            self.reserved_pages += pages
        self._by_slot = [None] * len(self._generations)
        for object in self.objects.values():
            self._by_slot[object.slot] = object
        taken = {entry.slot for entry in self.reservations.values()}
        last = len(self._generations) - 1
        self._free_slots = [s for s in range(last, -1, -1) if self._by_slot[s] is None and s not in taken]

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

    def label(self, object: Object) -> str:
        """Who published an object, for people."""
        if object.label is None:
            object.label = self.read_label(object)
        return object.label

    def from_slot(self, first: int) -> Iterator[Object]:
        """All objects in slot ``first`` and above, by slot."""
        for slot in range(max(first, 0), len(self._by_slot)):
            object = self._by_slot[slot]
            if object is not None:
                yield object

    def meant(self, name: str, id: int, *, dying: bool = False) -> Object | None:
        """The object that a request means.

        Args:
            name: Its name; ``""`` to go by the id alone.
            id: Its id; 0 to go by the name alone.
            dying: Also one that is no longer LIVE.
        """
        object = self.objects.get(id) if id else self.names.get(name)
        if object is None or (object.state != LIVE and not dying) or (name and object.name != name):
            return None
        return object

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
        reserved = sum(entry.pages for entry in self.reservations.values())
        assert self.reserved_pages == reserved <= len(pages), "pages of reservations are miscounted"
        assert self.payload == sum(object.payload for object in self.objects.values()), "payload is miscounted"
        unseen = sum(object.state == DYING and object.backoff == 0.0 for object in self.objects.values())
        assert self.in_grace == unseen, "objects in grace are miscounted"
        assert self.held == sum(object.extent for object in self.objects.values() if object.is_held), "held"
        containers = Counter(id for object in self.objects.values() for id in object.contained)
        for object in self.objects.values():
            assert object.containers == containers.pop(object.id, 0), "containers are miscounted"
        assert not containers, "an object contains one that is gone"


__all__ = ["FIRST_BACKOFF", "Ledger", "Object", "Reservation"]
