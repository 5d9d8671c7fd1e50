"""The lease table: where its words stand, which pages are known to be touched, and what the store reads from it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import sparse_memory

from jupyter_shm.tables.layout import MAX_OBJECTS
from jupyter_shm.tables.leases import ENTRIES_BASE, LEASES_SIZE, MAX_COUNT, READS_MASK, RING_BASE, LeaseTable, page_of
from jupyter_shm.tables.ring import RING_SIZE

LAST = MAX_OBJECTS - 1
PAGES = MAX_OBJECTS // 256


@pytest.fixture
def memory() -> memoryview:
    return sparse_memory(LEASES_SIZE)


@pytest.fixture
def table(memory: memoryview) -> LeaseTable:
    return LeaseTable.create(memory, 5)


def word(memory: memoryview, offset: int) -> int:
    return struct.unpack_from("=Q", memory, offset)[0]


def test_an_empty_table_is_known_by_its_magic(memory: memoryview):
    assert not LeaseTable(memory).is_valid()

    LeaseTable.create(memory, 5)

    assert LeaseTable(memory).is_valid()
    assert memory[:8] == b"SMLEAS01"
    assert word(memory, 8) == 5
    assert not any(memory[16:ENTRIES_BASE])


@pytest.mark.parametrize("slot", [0, 1, 255, 256, LAST])
def test_the_two_words_of_a_slot_are_where_they_were(memory: memoryview, table: LeaseTable, slot: int):
    table.write(slot, 7, 2)
    table.note_use(slot, 1000, fresh=True)

    assert word(memory, 4096 + 16 * slot) == 7 << 24 | 2
    assert word(memory, 4096 + 16 * slot + 8) == 1000 << 24 | 1
    page = slot // 256
    assert word(memory, 8 * (64 + page // 64)) == 1 << page % 64
    assert table.entry(slot) == (7, 2)


def test_the_ring_stands_behind_the_last_entry_and_is_the_end(memory: memoryview, table: LeaseTable):
    assert RING_BASE == 4096 + 16 * MAX_OBJECTS
    assert LEASES_SIZE == RING_BASE + RING_SIZE
    table.write(LAST, 1, 1)
    table.note_use(LAST, 1, fresh=True)
    assert not any(memory[RING_BASE:])


def test_a_lease_is_held_on_that_very_generation_only(table: LeaseTable):
    table.write(3, 7, 1)

    assert table.holds(3, 7)
    assert not table.holds(3, 6)
    assert not table.holds(3, 8)
    assert not table.holds(4, 7)

    table.write(3, 7, 0)
    assert not table.holds(3, 7)
    assert table.has_touched(3)


def test_the_largest_count_and_generation_do_not_touch_each_other(table: LeaseTable):
    table.write(0, (1 << 40) - 1, MAX_COUNT)

    assert table.entry(0) == ((1 << 40) - 1, MAX_COUNT)


@pytest.mark.parametrize("page", [0, 1, 63, 64, 65, PAGES - 1])
def test_a_page_is_untouched_until_one_of_its_slots_is_written(table: LeaseTable, page: int):
    first, last = page * 256, page * 256 + 255
    assert not table.has_touched(first)
    assert not table.holds(last, 0)

    table.write(last, 1, 1)

    assert table.has_touched(first)
    assert page_of(first) == page_of(last) == page
    assert page == 0 or not table.has_touched(first - 1)
    assert page == PAGES - 1 or not table.has_touched(last + 1)


def test_the_summary_is_set_before_its_page_is_written(memory: memoryview):
    seen = []

    class Words:
        def __getitem__(self, at: int) -> int:
            return table_words[at]

        def __setitem__(self, at: int, value: int) -> None:
            seen.append(at)
            table_words[at] = value

    table = LeaseTable.create(memory, 5)
    table_words, table.words = table.words, Words()
    table.write(300, 1, 1)
    table.write(301, 1, 1)

    assert seen == [64, 512 + 600, 512 + 602]


def test_reads_are_counted_for_one_generation(table: LeaseTable):
    table.write(3, 7, 1)
    table.note_use(3, 10, fresh=True)
    table.note_use(3, 20, fresh=False)
    assert table.reads(3, 7) == 2
    assert table.reads(3, 6) == table.reads(3, 8) == table.reads(4000, 7) == 0

    table.write(3, 8, 1)
    table.note_use(3, 30, fresh=True)
    assert (table.reads(3, 7), table.reads(3, 8)) == (0, 1)


def test_reads_stop_at_the_largest_number_that_is_told_apart(table: LeaseTable):
    table.write(0, 1, 1)
    table.words[ENTRIES_BASE // 8 + 1] = 5 << 24 | READS_MASK

    table.note_use(0, 6, fresh=False)

    assert table.reads(0, 1) == READS_MASK
    assert table.words[ENTRIES_BASE // 8 + 1] >> 24 == 6


def test_the_store_reads_a_table_that_it_cannot_write(memory: memoryview, table: LeaseTable):
    table.write(9, 2, 3)
    seen_from_the_store = LeaseTable(memory.toreadonly())

    assert seen_from_the_store.holds(9, 2)
    with pytest.raises(TypeError):
        seen_from_the_store.write(9, 2, 4)


entries = st.dictionaries(
    st.integers(0, LAST),
    st.tuples(st.integers(1, (1 << 40) - 1), st.integers(0, MAX_COUNT), st.booleans()),
    max_size=20,
)


@settings(max_examples=50, deadline=None)
@given(entries=entries)
def test_everything_that_was_ever_written_is_told_once(entries: dict[int, tuple[int, int, bool]]):
    table = LeaseTable.create(sparse_memory(LEASES_SIZE), 5)
    for slot, (generation, count, is_read) in entries.items():
        table.write(slot, generation, count)
        if is_read:
            table.note_use(slot, 1, fresh=True)

    told = list(table.touched_slots())

    assert told == [(slot, generation, count, int(read)) for slot, (generation, count, read) in sorted(entries.items())]
