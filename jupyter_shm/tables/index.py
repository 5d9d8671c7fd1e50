"""The index: name hash table, one slot per object, one row per client, over one buffer.  No I/O here.

One process writes (the store, through ``IndexWriter``); everybody else reads without asking.  A reader may look
between any two writes.  What it takes for a hit was checked against the slot's state word and CRC, so it is true;
a miss may be due to a write under way, and is to be asked of the store.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple
from zlib import crc32

from .layout import (
    FREE,
    INDEX_MAGIC,
    LAYOUT,
    LIVE,
    MAX_HASH_BITS,
    MAX_OBJECTS,
    MIN_HASH_BITS,
    RECORD,
    RECORD_OFFSET,
    RESERVED,
    ROW_CLIENT,
    ROW_LOOKING,
    ROW_NUMBER,
    ROW_TAIL,
    SLOT_ENDER,
    SLOT_ENDER_NUMBER,
    SLOT_READS,
    SLOT_SIZE,
    SLOTS_BASE,
    WORD,
    WORD_AT_WORK,
    WORD_CAPACITY,
    WORD_ENDED,
    WORD_HASH_BITS,
    WORD_LAYOUT,
    WORD_MAGIC,
    WORD_PID,
    WORD_SINCE,
    WORD_SLOTS,
    WORD_STARTS,
    WORD_STORE,
    WORD_SUSPECT,
    WORD_SUSPECT_SUM,
    Record,
    hash_table,
    row_word,
)

_SLOT_WORDS = SLOT_SIZE // WORD
_FIRST_SLOT_WORD = SLOTS_BASE // WORD
_CRC_OFFSET = RECORD_OFFSET - WORD
_RECORD_END = RECORD_OFFSET + RECORD.size
_CRC_WORD = _CRC_OFFSET // WORD
_FACTS_SKIP = RECORD_OFFSET - WORD
_pack_facts = struct.Struct(f"={_FACTS_SKIP}x{RECORD.format[1:]}").pack  # words 1 to 31 of a slot; 1 to 4 are zero
_SLOT = struct.Struct(f"=5Q{RECORD.format[1:]}")  # a whole slot
_CHUNK = 4096  # slots read in one go: 1 MiB

# A bucket is crc32(name) << 24 | slot + 1; 0 is an empty one.  A table that is rewritten in one go may be seen with
# buckets that are half of it: whatever such a one says, the slot has to be one that exists.
_BUCKET_SLOT = MAX_OBJECTS - 1


Place = tuple[int, int, int, int, int]
"""What says that a key means an object: a word of the index and what it has to be, twice, and the size of the name
table, as WORD_HASH_BITS.  The first word is the slot's state; the second one the name's bucket, or the state again."""

Hit = tuple[int, Record, Place]
"""A slot, its facts, and what says that they are meant."""

# Record._make, which is a method in Python, costs twice as much.
_record: Callable[[tuple[Any, ...]], Record] = partial(tuple.__new__, Record)
_unpack_record = RECORD.unpack
_checked_slot = struct.Struct(f"=Q{_CRC_OFFSET - WORD}xQ{RECORD.size}s").unpack_from  # state word, CRC, record


class Slot(NamedTuple):
    """All that the index says of a slot, as it stands there."""

    state: int  # generation << 8 | state
    reads: int
    ender: int
    ender_number: int
    record: Record | None  # None: not what its CRC says


class IndexReader:
    """Read the index.

    Args:
        memory: The whole index, a memoryview of format "B".  It may be read-only, and must outlive the reader.
    """

    def __init__(self, memory: memoryview) -> None:
        self.memory = memory
        self.words = memory.cast("Q")

    @property
    def store(self) -> int:
        """Id of the store that writes this index."""
        return self.words[WORD_STORE]

    @property
    def has_ended(self) -> bool:
        """Did the store say that it writes no more?  What is LIVE here may be outdated then."""
        return self.words[WORD_ENDED] != 0

    @property
    def pid(self) -> int:
        """Process id of the store process."""
        return self.words[WORD_PID]

    @property
    def starts(self) -> int:
        """How many store processes have worked on this memory so far; all but the last one have died."""
        return self.words[WORD_STARTS]

    @property
    def capacity(self) -> int:
        """Capacity of the store, in bytes."""
        return self.words[WORD_CAPACITY]

    @property
    def since(self) -> int:
        """When the first store process started: nanoseconds of CLOCK_MONOTONIC."""
        return self.words[WORD_SINCE]

    @property
    def at_work(self) -> int:
        """Id of the client whose packet is being handled, or was when the store process died; 0: nobody's."""
        return self.words[WORD_AT_WORK]

    @property
    def suspect(self) -> tuple[int, int]:
        """The packet at which the store process died last: id of its client (0: none), deaths << 32 | CRC-32."""
        return self.words[WORD_SUSPECT], self.words[WORD_SUSPECT_SUM]

    def is_valid(self) -> bool:
        """Is this an index of our layout?"""
        return self.words[WORD_MAGIC] == INDEX_MAGIC and self.words[WORD_LAYOUT] == LAYOUT

    def state(self, slot: int) -> int:
        """The state word of a slot: ``generation << 8 | state``."""
        return self.words[_FIRST_SLOT_WORD + slot * _SLOT_WORDS]

    def is_live(self, slot: int, generation: int) -> bool:
        """Is this very object LIVE?  One word is read."""
        return self.words[_FIRST_SLOT_WORD + slot * _SLOT_WORDS] == generation << 8 | LIVE

    def record(self, slot: int) -> Record | None:
        """The immutable facts of a slot.

        Returns:
            The facts; ``None`` when their CRC is wrong (never written, or being written).
        """
        start = SLOTS_BASE + slot * SLOT_SIZE
        data = bytes(self.memory[start + RECORD_OFFSET : start + _RECORD_END])
        if crc32(data) != self.words[(start + _CRC_OFFSET) // WORD]:
            return None
        return _record(RECORD.unpack(data))

    def live_record(self, slot: int, wanted: int = LIVE) -> Record | None:
        """The facts of a LIVE object whose generation stands under the CRC too; ``None`` for everything else."""
        state = self.state(slot)
        if state & 0xFF != wanted:
            return None
        record = self.record(slot)
        return record if record is not None and record.generation == state >> 8 else None

    def find(self, name: bytes) -> tuple[int, Record] | None:
        """Find the LIVE object of a name.

        Returns:
            Its slot and facts, or ``None``: a miss, which only the store can confirm.
        """
        hit = self.look_up(name)
        return hit and hit[:2]

    def look_up(self, name: bytes, wanted: int = LIVE) -> Hit | None:
        """Find the LIVE object of a name, and what to look at to know later that the name still means it.

        Args:
            name: The name.
            wanted: SPILLED: find the object if it is that, and not LIVE.
        """
        # The one hot loop of a get, so what record() and live_record() do is written out here.
        words, tag = self.words, crc32(name)
        bits = words[WORD_HASH_BITS]
        first, mask = _TABLES.get(bits) or hash_table(bits)
        probe = tag & mask
        last = probe + mask
        while probe <= last:
            at = first + (probe & mask)
            bucket = words[at]
            if not bucket:
                return None
            if bucket >> 24 == tag:
                slot = (bucket - 1) & _BUCKET_SLOT
                # Copied before it is checked: what is used are the very bytes that the CRC was counted of.
                state, crc, data = _checked_slot(self.memory, SLOTS_BASE + slot * SLOT_SIZE)
                if state & 0xFF == wanted and crc32(data) == crc:
                    record = _record(_unpack_record(data))
                    if record[0] == state >> 8 and record[12][: record[11]] == name:  # generation, key()
                        # Looked at again: the slot may have been freed meanwhile and just be taken by a version that
                        # the name does not mean yet, and a later reader would get an older one.
                        if words[at] == bucket and words[WORD_HASH_BITS] == bits:
                            return slot, record, (_FIRST_SLOT_WORD + slot * _SLOT_WORDS, state, at, bucket, bits)
                        return None
            probe += 1
        return None

    def look_at(self, slot: int, wanted: int = LIVE) -> Hit | None:
        """Find the LIVE, or SPILLED, object in a slot, whatever its name."""
        record = self.live_record(slot, wanted)
        if record is None:
            return None
        word, state = _FIRST_SLOT_WORD + slot * _SLOT_WORDS, record.generation << 8 | wanted
        return slot, record, (word, state, word, state, self.words[WORD_HASH_BITS])

    def reads(self, slot: int) -> int:
        """How often the object in a slot was fetched by clients that have hung up since."""
        return self.words[_FIRST_SLOT_WORD + slot * _SLOT_WORDS + SLOT_READS]

    def ender(self, slot: int) -> tuple[int, int]:
        """Whose Delete ended the object in a DYING slot: the client's id (0: nobody's) and the request's number."""
        first = _FIRST_SLOT_WORD + slot * _SLOT_WORDS
        return self.words[first + SLOT_ENDER], self.words[first + SLOT_ENDER_NUMBER]

    def slots(self) -> Iterator[Slot]:
        """Tell of every slot that was ever used, from the first one.

        What is told is only true if nobody writes meanwhile: it is for a store process that has just started.
        """
        used = self.words[WORD_SLOTS]
        for first in range(0, used, _CHUNK):
            start = SLOTS_BASE + first * SLOT_SIZE
            data = self.memory[start : start + (min(first + _CHUNK, used) - first) * SLOT_SIZE].tobytes()
            view, at = memoryview(data), RECORD_OFFSET
            for words in _SLOT.iter_unpack(data):
                is_whole = crc32(view[at : at + RECORD.size]) == words[4]
                yield Slot(words[0], words[1], words[2], words[3], Record._make(words[5:]) if is_whole else None)
                at += SLOT_SIZE

    def row(self, row: int) -> tuple[int, int]:
        """A client's row: its id (0: nobody's) and the number of its last applied request."""
        first = row_word(row)
        return self.words[first + ROW_CLIENT], self.words[first + ROW_NUMBER]

    def tail(self, row: int) -> int:
        """How many entries of a client's ring the store has read."""
        return self.words[row_word(row) + ROW_TAIL]


class IndexWriter(IndexReader):
    """Write the index: the store's half.  Nothing here allocates or decides; the core does.

    Args:
        memory: The whole index, writable.
    """

    names = 0
    """Buckets in use."""

    @classmethod
    def create(cls, memory: memoryview, store: int) -> IndexWriter:
        """Lay out an empty index over zeroed memory.

        Args:
            memory: INDEX_SIZE bytes of zeros, writable.
            store: Random number of 64 bits that tells this store from every other.
        """
        index = cls(memory)
        index.words[WORD_LAYOUT] = LAYOUT
        index.words[WORD_STORE] = store
        index.words[WORD_HASH_BITS] = MIN_HASH_BITS
        index.words[WORD_MAGIC] = INDEX_MAGIC
        return index

    def end(self) -> None:
        """Say that nothing is written any more."""
        self.words[WORD_ENDED] = 1

    def note_start(self, pid: int) -> None:
        """Say that a store process, this one, begins to work on this memory."""
        self.words[WORD_PID] = pid
        self.words[WORD_STARTS] += 1

    def set_capacity(self, nbytes: int) -> None:
        """Say how many bytes used and reserved pages together may take."""
        self.words[WORD_CAPACITY] = nbytes

    def set_since(self, ns: int) -> None:
        """Say when the first store process started: nanoseconds of CLOCK_MONOTONIC."""
        self.words[WORD_SINCE] = ns

    def set_at_work(self, client: int) -> None:
        """Say whose packet is being handled from now on; 0: nobody's."""
        self.words[WORD_AT_WORK] = client

    def set_suspect(self, client: int, sum: int) -> None:
        """Note the packet at which the store process died.

        Args:
            client: Whose it is; 0: there is no suspect any more.
            sum: Its CRC-32, and above it what its deaths count (``store/succession.py``).
        """
        self.words[WORD_SUSPECT] = 0  # nobody is suspected of another's packet, whenever this ends
        self.words[WORD_SUSPECT_SUM] = sum
        self.words[WORD_SUSPECT] = client

    def write_record(self, slot: int, record: Record) -> None:
        """Write the immutable facts of a FREE slot, and let its mutable ones be zero.

        They count once ``set_state`` makes it RESERVED or LIVE.
        """
        data = _pack_facts(*record)
        start = SLOTS_BASE + slot * SLOT_SIZE
        self.memory[start + WORD : start + SLOT_SIZE] = data
        self.words[_FIRST_SLOT_WORD + slot * _SLOT_WORDS + _CRC_WORD] = crc32(data[_FACTS_SKIP:])
        if slot >= self.words[WORD_SLOTS]:
            self.words[WORD_SLOTS] = slot + 1

    def set_state(self, slot: int, generation: int, state: int) -> None:
        """Change the one word that decides what the slot is."""
        self.words[_FIRST_SLOT_WORD + slot * _SLOT_WORDS] = generation << 8 | state

    def set_reads(self, slot: int, reads: int) -> None:
        """Say how often the object in a slot was fetched by clients that have hung up since."""
        self.words[_FIRST_SLOT_WORD + slot * _SLOT_WORDS + SLOT_READS] = reads

    def set_ender(self, slot: int, client: int, number: int) -> None:
        """Say whose Delete ends the object in a slot, before its state word says DYING.

        Args:
            slot: A LIVE slot.
            client: Id of the client.
            number: Of its request.
        """
        first = _FIRST_SLOT_WORD + slot * _SLOT_WORDS
        self.words[first + SLOT_ENDER] = 0  # an earlier one never came to its end: it is not given this number
        self.words[first + SLOT_ENDER_NUMBER] = number
        self.words[first + SLOT_ENDER] = client

    def set_row(self, row: int, client: int, number: int) -> None:
        """Say who a row belongs to and which of its requests was applied last."""
        first = row_word(row)
        self.words[first + ROW_NUMBER] = number
        self.words[first + ROW_CLIENT] = client

    def set_tail(self, row: int, tail: int) -> None:
        """Say how many entries of a client's ring were read."""
        self.words[row_word(row) + ROW_TAIL] = tail

    def set_looking(self, row: int, is_looking: bool) -> None:
        """Say whether the store looks at a client's ring without being told."""
        self.words[row_word(row) + ROW_LOOKING] = is_looking

    def promise(self, slot: int, generation: int, owner: int, number: int = 0, state: int = RESERVED) -> None:
        """Make a FREE slot RESERVED for an object that will be cut out of a nursery, or PENDING.

        Args:
            slot: The slot.
            generation: Of the object to come.
            owner: Id of the nursery, or of the client that asked.
            number: Of its request.
            state: ``PENDING`` if it is to be that.
        """
        if slot >= self.words[WORD_SLOTS]:
            self.words[WORD_SLOTS] = slot + 1  # while it is FREE: a slot behind is not looked at by who starts anew
        first = _FIRST_SLOT_WORD + slot * _SLOT_WORDS
        self.words[first + SLOT_READS] = 0
        self.words[first + SLOT_ENDER_NUMBER] = number
        self.words[first + SLOT_ENDER] = owner
        self.words[first] = generation << 8 | state

    def publish(self, slot: int, record: Record) -> None:
        """Write the facts of an object into the slot that was promised, and make it LIVE.

        The promise is taken out last: until the slot is LIVE, it is what a store that starts anew knows it by.
        """
        data = _pack_facts(*record)
        start = SLOTS_BASE + slot * SLOT_SIZE
        first = _FIRST_SLOT_WORD + slot * _SLOT_WORDS
        self.memory[start + RECORD_OFFSET : start + SLOT_SIZE] = data[_FACTS_SKIP:]
        self.words[first + _CRC_WORD] = crc32(data[_FACTS_SKIP:])
        self.words[first] = record.generation << 8 | LIVE
        self.words[first + SLOT_ENDER] = 0

    def set_name(self, name: bytes, slot: int, old: int | None) -> None:
        """Let a name mean a slot.

        Args:
            name: The name.
            slot: A LIVE slot whose record bears the name.
            old: The slot that the name meant until now, or ``None``; the bucket is then replaced in place, so
                that no reader misses the name in between.
        """
        tag = crc32(name)
        if old is not None:
            self.words[self._bucket_of(tag, old)] = tag << 24 | slot + 1
            return
        if 2 * (self.names + 1) > 1 << self.words[WORD_HASH_BITS] and self.words[WORD_HASH_BITS] < MAX_HASH_BITS:
            self._grow()
        self._insert(self.words[WORD_HASH_BITS], tag, slot)
        self.names += 1

    def clear_name(self, name: bytes, slot: int) -> None:
        """Let a name mean nothing, and close the gap in its chain of buckets.

        Knuth, The Art of Computer Programming 3, section 6.4, algorithm R: no tombstones.  Each bucket is copied
        before its old place is overwritten, so a reader may miss a name meanwhile but never sees a wrong one.
        """
        words = self.words
        first, mask = hash_table(words[WORD_HASH_BITS])
        gap = self._bucket_of(crc32(name), slot) - first
        at = gap
        while True:
            at = (at + 1) & mask
            bucket = words[first + at]
            if not bucket:
                break
            home = (bucket >> 24) & mask
            if (at - home) & mask >= (at - gap) & mask:
                words[first + gap] = bucket
                gap = at
        words[first + gap] = 0
        self.names -= 1

    def rebuild_names(self, names: Iterable[tuple[bytes, int]]) -> None:
        """Let these names mean these slots, and nothing else mean anything.

        The table is made in private and written in one go: what was left in it by a writer that died does not matter.
        Readers may miss any name meanwhile, if it is the table in use.

        Args:
            names: Name and LIVE slot of each, no name twice.
        """
        buckets = [crc32(name) << 24 | slot + 1 for name, slot in names]
        bits = min(max(self.words[WORD_HASH_BITS], MIN_HASH_BITS), MAX_HASH_BITS)
        while 2 * len(buckets) > 1 << bits and bits < MAX_HASH_BITS:
            bits += 1
        mask = (1 << bits) - 1
        table = array("Q", bytes(WORD << bits))
        for bucket in buckets:
            at = bucket >> 24 & mask
            while table[at]:
                at = (at + 1) & mask
            table[at] = bucket
        start = WORD * hash_table(bits)[0]
        self.memory[start : start + (WORD << bits)] = memoryview(table).cast("B")
        self.names = len(buckets)
        self.words[WORD_HASH_BITS] = bits

    def unused_tables(self) -> list[tuple[int, int]]:
        """Where the tables are that the name table may grow into: they have to be zeros before it does.

        Returns:
            ``(offset, bytes)`` in the index, whole pages.
        """
        bits = self.words[WORD_HASH_BITS]
        return [(WORD * hash_table(above)[0], WORD << above) for above in range(bits + 1, MAX_HASH_BITS + 1)]

    def _bucket_of(self, tag: int, slot: int) -> int:
        first, mask = hash_table(self.words[WORD_HASH_BITS])
        at, wanted = tag & mask, tag << 24 | slot + 1
        while self.words[first + at] != wanted:
            if not self.words[first + at]:
                raise LookupError(f"slot {slot} has no bucket for tag {tag:#x}")
            at = (at + 1) & mask
        return first + at

    def _insert(self, bits: int, tag: int, slot: int) -> None:
        first, mask = hash_table(bits)
        at = tag & mask
        while self.words[first + at]:
            at = (at + 1) & mask
        self.words[first + at] = tag << 24 | slot + 1

    def _grow(self) -> None:
        """Fill the next larger table, then let readers use it: until then they see the old one, complete."""
        bits = self.words[WORD_HASH_BITS]
        first, mask = hash_table(bits)
        for at in range(mask + 1):
            bucket = self.words[first + at]
            if bucket:
                self._insert(bits + 1, bucket >> 24, (bucket - 1) & _BUCKET_SLOT)
        self.words[WORD_HASH_BITS] = bits + 1


_TABLES = {bits: hash_table(bits) for bits in range(MIN_HASH_BITS, MAX_HASH_BITS + 1)}

__all__ = ["FREE", "MAX_OBJECTS", "IndexReader", "IndexWriter"]
