"""What the reader's half of the lease protocol asks of the tables: a place that can be looked at again, one lease more."""

from __future__ import annotations

import pytest
from memories import sparse_memory

from jupyter_shm.errors import ProtocolError
from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import DYING, INDEX_SIZE, LIVE, WORD, WORD_HASH_BITS, Record
from jupyter_shm.tables.leases import ENTRIES_BASE, LEASES_SIZE, READS_MASK, LeaseTable
from jupyter_shm.tables.prefix import find_description, pack_prefix


@pytest.fixture
def index() -> IndexWriter:
    return IndexWriter.create(sparse_memory(INDEX_SIZE), 1)


@pytest.fixture
def reader(index: IndexWriter) -> IndexReader:
    return IndexReader(index.memory.toreadonly())


@pytest.fixture
def table() -> LeaseTable:
    return LeaseTable.create(sparse_memory(LEASES_SIZE), 7)


def publish(index: IndexWriter, slot: int, name: bytes, generation: int = 1, old: int | None = None) -> Record:
    facts = dict.fromkeys(Record._fields, 0)
    record = Record(**{**facts, "generation": generation, "name_nbytes": len(name), "name": name.ljust(128, b"\0")})
    index.write_record(slot, record)
    index.set_state(slot, generation, LIVE)
    index.set_name(name, slot, old)
    return record


def is_meant(reader: IndexReader, place: tuple[int, int, int, int, int]) -> bool:
    word, state, at, bucket, bits = place
    return reader.words[word] == state and reader.words[at] == bucket and reader.words[WORD_HASH_BITS] == bits


# --- Places -----------------------------------------------------------------------------------------------------------


def test_a_place_says_that_the_name_means_the_slot(index, reader):
    record = publish(index, 5, b"name", 3)

    slot, found, place = reader.look_up(b"name")

    assert (slot, found) == (5, record) == reader.find(b"name")
    assert type(found) is Record
    assert is_meant(reader, place)
    assert place[:2] == (place[0], reader.state(5))


def test_a_place_says_no_more_once_the_name_means_another_slot_though_the_old_one_is_live_still(index, reader):
    publish(index, 5, b"name")
    place = reader.look_up(b"name")[2]

    publish(index, 6, b"name", old=5)

    assert reader.is_live(5, 1)
    assert not is_meant(reader, place)
    assert is_meant(reader, reader.look_up(b"name")[2])


@pytest.mark.parametrize("end", ["dying", "cleared", "used again"])
def test_a_place_says_no_more_once_the_object_ended(index, reader, end):
    publish(index, 5, b"name")
    place = reader.look_up(b"name")[2]

    if end == "dying":
        index.set_state(5, 1, DYING)
    elif end == "cleared":
        index.clear_name(b"name", 5)
    else:
        index.set_state(5, 2, LIVE)

    assert not is_meant(reader, place)


def test_a_place_in_a_table_that_was_replaced_says_no_more(index, reader):
    publish(index, 5, b"name")
    place = reader.look_up(b"name")[2]

    index._grow()

    assert not is_meant(reader, place)
    assert is_meant(reader, reader.look_up(b"name")[2])


def test_the_place_of_an_id_is_its_slots_state(index, reader):
    record = publish(index, 5, b"name", 3)

    slot, found, place = reader.look_at(5)

    assert (slot, found) == (5, record)
    assert is_meant(reader, place)
    index.clear_name(b"name", 5)
    assert is_meant(reader, place), "a reference means the object, whatever the name means"
    index.set_state(5, 3, DYING)
    assert not is_meant(reader, place)
    assert reader.look_at(5) is None


def test_a_facts_crc_that_is_wrong_is_no_hit(index, reader):
    publish(index, 5, b"name")
    word = reader.look_up(b"name")[2][0]
    index.words[word + 4] ^= 1

    assert reader.look_up(b"name") is None
    assert reader.look_at(5) is None


def test_a_table_without_an_empty_bucket_is_left_after_one_round(index, reader):
    publish(index, 5, b"name")
    index.words[WORD_HASH_BITS] = 12
    at = reader.look_up(b"name")[2][2]
    first = at - at % (1 << 12)
    for word in range(first, first + (1 << 12)):
        index.words[word] = index.words[word] or 1 << 60

    assert reader.look_up(b"other") is None
    assert reader.look_up(b"name")[0] == 5


# --- Leases -----------------------------------------------------------------------------------------------------------


def test_the_first_lease_of_a_generation_is_told_from_further_ones(table):
    assert table.add(300, 5) is True
    assert table.add(300, 5) is False
    assert table.entry(300) == (5, 2)
    assert table.has_touched(300)
    assert table.holds(300, 5)


def test_a_lease_of_another_generation_is_replaced_only_when_it_is_let_go(table):
    table.write(300, 5, 1)

    assert table.add(300, 6) is None
    assert table.entry(300) == (5, 1)
    table.write(300, 5, 0)
    assert table.add(300, 6) is True
    assert table.entry(300) == (6, 1)


def test_a_released_lease_of_the_same_generation_is_no_first_one(table):
    table.add(300, 5)
    table.write(300, 5, 0)

    assert table.add(300, 5) is False


def test_reads_are_counted_up_to_a_limit(table):
    table.add(0, 5)
    table.note_use(0, 1, fresh=True)
    table.note_use(0, 2, fresh=False)
    assert table.reads(0, 5) == 2
    word = ENTRIES_BASE // WORD + 1
    assert table.words[word] == 2 << 24 | 2

    table.words[word] = 2 << 24 | READS_MASK
    table.note_use(0, 3, fresh=False)

    assert table.words[word] == 3 << 24 | READS_MASK


# --- Descriptions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contained", [(), (1, 2, 3)])
@pytest.mark.parametrize("label", ["", "a notebook"])
def test_the_description_is_found_behind_list_and_label(contained, label):
    data = pack_prefix(contained, b"description", label)

    begin, end, start = find_description(data, len(data) + 100)

    assert data[begin:end] == b"description"
    assert start == len(data)


def test_a_description_that_leaves_the_object_is_refused():
    data = pack_prefix((), b"description", "label")

    with pytest.raises(ProtocolError):
        find_description(data, 30)
