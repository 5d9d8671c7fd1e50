"""Where clients come in: the socket's path, the lock that keeps a second store out, and the watch over both."""

from __future__ import annotations

import contextlib
import logging
import os
import socket

from ..errors import ShmError
from ..linux import packets
from ..linux.runtime import StorePaths, holds_lock, store_paths, take_lock
from ..linux.watch import FolderWatch

log = logging.getLogger("jupyter_shm.store")


class Doorway:
    """The listening socket of one store.

    Args:
        name: Name of the store.
        lock: Descriptor that holds the store's lock; owned from now on.
        listener: The listening socket of an earlier store, owned from now on; ``None``: bind a new one.

    Attributes:
        lock: The descriptor of the lock.
        listener: The listening socket.
        watch: Tells when something in the folder vanishes; ``None`` where that cannot be had.
        is_taken: Another store has taken the name; nobody comes in here any more.
    """

    def __init__(self, name: str, lock: int, listener: socket.socket | None = None) -> None:
        self._name = name
        self.lock = lock
        self.paths: StorePaths | None = None
        self.watch: FolderWatch | None = None
        self.is_taken = False
        self._inode = -1
        if listener is None:
            self.paths = store_paths(name)
            self.listener: socket.socket = packets.listen(self.paths.socket)
            self._look_out(self.paths)
            return
        self.listener = listener
        # Again, for the kernel tells those who connect the process that did so last.
        listener.listen(socket.SOMAXCONN)
        # While no store lived to watch, a cleaner may have been here, or the folder was closed or lost.  Whoever is
        # connected is served all the same: ``is_open`` says no then, and ``reopen`` is tried.
        with contextlib.suppress(OSError, ShmError):
            self.paths = store_paths(name)
            self._look_out(self.paths)

    def is_open(self) -> bool:
        """Does the path still lead to our socket, and does the lock keep others out?"""
        if self.paths is None:
            return False
        try:
            path = self.paths.socket.stat()
        except OSError:
            return False
        return path.st_ino == self._inode and holds_lock(self.paths.lock, self.lock)

    def reopen(self) -> bool:
        """A cleaner removed the socket, the lock or the whole folder: make them anew.

        Returns:
            False when another store has taken the name meanwhile (``is_taken``: this one goes on for its clients
            only), or when it did not work, which is worth another try.
        """
        try:
            self.paths = paths = store_paths(self._name)
            if not holds_lock(paths.lock, self.lock) and not self._lock_again(paths):
                return False
            listener = packets.listen(paths.socket)
            old, self.listener = self.listener, listener
            old.close()
            self._look_out(paths)
        except (OSError, ShmError) as error:
            log.warning("the socket of the store %r cannot be bound again: %s", self._name, error)
            return False
        log.warning("%s was removed; bound again", paths.socket)
        return True

    def _lock_again(self, paths: StorePaths) -> bool:
        lock = take_lock(paths.lock, wait=False)
        if lock is None:
            log.warning("another store has taken %s; serving those who are connected", paths.socket)
            self.is_taken = True
            return False
        old, self.lock = self.lock, lock
        os.close(old)
        return True

    def close(self) -> None:
        """Take the path away, if it is ours, and let go of the lock."""
        if not self.is_taken and self.is_open() and self.paths is not None:
            self.paths.socket.unlink(missing_ok=True)
        self.listener.close()
        if self.watch is not None:
            self.watch.close()
        os.close(self.lock)

    def _look_out(self, paths: StorePaths) -> None:
        """Note which file is ours, and watch over it.

        Raises:
            FileNotFoundError: It was removed already.
        """
        if self.watch is not None:
            self.watch.close()
            self.watch = None
        try:
            self.watch = FolderWatch(paths.socket.parent)
        except FileNotFoundError:
            raise
        except OSError as error:
            # Out of inotify instances: a removed socket is then found out by nobody, which costs a second store.
            log.warning("cannot watch %s: %s", paths.socket.parent, error)
        self._inode = paths.socket.stat().st_ino
