"""A reader of the index that is paused between two looks: whatever happens meanwhile, its hit is what the name means."""

from __future__ import annotations

from zlib import crc32

import pytest
from memories import sparse_memory

from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import FREE, INDEX_SIZE, LIVE, Record


@pytest.fixture
def index() -> IndexWriter:
    return IndexWriter.create(sparse_memory(INDEX_SIZE), 1)


@pytest.fixture
def reader(index: IndexWriter) -> IndexReader:
    return IndexReader(index.memory.toreadonly())


def record(generation: int) -> Record:
    empty = dict.fromkeys(Record._fields, 0)
    return Record(**{**empty, "generation": generation, "name_nbytes": 4, "name": b"name"})


def publish(index: IndexWriter, slot: int, old: int | None = None) -> None:
    index.write_record(slot, record(1))
    index.set_state(slot, 1, LIVE)
    index.set_name(b"name", slot, old)


def found(reader: IndexReader, name: bytes) -> int | None:
    hit = reader.find(name)
    return hit[0] if hit else None


class PausedAtWord:
    """The words of an index; whatever is to happen happens right after the first look at one of them."""

    def __init__(self, words: memoryview, at: int, happens) -> None:
        self.words, self.at, self.happens = words, at, happens

    def __getitem__(self, at: int) -> int:
        word = self.words[at]
        if at == self.at and self.happens:
            happens, self.happens = self.happens, None
            happens()
        return word


def pause_at_bucket_of(reader: IndexReader, name: bytes, happens) -> None:
    bucket = IndexWriter(reader.memory)._bucket_of(crc32(name), found(reader, name))
    reader.words = PausedAtWord(reader.words, bucket, happens)


def test_a_version_that_the_name_does_not_mean_yet_is_no_hit(index: IndexWriter, reader: IndexReader):
    publish(index, 0)

    def overwritten_twice_and_half():
        publish(index, 1, old=0)
        index.set_state(0, 1, FREE)
        index.write_record(0, record(2))
        index.set_state(0, 2, LIVE)  # the name still means slot 1

    pause_at_bucket_of(reader, b"name", overwritten_twice_and_half)

    assert reader.find(b"name") is None
    assert found(reader, b"name") == 1


def test_a_hit_in_a_table_that_was_replaced_meanwhile_is_none(index: IndexWriter, reader: IndexReader):
    publish(index, 0)
    pause_at_bucket_of(reader, b"name", index._grow)

    assert reader.find(b"name") is None
    assert found(reader, b"name") == 0
