"""The warmer: a child of the store that makes memory ahead of demand, for that takes seconds which the loop has not.

It has the heap for reading only, so nothing that it does can change a byte.  The store forks it while it is small, and
it shares nothing with the store afterwards but a socket: it closes all other descriptors and gives up all other
memory, or clients that the store lets go of would not hear of it, and their tables would stay for ever.

If the store dies, the kernel kills the warmer.  A step that is under way comes to its end first, and may leave pages
in a range that nobody owns: nothing is written, but that memory is in nobody's books until the next store, which gives
back what it finds in free ranges, or until the range is used.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import struct
from collections import deque
from pathlib import Path
from typing import NoReturn

from ..linux import libc, packets
from ..linux.limits import available_memory
from ..linux.process import set_name
from ..linux.warming import STEP, Warmed, require_whole, warm

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
        ours, theirs = packets.pair()
        parent = os.getpid()
        # A signal between the fork and the reset of the handlers would run the store's handlers in the child.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                _live(parent, theirs, self._heap)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        self._sock, self._pid = ours, pid

    def _bury(self) -> None:
        """Reap it.  A process lets go of its memory before its descriptors, so the end of its socket is nearly its own."""
        assert self._sock is not None
        self._sock.close()
        self._sock = None
        pid, self._pid = self._pid, 0
        self._asked.clear()
        with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored, and the kernel reaped it
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if not self.has_ended:
                how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
                log.warning("the process that makes memory ahead of demand (pid %d) %s", pid, how)

    def _has_failed(self) -> None:
        self.has_ended = self._starts >= STARTS
        if self.has_ended:
            log.warning("memory is not made ahead of demand any more: it has failed %d times", STARTS)


# --- the child ----------------------------------------------------------------------------------------------------


def _live(parent: int, sock: socket.socket, heap: int) -> NoReturn:
    """The whole life of the child.  It never goes back into the store's code, whatever happens."""
    status = 1
    try:
        gc.disable()  # a finalizer of the store's would close a descriptor that is ours by then
        _die_with(parent)
        _reset_signals()
        _close_all_but({sock.fileno(), heap})
        _unmap_memory()
        _step_back()
        set_name(NAME)
        _serve(parent, sock, heap)
        status = 0
    finally:
        os._exit(status)


def _serve(parent: int, sock: socket.socket, heap: int) -> None:
    """Warm what is asked for, until the end of the socket."""
    margin = 0

    def may_go_on() -> bool:
        return available_memory() >= margin + STEP and _has(parent)

    while (packet := packets.receive(sock)) is not None and packet != packets.END:
        offset, nbytes, margin = _ORDER.unpack(packet.data)
        packets.send(sock, _REPORT.pack(*warm(heap, offset, nbytes, may_go_on)))


def _has(parent: int) -> bool:
    """Does the store live?  Where the kernel does not kill us with it, we notice here."""
    return os.getppid() == parent


def _die_with(parent: int) -> None:
    with contextlib.suppress(OSError):
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if not _has(parent):
        os._exit(0)  # it died before that


def _reset_signals() -> None:
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):  # SIGKILL, SIGSTOP, and what the C library keeps for itself
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close_all_but(kept: set[int]) -> None:
    """Close what was inherited; ``/dev/null`` in the place of the standard streams."""
    try:
        # Not a loop over all numbers: the limit of a store may be a thousand million.
        numbers = [int(link.name) for link in Path("/proc/self/fd").iterdir()]
    except OSError:
        numbers = list(range(os.sysconf("SC_OPEN_MAX")))
    packets.close_all(fd for fd in numbers if fd not in kept and fd > 2)
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in {0, 1, 2} - kept:
            os.dup2(null, stream)
        os.close(null)


def _unmap_memory() -> None:
    """Give up the index and the lease tables: the memory of a client that has gone is kept by whoever maps it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            if " /memfd:" in line:
                start, end = (int(address, 16) for address in line.partition(" ")[0].split("-"))
                libc.munmap(start, end - start)


def _step_back() -> None:
    """Let everybody else have the processors first.

    Not SCHED_IDLE: whoever touches a page that is being collapsed waits, and would wait for ever on a busy machine.
    """
    with contextlib.suppress(OSError):
        os.nice(19)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    # Where each session gets its share, niceness counts within ours only: a session of our own, of the least share.
    with contextlib.suppress(OSError):
        os.setsid()
        Path("/proc/self/autogroup").write_text("19")
