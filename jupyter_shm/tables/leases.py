"""The lease table of one client: one word, and one of statistics, per index slot, over a buffer.  No I/O here.

::

    0        header    word 0 magic, word 1 client id, word 2 the ring's head, words 8-23 numbers of requests that
                       nobody waits for any more, words 64-127 the summary
    4 KiB    entries   16 bytes per slot: the lease word, the statistics word
    ...      ring      what the client has made and dropped without asking (tables/ring.py); its head is word 2

Lease word: ``generation << 24 | SENT | count``.  Count > 0 says: this client reads that generation of the slot.  SENT
says: it has pickled a reference to it, which may be on its way to somebody; nobody reads for that.
Statistics word: ``last use << 24 | reads``; last use in milliseconds of CLOCK_MONOTONIC.  Safety never reads it.
Summary: one bit per page of entries, set before the page is first written.  The store looks only where a bit is
set: an idle client costs it nothing, and reading a never-written page of a shared map would allocate it.
"""

from __future__ import annotations

from collections.abc import Iterator

from .layout import LEASES_MAGIC, MAX_OBJECTS, PAGE, WORD
from .ring import HEAD_WORD, RING_SIZE, Entry, read_entries, write_entry

ENTRY_SIZE = 16
ENTRIES_BASE = PAGE
RING_BASE = ENTRIES_BASE + MAX_OBJECTS * ENTRY_SIZE
LEASES_SIZE = RING_BASE + RING_SIZE
COUNT_MASK = 0x7FFFFF
MAX_COUNT = COUNT_MASK
SENT = 0x800000
READS_MASK = 0xFFFFFF

_FIRST_ENTRY_WORD = ENTRIES_BASE // WORD
_SUMMARY = 64
_WITHDRAWN, _WITHDRAWN_WORDS = 8, 16
_SLOTS_PER_PAGE_BITS = 8  # 256 entries of 16 bytes are one page


def page_of(slot: int) -> int:
    """The page of entries that a slot's entry is in."""
    return slot >> _SLOTS_PER_PAGE_BITS


class LeaseTable:
    """Both halves of a lease table; the client writes, the store only reads.

    Args:
        memory: LEASES_SIZE bytes, a memoryview of format "B"; read-only in the store.
    """

    __slots__ = ("memory", "words")

    def __init__(self, memory: memoryview) -> None:
        self.memory = memory
        self.words = memory.cast("Q")

    @classmethod
    def create(cls, memory: memoryview, client: int) -> LeaseTable:
        """Lay out an empty table over zeroed memory."""
        table = cls(memory)
        table.words[1] = client
        table.words[0] = LEASES_MAGIC
        return table

    def is_valid(self) -> bool:
        """Is this a lease table?"""
        return self.words[0] == LEASES_MAGIC

    @property
    def client(self) -> int:
        """Id of the client, as the table says."""
        return self.words[1]

    def entry(self, slot: int) -> tuple[int, int]:
        """Generation and count of a slot."""
        word = self.words[_FIRST_ENTRY_WORD + 2 * slot]
        return word >> 24, word & COUNT_MASK

    def add(self, slot: int, generation: int) -> bool | None:
        """Say that this client holds one lease more.

        Args:
            slot: The slot.
            generation: Of the object in it.

        Returns:
            Is it the first one of this generation?  ``None``, and nothing is said, when the word tells of leases of
            another generation: they are never replaced.
        """
        words, at, page = self.words, _FIRST_ENTRY_WORD + 2 * slot, slot >> _SLOTS_PER_PAGE_BITS
        word = words[at]
        fresh = word >> 24 != generation
        if fresh and word & COUNT_MASK:
            return None
        if not words[_SUMMARY + (page >> 6)] >> (page & 63) & 1:
            words[_SUMMARY + (page >> 6)] |= 1 << (page & 63)
        words[at] = generation << 24 | 1 if fresh else word + 1
        return fresh

    def write(self, slot: int, generation: int, count: int) -> None:
        """Say how many leases this client holds; with SENT, that it has pickled a reference.

        The caller has seen to it that no lease of another generation is replaced, and that no other thread writes.
        """
        page = slot >> _SLOTS_PER_PAGE_BITS
        bit = 1 << (page & 63)
        if not self.words[_SUMMARY + (page >> 6)] & bit:
            self.words[_SUMMARY + (page >> 6)] |= bit
        self.words[_FIRST_ENTRY_WORD + 2 * slot] = generation << 24 | count

    def note_use(self, slot: int, now_ms: int, fresh: bool) -> None:
        """Count a read.

        Args:
            slot: A slot that this client holds a lease on.
            now_ms: CLOCK_MONOTONIC in milliseconds.
            fresh: First read of this generation by this client: what the word said before was of another object.
        """
        at = _FIRST_ENTRY_WORD + 2 * slot + 1
        reads = 0 if fresh else self.words[at] & READS_MASK
        self.words[at] = now_ms << 24 | (reads + 1 if reads < READS_MASK else READS_MASK)

    def withdraw(self, number: int) -> None:
        """Say that nobody waits for this request any more: if it was not carried out yet, it is not to be."""
        self.words[_WITHDRAWN + number % _WITHDRAWN_WORDS] = number

    def is_withdrawn(self, number: int) -> bool:
        """Did the client say so, and of no such request since that is told by the same word?"""
        return self.words[_WITHDRAWN + number % _WITHDRAWN_WORDS] == number

    @property
    def ring_head(self) -> int:
        """How many entries were ever written to the ring."""
        return self.words[HEAD_WORD]

    def append(self, entry: Entry) -> None:
        """Write one more entry to the ring.  The caller has seen to it that there is room, and that nobody else writes."""
        position = self.words[HEAD_WORD] + 1
        write_entry(self.memory, RING_BASE, position, entry)
        self.words[HEAD_WORD] = position

    def ring(self, tail: int, limit: int) -> list[Entry]:
        """Read the entries behind ``tail``, as many as are whole, and ``limit`` at most."""
        return read_entries(self.memory, RING_BASE, tail, self.words[HEAD_WORD], limit)

    def has_touched(self, slot: int) -> bool:
        """Was the page of this slot's entry ever written?"""
        page = slot >> _SLOTS_PER_PAGE_BITS
        return bool(self.words[_SUMMARY + (page >> 6)] >> (page & 63) & 1)

    def holds(self, slot: int, generation: int) -> bool:
        """Does this client hold a lease on this very object?"""
        if not self.has_touched(slot):
            return False
        word = self.words[_FIRST_ENTRY_WORD + 2 * slot]
        return word >> 24 == generation and word & COUNT_MASK > 0

    def refers(self, slot: int, generation: int) -> bool:
        """Does this client hold a lease on this very object, or has it pickled a reference to it?"""
        if not self.has_touched(slot):
            return False
        word = self.words[_FIRST_ENTRY_WORD + 2 * slot]
        return word >> 24 == generation and word & (COUNT_MASK | SENT) > 0

    def has_sent(self, slot: int, generation: int) -> bool:
        """Has this client pickled a reference to this very object?"""
        word = self.words[_FIRST_ENTRY_WORD + 2 * slot] if self.has_touched(slot) else 0
        return word >> 24 == generation and word & SENT > 0

    def reads(self, slot: int, generation: int) -> int:
        """How often this client has fetched this very object."""
        if not self.has_touched(slot):
            return 0
        at = _FIRST_ENTRY_WORD + 2 * slot
        return self.words[at + 1] & READS_MASK if self.words[at] >> 24 == generation else 0

    def last_use(self, slot: int, generation: int) -> int:
        """When this client used this very object last: milliseconds of CLOCK_MONOTONIC; 0: it never did."""
        if not self.has_touched(slot):
            return 0
        at = _FIRST_ENTRY_WORD + 2 * slot
        return self.words[at + 1] >> 24 if self.words[at] >> 24 == generation else 0

    def touched_slots(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield ``(slot, generation, count, reads)`` of every entry that was ever written."""
        for group in range(64):
            bits = self.words[_SUMMARY + group]
            while bits:
                page = group * 64 + (bits & -bits).bit_length() - 1
                bits &= bits - 1
                for slot in range(page << _SLOTS_PER_PAGE_BITS, page + 1 << _SLOTS_PER_PAGE_BITS):
                    word = self.words[_FIRST_ENTRY_WORD + 2 * slot]
                    if word:
                        yield slot, word >> 24, word & COUNT_MASK, self.reads(slot, word >> 24)
