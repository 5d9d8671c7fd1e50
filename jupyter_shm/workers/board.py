"""The page that a submitter shares with one worker: which task has begun, and which are not to begin any more.

Tasks wait in the socket, from which nobody can take them back.  So whoever runs them looks here first, under a lock that
the system takes from the dead.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..linux.memory import PAGE, create_memory

_BEGUN, _VOID = 0, 1


class Board:
    """One such page.

    Args:
        fd: Its memory; owned from now on.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, PAGE)
        self._words = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls) -> Board:
        """A new one."""
        return cls(create_memory("jupyter-shm-board", PAGE))

    def close(self) -> None:
        """Let go of it."""
        self._words.release()
        self._map.close()
        os.close(self.fd)

    def begin(self, number: int) -> bool:
        """The worker: may this task begin?  If so, it has."""
        words = self._words
        with self._locked():
            if number <= words[_VOID]:
                return False
            words[_BEGUN] = number
            return True

    def recall(self, last: int) -> int:
        """The submitter: nothing up to this number is to begin any more.

        Returns:
            The last one that had begun.
        """
        words = self._words
        with self._locked():
            words[_VOID] = max(words[_VOID], last)
            return words[_BEGUN]

    @property
    def begun(self) -> int:
        """The last task that has begun."""
        return self._words[_BEGUN]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.lockf(self.fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)
