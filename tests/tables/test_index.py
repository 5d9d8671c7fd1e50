"""The index by example: what is a hit, what is not, names that meet in one bucket, and tables that grow."""

from __future__ import annotations

from zlib import crc32

import pytest
from memories import sparse_memory

from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import (
    DYING,
    FREE,
    INDEX_SIZE,
    LIVE,
    MAX_OBJECTS,
    MIN_HASH_BITS,
    RECORD_OFFSET,
    RESERVED,
    SLOT_SIZE,
    SLOTS_BASE,
    WORD_HASH_BITS,
    Record,
)

MASK = (1 << MIN_HASH_BITS) - 1


@pytest.fixture
def index() -> IndexWriter:
    return IndexWriter.create(sparse_memory(INDEX_SIZE), 1)


@pytest.fixture
def reader(index: IndexWriter) -> IndexReader:
    return IndexReader(index.memory.toreadonly())


def record(name: bytes = b"name", generation: int = 1, **facts: int) -> Record:
    empty = dict.fromkeys(Record._fields, 0)
    return Record(**{**empty, "generation": generation, "name_nbytes": len(name), "name": name, **facts})


def publish(index: IndexWriter, slot: int, name: bytes, generation: int = 1, old: int | None = None) -> None:
    index.write_record(slot, record(name, generation))
    index.set_state(slot, generation, LIVE)
    index.set_name(name, slot, old)


def names_meeting(count: int, home: int | None = None) -> list[bytes]:
    """Names whose chains begin in the same bucket of the smallest table."""
    home = crc32(b"first") & MASK if home is None else home
    found: list[bytes] = []
    number = 0
    while len(found) < count:
        name = b"n%d" % number
        if crc32(name) & MASK == home:
            found.append(name)
        number += 1
    return found


def found(reader: IndexReader, name: bytes) -> int | None:
    hit = reader.find(name)
    return hit[0] if hit else None


# --- Hits and misses --------------------------------------------------------------------------------------------------


def test_a_published_name_is_found_with_its_facts(index: IndexWriter, reader: IndexReader):
    facts = record(b"name", 3, offset=64, extent=128, nbytes=100, client=9)
    index.write_record(5, facts)
    index.set_state(5, 3, LIVE)
    index.set_name(b"name", 5, None)

    slot, told = reader.find(b"name")

    assert slot == 5
    assert told._replace(name=told.key()) == facts
    assert reader.is_live(5, 3)
    assert not reader.is_live(5, 2)
    assert reader.live_record(5) == told


@pytest.mark.parametrize("name", [b"", b"nam", b"name\0", b"name2", b"x" * 128])
def test_another_name_is_not_found(index: IndexWriter, reader: IndexReader, name: bytes):
    publish(index, 0, b"name")

    assert reader.find(name) is None


@pytest.mark.parametrize("state", [FREE, RESERVED, DYING])
def test_what_is_not_live_is_not_found(index: IndexWriter, reader: IndexReader, state: int):
    publish(index, 0, b"name")

    index.set_state(0, 1, state)

    assert reader.find(b"name") is None
    assert reader.live_record(0) is None
    assert reader.record(0) is not None


def test_facts_of_another_generation_than_the_state_word_are_no_hit(index: IndexWriter, reader: IndexReader):
    publish(index, 0, b"name", generation=1)

    index.set_state(0, 2, LIVE)

    assert reader.find(b"name") is None
    assert reader.live_record(0) is None


@pytest.mark.parametrize(
    "at", [RECORD_OFFSET - 8, RECORD_OFFSET, RECORD_OFFSET + 40, RECORD_OFFSET + 88, SLOT_SIZE - 1]
)
def test_facts_that_do_not_fit_their_crc_are_no_hit(index: IndexWriter, reader: IndexReader, at: int):
    publish(index, 7, b"name")

    index.memory[SLOTS_BASE + 7 * SLOT_SIZE + at] ^= 1

    assert reader.find(b"name") is None
    assert reader.record(7) is None
    assert reader.live_record(7) is None


def test_a_slot_that_was_never_written_has_no_facts(index: IndexWriter, reader: IndexReader):
    index.set_state(4, 0, LIVE)

    assert reader.record(4) is None
    assert reader.live_record(4) is None


def test_the_last_slot_is_a_slot_like_any_other(index: IndexWriter, reader: IndexReader):
    publish(index, MAX_OBJECTS - 1, b"name")

    assert found(reader, b"name") == MAX_OBJECTS - 1

    index.clear_name(b"name", MAX_OBJECTS - 1)
    assert found(reader, b"name") is None


def test_a_name_of_the_longest_length_is_found(index: IndexWriter, reader: IndexReader):
    publish(index, 0, b"x" * 128)

    assert found(reader, b"x" * 128) == 0


# --- Names that meet --------------------------------------------------------------------------------------------------


def test_a_name_is_replaced_in_its_place(index: IndexWriter, reader: IndexReader):
    publish(index, 0, b"name")
    publish(index, 1, b"name", generation=5, old=0)

    assert found(reader, b"name") == 1
    assert index.names == 1


def test_two_names_with_one_checksum_are_told_apart(index: IndexWriter, reader: IndexReader):
    one, two = b"plumless", b"buckeroo"
    assert crc32(one) == crc32(two)
    publish(index, 0, one)
    publish(index, 1, two)

    assert (found(reader, one), found(reader, two)) == (0, 1)

    index.clear_name(one, 0)
    assert (found(reader, one), found(reader, two)) == (None, 1)


@pytest.mark.parametrize("gone", range(5))
def test_a_gap_in_a_chain_hides_nobody(index: IndexWriter, reader: IndexReader, gone: int):
    names = names_meeting(5)
    for slot, name in enumerate(names):
        publish(index, slot, name)

    index.clear_name(names[gone], gone)

    assert [found(reader, name) for name in names] == [None if slot == gone else slot for slot in range(5)]


@pytest.mark.parametrize("gone", range(6))
def test_a_chain_goes_on_at_the_start_of_the_table(index: IndexWriter, reader: IndexReader, gone: int):
    names = [name for pair in zip(names_meeting(3, MASK), names_meeting(3, 0), strict=True) for name in pair]
    for slot, name in enumerate(names):
        publish(index, slot, name)

    index.clear_name(names[gone], gone)

    assert [found(reader, name) for name in names] == [None if slot == gone else slot for slot in range(6)]


def test_a_bucket_that_is_not_there_is_a_bug_and_said_so(index: IndexWriter):
    publish(index, 0, b"name")

    with pytest.raises(LookupError, match="slot 1"):
        index.clear_name(b"name", 1)


# --- Growth -----------------------------------------------------------------------------------------------------------


def test_a_table_grows_when_it_is_half_full_and_loses_nobody(index: IndexWriter, reader: IndexReader):
    count = (1 << MIN_HASH_BITS) + 10
    for slot in range(count):
        publish(index, slot, b"name %d" % slot)

    assert index.words[WORD_HASH_BITS] == MIN_HASH_BITS + 2
    assert index.names == count
    assert all(found(reader, b"name %d" % slot) == slot for slot in range(count))

    for slot in range(0, count, 2):
        index.clear_name(b"name %d" % slot, slot)
    assert all(found(reader, b"name %d" % slot) == (slot if slot % 2 else None) for slot in range(count))


def test_a_table_stays_while_names_come_and_go(index: IndexWriter):
    for slot in range(1 << MIN_HASH_BITS):
        publish(index, 0, b"name %d" % slot, generation=slot + 1)
        index.clear_name(b"name %d" % slot, 0)

    assert index.words[WORD_HASH_BITS] == MIN_HASH_BITS
    assert index.names == 0


@pytest.mark.parametrize("bits", [0, 11, 22, 64, (1 << 64) - 1])
def test_a_table_size_that_cannot_be_is_survived(index: IndexWriter, reader: IndexReader, bits: int):
    index.words[WORD_HASH_BITS] = bits

    assert reader.find(b"name") is None


def test_a_table_without_an_empty_bucket_ends_a_search(index: IndexWriter, reader: IndexReader):
    first = (512 << 10) // 8 + (1 << MIN_HASH_BITS)
    for at in range(1 << MIN_HASH_BITS):
        index.words[first + at] = 1 << 24 | 1

    assert reader.find(b"name") is None


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_a_row_tells_whose_it_is_and_its_last_request(index: IndexWriter, reader: IndexReader):
    index.set_row(4095, 12, 34)

    assert reader.row(4095) == (12, 34)
    assert reader.row(4094) == (0, 0)
