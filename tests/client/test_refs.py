"""ObjectRef: one version for ever; an anonymous object lives as long as a ref or a view of it here."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from jupyter_shm import errors
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually


def is_empty(store):
    return eventually(lambda: store.stats().objects == 0 and store.stats().used == 0)


def test_a_named_ref_means_its_version_only(store):
    first = store.put(1, "x")
    assert store.get(first) == 1

    second = store.put(2, "x")

    with pytest.raises(errors.ObjectNotFoundError, match="gone"):
        store.get(first)
    assert store.get(first, default=None) is None
    assert store.get(second) == 2
    assert first != second
    assert {first, second, second} == {second, first}


def test_a_named_ref_keeps_nothing_alive(store):
    ref = store.put(np.zeros(100_000), "x")

    store.delete("x")

    assert is_empty(store)
    with pytest.raises(errors.ObjectNotFoundError):
        store.get(ref)


def test_deleting_by_ref_deletes_that_version_only(store):
    first = store.put(1, "x")
    second = store.put(2, "x")

    with pytest.raises(errors.ObjectNotFoundError):
        store.delete(first)
    assert store.get("x") == 2
    store.delete(second)
    assert "x" not in store
    with pytest.raises(errors.ObjectNotFoundError):
        store.delete(second)


def test_an_anonymous_object_lives_with_its_ref(store):
    ref = store.put(np.arange(100_000))
    assert "anonymous" in repr(ref)
    assert store.get(ref).sum() == 4_999_950_000
    assert (store.stats().objects, store.stats().names) == (1, 0)

    del ref

    assert is_empty(store)


def test_an_anonymous_object_lives_with_its_last_view(store):
    ref = store.put(np.arange(100_000))
    view = store.get(ref)[5:10]
    del ref
    gc.collect()
    store.put(1, "after"), store.delete("after")
    assert eventually(lambda: store.stats().objects == 1)
    assert view.tolist() == [5, 6, 7, 8, 9]

    del view

    assert is_empty(store)


def test_a_view_of_mode_c_keeps_an_anonymous_object_too(store):
    ref = store.put(np.arange(100_000))
    view = store.get(ref, mode="c")
    del ref
    store.put(np.zeros(100_000), "other")
    assert view.sum() == 4_999_950_000
    assert store.stats().objects == 2

    del view
    store.delete("other")

    assert is_empty(store)


def test_an_anonymous_object_ends_with_the_process_that_put_it(store, peer):
    peer("ref = store.put(np.zeros(100_000))")
    assert store.stats().objects == 1

    peer.kill()

    assert is_empty(store)


def test_an_anonymous_object_can_be_deleted_while_its_ref_lives(store):
    ref = store.put(np.zeros(100_000))
    view = store.get(ref)

    store.delete(ref)

    assert view.sum() == 0
    with pytest.raises(errors.ObjectNotFoundError):
        store.delete(ref)
    del view, ref
    assert is_empty(store)


def test_many_anonymous_objects_are_freed_without_another_call(store, peer):
    # The peer is idle afterwards: nothing may wait for its next call.
    peer("refs = [store.put(np.zeros(1000)) for _ in range(500)]")
    assert store.stats().objects == 500

    peer("del refs")

    assert is_empty(store)


def test_a_ref_of_another_store_means_nothing_here(runtime_folder):
    with Store("one", capacity="64MiB") as one, Store("two", capacity="64MiB") as two:
        ref = one.put(1, "x")
        two.put(2, "x")
        for call in (two.get, two.delete):
            with pytest.raises(errors.ObjectNotFoundError):
                call(ref)
        assert two.get("x") == 2


def test_the_facts_of_a_ref_of_another_store_are_not_those_of_some_object_here(runtime_folder):
    with Store("one", capacity="64MiB") as one, Store("two", capacity="64MiB") as two:
        ref = one.put(1, "x")
        two.put(2, "x")
        with pytest.raises(errors.ObjectNotFoundError):
            two.info(ref)


def test_an_anonymous_ref_outlives_the_end_of_the_connection_as_a_view_does(store):
    ref = store.put(np.arange(100_000))
    store.close()

    with pytest.raises(errors.ClosedError):
        store.get(ref)
    del ref
