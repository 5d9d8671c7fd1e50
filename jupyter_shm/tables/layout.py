"""Where everything stands in the index, and how words are made up.  No I/O here.

::

    0         header        one page of words, see the WORD_* numbers
    4 KiB     rows          MAX_CLIENTS rows of 64 bytes, one per client
    512 KiB   hash tables   the table of 2**b buckets starts at HASH_BASE + (8 << b); one of them is in use
    64 MiB    slots         MAX_OBJECTS slots of 256 bytes, one per object
    320 MiB   terms         MAX_OBJECTS times 32 bytes: what was agreed about an object, see the TERM_* numbers

The whole is sparse; memory is used only where something was written.  A slot::

    word 0        state word: generation << 8 | state.  Mutable.
    words 1-3     mutable facts, see the SLOT_* numbers; zeroed with the immutable ones
    word 4        CRC-32 of words 5 to 31
    words 5-15    immutable facts, see Record
    words 16-31   the name, UTF-8, padded with zeros

The immutable part is written while the slot is FREE, then one state word makes it RESERVED or LIVE.

A store process may die between any two writes; the next one rebuilds all that it knows from here (store/restore.py).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

INDEX_MAGIC = 0x3130_5844_4E49_4D53  # "SMINDX01", little-endian
LEASES_MAGIC = 0x3130_5341_454C_4D53  # "SMLEAS01"
LAYOUT = 5  # version of this layout; the wire version changes with it

SLOT_BITS = 20
MAX_OBJECTS = 1 << SLOT_BITS
MAX_CLIENTS = 4096
MAX_NAME = 128  # bytes of UTF-8

WORD = 8  # bytes
PAGE = 4096  # bytes
WORD_MAGIC, WORD_LAYOUT, WORD_STORE, WORD_HASH_BITS, WORD_SLOTS, WORD_ENDED = 0, 1, 2, 3, 4, 5
"""Header: magic, LAYOUT, id of the store, size of the hash table in use, slots ever used (the rest were never
written), 1 when the store has ended."""

WORD_PID, WORD_STARTS, WORD_CAPACITY, WORD_SINCE = 6, 7, 8, 9
"""Header: process id of the store process, how many store processes have worked on this memory so far, capacity in
bytes, CLOCK_MONOTONIC in nanoseconds when the first of them started."""

WORD_AT_WORK, WORD_SUSPECT, WORD_SUSPECT_SUM = 10, 11, 12
"""Header: id of the client whose packet is being handled (0: none); id of the client whose packet was being handled
when the store process died last (0: none), and that packet's CRC-32 with, above it, what its deaths count."""

WORD_PROGRESS = 13
"""Header: bytes that were copied into the spill heap so far.  A client whose put waits for that sees that it goes on."""

ROWS_BASE, ROW_SIZE = PAGE, 64
ROW_CLIENT, ROW_NUMBER, ROW_TAIL, ROW_LOOKING, ROW_DONE = 0, 1, 2, 3, 4
"""Row: client id (0: the row is free), number of the last request that was applied, entries of its ring that were read
(tables/ring.py), 1 while the store looks at the ring by itself, number of the last request about terms that was carried
out, and not refused."""

HASH_BASE = 512 << 10
MIN_HASH_BITS, MAX_HASH_BITS = 12, 21
SLOTS_BASE = 64 << 20
SLOT_SIZE = 256
TERMS_BASE = SLOTS_BASE + MAX_OBJECTS * SLOT_SIZE
TERMS_SIZE = 32
INDEX_SIZE = TERMS_BASE + MAX_OBJECTS * TERMS_SIZE

TERM_FLAGS, TERM_EXPIRY, TERM_SPILLED = 0, 1, 2
"""Terms of an object, all mutable, all zero for most: PINNED and KERNEL_LIFETIME; CLOCK_MONOTONIC in nanoseconds when it
expires (0: never); offset in the spill heap plus 1 (0: its bytes are in the heap).  Only the store writes them, and
where all are zero it never touches them: the page that they would stand on does not exist then."""

PINNED, KERNEL_LIFETIME = 1, 2
"""Flags of the terms."""

FREE, RESERVED, LIVE, DYING, SPILLED, SPILLING, PENDING, DROPPED = 0, 1, 2, 3, 4, 5, 6, 7
"""States of a slot.  FREE: nobody's.  RESERVED: an extent that is being filled.  LIVE: published, or anonymous.
DYING: readers miss it from now on; its extent is the store's again when no lease is left.  SPILLED: as LIVE, but the
bytes are in the spill heap, where TERM_SPILLED says, and the extent of its record is another's.  SPILLING: LIVE a moment
ago, and SPILLED soon if no lease is left on its extent; its bytes are in the heap and in the spill heap, and readers
miss it.  PENDING: anonymous, and still to be made; it has leases, but no facts yet and no extent.  DROPPED: PENDING a
moment ago, and as DYING for who refers to it."""

GENERATION_BITS = 40
SLOT_READS, SLOT_ENDER, SLOT_ENDER_NUMBER = 1, 2, 3
"""Words of a slot: fetches by clients that have hung up since; id of the client whose Delete ended the object (0:
none), which counts only while the slot is DYING; the number of that request.  In a RESERVED slot the second is the id
of the nursery that the slot was promised with (0: it was not).  In one that is PENDING or DROPPED the last two are the
client that is to make the object, and the number of its request."""

RECORD = struct.Struct("=2Q2I8Q128s")
RECORD_OFFSET = 5 * WORD


class Record(NamedTuple):
    """The immutable facts of a slot, in the order of its words 5 to 15 and the name behind them."""

    generation: int
    sequence: int  # rises with every commit of the store; of two LIVE slots with one name the higher one wins
    client: int
    contained: int  # objects whose bytes this one refers to; their ids stand in its prefix
    request: int  # number of the request that made the slot
    offset: int  # bytes from the start of the heap
    extent: int  # bytes of the extent
    nbytes: int  # bytes that the object covers, header included
    payload: int  # bytes of data
    created_ns: int
    version: int  # counts the puts under a name; 0: of an anonymous object that was PENDING before
    name_nbytes: int
    name: bytes

    def key(self) -> bytes:
        """The name without its padding; empty for an anonymous object or a reservation."""
        return self.name[: self.name_nbytes]


def object_id(slot: int, generation: int) -> int:
    """The id of what lives in a slot: never given twice by one store."""
    return generation << SLOT_BITS | slot


def slot_of(id: int) -> int:
    """The slot of an object id."""
    return id & (MAX_OBJECTS - 1)


def generation_of(id: int) -> int:
    """The generation of an object id."""
    return id >> SLOT_BITS


def row_word(row: int) -> int:
    """First word of a client's row."""
    return (ROWS_BASE + row * ROW_SIZE) // WORD


def hash_table(bits: int) -> tuple[int, int]:
    """First word, and mask, of the hash table with 2**bits buckets; bits is clamped to what there is."""
    bits = min(max(bits, MIN_HASH_BITS), MAX_HASH_BITS)
    return (HASH_BASE + (WORD << bits)) // WORD, (1 << bits) - 1
