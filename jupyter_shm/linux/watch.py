"""Learning that files vanish from a folder, or appear there, by inotify(7).  Which ones, the owner of the files finds out."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from . import libc

_IN_MOVED_FROM = 0x040
_IN_DELETE = 0x200
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_IN_ONLYDIR = 0x0100_0000
_IN_MOVED_TO = 0x080
_IN_CREATE = 0x100
_APPEARING = _IN_MOVED_TO | _IN_CREATE
_VANISHING = _IN_MOVED_FROM | _IN_DELETE | _IN_DELETE_SELF | _IN_MOVE_SELF

_ENOUGH = 16 * 1024  # bytes; one event takes at most 16 + 256


class FolderWatch:
    """Tells when something in a folder, or the folder itself, was deleted or moved away.

    It follows the folder, not its path: once the folder is gone, a new watch is needed for its successor.

    Args:
        path: An existing folder.
        appearing: Tell also when something was made in the folder, or moved there.

    Raises:
        FileNotFoundError: There is none.
        NotADirectoryError: It is something else.
        OSError: EMFILE or ENOSPC when this user's inotify instances or watches have run out (fs.inotify.*).
            Whoever can do without looks at the path now and then instead.
    """

    def __init__(self, path: Path, *, appearing: bool = False) -> None:
        mask = _VANISHING | _IN_ONLYDIR | (_APPEARING if appearing else 0)
        self._fd = libc.inotify_init(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            libc.inotify_add_watch(self._fd, os.fsencode(path), mask)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> FolderWatch:  # noqa: PYI034 - Self is not in Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor to poll for reading; it stays this object's.  -1 once closed."""
        return self._fd

    def drain(self) -> bool:
        """Take every event that waits, without waiting for one.

        Returns:
            True if something vanished (or appeared) since the last call, or if the kernel dropped events and it may have.
        """
        seen = False
        while True:
            try:
                # Every event means the same here: the watch asks for nothing else, and those that come unasked
                # (queue overflow, unmounted, watch removed) are reasons to look as well.
                seen |= bool(os.read(self._fd, _ENOUGH))
            except BlockingIOError:
                return seen

    def close(self) -> None:
        """Stop watching.  Safe to call again."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
