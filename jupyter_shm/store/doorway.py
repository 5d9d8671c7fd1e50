"""Where clients come in: the socket's path, the lock that keeps a second store out, and the watch over both."""

from __future__ import annotations

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
    """

    def __init__(self, name: str, lock: int) -> None:
        self._name = name
        self._lock = lock
        self.paths: StorePaths = store_paths(name)
        self.listener: socket.socket = packets.listen(self.paths.socket)
        self.watch = self._watch()

    def is_open(self) -> bool:
        """Does the path still lead to our socket, and does the lock keep others out?"""
        try:
            path = self.paths.socket.stat()
        except OSError:
            return False
        return path.st_ino == self._inode and holds_lock(self.paths.lock, self._lock)

    def reopen(self) -> bool:
        """A cleaner removed the socket, the lock or the whole folder: make them anew.

        Returns:
            False when another store has taken the name meanwhile; this one goes on for its clients only.
        """
        try:
            self.paths = store_paths(self._name)
            if not holds_lock(self.paths.lock, self._lock):
                lock = take_lock(self.paths.lock, wait=False)
                if lock is None:
                    log.warning("another store has taken %s; serving those who are connected", self.paths.socket)
                    return False
                self._lock, old = lock, self._lock
                os.close(old)
            listener = packets.listen(self.paths.socket)
        except (OSError, ShmError) as error:
            log.warning("cannot bind %s again: %s", self.paths.socket, error)
            return False
        self.listener.close()
        self.listener = listener
        if self.watch is not None:
            self.watch.close()
        self.watch = self._watch()
        log.warning("%s was removed; bound again", self.paths.socket)
        return True

    def close(self) -> None:
        """Take the path away, if it is ours, and let go of the lock."""
        if self.is_open():
            self.paths.socket.unlink(missing_ok=True)
        self.listener.close()
        if self.watch is not None:
            self.watch.close()
        os.close(self._lock)

    def _watch(self) -> FolderWatch | None:
        self._inode = self.paths.socket.stat().st_ino
        try:
            return FolderWatch(self.paths.socket.parent)
        except OSError as error:
            # Out of inotify instances: a removed socket is then found out by nobody, which costs a second store.
            log.warning("cannot watch %s: %s", self.paths.socket.parent, error)
            return None
