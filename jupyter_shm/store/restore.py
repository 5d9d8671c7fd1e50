"""The books of a store that died, from its index: the index is the database.  No I/O here.

A store process may die between any two of its writes; the memory stays, and the next one starts from what the slots
say.  The laws that make this possible:

1. What a slot is stands in its state word alone; its facts were written before, and stand under a CRC.
2. A commit makes the object LIVE before it frees the reservation.  If both are there, with one extent, the commit
   counts.
3. An overwrite makes the new object LIVE before it makes the old one DYING.  Of two LIVE ones with one name the higher
   sequence counts.
4. A Delete notes its request before it makes the object DYING.  So whatever a request has done, its number is there.
   What an interrupted one has noted counts if the object ends otherwise: it was deleted before that.
5. The terms of an object are written before it becomes LIVE, and made zero after its slot is FREE.  What stands in
   the slot of no object was left by a death in between.
6. An object is SPILLED when its bytes are in the spill heap and nobody holds its extent, which is given back
   afterwards; before that its slot tells of it, and of nothing else.
7. What is said of a PENDING object stands in words that its facts do not touch, which are written before it becomes
   LIVE.  Whether somebody will make it is told by who is connected.

What is to be repaired is told as actions.  Restoring again after some of them were carried out comes to the same end.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from ..errors import ProtocolError
from ..tables.index import IndexReader, Slot
from ..tables.layout import (
    DROPPED,
    DYING,
    FREE,
    LIVE,
    MAX_CLIENTS,
    MAX_OBJECTS,
    PENDING,
    RESERVED,
    SPILLED,
    SPILLING,
    Record,
    object_id,
)
from ..tables.terms import NO_TERMS, Terms, changes
from .actions import SetEnder, SetState, SetTerm
from .agreements import agree
from .circles import leads_to
from .entries import Nursery, Object, Reservation
from .ledger import Ledger

Repair: TypeAlias = SetState | SetEnder | SetTerm


@dataclass(slots=True)
class Restored:
    """What the index of a store that died says.

    Attributes:
        ledger: The books, as they are when the repairs have been carried out.
        repairs: What is to be written to the index, in this order, before anybody is served.
        applied: The highest number of a request whose effect is in the slots, by id of the client.
        ended: ``(client, number)`` of the requests that have ended objects, which are DYING, or will be when they are
            repaired.
        last_client: The highest client id that is mentioned anywhere.
        damaged: What is wrong, by slot, for the log.
    """

    ledger: Ledger
    repairs: list[Repair]
    applied: dict[int, int]
    ended: frozenset[tuple[int, int]]
    last_client: int
    damaged: dict[int, str]


_NONE: Mapping[int, Terms] = MappingProxyType({})


def restore(
    index: IndexReader,
    heap_nbytes: int,
    read_contained: Callable[[Record], tuple[int, ...]],
    max_objects: int = MAX_OBJECTS,
    terms: Mapping[int, Terms] = _NONE,
) -> Restored:
    """Build the books anew.  It makes many objects: switch the garbage collection off meanwhile.

    Args:
        index: Of the store that died; nobody writes it.
        heap_nbytes: Size of the heap's address space.
        read_contained: Reads the list of contained ids from the object's prefix in the heap.  It may raise
            ``ProtocolError``; it is asked only about objects whose facts say that they contain some.
        max_objects: Slots.
        terms: By slot, those that are not zero.

    Returns:
        Books that balance, and what is to be repaired in the index.

    Raises:
        ValueError: The extents of two slots overlap, or one is not in the heap: this index is of no use.
    """
    survey = _Survey()
    for slot, entry in enumerate(index.slots()):
        survey.add(slot, entry)
    survey.give_terms(terms)
    survey.settle_spills()
    survey.keep_promises()
    survey.drop_twins()
    survey.drop_losers()
    survey.fill_containers(read_contained)
    ledger = Ledger.restored(
        (index.capacity, heap_nbytes, max_objects),
        survey.objects.values(),
        survey.reservations,
        survey.generations,
        survey.sequence,
    )
    last_client = max(survey.last_client, *(index.row(row)[0] for row in range(MAX_CLIENTS)))
    return Restored(ledger, survey.repairs, survey.applied, frozenset(survey.ended), last_client, survey.damaged)


@dataclass(slots=True)
class _Survey:
    """What the slots say, taken together."""

    generations: list[int] = field(default_factory=list)
    objects: dict[int, Object] = field(default_factory=dict)  # by id
    reservations: list[Reservation] = field(default_factory=list)
    ages: dict[int, int] = field(default_factory=dict)  # sequence of each reservation, by id
    promises: list[tuple[int, int, int]] = field(default_factory=list)  # slot, generation, id of the nursery
    containers: list[tuple[Object, Record]] = field(default_factory=list)
    spills: dict[int, int] = field(default_factory=dict)  # states SPILLED and SPILLING, by id
    repairs: list[Repair] = field(default_factory=list)
    applied: dict[int, int] = field(default_factory=dict)
    ended: set[tuple[int, int]] = field(default_factory=set)
    sequence: int = 0
    last_client: int = 0
    damaged: dict[int, str] = field(default_factory=dict)

    def add(self, slot: int, entry: Slot) -> None:
        """Read one slot; they come in their order."""
        word, record = entry.state, entry.record
        generation, state = word >> 8, word & 0xFF
        self.generations.append(generation)
        if record is not None:
            self.sequence = max(self.sequence, record.sequence)
            self.last_client = max(self.last_client, record.client)
        if state == FREE:
            return  # its facts, if there are any, are of no object any more, or of none yet
        if state == RESERVED and entry.ender:
            self.promises.append((slot, generation, entry.ender))
            return
        if state in {PENDING, DROPPED}:
            self._add_pending(slot, generation, state, entry)
            return
        if record is None or record.generation != generation or state > SPILLING:
            self._drop_damaged(slot, generation, state, record)
            return
        self._note_request(record.client, record.request)
        if state == RESERVED:
            reservation = _reservation(slot, record)
            self.reservations.append(reservation)
            self.ages[reservation.id] = record.sequence
            return
        object = _object(slot, DYING if state == DYING else LIVE, entry.reads, record)
        self.objects[object.id] = object
        if state in {SPILLED, SPILLING}:
            self.spills[object.id] = state
        if record.contained:
            self.containers.append((object, record))
        if entry.ender:
            self._note_ender(object, (entry.ender, entry.ender_number))

    def _add_pending(self, slot: int, generation: int, state: int, entry: Slot) -> None:
        """Its facts, if there are any, were not complete, or do not count yet: law 7."""
        self.last_client = max(self.last_client, entry.ender)
        self._note_request(entry.ender, entry.ender_number)
        id = object_id(slot, generation)
        empty = (0, "", entry.ender, entry.ender_number, None, 0, 0, 0, 0, 0, 0)
        object = Object(id, slot, generation, *empty, is_pending=True)
        object.state = DYING if state == DROPPED else LIVE
        self.objects[id] = object

    def _note_ender(self, object: Object, ender: tuple[int, int]) -> None:
        if object.state == DYING:
            self.last_client = max(self.last_client, ender[0])
            self.ended.add(ender)
            object.ender = ender
            self._note_request(*ender)
        else:
            # That Delete was not carried out.  Another request may end this object before it is seen again, and then
            # it would pass for carried out.
            self.repairs.append(SetEnder(object.slot, 0, 0))

    def _note_request(self, client: int, number: int) -> None:
        if self.applied.get(client, 0) < number:
            self.applied[client] = number

    def _drop_damaged(self, slot: int, generation: int, state: int, record: Record | None) -> None:
        facts = (
            "facts that are not what their CRC says" if record is None else f"facts of generation {record.generation}"
        )
        self.damaged[slot] = f"state {state} of generation {generation} does not go with {facts}: what it held is lost"
        self.repairs.append(SetState(slot, generation, FREE))

    def keep_promises(self) -> None:
        """Give the nurseries the slots that were promised with them, and take what was cut out of them away.

        A gap between two objects may be another's who is still writing there, or one that was freed: it stays the
        nursery's until that is closed.
        """
        nurseries = {entry.id: entry for entry in self.reservations if isinstance(entry, Nursery)}
        for slot, generation, id in self.promises:
            if id in nurseries:
                nurseries[id].promised[object_id(slot, generation)] = None
            else:
                self.repairs.append(SetState(slot, generation, FREE))
        if nurseries:
            owners: list[Object | Reservation] = [entry for entry in self.reservations if entry.id not in nurseries]
            owners += (one for one in self.objects.values() if not (one.is_spilled or one.is_pending))
            spans = sorted((owner.offset, owner.offset + owner.extent) for owner in owners)
            # What was cut out and has been freed may be another's now: the youngest has what is left of its own.
            for id in sorted(nurseries, key=self.ages.__getitem__, reverse=True):
                _cut_out(nurseries[id], spans)
                for left in nurseries[id].spans():
                    if left[0] < left[1]:
                        insort(spans, left)

    def drop_twins(self) -> None:
        """A reservation whose extent is an object's was committed."""
        if not self.reservations:
            return
        offsets = {one.offset for one in self.objects.values() if not (one.is_spilled or one.is_pending)}
        twins = [entry for entry in self.reservations if entry.offset in offsets and not isinstance(entry, Nursery)]
        for entry in twins:
            self.repairs.append(SetState(entry.slot, entry.generation, FREE))
            self.reservations.remove(entry)

    def drop_losers(self) -> None:
        """Of the LIVE objects with one name all but the youngest are to end."""
        winners: dict[str, Object] = {}
        for object in self.objects.values():
            if object.name and object.state == LIVE:
                other = winners.setdefault(object.name, object)
                if other is not object:
                    winner, loser = (object, other) if object.sequence > other.sequence else (other, object)
                    winners[object.name] = winner
                    loser.state = DYING
                    self.repairs.append(SetState(loser.slot, loser.generation, DYING))

    def give_terms(self, terms: Mapping[int, Terms]) -> None:
        """Let the objects have what was agreed about them."""
        by_slot = {object.slot: object for object in self.objects.values()} if terms else {}
        for slot, found in terms.items():
            if slot in by_slot:
                by_slot[slot].terms = found
            else:
                self.repairs += [SetTerm(slot, term, value) for term, value in changes(found, NO_TERMS)]

    def settle_spills(self) -> None:
        """Find out whose bytes are in the spill heap, and let what was not yet spilled be LIVE again.

        The place in the spill heap is written before a slot becomes SPILLING, and taken out before it is LIVE again or
        DYING.  So of a DYING object it says that the object was SPILLED; nobody may have its extent but the next owner.
        """
        known = [one for one in self.objects.values() if one.terms is not NO_TERMS or one.id in self.spills]
        for object in known:
            state = self.spills.get(object.id, object.state)
            if state in {LIVE, SPILLING}:
                if object.place >= 0:
                    self.repairs += agree(object, object.terms._replace(spilled=0))
                if state == SPILLING:
                    self.repairs.append(SetState(object.slot, object.generation, LIVE))
            elif object.place >= 0:
                object.is_spilled = True
            elif state == SPILLED:
                self.damaged[object.slot] = "it is SPILLED to nowhere: what it held is lost"
                self.repairs.append(SetState(object.slot, object.generation, FREE))
                self.repairs += agree(object, NO_TERMS)
                del self.objects[object.id]

    def fill_containers(self, read_contained: Callable[[Record], tuple[int, ...]]) -> None:
        """Read again whose bytes the objects refer to.

        The lists stand in the heap, where their publisher can write: what does not exist, or is younger than the
        object itself, was not there when the list was checked at the commit.
        """
        for object, record in self.containers:
            try:
                listed = dict.fromkeys(read_contained(record))
            except ProtocolError as error:
                self.damaged[object.slot] = f"its list of contained objects cannot be read: {error}"
                continue
            inner = [self.objects[id] for id in listed if id in self.objects]
            object.contained = tuple(one.id for one in inner if one.sequence < object.sequence or not one.version)
            if len(object.contained) != record.contained:
                self.damaged[object.slot] = f"{len(object.contained)} of {record.contained} contained objects are there"
        self._break_circles()

    def _break_circles(self) -> None:
        """An object that was PENDING may contain what is younger, so a list may say now that it contains itself."""
        for object in [one for one, _ in self.containers if one.was_pending]:
            if leads_to(self.objects, object.contained, object.id):
                self.damaged[object.slot] = "its list of contained objects says that it contains itself"
                object.contained = ()


def _reservation(slot: int, record: Record) -> Reservation:
    id = object_id(slot, record.generation)
    kind = Nursery if record.version else Reservation  # of a nursery it says how many slots were promised
    return kind(id, slot, record.generation, record.client, record.request, record.offset, record.extent)


def _cut_out(nursery: Nursery, spans: list[tuple[int, int]]) -> None:
    """Let a nursery be what these extents, which are sorted, leave of it."""
    at, end = nursery.offset, nursery.offset + nursery.extent
    for start, behind in spans[max(0, bisect_left(spans, (at, 0)) - 1) : bisect_left(spans, (end, 0))]:
        if at < start:
            nursery.gaps.append((at, start))
        at = max(at, behind)
    nursery.offset, nursery.extent = min(at, end), max(0, end - at)


def _object(slot: int, state: int, reads: int, record: Record) -> Object:
    return Object(
        id=object_id(slot, record.generation),
        slot=slot,
        generation=record.generation,
        sequence=record.sequence,
        name=record.key().decode(),
        client=record.client,
        request=record.request,
        label=None,
        offset=record.offset,
        extent=record.extent,
        nbytes=record.nbytes,
        payload=record.payload,
        created_ns=record.created_ns,
        version=record.version,
        state=state,
        reads=reads,
    )
