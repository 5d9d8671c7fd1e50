"""Slots that are promised and published later: what a reader, or the next store, may see between any two writes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from memories import WatchedMemory, sparse_memory

from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import (
    DYING,
    FREE,
    INDEX_SIZE,
    LIVE,
    PENDING,
    RESERVED,
    ROW_LOOKING,
    WORD_SLOTS,
    Record,
    object_id,
    row_word,
)

NURSERY = object_id(9, 3)
SLOT = 4


@pytest.fixture
def index() -> IndexWriter:
    return IndexWriter.create(sparse_memory(INDEX_SIZE), 1)


@pytest.fixture
def reader(index: IndexWriter) -> IndexReader:
    return IndexReader(index.memory.toreadonly())


def record(generation: int, name: bytes = b"", **facts: int) -> Record:
    empty = dict.fromkeys(Record._fields, 0)
    return Record(**{**empty, "generation": generation, "name_nbytes": len(name), "name": name, **facts})


def watch(index: IndexWriter, look: Callable[[], None]) -> None:
    """Have somebody look after every byte that is copied, and every word that is written, from now on."""
    memory = index.memory
    index.memory = WatchedMemory(memory, look)
    index.words = WatchedMemory(memory.cast("Q"), look)


def used_slot(index: IndexWriter, generation: int) -> None:
    """A slot in which an object has lived and died, that was fetched and deleted."""
    index.write_record(SLOT, record(generation, b"old", offset=1 << 20, sequence=5))
    index.set_state(SLOT, generation, LIVE)
    index.set_reads(SLOT, 7)
    index.set_ender(SLOT, 8, 9)
    index.set_state(SLOT, generation, DYING)
    index.set_state(SLOT, generation, FREE)


@pytest.mark.parametrize("was_used", [False, True])
def test_a_promise_is_whole_when_the_slot_is_reserved(index: IndexWriter, reader: IndexReader, was_used: bool):
    if was_used:
        used_slot(index, 1)
    before, seen = reader.state(SLOT), []

    def look() -> None:
        seen.append(reader.state(SLOT))
        assert reader.live_record(SLOT) is None
        assert reader.find(b"old") is None
        if seen[-1] == 2 << 8 | RESERVED:
            # The next store reads no slot that is not counted, and would give this one's generation once more.
            assert index.words[WORD_SLOTS] > SLOT
            assert reader.ender(SLOT) == (NURSERY, 0)
            assert reader.reads(SLOT) == 0
        else:
            assert seen[-1] == before

    watch(index, look)
    index.promise(SLOT, 2, NURSERY)

    assert reader.state(SLOT) == 2 << 8 | RESERVED
    assert reader.ender(SLOT) == (NURSERY, 0)
    assert (index.words[WORD_SLOTS], before in seen) == (SLOT + 1, True)


@pytest.mark.parametrize("was_used", [False, True])
@pytest.mark.parametrize("name", [b"", b"name"])
def test_nobody_sees_an_object_that_is_published_in_part(
    index: IndexWriter, reader: IndexReader, was_used: bool, name: bytes
):
    if was_used:
        used_slot(index, 1)
    index.promise(SLOT, 2, NURSERY)
    facts = record(2, name, offset=12345 << 6, extent=640, nbytes=600, sequence=6)
    if name:
        # A bucket that leads to the slot already: the reader comes while it is written.
        index.set_name(name, SLOT, None)
    states = []

    def look() -> None:
        states.append(reader.state(SLOT))
        told = [reader.live_record(SLOT), *(hit and hit[1] for hit in [reader.find(name)] if name)]
        hit = reader.look_at(SLOT)
        if states[-1] == 2 << 8 | LIVE:
            assert all(one is not None and one._replace(name=one.key()) == facts for one in told)
            assert hit[2][:2] == (hit[2][2], 2 << 8 | LIVE)
        else:
            # Until then a store that starts anew has to know it by its promise.
            assert states[-1] == 2 << 8 | RESERVED
            assert reader.ender(SLOT) == (NURSERY, 0)
            assert told == [None] * len(told)
            assert hit is None

    watch(index, look)
    index.publish(SLOT, facts)

    assert len(set(states)) == 2, "it was looked at before and afterwards"
    assert reader.is_live(SLOT, 2)
    assert (reader.reads(SLOT), reader.ender(SLOT)) == (0, (0, 0))


@pytest.mark.parametrize(("number", "before"), [(0, RESERVED), (77, PENDING)])
def test_the_next_store_reads_a_promise_whatever_facts_stand_there(
    index: IndexWriter, reader: IndexReader, number: int, before: int
):
    """At every single write of a publication a slot is told as promised, or as LIVE with its facts."""
    used_slot(index, 1)
    index.promise(SLOT, 2, NURSERY, number, before)
    facts = record(2, offset=64, sequence=6)
    told = []

    def look() -> None:
        *_, slot = reader.slots()
        state = slot.state & 0xFF
        assert slot.state >> 8 == 2
        assert state == LIVE or (slot.ender, slot.ender_number, slot.reads) == (NURSERY, number, 0)
        assert state == before or slot.record._replace(name=b"") == facts
        told.append(slot)

    watch(index, look)
    index.publish(SLOT, facts)

    assert {(slot.state & 0xFF, slot.ender) for slot in told} == {(before, NURSERY), (LIVE, NURSERY), (LIVE, 0)}


def test_slots_beside_it_are_not_touched(index: IndexWriter, reader: IndexReader):
    for slot in (SLOT - 1, SLOT + 1):
        index.write_record(slot, record(1, b"%d" % slot))
        index.set_state(slot, 1, LIVE)
        index.set_reads(slot, 3)
    before = [slot for slot in reader.slots() if slot.record]

    index.promise(SLOT, 1, NURSERY)
    index.publish(SLOT, record(1, b"x" * 128))
    index.set_state(SLOT, 1, FREE)
    index.promise(SLOT, 2, NURSERY)

    assert [slot for slot in reader.slots() if slot.record and slot.record.name_nbytes < 128] == before


def test_a_promise_that_is_taken_back_leaves_a_slot_like_any_other(index: IndexWriter, reader: IndexReader):
    index.promise(SLOT, 1, NURSERY)
    index.set_state(SLOT, 1, FREE)

    index.write_record(SLOT, record(2, b"plain"))
    index.set_state(SLOT, 2, RESERVED)

    assert reader.ender(SLOT) == (0, 0), "it would pass for promised"
    assert reader.record(SLOT).key() == b"plain"


def test_a_row_tells_how_far_its_ring_was_read_and_whether_it_is_looked_at(index: IndexWriter, reader: IndexReader):
    index.set_row(7, 12, 34)
    index.set_tail(7, 1 << 40)
    index.set_looking(7, True)

    assert (reader.row(7), reader.tail(7), index.words[row_word(7) + ROW_LOOKING]) == ((12, 34), 1 << 40, 1)
    assert (reader.tail(6), reader.tail(8), reader.row(6), reader.row(8)) == (0, 0, (0, 0), (0, 0))

    index.set_row(7, 0, 0)
    index.set_tail(7, 0)
    index.set_looking(7, False)
    assert not any(index.words[row_word(7) : row_word(8)])
