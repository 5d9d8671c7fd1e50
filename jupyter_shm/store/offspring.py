"""Children that the store forks for work which its loop has no time for.  What they do is told by whoever forks them.

A child is forked while it is needed, and shares nothing with the store afterwards but a socket: it closes all other
descriptors and gives up all shared memory, or clients that the store lets go of would not hear of it, and their tables
would stay for ever.  If the store dies, the kernel kills it; a system call that is under way comes to its end first.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..linux import libc, packets
from ..linux.process import set_name

Work = Callable[[socket.socket], None]
"""What a child does, until the end of the socket."""


def fork(name: str, kept: set[int], work: Work) -> tuple[socket.socket, int]:
    """Fork a child.  Takes about a millisecond; more, the more the store holds.

    Args:
        name: What the process calls itself.
        kept: Descriptors that it keeps, under the same numbers; here they stay the caller's.
        work: Its whole life.

    Returns:
        Our end of its socket, owned by the caller, and its process id.

    Raises:
        OSError: There is no process, or no descriptor, to be had.
    """
    ours, theirs = packets.pair()
    parent = os.getpid()
    # A signal between the fork and the reset of the handlers would run the store's handlers in the child.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(parent, theirs, name, kept, work)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
    return ours, pid


def reap(pid: int) -> str | None:
    """Wait for a child that is as good as over.

    Returns:
        How it ended, for people; ``None`` when the kernel reaped it, because SIGCHLD is ignored.
    """
    with contextlib.suppress(ChildProcessError):
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
    return None


def has_parent(parent: int) -> bool:
    """In a child: does the store live?  Where the kernel does not kill us with it, we notice here."""
    return os.getppid() == parent


def step_back() -> None:
    """In a child: let everybody else have the processors first.

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


# --- in the child -------------------------------------------------------------------------------------------------


def _live(parent: int, sock: socket.socket, name: str, kept: set[int], work: Work) -> NoReturn:
    """The whole life of the child.  It never goes back into the store's code, whatever happens."""
    status = 1
    try:
        set_name(name)
        gc.disable()  # a finalizer of the store's would close a descriptor that is ours by then
        _die_with(parent)
        _reset_signals()
        _close_all_but({sock.fileno(), *kept})
        _unmap_memory()
        work(sock)
        status = 0
    finally:
        os._exit(status)


def _die_with(parent: int) -> None:
    with contextlib.suppress(OSError):
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    if not has_parent(parent):
        os._exit(0)  # it died before that


def _reset_signals() -> None:
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):  # SIGKILL, SIGSTOP, and what the C library keeps for itself
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as in every Python: a file that may not grow is an error
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
