"""After a death of the store everything is as it was: facts, holders, waits, what belongs to whom."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from peers import PAGE, forked, heap_bytes, is_nothing_reserved, kill_store

from jupyter_shm.errors import ObjectExistsError, ObjectNotFoundError
from jupyter_shm.testing.private import eventually


def restart(store):
    """Kill the store; the pid of the one that comes after it."""
    before = store.stats()
    kill_store(before.pid)
    after = store.stats()
    assert (after.starts, after.keeper) == (before.starts + 1, before.keeper)
    assert after.pid != before.pid
    return after.pid


def facts(store):
    return {info.name: (info, info.holders) for info in store.list(anonymous=True)}


def test_all_that_is_known_of_an_object_is_known_afterwards(store, peer):
    store.put(np.arange(1000), "mine")
    store.put(np.arange(2000), "mine")
    peer("ours = store.put({'a': np.zeros(50_000)}, 'theirs'); view = store.get('theirs'); again = store.get('mine')")
    view = store.get("theirs")
    assert eventually(lambda: store.stats().objects == 2)
    before, accounts = facts(store), store.stats()

    restart(store)

    assert facts(store) == before
    assert before["mine"][0].version == 2
    assert "peer_loop" in before["theirs"][0].owner
    after = store.stats()
    for name in ("capacity", "used", "held", "objects", "names", "clients", "payload"):
        assert getattr(after, name) == getattr(accounts, name), name
    # What died in a nursery before is that nursery's again: one page, the first version of "mine".
    assert accounts.reserved <= after.reserved <= accounts.reserved + 3 * PAGE
    assert after.uptime > accounts.uptime
    assert view["a"].shape == (50_000,)
    assert is_nothing_reserved(store, peer)


def test_reads_of_clients_that_are_gone_are_still_counted(store, new_peer):
    store.put(1, "x")
    reader = new_peer()
    reader("[store.get('x') for _ in range(3)]")
    reader.close()
    assert eventually(lambda: store.stats().clients == 1)

    restart(store)

    assert store.info("x").reads == 3


def test_versions_and_refusals_go_on_where_they_were(store):
    store.put(1, "x")
    restart(store)
    with pytest.raises(ObjectExistsError, match="version 1"):
        store.put(2, "x", overwrite=False)
    assert store.put(2, "x").version == 2
    restart(store)
    store.delete("x")
    restart(store)
    with pytest.raises(ObjectNotFoundError):
        store.delete("x")
    assert store.put(3, "x").version == 1


def test_ids_are_never_given_twice(store):
    seen = set()
    for _ in range(4):
        for _ in range(20):
            ref = store.put(1, "x")
            assert ref.id not in seen
            seen.add(ref.id)
            store.delete("x")
        restart(store)


WAIT = """
import threading
got = []
waiter = threading.Thread(target=lambda: got.append(store.get({name!r}, timeout={timeout}, default="nothing")))
waiter.start()
while not store._session.connection._answers:
    pass
store.stats()  # is answered behind the wait: so the wait has left the queue
"""


def test_a_wait_goes_on_with_the_next_store(store, peer):
    peer(WAIT.format(name="later", timeout=None))
    restart(store)
    restart(store)

    store.put("here", "later")

    assert peer("waiter.join(); got") == ["here"]


def test_a_wait_whose_time_is_over_is_forgotten_by_the_next_store_too(store, peer):
    peer(WAIT.format(name="never", timeout=0.2))
    restart(store)

    assert peer("waiter.join(); got") == ["nothing"]

    peer("store.stats()")  # behind the word that nobody waits any more
    restart(store)
    store.put(1, "never")
    assert peer("[number for number, answer in store._session.connection._answers.items()]") == []


@pytest.mark.reserve("0")
def test_what_a_client_had_is_given_back_when_it_dies_while_no_store_lives(store, new_peer):
    store.put(np.zeros(100_000), "x")
    other = new_peer()
    other("view = store.get('x'); ref = store.put(np.zeros(200_000)); from jupyter_shm.protocol import messages as m")
    other("store._session.connection.request(m.Reserve, 1 << 20)")
    store.delete("x")
    assert eventually(lambda: store.stats().held)
    stats = store.stats()
    os.kill(stats.keeper, signal.SIGSTOP)
    kill_store(stats.pid)

    other.kill()
    os.kill(stats.keeper, signal.SIGCONT)

    assert eventually(lambda: store.stats().objects == 0)
    stats = store.stats()
    assert (stats.used, stats.held, stats.clients) == (0, 0, 1)
    assert is_nothing_reserved(store)
    assert eventually(lambda: heap_bytes(stats.pid) == 0)


@pytest.mark.reserve("0")
def test_a_view_keeps_its_bytes_through_restarts_and_they_are_freed_with_it(store, peer):
    store.put(np.arange(300_000), "x")
    peer("view = store.get('x')")
    store.delete("x")
    for _ in range(3):
        restart(store)
        store.put(np.zeros(300_000), "other")
        assert peer("int(view.sum())") == 299_999 * 150_000
        assert eventually(lambda: store.stats().held > 0)
    store.delete("other")

    peer("del view")

    assert eventually(lambda: store.stats().used == 0)
    assert eventually(lambda: heap_bytes(store.stats().pid) == 0)


def test_an_anonymous_object_lives_with_its_reference_through_restarts(store):
    ref = store.put(np.arange(10))
    restart(store)
    assert store.get(ref).sum() == 45

    del ref

    assert eventually(lambda: store.stats().objects == 0)


def test_a_forked_child_is_a_client_of_the_next_store(store):
    store.put(np.arange(10), "x")
    view = store.get("x")

    def child():
        restart(store)
        store.put(view[2:4], "slice")
        return int(view.sum())

    assert forked(child) == 45
    assert store.get("slice").tolist() == [2, 3]
    assert store.stats().clients == 1


def test_what_contains_another_object_keeps_it_through_restarts(store):
    store.put(np.arange(10_000), "whole")
    store.put(store.get("whole")[5000:], "half")
    store.delete("whole")
    restart(store)
    assert store.get("half")[0] == 5000
    assert eventually(lambda: store.stats().objects == 2)

    store.delete("half")

    assert eventually(lambda: store.stats().objects == 0)


def test_a_store_object_says_which_process_it_talks_to(store):
    pid = restart(store)

    assert f"pid {pid}" in repr(store)
