"""The store process is killed again and again while everybody works: nobody notices, and nothing is lost.

``Client`` runs in processes of its own.  It keeps a ledger of what the store owes it, and checks it after every call.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from peers import heap_bytes

from jupyter_shm.client.refs import ObjectRef
from jupyter_shm.client.store import Store
from jupyter_shm.errors import ObjectExistsError, ObjectNotFoundError
from jupyter_shm.linux.process import descriptor_count
from jupyter_shm.testing.private import eventually

SECONDS = 60.0
"""How long the long storm takes."""
ROUND = 10.0
"""Seconds after which the clients stop for a moment and compare all of their ledgers with the store's list."""
EVERY = 0.2
"""Seconds between two kills."""

CLIENTS = 3
SIZES = (100, 2000, 9000, 60_000)
START = f"""
import sys, warnings
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parents[1])!r}]
from test_kill_storm import Client
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # as in pyproject.toml
client = Client({{number}})
"""


# --- One client -------------------------------------------------------------------------------------------------------


class Owed(NamedTuple):
    """What a put that returned has promised."""

    ref: ObjectRef
    value: int
    size: int


class Report(NamedTuple):
    """What a client has seen, for the test to compare."""

    calls: int
    longest: tuple[float, str]  # seconds, and the call that took them
    put: set[tuple[str, int]]  # shared name and value
    seen: set[tuple[str, int]]
    sent: int
    received: int


class Client:
    """Works, and holds the store to its word.

    Every value says who put it and counts up, and an array is full of it: a byte of another object shows, and so does
    a version that comes back.

    Args:
        number: From 0.  Names that carry it are put and deleted by nobody else.
    """

    def __init__(self, number: int) -> None:
        self.store = Store()
        self.number = number
        self.random = random.Random(number)
        self.own = [f"own-{number}-{n}" for n in range(8)]
        self.owed: dict[str, Owed] = {}
        self.anonymous: list[Owed] = []
        self.held: list[tuple[np.ndarray, int, int]] = []
        self.latest: dict[tuple[str, int], int] = {}  # of each writer, by shared name
        self.count = self.calls = self.sent = self.received = 0
        self.longest = (0.0, "")
        self.put: set[tuple[str, int]] = set()
        self.seen: set[tuple[str, int]] = set()

    def work(self, seconds: float) -> None:
        """Do everything that can be done, at random."""
        failed: list[str] = []
        over = time.monotonic() + seconds
        thread = threading.Thread(target=self._told, args=(self._receive_mail, over, failed))
        thread.start()
        self._told(self._work, over, failed)
        thread.join()
        self._told(self._compare_all, over, failed)
        assert not failed, "\n".join(failed)

    def leave(self) -> Report:
        """Look at everything once more, and let go of it."""
        self._compare_all(0)
        for name in list(self.owed):
            self._delete(name)
        self.held.clear()
        self.anonymous.clear()
        return Report(self.calls, self.longest, self.put, self.seen, self.sent, self.received)

    def _told(self, function: Callable[[float], None], over: float, failed: list[str]) -> None:
        try:
            function(over)
        except BaseException:
            failed.append(f"client {self.number}, pid {os.getpid()}: {traceback.format_exc()}")

    def _work(self, over: float) -> None:
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
            self._fork: 1,
        }
        while time.monotonic() < over:
            (step,) = self.random.choices(list(steps), list(steps.values()))
            step()
            self._compare()

    def _call(self, function: Callable[..., Any], *arguments: Any, **settings: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **settings)
        finally:
            self.calls += 1
            seconds = time.perf_counter() - start - settings.get("timeout", 0)  # which it had to wait
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
        ref = self._call(self.store.put, obj, name, overwrite=overwrite)
        assert (ref.version, ref.replaced_version) == (before + 1, before), (name, ref, ref.replaced_version, before)
        self.owed[name] = Owed(ref, value, size)

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
            return
        with pytest.raises(ObjectExistsError):
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
        self.anonymous.append(Owed(self._call(self.store.put, np.full(size, value)), value, size))
        if len(self.anonymous) > 15:
            del self.anonymous[self.random.randrange(15)]

    def _delete_some(self) -> None:
        name = self._any()
        if name in self.owed:
            self._delete(name)
        else:
            with pytest.raises(ObjectNotFoundError):
                self._call(self.store.delete, name)

    def _delete(self, name: str) -> None:
        self._call(self.store.delete, name)
        del self.owed[name]

    def _read(self) -> None:
        """Views are held for long."""
        if self.owed:
            owed = self.owed[self.random.choice(list(self.owed))]
            self.held.append((_array(self._call(self.store.get, owed.ref)), owed.value, owed.size))
        if len(self.held) > 60:
            _verify(*self.held.pop(self.random.randrange(60)))

    def _compare(self) -> None:
        """After every call: all that we are owed is there, what we deleted is not, and no held byte has changed."""
        for name, owed in self.owed.items():
            _verify(self._call(self.store.get, name), owed.value, owed.size)
            _verify(self._call(self.store.get, owed.ref), owed.value, owed.size)
        for some in (self.anonymous, self.held):
            if some:
                thing, value, size = self.random.choice(some)
                _verify(self._call(self.store.get, thing) if some is self.anonymous else thing, value, size)
        name = self._any()
        if name in self.owed:
            assert self._call(self.store.info, name).version == self.owed[name].ref.version, name
        else:
            assert not self._call(self.store.__contains__, name), f"{name} has come back"

    def _compare_all(self, _over: float) -> None:
        for owed in self.anonymous:
            _verify(self._call(self.store.get, owed.ref), owed.value, owed.size)
        for held in self.held:
            _verify(*held)
        self._ask()

    def _ask(self) -> None:
        listed = self._call(self.store.list, f"own-{self.number}-*")
        found = {info.name: (info.version, info.state, info.owner) for info in listed}
        expected = {name: (owed.ref.version, "live", self.store._session.label) for name, owed in self.owed.items()}
        assert found == expected, (found, expected)
        assert set(self.owed) <= set(self._call(self.store.keys))
        stats = self._call(self.store.stats)
        assert stats.clients >= CLIENTS, stats
        assert stats.used > 0 or not self.owed, stats

    # --- what all write ----------------------------------------------------------------------------------------------

    def _share(self) -> None:
        name, (value, size) = f"shared-{self.random.randrange(4)}", self._new()
        if self.random.random() < 0.2:
            with contextlib.suppress(ObjectNotFoundError):
                self._call(self.store.delete, name)
            return
        self.put.add((name, value))
        self._call(self.store.put, np.full(size, value), name)
        self.latest[name, self.number] = value

    def _read_shared(self) -> None:
        name = f"shared-{self.random.randrange(4)}"
        view = self._call(self.store.get, name, default=None)
        if view is not None:
            value = int(view[0])
            _verify(view, value, view.size)
            self.seen.add((name, value))
            # What one writer has put under one name comes in its order, or an old version has come back.
            writer = (name, value >> 32)
            assert value >= self.latest.get(writer, 0), f"{name} is {value} again, after {self.latest[writer]}"
            self.latest[writer] = value
            self.held.append((view, value, view.size))

    # --- waits -------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        never = f"never-{self.number}"
        keys = [*self.owed, never]
        found = self._call(self.store.wait, keys, num_returns=len(keys), timeout=self.random.choice((0, 0.02, 0.3)))
        assert found == (list(self.owed), [never])
        assert self._call(self.store.get, never, timeout=0.01, default="nothing") == "nothing"

    def _send_mail(self) -> None:
        """The next client waits for it, and takes every letter once."""
        with contextlib.suppress(ObjectExistsError):
            self._call(self.store.put, self.sent + 1, f"mail-{self.number}", overwrite=False)
            self.sent += 1

    def _receive_mail(self, over: float) -> None:
        name = f"mail-{(self.number + 1) % CLIENTS}"
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
        for _ in range(3):
            for held in self.held:
                _verify(*held)
            for owed in self.owed.values():
                _verify(self.store.get(owed.ref), owed.value, owed.size)
            value, size = self._new()
            name = f"child-{os.getpid()}"
            assert self.store.put(np.full(size, value), name).version == 1
            _verify(self.store.get(name), value, size)
            self.store.delete(name)
            self.held.pop() if self.held else None


def _array(obj: Any) -> np.ndarray:
    return obj["a"] if isinstance(obj, dict) else obj


def _verify(obj: Any, value: int, size: int) -> None:
    """Every byte is what was put."""
    view = _array(obj)
    assert view.size == size, f"{view.size} numbers instead of {size} times {value}"
    assert (view == value).all(), (
        f"{int((view != value).sum())} of {size} numbers are not {value}: {view[view != value][:5]}"
    )
    if isinstance(obj, dict):
        assert obj["b"] == value


# --- The storm --------------------------------------------------------------------------------------------------------


class Storm:
    """A store, three clients that work, and somebody who kills.

    Args:
        store: Connected.
        new_peer: Starts a process.
    """

    def __init__(self, store: Store, new_peer: Callable[..., Any]) -> None:
        self.store = store
        self.peers = [new_peer(START.format(number=number)) for number in range(CLIENTS)]
        self.kills = 0
        self.before = self.descriptors()

    def descriptors(self) -> tuple[int, int]:
        stats = self.store.stats()
        return descriptor_count(stats.keeper), descriptor_count(stats.pid)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.kills += 1

    def work(self, seconds: float, meanwhile: Callable[[], object]) -> None:
        """Let the clients work; ``meanwhile`` may take as long as they."""
        for peer in self.peers:
            peer.send(f"client.work({seconds})")
        meanwhile()
        for peer in self.peers:
            peer.answer()

    def kill_every(self, seconds: float) -> None:
        due = time.monotonic()
        over = due + seconds
        while (due := due + EVERY) < over:
            time.sleep(max(0.0, due - time.monotonic()))
            self.kill(self.store.stats().pid)

    def kill_in_a_row(self, times: int) -> None:
        """Each one as soon as its pid can be found."""
        pid = 0
        for _ in range(times):
            assert eventually(lambda last=pid: self.store._session.pid != last)
            pid = self.store._session.pid
            self.kill(pid)

    def end(self) -> None:
        """Whatever has happened: all was seen, and nothing is left over."""
        reports = [Report(*peer("tuple(client.leave())")) for peer in self.peers]
        self.show(reports)
        put = set().union(*(report.put for report in reports))
        seen = set().union(*(report.seen for report in reports))
        assert seen <= put
        assert len(seen) > 10
        for number, report in enumerate(reports):
            letters = reports[(number + 1) % CLIENTS].sent - report.received
            assert letters in (0, 1)
        self.store.clear()
        self.is_clean()

    def show(self, reports: list[Report]) -> None:
        calls = sum(report.calls for report in reports)
        letters = sum(report.received for report in reports)
        seconds, what = max(report.longest for report in reports)
        print(
            f"{self.kills} kills, {calls} calls, {letters} letters; the longest call took {1000 * seconds:.0f} ms: {what}"
        )

    def is_clean(self) -> None:
        store = self.store
        eventually(lambda: store.stats().used == 0)
        stats = store.stats()
        assert (stats.used, stats.held, stats.reserved, stats.objects, stats.names) == (0, 0, 0, 0, 0), store.list(
            anonymous=True
        )
        assert stats.clients == 1 + CLIENTS
        assert stats.starts == self.kills + 1
        assert eventually(lambda: heap_bytes(stats.pid) == 0), heap_bytes(stats.pid)
        assert eventually(lambda: self.descriptors() == self.before), (self.descriptors(), self.before)
        log = store._session.paths.log.read_text()
        for word in ("Traceback", " ERROR ", " CRITICAL "):
            assert word not in log, log


@pytest.fixture
def storm(store, new_peer):
    # One test takes longer than the minute that faulthandler gives it.  Every wait in here has an end of its own.
    faulthandler.cancel_dump_traceback_later()
    return Storm(store, new_peer)


def test_a_store_that_is_killed_again_and_again_is_missed_by_nobody(storm):
    storm.work(4, lambda: storm.kill_every(4))

    storm.end()


@pytest.mark.slow
def test_a_minute_of_kills_is_noticed_by_nobody(storm):
    for _ in range(round(SECONDS / ROUND)):
        storm.work(ROUND, lambda: storm.kill_every(ROUND))

    storm.end()


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 5], ids=["once", "five times in a row"])
def test_a_store_that_is_killed_as_fast_as_it_comes_back_is_missed_by_nobody(storm, times):
    for _ in range(5):
        storm.work(1.5, lambda: storm.kill_in_a_row(times))

    storm.end()


def test_the_values_of_the_storm_would_show_a_mixed_up_byte():
    view = np.full(10, 7)
    view.view(np.uint8)[33] = 1

    with pytest.raises(AssertionError, match="1 of 10 numbers are not 7"):
        _verify(view, 7, 10)
