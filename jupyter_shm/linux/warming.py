"""Making memory ahead of demand, in huge pages where the machine lets us.  It reads, and never writes.

Reading a hole of a shared map makes a page of zeros there; collapsing then puts a page of 2 MiB in the place of all
small ones, with the bytes that are in them.  All of it works through a map that cannot be written, so nothing here
can change a byte, whoever uses the range meanwhile.  That is also why it is MADV_POPULATE_READ that serves where no
huge page is to be had: MADV_POPULATE_WRITE wants a map that can be written, and over such a map one mistake of ours
is somebody's broken object.

Ways, the best first; each is tried, and no version of the kernel is asked for:

1. MADV_COLLAPSE (Linux 6.1): without any privilege, also where shmem_enabled says "never".
2. MADV_HUGEPAGE: where shmem_enabled allows it, what is touched is huge at once.
3. MADV_POPULATE_READ (Linux 5.14), and reading every page: small pages, which cost a writer less than none.

What was collapsed stays until it is punched.  What reading alone has made (2 and 3) was never written: the kernel may
take such a page back, without swap and without a word, until somebody writes there [seen with DAMON, Linux 6.18].
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from . import libc
from .maps import Map, map_shared
from .memory import HUGE, PAGE, create_memory, reopen_read_only

STEP = 2 * HUGE
"""Bytes between two questions whether to go on.  Making it takes 10 ms where the machine never used that memory before,
0.3 ms where it did; larger steps are no faster (Linux 6.18)."""

ATTEMPTS = 5
"""How often collapsing is tried where the kernel answers that a page is busy at this moment."""

_NOT_KNOWN = (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EACCES)
"""What an older kernel, or a sandbox, says to a call that is not to be had."""

_SETTING = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
_CURES = (
    ((errno.EPERM, errno.EACCES, errno.ENOSYS), "Allow madvise in the sandbox."),
    (
        (errno.ENOMEM, errno.EBUSY, errno.EAGAIN),
        "No 2 MiB of memory in one piece are free: write 1 into /proc/sys/vm/compact_memory (as root).",
    ),
    (
        (errno.EINVAL,),
        f"Use Linux 6.1 or later, or write 'advise' into {_SETTING} (as root); 'deny' forbids them there.",
    ),
)
"""What to do where MADV_COLLAPSE answers this, and the process is not forbidden to have huge pages."""

_HUGE_SIZE = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"


class Warmed(NamedTuple):
    """What came of a range.  Its first ``huge + present`` bytes have memory now; the rest was not reached."""

    offset: int
    nbytes: int
    huge: int
    """Bytes that are in pages of 2 MiB."""
    present: int
    """Bytes that have memory, but in small pages; while nobody writes there, the kernel may take it back."""


class Ways(NamedTuple):
    """What this machine lets us do: "" where it works, else why it does not."""

    collapse: str
    hugepage: str
    populate: str
    advice: str
    """How to get huge pages; "" where they are to be had."""


def require_whole(offset: int, nbytes: int) -> None:
    """Refuse what does not begin and end between two huge pages.

    Raises:
        ValueError: It does not, or it is empty.
    """
    if offset < 0 or nbytes < 1 or offset % HUGE or nbytes % HUGE:
        raise ValueError(f"cannot warm {nbytes} bytes at {offset}: both must be multiples of {HUGE}, and not 0")


def warm(fd: int, offset: int, nbytes: int, may_go_on: Callable[[], bool] = lambda: True) -> Warmed:
    """Make memory for a range, in huge pages if possible.  Nothing stays mapped.

    What the range holds stays as it is; others may read and write it meanwhile.  They wait for the page that is being
    collapsed, up to a millisecond.

    Args:
        fd: The memory, ``O_RDONLY``; stays the caller's.
        offset: Where the range starts; a multiple of ``HUGE``.
        nbytes: Its length; a multiple of ``HUGE``, at least one.
        may_go_on: Asked before each ``STEP``; False ends it there.

    Returns:
        What has been done.  What the machine refuses is no error: less is huge then, or less is done.

    Raises:
        ValueError: Not whole huge pages, or they do not lie in the memory.
    """
    require_whole(offset, nbytes)
    end = offset + nbytes
    if end > os.fstat(fd).st_size:
        # Touching it would be a SIGBUS.
        raise ValueError(f"cannot warm up to {end}: the memory has {os.fstat(fd).st_size} bytes")
    huge = done = 0
    while done < nbytes and may_go_on():
        step = min(STEP, nbytes - done)
        try:
            # dump: to keep it out of dumps takes a madvise, which a sandbox may refuse, and this is to be made anyway.
            with map_shared(fd, offset + done, step, dump=True) as made:
                huge += _warm_map(made)
        except OSError:
            break  # RLIMIT_AS leaves no addresses, or the cgroup is full
        done += step
    return Warmed(offset, nbytes, huge, done - huge)


def _warm_map(made: Map) -> int:
    """Make all of it; the bytes that are in huge pages.

    Raises:
        OSError: There is no memory, and to go on would have somebody killed.
    """
    # Before anything is touched: where the setting allows it, the touch itself makes the huge page.
    _advise(made.address, made.nbytes, libc.MADV_HUGEPAGE)
    _touch(made, HUGE)
    if not _advise(made.address, made.nbytes, libc.MADV_COLLAPSE):
        return made.nbytes
    pieces = range(made.address, made.address + made.nbytes, HUGE)
    failed = sum(HUGE for piece in pieces if not _collapse(piece))
    if not failed:
        return made.nbytes
    reason = _advise(made.address, made.nbytes, libc.MADV_POPULATE_READ)
    if reason in _NOT_KNOWN:
        _touch(made, PAGE)
    elif reason:
        raise OSError(reason, os.strerror(reason))
    return max(made.nbytes - failed, _huge_in(made))


def _collapse(address: int) -> bool:
    """Collapse one huge page; False if the kernel does not do it.

    Raises:
        OSError: EBUSY: the cgroup has no room.
    """
    reason = errno.EAGAIN
    for _ in range(ATTEMPTS):
        reason = _advise(address, HUGE, libc.MADV_COLLAPSE)
        if reason != errno.EAGAIN:
            break
    if reason == errno.EBUSY:
        raise OSError(reason, os.strerror(reason))
    return reason == 0


def _advise(address: int, nbytes: int, advice: int) -> int:
    """Call madvise(2); 0 or the kernel's errno."""
    while True:
        try:
            libc.madvise(address, nbytes, advice)
        except InterruptedError:
            continue
        except OSError as error:
            return error.errno or errno.EINVAL
        return 0


def _touch(made: Map, every: int) -> None:
    """Read a byte of each ``every``."""
    bytes(made.view[::every])


def _huge_in(made: Map) -> int:
    """Bytes of a map that this process sees in huge pages; 0 where the kernel does not tell."""
    with contextlib.suppress(OSError), open("/proc/self/smaps", "rb") as file:
        head = f"{made.address:08x}-".encode()
        for line in file:
            if line.startswith(head):
                break
        for line in file:
            key, _, value = line.partition(b":")
            if key in (b"ShmemPmdMapped", b"FilePmdMapped") and value.split()[0] != b"0":
                return min(1024 * int(value.split()[0]), made.nbytes)
            if key == b"VmFlags":
                break
    return 0


# --- what is possible ---------------------------------------------------------------------------------------------


def what_is_possible() -> Ways:
    """Try each way on a huge page of its own.  Takes some milliseconds, and never raises."""
    collapse, hugepage, populate = _try(_by_collapse), _try(_by_hugepage), _try(_by_populate)
    return Ways(collapse, hugepage, populate, _advice(collapse) if collapse and hugepage else "")


def _try(way: Callable[[Map], str]) -> str:
    try:
        fd = create_memory("jupyter-shm-probe", HUGE)
        try:
            read_only = reopen_read_only(fd)
        finally:
            os.close(fd)
        try:
            with map_shared(read_only, 0, HUGE, dump=True) as made:
                return way(made)
        finally:
            os.close(read_only)
    except OSError as error:
        return str(error.strerror)


def _by_collapse(made: Map) -> str:
    _touch(made, HUGE)
    reason = errno.EAGAIN
    for _ in range(4 * ATTEMPTS):
        reason = _advise(made.address, HUGE, libc.MADV_COLLAPSE)
        if reason != errno.EAGAIN:
            break
    return os.strerror(reason) if reason else ""


def _by_hugepage(made: Map) -> str:
    reason = _advise(made.address, HUGE, libc.MADV_HUGEPAGE)
    if reason:
        return os.strerror(reason)
    _touch(made, HUGE)
    return "" if _huge_in(made) else "has no effect on shared memory"


def _by_populate(made: Map) -> str:
    reason = _advise(made.address, HUGE, libc.MADV_POPULATE_READ)
    return os.strerror(reason) if reason else ""


def _advice(collapse: str) -> str:
    """What to do about it that MADV_COLLAPSE gave this answer, and MADV_HUGEPAGE no huge page."""
    size = _text(_HUGE_SIZE)
    if not size:
        return "This kernel has no huge pages: use one that was built with CONFIG_TRANSPARENT_HUGEPAGE."
    if size != str(HUGE):
        return f"Huge pages have {size} bytes here, and a store can use those of {HUGE}: use a kernel with 4 KiB pages."
    if "\nTHP_enabled:\t0" in _text("/proc/self/status"):
        return "Huge pages are turned off for this process: start it without PR_SET_THP_DISABLE."
    lack = f"Nothing could be tried ({collapse}): give the process the limits that it lacks."
    return next((advice for numbers, advice in _CURES if collapse in map(os.strerror, numbers)), lack)


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
