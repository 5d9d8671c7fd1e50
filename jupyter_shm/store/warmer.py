"""The warmer: a child of the store that makes memory ahead of demand, for that takes seconds which the loop has not.

It has the heap for reading only, so nothing that it does can change a byte.  How it is forked, and what it shares with
the store, is told in ``offspring``.

If the store dies, a step that is under way comes to its end, and may leave pages in a range that nobody owns: nothing
is written, but that memory is in nobody's books until the next store, which gives back what it finds in free ranges,
or until the range is used.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import struct
from collections import deque

from ..linux import packets
from ..linux.limits import available_memory
from ..linux.warming import STEP, Warmed, require_whole, warm
from . import offspring

log = logging.getLogger("jupyter_shm.store")

NAME = "shm-warmer"

STARTS = 4
"""Warmers in the life of a store.  What ends one by force is the system, short of memory, or a person: both mean it."""

_ORDER = struct.Struct("QQQ")  # offset, bytes, bytes of memory that must stay available
_REPORT = struct.Struct("QQQQ")  # Warmed


class Warmer:
    """The store's side.  Nothing here waits, but for the end of a process that is as good as over.

    Args:
        heap: Read-only descriptor of the heap; stays the caller's.

    Attributes:
        has_ended: There will be no warmer any more: it was stopped, or has died too often.
    """

    def __init__(self, heap: int) -> None:
        self._heap = heap
        self._sock: socket.socket | None = None
        self._pid = 0
        self._starts = 0
        self._asked: deque[tuple[int, int]] = deque()
        self.has_ended = False

    @property
    def fd(self) -> int:
        """Ready when ``hear`` has something to tell; -1 while no warmer runs.  Another one after each start.

        It leaves an epoll set by itself, when ``hear`` notices the end of the process.
        """
        return -1 if self._sock is None else self._sock.fileno()

    @property
    def pid(self) -> int:
        """Of the process; 0 while none runs."""
        return self._pid

    def start(self) -> bool:
        """Have a warmer: fork one, if none runs.  Takes about a millisecond; more, the more the store holds.

        Returns:
            Does one run?
        """
        if self._sock is not None or self.has_ended:
            return self._sock is not None
        self._starts += 1
        try:
            self._fork()
        except OSError as error:
            log.warning("no process can be started to make memory ahead of demand: %s", error)
            self._has_failed()
        return self._sock is not None

    def ask(self, offset: int, nbytes: int, margin: int) -> bool:
        """Have a range of the heap warmed; ``hear`` tells what came of it.  Starts the warmer, if none runs.

        Args:
            offset: Where the range starts; a multiple of ``HUGE``.
            nbytes: Its length; a multiple of ``HUGE``, at least one.
            margin: Bytes of memory that must stay available on this machine.  What would leave less is not begun.

        Returns:
            False: it will not be done, and ``hear`` will not tell of it.

        Raises:
            ValueError: Not whole huge pages.
        """
        require_whole(offset, nbytes)
        if not self.start():
            return False
        assert self._sock is not None
        try:
            if not packets.send(self._sock, _ORDER.pack(offset, nbytes, margin), wait=False):
                return False
        except ConnectionError:
            return False  # it has died, which `hear` notices
        self._asked.append((offset, nbytes))
        return True

    def hear(self) -> list[Warmed]:
        """What the warmer has told since the last call, in the order in which it was asked.

        When it has died, everything that is outstanding comes back as not warmed: ``huge == present == 0``.  It may
        have got some of its memory all the same; nothing is touched any more from now on.
        """
        heard = []
        while self._sock is not None:
            packet = packets.receive(self._sock, wait=False)
            if packet is None:
                break
            if packet == packets.END:
                heard += [Warmed(offset, nbytes, 0, 0) for offset, nbytes in self._asked]
                self._bury()
                self._has_failed()
                break
            self._asked.popleft()
            heard.append(Warmed._make(_REPORT.unpack(packet.data)))
        return heard

    def stop(self) -> None:
        """End the warmer for good, and wait for the end of its step.  Safe to call again."""
        self.has_ended = True
        if self._pid:
            # It only reads: nothing can be left half done.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._bury()

    def _fork(self) -> None:
        heap, parent = self._heap, os.getpid()
        self._sock, self._pid = offspring.fork(NAME, {heap}, lambda sock: _serve(parent, sock, heap))

    def _bury(self) -> None:
        """Reap it.  A process lets go of its memory before its descriptors, so the end of its socket is nearly its own."""
        assert self._sock is not None
        self._sock.close()
        self._sock = None
        pid, self._pid = self._pid, 0
        self._asked.clear()
        how = offspring.reap(pid)
        if how is not None and not self.has_ended:
            log.warning("the process that makes memory ahead of demand (pid %d) %s", pid, how)

    def _has_failed(self) -> None:
        self.has_ended = self._starts >= STARTS
        if self.has_ended:
            log.warning("memory is not made ahead of demand any more: it has failed %d times", STARTS)


# --- the child ----------------------------------------------------------------------------------------------------


def _serve(parent: int, sock: socket.socket, heap: int) -> None:
    """Warm what is asked for, until the end of the socket."""
    margin = 0
    offspring.step_back()

    def may_go_on() -> bool:
        return available_memory() >= margin + STEP and offspring.has_parent(parent)

    while (packet := packets.receive(sock)) is not None and packet != packets.END:
        offset, nbytes, margin = _ORDER.unpack(packet.data)
        packets.send(sock, _REPORT.pack(*warm(heap, offset, nbytes, may_go_on)))
