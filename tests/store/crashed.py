"""What the next store finds when one dies: its index at one moment, what is restored from it, and what must be true."""

from __future__ import annotations

import mmap
from collections.abc import Callable

from pure_store import IDENTITY, PureStore

from jupyter_shm.store import actions as a
from jupyter_shm.store.aftermath import Aftermath
from jupyter_shm.store.core import Core
from jupyter_shm.store.entries import Nursery
from jupyter_shm.store.holders import Holders
from jupyter_shm.store.ledger import Ledger, Object
from jupyter_shm.store.restore import Restored, restore
from jupyter_shm.store.writes import writes
from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import (
    DROPPED,
    DYING,
    FREE,
    HASH_BASE,
    INDEX_SIZE,
    LIVE,
    PAGE,
    PENDING,
    RESERVED,
    SLOT_SIZE,
    SLOTS_BASE,
    SPILLED,
    SPILLING,
    TERMS_BASE,
    TERMS_SIZE,
    WORD_HASH_BITS,
    WORD_SLOTS,
    Record,
    generation_of,
    object_id,
    slot_of,
)
from jupyter_shm.tables.prefix import HEAD_SIZE, read_contained, read_head
from jupyter_shm.tables.terms import NO_TERMS, Terms, written

FACTS = (
    "slot", "generation", "sequence", "name", "client", "request", "offset", "extent", "nbytes", "payload",
    "created_ns", "version", "contained",
)  # fmt: skip


class Crashed:
    """A store that has died; its heap is still shared with the one that it is a copy of.

    Args:
        store: It lives on, and is not touched.
    """

    def __init__(self, store: PureStore) -> None:
        self.heap = store.heap
        self.index = IndexWriter(copied(store.index))
        self.reader = IndexReader(self.index.memory.toreadonly())
        self.index.set_capacity(store.ledger.capacity)

    def contained(self, record: Record) -> tuple[int, ...]:
        data = self.heap[record.offset : record.offset + record.nbytes]
        return read_contained(data, read_head(data[:HEAD_SIZE], record.nbytes)[0])

    def restore(self) -> Restored:
        return restore(self.reader, len(self.heap), self.contained, terms=self.terms())

    def terms(self) -> dict[int, Terms]:
        """All that are not zero, by slot."""
        return dict(written(self.index.memory[TERMS_BASE : TERMS_BASE + _terms_nbytes(self.index)]))

    def repair(self, restored: Restored, count: int | None = None) -> None:
        """Carry out the first repairs, or all of them."""
        write = writes(self.index)
        for do in restored.repairs[:count]:
            write[type(do)](do)

    def slots(self, *states: int) -> list[int]:
        """All slots in these states."""
        return [slot for slot in range(self.index.words[WORD_SLOTS]) if self.reader.state(slot) & 0xFF in states]


class Revived(PureStore):
    """The next store: it goes on with what was left, and with all clients, who hear nothing of it.

    Args:
        store: The one that has died; it lives on, and is not touched.
        crashed: What it has left; repaired.
    """

    def __init__(self, store: PureStore, crashed: Crashed) -> None:
        restored = crashed.restore()
        ledger = restored.ledger
        ledger.warm.target = store.ledger.warm.target
        aftermath = Aftermath(ledger, restored.applied, restored.ended, restored.last_client)
        core = Core(ledger, Holders(), IDENTITY, store.now, aftermath)
        self.disk, self.spill = store.disk, store.spill
        self.begin(core, store.heap, crashed.index, store.now)
        for known in store.core.clients:
            if known.conn in store.noted:
                self.noted.add(known.conn)
                core.holders.add(known.id, store.core.holders._tables[known.id])
                owner, number = self.reader.row(known.row)
                said = (number, self.reader.tail(known.row), self.terms.done(known.row))
                core.resume(
                    known.conn, known.id, known.row, known.hello, *(said if owner == known.id else (0, 0, 0)), self.now
                )
        self.perform(core.recover())

    def end_all(self) -> None:
        """Every client hangs up: nothing is left but what has a name."""
        for client in list(self.core.clients):
            actions = self.core.hung_up(client.conn, self.now)
            self.core.holders.remove(client.id)
            self.perform(actions)
        self.advance(1.0)
        ledger = self.ledger
        ledger.check()
        assert ledger.reservations == {}, "a reservation is leaked"
        assert ledger.reserved == 0, "pages are leaked"
        kept = {id for object in ledger.objects.values() for id in object.contained}
        assert all(object.name or object.id in kept for object in ledger.objects.values()), "an object is leaked"

    def _send(self, _action: a.Send) -> None:
        """Nobody hears it: the clients are those of the store that lives on."""

    def _spill(self, _action: a.Spill) -> None:
        """Its spill heap is that of the store that lives on, too."""

    def _punch_spill(self, action: a.PunchSpill) -> None:
        """The same; but nothing that somebody has there may be given back."""
        end = action.offset + action.nbytes
        spans = [(one.place, one.place + one.extent) for one in self.ledger.objects.values() if one.place >= 0]
        assert all(stop <= action.offset or end <= start for start, stop in spans), "bytes are lost"

    def _punch(self, action: a.Punch) -> None:
        """The heap is that of the store that lives on; but nothing that somebody has may be given back."""
        end = action.offset + action.nbytes
        spans = [(one.offset, one.offset + one.extent) for one in self.ledger.objects.values() if not one.is_spilled]
        for entry in self.ledger.reservations.values():
            spans += entry.spans() if isinstance(entry, Nursery) else [(entry.offset, entry.offset + entry.extent)]
        spans = [(start, stop) for start, stop in spans if start < stop]  # a nursery that is used up is nowhere
        assert all(stop <= action.offset or end <= start for start, stop in spans), "bytes are lost"


def copied(index: IndexReader) -> memoryview:
    """The memory of an index, as far as it is in use."""
    bits = index.words[WORD_HASH_BITS]
    table = HASH_BASE + (8 << bits)
    parts = [
        (0, 2 * PAGE),
        (table, 8 << bits),
        (SLOTS_BASE, index.words[WORD_SLOTS] * SLOT_SIZE),
        (TERMS_BASE, _terms_nbytes(index)),
    ]
    copy = memoryview(mmap.mmap(-1, INDEX_SIZE))
    for start, nbytes in parts:
        copy[start : start + nbytes] = index.memory[start : start + nbytes]
    return copy


def _terms_nbytes(index: IndexReader) -> int:
    return -(-index.words[WORD_SLOTS] * TERMS_SIZE // PAGE) * PAGE


def books(restored: Restored) -> dict[str, object]:
    """All that counts of what was restored, to be compared."""
    ledger = restored.ledger
    return {
        "objects": {
            id: (facts(object), object.state, object.containers, object.reads, object.due, object.backoff)
            for id, object in ledger.objects.items()
        },
        "reservations": {
            id: (entry.slot, entry.generation, entry.client, entry.request, entry.offset, entry.extent)
            for id, entry in ledger.reservations.items()
        },
        "nurseries": {
            id: (list(entry.promised), entry.spans())
            for id, entry in ledger.reservations.items()
            if isinstance(entry, Nursery)
        },
        "names": {name: object.id for name, object in ledger.names.items()},
        "sums": (ledger.payload, ledger.held, ledger.in_grace, ledger.reserved, ledger.used, ledger.sequence),
        "slots": (ledger._generations, ledger._free_slots),
        "room": list(ledger.extents.free_ranges()),
        "requests": (restored.applied, restored.ended, restored.last_client),
    }


def facts(object: Object) -> tuple[object, ...]:
    """What never changes of an object, but for its place in the spill heap; of one that is PENDING there is little."""
    found = {name: getattr(object, name) for name in FACTS}
    if object.is_pending:
        found["created_ns"] = 0  # nobody has written when
    return (*found.values(), object.is_pending, object.terms._replace(spilled=0))


def last_page(object: Object) -> int:
    return (object.offset + object.extent - 1) // PAGE


# --- What must be true of every moment --------------------------------------------------------------------------------


def check(crashed: Crashed) -> Restored:
    """Restore, hold it against what the slots say in the plainest reading, and crash again at every repair."""
    restored = crashed.restore()
    restored.ledger.check()
    assert restored.damaged == {}
    _check_slots(crashed, restored.ledger)
    _check_again(crashed, restored)
    _check_repaired(crashed, restored)
    return restored


def _check_slots(crashed: Crashed, ledger: Ledger) -> None:
    reader = crashed.reader
    states, spilled = {LIVE, SPILLED, SPILLING}, spilled_slots(crashed)
    records = {slot: reader.record(slot) for slot in crashed.slots(*states, DYING)}
    anonymous = {slot for slot in crashed.slots(*states) if not records[slot].name_nbytes}
    meant: dict[str, int] = {}
    for slot in sorted(set(crashed.slots(*states)) - anonymous, key=lambda slot: records[slot].sequence):
        meant[records[slot].key().decode()] = slot
    offsets = {record.offset for slot, record in records.items() if slot not in spilled}
    pending = {slot: reader.state(slot) >> 8 for slot in crashed.slots(PENDING, DROPPED)}
    promises = {slot: reader.ender(slot)[0] for slot in crashed.slots(RESERVED) if reader.ender(slot)[0]}
    reserved = {slot: reader.record(slot) for slot in crashed.slots(RESERVED) if slot not in promises}
    nurseries = {object_id(slot, record.generation) for slot, record in reserved.items() if record.version}
    twins = {slot for slot, record in reserved.items() if record.offset in offsets and not record.version}
    promised = {slot for slot, nursery in promises.items() if nursery in nurseries}

    generations = {slot: record.generation for slot, record in records.items()} | pending
    assert set(ledger.objects) == {object_id(*known) for known in generations.items()}
    assert {one.slot for one in ledger.objects.values() if one.is_pending} == set(pending)
    assert {name: object.slot for name, object in ledger.names.items()} == meant
    assert {one.slot for one in ledger.objects.values() if one.state == LIVE} == {
        *meant.values(),
        *anonymous,
        *crashed.slots(PENDING),
    }
    assert all(object.state in {LIVE, DYING} for object in ledger.objects.values())
    assert {entry.slot for entry in ledger.reservations.values()} == set(reserved) - twins
    assert {slot_of(id) for entry in nurseries_of(ledger) for id in entry.promised} == promised
    assert set(ledger._free_slots) == {*crashed.slots(FREE), *twins, *(set(promises) - promised)}
    assert ledger._generations == [reader.state(slot) >> 8 for slot in range(crashed.index.words[WORD_SLOTS])]
    for object in ledger.objects.values():
        assert (object.reads, object.label) == (reader.reads(object.slot), None)
        terms = crashed.terms().get(object.slot, NO_TERMS)
        assert object.is_spilled == (object.slot in spilled)
        assert object.terms == (terms if object.is_spilled else terms._replace(spilled=0))
    resident = [one for one in ledger.objects.values() if not one.is_spilled]
    sealed = {page for one in resident for page in range(one.offset // PAGE, last_page(one) + 1)}
    assert ledger.used == len(sealed) * PAGE, "a page that an object covers counts as used"


def spilled_slots(crashed: Crashed) -> set[int]:
    """Slots of objects whose bytes are in the spill heap alone."""
    terms = crashed.terms()
    dying = {slot for slot in crashed.slots(DYING) if slot in terms and terms[slot].spilled}
    return {*crashed.slots(SPILLED), *dying}


def nurseries_of(ledger: Ledger) -> list[Nursery]:
    """All nurseries that there are."""
    return [entry for entry in ledger.reservations.values() if isinstance(entry, Nursery)]


def _check_again(crashed: Crashed, restored: Restored) -> None:
    for count in range(1, len(restored.repairs) + 1):
        crashed.repair(restored, count)
        again = crashed.restore()
        assert books(again) == books(restored), f"another crash after {count} repairs comes to another end"
        assert again.repairs == restored.repairs[count:]


def _check_repaired(crashed: Crashed, restored: Restored) -> None:
    """The index, repaired, shows what the books say, to a reader who asks nobody."""
    ledger = restored.ledger
    assert crashed.terms().keys() <= {object.slot for object in ledger.objects.values()}, "terms of nobody are left"
    for object in ledger.objects.values():
        state = SPILLED if object.is_spilled and object.state == LIVE else object.state
        if object.is_pending:
            state = PENDING if object.state == LIVE else DROPPED
        assert crashed.reader.state(object.slot) == object.generation << 8 | state
    for entry in ledger.reservations.values():
        assert crashed.reader.state(entry.slot) == entry.generation << 8 | RESERVED
    for nursery in nurseries_of(ledger):
        for id in nursery.promised:
            assert crashed.reader.state(slot_of(id)) == generation_of(id) << 8 | RESERVED
    crashed.index.rebuild_names((name.encode(), object.slot) for name, object in ledger.names.items())
    for object in ledger.objects.values():
        means = ledger.names.get(object.name)
        wanted = SPILLED if means and means.is_spilled else LIVE
        hit = crashed.reader.look_up(object.name.encode(), wanted) if object.name else None
        assert (hit and hit[0]) == (means.slot if means else None)


def spend(ledger: Ledger, order: Callable[[list], None]) -> None:
    """Go on with the restored books until nothing is left: every page is given back once, and none is left over."""
    entries = [*ledger.reservations.values(), *ledger.objects.values()]
    order(entries)
    for entry in entries:
        for start, end in entry.gaps if isinstance(entry, Nursery) else ():
            ledger.warm.give_back(start, end - start)
        if not isinstance(entry, Object):
            ledger.release(entry)
            continue
        if entry.state == LIVE:
            ledger.condemn(entry)
        ledger.set_held(entry, is_held=False)
    while ledger.objects:
        entry = next(one for one in ledger.objects.values() if not one.containers)
        ledger.free_object(entry)
        if entry.is_spilled:
            ledger.spill.give_back(entry.place, entry.extent)
        ledger.check()
    assert (ledger.objects, ledger.names, ledger.reservations) == ({}, {}, {})
    assert (ledger.used, ledger.reserved, ledger.payload, ledger.held, ledger.in_grace) == (0, 0, 0, 0, 0)
    assert ledger.spilled == 0
