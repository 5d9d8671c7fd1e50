"""Maps of shared memory, each aligned so that the kernel can give it huge pages.  No descriptors are kept here.

The kernel uses a 2 MiB page only where address and file offset agree modulo 2 MiB.  So every map lies at an address
with ``address % HUGE == offset % HUGE``, which mmap(2) alone does not promise.
A map needs its descriptor only while it is made; afterwards the descriptor may be closed.
"""

from __future__ import annotations

import contextlib
import ctypes
from types import TracebackType

from . import libc
from .memory import HUGE, PAGE, page_up

# Not ``(c_char * nbytes).from_address``: that makes one ctypes type for each size.  This makes a plain memoryview
# without an owner, of format "B", which numpy cannot set writable when it was made for reading.
_view_of_memory = ctypes.pythonapi.PyMemoryView_FromMemory
_view_of_memory.restype = ctypes.py_object
_view_of_memory.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
_BUF_READ = 0x100
_BUF_WRITE = 0x200


class Map:
    """A range of this process's addresses that shows a range of a file.

    It has no finalizer on purpose: a map that is forgotten stays, which costs addresses; a map that goes under a
    reader is a segmentation fault.  The owner calls ``close()`` when it knows that nobody reads there any more.

    Attributes:
        address: Where the map starts; 0 once closed.
        nbytes: Its length as asked for; the addresses up to the next page border belong to it too.
        offset: Where in the file it starts, in bytes.
        writable: Whether writing through ``view`` works.  A write by C code through a map that is not writable
            kills the process by SIGSEGV.
        view: All its bytes, format "B".  It does not keep the map alive: slices of it dangle after ``close()``.
    """

    __slots__ = ("_words", "address", "nbytes", "offset", "view", "writable")

    def __init__(self, address: int, nbytes: int, offset: int, *, writable: bool) -> None:
        self.address = address
        self.nbytes = nbytes
        self.offset = offset
        self.writable = writable
        self.view = self._make_view()
        self._words: memoryview | None = None

    def _make_view(self) -> memoryview:
        view: memoryview = _view_of_memory(self.address, self.nbytes, _BUF_WRITE if self.writable else _BUF_READ)
        return view

    def __repr__(self) -> str:
        kind = "closed" if not self.address else "writable" if self.writable else "read-only"
        return f"<Map of {self.nbytes} bytes at file offset {self.offset}, {kind}>"

    def __enter__(self) -> Map:  # noqa: PYI034 - Self is not in Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def words(self) -> memoryview:
        """The same bytes as 64-bit words, format "Q": reading or writing one is never torn.

        Raises:
            ValueError: ``nbytes`` is no multiple of 8, or the map is closed.
        """
        if self._words is None:
            if self.nbytes % 8:
                raise ValueError(f"a map of {self.nbytes} bytes has no words: its size must be a multiple of 8")
            self._words = self.view.cast("Q")
        return self._words

    def become_private(self, read_only_fd: int) -> None:
        """Put a copy-on-write map of the same bytes in this map's place: same address, same views, still writable.

        What is written from now on stays in this process.  Arrays that somebody kept stay valid and harm nobody,
        whereas unmapping under them would be a segmentation fault.

        Args:
            read_only_fd: A descriptor of the same file; stays the caller's.

        Raises:
            OSError: As mmap(2); the map is then as it was.
        """
        protection = libc.PROT_READ | libc.PROT_WRITE
        flags = libc.MAP_PRIVATE | libc.MAP_NORESERVE | libc.MAP_FIXED
        libc.mmap(self.address, page_up(self.nbytes), protection, flags, read_only_fd, self.offset)

    def close(self) -> None:
        """Unmap.  Safe to call again.

        Arrays and slices made from ``view`` or ``words`` dangle if they still exist: touching one is a segmentation
        fault.  numpy and ctypes take a memoryview of the memoryview, so nothing here can notice them.

        Raises:
            BufferError: Something that holds the buffer itself (``struct.iter_unpack`` does, and Arrow) is alive.
                The map is intact; call again when it is gone.
        """
        if not self.address:
            return
        self.view.release()
        if self._words is not None:
            try:
                self._words.release()
            except BufferError:
                self.view = self._make_view()
                raise
            self._words = None
        address, self.address = self.address, 0
        libc.munmap(address, page_up(self.nbytes))


def map_shared(fd: int, offset: int, nbytes: int, *, writable: bool = False, dump: bool = False) -> Map:
    """Map part of a file so that everybody's writes are seen.

    Args:
        fd: The file; stays the caller's.  A map of an ``O_RDONLY`` descriptor can never become writable.
        offset: Where the range starts; a multiple of ``PAGE``.
        nbytes: Its length, at least 1.  Reading beyond the end of the file is a SIGBUS.
        writable: Map it for writing too.
        dump: Whether core dumps hold it.  A dump that reads a sparse heap would fill it with pages.

    Returns:
        A map that the caller owns and closes.

    Raises:
        ValueError: ``offset`` is no multiple of ``PAGE``, or ``nbytes`` is below 1.
        OSError: ENOMEM where RLIMIT_AS forbids it (nothing stays reserved), EACCES for a writable map of an
            ``O_RDONLY`` descriptor.
    """
    protection = libc.PROT_READ | (libc.PROT_WRITE if writable else 0)
    address = _aligned(fd, offset, nbytes, protection, libc.MAP_SHARED | libc.MAP_NORESERVE, dump)
    return Map(address, nbytes, offset, writable=writable)


def map_private(fd: int, offset: int, nbytes: int, *, dump: bool = False) -> Map:
    """Map part of a file copy-on-write: writable here, and the file never changes.

    Args:
        fd: The file, ``O_RDONLY`` will do; stays the caller's.
        offset: As for ``map_shared``.
        nbytes: As for ``map_shared``.
        dump: As for ``map_shared``.

    Returns:
        A map that the caller owns and closes.  Each page written to costs this process a page of its own.

    Raises:
        ValueError: As for ``map_shared``.
        OSError: As for ``map_shared``.
    """
    protection = libc.PROT_READ | libc.PROT_WRITE
    address = _aligned(fd, offset, nbytes, protection, libc.MAP_PRIVATE | libc.MAP_NORESERVE, dump)
    return Map(address, nbytes, offset, writable=True)


def _aligned(fd: int, offset: int, nbytes: int, protection: int, flags: int, dump: bool) -> int:
    """Map at an address that agrees with the file offset modulo ``HUGE``; see the module's first lines."""
    if offset < 0 or offset % PAGE or nbytes < 1:
        raise ValueError(
            f"cannot map {nbytes} bytes at offset {offset}: the offset must be a multiple of the page size {PAGE}"
            " and the length at least 1"
        )
    length = page_up(nbytes)
    # Reserved with room to move, because only addresses that are ours may be overwritten by MAP_FIXED.
    unused = libc.MAP_PRIVATE | libc.MAP_ANONYMOUS | libc.MAP_NORESERVE
    start = libc.mmap(None, length + HUGE, libc.PROT_NONE, unused, -1, 0)
    end = start + length + HUGE
    try:
        address = start + (offset - start) % HUGE
        libc.mmap(address, length, protection, flags | libc.MAP_FIXED, fd, offset)
        if not dump:
            with contextlib.suppress(OSError):  # a sandbox may forbid it, and then a core dump is large
                libc.madvise(address, length, libc.MADV_DONTDUMP)
        # Given up before it is unmapped: an interrupt between the two must not unmap what is somebody else's by then.
        head, start = start, address
        if head < address:
            libc.munmap(head, address - head)
        tail, end = end, address + length
        if end < tail:
            libc.munmap(end, tail - end)
    except BaseException:
        libc.munmap(start, end - start)
        raise
    return address
