"""The store's end of one connection: what came, and what could not be sent yet.  Nothing here waits."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections import deque
from collections.abc import Sequence

from ..linux import packets
from ..protocol.session import Session
from .regions import TableMemory

MAX_OUTBOX = 4096
"""Packets kept for a client that does not read.  It asked for that many answers and took none: it is let go of."""


class Peer:
    """One accepted connection.

    Args:
        sock: The socket; owned from now on, closed by ``close``.
        pid: The kernel's word for who is at the other end; 0 when it cannot be seen from here.

    Attributes:
        pidfd: Tells when its process ends, where that is waited for; else -1.
        leases: The client's lease table, once it said hello.
        is_ended: It was told that nothing more will be answered.
        is_watched_for_room: The loop was asked to tell when its queue has room again.
    """

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.pid = pid
        self.session = Session()
        self.leases: TableMemory | None = None
        self.pidfd = -1
        self.is_ended = False
        self.is_watched_for_room = False
        self._outbox: deque[tuple[bytes, Sequence[int]]] = deque()

    @property
    def has_outbox(self) -> bool:
        """Is something waiting to be sent?"""
        return bool(self._outbox)

    def send(self, data: bytes, descriptors: Sequence[int] = ()) -> bool:
        """Send, or keep for later.

        Returns:
            False when the client has let too much pile up and is to be let go of.
        """
        if self.is_ended:
            return True
        self._outbox.append((data, descriptors))
        self.flush()
        return len(self._outbox) <= MAX_OUTBOX

    def flush(self) -> None:
        """Send what there is room for."""
        try:
            while self._outbox and packets.send(self.sock, *self._outbox[0], wait=False):
                self._outbox.popleft()
        except (OSError, ValueError):
            # The peer is gone, which its hang-up tells too, or cannot take descriptors; either way this is lost.
            self._outbox.clear()

    def end(self) -> None:
        """Answer nothing from now on.  The peer sees the end; its leases count until it hangs up."""
        self.flush()
        self._outbox.clear()
        self.is_ended = True
        with contextlib.suppress(OSError):  # it hung up already, and that event is on its way
            self.sock.shutdown(socket.SHUT_WR)

    def has_hung_up(self) -> bool:
        """Is the other end closed, or did it only stop sending?"""
        poll = select.poll()
        poll.register(self.fd, 0)
        return any(mask & (select.POLLHUP | select.POLLERR) for _, mask in poll.poll(0))

    def wait_for_process(self, pid: int) -> bool:
        """Open ``pidfd``.  False when the process has ended, or cannot be seen from here."""
        with contextlib.suppress(OSError):
            self.pidfd = os.pidfd_open(pid)
        return self.pidfd >= 0

    def close(self) -> None:
        """Close the socket and the lease table."""
        self.sock.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        if self.leases is not None:
            self.leases.close()
