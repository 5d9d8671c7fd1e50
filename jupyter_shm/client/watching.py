"""Changes that the store tells of: one thread per store that waits for them and hands them to callbacks.

It has a connection of its own, so that it can wait in the kernel and nobody else has to read for it.  The store calls
it once, with one small packet; it then fetches what happened, page by page, and is called again only after that.  So a
slow callback delays nothing but itself, and what the store has forgotten by then is told as lost.
"""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import os
import select
import socket
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import ProtocolError, ShmError
from ..linux import packets
from ..linux.runtime import StorePaths
from ..protocol import messages as m
from ..protocol import wire
from . import launch
from .connection import greet
from .events import LOST, RESTART, Event, events_of
from .identity import hello
from .session import opening

if TYPE_CHECKING:
    from ..linux.watch import FolderWatch

log = logging.getLogger("jupyter_shm")

FIRST_DELAY, LAST_DELAY = 0.05, 5.0
"""Seconds until a store that could not be reached is tried again; doubled from the first to the last."""

LOOK_EVERY = 1.0
"""Seconds between looks for a store where the system does not tell of new files."""

Callback = Callable[[Event], Any]

_watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()
"""All that live: a child that is forked closes what it has inherited of them."""


class Watch:
    """One callback that is told what happens, until ``close``.  A context manager, that closes it.

    Args:
        watcher: Whose thread calls it.
        callback: What is called.
        pattern: As for ``Store.watch``.
        since: Number of the last event that it is not told of.
    """

    def __init__(self, watcher: Watcher, callback: Callback, pattern: str | None, since: int) -> None:
        self._watcher = watcher
        self._callback = callback
        self._pattern = pattern
        self._since = since
        self.is_closed = False

    def close(self) -> None:
        """No call begins from now on; one that has begun goes on.  Safe to call again, also from the callback."""
        self.is_closed = True
        self._watcher.remove(self)

    def __enter__(self) -> Watch:  # noqa: PYI034 - Self is not in Python 3.10
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"of the store {self._watcher.name!r}"
        return f"<Watch {state}>"

    def tell(self, event: Event) -> None:
        """Call the callback, if it wants to know of this.  What it raises is logged."""
        if self.is_closed or event.sequence <= self._since or not self._wants(event):
            return
        try:
            self._callback(event)
        except BaseException:  # also SystemExit: there is nobody else in this thread whom it could concern
            log.exception("a callback that watches the store %r has failed at %r", self._watcher.name, event)

    def _wants(self, event: Event) -> bool:
        if self._pattern is None or event.kind in {LOST, RESTART}:
            return True
        return bool(event.name) and fnmatch.fnmatchcase(event.name, self._pattern)


class Watcher:
    """The thread, its connection, and all callbacks of one store.

    It ends with its last callback, or with ``stop``, and is of no use afterwards.

    Args:
        name: Name of the store.
        paths: Its files.
        since: Number of the last event that nobody here is to be told of.
        presence: Called in the thread: with True when the store is there and is being watched, with False when it is
            not.  More than once with the same, perhaps.
    """

    def __init__(
        self, name: str, paths: StorePaths, since: int, presence: Callable[[bool], Any] = lambda _is_there: None
    ) -> None:
        self.name = name
        self._presence = presence
        self.is_over = False
        self._paths = paths
        self._after = since
        self._watches: tuple[Watch, ...] = ()
        # An RLock: in the middle of a block a garbage collection may end the store, and that calls ``stop``.
        self._lock = threading.RLock()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._sock: socket.socket | None = None
        self._folder: FolderWatch | None = None  # while no store is there
        self._delay = 0.0
        self._is_refused = False  # somebody is there, but could not be reached
        self._number = 0
        self._asked = 0  # number of the request that is not answered yet
        self._is_new = False  # this connection has not been answered yet
        _watchers.add(self)

    def start(self) -> None:
        """Begin; once, after the first ``add``."""
        threading.Thread(target=self._run, name=f"jupyter_shm watch {self.name}", daemon=True).start()

    # --- callbacks ---------------------------------------------------------------------------------------------

    def add(self, callback: Callback, pattern: str | None, since: int) -> Watch | None:
        """Call this, too; ``None``: it is over."""
        watch = Watch(self, callback, pattern, since)
        with self._lock:
            if self.is_over:
                return None
            self._watches = (*self._watches, watch)
        return watch

    def remove(self, watch: Watch) -> None:
        """Call it no longer.  The last one ends the thread."""
        with self._lock:
            self._watches = tuple(other for other in self._watches if other is not watch)
            if not self._watches:
                self._end()

    def stop(self) -> None:
        """Call nobody any more, and end the thread."""
        with self._lock:
            for watch in self._watches:
                watch.is_closed = True
            self._watches = ()
            self._end()

    def _end(self) -> None:
        """The lock is held: the descriptor is not closed by the thread meanwhile."""
        self.is_over = True
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    def forget_in_child(self) -> None:
        """This process is a child that was forked, and has no such thread: let go of what was inherited."""
        self._lock = threading.RLock()
        for watch in self._watches:
            watch.is_closed = True
        self._watches = ()
        self.is_over = True
        self._close()

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self.is_over:
                if self._connect():
                    self._listen()
                    self._let_go()
                if not self.is_over:
                    self._presence(False)
                    self._pause()
        except Exception:
            log.exception("the watch of the store %r has ended", self.name)
        finally:
            with opening, self._lock:
                self.is_over = True
                self._close()

    def _let_go(self) -> None:
        """Close the connection.  A child that is forked meanwhile would close it, too, or whoever has its number then."""
        with opening:
            self._hang_up()

    def _close(self) -> None:
        self._hang_up()
        if self._folder is not None:
            self._folder.close()
            self._folder = None
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _hang_up(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _wait(self, other: Any, seconds: float | None) -> bool:
        """Wait for something to read, or the end; costs nothing meanwhile.  Is there something to read?"""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if other is not None:
            poll.register(other, select.POLLIN)
        found = poll.poll(None if seconds is None else 1000 * seconds)
        return any(fd != self._wake for fd, _ in found)

    # --- the connection ----------------------------------------------------------------------------------------

    def _connect(self) -> bool:
        """Connect to the store, if it runs."""
        try:
            with opening:  # a child that is forked knows of the socket, or there is none
                if self.is_over:
                    return False
                self._sock = launch.connect(self._paths)
            if self._sock is None:
                self._is_refused = False
                return False
            _, descriptors = greet(self._sock, hello(watches=True))
            packets.close_all(descriptors)
        except (ShmError, OSError) as error:
            if self._delay == LAST_DELAY and not self._is_refused:
                log.warning("the store %r cannot be watched now: %s", self.name, error)
                self._is_refused = True
            self._let_go()
            return False
        else:
            return True

    def _pause(self) -> None:
        """There is no store, or it could not be reached: wait until it is worth another try."""
        self._delay = min(2 * self._delay, LAST_DELAY) or FIRST_DELAY
        seconds = self._delay if self._delay < LAST_DELAY or self._is_refused else None
        if self._folder is None:
            self._folder = _watch_of(self._paths.socket.parent)
            if self._folder is None:
                self._wait(None, seconds or LOOK_EVERY)
                return
            if seconds is None:
                return  # it is tried once more before that is waited for: the store may have come before the watch
        # Before it waits for nothing else: a store that is being started has its file before it listens.
        if self._wait(self._folder, seconds):
            with opening:
                self._folder.close()
                self._folder = None
            self._delay = 0.0

    def _listen(self) -> None:
        """Fetch what happened, whenever the store says that there is something; until it hangs up."""
        assert self._sock is not None
        self._is_new = True  # from the first answer on, nothing that happens is missed
        if not self._ask():
            return
        while not self.is_over:
            packet = packets.receive(self._sock, wait=False)
            if packet is None:
                self._wait(self._sock, None)
                continue
            packets.close_all(packet.descriptors)
            if packet == packets.END or not self._take(packet.data):
                return

    def _take(self, data: bytes) -> bool:
        """One packet; False: this connection is of no use any more."""
        if data.startswith(wire.MAGIC):
            return True  # welcomed twice: the store died before it had noted that it had welcomed us
        try:
            answer = wire.decode_answer(data)
        except ProtocolError as error:
            log.warning("the store %r sent something that is no answer: %s", self.name, error)
            return False
        if isinstance(answer, m.Changed) and not self._asked:
            return self._ask()
        if isinstance(answer, m.Past) and answer.number == self._asked:
            self._asked, self._delay = 0, 0.0
            self._deliver(answer)
            return not answer.has_more or self._ask()
        return True  # an answer that came twice

    def _ask(self) -> bool:
        assert self._sock is not None
        self._number += 1
        self._asked = self._number
        with contextlib.suppress(OSError):
            packets.send(self._sock, wire.encode(m.Events(self._number, self._after)))
            return True
        return False

    def _deliver(self, past: m.Past) -> None:
        if self._is_new:
            self._is_new = False
            self._presence(True)
        self._after = past.last
        for event in events_of(past):
            for watch in self._watches:
                watch.tell(event)


def _watch_of(folder: Path) -> FolderWatch | None:
    """Tells when something appears where the store's socket will be; ``None`` where that cannot be had."""
    from ..linux.watch import FolderWatch

    with contextlib.suppress(OSError), opening:
        return FolderWatch(folder, appearing=True)
    return None


def _after_fork_in_child() -> None:
    for watcher in tuple(_watchers):
        watcher.forget_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
