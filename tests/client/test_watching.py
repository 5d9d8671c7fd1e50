"""watch: changes of a real store, pushed to callbacks in a thread."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from peers import forked, kill_store, kill_store_and_keeper, run

from jupyter_shm import errors
from jupyter_shm.client import listing, watching
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

RING = 10_000  # events that a store remembers


class Seen(list):
    """A callback that remembers what it was told."""

    def __call__(self, event) -> None:
        self.append(event)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(event.kind, event.name) for event in self]

    def waits_for(self, kind: str, name: str) -> bool:
        return eventually(lambda: (kind, name) in self.told)


def connections(store) -> int:
    """How many there are; ``stats().clients`` leaves out those that only watch."""
    return len(listing._people(store.session))


def watch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("jupyter_shm watch")]


# --- What is told -----------------------------------------------------------------------------------------------------


def test_every_change_is_told_in_its_order_from_now_on(store, peer):
    store.put(1, "before")
    seen = Seen()

    with store.watch(seen):
        store.put(1, "x")
        peer("store.put(2, 'x'); store.pin('x'); store.delete('x')")
        assert seen.waits_for("delete", "x")

    assert seen.told == [("publish", "x"), ("overwrite", "x"), ("pin", "x"), ("delete", "x")]
    assert [event.who for event in seen][1:] == ["peer_loop.py"] * 3
    assert seen == store.events(seen[0].sequence - 1)


def test_who_only_watches_is_no_client(store):
    with store.watch(Seen()):
        assert eventually(lambda: connections(store) == 2)

        assert store.stats().clients == 1


def test_more_changes_than_a_packet_holds_are_all_told(store):
    seen = Seen()

    with store.watch(seen):
        for number in range(1000):
            store.put(number, f"{number}")
        assert seen.waits_for("publish", "999")

    assert [name for _, name in seen.told] == [f"{number}" for number in range(1000)]


def test_a_pattern_chooses_names(store):
    runs, others = Seen(), Seen()

    with store.watch(runs, "run*"), store.watch(others, pattern="[!r]*"):
        for name in ("run1", "x", "run2"):
            store.put(1, name)
        ref = store.put(np.zeros(1 << 17))
        del ref
        store.delete("run1")
        store.put(1, "z")
        assert others.waits_for("publish", "z")

    assert runs.told == [("publish", "run1"), ("publish", "run2"), ("delete", "run1")]
    assert others.told == [("publish", "x"), ("publish", "z")]


def test_a_process_that_dies_is_told(store, peer):
    peer("store.put(1, 'mine', lifetime='kernel')")
    seen = Seen()

    with store.watch(seen):
        peer.kill()
        assert seen.waits_for("death", "")

    assert seen.told == [("death", "mine"), ("death", "")]


def test_what_expires_is_told(store):
    seen = Seen()

    with store.watch(seen):
        store.put(1, "x", ttl=0.01)
        assert seen.waits_for("expire", "x")


# --- Callbacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_what_a_callback_raises_is_logged_and_ends_nothing(store, caplog, error):
    seen = Seen()

    def fail(event):
        raise error(f"at {event.name}")

    with store.watch(fail), store.watch(seen):
        store.put(1, "x")
        store.put(1, "y")
        assert seen.waits_for("publish", "y")

    assert [record.exc_info[0] for record in caplog.records] == [error, error]
    assert "name='x'" in caplog.records[0].getMessage()


def test_a_closed_watch_is_told_nothing_more(store):
    seen, other = Seen(), Seen()
    watch = store.watch(seen)
    with store.watch(other):
        store.put(1, "x")
        assert seen.waits_for("publish", "x")

        watch.close()
        watch.close()
        store.put(1, "y")
        assert other.waits_for("publish", "y")

    assert seen.told == [("publish", "x")]
    assert watch.is_closed
    assert "closed" in repr(watch)


def test_a_callback_may_close_its_own_watch_and_use_the_store(store):
    def answer(event):
        store.put(event.id, "answer")
        watch.close()

    watch = store.watch(answer, "question")
    ref = store.put(1, "question")

    assert store.get("answer", timeout=20) == ref.id
    assert eventually(lambda: not watch_threads())


def test_all_watches_of_a_store_share_one_thread_that_ends_with_the_last(store):
    before = connections(store)
    watches = [store.watch(Seen()) for _ in range(5)]
    assert len(watch_threads()) == 1
    assert eventually(lambda: connections(store) == before + 1)

    for watch in watches:
        watch.close()

    assert eventually(lambda: not watch_threads())
    assert eventually(lambda: connections(store) == before)
    with store.watch(seen := Seen()):
        store.put(1, "x")
        assert seen.waits_for("publish", "x")


@pytest.mark.parametrize("callback", [None, "print", 5])
def test_a_callback_can_be_called(store, callback):
    with pytest.raises(errors.InvalidArgumentError, match="callback is called with each event, got"):
        store.watch(callback)


def test_a_pattern_is_text(store):
    with pytest.raises(errors.InvalidArgumentError, match="pattern is text"):
        store.watch(print, 5)

    assert watch_threads() == []


# --- Who is slow ------------------------------------------------------------------------------------------------------


class Slow(Seen):
    """A callback that does not return from its first call before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on, self.is_called = threading.Event(), threading.Event()

    def __call__(self, event) -> None:
        super().__call__(event)
        self.is_called.set()
        assert self.may_go_on.wait(50)


def test_who_is_slow_is_told_all_later_and_keeps_nobody_waiting(store):
    slow = Slow()

    with store.watch(slow):
        store.put(0, "x")
        assert slow.is_called.wait(20)
        for number in range(1, 2000):
            store.put(number, "x")
        assert len(slow) == 1
        slow.may_go_on.set()
        assert eventually(lambda: len(slow) == 2000)

    assert [event.version for event in slow] == list(range(1, 2001))


def test_who_is_too_slow_is_told_that_something_is_lost(store):
    slow = Slow()

    with store.watch(slow, "x"):
        store.put(0, "x")
        assert slow.is_called.wait(20)
        for number in range(RING + 50):
            store.put(number, "x")
        slow.may_go_on.set()
        assert eventually(lambda: slow[-1].version == RING + 51)

    assert [event.kind for event in slow[:3]] == ["publish", "lost", "overwrite"]
    assert [event.version for event in slow[2:]] == list(range(52, RING + 52))
    assert slow[0].sequence < slow[1].sequence < slow[2].sequence


def context_switches(thread: threading.Thread) -> int:
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return sum(int(line.split()[1]) for line in status.splitlines() if "ctxt_switches" in line)


@pytest.mark.parametrize("is_there", [True, False], ids=["a store", "no store"])
def test_who_waits_costs_nothing(store, monkeypatch, is_there):
    monkeypatch.setattr(watching, "LAST_DELAY", watching.FIRST_DELAY)  # what is tried again, is so at once
    other = Store()
    with other.watch(seen := Seen()):
        store.put(1, "x")
        assert seen.waits_for("publish", "x")
        (thread,) = watch_threads()
        if not is_there:
            store.shutdown(force=True)
            assert eventually(lambda: other._watching[0][0]._folder is not None)
        settled, since = 0, time.monotonic()
        while time.monotonic() < since + 0.5:
            if context_switches(thread) != settled:
                settled, since = context_switches(thread), time.monotonic()

        assert context_switches(thread) == settled
    other.close()


# --- The death of the store -------------------------------------------------------------------------------------------


def test_a_watch_goes_on_with_the_next_store_process(store):
    seen = Seen()

    with store.watch(seen, "x"):
        store.put(1, "x")
        assert seen.waits_for("publish", "x")
        for _ in range(3):
            kill_store(store.stats().pid)
        store.put(2, "x")
        assert seen.waits_for("overwrite", "x")

    assert seen.told[0] == ("publish", "x")
    assert ("restart", "") in seen.told
    assert seen.told[-1] == ("overwrite", "x")
    assert [event.sequence for event in seen] == sorted(event.sequence for event in seen)


def test_what_happened_while_a_store_was_dead_is_told_by_the_next_one(store, peer):
    peer("store.put(1, 'mine', lifetime='kernel')")
    seen = Seen()

    with store.watch(seen, "mine"):
        pid = store.stats().pid
        os.kill(pid, signal.SIGSTOP)
        peer.kill()
        kill_store(pid)
        assert seen.waits_for("death", "mine")

    assert ("restart", "") in seen.told


def test_a_watch_goes_on_with_a_store_that_knows_nothing_of_the_one_before(store):
    seen = Seen()

    with store.watch(seen):
        store.put(1, "x")
        assert seen.waits_for("publish", "x")
        kill_store_and_keeper(store.stats().pid)
        with pytest.warns(errors.StoreLostWarning):
            store.put(1, "y")
        assert seen.waits_for("publish", "y")

    assert seen.told == [("publish", "x"), ("lost", ""), ("publish", "y")]


def test_a_watch_waits_for_a_store_that_ended_and_starts_none(store, monkeypatch):
    monkeypatch.setattr(watching, "LAST_DELAY", watching.FIRST_DELAY)
    other = Store()
    with other.watch(seen := Seen()):
        store.shutdown(force=True)
        assert eventually(lambda: other._watching[0][0]._folder is not None)
        with pytest.raises(FileNotFoundError):
            Store(start=False)

        with Store(capacity="64MiB") as again:
            again.put(1, "y")
            assert seen.waits_for("publish", "y")
    other.close()


def test_a_store_that_stands_still_is_waited_for(store):
    with store.watch(seen := Seen()):
        store.put(1, "x")
        assert seen.waits_for("publish", "x")
        pid = store.stats().pid
        os.kill(pid, signal.SIGSTOP)
        try:
            assert len(watch_threads()) == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        store.put(1, "y")
        assert seen.waits_for("publish", "y")


# --- What a watch keeps, and what ends it -----------------------------------------------------------------------------


def test_a_watch_keeps_no_store_alive(store):
    other = Store()
    assert other.put(1, "x").version == 1
    watch = other.watch(Seen())
    assert eventually(lambda: connections(store) == 3)

    del other
    gc.collect()

    assert eventually(lambda: not watch_threads())
    assert watch.is_closed
    assert eventually(lambda: connections(store) == 1)


def test_a_watch_that_nobody_holds_goes_on_with_its_store(store):
    seen = Seen()
    store.watch(seen)
    gc.collect()

    store.put(1, "x")

    assert seen.waits_for("publish", "x")
    store.close()
    assert eventually(lambda: not watch_threads())


def test_a_watch_keeps_no_process_alive(store):
    status, said, complaint = run("""
        import jupyter_shm as shm
        store = shm.connect()
        store.watch(print)
        store.put(1, "x")
        print("done")
    """)

    assert (status, complaint) == (0, "")
    assert "done" in said


def test_the_end_of_a_watch_ends_no_lease(store):
    other = Store()
    other.put(np.arange(1000), "x")
    with other.watch(Seen()):
        view = other.get("x")
    assert eventually(lambda: connections(store) == 2)
    store.delete("x")
    store.put(np.zeros(1000), "y")

    assert eventually(lambda: store.stats().held)
    assert view.sum() == 499_500
    other.close()


def test_who_watches_and_is_killed_leaves_nothing(store, peer):
    peer("watch = store.watch(print)")
    assert eventually(lambda: connections(store) == 3)

    peer.kill()

    assert eventually(lambda: connections(store) == 1)


def test_a_closed_store_cannot_be_watched(store):
    other = Store()
    watch = other.watch(Seen())
    other.close()

    assert watch.is_closed
    with pytest.raises(errors.ClosedError):
        other.watch(print)


# --- fork -------------------------------------------------------------------------------------------------------------


def test_a_child_has_no_watch_and_its_parent_keeps_its_own(store):
    seen = Seen()
    with store.watch(seen) as watch:
        store.put(1, "before")
        assert seen.waits_for("publish", "before")

        def look():
            sockets = [watcher._sock for watcher in watching._watchers]
            store.put(1, "of the child")
            return watch.is_closed, sockets, watch_threads(), seen.told

        assert forked(look) == (True, [None], [], [("publish", "before")])
        assert seen.waits_for("publish", "of the child")
        assert not watch.is_closed


def test_a_child_can_watch_for_itself(store):
    def watch_it():
        with store.watch(seen := Seen()):
            store.put(1, "x")
            return seen.waits_for("publish", "x")

    with store.watch(Seen()):
        assert forked(watch_it)


def test_the_end_of_a_parent_is_seen_although_its_child_lives(store, peer):
    peer("watch = store.watch(print); view = store.put(1, 'x')")
    assert eventually(lambda: connections(store) == 3)
    child = peer("import signal; pid = os.fork(); pid or signal.pause(); pid")

    peer.kill()
    try:
        assert eventually(lambda: connections(store) == 2)  # ours, and the child's
    finally:
        os.kill(child, signal.SIGKILL)
    assert eventually(lambda: connections(store) == 1)


def test_forks_at_any_moment_leave_neither_sockets_nor_threads(store):
    done = threading.Event()

    def watch_again_and_again():
        while not done.is_set():
            with contextlib.suppress(errors.ShmError), store.watch(Seen()):
                store.put(1, "x")

    thread = threading.Thread(target=watch_again_and_again)
    thread.start()
    try:
        for _ in range(200):
            assert forked(lambda: [watcher._sock for watcher in watching._watchers if watcher._sock]) == []
    finally:
        done.set()
        thread.join()

    assert eventually(lambda: connections(store) == 1)
    assert eventually(lambda: not watch_threads())
