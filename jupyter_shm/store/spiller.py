"""The spiller: a child of the store that copies objects to disk, for that takes seconds which the loop has not.

It has the heap for reading only.  It alone writes to the spill heap, gives its space back, and asks the disk how much
is left: a disk may keep whoever touches it waiting.  Orders are carried out one after the other, as they were given;
so a range that was given back can be given to the next object at once.

If the store dies in the middle of a copy, the write that is under way comes to its end although the process is killed
with the store.  It must not come after what the next store has written there: so every spiller holds a lock on the heap
as long as it lives, and does nothing before it has it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import signal
import socket
import struct
from collections import deque
from typing import NamedTuple

from ..linux import packets
from ..linux.memory import punch
from ..linux.spillfile import spill_limit
from . import offspring

log = logging.getLogger("jupyter_shm.store")

NAME = "shm-spiller"

STARTS = 4
"""Spillers in a row that died before they had done anything: then there is no use in another."""

AHEAD = 16
"""Orders that are sent before the first of them is done: a small part of what a socket's queue holds."""

STEP = 1 << 20
"""Bytes copied in one go."""

TELL = 16 << 20
"""Bytes between two words about the progress of a copy."""

COPY, PUNCH = 1, 2
"""Orders."""

MOVED, DONE, FAILED = 1, 2, 3
"""What is told of them: it goes on; it is done; it was not."""

_ORDER = struct.Struct("5Q")
_REPORT = struct.Struct("4Q")  # kind, bytes moved, errno, limit


class Order(NamedTuple):
    """What the spiller is to do."""

    kind: int
    offset: int  # in the spill heap
    nbytes: int
    source: int = 0  # offset in the heap, of a COPY
    spilled: int = 0  # bytes that the spill heap takes without this COPY


class Told(NamedTuple):
    """What came of an order, or how far it is."""

    kind: int
    order: Order
    moved: int  # bytes copied so far
    error: str  # why it failed
    limit: int  # bytes that the spill heap may take, as the disk is now; of a COPY


class Spiller:
    """The store's side.  Nothing here waits, but for the end of a process that is as good as over.

    Args:
        heap: Read-only descriptor of the heap; stays the caller's.
        spill: Writable descriptor of the spill heap; stays the caller's.

    Attributes:
        has_ended: There will be no spiller any more: it was stopped, or has died too often.
    """

    def __init__(self, heap: int, spill: int) -> None:
        self._heap = heap
        self._spill = spill
        self._sock: socket.socket | None = None
        self._pid = 0
        self._deaths = 0
        self._sent: deque[Order] = deque()
        self._queue: deque[Order] = deque()
        self.has_ended = False

    @property
    def fd(self) -> int:
        """Ready when ``hear`` has something to tell; -1 while no spiller runs.  Another one after each start.

        It leaves an epoll set by itself, when ``hear`` notices the end of the process.
        """
        return -1 if self._sock is None else self._sock.fileno()

    @property
    def pid(self) -> int:
        """Of the process; 0 while none runs."""
        return self._pid

    def ask(self, order: Order) -> bool:
        """Have something done; ``hear`` tells what came of it.  Starts the spiller, if none runs.

        Returns:
            False: it will not be done, and ``hear`` will not tell of it.
        """
        if not self._start():
            return False
        last = self._queue[-1] if self._queue else None
        if last and last.kind == order.kind == PUNCH and last.offset + last.nbytes == order.offset:
            self._queue[-1] = last._replace(nbytes=last.nbytes + order.nbytes)
        else:
            self._queue.append(order)
        self._send()
        return True

    def hear(self) -> list[Told]:
        """What the spiller has told since the last call.

        When it has died, whatever was to be done is told to the next one; when there is no next one, copies that are
        outstanding come back as failed.
        """
        heard: list[Told] = []
        while self._sock is not None:
            packet = packets.receive(self._sock, wait=False)
            if packet is None:
                break
            if packet == packets.END:
                self._bury()
                break
            kind, moved, number, limit = _REPORT.unpack(packet.data)
            order = self._sent[0] if kind == MOVED else self._sent.popleft()
            if kind != MOVED:
                self._deaths = 0
            heard.append(Told(kind, order, moved, os.strerror(number) if number else "", limit))
        self._send()
        return heard if self._sock is not None else heard + self._lose()

    def stop(self) -> None:
        """End the spiller for good, and wait for the end of its step.  Safe to call again."""
        self.has_ended = True
        if self._pid:
            # What it leaves half copied belongs to no object.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._bury()
        self._queue.clear()

    def _start(self) -> bool:
        if self._sock is not None or self.has_ended:
            return not self.has_ended
        heap, spill, parent = self._heap, self._spill, os.getpid()
        try:
            self._sock, self._pid = offspring.fork(NAME, {heap, spill}, lambda sock: _serve(parent, sock, heap, spill))
        except OSError as error:
            log.warning("no process can be started to spill objects: %s", error)
            self._has_died()
        return self._sock is not None

    def _send(self) -> None:
        while self._queue and len(self._sent) < AHEAD and self._start():
            assert self._sock is not None
            try:
                if not packets.send(self._sock, _ORDER.pack(*self._queue[0]), wait=False):
                    return
            except ConnectionError:
                return  # it has died, which `hear` notices
            self._sent.append(self._queue.popleft())

    def _bury(self) -> None:
        """Reap it; what was outstanding is the next one's."""
        assert self._sock is not None
        self._sock.close()
        self._sock = None
        pid, self._pid = self._pid, 0
        how = offspring.reap(pid)
        if how is not None and not self.has_ended:
            log.warning("the process that spills objects (pid %d) %s", pid, how)
        self._queue.extendleft(reversed(self._sent))
        self._sent.clear()
        self._has_died()

    def _lose(self) -> list[Told]:
        """There is no spiller: the copies that nobody makes.  Holes wait for the next one, if there will be one."""
        lost = [order for order in self._queue if order.kind == COPY]
        self._queue = deque([] if self.has_ended else (order for order in self._queue if order.kind != COPY))
        return [Told(FAILED, order, 0, "the process that spills objects has died", 0) for order in lost]

    def _has_died(self) -> None:
        self._deaths += 1
        if self._deaths >= STARTS and not self.has_ended:
            self.has_ended = True
            log.error("objects are not spilled any more: %d processes in a row have died of it", STARTS)


# --- the child ----------------------------------------------------------------------------------------------------


def _serve(parent: int, sock: socket.socket, heap: int, spill: int) -> None:
    """Do what is asked for, until the end of the socket."""
    # A description of its own: those that were inherited are the store's, and a lock of theirs would be its, too.
    lock = os.open(f"/proc/self/fd/{heap}", os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    buffer = memoryview(bytearray(STEP))
    while (packet := packets.receive(sock)) is not None and packet != packets.END:
        order = Order._make(_ORDER.unpack(packet.data))
        number = moved = limit = 0
        try:
            if order.kind == PUNCH:
                punch(spill, order.offset, order.nbytes)
            else:
                limit = spill_limit(spill, order.spilled)
                moved = _copy(parent, sock, heap, spill, order, limit, buffer)
        except OSError as error:
            number = error.errno or errno.EIO
            if order.kind == COPY:
                with contextlib.suppress(OSError):
                    punch(spill, order.offset, order.nbytes)
        packets.send(sock, _REPORT.pack(FAILED if number else DONE, moved, number, limit))


def _copy(parent: int, sock: socket.socket, heap: int, spill: int, order: Order, limit: int, buffer: memoryview) -> int:
    """Copy an object; how many bytes were moved.

    Raises:
        OSError: The disk has no room, or fails.
    """
    if order.spilled + order.nbytes > limit:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.posix_fallocate(spill, order.offset, order.nbytes)  # now, not in the middle of it
    moved = told = 0
    while moved < order.nbytes:
        if not offspring.has_parent(parent):
            os._exit(0)
        count = os.preadv(heap, [buffer[: order.nbytes - moved]], order.source + moved)
        if count == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        _write(spill, buffer[:count], order.offset + moved)
        moved += count
        if moved >= told + TELL:
            told = moved
            packets.send(sock, _REPORT.pack(MOVED, moved, 0, limit))
    return moved


def _write(fd: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(fd, data, offset)
        data, offset = data[count:], offset + count
