"""The ring of one client: objects that it has made, or dropped, without asking.  A buffer, no I/O here.

It stands behind the entries of the client's lease table, and has one writer like them: the client.  How far the store
has read it stands in the client's row of the index, whose writer is the store.  An entry of eight words::

    word 0    check: all the others, exclusively or'ed
    word 1    position: 1 for the first entry ever written, and so on
    word 2    kind: COMMIT or DROP
    word 3    id of the object
    words 4-7 of a COMMIT: offset in the heap, bytes covered, bytes of data, created (nanoseconds since 1970)

The head, a word of the table's header, is raised when the entry is whole.  A machine may show it to the reader before
the entry; then the check is wrong, and the reader comes back.
"""

from __future__ import annotations

import struct

COMMIT, DROP = 1, 2

RING = 4096  # entries
ENTRY = struct.Struct("=8Q")
RING_SIZE = RING * ENTRY.size
HEAD_WORD = 2  # of the lease table's header

Entry = tuple[int, int, int, int, int, int]
"""Kind, id, offset, bytes covered, bytes of data, created."""


def write_entry(memory: memoryview, base: int, position: int, entry: Entry) -> None:
    """Write one entry.  Nobody reads it before ``HEAD_WORD`` says ``position``.

    Args:
        memory: The lease table, writable.
        base: Where the ring starts in it.
        position: One more than the head.
        entry: What to write.
    """
    kind, id, offset, nbytes, payload, created = entry
    check = position ^ kind ^ id ^ offset ^ nbytes ^ payload ^ created
    ENTRY.pack_into(
        memory, base + (position - 1) % RING * 64, check, position, kind, id, offset, nbytes, payload, created
    )


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
        check, stamp, kind, id, offset, nbytes, payload, created = ENTRY.unpack_from(
            memory, base + (position - 1) % RING * 64
        )
        if stamp != position or check != position ^ kind ^ id ^ offset ^ nbytes ^ payload ^ created:
            break
        found.append((kind, id, offset, nbytes, payload, created))
    return found
