"""The index against a dict, with a reader who looks after every single store: a hit is always true."""

from __future__ import annotations

from zlib import crc32

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from memories import WatchedMemory, sparse_memory

from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import DYING, FREE, INDEX_SIZE, LIVE, MIN_HASH_BITS, WORD_HASH_BITS, Record

MASK = (1 << MIN_HASH_BITS) - 1
CROWD = 1 << MIN_HASH_BITS - 1


def crowded_names() -> list[bytes]:
    """Names that meet in three neighbouring buckets, at the end of the table and so at its start."""
    names = (b"%d" % number for number in range(1 << 20))
    crowd = []
    for name in names:
        if crc32(name) & MASK in {MASK - 1, MASK, 0}:
            crowd.append(name)
            if len(crowd) == 12:
                return crowd
    raise AssertionError("a million names, and not twelve of them meet")


NAMES = crowded_names()


class IndexMachine(RuleBasedStateMachine):
    """Publish, overwrite and delete as the core does it; every name is looked up after every store of the writer."""

    def __init__(self) -> None:
        super().__init__()
        memory = sparse_memory(INDEX_SIZE)
        self.memory = memory
        self.index = self._watched(IndexWriter.create(memory, 1))
        self.reader = IndexReader(memory.toreadonly())
        self.others: list[tuple[bytes, int]] = []
        self.published: dict[bytes, tuple[int, int]] = {}
        self.allowed: dict[bytes, set[tuple[int, int] | None]] = {}
        self.generations: dict[int, int] = {}
        self.moving = NAMES[0]
        self.other = 0

    def look(self) -> None:
        """What a reader finds in the middle of anything is the old or the new, for a name that changes; for any other
        one the only one, or nothing: a gap may be under way to it."""
        self.other = (self.other + 1) % len(NAMES)
        for name in (self.moving, NAMES[self.other]):
            hit = self.reader.find(name)
            if hit is not None:
                slot, record = hit
                assert record.key() == name
                told = (slot, record.generation)
                assert record.offset == slot << 8 | record.generation, "facts of two objects in one hit"
                assert told in self.allowed.get(name, {self.published.get(name)}), "a hit that is not true"

    def _watched(self, index: IndexWriter) -> IndexWriter:
        index.memory = WatchedMemory(self.memory, self.look)
        index.words = WatchedMemory(self.memory.cast("Q"), self.look)
        return index

    def _slot(self) -> int:
        used = {slot for slot, _ in self.published.values()}
        slot = next(slot for slot in range(2 * len(NAMES)) if slot not in used)
        self.generations[slot] = self.generations.get(slot, 0) + 1
        return slot

    @initialize(crowd=st.sampled_from([0, 0, 0, CROWD - 6]))
    def fill(self, crowd: int) -> None:
        """So many names of others that a few more make the table grow."""
        watched, self.index.words = self.index.words, self.index.words._memory
        for number in range(crowd):
            self.others.append((b"other %d" % number, 1000 + number))
            self.index.set_name(*self.others[-1], None)
        self.index.words = watched

    @rule(name=st.sampled_from(NAMES))
    def publish(self, name: bytes) -> None:
        self.moving = name
        old = self.published.get(name)
        slot = self._slot()
        generation = self.generations[slot]
        facts = {**dict.fromkeys(Record._fields, 7), "generation": generation, "offset": slot << 8 | generation}
        self.allowed = {name: {old, (slot, generation)}}
        self.index.write_record(slot, Record(**{**facts, "name": name, "name_nbytes": len(name)}))
        self.index.set_state(slot, generation, LIVE)
        self.index.set_name(name, slot, old[0] if old else None)
        # From here on the new one is told, and nothing but it.
        self.allowed = {name: {(slot, generation)}}
        self.published[name] = (slot, generation)
        if old:
            self.index.set_state(*old, DYING)
            self.index.set_state(*old, FREE)

    @rule(name=st.sampled_from(NAMES))
    def delete(self, name: bytes) -> None:
        if name not in self.published:
            return
        self.moving = name
        slot, generation = self.published[name]
        self.allowed = {name: {(slot, generation)}}
        self.index.set_state(slot, generation, DYING)
        del self.published[name]
        self.allowed = {name: set()}
        self.index.clear_name(name, slot)
        self.index.set_state(slot, generation, FREE)

    @rule(leftover=st.sampled_from(NAMES))
    def start_anew(self, leftover: bytes) -> None:
        """The writer dies in the middle of a growth, and another one goes on, knowing nothing."""
        bits = self.memory.cast("Q")[WORD_HASH_BITS]
        self.index._insert(bits + 1, crc32(leftover), 0)
        self.index = self._watched(IndexWriter(self.memory))
        names = [(name, slot) for name, (slot, _) in self.published.items()]
        self.index.rebuild_names([*self.others, *names])
        for offset, nbytes in self.index.unused_tables()[:2]:
            self.memory[offset : offset + nbytes] = bytes(nbytes)

    @invariant()
    def every_name_is_found_and_no_other(self) -> None:
        for name in NAMES:
            hit = self.reader.find(name)
            assert (hit and (hit[0], hit[1].generation)) == self.published.get(name)

    def teardown(self) -> None:
        # Growth is a matter of the crowd, and must have been seen by somebody.
        bits = self.index.words[WORD_HASH_BITS]
        assert bits == MIN_HASH_BITS + (self.index.names > CROWD) or bits == MIN_HASH_BITS + 1


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)
