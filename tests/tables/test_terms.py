"""The terms of objects: words that are written one by one, and found again where they are not zero."""

from __future__ import annotations

import pytest
from memories import WatchedMemory, sparse_memory

from jupyter_shm.tables.layout import (
    INDEX_SIZE,
    KERNEL_LIFETIME,
    MAX_OBJECTS,
    PAGE,
    PINNED,
    TERM_EXPIRY,
    TERM_FLAGS,
    TERM_SPILLED,
    TERMS_BASE,
    TERMS_SIZE,
)
from jupyter_shm.tables.terms import NO_TERMS, Terms, TermsTable, changes, term_word, written


@pytest.fixture
def memory() -> memoryview:
    return sparse_memory(INDEX_SIZE)


def all_written(memory: memoryview) -> dict[int, Terms]:
    return dict(written(memory[TERMS_BASE:]))


@pytest.mark.parametrize("slot", [0, 1, 127, 128, MAX_OBJECTS - 1])
@pytest.mark.parametrize("term", [TERM_FLAGS, TERM_EXPIRY, TERM_SPILLED])
def test_one_term_of_one_slot_is_one_word(memory: memoryview, slot: int, term: int):
    table = TermsTable(memory.cast("Q"))

    table.set(slot, term, 2**63 + 5)

    assert table.get(slot, term) == 2**63 + 5
    assert all_written(memory) == {slot: NO_TERMS._replace(**{Terms._fields[term]: 2**63 + 5})}


def test_terms_lie_in_their_own_part_of_the_index():
    assert term_word(0, 0) * 8 == TERMS_BASE
    assert term_word(MAX_OBJECTS - 1, 3) * 8 + 8 == INDEX_SIZE
    assert PAGE % TERMS_SIZE == 0


def test_a_word_is_written_in_one_step(memory: memoryview):
    seen: list[Terms] = []
    table = TermsTable(WatchedMemory(memory, lambda: seen.append(all_written(memory).get(3, NO_TERMS))).cast("Q"))

    for term, value in changes(NO_TERMS, Terms(PINNED | KERNEL_LIFETIME, 2**60 + 1, 4096)):
        table.set(3, term, value)

    assert seen == [Terms(0, 2**60 + 1, 0), Terms(3, 2**60 + 1, 0), Terms(3, 2**60 + 1, 4096)]


def test_what_stays_as_it_is_is_not_written():
    assert changes(NO_TERMS, NO_TERMS) == []
    assert changes(Terms(PINNED, 7, 9), Terms(PINNED, 7, 9)) == []
    assert changes(Terms(PINNED, 7, 9), Terms(PINNED, 8, 9)) == [(TERM_EXPIRY, 8)]


def test_a_part_of_the_table_tells_of_its_own_slots(memory: memoryview):
    table = TermsTable(memory.cast("Q"))
    slots = PAGE // TERMS_SIZE
    for slot in (0, slots, 3 * slots + 5, 4 * slots):
        table.set(slot, TERM_FLAGS, PINNED)

    part = bytes(memory[TERMS_BASE + PAGE : TERMS_BASE + 4 * PAGE])

    assert list(written(part, first=slots)) == [(slots, Terms(PINNED)), (3 * slots + 5, Terms(PINNED))]
