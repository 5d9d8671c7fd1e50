"""The loop's side of the doorway: who comes in, and what is tried again when nobody could."""

from __future__ import annotations

import logging
import math
import os
import select
import socket
import time
from collections.abc import Iterator

from ..linux import packets
from .doorway import Doorway
from .lodging import LISTENER, LOCK
from .vault import Vault

log = logging.getLogger("jupyter_shm.store")

TRY_AGAIN = 1.0
"""Seconds until what failed for lack of descriptors is tried again."""

REOPEN_AGAIN, LAST_REOPEN = 0.05, 1.0
"""Seconds until a doorway that was closed while it was being opened is opened again; doubled from the first to the
last while that fails."""


class Entrance:
    """Accepts connections, and opens the doorway again when a cleaner has closed it.

    Args:
        doorway: The listening socket; owned.
        epoll: The loop's; not owned.
        vault: The keeper has what the doorway is made of.

    Attributes:
        next_try: When to call ``try_again``, in seconds of the monotonic clock; infinite if nothing has failed.
        is_deaf: Nobody is accepted now.
    """

    def __init__(self, doorway: Doorway, epoll: select.epoll, vault: Vault) -> None:
        self._doorway = doorway
        self._epoll = epoll
        self._vault = vault
        self.next_try = math.inf
        self.is_deaf = False
        self._delay = REOPEN_AGAIN
        self._listen()
        if not doorway.is_open():
            self.next_try = 0.0  # it was closed while no store lived

    @property
    def listener(self) -> int:
        """Descriptor at which somebody may knock."""
        return self._doorway.listener.fileno()

    @property
    def watch(self) -> int:
        """Descriptor that tells of changes in the folder; -1 if there is none."""
        return -1 if self._doorway.watch is None else self._doorway.watch.fileno()

    def accept(self) -> Iterator[tuple[socket.socket, int]]:
        """Let in who is at the door.

        Yields:
            The socket, owned by the caller, and the kernel's word for the process at the other end.
        """
        while True:
            try:
                sock = packets.accept(self._doorway.listener)
            except OSError as error:
                log.warning("cannot accept another connection now: %s", error)
                self._close_ears()
                return
            if sock is None:
                return
            credentials = packets.peer_credentials(sock)
            if credentials.uid == os.getuid():
                yield sock, credentials.pid
            else:
                log.warning("refused a connection of uid %d, pid %d", credentials.uid, credentials.pid)
                sock.close()

    def check(self) -> None:
        """Something changed in the folder: is the doorway still open?"""
        watch = self._doorway.watch
        if watch is not None and watch.drain() and not self._doorway.is_taken and not self._doorway.is_open():
            self._reopen()

    def try_again(self) -> None:
        """What failed for lack of descriptors, or because a cleaner was at it: perhaps it works now."""
        self.next_try = math.inf
        if not self._doorway.is_taken and not self._doorway.is_open():
            self._reopen()
        elif self.is_deaf:
            self.is_deaf = False
            self._epoll.register(self._doorway.listener, select.EPOLLIN)

    def close(self) -> None:
        """Let nobody in any more."""
        self._doorway.close()

    def _listen(self) -> None:
        self.is_deaf = False
        self._epoll.register(self._doorway.listener, select.EPOLLIN)
        if self._doorway.watch is not None:
            self._epoll.register(self._doorway.watch, select.EPOLLIN)

    def _close_ears(self) -> None:
        self.is_deaf = True
        self._epoll.unregister(self._doorway.listener)
        self.next_try = time.monotonic() + TRY_AGAIN

    def _reopen(self) -> None:
        if not self.is_deaf:
            # The keeper has this listener, too, for a moment: closing ours would not take it out of the epoll set.
            self._close_ears()
        is_open = self._doorway.reopen()
        # Also when it failed half-way: the descriptors that the keeper knows may be closed.
        self._vault.keep(LOCK, b"", (self._doorway.lock,))
        self._vault.keep(LISTENER, b"", (self._doorway.listener.fileno(),))
        if is_open:
            self._listen()
            self.next_try, self._delay = math.inf, REOPEN_AGAIN
        elif self._doorway.is_taken:
            self.next_try = math.inf
        else:
            self.next_try = time.monotonic() + self._delay
            self._delay = min(2 * self._delay, LAST_REOPEN)
