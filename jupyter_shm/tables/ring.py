"""The ring of one client: objects that it has made, or dropped, without asking.  A buffer, no I/O here.

It stands behind the entries of the client's lease table, and has one writer like them: the client.  How far the store
has read it stands in the client's row of the index, whose writer is the store.  An entry of eight words::

    word 0    CRC-32 of all the others
    word 1    position: 1 for the first entry ever written, and so on
    word 2    kind: COMMIT or DROP
    word 3    id of the object
    words 4-7 of a COMMIT: offset in the heap, bytes covered, bytes of data, created (nanoseconds since 1970)

The head, a word of the table's header, is raised when the entry is whole.  A machine may show it to the reader before
the entry; then the CRC is wrong, and the reader comes back.
"""

from __future__ import annotations

import struct
from zlib import crc32

COMMIT, DROP = 1, 2

RING = 4096  # entries
ENTRY_SIZE = 64  # bytes
RING_SIZE = RING * ENTRY_SIZE
HEAD_WORD = 2  # of the lease table's header

Entry = tuple[int, int, int, int, int, int]
"""Kind, id, offset, bytes covered, bytes of data, created."""


_FACTS = struct.Struct("=7Q")  # words 1 to 7
_WHOLE = struct.Struct("=Q56s")


def write_entry(memory: memoryview, base: int, position: int, entry: Entry) -> None:
    """Write one entry.  Nobody reads it before ``HEAD_WORD`` says ``position``.

    Args:
        memory: The lease table, writable.
        base: Where the ring starts in it.
        position: One more than the head.
        entry: What to write.
    """
    facts = _FACTS.pack(position, *entry)
    _WHOLE.pack_into(memory, base + (position - 1) % RING * ENTRY_SIZE, crc32(facts), facts)


def read_entries(memory: memoryview, base: int, tail: int, head: int, limit: int) -> list[Entry]:
    """Read what is new.

    Args:
        memory: The lease table.
        base: Where the ring starts in it.
        tail: Position of the last entry that was read before.
        head: What ``HEAD_WORD`` says.
        limit: Entries to read at most.

    Returns:
        The entries, in their order, as far as they are whole.
    """
    found: list[Entry] = []
    for position in range(tail + 1, min(head, tail + min(limit, RING)) + 1):
        check, facts = _WHOLE.unpack_from(memory, base + (position - 1) % RING * ENTRY_SIZE)
        stamp, *entry = _FACTS.unpack(facts)
        if stamp != position or check != crc32(facts):
            break
        found.append(tuple(entry))
    return found
