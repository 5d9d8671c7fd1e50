"""One worker as its submitter sees it: a process that loky starts, watches and ends, its socket and its board.

Each worker is a loky executor of its own: when one dies the others go on with what they do.  To loky all that it does is
one call.  So loky never finds, between two of them, that it has grown by 300 MB, and replaces it: pages of the store that a
process has looked at count as its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import socket
from collections.abc import Callable
from multiprocessing import util
from typing import Any

from . import running
from .board import Board
from .environment import settings_for
from .messages import FromWorker, Inbox, ToWorker, encode
from .running import CHUNK, PATIENCE, Link


class Lane:
    """One worker.

    Args:
        threads: Of BLAS libraries.
        on_end: Called with this, in some thread, when its process has ended.
    """

    def __init__(self, threads: int, on_end: Callable[[Lane], None]) -> None:
        from loky.process_executor import ProcessPoolExecutor

        self._sock, theirs = socket.socketpair()
        self.board = Board.create()
        self._inbox = Inbox(of_worker=True)
        self._unsent = bytearray()
        try:
            link = Link(theirs.fileno(), self.board.fd)
            self._executor = ProcessPoolExecutor(
                1, initializer=running.start, initargs=(link,), env=settings_for(threads)
            )
            self._future: Any = self._executor.submit(running.serve)
        except BaseException:
            self._sock.close()
            self.board.close()
            raise
        finally:
            theirs.close()
        self._sock.setblocking(False)
        self._thread = self._executor._executor_manager_thread  # noqa: SLF001 - a shutdown that does not wait loses it
        self._locks = _locks_of(self._executor)
        self._future.add_done_callback(lambda _: on_end(self))

    def drop_names(self) -> None:
        """The worker has said that it runs, or is gone: nobody needs the names of loky's semaphores any more.

        They stand in /dev/shm.  loky has a process that takes them away when we die; but who kills a kernel kills its whole
        group, and that process with it.
        """
        locks, self._locks = self._locks, []
        wanted = {id(lock) for lock in locks}
        for duty in list(util._finalizer_registry.values()) if locks else ():  # type: ignore[attr-defined]  # noqa: SLF001
            held = getattr(duty, "_weakref", None)  # one that was called, or cancelled, has none any more
            if held is not None and id(held()) in wanted:
                duty()

    def fileno(self) -> int:
        """Of the socket."""
        return self._sock.fileno()

    @property
    def has_unsent(self) -> bool:
        """Is there something that the socket had no room for?"""
        return bool(self._unsent)

    def send(self, message: ToWorker) -> None:
        """Tell the worker; never waits."""
        self._unsent += encode(message)
        self.flush()

    def flush(self) -> None:
        """Send what the socket has room for."""
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:  # it is gone, and its end will be told
            self._unsent.clear()

    def receive(self) -> list[FromWorker] | None:
        """What the worker has told; ``None``: it has hung up."""
        try:
            data = self._sock.recv(CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._inbox.feed(data) if data else None  # type: ignore[return-value]

    def how_it_ended(self) -> str:
        """For people: " (SIGSEGV)"; the process has ended."""
        error = self._future.exception(timeout=0) if self._future.done() and not self._future.cancelled() else None
        found = re.search(r"\{(.*)\}", str(error))
        return f" ({found[1]})" if found else ""

    def kill(self) -> None:
        """End it now, and what it has started; ``on_end`` is called."""
        self._executor.shutdown(wait=False, kill_workers=True)

    def leave(self) -> None:
        """Let it end by itself; it has nothing to do."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._executor.shutdown(wait=False)

    def hang_up(self, *, is_busy: bool) -> None:
        """Have it end: at once what is busy, by itself what is not."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if is_busy:
            self.kill()

    def close(self) -> None:
        """Wait for its end; kill it if that takes long."""
        with contextlib.suppress(Exception):
            self._future.result(timeout=PATIENCE)
        if self._future.done():
            self._executor.shutdown(wait=False)
        else:
            self.kill()
        self._thread.join()
        multiprocessing.active_children()  # reaps what was dead before loky ended it
        self.release()

    def release(self) -> None:
        """Let go of what is ours; its process has ended, or is another's child."""
        self.drop_names()
        self._sock.close()
        self.board.close()


def _locks_of(executor: Any) -> list[Any]:
    """The semaphores of a loky executor; none, where another release of loky keeps them elsewhere: they go at its end."""
    from loky.backend.synchronize import SemLock

    with contextlib.suppress(AttributeError):
        holders = [executor, executor._call_queue, executor._result_queue, *executor._processes.values()]  # noqa: SLF001
        return [one for holder in holders for one in vars(holder).values() if isinstance(one, SemLock)]
    return []
