"""Shared memory without a name: memfds, their seals, and returning their pages.  No maps here.

Whoever is handed a descriptor by this module owns it and closes it once.  Sizes and offsets are bytes.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Iterator

from . import libc

PAGE = mmap.PAGESIZE
HUGE = 2 * 1024 * 1024
"""Size of a huge page, and the alignment of every map relative to its file offset (see ``linux/maps.py``)."""

MFD_NOEXEC_SEAL = 0x8  # Linux 6.3; no constant in Python yet
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def page_down(nbytes: int) -> int:
    """The largest multiple of ``PAGE`` that is not above ``nbytes``."""
    return nbytes & -PAGE


def page_up(nbytes: int) -> int:
    """The smallest multiple of ``PAGE`` that is not below ``nbytes``."""
    return (nbytes + PAGE - 1) & -PAGE


def create_memory(label: str, nbytes: int) -> int:
    """Create a sparse, anonymous memory of a fixed size.  It uses pages only where somebody writes.

    Args:
        label: What it shows as in /proc/PID/maps; at most 249 bytes.
        nbytes: Its size for good, at least 1.  It may be many times the machine's memory.

    Returns:
        A read-write descriptor, close-on-exec, owned by the caller.  The memory lives until the last descriptor
        and the last map of it are gone.

    Raises:
        ValueError: ``nbytes`` is below 1.
        OSError: EFBIG when RLIMIT_FSIZE is smaller, EMFILE or ENFILE when descriptors have run out.
    """
    if nbytes < 1:
        raise ValueError(f"a memory needs at least 1 byte, not {nbytes}")
    fd = _memfd(label)
    try:
        os.ftruncate(fd, nbytes)
        # A peer that truncated the file under a reader would kill that reader by SIGBUS; now nobody can.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _memfd(label: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        # Without it Linux 6.3 and later log a warning, and refuse where vm.memfd_noexec=2.
        return os.memfd_create(label, flags | MFD_NOEXEC_SEAL)
    except OSError:
        # EINVAL from an older kernel.  Any other cause comes back from this second call.
        return os.memfd_create(label, flags)


def reopen_read_only(fd: int) -> int:
    """Open the same memory again for reading only.  A shared map of the result can never become writable.

    Args:
        fd: A descriptor of the memory; stays open and stays the caller's.

    Returns:
        A close-on-exec ``O_RDONLY`` descriptor, owned by the caller.

    Raises:
        OSError: ENOENT when /proc is not mounted; the process that receives this descriptor needs no /proc.
    """
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def punch(fd: int, offset: int, nbytes: int) -> None:
    """Return the pages of a range to the system.  The range reads as zeros afterwards; the file keeps its size.

    Args:
        fd: A writable descriptor of a memory or a sparse file.
        offset: Where the range starts; a multiple of ``PAGE``.
        nbytes: Its length; a multiple of ``PAGE``, 0 does nothing.

    Raises:
        ValueError: Not whole pages.  Rounding here would zero a neighbour's bytes, so the caller rounds inwards.
        OSError: As fallocate(2); EPERM on a memory sealed against writing, EOPNOTSUPP on some file systems.
    """
    if offset < 0 or nbytes < 0 or offset % PAGE or nbytes % PAGE:
        raise ValueError(f"cannot punch {nbytes} bytes at {offset}: both must be multiples of the page size {PAGE}")
    while nbytes:
        try:
            libc.fallocate(fd, libc.FALLOC_FL_PUNCH_HOLE | libc.FALLOC_FL_KEEP_SIZE, offset, nbytes)
            return
        except InterruptedError:
            continue


def data_ranges(fd: int, offset: int, end: int) -> Iterator[tuple[int, int]]:
    """Tell where a sparse memory was written, without touching what was not.

    Args:
        fd: Of the memory; its file offset is moved.
        offset: Where to begin; a multiple of ``PAGE``.
        end: Where to stop, likewise.

    Yields:
        Offset and bytes of each range, whole pages.
    """
    while offset < end:
        try:
            offset = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        stop = min(end, os.lseek(fd, offset, os.SEEK_HOLE))
        if offset < stop:
            yield offset, stop - offset
        offset = stop


def resident_bytes(fd: int) -> int:
    """Bytes of the file that occupy memory (for a sparse file: disk) now, whoever touched them."""
    return os.fstat(fd).st_blocks * 512
