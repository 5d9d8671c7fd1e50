"""wait: for names, several at a time, in any thread."""

from __future__ import annotations

import threading
import time

import pytest

from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


def test_ready_and_pending_keep_the_order_of_the_keys(store):
    for name in ("c", "a"):
        store.put(1, name)

    ready, pending = store.wait(["a", "b", "c", "d"], num_returns=2)

    assert ready == ["a", "c"]
    assert pending == ["b", "d"]


def test_a_wait_ends_when_so_many_are_published(store, peer):
    peer.send("store.wait(['a', 'b', 'c'], num_returns=2)")
    store.put(1, "c")
    store.put(1, "a")

    assert peer.answer() == (["a", "c"], ["b"])


def test_a_wait_tells_more_than_were_asked_for_when_more_are_there(store):
    for name in "abc":
        store.put(1, name)

    assert store.wait(["a", "b", "c"], num_returns=1) == (["a", "b", "c"], [])


@pytest.mark.parametrize("timeout", [0, 0.05, 0.3])
def test_after_a_timeout_ready_may_be_shorter(store, timeout):
    store.put(1, "a")
    started = time.monotonic()

    assert store.wait(["a", "b"], num_returns=2, timeout=timeout) == (["a"], ["b"])
    assert time.monotonic() - started >= timeout


def test_references_are_ready_and_mix_with_names(store):
    ref = store.put(1)

    assert store.wait([ref]) == ([ref], [])
    assert store.wait(["a", ref], timeout=0) == ([ref], ["a"])
    assert store.wait(ref) == ([ref], [])


def test_a_single_name_is_a_list_of_one(store):
    store.put(1, "name")

    assert store.wait("name") == (["name"], [])


@pytest.mark.parametrize("num_returns", [0, -1, 3])
def test_num_returns_must_be_possible(store, num_returns):
    with pytest.raises(ValueError, match="num_returns"):
        store.wait(["a", "b"], num_returns=num_returns)


def test_waiting_for_nothing_is_refused(store):
    with pytest.raises(ValueError, match="num_returns"):
        store.wait([])


def test_a_key_may_come_only_once(store):
    ref = store.put(1)
    with pytest.raises(ValueError, match="twice"):
        store.wait(["a", "a"])
    with pytest.raises(ValueError, match="twice"):
        store.wait([ref, ref])


def test_as_many_names_as_a_packet_holds_can_be_waited_for(store):
    names = [f"{'ä' * 62}{n:04}" for n in range(400)]
    store.put(1, names[399])

    assert store.wait(names, timeout=30) == ([names[399]], names[:399])


def test_more_names_than_a_packet_holds_are_refused_with_the_limit(store):
    with pytest.raises(ValueError, match=r"401.*400"):
        store.wait([f"n{n}" for n in range(401)], timeout=0)

    assert store.wait(["x"], timeout=0) == ([], ["x"]), "the connection goes on"


def test_names_that_come_and_go_do_not_end_a_wait_for_both_at_once(store, peer):
    peer.send("store.wait(['a', 'b'], num_returns=2)")
    for _ in range(20):
        store.put(1, "a")
        store.delete("a")
        store.put(1, "b")
        store.delete("b")
    store.put(1, "a")
    store.put(1, "b")

    assert peer.answer() == (["a", "b"], [])


def test_a_waiting_thread_keeps_no_other_thread_waiting(store):
    results = []
    threads = [threading.Thread(target=lambda: results.append(store.get("late", timeout=None))) for _ in range(4)]
    for thread in threads:
        thread.start()

    for n in range(200):
        store.put(n, "x")
        assert store.get("x") == n
        store.delete("x")
    assert results == []
    store.put("now", "late")
    for thread in threads:
        thread.join(30)

    assert results == ["now"] * 4


def test_threads_that_wait_for_different_names_get_their_own(store, peer):
    results = {}

    def wait(n):
        results[n] = store.get(f"n{n}", timeout=30)

    threads = [threading.Thread(target=wait, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    peer("for n in reversed(range(16)): store.put(n * n, f'n{n}')")
    for thread in threads:
        thread.join(30)

    assert results == {n: n * n for n in range(16)}


def test_a_wait_with_a_deadline_beside_one_without_ends_in_time(store):
    done = []
    forever = threading.Thread(target=lambda: done.append(store.get("late", timeout=None)))
    forever.start()
    try:
        for _ in range(20):
            with pytest.raises(errors.GetTimeoutError):
                store.get("never", timeout=0.01)
        assert done == []
    finally:
        store.put(1, "late")
        forever.join(30)
    assert done == [1]


def test_a_reader_whose_deadline_passes_hands_reading_over(store):
    # The first thread reads for both; when it gives up the second must read for itself.
    done = []

    def short():
        assert store.get("never", timeout=0.3, default="gone") == "gone"

    first = threading.Thread(target=short)
    second = threading.Thread(target=lambda: done.append(store.get("late", timeout=30)))
    first.start()
    second.start()
    first.join(30)
    store.put(2, "late")
    second.join(30)

    assert done == [2]


def test_a_wait_of_a_process_that_was_killed_is_forgotten(store, peer):
    peer.send("store.get('never', timeout=None)")
    assert eventually(lambda: store.stats().clients == 2)

    peer.kill()

    assert eventually(lambda: store.stats().clients == 1)
    store.put(1, "never")
    assert store.get("never") == 1
