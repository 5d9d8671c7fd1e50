"""Everything that belongs to one connection: socket, index, lease table, heap; and what a fork does with it.

A session that is closed, or whose store ended, takes no calls any more; it stays until its last view is gone.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import os
import select
import socket
import sys
import threading
import time
import weakref
from functools import partial
from typing import Protocol

from ..errors import ShmError, StoreConnectionError, StoreEndingError
from ..linux import packets
from ..linux.barrier import register_membarrier
from ..linux.maps import Map, map_shared
from ..linux.runtime import StorePaths, store_paths
from ..protocol import messages as m
from ..tables.index import IndexReader
from ..tables.layout import INDEX_SIZE, ROW_CLIENT, ROW_LOOKING, ROW_NUMBER, WORD_ENDED, WORD_PROGRESS, row_word
from ..tables.leases import LEASES_SIZE, LeaseTable
from . import launch
from .anchors import AnchoredLeases
from .connection import PATIENCE, Connection, greet
from .cutting import Cutter
from .heap import Heap, address_space_error
from .identity import hello, kernel_id, label
from .lock import is_mine, new_lock
from .spilled import SpillHeap

LOOK_EVERY = 0.02
"""Seconds between looks at the socket by calls that need no answer."""


SPIN_NS = 60_000
"""Nanoseconds for which an answer is looked for before it is waited for: about what two wake-ups take."""


class Owner(Protocol):
    """Who calls a session."""

    def uses(self, session: Session) -> bool:
        """Is this the session that calls go to?"""


opening = threading.RLock()
"""Held while a session is opened, and while this process forks: a child never inherits half a session, nor a lock
that a thread of its parent holds."""

_sessions: set[Session] = set()
"""Every session that is open, or that still has views: finalizers of roots reach them only from here."""


class Session:
    """One connection to one store.

    Args:
        name: Name of the store.
        owner: Who uses it; without one, it ends as soon as its last view is gone.
        sock: Connected, owned from now on.
        welcome: The store's answer to hello.
        descriptors: What came with it: heap (read-only, writable), index, lease table, and the spill heap if there is
            one.  Those that have an owner are taken out of the list.

    Attributes:
        words: Those of the index.
        next_look: When the socket is to be looked at again, in seconds of ``time.monotonic``.
    """

    def __init__(
        self, name: str, owner: Owner, sock: socket.socket, welcome: m.Welcome, descriptors: list[int]
    ) -> None:
        self.name = name
        self.owner = weakref.ref(owner, _on_end_of_owner)
        self.welcome = welcome
        self.label = label(kernel_id())
        self.paths: StorePaths = store_paths(name)
        read_only, writable, index, table, *spill = descriptors
        self._index_map = map_shared(index, 0, INDEX_SIZE)
        self._index = IndexReader(self._index_map.view)
        self.words = self._index.words
        self._pid = welcome.pid
        self._row = row_word(welcome.row)
        self.connection = Connection(sock, self._about, self._signs, self._spin, self._withdraw)
        self.cutter = Cutter(self.connection)
        self._table_map = map_shared(table, 0, LEASES_SIZE, writable=True)
        self.heap = Heap(read_only, writable)
        del descriptors[:2]
        self.spill = SpillHeap(descriptors.pop()) if spill else None
        self.leases = AnchoredLeases(
            self._index,
            LeaseTable(self._table_map.view),
            self.heap,
            on_hint=partial(_tell, self.connection, m.Hint),
            on_drop=partial(_tell, self.connection, m.Drop),
            on_ring=self._ring,
        )
        self.leases.row = self._row
        self.leases.spill = self.spill
        self._ending = new_lock()
        self.next_look = 0.0
        _register_barrier()
        _sessions.add(self)

    @classmethod
    def open(cls, name: str, owner: Owner, capacity: int | None, start: bool = True) -> Session:
        """Connect; arguments and errors as ``launch.open_store``.  The caller holds ``opening``."""
        sock, welcome, received = launch.open_store(name, capacity, start)
        descriptors = list(received)
        try:
            return cls(name, owner, sock, welcome, descriptors)
        except OSError as error:
            sock.close()
            raise address_space_error(error) from error
        except BaseException:
            sock.close()
            raise
        finally:
            # Index and lease table are mapped and need no descriptor; after a failure nobody needs any.
            packets.close_all(descriptors)

    @property
    def pid(self) -> int:
        """Process id of the store; another one after it died and was started again."""
        with contextlib.suppress(ValueError):  # this session is over, and what it knew last is told
            self._pid = self._index.pid
        return self._pid

    @property
    def client(self) -> int:
        """Our id as a client of the store; another one after a fork.  0: this session is over."""
        with contextlib.suppress(ValueError):
            return self.words[self._row + ROW_CLIENT]
        return 0

    def _about(self) -> str:
        return f"the store {self.name!r} (pid {self.pid}, log {self.paths.log})"

    def _signs(self) -> tuple[int, int]:
        """How often the store was started, and how many bytes it has spilled: whoever waits sees that it goes on."""
        return self._index.starts, self.words[WORD_PROGRESS]

    def wait_for_end(self) -> None:
        """Wait until the store, which was asked to end, has closed its socket; ten seconds at most."""
        with contextlib.suppress(OSError, ValueError):
            poll = select.poll()
            poll.register(self.connection.sock, 0)
            poll.poll(10_000)

    def is_current(self) -> bool:
        """Can calls go to this session still?

        A get asks nobody, so it would not notice that the store was killed.  Looking at the socket now and then costs
        a get nothing, and a new store needs longer than that to start.
        """
        now = time.monotonic()
        if now >= self.next_look:
            self.next_look = now + LOOK_EVERY
            self.connection.check()
        return self.connection.broken is None and not self.words[WORD_ENDED]

    def _spin(self, number: int) -> bool:
        """Wait until the index shows that a request of ours was carried out; no longer than a wake-up would take."""
        words, at, end = self.words, self._row + ROW_NUMBER, time.perf_counter_ns() + _spin_ns()
        with contextlib.suppress(ValueError):  # this session is over
            while words[at] < number:
                if time.perf_counter_ns() > end:
                    return False
                os.sched_yield()  # the store may be waiting for this very processor
            return True
        return False

    def _withdraw(self, number: int) -> None:
        with contextlib.suppress(ValueError):  # this session is over
            self.leases.table.withdraw(number)

    def _ring(self, _id: int) -> None:
        """There is something in our ring: have the store look, unless it does so by itself."""
        with contextlib.suppress(ValueError):  # this session is over
            if not self.words[self._row + ROW_LOOKING]:
                self.connection.tell(m.Ring())

    def retire(self) -> None:
        """Take no calls any more; end when the last view and the last call are over, which may be now."""
        self.cutter.let_go()
        self.leases.on_idle = self.connection.on_idle = self._finish
        self.leases.drain()

    def _finish(self) -> None:
        if self.connection.is_busy or is_mine(self._ending) or not self.leases.finish():
            return
        with self._ending:
            # Each step may be done again, if an interrupt fell in between.
            self.connection.sock.close()
            self._table_map.close()
            _ = self.pid
            self.words.release()
            self._index_map.close()
            self.heap.close()
            if self.spill is not None:
                self.spill.close()
            _sessions.discard(self)

    @property
    def is_orphan(self) -> bool:
        """Has nobody a use for it any more, but those who look at its views?"""
        owner = self.owner()
        return owner is None or not owner.uses(self)

    # --- fork ---------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Open a second connection with a copy of our leases, for the child to take over.

        The parent holds its leases meanwhile, so there is no moment at which nobody does.
        """
        self._heir: tuple[socket.socket, Map, int] | None = None
        self.leases.lock.acquire()
        self.connection.hold()
        try:
            self._heir = self._second_connection()
        except (OSError, ShmError):
            # The child then reads under our leases, which therefore stay.
            self.leases.keep_for_ever()

    def after_fork_in_parent(self) -> None:
        """Let the child have what is its own."""
        if self._heir is not None:
            sock, table, _ = self._heir
            sock.close()
            table.close()
            self._heir = None
        self.connection.let_go()
        self.leases.lock.release()
        self.leases.drain()

    def after_fork_in_child(self) -> None:
        """Be a client of our own."""
        heir, self._heir = self._heir, None
        self._ending = new_lock()
        self.cutter.forget()
        if heir is None:
            # The inherited socket stays open: the store must not see a hang-up while we look at its bytes.
            self.leases.move_to(None)
            self.connection.reset(self.connection.sock)
            self.connection.broken = "no connection could be had when this process was forked"
            return
        self.connection.sock.close()
        self.connection.reset(heir[0])
        table, self._table_map = self._table_map, heir[1]
        self._row = self.leases.row = row_word(heir[2])
        self.leases.move_to(LeaseTable(heir[1].view))
        table.close()
        # The parent opened the connection, so the kernel's word for who is there is the parent.
        self.connection.tell(m.Forked(os.getpid()))
        self.leases.drain()

    def _second_connection(self) -> tuple[socket.socket, Map, int]:
        """Connect once more; the store may die in the middle of that, and be started again."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._connect_again()
            except StoreEndingError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(launch.RETRY)

    def _connect_again(self) -> tuple[socket.socket, Map, int]:
        sock = launch.connect(self.paths)
        if sock is None:
            raise StoreConnectionError(f"nobody listens at {self.paths.socket}")
        try:
            welcome, descriptors = greet(sock, hello())
            packets.close_all((*descriptors[:3], *descriptors[4:]))
            try:
                table = map_shared(descriptors[3], 0, LEASES_SIZE, writable=True)
            finally:
                os.close(descriptors[3])
            if welcome.store != self.welcome.store:
                table.close()
                raise StoreConnectionError("another store has taken the place of ours")
        except BaseException:
            sock.close()
            raise
        self.leases.copy_to(LeaseTable(table.view))
        return sock, table, welcome.row


def open_sessions(store: str | None = None) -> list[Session]:
    """Every session that takes calls, or still has views; ``store``: with the store of this name only."""
    return [session for session in tuple(_sessions) if store in (None, session.name)]


def retire_orphans() -> None:
    """Retire every session that nobody uses: its owner's end, or its own beginning, may have been interrupted."""
    if any(session.is_orphan for session in tuple(_sessions)):
        with opening:  # a session that is just being opened has no use yet
            for session in tuple(_sessions):
                if session.is_orphan:
                    session.retire()


def _on_end_of_owner(_owner: object) -> None:
    # Without the lock, which another thread may hold for long: a session that is being opened has a living owner.
    if not sys.is_finalizing():
        for session in tuple(_sessions):
            if session.owner() is None:
                session.retire()


def _tell(connection: Connection, kind: type, id: int) -> None:
    connection.tell(kind(id))


@functools.cache
def _spin_ns() -> int:
    """How long a wait for the store may keep a processor: not at all where the store needs that very one."""
    return SPIN_NS if len(os.sched_getaffinity(0)) > 1 else 0


@functools.cache
def _register_barrier() -> None:
    """Once per process; a fork inherits it.

    In a process with threads, and numpy starts some, the kernel takes 10 ms for it.  Nobody has to wait: until it is
    done, and where it cannot be had, the grace time before memory is freed covers this process.
    """
    _thread.start_new_thread(register_membarrier, ())


_forking: list[Session] = []


def _before_fork() -> None:
    opening.acquire()
    _forking.extend(_sessions)
    for session in _forking:
        session.before_fork()


def _after_fork_in_parent() -> None:
    for session in _forking:
        session.after_fork_in_parent()
    _forking.clear()
    opening.release()


def _after_fork_in_child() -> None:
    for session in _forking:
        session.after_fork_in_child()
    _forking.clear()
    opening.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
