"""The store's end of one connection: what came, and what could not be sent yet.  Nothing here waits."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections import deque
from collections.abc import Sequence

from ..linux import packets
from ..protocol.session import DISCARDING, NEW, Session
from .regions import TableMemory

MAX_OUTBOX = 4096
"""Packets kept for a client that does not read.  It asked for that many answers and took none: it is let go of."""


class Peer:
    """One accepted connection.

    A packet stays at the head of the queue until it was answered; so the store that comes after one that died finds
    there what is not done, and at most one packet more.

    Args:
        sock: The socket; owned from now on, closed by ``close``.
        pid: The kernel's word for who is at the other end; 0 when it cannot be seen from here.
        state: Of its session.

    Attributes:
        client: Id of the client, once it said hello; else 0.
        head: None: the packet at the head of the queue, if there is one, was not looked at.  Otherwise it was, and is
            still there: 0 when nothing is to be answered, else the number of the request that waits for an answer
            (-1: a Hello).
        late: Number of the request at the head, if its answer waits for room; else 0.
        waits: Numbers of Waits that are not answered yet; they were consumed, and the keeper has them.
        told: Numbers of those whose answers may still be in the outbox.
        pidfd: Tells when its process ends, where that is waited for; else -1.
        leases: The client's lease table, once it said hello.
        is_empty: Nothing is in its queue and nothing will ever come.
        is_ended: It was told that nothing more will be answered.
        mask: What the loop is told of this socket.
    """

    def __init__(self, sock: socket.socket, pid: int, state: str = NEW) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.pid = pid
        self.client = 0
        self.session = Session(state)
        self.head: int | None = None
        self.late = 0
        self.waits: set[int] = set()
        self.told: list[int] = []
        self.leases: TableMemory | None = None
        self.pidfd = -1
        self.is_empty = False
        self.is_ended = state == DISCARDING
        self.mask = select.EPOLLIN
        self._outbox: deque[tuple[bytes, Sequence[int]]] = deque()

    @property
    def is_done(self) -> bool:
        """Was the packet at the head handled, and its answer handed to the system?"""
        return self.head == 0 and not self._outbox

    def consume(self) -> None:
        """Take the packet at the head, which is done, out of the queue."""
        self.head = None
        packets.discard(self.sock)

    @property
    def wanted(self) -> int:
        """What the loop is to tell of this socket; a hang-up it tells in any case."""
        reads = 0 if self.head is not None or self.is_empty else select.EPOLLIN
        return reads | (select.EPOLLOUT if self._outbox else 0)

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
        self.session.state = DISCARDING
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
        self.fd = -1
        self.sock.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        if self.leases is not None:
            self.leases.close()
