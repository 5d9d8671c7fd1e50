"""The heap as a client sees it: read-only, 2 MiB-aligned, mapped once.  Writing goes through another descriptor."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..errors import LimitError
from ..linux.maps import Map, map_private, map_shared
from ..linux.memory import HUGE, PAGE, page_down, page_up
from ..serial.buffers import Buffer
from ..sizes import format_size
from . import copying

CHUNK = 2 << 20
"""Bytes written by one call: a keyboard interrupt is noticed in between, and so long (0.5 ms) do others wait who write,
for the kernel writes a file for one process at a time."""

MAPPED = 256 << 10
"""Bytes from which on an extent in huge pages is written through a map; below, making the map costs more."""

Root = np.ndarray[Any, Any]
"""The ndarray at the root of every view: exactly ``np.frombuffer(raw map, uint8, n, offset)``.

Its base is no ndarray, so numpy lets every view of a view hold this very array: its end is the end of the last view.
"""


def address_space_error(error: OSError) -> OSError:
    """What to raise when something could not be mapped."""
    if error.errno != errno.ENOMEM:
        return error
    return LimitError(
        "this process has no address space left to map the store's memory. Raise its limit before you start it "
        "(ulimit -v unlimited), or let go of arrays that you have fetched."
    )


def _file_limit() -> int:
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0]


class Heap:
    """The store's heap in this process.

    Where the address space is limited (RLIMIT_AS) the whole does not fit; objects are then mapped one by one.

    Args:
        read_only_fd, writable_fd: The heap; owned from now on.
    """

    def __init__(self, read_only_fd: int, writable_fd: int) -> None:
        self.nbytes = os.fstat(read_only_fd).st_size
        self._read_only = read_only_fd
        self._writable = writable_fd
        self._map: Map | None = None
        try:
            self._map = map_shared(read_only_fd, 0, self.nbytes)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise

    @property
    def is_whole(self) -> bool:
        """Is the whole heap mapped at one place?"""
        return self._map is not None

    def read(self, offset: int, nbytes: int) -> bytes:
        """Copy bytes out.  Reading never-written pages through the map would allocate them; this does not."""
        return os.pread(self._read_only, nbytes, offset)

    def root(self, offset: int, nbytes: int) -> tuple[Root, Map | None]:
        """A view of an extent.

        Returns:
            The root, and the map that has to be closed after the root's end; ``None`` when it is the common one.
        """
        if self._map is not None:
            return np.frombuffer(self._map.view, np.uint8, nbytes, offset), None
        window, start = self._window(map_shared, self._read_only, offset, nbytes)
        return np.frombuffer(window.view, np.uint8, nbytes, offset - start), window

    def private(self, offset: int, nbytes: int) -> tuple[Root, Map]:
        """A copy-on-write view of an extent: writable, and what is written stays in this process.

        Returns:
            The root, and the map that has to be closed after the root's end.
        """
        window, start = self._window(map_private, self._read_only, offset, nbytes)
        return np.frombuffer(window.view, np.uint8, nbytes, offset - start), window

    def offset_of(self, buffer: memoryview) -> int | None:
        """Where in the heap the memory of a buffer is; ``None`` when it is elsewhere."""
        if self._map is None or not buffer.nbytes:
            return None
        return self.offset_at(np.frombuffer(buffer, np.uint8).__array_interface__["data"][0], buffer.nbytes)

    def offset_at(self, address: int, nbytes: int) -> int | None:
        """Where in the heap the bytes at an address of this process are; ``None`` when they are elsewhere."""
        if self._map is None:
            return None
        offset = address - self._map.address
        return offset if 0 <= offset <= self.nbytes - nbytes else None

    def write(
        self, offset: int, buffers: list[tuple[int, Buffer]], huge: int = 0, told: copying.Told | None = None
    ) -> None:
        """Fill a reserved extent.

        Args:
            offset: Start of the extent.
            buffers: ``(bytes from the start of the extent, what to write there)``.
            huge: Bytes of it, from its beginning on, that lie in huge pages.
            told: Told of the progress, in bytes.

        Huge pages are written through a map, at the speed of memory: 15 ms for 256 MB, where pwrite takes 50.  All
        others with pwrite, which needs no page of ours and does not clear what it overwrites: 46 against 97 ms for
        pages that are there, 115 against 233 for those that are not (Linux 6.18).  No writable map is left behind.
        """
        if huge >= MAPPED:
            fast, buffers = _split(buffers, huge)
            self._write_mapped(offset, fast, told, HUGE)
        for at, buffer in buffers:
            if isinstance(buffer, np.ndarray):
                self._write_mapped(offset, [(at, buffer)], told, PAGE)
            else:
                self._write(offset + at, buffer, told)

    def write_small(self, offset: int, data: bytes) -> None:
        """Fill a small extent with one write."""
        try:
            if os.pwrite(self._writable, data, offset) == len(data):
                return
        except OSError:
            pass  # the long way says why
        self._write(offset, memoryview(data), None)

    def _window(self, make: Callable[[int, int, int], Map], fd: int, offset: int, nbytes: int) -> tuple[Map, int]:
        """Map the pages around some bytes: the map, and where in the heap it starts."""
        start = page_down(offset)
        try:
            return make(fd, start, page_up(offset + nbytes) - start), start
        except OSError as error:
            raise address_space_error(error) from error

    def _write(self, offset: int, data: memoryview, told: copying.Told | None) -> None:
        done, size = 0, data.nbytes
        try:
            while done < size:
                count = os.pwrite(self._writable, data[done : done + CHUNK], offset + done)
                done += count
                if told is not None:
                    told(count)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            raise LimitError(
                f"this process may not write beyond {format_size(_file_limit())} of a file, and the store's memory counts "
                "as one. Raise the limit before you start it: ulimit -f unlimited"
            ) from error

    def _write_mapped(
        self, offset: int, buffers: list[tuple[int, Buffer]], told: copying.Told | None, page: int
    ) -> None:
        """Write through a map that is gone afterwards; an array that is not contiguous too, in C order.

        Args:
            offset: As for ``write``.
            buffers: The same.
            told: The same.
            page: The map covers whole pages of this size.  A huge page that it covers a part of is reached in small
                ones, with a page fault for each.
        """
        first = (offset + min(at for at, _ in buffers)) // page * page
        behind = offset + max(at + buffer.nbytes for at, buffer in buffers)
        behind = min(behind + -behind % page, self.nbytes)
        window, start = self._window(partial(map_shared, writable=True), self._writable, first, behind - first)
        try:
            copying.copy([_piece(window, offset + at - start, buffer) for at, buffer in buffers], told)
        finally:
            window.close()

    def close(self) -> None:
        """Let go of map and descriptors.  The last root has ended.  Safe to call again."""
        if self._map is not None:
            self._map.close()
        for name in ("_read_only", "_writable"):
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)


def _split(buffers: list[tuple[int, Buffer]], at: int) -> tuple[list[tuple[int, Buffer]], list[tuple[int, Buffer]]]:
    """What is to be written before, and from, so many bytes on; an array that cannot be cut goes to the former."""
    before: list[tuple[int, Buffer]] = []
    behind: list[tuple[int, Buffer]] = []
    for start, buffer in buffers:
        if start >= at:
            behind.append((start, buffer))
        elif start + buffer.nbytes <= at or isinstance(buffer, np.ndarray):
            before.append((start, buffer))
        else:
            before.append((start, buffer[: at - start]))
            behind.append((at, buffer[at - start :]))
    return before, behind


def _piece(window: Map, at: int, buffer: Buffer) -> copying.Piece:
    """What to copy where in a map."""
    source = buffer if isinstance(buffer, np.ndarray) else np.frombuffer(buffer, np.uint8)
    return np.ndarray(source.shape, source.dtype, window.view, at), source
