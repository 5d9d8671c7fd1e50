"""The memory that the store owns: heap, index, and one lease table per client.  No sockets here.

The store writes the index and punches the heap; clients write their reserved extents and their own lease tables.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable, Iterator
from mmap import MAP_SHARED, PROT_READ, PROT_WRITE, mmap

from ..errors import ProtocolError
from ..linux.limits import available_memory, machine_memory
from ..linux.memory import create_memory, data_ranges, punch, reopen_read_only
from ..protocol.messages import Commit, Fulfil
from ..tables.index import IndexWriter
from ..tables.layout import INDEX_SIZE, PAGE, TERMS_BASE, TERMS_SIZE, WORD
from ..tables.leases import LEASES_SIZE, LeaseTable
from ..tables.prefix import HEAD_SIZE, read_contained, read_head, read_label
from ..tables.terms import Terms, TermsTable, written
from .entries import Object

log = logging.getLogger("jupyter_shm.store")

MAX_CONTAINED = 1 << 20  # objects in one containment list; the store reads it in one go


SMALL = 1 << 20  # bytes: below this the machine's memory is not asked about; /proc takes longer than such a put


def room_for(nbytes: int, reserved: int) -> int:
    """How many bytes the machine can give: the core's question before it grants an extent.

    Args:
        nbytes: What is asked for.
        reserved: Bytes of extents that are being filled: they may not be touched yet and so not be missing from the
            system's figure, and are taken off.
    """
    if nbytes < SMALL:
        return nbytes
    margin = min(64 << 20, machine_memory() // 50)
    return max(0, available_memory() - reserved - margin)


class Regions:
    """Heap, index, and the spill heap if there is one.

    Args:
        descriptors: Heap (writable, read-only), index (writable, read-only); owned from now on.
        store: For an index that is new: random number of 64 bits that tells this store from every other.
        spill: Spill heap (writable, read-only), or nothing; owned from now on.
    """

    def __init__(self, descriptors: tuple[int, ...], store: int | None = None, spill: tuple[int, ...] = ()) -> None:
        self.descriptors = descriptors
        self.spill, self.spill_read_only = spill or (-1, -1)
        self.heap, self.heap_read_only, self._index_fd, self.index_read_only = descriptors
        self.heap_nbytes = os.fstat(self.heap).st_size
        self._index_map = mmap(self._index_fd, INDEX_SIZE, MAP_SHARED, PROT_READ | PROT_WRITE)
        memory = memoryview(self._index_map)
        self.index = IndexWriter(memory) if store is None else IndexWriter.create(memory, store)

    @classmethod
    def create(cls, heap_nbytes: int, store: int, spill: tuple[int, ...] = ()) -> Regions:
        """Make them anew, but for the spill heap.

        Args:
            heap_nbytes: Address space of the heap; memory is used only where something is written.
            store: As above.
            spill: The same.
        """
        heap = create_memory("jupyter-shm-heap", heap_nbytes)
        index = create_memory("jupyter-shm-index", INDEX_SIZE)
        return cls((heap, reopen_read_only(heap), index, reopen_read_only(index)), store, spill)

    @property
    def spill_for_clients(self) -> tuple[int, ...]:
        """What clients are given besides: the spill heap, read-only, or nothing."""
        return (self.spill_read_only,) if self.spill >= 0 else ()

    def contained_in(self, commit: Commit | Fulfil, extent: tuple[int, int] | None) -> tuple[int, ...]:
        """Read the containment list of an object that is to be committed.

        Args:
            commit: What its client says.
            extent: Offset and bytes of what it has reserved; ``None``: nothing, which the core refuses.

        Raises:
            ProtocolError: ``bad-header``.
        """
        if extent is None:
            return ()
        offset = commit.offset if commit.id else extent[0]
        if not extent[0] <= offset <= extent[0] + extent[1] - commit.nbytes:
            return ()  # the core refuses it, with the reason
        return self.contained(offset, commit.nbytes)

    def contained(self, offset: int, nbytes: int) -> tuple[int, ...]:
        """Read the containment list of an object that a client has written.

        Args:
            offset: Where the object starts in the heap.
            nbytes: What it covers of its extent.

        Raises:
            ProtocolError: ``bad-header``.
        """
        count = read_head(os.pread(self.heap, HEAD_SIZE, offset), nbytes)[0]
        if count > MAX_CONTAINED:
            raise ProtocolError(
                f"an object contains {count:,} others; the limit is {MAX_CONTAINED:,}. Put it in parts.",
                reason="bad-header",
            )
        return read_contained(os.pread(self.heap, HEAD_SIZE + WORD * count, offset), count) if count else ()

    def label(self, object: Object) -> str:
        """Who published an object, as its prefix says; ``""`` when that cannot be read."""
        fd, offset = (self.spill, object.place) if object.is_spilled else (self.heap, object.offset)
        try:
            count, _, length = read_head(os.pread(fd, HEAD_SIZE, offset), object.nbytes)
            return read_label(os.pread(fd, HEAD_SIZE + WORD * count + length, offset), count, length)
        except (ProtocolError, OSError):
            return ""

    def give_back(self, offset: int, nbytes: int) -> None:
        """Give whole pages of the heap back to the system."""
        try:
            punch(self.heap, offset, nbytes)
        except OSError:
            # The memory stays the store's until it is written again: no reason to end.
            log.exception("%d bytes at %d cannot be given back", nbytes, offset)

    def punch_unowned(self, free: Iterable[tuple[int, int]]) -> None:
        """Give back what memory is left in ranges of the heap that no slot owns.

        Args:
            free: ``(offset, bytes)`` of whole pages, by offset.
        """
        data = 0
        for offset, nbytes in free:
            if offset + nbytes <= data:
                continue  # a hole, as was seen before
            try:
                data = os.lseek(self.heap, max(offset, data), os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                return  # no memory beyond
            if data < offset + nbytes:
                punch(self.heap, data, offset + nbytes - data)

    def said_of(self, row: int, client: int) -> tuple[int, int, int]:
        """Read what the row of a client says; zeros where the row is another's.

        Returns:
            Its last applied request, entries of its ring that were read, its last request about terms.
        """
        index = self.index
        owner, number = index.row(row)
        return (number, index.tail(row), TermsTable(index.words).done(row)) if owner == client else (0, 0, 0)

    def terms(self) -> Iterator[tuple[int, Terms]]:
        """Tell of every slot some of whose terms are not zero.  Of those that were never written none is read."""
        for offset, nbytes in data_ranges(self._index_fd, TERMS_BASE, INDEX_SIZE):
            for start in range(offset, offset + nbytes, PAGE):
                yield from written(os.pread(self._index_fd, PAGE, start), (start - TERMS_BASE) // TERMS_SIZE)

    def clear_unused_tables(self) -> None:
        """A growth of the name table may have been interrupted: let the next one find zeros."""
        for offset, nbytes in self.index.unused_tables():
            punch(self._index_fd, offset, nbytes)

    def close(self) -> None:
        """The store has ended: say so, and let go.  Clients' maps stay valid for as long as they have them."""
        self.index.end()
        self.index.words.release()
        self.index.memory.release()
        self._index_map.close()
        for fd in (*self.descriptors, self.spill, *self.spill_for_clients):
            if fd >= 0:
                os.close(fd)


class TableMemory:
    """The memory of one client's lease table.

    The store makes it, so that its size is certain: a client that could shrink it could end the store by SIGBUS.

    Args:
        client: Id of the client.
        fd: Its memory, owned from now on.

    Attributes:
        fd: Writable; travels to the client.
        table: What the store reads, through a map that cannot be written.
    """

    def __init__(self, client: int, fd: int) -> None:
        self.client = client
        self.fd = fd
        try:
            self._map = mmap(fd, LEASES_SIZE, MAP_SHARED, PROT_READ)
        except OSError:
            os.close(fd)
            raise
        self.table = LeaseTable(memoryview(self._map))

    @classmethod
    def create(cls, client: int) -> TableMemory:
        """Make the table of a new client."""
        fd = create_memory(f"jupyter-shm-leases-{client}", LEASES_SIZE)
        with mmap(fd, LEASES_SIZE, MAP_SHARED, PROT_READ | PROT_WRITE) as memory:
            table = LeaseTable.create(memoryview(memory), client)
            table.words.release()
            table.memory.release()
        return cls(client, fd)

    def close(self) -> None:
        """The client hung up: unmap and close."""
        self.table.words.release()
        self.table.memory.release()
        self._map.close()
        os.close(self.fd)
