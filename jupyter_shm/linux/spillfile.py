"""The file that objects are spilled into: without a name, sparse, on a disk.  No maps here, and no policy but its size.

Whoever is handed a descriptor by this module owns it and closes it once.  Sizes and offsets are bytes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile

from ..errors import SettingError
from . import libc
from .memory import PAGE, punch, reopen_read_only

_IN_MEMORY = {0x0102_1994: "tmpfs", 0x8584_58F6: "ramfs", 0x9584_58F6: "hugetlbfs"}
"""File systems that keep files in memory, by their magic numbers."""

_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
"""What file systems and kernels say that know no O_TMPFILE."""


def open_spill(folder: str) -> tuple[int, int]:
    """Make an empty file without a name.  It uses disk only where something is written.

    Args:
        folder: Where; it decides which disk.

    Returns:
        Two close-on-exec descriptors, owned by the caller: one for reading and writing, and an ``O_RDONLY`` one, of
        which no map can become writable.  The disk's space is free again when the last of both, and the last map, is
        gone.

    Raises:
        SettingError: The folder is none to spill into; the text says why.
    """
    try:
        fd = _open(folder)
    except OSError as error:
        raise SettingError(f"no file can be made in {folder}: {error.strerror}") from error
    try:
        kind = _IN_MEMORY.get(libc.filesystem_type(fd))
        if kind is not None:
            raise SettingError(f"{folder} is a {kind}, which keeps files in memory")
        _try_holes(fd, folder)
        return fd, reopen_read_only(fd)
    except BaseException as error:
        os.close(fd)
        if isinstance(error, OSError):
            raise SettingError(f"{folder} cannot be used: {error.strerror}") from error
        raise


def _open(folder: str) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(folder, flags | os.O_TMPFILE | os.O_EXCL, 0o600)
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
    fd, path = tempfile.mkstemp(prefix="jupyter-shm-spill-", dir=folder)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return fd


def _try_holes(fd: int, folder: str) -> None:
    """Without holes what is deleted would take its place on the disk for ever."""
    try:
        os.posix_fallocate(fd, 0, PAGE)
        punch(fd, 0, PAGE)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise
        raise SettingError(f"the file system of {folder} cannot give parts of a file back") from error


def spill_limit(fd: int, spilled: int) -> int:
    """How many bytes the file may take: half of what would be free on its disk without it.

    Args:
        fd: Of the file.
        spilled: Bytes that it takes now.
    """
    found = os.fstatvfs(fd)
    return (found.f_bavail * found.f_frsize + spilled) // 2
