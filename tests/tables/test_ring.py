"""The ring: what is read is what was written, in its order, and nothing that is torn, half there or long gone."""

from __future__ import annotations

import struct
from itertools import product

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from memories import sparse_memory

from jupyter_shm.tables.leases import ENTRIES_BASE, LEASES_SIZE, RING_BASE, LeaseTable
from jupyter_shm.tables.ring import COMMIT, DROP, HEAD_WORD, RING, RING_SIZE, Entry, read_entries, write_entry

ENTRY = 64  # bytes
EVERYTHING = 1 << 62
words = st.one_of(st.integers(0, 5), st.integers(0, (1 << 64) - 1))
entries = st.tuples(st.sampled_from([COMMIT, DROP]), words, words, words, words, words)


def ring() -> memoryview:
    return memoryview(bytearray(RING_SIZE))


def entry(number: int) -> Entry:
    """The object that a client puts as its ``number``-th: most of its words are those of the one before."""
    return COMMIT, number << 20 | number % 1024, number << 9, 512, 400, 1_700_000_000_000_000_000 + number


def words_of(memory: memoryview, position: int) -> list[int]:
    at = (position - 1) % RING * ENTRY
    return list(struct.unpack("=8Q", memory[at : at + ENTRY]))


def put_words(memory: memoryview, position: int, words: list[int]) -> None:
    struct.pack_into("=8Q", memory, (position - 1) % RING * ENTRY, *words)


# --- Whole entries ----------------------------------------------------------------------------------------------------


@given(written=st.lists(entries, max_size=20), tail=st.integers(0, 3 * RING), limit=st.integers(0, 25))
@settings(deadline=None)
def test_what_was_written_is_read_in_its_order(written: list[Entry], tail: int, limit: int):
    memory = ring()
    for number, one in enumerate(written):
        write_entry(memory, 0, tail + 1 + number, one)
    head = tail + len(written)

    assert read_entries(memory, 0, tail, head, EVERYTHING) == written
    assert read_entries(memory, 0, tail, head, limit) == written[:limit]
    assert read_entries(memory, 0, tail + limit, head, EVERYTHING) == written[limit:]


def test_an_entry_stands_in_its_own_64_bytes_and_nowhere_else():
    memory = ring()

    write_entry(memory, 0, RING, entry(1))

    assert not any(memory[: RING_SIZE - ENTRY])
    assert words_of(memory, RING)[1:] == [RING, *entry(1)]


def test_a_full_ring_is_read_to_its_last_entry_wherever_it_begins():
    for tail in (0, RING - 1, 5 * RING + 7):
        memory = ring()
        written = [entry(number) for number in range(RING)]
        for number, one in enumerate(written):
            write_entry(memory, 0, tail + 1 + number, one)

        assert read_entries(memory, 0, tail, tail + RING, EVERYTHING) == written


def test_the_ring_of_a_table_stands_behind_its_entries_and_touches_none():
    memory = sparse_memory(LEASES_SIZE)
    table = LeaseTable.create(memory, 5)
    table.write(0, 7, 1)
    before = bytes(memory[ENTRIES_BASE : ENTRIES_BASE + 4096]), bytes(memory[RING_BASE - 4096 : RING_BASE])
    assert (table.ring_head, table.ring(0, EVERYTHING)) == (0, [])

    for number in range(RING):
        table.append(entry(number))

    assert table.words[HEAD_WORD] == table.ring_head == RING
    assert table.ring(RING - 2, EVERYTHING) == [entry(RING - 2), entry(RING - 1)]
    assert (table.is_valid(), table.words[1], table.entry(0)) == (True, 5, (7, 1))
    assert (bytes(memory[ENTRIES_BASE : ENTRIES_BASE + 4096]), bytes(memory[RING_BASE - 4096 : RING_BASE])) == before


def test_nothing_is_new_when_the_head_is_where_the_tail_is_or_before_it():
    memory = ring()
    for position in range(1, 6):
        write_entry(memory, 0, position, entry(position))

    assert read_entries(memory, 0, 5, 5, EVERYTHING) == []
    assert read_entries(memory, 0, 5, 3, EVERYTHING) == []
    assert read_entries(memory, 0, 5, 0, EVERYTHING) == []


# --- What is not whole ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [4, RING + 3, (1 << 64) - 1])
def test_a_head_that_is_too_high_tells_no_entry_that_was_never_written(head: int):
    memory = ring()
    for position in range(1, 4):
        write_entry(memory, 0, position, entry(position))

    assert read_entries(memory, 0, 0, head, EVERYTHING) == [entry(1), entry(2), entry(3)]


def test_an_entry_of_the_round_before_is_not_read_again():
    memory = ring()
    for position in range(1, RING + 1):
        write_entry(memory, 0, position, entry(position))

    assert read_entries(memory, 0, RING, 2 * RING, EVERYTHING) == []

    write_entry(memory, 0, RING + 1, entry(RING + 1))
    assert read_entries(memory, 0, RING, RING + 2, EVERYTHING) == [entry(RING + 1)]
    assert read_entries(memory, 0, 0, RING, EVERYTHING) == [], "what was overwritten is gone"


def test_a_reader_stops_before_what_is_not_whole_and_finds_it_later():
    memory = ring()
    for position in (1, 2, 4):
        write_entry(memory, 0, position, entry(position))
    assert read_entries(memory, 0, 0, 4, EVERYTHING) == [entry(1), entry(2)]

    write_entry(memory, 0, 3, entry(3))
    assert read_entries(memory, 0, 2, 4, EVERYTHING) == [entry(3), entry(4)]


@pytest.mark.parametrize("bit", range(0, 8 * ENTRY, 3))
def test_a_single_wrong_bit_makes_it_no_entry(bit: int):
    memory = ring()
    write_entry(memory, 0, 1, entry(1))
    memory[bit // 8] ^= 1 << bit % 8

    assert read_entries(memory, 0, 0, 1, EVERYTHING) == []


@pytest.mark.parametrize("lap", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("step", [1, 8, 4096])
def test_no_mixture_of_words_of_two_entries_is_an_entry(lap: int, step: int):
    """A machine may show the words of one entry in any order; what stood there before differs by round numbers."""
    memory, position = ring(), lap * RING + 1
    if lap:
        write_entry(memory, 0, position - RING, entry(position - RING))
    old = words_of(memory, position)
    new = ring()
    write_entry(new, 0, position, (COMMIT, old[3] + step, old[4] + step * 64, old[5], old[6], old[7] + step))
    whole = words_of(new, position)
    changed = [number for number in range(8) if old[number] != whole[number]]

    for there in product([False, True], repeat=len(changed)):
        mixed = list(old)
        for number, is_new in zip(changed, there, strict=True):
            mixed[number] = whole[number] if is_new else old[number]
        put_words(memory, position, mixed)
        found = read_entries(memory, 0, position - 1, position, EVERYTHING)
        assert found == ([tuple(whole[2:])] if all(there) else [])


@given(old=entries, new=entries, at=st.integers(0, ENTRY), is_from_the_end=st.booleans(), lap=st.integers(1, 5))
@settings(deadline=None)
def test_what_was_copied_in_part_is_no_entry(old: Entry, new: Entry, at: int, is_from_the_end: bool, lap: int):
    memory, other, position = ring(), ring(), lap * RING + 1
    write_entry(memory, 0, position - RING, old)
    write_entry(other, 0, position, new)
    part = slice(at, ENTRY) if is_from_the_end else slice(0, at)
    memory[part] = other[part]

    found = read_entries(memory, 0, position - 1, position, EVERYTHING)

    assert found == ([new] if memory[:ENTRY] == other[:ENTRY] else [])


@given(garbage=st.binary(min_size=ENTRY, max_size=3 * ENTRY), tail=st.integers(0, (1 << 64) - 1))
@settings(deadline=None)
def test_garbage_is_no_entry(garbage: bytes, tail: int):
    memory = ring()
    memory[: len(garbage)] = garbage

    assert read_entries(memory, 0, tail, tail + RING, EVERYTHING) == []
