"""The store process is killed again and again while everybody works: nobody notices, and nothing is lost."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peers import heap_bytes, is_nothing_reserved, spill_bytes
from storm_worker import THREADS, Report, verify

from jupyter_shm.client.store import Store
from jupyter_shm.linux.process import descriptor_count
from jupyter_shm.testing.private import eventually

SECONDS = 60.0
"""How long the long storm takes."""
ROUND = 10.0
"""Seconds after which the workers stop for a moment, and compare the whole of their ledgers."""
EVERY = 0.2
"""Seconds between two kills."""
ROW = 5
"""Kills in a row."""

PROCESSES = 3
START = f"""
import sys, warnings
sys.path.insert(0, {str(Path(__file__).parent)!r})
from storm_worker import Workers
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # as in pyproject.toml
workers = Workers({{first}}, {PROCESSES * THREADS}, {{may_be_full}})
"""


class Storm:
    """A store, processes that work, and somebody who kills.

    Args:
        store: Connected.
        new_peer: Starts a process.
        may_be_full: The store is too small for all that is put.
    """

    def __init__(self, store: Store, new_peer: Callable[..., Any], may_be_full: bool = False) -> None:
        self.store = store
        self.peers = [new_peer(START.format(first=n * THREADS, may_be_full=may_be_full)) for n in range(PROCESSES)]
        self.kills = 0
        self.at_birth = 0  # of them: before they could say that they had started
        self.keeper = store.stats().keeper
        self.before = self.descriptors()

    def descriptors(self) -> tuple[int, int]:
        """Of keeper and store; of the latter without that of its warmer, which it has, or has not needed yet."""
        pid = self.store.stats().pid
        return descriptor_count(self.keeper), descriptor_count(pid) - len(children_of(pid))

    def work(self, seconds: float, kill: Callable[[], object]) -> None:
        """Let everybody work for some time, and kill meanwhile."""
        for peer in self.peers:
            peer.send(f"workers.work({seconds})")
        kill()
        for peer in self.peers:
            peer.answer()

    def kill(self, pid: int) -> None:
        """SIGKILL the store."""
        os.kill(pid, signal.SIGKILL)
        self.kills += 1

    def kill_every(self, seconds: float) -> None:
        """SIGKILL it again and again."""
        due = time.monotonic()
        over = due + seconds
        while (due := due + EVERY) < over:
            time.sleep(max(0.0, due - time.monotonic()))
            self.kill(self.store.stats().pid)

    def kill_in_a_row(self, times: int) -> None:
        """SIGKILL each one as soon as it has told its pid."""
        pid = 0
        for _ in range(times):
            assert eventually(lambda last=pid: self.store._session.pid != last)
            pid = self.store._session.pid
            self.kill(pid)

    def kill_at_birth(self) -> None:
        """SIGKILL each one as soon as the keeper has it."""
        last: list[int] = []
        for _ in range(ROW):
            assert eventually(lambda last=last: children_of(self.keeper) not in ([], last))
            last = children_of(self.keeper)
            with contextlib.suppress(ProcessLookupError):
                self.kill(last[0])
                self.at_birth += 1

    def end(self) -> list[Report]:
        """Whatever has happened: all was seen, and nothing is left over."""
        reports = [Report(*report) for peer in self.peers for report in peer("workers.leave()")]
        _show(self.kills, reports)
        put = set().union(*(report.put for report in reports))
        seen = set().union(*(report.seen for report in reports))
        assert seen <= put
        assert len(seen) > 10
        for number, report in enumerate(reports):
            sent = reports[(number + 1) % len(reports)].sent
            assert report.received in (sent - 1, sent)
        self.store.clear()
        self._is_clean()
        return reports

    def _is_clean(self) -> None:
        store = self.store
        eventually(lambda: store.stats().used == 0)
        assert is_nothing_reserved(store)  # the workers have given theirs back
        stats = store.stats()
        left = (stats.used, stats.held, stats.reserved, stats.objects, stats.names)
        assert left == (0, 0, 0, 0, 0), store.list(anonymous=True)
        assert stats.clients == 1 + PROCESSES
        assert self.kills - self.at_birth < stats.starts <= self.kills + 1
        # All that there is left is warm.
        assert eventually(lambda: heap_bytes(stats.pid) <= store.stats().reserve), (
            heap_bytes(stats.pid),
            store.stats(),
        )
        assert eventually(lambda: self.descriptors() == self.before), (self.descriptors(), self.before)
        for word in ("Traceback", " ERROR ", " CRITICAL "):
            assert word not in self.log(), self.log()

    def log(self) -> str:
        """What store and keeper have written; without what they say at every restart."""
        lines = self.store._session.paths.log.read_text().splitlines()
        return "\n".join(line for line in lines if " INFO " not in line and "starting it again" not in line)


def children_of(pid: int) -> list[int]:
    """Processes that this one has started: the stores of a keeper, the warmer of a store."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _show(kills: int, reports: list[Report]) -> None:
    calls = sum(report.calls for report in reports)
    letters = sum(report.received for report in reports)
    seconds, what = max(report.longest for report in reports)
    print(f"{kills} kills, {calls} calls, {letters} letters; the longest call took {1000 * seconds:.0f} ms: {what}")


@pytest.fixture
def storm(store, new_peer):
    # One test takes longer than the minute that faulthandler gives it.  Every wait in here has an end of its own.
    faulthandler.cancel_dump_traceback_later()
    storm = Storm(store, new_peer)
    yield storm
    print(storm.log())


@pytest.mark.parametrize("reserve", [
    pytest.param("16MiB", marks=pytest.mark.reserve("16MiB")), pytest.param("0", marks=pytest.mark.reserve("0")),
])  # fmt: skip
def test_a_store_that_is_killed_again_and_again_is_missed_by_nobody(storm, reserve):
    storm.work(4, lambda: storm.kill_every(4))

    storm.end()


@pytest.mark.slow
def test_a_minute_of_kills_is_noticed_by_nobody(storm):
    for _ in range(round(SECONDS / ROUND)):
        storm.work(ROUND, lambda: storm.kill_every(ROUND))

    storm.end()


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, ROW], ids=["once", "in a row"])
def test_a_store_that_is_killed_as_soon_as_it_tells_its_pid_is_missed_by_nobody(storm, times):
    for _ in range(6):
        storm.work(1.5, lambda: storm.kill_in_a_row(times))

    storm.end()


@pytest.mark.slow
def test_stores_that_are_killed_at_birth_are_missed_by_nobody(storm):
    for _ in range(12):
        storm.work(1, storm.kill_at_birth)

    storm.end()


@pytest.mark.slow
def test_puts_that_wait_for_room_are_answered_once_whoever_is_killed(runtime_folder, new_peer, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_SPILL_DIR", "off")
    with Store(capacity="20MiB") as store:
        storm = Storm(store, new_peer, may_be_full=True)
        for _ in range(3):
            storm.work(8, lambda: storm.kill_every(8))

        assert sum(report.full for report in storm.end()) > 10


@pytest.mark.slow
def test_objects_that_leave_for_the_disk_are_where_they_should_be_whoever_is_killed(runtime_folder, new_peer):
    with Store(capacity="20MiB") as store:
        storm = Storm(store, new_peer, may_be_full=True)
        most = 0
        for _ in range(3):
            storm.work(8, lambda: storm.kill_every(8))
            most = max(most, store.stats().spilled_objects)

        storm.end()
        assert most > 0
        assert eventually(lambda: spill_bytes(store.stats().pid) == 0)


def test_the_values_of_the_storm_would_show_a_mixed_up_byte():
    view = np.full(10, 7)
    view.view(np.uint8)[33] = 1

    with pytest.raises(AssertionError, match="1 of 10 numbers are not 7"):
        verify(view, 7, 10)
