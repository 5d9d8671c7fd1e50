"""The index by example: what is a hit, what is not, names that meet in one bucket, and tables that grow."""

from __future__ import annotations

from zlib import crc32

import pytest
from memories import WatchedMemory, sparse_memory

from jupyter_shm.tables.index import IndexReader, IndexWriter, Slot
from jupyter_shm.tables.layout import (
    DYING,
    FREE,
    INDEX_SIZE,
    LIVE,
    MAX_HASH_BITS,
    MAX_OBJECTS,
    MIN_HASH_BITS,
    PAGE,
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


@pytest.mark.parametrize("low", [0, 1, 0x100001, 0x1000FF, 0x200000, 0xFFFFFF])
def test_half_a_bucket_leads_to_no_slot_that_does_not_exist(index: IndexWriter, reader: IndexReader, low: int):
    publish(index, MAX_OBJECTS - 1, b"name")
    at = ((512 << 10) + (8 << MIN_HASH_BITS)) // 8 + (crc32(b"name") & MASK)
    assert index.words[at] == crc32(b"name") << 24 | MAX_OBJECTS

    index.words[at] = crc32(b"name") << 24 | low

    hit = reader.find(b"name")
    assert hit is None or hit == (MAX_OBJECTS - 1, reader.record(MAX_OBJECTS - 1))


# --- A table made anew ------------------------------------------------------------------------------------------------


def bytes_of_table(index: IndexWriter, bits: int) -> memoryview:
    start = (512 << 10) + (8 << bits)
    return index.memory[start : start + (8 << bits)]


def published(index: IndexWriter, count: int) -> list[tuple[bytes, int]]:
    """So many LIVE objects, and no name that means one of them."""
    names = [(b"name %d" % slot, slot) for slot in range(count)]
    for name, slot in names:
        index.write_record(slot, record(name))
        index.set_state(slot, 1, LIVE)
    return names


@pytest.mark.parametrize("count", [0, 1, 100, 2048])
def test_a_table_made_anew_holds_these_names_and_no_others(index: IndexWriter, reader: IndexReader, count: int):
    names = published(index, count)
    publish(index, 5000, b"forgotten")
    for at in range(0, 32 << 10, 8):
        bytes_of_table(index, MIN_HASH_BITS)[at + 3] ^= 0x55  # whatever a writer that died may have left

    index.rebuild_names(iter(names))

    assert [found(reader, name) for name, _ in names] == list(range(count))
    assert found(reader, b"forgotten") is None
    assert index.names == count
    assert index.words[WORD_HASH_BITS] == MIN_HASH_BITS


@pytest.mark.parametrize(("count", "bits"), [(2048, 12), (2049, 13), (4096, 13), (4097, 14)])
def test_a_table_made_anew_is_as_large_as_one_that_has_grown(index: IndexWriter, count: int, bits: int):
    index.rebuild_names((b"name %d" % slot, slot) for slot in range(count))
    grown = IndexWriter.create(sparse_memory(INDEX_SIZE), 1)
    for slot in range(count):
        grown.set_name(b"name %d" % slot, slot, None)

    assert index.words[WORD_HASH_BITS] == grown.words[WORD_HASH_BITS] == bits
    assert index.names == grown.names


def test_a_table_made_anew_never_shrinks(index: IndexWriter, reader: IndexReader):
    index.words[WORD_HASH_BITS] = 14
    publish(index, 0, b"gone")

    index.rebuild_names(published(index, 1))

    assert index.words[WORD_HASH_BITS] == 14
    assert (found(reader, b"name 0"), found(reader, b"gone")) == (0, None)


@pytest.mark.parametrize("bits", [0, 11, 22, (1 << 64) - 1])
def test_a_table_made_anew_is_of_a_size_that_there_is(index: IndexWriter, reader: IndexReader, bits: int):
    names = published(index, 3)
    index.words[WORD_HASH_BITS] = bits

    index.rebuild_names(names)

    assert index.words[WORD_HASH_BITS] == (MIN_HASH_BITS if bits < MIN_HASH_BITS else MAX_HASH_BITS)
    assert [found(reader, name) for name, _ in names] == [0, 1, 2]


def test_names_that_meet_are_all_found_in_a_table_made_anew(index: IndexWriter, reader: IndexReader):
    names = [*names_meeting(4, MASK), *names_meeting(4, 0)]
    for slot, name in enumerate(names):
        publish(index, slot, name)

    index.rebuild_names((name, slot) for slot, name in enumerate(names))

    assert [found(reader, name) for name in names] == list(range(8))
    for slot in range(0, 8, 2):
        index.clear_name(names[slot], slot)
    assert [found(reader, name) for name in names] == [None, 1, None, 3, None, 5, None, 7]


@pytest.mark.parametrize("more", [0, 2000])
def test_a_reader_never_gets_a_wrong_hit_while_a_table_is_made_anew(index: IndexWriter, reader: IndexReader, more: int):
    """Looked at after every byte; with more names, it is a larger table, in which an interrupted growth left rubbish."""
    meeting = names_meeting(6, MASK)
    for slot, name in enumerate(meeting):
        publish(index, slot, name)
    names = [*((name, slot) for slot, name in enumerate(meeting)), *((b"%d" % n, 100 + n) for n in range(2042 + more))]
    bytes_of_table(index, 13)[:] = bytes(range(256)) * 256
    words = index.words
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        slot = looks % len(meeting)
        hit = found(reader, meeting[slot])
        assert hit == slot or (hit is None and not more), "the table in use is the old one, complete, or the new one"
        assert found(reader, b"never published") is None

    index.memory = WatchedMemory(index.memory, look)
    index.words = WatchedMemory(words, look)
    index.rebuild_names(names)

    assert looks > 10_000
    assert words[WORD_HASH_BITS] == (13 if more else 12)
    assert [found(reader, name) for name in meeting] == list(range(6))


def test_a_table_that_grew_is_all_that_is_in_use(index: IndexWriter):
    tables = index.unused_tables()

    assert tables[0] == ((512 << 10) + (16 << MIN_HASH_BITS), 16 << MIN_HASH_BITS)
    assert [offset + nbytes for offset, nbytes in tables] == [offset for offset, _ in tables[1:]] + [
        (512 << 10) + (16 << MAX_HASH_BITS)
    ]
    assert tables[-1][0] + tables[-1][1] <= SLOTS_BASE
    assert all(offset % PAGE == nbytes % PAGE == 0 for offset, nbytes in tables)

    index.words[WORD_HASH_BITS] = MAX_HASH_BITS
    assert index.unused_tables() == []


def test_a_growth_that_was_interrupted_is_no_harm_once_unused_tables_are_zeros(index: IndexWriter, reader: IndexReader):
    names = published(index, 2049)
    index.rebuild_names(names[:2048])
    for name, slot in names[:1000]:
        index._insert(MIN_HASH_BITS + 1, crc32(name), slot + 7)  # what was true then need not be so now

    for offset, nbytes in index.unused_tables()[:1]:
        index.memory[offset : offset + nbytes] = bytes(nbytes)
    index.set_name(*names[2048], None)

    assert index.words[WORD_HASH_BITS] == MIN_HASH_BITS + 1
    assert [found(reader, name) for name, _ in names] == list(range(2049))


# --- What the store says of itself ------------------------------------------------------------------------------------


def test_a_new_index_says_nothing_of_its_store_yet(reader: IndexReader, index: IndexWriter):
    assert (reader.pid, reader.starts, reader.capacity, reader.since, reader.at_work) == (0, 0, 0, 0, 0)
    assert reader.suspect == (0, 0)


def test_what_the_store_says_of_itself_is_told(reader: IndexReader, index: IndexWriter):
    index.note_start(100)
    index.note_start(200)
    index.set_capacity(1 << 40)
    index.set_since(987_654_321_000)
    index.set_at_work(77)
    index.set_suspect(12, 0xFFFFFFFF)

    assert (reader.pid, reader.starts) == (200, 2)
    assert (reader.capacity, reader.since) == (1 << 40, 987_654_321_000)
    assert reader.at_work == 77
    assert reader.suspect == (12, 0xFFFFFFFF)

    index.set_suspect(0, 0)
    index.set_at_work(0)
    assert (reader.at_work, reader.suspect) == (0, (0, 0))


def seen_after_every_word(index: IndexWriter, look) -> list:
    """Let a function look at the index after each word that is written from now on; what it returned."""
    seen = []
    index.words = WatchedMemory(index.words, lambda: seen.append(look()))
    return seen


def test_nobody_is_suspected_of_a_packet_of_another(reader: IndexReader, index: IndexWriter):
    index.set_suspect(1, 111)
    seen = seen_after_every_word(index, lambda: reader.suspect)

    index.set_suspect(2, 222)

    assert {pair for pair in seen if pair[0]} == {(2, 222)}


# --- Mutable facts of a slot ------------------------------------------------------------------------------------------


def test_an_ender_and_its_number_belong_together_at_every_moment(reader: IndexReader, index: IndexWriter):
    publish(index, 4, b"name")
    index.set_ender(4, 1, 111)
    seen = seen_after_every_word(index, lambda: reader.ender(4))

    index.set_ender(4, 2, 222)

    assert {pair for pair in seen if pair[0]} == {(2, 222)}
    assert reader.ender(4) == (2, 222)
    assert reader.ender(3) == reader.ender(5) == (0, 0)


def test_new_facts_begin_with_no_reads_and_no_ender(reader: IndexReader, index: IndexWriter):
    publish(index, 4, b"name")
    publish(index, 5, b"other")
    for slot in (4, 5):
        index.set_reads(slot, 7)
        index.set_ender(slot, 8, 9)
    assert (reader.reads(4), reader.ender(4)) == (7, (8, 9))
    assert reader.find(b"name")[0] == 4

    index.set_state(4, 1, FREE)
    index.write_record(4, record(b"new", 2))

    assert reader.state(4) == 1 << 8 | FREE
    assert (reader.reads(4), reader.ender(4)) == (0, (0, 0))
    assert (reader.reads(5), reader.ender(5)) == (7, (8, 9))
    assert reader.record(4).generation == 2


# --- All slots at once ------------------------------------------------------------------------------------------------


def test_all_slots_are_told_as_they_are(reader: IndexReader, index: IndexWriter):
    publish(index, 0, b"zero")
    index.set_reads(0, 3)
    index.write_record(2, record(b"two", 9))
    index.set_state(2, 9, DYING)
    index.set_ender(2, 4, 5)
    index.write_record(3, record(b"torn"))
    index.memory[SLOTS_BASE + 3 * SLOT_SIZE + RECORD_OFFSET] ^= 1

    zero, one, two, three = reader.slots()

    assert zero == Slot(1 << 8 | LIVE, 3, 0, 0, reader.record(0))
    assert zero.record.key() == b"zero"
    assert one == Slot(0, 0, 0, 0, None)
    assert two == Slot(9 << 8 | DYING, 0, 4, 5, reader.record(2))
    assert three == Slot(0, 0, 0, 0, None)


def test_slots_are_told_to_the_last_one_and_only_those_ever_used(reader: IndexReader, index: IndexWriter):
    assert list(reader.slots()) == []

    for slot in range(4097):
        index.write_record(slot, record(b"", slot + 1))
    assert [slot.record.generation for slot in reader.slots()] == list(range(1, 4098))


# --- Rows -------------------------------------------------------------------------------------------------------------


def test_a_row_tells_whose_it_is_and_its_last_request(index: IndexWriter, reader: IndexReader):
    index.set_row(4095, 12, 34)

    assert reader.row(4095) == (12, 34)
    assert reader.row(4094) == (0, 0)
