"""Who works while the store is killed: everything that can be done, at random, and a ledger of what the store owes.

Every value says who put it and counts up, and an array is full of it: a byte of another object shows, and so does a
version that comes back.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jupyter_shm.client.refs import ObjectRef
from jupyter_shm.client.store import Store
from jupyter_shm.errors import ObjectExistsError, ObjectNotFoundError, StoreFullError

SIZES = (100, 2000, 9000, 60_000)  # numbers in an array
HELD = 30  # views
THREADS = 2  # workers in one process, which share a connection


class Owed(NamedTuple):
    """What a put that returned has promised."""

    ref: ObjectRef
    value: int
    size: int


class Report(NamedTuple):
    """What a worker has seen, for the test to compare."""

    calls: int
    longest: tuple[float, str]  # seconds, and the call that took them
    put: set[tuple[str, int]]  # shared name and value
    seen: set[tuple[str, int]]
    full: int  # puts that were refused for lack of room
    sent: int
    received: int


class Workers:
    """All workers of one process.

    Args:
        first: Number of the first one.
        total: How many there are in all processes.
        may_be_full: The store is too small for all that is put.
    """

    def __init__(self, first: int, total: int, may_be_full: bool) -> None:
        store = Store()
        self._workers = [Worker(store, first + n, total, may_be_full) for n in range(THREADS)]

    def work(self, seconds: float) -> None:
        """Work, and compare the ledgers with the store's lists in the end."""
        failed: list[str] = []
        over = time.monotonic() + seconds
        jobs = [job for worker in self._workers for job in (worker.work, worker.receive_mail)]
        threads = [threading.Thread(target=_noting, args=(failed, job, over)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for worker in self._workers:
            _noting(failed, worker.compare_all)
        assert not failed, "\n".join(failed)

    def leave(self) -> list[tuple[Any, ...]]:
        """Let go of everything, the nursery included; a ``Report`` of each, as tuples."""
        reports = [tuple(worker.leave()) for worker in self._workers]
        self._workers[0].store._session.cutter.let_go()
        return reports


class Worker:
    """One of them.

    Args:
        store: Connected.
        number: Names that carry it are put and deleted by nobody else.
        total: Numbers go up to this.
        may_be_full: As for ``Workers``.
    """

    def __init__(self, store: Store, number: int, total: int, may_be_full: bool) -> None:
        self.store = store
        self.number = number
        self.total = total
        self.full_errors = (StoreFullError,) if may_be_full else ()
        self.random = random.Random(number)
        self.own = [f"own-{number}-{n}" for n in range(6)]
        self.owed: dict[str, Owed] = {}
        self.anonymous: list[Owed] = []
        self.held: list[tuple[np.ndarray, int, int]] = []
        self.latest: dict[tuple[str, int], int] = {}  # what each writer has put last, as far as we know
        self.count = self.calls = self.full = self.sent = self.received = 0
        self.longest = (0.0, "")
        self.put: set[tuple[str, int]] = set()
        self.seen: set[tuple[str, int]] = set()

    def work(self, over: float) -> None:
        """Until that time of the monotonic clock."""
        steps = {
            self._put: 20,
            self._put_if_free: 8,
            self._put_dict: 6,
            self._put_slice: 8,
            self._put_anonymous: 10,
            self._delete_some: 10,
            self._read: 12,
            self._share: 12,
            self._read_shared: 15,
            self._wait: 4,
            self._ask: 8,
            self._send_mail: 10,
            self._fork: 2,
        }
        while time.monotonic() < over:
            (step,) = self.random.choices(list(steps), list(steps.values()))
            step()
            self._compare()

    def leave(self) -> Report:
        """Look at everything once more, and let go of it."""
        self.compare_all()
        for name in list(self.owed):
            self._delete(name)
        self.held.clear()
        self.anonymous.clear()
        return Report(self.calls, self.longest, self.put, self.seen, self.full, self.sent, self.received)

    def _call(self, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **settings)
        finally:
            seconds = time.perf_counter() - start - settings.get("timeout", 0)  # which it had to wait
            self.calls += 1
            self.longest = max(self.longest, (seconds, f"{function.__name__}{arguments[-1:]!r:.60}"))

    # --- what is ours alone ------------------------------------------------------------------------------------------

    def _new(self) -> tuple[int, int]:
        self.count += 1
        return self.number << 32 | self.count, self.random.choice(SIZES)

    def _any(self) -> str:
        return self.random.choice(self.own)

    def _owe(self, name: str, obj: Any, value: int, size: int, overwrite: bool = True) -> None:
        """Put, and hold the answer to what we know: nothing may have happened twice, or not at all."""
        before = self.owed[name].ref.version if name in self.owed else 0
        with self._room():
            ref = self._call(self.store.put, obj, name, overwrite=overwrite)
            assert (ref.version, ref.replaced_version) == (before + 1, before), f"{ref} after version {before}"
            self.owed[name] = Owed(ref, value, size)

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except self.full_errors:
            self.full += 1

    def _put(self) -> None:
        value, size = self._new()
        self._owe(self._any(), np.full(size, value), value, size)

    def _put_dict(self) -> None:
        value, size = self._new()
        self._owe(self._any(), {"a": np.full(size, value), "b": value}, value, size)

    def _put_if_free(self) -> None:
        name, (value, size) = self._any(), self._new()
        if name not in self.owed:
            self._owe(name, np.full(size, value), value, size, overwrite=False)
        else:
            with self._room(), _raises(ObjectExistsError):
                self._call(self.store.put, np.full(size, value), name, overwrite=False)

    def _put_slice(self) -> None:
        """The bytes are stored already: the new object contains the old one."""
        if self.owed:
            old = self.owed[self.random.choice(list(self.owed))]
            start = old.size // 10
            view = _array(self._call(self.store.get, old.ref))[start:]
            self._owe(self._any(), view, old.value, old.size - start)

    def _put_anonymous(self) -> None:
        value, size = self._new()
        with self._room():
            self.anonymous.append(Owed(self._call(self.store.put, np.full(size, value)), value, size))
        if len(self.anonymous) > 10:
            del self.anonymous[self.random.randrange(10)]

    def _delete_some(self) -> None:
        name = self._any()
        if name in self.owed:
            self._delete(name)
        else:
            with _raises(ObjectNotFoundError):
                self._call(self.store.delete, name)

    def _delete(self, name: str) -> None:
        self._call(self.store.delete, name)
        del self.owed[name]

    def _read(self) -> None:
        """Fetch, and hold the view for long."""
        if self.owed:
            owed = self.owed[self.random.choice(list(self.owed))]
            self._hold(_array(self._call(self.store.get, owed.ref)), owed.value, owed.size)

    def _hold(self, view: np.ndarray, value: int, size: int) -> None:
        self.held.append((view, value, size))
        if len(self.held) > HELD:
            verify(*self.held.pop(self.random.randrange(HELD)))

    # --- is it all there? --------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        """After every step: all that we are owed is there, what we deleted is not, and no held byte has changed."""
        for name, owed in self.owed.items():
            verify(self._call(self.store.get, name), owed.value, owed.size)
            verify(self._call(self.store.get, owed.ref), owed.value, owed.size)
        if self.anonymous:
            owed = self.random.choice(self.anonymous)
            verify(self._call(self.store.get, owed.ref), owed.value, owed.size)
        if self.held:
            verify(*self.random.choice(self.held))
        name = self._any()
        if name in self.owed:
            assert self._call(self.store.info, name).version == self.owed[name].ref.version, name
        else:
            assert not self._call(self.store.__contains__, name), f"{name} has come back"

    def compare_all(self) -> None:
        """The whole ledger, and everything that we hold."""
        for owed in self.anonymous:
            verify(self._call(self.store.get, owed.ref), owed.value, owed.size)
        for held in self.held:
            verify(*held)
        self._compare()
        self._ask()

    def _ask(self) -> None:
        listed = self._call(self.store.list, f"own-{self.number}-*")
        found = {info.name: (info.version, info.state, info.nbytes) for info in listed}
        assert found.keys() == self.owed.keys()
        for name, owed in self.owed.items():
            assert found[name][0] == owed.ref.version, f"{name} is {found[name]}, not {owed.ref}"
            assert found[name][1] in {"live", "spilled"}, found[name]
            assert found[name][2] >= 8 * owed.size
        assert self.owed.keys() <= set(self._call(self.store.keys))
        stats = self._call(self.store.stats)
        assert stats.used >= stats.held >= 0, stats
        assert stats.names >= len(self.owed), stats

    # --- what all write ----------------------------------------------------------------------------------------------

    def _share(self) -> None:
        name, (value, size) = f"shared-{self.random.randrange(4)}", self._new()
        if self.random.random() < 0.2:
            with contextlib.suppress(ObjectNotFoundError):
                self._call(self.store.delete, name)
            return
        self.put.add((name, value))
        with self._room():
            self._call(self.store.put, np.full(size, value), name)
            self.latest[name, self.number] = value

    def _read_shared(self) -> None:
        name = f"shared-{self.random.randrange(4)}"
        view = self._call(self.store.get, name, default=None)
        if view is not None:
            value = int(view[0])
            verify(view, value, view.size)
            self.seen.add((name, value))
            # What one writer has put under one name comes in its order, or an old version has come back.
            writer = (name, value >> 32)
            assert value >= self.latest.get(writer, 0), f"{name} is {value} again, after {self.latest[writer]}"
            self.latest[writer] = value
            self._hold(view, value, view.size)

    # --- waits -------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        never = f"never-{self.number}"
        keys = [*self.owed, never]
        found = self._call(self.store.wait, keys, num_returns=len(keys), timeout=self.random.choice((0, 0.02, 0.3)))
        assert found == (list(self.owed), [never])
        assert self._call(self.store.get, never, timeout=0.01, default="nothing") == "nothing"

    def _send_mail(self) -> None:
        """The next worker waits for it, and takes every letter once."""
        with contextlib.suppress(ObjectExistsError), self._room():
            self._call(self.store.put, self.sent + 1, f"mail-{self.number}", overwrite=False)
            self.sent += 1

    def receive_mail(self, over: float) -> None:
        """Until that time of the monotonic clock."""
        name = f"mail-{(self.number + 1) % self.total}"
        while time.monotonic() < over:
            if self.store.wait([name], timeout=0.5)[0]:
                letter = self.store.pop(name)
                assert letter == self.received + 1, f"{name}: letter {letter} after {self.received}"
                self.received = letter

    # --- forks -------------------------------------------------------------------------------------------------------

    def _fork(self) -> None:
        pid = self._call(os.fork)
        if pid == 0:
            status = 1
            try:
                self._live_as_child()
                status = 0
            except BaseException:
                os.write(2, traceback.format_exc().encode())
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0, "a child has failed"

    def _live_as_child(self) -> None:
        name = f"child-{os.getpid()}"
        for _ in range(3):
            for held in self.held:
                verify(*held)
            for owed in self.owed.values():
                verify(self.store.get(owed.ref), owed.value, owed.size)
            value, size = self._new()
            with self._room():
                assert self.store.put(np.full(size, value), name).version == 1
                verify(self.store.get(name), value, size)
                self.store.delete(name)
            del self.held[-1:]


def verify(obj: Any, value: int, size: int) -> None:
    """Is every byte what was put?"""
    view = _array(obj)
    assert view.size == size, f"{view.size} numbers instead of {size} times {value}"
    assert (view == value).all(), (
        f"{(view != value).sum()} of {size} numbers are not {value}: {view[view != value][:5]}"
    )
    if isinstance(obj, dict):
        assert obj["b"] == value, f"{obj['b']} beside an array of {value}"


def _array(obj: Any) -> np.ndarray:
    return obj["a"] if isinstance(obj, dict) else obj


@contextlib.contextmanager
def _raises(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(f"no {kind.__name__} was raised")


def _noting(failed: list[str], job: Callable[..., None], *arguments: float) -> None:
    try:
        job(*arguments)
    except BaseException:
        failed.append(f"pid {os.getpid()}: {traceback.format_exc()}")
