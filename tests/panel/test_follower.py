"""A follower tells what a store is like: at once, after every change, and never otherwise."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from store_processes import end_stores_of

from jupyter_shm.client.store import Store
from jupyter_shm.panel.follower import SETTLING, Follower
from jupyter_shm.testing.private import eventually


class Told:
    """Every state that was told."""

    def __init__(self) -> None:
        self.states = []

    def __call__(self, state) -> None:
        self.states.append(state)

    @property
    def last(self):
        return self.states[-1] if self.states else None

    def names(self) -> set[str]:
        return {entry.name for entry in self.last.objects} if self.last else set()


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def follower(runtime_folder, told):
    """Not started; nothing is left of it afterwards, which the leak check sees."""
    follower = Follower(None, told, pause=0.02)
    yield follower
    follower.close()


@pytest.fixture
def store(runtime_folder):
    with Store(capacity="64MiB") as store:
        yield store


def test_the_first_state_comes_unasked_with_the_past_in_it(store, follower, told):
    store.put(np.arange(3), "x")
    store.put(1, "y")
    store.delete("y")

    follower.start()

    assert eventually(lambda: told.names() == {"x"})
    assert [event.kind for event in told.last.events] == ["publish", "publish", "delete"]
    assert told.last.usage.capacity == 64 << 20
    assert told.last.incarnation == str(store.session.welcome.store)


def test_a_change_is_told_and_revisions_rise(store, follower, told):
    follower.start()
    assert eventually(lambda: told.last is not None)

    store.put(1, "x")
    assert eventually(lambda: "x" in told.names())
    store.delete("x")
    assert eventually(lambda: "x" not in told.names())

    revisions = [state.revision for state in told.states]
    assert revisions == sorted(set(revisions))


def test_who_reads_an_object_right_after_it_was_published_is_told_though_no_event_says_so(store, follower, told):
    follower.start()
    store.put(np.arange(1000), "x")
    assert eventually(lambda: "x" in told.names())

    view = store.get("x")

    assert eventually(lambda: any(entry.holders for entry in told.last.objects), SETTLING + 5)
    del view


def test_nothing_is_told_and_no_processor_used_while_nothing_happens(store, follower, told):
    store.put(1, "x")
    follower.start()
    assert eventually(lambda: told.last is not None and time.time() - told.last.now > 2 * SETTLING)
    before, used = len(told.states), sum(thread_times())

    time.sleep(2 * SETTLING)

    assert len(told.states) == before
    assert sum(thread_times()) - used < 0.02


def thread_times() -> list[float]:
    """Seconds of processor time of the threads that follow and watch."""
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("jupyter_shm")]
    stats = [(Path("/proc/self/task") / str(thread.native_id) / "stat").read_text() for thread in ours]
    return [sum(map(int, text.rpartition(")")[2].split()[11:13])) / 100 for text in stats]


def test_a_store_that_does_not_run_is_a_fault_and_none_is_started(runtime_folder, follower, told):
    follower.start()

    assert eventually(lambda: told.last is not None)
    assert "not running" in told.last.fault
    assert told.last.usage is None
    with pytest.raises(FileNotFoundError):
        Store(start=False)


@pytest.mark.filterwarnings("error")
def test_the_end_of_a_store_is_told_and_the_next_one_is_found(runtime_folder, follower, told):
    with Store(capacity="64MiB") as store:
        store.put(1, "x")
        follower.start()
        assert eventually(lambda: told.names() == {"x"})
        store.shutdown(force=True)
    assert eventually(lambda: told.last.fault)

    with Store(capacity="64MiB") as store:
        store.put(2, "y")
        assert eventually(lambda: told.names() == {"y"} and not told.last.fault, 20)


def test_what_a_callback_raises_is_logged_and_ends_nothing(store, runtime_folder, caplog):
    calls = []

    def tell(state) -> None:
        calls.append(state)
        raise ValueError("of the page")

    follower = Follower(None, tell, pause=0.02)
    follower.start()
    assert eventually(lambda: calls)
    count = len(calls)
    store.put(1, "x")
    assert eventually(lambda: len(calls) > count)
    follower.close()

    assert "of the page" in caplog.text


def test_a_follower_may_be_closed_by_what_it_tells_and_started_again(store, runtime_folder, told):
    follower = Follower(None, lambda state: (told(state), follower.close()), pause=0.02)
    follower.start()
    assert eventually(lambda: told.last is not None)
    assert eventually(lambda: not follower.is_running)
    store.put(1, "x")

    follower.start()

    assert eventually(lambda: "x" in told.names())
    follower.close()


def test_closing_lets_go_of_threads_connections_and_descriptors(store, runtime_folder, told):
    for _ in range(3):
        follower = Follower(None, told, pause=0.02)
        follower.start()
        follower.start()
        assert eventually(lambda: told.last is not None)
        follower.close()
        follower.close()

    assert not [thread.name for thread in threading.enumerate() if "follow" in thread.name]
    assert eventually(lambda: store.stats().clients == 1)


def test_looking_takes_a_small_part_of_the_time_however_many_changes_there_are(store, runtime_folder, told):
    follower = Follower(None, told, pause=0.1)
    follower.start()
    began = time.monotonic()

    for number in range(300):
        store.put(number, f"{number % 10}")

    assert eventually(lambda: told.names() == {f"{number}" for number in range(10)})
    took = time.monotonic() - began
    assert len(told.states) <= took / 0.1 + 2
    follower.close()
    end_stores_of(runtime_folder)
