"""Machinery of the crash table: a client that can be killed, a store that dies at a numbered step, and a witness.

``Client``s are forked from a process that has imported everything already: one costs milliseconds.  The witness is the
test's own process; it never dies.  What must hold stands in the table itself.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from peers import ROOT, SECONDS, PeerError, heap_bytes, is_nothing_reserved, kill_store, spill_bytes
from store_processes import stores_of

import jupyter_shm as shm
from jupyter_shm.client import nursery
from jupyter_shm.client.capacity import set_capacity
from jupyter_shm.client.pending import forward, fulfil, pend
from jupyter_shm.client.store import Store
from jupyter_shm.protocol import messages as m
from jupyter_shm.tables.layout import ROW_TAIL, row_word
from jupyter_shm.testing.private import eventually

ORDERS = "JUPYTER_SHM_TEST_CRASH"

STANDING = "standing"
"""Name of an object that the witness puts before each trial, reads through it, and deletes afterwards."""

SLOTS = 4
"""Slots of a client's first nursery: each is a step of its granting."""


def full(value: int) -> np.ndarray:
    """Bytes that show where they belong: an array full of one value, some pages long."""
    return np.full(3000, value)


def large(value: int) -> np.ndarray:
    """As ``full``, and too large for a nursery."""
    return np.full(300_000, value)


def little(value: int) -> np.ndarray:
    """As ``full``, and put in the shortest way there is."""
    return np.full(30, value)


def same(array: np.ndarray) -> int:
    """The value that an array is full of."""
    assert (array == array[0]).all(), f"garbage: {np.unique(array)[:5]} ... in {array.shape}"
    return int(array[0])


# --- Clients that may die ---------------------------------------------------------------------------------------------


class Client:
    """A process with a connection named ``store``.

    Args:
        forker: To the process that forks it.
        environment: Added to what that process has.
    """

    def __init__(self, forker: socket.socket, environment: dict[str, str]) -> None:
        self.is_alive = True
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(forker, [pickle.dumps(environment)], [theirs.fileno()])
        self.pid: int = self.answer()

    def __call__(self, code: str) -> Any:
        """Run code; the value of it, if it is an expression."""
        self.send(code)
        return self.answer()

    def send(self, code: str) -> None:
        """Let code run, without waiting for it."""
        self._control.send(code.encode())

    def has_answered(self) -> bool:
        return bool(select.select([self._control], [], [], 0)[0])

    def answer(self, warned: tuple[str, ...] = ()) -> Any:
        """What the code gave that was sent.

        Args:
            warned: Names of the warnings that it has to raise.
        """
        assert select.select([self._control], [], [], SECONDS)[0], f"pid {self.pid} has not answered for {SECONDS:g} s"
        data = self._control.recv(1 << 20)
        if not data:
            raise PeerError("Died", "")
        is_value, value, found = pickle.loads(data)
        assert found == list(warned), f"warnings of pid {self.pid}"
        if is_value:
            return value
        raise PeerError(*value)

    def kill(self) -> None:
        """SIGKILL, and wait: nothing of it runs on."""
        self.is_alive = False
        os.kill(self.pid, signal.SIGKILL)
        self._wait()

    def close(self) -> None:
        """Let it end by itself, if it lives."""
        self._control.close()
        self._wait()

    def _wait(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(self.pid)
            try:
                assert select.select([handle], [], [], SECONDS)[0], f"pid {self.pid} does not end"
            finally:
                os.close(handle)


@contextlib.contextmanager
def forker() -> Iterator[socket.socket]:
    """The process that clients are forked from."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    argv = [sys.executable, "-W", "ignore::DeprecationWarning", __file__, str(theirs.fileno())]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    with ours, subprocess.Popen(argv, pass_fds=[theirs.fileno()], env=environment) as process:
        theirs.close()
        assert ours.recv(1) == b"."  # it runs
        try:
            yield ours
        finally:
            ours.close()
        assert process.wait(SECONDS) == 0


def _serve(control: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    nursery.FIRST_SLOTS = SLOTS
    control.send(b".")
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not data:
            return
        if os.fork() == 0:
            try:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                control.close()
                os.environ.update(pickle.loads(data))
                _play(socket.socket(fileno=descriptors[0]))
            finally:
                os._exit(0)
        os.close(descriptors[0])


def _play(control: socket.socket) -> None:
    names: dict[str, Any] = {"os": os, "shm": shm, "m": m, "same": same}
    names |= {"full": full, "large": large, "little": little, "have_ring_read": lambda: have_ring_read(names["store"])}
    names["gone"] = lambda name: gone(names["store"], name)
    names["set_capacity"], names["shrink"] = set_capacity, lambda nbytes: shrink(names["store"], nbytes)
    names |= {"held": lambda: held(names["store"]), "wait_and_put": lambda: wait_and_put(names["store"])}
    names["waiting"] = lambda: Waiting(names["store"])
    names["promised"] = lambda: pend(names["store"].session)
    names["make"] = lambda ref, value: fulfil(names["store"].session, ref, value)
    names["stand"] = lambda ref, other: forward(names["store"].session, ref, other)
    control.send(pickle.dumps((True, os.getpid(), [])))
    while code := control.recv(1 << 16).decode():
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            try:
                answer = (True, _run(code, names))
            except BaseException as error:  # all of it is the test's to judge
                answer = (False, (type(error).__name__, f"{error}\n{traceback.format_exc()}"))
        control.send(pickle.dumps((*answer, [warning.category.__name__ for warning in found])))


def _run(code: str, names: dict[str, Any]) -> Any:
    try:
        expression = compile(code, "<told>", "eval")
    except SyntaxError:
        exec(compile(code, "<told>", "exec"), names)
        return None
    return eval(expression, names)


# What clients are told to do that takes more than a line.


class Waiting:
    """A get of "x" in a thread of its own.  It has left the queue of the store, or is over, when this returns."""

    def __init__(self, store: Store) -> None:
        self._got: list[Any] = []
        self._thread = threading.Thread(target=self._get, args=(store,), daemon=True)
        self._thread.start()
        while not self._got and not store._session.connection._answers:
            pass
        store.stats()  # is answered behind the wait

    def _get(self, store: Store) -> None:
        try:
            self._got.append(same(store.get("x", timeout=None)))
        except BaseException as error:
            self._got.append(repr(error))

    def result(self) -> Any:
        self._thread.join(SECONDS)
        return self._got[0]


def wait_and_put(store: Store) -> list[Any]:
    """One thread waits for what another one puts."""
    waiting = Waiting(store)
    version = store.put(full(2), "x").version
    return [waiting.result(), version]


def have_ring_read(store: Store) -> None:
    """Have the store read the ring: for some milliseconds it looks by itself, and what is put rings no bell."""
    store.put(full(8))
    words, tail = store._session.words, row_word(store._session.welcome.row) + ROW_TAIL
    assert eventually(lambda: words[tail] >= store._session.leases.table.ring_head - 1)  # the end of it may come later


def shrink(store: Store, nbytes: int) -> bool:
    """Lower the capacity until somebody has left for it, and raise it again."""
    before = store.stats()
    set_capacity(store, nbytes)
    has_left = eventually(lambda: store.stats().spilled_objects > before.spilled_objects)
    set_capacity(store, before.capacity)
    return has_left


def held(store: Store) -> None:
    """Wait until the store has seen that an object without a name is still read."""
    assert eventually(lambda: store.stats().held)


def gone(store: Store, name: str) -> bool:
    """Wait until a name has ended."""
    return eventually(lambda: name not in store)


# --- The witness ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """What there is, besides ``STANDING``.

    Attributes:
        names: Value and version of each name.
        nameless: Objects without a name: anonymous ones, and those that are still read or contained.
        terms: What was agreed about names, if anything was.
    """

    names: dict[str, tuple[int, int]] = field(default_factory=dict)
    nameless: int = 0
    terms: dict[str, str] = field(default_factory=dict)


def _terms(info: shm.ObjectInfo) -> str:
    """Without the time that is left."""
    said = {"pinned": info.pinned, "expires": info.expires is not None, "kernel": info.lifetime == "kernel"}
    return " ".join(word for word, is_said in said.items() if is_said)


class World:
    """A store with crash points, and a witness who never dies.

    Args:
        folder: The runtime folder.
        forker: Where clients come from.
        capacity: Of the store.
    """

    def __init__(self, folder: Path, forker: socket.socket, capacity: str = "256MiB") -> None:
        self.folder = folder
        self._forker = forker
        self._orders = folder / "orders"
        self.order()
        os.environ[ORDERS] = str(self._orders)
        os.environ["JUPYTER_SHM_KEEP"] = "0"  # clients tell us of their references, in pickles
        self.store = Store(capacity=capacity)
        self.log = self.store._session.paths.log
        self._views: list[tuple[np.ndarray, int]] = []
        self.clients: list[Client] = []
        self.restart_step = 0

    def new_client(self) -> Client:
        """One more, connected."""
        client = Client(self._forker, {"JUPYTER_SHM_RUNTIME_DIR": str(self.folder), ORDERS: str(self._orders)})
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
        """Wait until the store stands still by an order; whoever asks for it lets it go on or kills it.

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
            yield self._wait_for_stop(over)
        finally:
            enough.set()
            thread.join()

    def _wait_for_stop(self, over: threading.Event) -> int | None:
        assert eventually(lambda: over.is_set() or not self.orders_left(), SECONDS)
        if self.orders_left():
            return None
        # A child that it has just forked bears its name for a moment.
        assert eventually(lambda: len(stores_of(self.folder)) == 1)
        (pid,) = stores_of(self.folder)
        assert eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        return pid

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

    def look(self) -> State:
        """What there is now, and whole."""
        infos = self.store.list()
        found = {info.name: (same(self.store.get(info.name)), info.version) for info in infos}
        assert found.pop(STANDING) == (77, 1)
        terms = {info.name: _terms(info) for info in infos if info.terms}
        return State(found, self.store.stats().objects - len(found) - 1, terms)

    def check(self, *allowed: State, clients: int) -> State:
        """Hold what there is to what there may be.

        Args:
            allowed: Any of these.
            clients: How many are connected.

        Returns:
            Which of them it is.
        """
        assert eventually(lambda: self.store.stats().clients == clients), (self.store.stats(), clients)
        # At once; what is freed later is the nameless.
        assert self.look().names in [state.names for state in allowed]
        assert eventually(lambda: self.look() in allowed), (self.look(), allowed)
        for array, value in self._views:
            assert same(array) == value, "the bytes of a view have changed"
        return self.look()

    def fetch(self, refs: list[Any]) -> list[int]:
        """Values of objects without a name that a client has put."""
        return [same(self.store.get(ref)) for ref in refs]

    def check_reserved(self, nbytes: int) -> None:
        """Hold what is reserved, when all have given their nurseries back, to what the clients want to fill."""
        living = [client for client in self.clients if client.is_alive]
        assert is_nothing_reserved(self.store, *living, but=nbytes), (self.store.stats(), nbytes)

    def end(self) -> None:
        """Let go of everything, and see that nothing is left."""
        for client in self.clients:
            client.close()
        self.clients.clear()
        self._views.clear()
        self.store.clear()
        assert is_nothing_reserved(self.store), self.store.stats()
        assert eventually(self._is_empty), (self.store.stats(), heap_bytes(self.store.stats().pid))

    def _is_empty(self) -> bool:
        stats = self.store.stats()
        left = (stats.used, stats.held, stats.reserved, stats.objects, stats.names)
        is_back = heap_bytes(stats.pid) <= stats.reserve and spill_bytes(stats.pid) == 0
        return not any(left) and stats.clients == 1 and is_back

    def leave(self) -> None:
        """See that nothing comes back, and that the log tells of no error."""
        self.kill_store()
        assert eventually(self._is_empty), self.store.stats()
        assert self.store.keys() == []
        self.close()
        assert [line for line in self.log.read_text().splitlines() if "Traceback" in line or " ERROR " in line] == []

    def close(self) -> None:
        """End all connections."""
        for client in self.clients:
            client.close()
        self._views.clear()
        self.store.close()


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
