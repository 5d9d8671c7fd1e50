"""The memory that the store owns: heap, index, and one lease table per client.  No sockets here.

The store writes the index and punches the heap; clients write their reserved extents and their own lease tables.
"""

from __future__ import annotations

import os
from mmap import MAP_SHARED, PROT_READ, PROT_WRITE, mmap

from ..errors import ProtocolError
from ..linux.memory import create_memory, punch, reopen_read_only
from ..tables.index import IndexWriter
from ..tables.layout import INDEX_SIZE, WORD
from ..tables.leases import LEASES_SIZE, LeaseTable
from ..tables.prefix import HEAD_SIZE, read_contained, read_head

MAX_CONTAINED = 1 << 20  # objects in one containment list; the store reads it in one go


class Regions:
    """Heap and index, made anew.

    Args:
        heap_nbytes: Address space of the heap; memory is used only where something is written.
        store: Random number of 64 bits that tells this store from every other.
    """

    def __init__(self, heap_nbytes: int, store: int) -> None:
        self.heap = create_memory("jupyter-shm-heap", heap_nbytes)
        self.heap_read_only = reopen_read_only(self.heap)
        self._index_fd = create_memory("jupyter-shm-index", INDEX_SIZE)
        self.index_read_only = reopen_read_only(self._index_fd)
        self._index_map = mmap(self._index_fd, INDEX_SIZE, MAP_SHARED, PROT_READ | PROT_WRITE)
        self.index = IndexWriter.create(memoryview(self._index_map), store)

    def contained(self, offset: int, nbytes: int) -> tuple[int, ...]:
        """Read the containment list of an object that a client has written.

        Args:
            offset: Where the object starts in the heap.
            nbytes: What it covers of its extent.

        Raises:
            ProtocolError: ``bad-header``.
        """
        count, _ = read_head(os.pread(self.heap, HEAD_SIZE, offset), nbytes)
        if count > MAX_CONTAINED:
            raise ProtocolError(
                f"an object contains {count:,} others; the limit is {MAX_CONTAINED:,}. Put it in parts.",
                reason="bad-header",
            )
        return read_contained(os.pread(self.heap, HEAD_SIZE + WORD * count, offset), count) if count else ()

    def punch(self, offset: int, nbytes: int) -> None:
        """Give whole pages of the heap back to the system."""
        punch(self.heap, offset, nbytes)

    def close(self) -> None:
        """Let go of everything.  Clients' maps of it stay valid for as long as they have them."""
        self.index.end()
        self.index.words.release()
        self.index.memory.release()
        self._index_map.close()
        for fd in (self.heap, self.heap_read_only, self._index_fd, self.index_read_only):
            os.close(fd)


class TableMemory:
    """The memory of one client's lease table.

    The store makes it, so that its size is certain: a client that could shrink it could end the store by SIGBUS.

    Args:
        client: Id of the client.

    Attributes:
        fd: Writable; travels to the client.
        table: What the store reads, through a map that cannot be written.
    """

    def __init__(self, client: int) -> None:
        self.client = client
        self.fd = create_memory(f"jupyter-shm-leases-{client}", LEASES_SIZE)
        with mmap(self.fd, LEASES_SIZE, MAP_SHARED, PROT_READ | PROT_WRITE) as memory:
            table = LeaseTable.create(memoryview(memory), client)
            table.words.release()
            table.memory.release()
        self._map = mmap(self.fd, LEASES_SIZE, MAP_SHARED, PROT_READ)
        self.table = LeaseTable(memoryview(self._map))

    def close(self) -> None:
        """The client hung up: unmap and close."""
        self.table.words.release()
        self.table.memory.release()
        self._map.close()
        os.close(self.fd)
