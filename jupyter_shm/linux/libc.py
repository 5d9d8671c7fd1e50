"""The C library's functions that the standard library lacks or calls with the GIL held.  No policy here.

Every function releases the GIL while the kernel works and raises ``OSError`` with the kernel's errno.
Offsets and lengths are ``long``: 64-bit Linux is taken for granted.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

PROT_NONE = 0
PROT_READ = 1
PROT_WRITE = 2

MAP_SHARED = 0x01
MAP_PRIVATE = 0x02
MAP_FIXED = 0x10
MAP_ANONYMOUS = 0x20
MAP_NORESERVE = 0x4000

MADV_HUGEPAGE = 14
MADV_DONTDUMP = 16
MADV_POPULATE_READ = 22  # Linux 5.14
MADV_POPULATE_WRITE = 23  # Linux 5.14
MADV_COLLAPSE = 25  # Linux 6.1

PR_SET_PDEATHSIG = 1

FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02

SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
"""Number of membarrier(2) by the machine's name; the C library has no wrapper for it."""

_libc = ctypes.CDLL(None, use_errno=True)
_MAP_FAILED = ctypes.c_void_p(-1).value


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(_libc, name)
    function.restype = result
    function.argtypes = arguments
    return function


_mmap = _function(
    "mmap",
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_long,
)
_munmap = _function("munmap", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
_madvise = _function("madvise", ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_fallocate = _function("fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
_prctl = _function("prctl", ctypes.c_int, ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_fstatfs = _function("fstatfs", ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_inotify_init1 = _function("inotify_init1", ctypes.c_int, ctypes.c_int)
_inotify_add_watch = _function("inotify_add_watch", ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_syscall = _libc.syscall


def _failure(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")


def mmap(address: int | None, nbytes: int, protection: int, flags: int, fd: int, offset: int) -> int:
    """Call mmap(2).

    Returns:
        The address; the caller owns the mapping and gives it back with ``munmap``.

    Raises:
        OSError: As mmap(2); ENOMEM where RLIMIT_AS or the number of maps stands in the way.
    """
    got = _mmap(address, nbytes, protection, flags, fd, offset)
    if got is None or got == _MAP_FAILED:
        raise _failure("mmap")
    return int(got)


def munmap(address: int, nbytes: int) -> None:
    """Call munmap(2).  Whoever still reads there dies by SIGSEGV."""
    if _munmap(address, nbytes):
        raise _failure("munmap")


def madvise(address: int, nbytes: int, advice: int) -> None:
    """Call madvise(2) without holding the GIL, which ``mmap.mmap.madvise`` holds (collapsing 1 GB takes seconds).

    Raises:
        OSError: As madvise(2); EINVAL for advice this kernel does not know, EAGAIN to be tried again.
    """
    if _madvise(address, nbytes, advice):
        raise _failure("madvise")


def fallocate(fd: int, mode: int, offset: int, nbytes: int) -> None:
    """Call fallocate(2).  ``os.posix_fallocate`` knows no modes.

    Raises:
        OSError: As fallocate(2); EINTR becomes InterruptedError.
    """
    if _fallocate(fd, mode, offset, nbytes):
        raise _failure("fallocate")


def filesystem_type(fd: int) -> int:
    """Call fstatfs(2), of which ``os.fstatvfs`` leaves the type out.

    Returns:
        The file system's magic number, as in linux/magic.h.

    Raises:
        OSError: As fstatfs(2).
    """
    found = (ctypes.c_ulong * 32)()  # more than a struct statfs, whose first word is the type
    if _fstatfs(fd, found):
        raise _failure("fstatfs")
    return int(found[0])


def prctl(option: int, value: int) -> int:
    """Call prctl(2) with one argument; the unused ones are 0, as some options demand.

    Raises:
        OSError: As prctl(2); EINVAL for an option this kernel does not know.
    """
    answer = int(_prctl(option, value, 0, 0, 0))
    if answer < 0:
        raise _failure("prctl")
    return answer


def inotify_init(flags: int) -> int:
    """Call inotify_init1(2); the caller owns the descriptor."""
    fd = int(_inotify_init1(flags))
    if fd < 0:
        raise _failure("inotify_init1")
    return fd


def inotify_add_watch(fd: int, path: bytes, mask: int) -> int:
    """Call inotify_add_watch(2); the watch lives as long as ``fd``."""
    watch = int(_inotify_add_watch(fd, path, mask))
    if watch < 0:
        raise _failure("inotify_add_watch")
    return watch


def membarrier(command: int) -> int:
    """Call membarrier(2).

    Returns:
        What the kernel answered: for the query command a bit mask, else 0.

    Raises:
        OSError: ENOSYS on a kernel or a machine without it, EINVAL and EPERM as membarrier(2).
    """
    number = SYS_MEMBARRIER.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, f"membarrier: no system call number known for {os.uname().machine!r}")
    answer = int(_syscall(ctypes.c_long(number), ctypes.c_int(command), ctypes.c_uint(0), ctypes.c_int(0)))
    if answer < 0:
        raise _failure("membarrier")
    return answer
