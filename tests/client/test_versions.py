"""Versions of a name: an overwrite is atomic, and the next version can be waited for."""

from __future__ import annotations

import threading
from itertools import chain

import numpy as np
import pytest
from peers import kill_store

from jupyter_shm import errors
from jupyter_shm.testing.private import eventually

# --- Overwriting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 3000, 300_000], ids=["small", "pages", "large"])
def test_a_name_that_is_overwritten_all_the_time_is_never_missing_and_never_goes_back(store, peer, size):
    store.put(np.full(size, 0), "x")
    peer.send("""
        seen, last = 0, -1
        while last < 300:
            view = store.get("x")
            assert view[0] >= last and (view == view[0]).all(), (last, view)
            last, seen = view[0], seen + 1
        int(seen)
    """)

    for number in range(1, 301):
        assert store.put(np.full(size, number), "x").version == number + 1

    assert peer.answer() > 0
    assert store.info("x").version == 301


def test_of_many_who_overwrite_at_once_each_gets_a_version_of_its_own(store, new_peer):
    peers = [new_peer() for _ in range(3)]
    for peer in peers:
        peer.send("[store.put(n, 'x').version for n in range(50)]")

    versions = [peer.answer() for peer in peers]

    assert sorted(chain.from_iterable(versions)) == list(range(1, 151))
    assert all(each == sorted(each) for each in versions)


def test_every_version_that_somebody_reads_keeps_its_bytes(store, peer):
    views = []
    for number in range(20):
        store.put(np.full(3000, number), "x")
        views.append(store.get("x"))
        peer("views = globals().get('views', []); views.append(store.get('x')); None")
    store.delete("x")

    assert [set(view.tolist()) for view in views] == [{number} for number in range(20)]
    assert peer("[int(view[7]) for view in views]") == list(range(20))


def test_a_name_that_is_deleted_while_it_is_read_can_be_given_anew_at_once(store, peer):
    for number in range(50):
        store.put(np.full(3000, number), "x")
        peer(f"view = store.get('x'); assert view[0] == {number}")
        peer.send("store.delete('x')")
        peer.answer()
        assert "x" not in store

    assert int(peer("view[-1]")) == 49


# --- Waiting for the next one -----------------------------------------------------------------------------------------


def test_a_wait_for_a_newer_version_ends_with_the_next_put(store, peer):
    store.put(1, "x")
    store.put(2, "x")
    assert store.wait("x", newer_than=1) == (["x"], [])

    peer.send("store.wait('x', newer_than=2), store.get('x')")
    store.put(0, "y")
    assert store.wait("x", newer_than=2, timeout=0.1) == ([], ["x"])
    store.put(3, "x")

    assert peer.answer() == ((["x"], []), 3)


def test_a_version_that_is_there_ends_no_wait_for_a_newer_one(store):
    ref = store.put(1, "x")

    assert store.wait("x", newer_than=ref.version, timeout=0) == ([], ["x"])
    assert store.wait("x", newer_than=0, timeout=0) == (["x"], [])
    assert store.wait("missing", newer_than=0, timeout=0) == ([], ["missing"])


def test_the_versions_of_several_names_are_waited_for_together(store, peer):
    for name in "abc":
        store.put(1, name)
    peer.send("store.wait(['a', 'b', 'c'], newer_than=1, num_returns=2)")

    store.put(2, "c")
    store.put(2, "a")

    assert peer.answer() == (["a", "c"], ["b"])


def test_versions_begin_anew_with_a_name_that_was_deleted(store):
    for number in range(5):
        store.put(number, "x")
    store.delete("x")
    store.put(5, "x")

    assert store.wait("x", newer_than=1, timeout=0) == ([], ["x"])
    assert store.wait("x", newer_than=0) == (["x"], [])


def test_a_wait_for_a_newer_version_outlives_the_store_process(store, peer):
    store.put(1, "x")
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.append(store.wait("x", newer_than=2)))
    thread.start()
    assert eventually(lambda: store._session.connection._answers)

    kill_store(peer("store.stats().pid"))
    peer("store.put(2, 'x')")
    assert not got
    peer("store.put(3, 'x')")
    thread.join(20)

    assert got == [(["x"], [])]


@pytest.mark.parametrize("version", [-1, 1 << 63, 1.0, "1", [1]], ids=repr)
def test_a_version_is_a_number(store, version):
    with pytest.raises(errors.InvalidArgumentError, match="newer_than is the number of a version"):
        store.wait("x", newer_than=version)


def test_a_reference_has_no_newer_version(store):
    with pytest.raises(errors.InvalidArgumentError, match="a reference means one version"):
        store.wait([store.put(1, "x"), "y"], newer_than=1)
