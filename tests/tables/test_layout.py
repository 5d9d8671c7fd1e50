"""Where everything stands in the index is pinned: processes of several releases look at the same bytes."""

from __future__ import annotations

import struct
from itertools import pairwise
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memories import sparse_memory

from jupyter_shm.tables import layout
from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import DYING, FREE, LIVE, RESERVED, Record, generation_of, object_id, slot_of

KIB, MIB = 1 << 10, 1 << 20

RECORD = Record(
    generation=0x11,
    sequence=0x22,
    client=0x33,
    contained=0x44,
    request=0x55,
    offset=0x66,
    extent=0x77,
    nbytes=0x88,
    payload=0x99,
    created_ns=0xAA,
    version=0xBB,
    name_nbytes=4,
    name=b"name",
)

GOLDEN_RECORD = bytes.fromhex(
    "1100000000000000 2200000000000000 33000000 44000000 5500000000000000 6600000000000000 7700000000000000"
    "8800000000000000 9900000000000000 aa00000000000000 bb00000000000000 0400000000000000"
) + b"name".ljust(128, b"\0")


@pytest.fixture
def memory():
    return sparse_memory(layout.INDEX_SIZE)


def words(memory: memoryview, offset: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"={count}Q", memory, offset)


def test_the_header_is_where_it_was(memory: memoryview):
    index = IndexWriter.create(memory, 0xABCDEF)
    index.write_record(6, RECORD)
    index.end()

    assert memory[:8] == b"SMINDX01"
    assert words(memory, 0, 6) == (layout.INDEX_MAGIC, layout.LAYOUT, 0xABCDEF, layout.MIN_HASH_BITS, 7, 1)
    assert not any(memory[48 : 4 * KIB])


def test_what_the_header_says_of_store_processes_is_where_it_was(memory: memoryview):
    index = IndexWriter.create(memory, 1)
    index.note_start(0xA1)
    index.note_start(0xA2)
    index.set_capacity(0xB1)
    index.set_since(0xC1)
    index.set_at_work(0xD1)
    index.set_suspect(0xE1, 0xE2)

    assert words(memory, 48, 7) == (0xA2, 2, 0xB1, 0xC1, 0xD1, 0xE1, 0xE2)
    assert not any(memory[104 : 4 * KIB])


def test_a_slot_is_where_it_was(memory: memoryview):
    index = IndexWriter.create(memory, 1)
    index.write_record(3, RECORD)
    index.set_state(3, 0x11, LIVE)

    start = 64 * MIB + 3 * 256
    assert words(memory, start, 5) == (0x11 << 8 | 2, 0, 0, 0, crc32(GOLDEN_RECORD))
    assert memory[start + 40 : start + 256] == GOLDEN_RECORD
    assert not any(memory[start - 256 : start])
    assert not any(memory[start + 256 : start + 512])


def test_the_mutable_words_of_a_slot_are_where_they_were(memory: memoryview):
    index = IndexWriter.create(memory, 1)
    index.set_reads(3, 0xA1)
    index.set_ender(3, 0xB1, 0xB2)

    assert words(memory, 64 * MIB + 3 * 256, 5) == (0, 0xA1, 0xB1, 0xB2, 0)


def test_a_row_is_where_it_was(memory: memoryview):
    IndexWriter.create(memory, 1).set_row(2, 0xC1, 0xE5)

    assert words(memory, 4 * KIB + 2 * 64, 2) == (0xC1, 0xE5)


def test_a_name_is_where_it_was(memory: memoryview):
    IndexWriter.create(memory, 1).set_name(b"name", 41, None)

    tag = crc32(b"name")
    assert words(memory, 512 * KIB + 32 * KIB + 8 * (tag & 0xFFF), 1) == (tag << 24 | 42,)


def test_no_two_parts_of_the_index_overlap():
    tables = [
        (layout.HASH_BASE + (8 << bits), layout.HASH_BASE + (16 << bits))
        for bits in range(layout.MIN_HASH_BITS, layout.MAX_HASH_BITS + 1)
    ]
    rows = (layout.ROWS_BASE, layout.ROWS_BASE + layout.MAX_CLIENTS * layout.ROW_SIZE)
    parts = [
        (0, layout.PAGE),
        rows,
        *tables,
        (layout.SLOTS_BASE, layout.TERMS_BASE),
        (layout.TERMS_BASE, layout.INDEX_SIZE),
    ]

    assert all(end <= start for (_, end), (start, _) in pairwise(parts))
    assert layout.RECORD_OFFSET + layout.RECORD.size == layout.SLOT_SIZE


def test_the_largest_hash_table_is_at_most_half_full_with_every_slot_named():
    assert 2 * layout.MAX_OBJECTS <= 1 << layout.MAX_HASH_BITS


def test_states_are_numbers_that_other_releases_know():
    assert (FREE, RESERVED, LIVE, DYING) == (0, 1, 2, 3)


@given(slot=st.integers(0, layout.MAX_OBJECTS - 1), generation=st.integers(0, (1 << layout.GENERATION_BITS) - 1))
def test_an_id_is_a_slot_and_a_generation_and_fits_a_word_of_the_wire(slot: int, generation: int):
    id = object_id(slot, generation)

    assert (slot_of(id), generation_of(id)) == (slot, generation)
    assert id < 1 << 63


def test_a_reader_knows_an_index_by_its_magic_and_layout(memory: memoryview):
    assert not IndexReader(memory).is_valid()

    index = IndexWriter.create(memory, 7)
    assert IndexReader(memory.toreadonly()).is_valid()
    assert IndexReader(memory).store == 7

    index.words[layout.WORD_LAYOUT] += 1
    assert not IndexReader(memory).is_valid()


def test_a_reader_can_tell_that_the_store_has_ended(memory: memoryview):
    index = IndexWriter.create(memory, 7)
    assert not IndexReader(memory).has_ended

    index.end()

    assert IndexReader(memory).has_ended
