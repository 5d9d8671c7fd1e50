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

from ..tables.layout import DYING, LIVE, MAX_OBJECTS, generation_of, object_id, slot_of
from .coverage import Coverage
from .entries import Nursery, Object, Reservation
from .extents import PAGE, Extents
from .reserve import Reserve
from .spillspace import SpillSpace

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
        warm: The warm reserve; empty, and without a wanted size, until somebody gives it one.
        spill: The space of the spill heap; there is none until somebody opens one.
        now: Seconds, as the core was told last.
    """

    capacity: int
    heap_nbytes: int
    max_objects: int = MAX_OBJECTS
    objects: dict[int, Object] = field(default_factory=dict)  # by id: LIVE and DYING ones
    names: dict[str, Object] = field(default_factory=dict)  # LIVE, named
    reservations: dict[int, Reservation] = field(default_factory=dict)  # by id
    sequence: int = 0
    held: int = 0  # bytes of extents of DYING objects that somebody still holds; not those of spilled ones
    payload: int = 0  # bytes of data of all objects
    extents: Extents = field(init=False)
    warm: Reserve = field(init=False)
    read_label: Callable[[Object], str] = _no_label
    in_grace: int = 0  # DYING objects that nobody has looked at yet
    spill: SpillSpace = field(default_factory=SpillSpace)
    spilled: int = 0  # objects whose bytes are in the spill heap
    now: float = 0.0
    _sealed: Coverage = field(default_factory=Coverage)
    _generations: list[int] = field(default_factory=list)  # of each slot ever used
    _by_slot: list[Object | None] = field(default_factory=list)
    _free_slots: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.extents = Extents(self.heap_nbytes)
        self.warm = Reserve(self.extents, self.heap_nbytes)

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
        spilled = [object for object in ledger.objects.values() if object.is_spilled]
        ledger.spilled = len(spilled)
        ledger.spill.take_back((object.place, object.extent) for object in spilled)
        return ledger

    def _restore_slots(self) -> None:
        resident = (one for one in self.objects.values() if not (one.is_spilled or one.is_pending))
        sealed = [(object.offset, object.extent) for object in resident]
        reserved = [(entry.offset, entry.extent) for entry in self.reservations.values()]
        nurseries = [entry for entry in self.reservations.values() if isinstance(entry, Nursery)]
        gaps = [(start, end - start) for nursery in nurseries for start, end in nursery.gaps]
        spans = (span for span in chain(sealed, reserved, gaps) if span[1])
        self.extents = Extents.restored(self.heap_nbytes, spans)
        self.warm = Reserve(self.extents, self.heap_nbytes)
        for offset, nbytes in sealed:
            self._sealed.add(offset, nbytes)
        self._by_slot = [None] * len(self._generations)
        for object in self.objects.values():
            self._by_slot[object.slot] = object
        taken = {entry.slot for entry in self.reservations.values()}
        taken.update(slot_of(id) for nursery in nurseries for id in nursery.promised)
        last = len(self._generations) - 1
        self._free_slots = [s for s in range(last, -1, -1) if self._by_slot[s] is None and s not in taken]

    @property
    def reserved(self) -> int:
        """Bytes of pages of extents that are being filled, and of nurseries, but for those that objects share."""
        return self.extents.pages_used * PAGE - self.warm.nbytes - self.used

    @property
    def used(self) -> int:
        """Bytes of pages of sealed objects, but for the spilled ones."""
        return self._sealed.pages * PAGE

    @property
    def free(self) -> int:
        """Bytes that may still be taken; the warm reserve is given up for them."""
        return max(0, self.capacity - self.extents.pages_used * PAGE + self.warm.nbytes)

    @property
    def unused(self) -> int:
        """Bytes of capacity that not even the warm reserve takes."""
        return max(0, self.capacity - self.extents.pages_used * PAGE)

    @property
    def excess(self) -> int:
        """Bytes of the warm reserve for which there is no capacity any more."""
        return max(0, self.extents.pages_used * PAGE - self.capacity)

    @property
    def overdraft(self) -> int:
        """Bytes by which used and reserved exceed a capacity that was lowered."""
        return max(0, self.extents.pages_used * PAGE - self.warm.nbytes - self.capacity)

    def fits(self, nbytes: int) -> bool:
        """Is there capacity for an extent of this size now?"""
        return self.extents.pages_needed(nbytes) * PAGE <= self.free

    def has_slots(self) -> bool:
        """Is there a slot for one more reservation?  One is kept, into which a reservation is committed."""
        unused = self.max_objects - len(self._generations) + len(self._free_slots)
        return unused >= 2

    def reserve(self, client: int, request: int, nbytes: int) -> Reservation | None:
        """Take a slot and an extent.  ``None`` when the heap's address space has no interval that is long enough."""
        taken = self.warm.take(nbytes) or self.extents.take(nbytes)
        if taken is None:
            return None
        slot, generation = self._take_slot()
        reservation = Reservation(object_id(slot, generation), slot, generation, client, request, taken[0], taken[1])
        self.reservations[reservation.id] = reservation
        return reservation

    def has_slots_for(self, count: int) -> bool:
        """Are there as many slots to promise, and as many again for everybody else?"""
        return self.max_objects - len(self._generations) + len(self._free_slots) >= 2 * count + 2

    def open_nursery(self, client: int, request: int, nbytes: int, slots: int) -> Nursery | None:
        """Take a slot, an extent, and slots for the objects that will be cut out of it; otherwise as ``reserve``."""
        plain = self.reserve(client, request, nbytes)
        if plain is None:
            return None
        facts = (plain.id, plain.slot, plain.generation, client, request, plain.offset, plain.extent)
        promised = (object_id(*self._take_slot()) for _ in range(slots))
        self.sequence += 1  # of two that have had the same bytes the higher one has them
        nursery = self.reservations[plain.id] = Nursery(*facts, promised=dict.fromkeys(promised))
        return nursery

    def cut(self, nursery: Nursery, offset: int, nbytes: int) -> None:
        """Cut an extent out of a nursery.

        Args:
            nursery: One of whose ``spans`` holds the extent.
            offset: Of the extent.
            nbytes: Of the extent, rounded.
        """
        end, behind = nursery.offset + nursery.extent, offset + nbytes
        if offset < nursery.offset:
            start, stop = next(gap for gap in nursery.gaps if gap[0] <= offset < gap[1])
            nursery.gaps.remove((start, stop))
            nursery.gaps += [gap for gap in ((start, offset), (behind, stop)) if gap[0] < gap[1]]
            return
        if offset > nursery.offset:
            # Another thread of the client may still write there, and commit later.
            nursery.gaps.append((nursery.offset, offset))
        nursery.offset, nursery.extent = behind, end - behind

    def free_slot(self, slot: int) -> None:
        """A promised slot is nobody's any more; the next to live in it is of another generation."""
        self._free_slots.append(slot)

    def release(self, reservation: Reservation) -> tuple[int, int]:
        """Take a reservation back, unused: the pages to punch, as ``Reserve.give_back`` says."""
        self._forget(reservation)
        if not reservation.extent:
            return reservation.offset, 0
        return self.warm.give_back(reservation.offset, reservation.extent)

    def seal(self, reservation: Reservation, **facts: object) -> Object:
        """Turn a reservation's extent into an object, in a slot of its own.

        The reservation's slot is free afterwards.  Two slots, because the immutable part of a slot is only written
        while it is FREE, and only the commit knows the name, the sequence and the request that count.
        """
        slot, generation = self._take_slot()
        self._forget(reservation)
        place = (reservation.offset, reservation.extent)
        return self._add(object_id(slot, generation), reservation.client, place, facts)

    def seal_piece(self, nursery: Nursery, id: int, place: tuple[int, int], **facts: object) -> Object:
        """Turn an extent that was cut out of a nursery into an object, in a slot that was promised with it.

        Args:
            nursery: Where it came from.
            id: One of ``nursery.promised``.
            place: Offset and bytes of the extent.
            facts: As for ``seal``.
        """
        del nursery.promised[id]
        return self._add(id, nursery.client, place, facts)

    def pend(self, client: int, request: int, label: str, created_ns: int) -> Object:
        """Take a slot for an object that is still to be made; the caller has asked ``has_slots``."""
        slot, generation = self._take_slot()
        id = object_id(slot, generation)
        empty = (0, "", client, request, label, 0, 0, 0, 0, created_ns, 0)
        object = Object(id, slot, generation, *empty, is_pending=True, used_at=self.now)
        self.objects[id] = self._by_slot[slot] = object
        return object

    def fulfil(self, object: Object, place: tuple[int, int], contained: tuple[int, ...]) -> None:
        """A PENDING object has bytes now; what else is to be said of them the caller sets.

        Args:
            object: A PENDING one.
            place: Offset and bytes of its extent, which nobody has: it was reserved, or cut out of a nursery.
            contained: Ids of what it contains.
        """
        self.sequence += 1
        object.sequence, object.used_at, object.is_pending = self.sequence, self.now, False
        object.offset, object.extent = place
        object.contained = contained
        self._count(object)

    def unreserve(self, reservation: Reservation) -> None:
        """A reservation's extent is an object's now; its slot is free."""
        self._forget(reservation)

    def _add(self, id: int, client: int, place: tuple[int, int], facts: dict[str, object]) -> Object:
        slot = slot_of(id)
        self.sequence += 1
        object = Object(
            id=id,
            slot=slot,
            generation=generation_of(id),
            sequence=self.sequence,
            client=client,
            offset=place[0],
            extent=place[1],
            used_at=self.now,
            **facts,  # type: ignore[arg-type]
        )
        self.objects[id] = self._by_slot[slot] = object
        self._count(object)
        return object

    def _count(self, object: Object) -> None:
        self._sealed.add(object.offset, object.extent)
        self.payload += object.payload
        for inner in object.contained:
            self.objects[inner].containers += 1

    def condemn(self, object: Object) -> None:
        """A LIVE object loses its name and is to be freed."""
        object.state = DYING
        self.in_grace += 1
        if self.names.get(object.name) is object:
            del self.names[object.name]

    def revive(self, object: Object) -> None:
        """A DYING object is LIVE again; it has no name."""
        if object.backoff == 0.0:
            self.in_grace -= 1
        else:
            self.set_held(object, False)
        object.state, object.due, object.backoff = LIVE, None, 0.0

    def set_held(self, object: Object, is_held: bool) -> None:
        """Note what a look at a DYING object found."""
        if object.backoff == 0.0:
            self.in_grace -= 1
            object.backoff = FIRST_BACKOFF
        if object.is_held != is_held:
            object.is_held = is_held
            if not object.is_spilled:
                self.held += object.extent if is_held else -object.extent

    def spill_out(self, object: Object) -> tuple[int, int]:
        """A LIVE object whose bytes are in the spill heap, too, and that nobody holds, gives its extent back.

        Returns:
            The pages to punch, as ``Reserve.give_back`` says.
        """
        object.is_spilled = True
        self.spilled += 1
        self._sealed.remove(object.offset, object.extent)
        return self.warm.give_back(object.offset, object.extent)

    def free_object(self, object: Object) -> tuple[int, int]:
        """A DYING object that nobody holds is gone: the pages to punch, as ``Reserve.give_back`` says.

        What a spilled one had in the spill heap is the caller's to give back.
        """
        self.set_held(object, False)
        del self.objects[object.id]
        self._by_slot[object.slot] = None
        self.payload -= object.payload
        for id in object.contained:
            self.objects[id].containers -= 1
        self._free_slots.append(object.slot)
        if object.is_pending:
            return 0, 0
        if object.is_spilled:
            self.spilled -= 1
            return object.offset, 0
        self._sealed.remove(object.offset, object.extent)
        return self.warm.give_back(object.offset, object.extent)

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
        """The objects with the largest extents in memory."""
        resident = (object for object in self.objects.values() if not object.is_spilled)
        return heapq.nlargest(count, resident, key=attrgetter("extent"))

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
        self._free_slots.append(reservation.slot)
        if isinstance(reservation, Nursery):
            self._free_slots += map(slot_of, reservation.promised)

    def check(self) -> None:
        """Compare every sum with what it is the sum of; for tests.

        Raises:
            AssertionError: The books do not balance.
        """
        live_names = {object.name: object for object in self.objects.values() if object.state == LIVE and object.name}
        assert self.names == live_names, "names and LIVE objects differ"
        entries: list[Object | Reservation] = [*self.objects.values(), *self.reservations.values()]
        slots = [entry.slot for entry in entries]
        nurseries = [entry for entry in entries if isinstance(entry, Nursery)]
        slots += [slot_of(id) for nursery in nurseries for id in nursery.promised]
        assert len(slots) + len(self._free_slots) == len(self._generations), "a slot is lost or doubled"
        assert len({*slots, *self._free_slots}) == len(self._generations), "a slot has two owners"
        resident = [entry for entry in entries if not (isinstance(entry, Object) and entry.is_spilled)]
        extents = [(entry.offset, entry.offset + entry.extent) for entry in resident if entry.extent]
        extents = sorted([*extents, *(gap for nursery in nurseries for gap in nursery.gaps)])
        assert all(a[1] <= b[0] for a, b in pairwise(extents)), "two extents overlap"
        pages = {page for start, end in extents for page in range(start // PAGE, -(-end // PAGE))}
        warm = self.warm.ranges()
        assert self.warm.nbytes == sum(nbytes for _, nbytes in warm), "the reserve is miscounted"
        kept = {page for start, nbytes in warm for page in range(start // PAGE, (start + nbytes) // PAGE)}
        assert not kept & pages, "what is warm is not free"
        assert self.extents.pages_used == len(pages) + len(kept), "pages in use are miscounted"
        sealed = {
            page
            for object in self.objects.values()
            if not object.is_spilled
            for page in range(object.offset // PAGE, -(-(object.offset + object.extent) // PAGE))
        }
        assert self._sealed.pages == len(sealed), "pages of objects are miscounted"
        assert self.payload == sum(object.payload for object in self.objects.values()), "payload is miscounted"
        unseen = sum(object.state == DYING and object.backoff == 0.0 for object in self.objects.values())
        assert self.in_grace == unseen, "objects in grace are miscounted"
        held = (object for object in self.objects.values() if object.is_held and not object.is_spilled)
        assert self.held == sum(object.extent for object in held), "held"
        spilled = [object for object in self.objects.values() if object.is_spilled]
        assert all(object.place >= 0 for object in spilled), "a spilled object is nowhere"
        assert self.spilled == len(spilled), "spilled objects are miscounted"
        spans = sorted(
            (object.place, object.place + object.extent) for object in self.objects.values() if object.place >= 0
        )
        assert all(a[1] <= b[0] for a, b in pairwise(spans)), "two objects have one place in the spill heap"
        assert self.spill.used >= sum(end - start for start, end in spans), "the spill heap is miscounted"
        containers = Counter(id for object in self.objects.values() for id in object.contained)
        for object in self.objects.values():
            assert object.containers == containers.pop(object.id, 0), "containers are miscounted"
        assert not containers, "an object contains one that is gone"


__all__ = ["FIRST_BACKOFF", "Ledger", "Object", "Reservation"]
