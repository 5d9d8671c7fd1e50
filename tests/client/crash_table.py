"""Machinery of the crash table: a store that dies at a numbered step, a witness, and one trial of a row.

The witness is the test's own process; it never dies.  What must hold stands in the table itself.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from crash_client import Client, full, same
from peers import SECONDS, PeerError, heap_bytes, kill_store
from store_processes import stores_of

from jupyter_shm.client import reading
from jupyter_shm.client.publishing import StoredBytes
from jupyter_shm.client.store import Store
from jupyter_shm.client.writing import place
from jupyter_shm.protocol import messages as m
from jupyter_shm.serial.pack import pack
from jupyter_shm.testing.private import eventually

ORDERS = "JUPYTER_SHM_TEST_CRASH"

ERROR = re.compile(r"Traceback| (ERROR|CRITICAL) ")

HEAP = "jupyter-shm-heap"

STANDING = "standing"
"""Name of an object that the witness puts before each trial, reads through it, and deletes afterwards."""


@dataclass(frozen=True)
class State:
    """What there is, besides ``STANDING``.

    Attributes:
        names: Value and version of each name.
        nameless: Objects without a name: anonymous ones, and those that are still read or contained.
    """

    names: dict[str, tuple[int, int]] = field(default_factory=dict)
    nameless: int = 0


@dataclass(frozen=True)
class Row:
    """One call, and what must hold.

    Attributes:
        events: What of it can be interrupted.
        call: What the client does; ``""``: it dies.
        result: What the call returns when it returns: when the client lives, always.
        after: What there is when it has returned.
        before: What there was before.
        between: What else there may be when the client dies in its call; ``before`` and ``after`` always may.
        prepare: What the client does first.
        views: Names that the witness reads before, and through it all.
        own: How many of the nameless objects are there for the client alone.
        connections: How many the client has in the end.
        is_awaited: Another client waits for the name "x".
    """

    events: tuple[str, ...]
    call: str
    result: Any
    after: State
    before: State = field(default_factory=State)
    between: tuple[State, ...] = ()
    prepare: str = ""
    views: tuple[str, ...] = ()
    own: int = 0
    connections: int = 1
    is_awaited: bool = False


# --- The witness ------------------------------------------------------------------------------------------------------


class World:
    """A store with crash points, and a witness who never dies.

    Args:
        folder: The runtime folder.
        nursery: Where clients come from.
    """

    def __init__(self, folder: Path, nursery: socket.socket) -> None:
        self.folder = folder
        self._nursery = nursery
        self._environment = self.environment(folder)
        self._orders = Path(self._environment[ORDERS])
        self.order()
        self.store = Store()
        self.log = self.store._session.paths.log
        self._views: list[tuple[np.ndarray, int]] = []
        self.clients: list[Client] = []
        self.next_step = 0

    @staticmethod
    def environment(folder: Path) -> dict[str, str]:
        """What every process needs that may start the store."""
        return {
            "JUPYTER_SHM_RUNTIME_DIR": str(folder),
            "JUPYTER_SHM_CAPACITY": "2MiB",
            ORDERS: str(folder / "orders"),
        }

    def new_client(self) -> Client:
        """One more, connected."""
        client = Client(self._nursery, self._environment)
        self.clients.append(client)
        client("store = shm.connect()")
        return client

    # --- orders ------------------------------------------------------------------------------------------------------

    def order(self, *lines: str) -> None:
        """Let the store die, or stand still, at these steps and at no others."""
        fresh = self._orders.with_suffix(".new")
        fresh.write_text("".join(f"{line}\n" for line in lines))
        fresh.rename(self._orders)

    def orders_left(self) -> list[str]:
        """Those that were not carried out."""
        return self._orders.read_text().splitlines()

    @contextlib.contextmanager
    def standing_still(self, is_over: Callable[[], bool]) -> Iterator[int | None]:
        """Wait until the store stands still by an order; inside of the block it has to be let go on, or killed.

        Args:
            is_over: The order will not be carried out any more.  Asked in another thread, for it may have to wait for
                the store.

        Yields:
            Process id of the store; ``None``: it did not stand still.
        """
        enough, over = threading.Event(), threading.Event()

        def ask() -> None:
            with contextlib.suppress(Exception):  # whoever asked will find out
                eventually(lambda: enough.is_set() or is_over())
            over.set()

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            store = self._wait_for_stop(over)
            enough.set()
            yield store
        finally:
            enough.set()
            thread.join()

    def _wait_for_stop(self, over: threading.Event) -> int | None:
        assert eventually(lambda: over.is_set() or not self._has_to_stop(), SECONDS)
        if self._has_to_stop():
            return None
        (pid,) = stores_of(self.folder)
        assert eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        return pid

    def _has_to_stop(self) -> bool:
        return any("SIGSTOP" in line for line in self.orders_left())

    # --- deaths ------------------------------------------------------------------------------------------------------

    def kill_store(self) -> None:
        """SIGKILL, and wait until the next one answers."""
        before = self.store.stats()
        kill_store(before.pid)
        assert self.store.stats().starts == before.starts + 1, (before, self.store.stats())

    def kill_keeper(self) -> None:
        """SIGKILL, and wait until another one has taken its place."""
        before = self.store.stats().keeper
        os.kill(before, signal.SIGKILL)
        self.wait_for_keeper(before)

    def wait_for_keeper(self, before: int) -> None:
        """Wait until the store has another keeper than this one, which died."""
        assert eventually(lambda: self.store.stats().keeper not in {0, before}), "no other keeper has said who it is"

    # --- what there is -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Put what stands in the background of a trial."""
        self.store.put(full(77), STANDING)
        self.view(STANDING)

    def view(self, name: str) -> None:
        """Read what a name means, until the end of the trial."""
        array = self.store.get(name)
        self._views.append((array, same(array)))

    def seen(self) -> tuple[int, int]:
        """Value and version of "x" as the index tells it; zeros for a miss.  The store is not asked."""
        leased = self.store._session.leases.take(b"x")
        if leased is None:
            return 0, 0
        array = reading.read(self.store._session.leases, leased, "r", copy=True)
        return same(array), leased.record.version

    def look(self) -> State:
        """What there is now."""
        found = {info.name: (same(self.store.get(info.name)), info.version) for info in self.store.list()}
        assert found.pop(STANDING) == (77, 1)
        return State(found, self.store.stats().objects - len(found) - 1)

    def check_views(self) -> None:
        """What the witness reads is what it was."""
        for array, value in self._views:
            assert same(array) == value, "the bytes of a view have changed"

    def heap(self) -> int:
        """Inode of the heap."""
        return os.fstat(self.store._session.heap._read_only).st_ino

    def check(self, *allowed: State, clients: int, reserved: int | None = None) -> None:
        """Hold what there is to what there may be.

        Args:
            allowed: Any of these.
            clients: How many are connected.
            reserved: Bytes; ``None``: any.
        """
        assert eventually(lambda: self.store.stats().clients == clients), (self.store.stats(), clients)
        # At once; what is freed later is the nameless.
        assert self.look().names in [state.names for state in allowed]
        assert eventually(lambda: self.look() in allowed), (self.look(), allowed)
        assert eventually(lambda: reserved in {None, self.store.stats().reserved}), (self.store.stats(), reserved)
        self.check_views()

    def end(self) -> None:
        """Let go of everything, and see that nothing is left."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        self._views.clear()
        self.store.clear()
        assert eventually(self._is_empty), (self.store.stats(), heap_bytes(self.store.stats().pid))

    def _is_empty(self) -> bool:
        stats = self.store.stats()
        left = (stats.used, stats.held, stats.reserved, stats.objects, stats.names, heap_bytes(stats.pid))
        return not any(left) and stats.clients == 1

    def leave(self, expected_error: str = "") -> None:
        """See that nothing comes back, and that the log tells of no error.

        Args:
            expected_error: A part of the lines that it may tell.
        """
        self.kill_store()
        assert self._is_empty(), self.store.stats()
        assert self.store.keys() == []
        self.close()
        errors = [line for line in self.log.read_text().splitlines() if ERROR.search(line)]
        assert [line for line in errors if not expected_error or expected_error not in line] == []

    def close(self) -> None:
        """End all connections."""
        for client in self.clients:
            client.close()
        self._views.clear()
        self.store.close()


class Rival:
    """What the witness does with "x" while the store stands still: its request waits in the queue.

    Args:
        store: The witness's connection.
        value: What to put; 0: delete instead.
    """

    def __init__(self, store: Store, value: int) -> None:
        session = store._session
        self._connection = session.connection
        self._tickets: list[int] = []
        self._request: tuple[object, ...] = (m.Delete, ("x", 0))
        if value:
            placed = place(pack(full(value)), session.label, StoredBytes(session).find)
            reserved = self._connection.request(m.Reserve, placed.nbytes)
            session.heap.write(reserved.offset, placed.buffers)
            facts = (reserved.id, "x", placed.nbytes, placed.payload, placed.created_ns, True)
            self._request = (m.Commit, facts)

    def post(self) -> None:
        """Send the request, and do not wait."""
        self._connection._post(*self._request, self._tickets)

    def version(self) -> int:
        """Wait for the answer: the version that was put, 0 for a delete."""
        return getattr(self._connection._await(self._tickets[-1], None), "version", 0)


class Bystander:
    """Another client, which asks something as soon as a call has returned.  So the witness need not ask.

    Args:
        world: Where.
        caller: Whose call it is.
    """

    def __init__(self, world: World, caller: Client) -> None:
        self.client = world.new_client()
        self._caller = caller
        self.has_asked = False

    def has_answer(self) -> bool:
        """Is the call over, and the event that answered it?"""
        if not self.has_asked and self._caller.has_answered():
            self.has_asked = True
            self.client.send("store.stats().clients")
        return self.client.has_answered()


def holders_of(heap: int) -> list[str]:
    """Processes that have a heap open or mapped."""
    return [process.name for process in Path("/proc").iterdir() if process.name.isdigit() and _holds(process, heap)]


def _holds(process: Path, heap: int) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        maps = [line.split(maxsplit=5) for line in (process / "maps").read_text().splitlines() if HEAP in line]
        return str(heap) in [words[4] for words in maps] or heap in map(_heap_at, (process / "fd").iterdir())
    return False


def _heap_at(link: Path) -> int:
    with contextlib.suppress(FileNotFoundError):  # the descriptor of this very listing
        return link.stat().st_ino if HEAP in str(link.readlink()) else 0
    return 0


# --- One trial --------------------------------------------------------------------------------------------------------


class Trial:
    """One row and one step; who dies is the column's.

    Args:
        world: The store and the witness.
        row: Of the table.
        step: ``event step`` of the order.
    """

    def __init__(self, world: World, row: Row, step: str) -> None:
        self.world = world
        self.row = row
        self.step = step
        self.waiter: Client | None = None
        world.begin()
        if row.is_awaited:
            self.waiter = world.new_client()
            self.waiter("waiting = waiting()")
        self.client = world.new_client()
        if row.prepare:
            self.client(row.prepare)
        for name in row.views:
            world.view(name)
        self._ordered: list[str] = []
        self._left: list[str] = []
        self._reserved = world.store.stats().reserved
        world.check(row.before, clients=1 + len(world.clients), reserved=self._reserved)

    def order(self, *lines: str) -> None:
        """Let it happen."""
        self._ordered = list(lines)
        self.world.order(*lines)

    def send(self) -> None:
        """Begin the call."""
        if self.row.call:
            self.client.send(self.row.call)
        else:
            self.client.kill()

    def answer(self) -> None:
        """Wait for the end of the call."""
        if self.row.call:
            assert self.client.answer() == self.row.result

    def is_refused(self) -> bool:
        """Wait for the end of the call: did it raise that the connection is gone?"""
        try:
            self.answer()
        except PeerError as error:
            if error.kind == "StoreConnectionError":
                return True
            raise
        return False

    def call(self) -> None:
        """The call, to its end."""
        self.send()
        self.answer()

    def interrupt(
        self, strike: Callable[[int], None], is_over: Callable[[], bool] | None = None, more: str = ""
    ) -> bool:
        """Begin the call, and strike at the step.

        Args:
            strike: Gets the process id of the store, which stands still, and lets it go on or kills it.
            is_over: Has the call returned, and did all happen that it is the cause of?
            more: Another order, if there is one.

        Returns:
            Was there such a step?
        """
        self.order(f"{self.step} SIGSTOP", *[more] * bool(more))
        self.send()
        with self.world.standing_still(is_over or self._has_returned) as store:
            if store is not None:
                strike(store)
        return store is not None

    def _has_returned(self) -> bool:
        return self.client.has_answered() and self.world.look() == self.row.after

    def holds(self) -> None:
        """What must hold after a call that has returned."""
        lives = bool(self.row.call)
        clients = 1 + lives * self.row.connections + (self.waiter is not None)
        self.world.check(self.row.after, clients=clients, reserved=lives * self._reserved)

    def holds_without_client(self, *states: State) -> None:
        """What must hold when the client has died in its call: one of these states."""
        allowed = [State(state.names, max(0, state.nameless - self.row.own)) for state in states]
        self.world.check(*allowed, clients=1 + (self.waiter is not None), reserved=0)

    def delete_names(self) -> None:
        """The witness deletes what the call has published."""
        for name in self.row.after.names:
            self.world.store.delete(name)

    def has_no_names(self) -> None:
        """What must hold then."""
        world = self.world
        assert world.look().names == {}
        reserved = self._reserved if self.row.call else 0
        assert eventually(lambda: world.store.stats().reserved == reserved), (world.store.stats(), reserved)
        world.check_views()

    def withdraw(self) -> list[str]:
        """Let nobody die any more.

        Returns:
            The orders that were not carried out.
        """
        self._left += self.world.orders_left()
        self.world.order()
        return self._left

    def end(self) -> bool:
        """Let go of everything.

        Returns:
            Was the order, or the first one of them, carried out?
        """
        self.withdraw()
        if self.waiter is not None:
            if not self.world.look().names:
                assert self.world.store.put(full(2), "x").version == 1
            assert self.waiter("waiting.result()") == 2
        self.world.end()
        first = self._ordered[0]
        return self._left.count(first) < self._ordered.count(first)
