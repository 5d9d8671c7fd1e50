"""Views outlive everything; bytes are freed when the last reader goes, and not before."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from peers import PAGE, heap_bytes, is_nothing_reserved, kill_store_and_keeper

import jupyter_shm as shm
from jupyter_shm.client.store import Store
from jupyter_shm.errors import StoreLostWarning
from jupyter_shm.testing.private import eventually

NUMBERS = 1 << 19  # of 8 bytes: 4 MiB
NBYTES = 8 * NUMBERS


def overwrite_everything(store):
    """Whatever memory is free is used again, by other values."""
    for n in range(8):
        store.put(np.full(NUMBERS, -1), f"noise{n}")
    for n in range(8):
        store.delete(f"noise{n}")


def notice_the_end(store):
    """The first call after a store was killed connects to a new one, and says so."""
    with pytest.warns(StoreLostWarning):
        store.stats()


def is_whole(view):
    return bool((np.asarray(view) == 5).all())


def share(store, peer):
    """Put an object full of fives; the peer fetches it as ``view``, and a view of ours is returned."""
    store.put(np.full(NUMBERS, 5), "x")
    peer("view = store.get('x')")
    return store.get("x")


def peers_is_whole(peer):
    return peer("bool((view == 5).all())")


def test_views_outlive_the_deletion_of_their_name(store, peer):
    view = share(store, peer)
    store.delete("x")
    overwrite_everything(store)

    assert is_whole(view)
    assert peers_is_whole(peer)


def test_views_outlive_overwriting(store, peer):
    view = share(store, peer)
    for n in range(5):
        store.put(np.full(NUMBERS, n), "x")

    assert is_whole(view)
    assert peers_is_whole(peer)


@pytest.mark.parametrize("goodbye", ["store.close()", "del store", "store.close(); del store"])
def test_views_outlive_their_store_object(store, peer, goodbye):
    view = share(store, peer)
    peer(f"{goodbye}; import gc; gc.collect()")
    store.delete("x")
    overwrite_everything(store)

    assert peers_is_whole(peer)
    assert store.stats().held > 0
    peer("del view")
    del view
    assert eventually(lambda: store.stats().used == 0)
    assert eventually(lambda: store.stats().clients == 1)


def test_views_outlive_a_shutdown_of_the_store(store, peer):
    view = share(store, peer)
    store.shutdown(force=True)

    assert is_whole(view)
    assert peers_is_whole(peer)
    with shm.connect() as afresh:
        afresh.put(np.zeros(NUMBERS), "x")
        assert is_whole(view)
        assert peers_is_whole(peer)
        peer("del view; store.stats()")
        assert afresh.stats().clients == 2


def test_views_outlive_a_store_that_was_killed(store, peer):
    view = share(store, peer)
    kill_store_and_keeper(store.stats().pid)

    assert is_whole(view)
    assert peers_is_whole(peer)
    notice_the_end(store)
    store.put(np.zeros(NUMBERS), "x")
    assert is_whole(view)
    assert store.get("x").sum() == 0


@pytest.mark.parametrize("way", ["get", "sum", "copy on write"])
def test_views_taken_in_every_way_outlive_the_store(store, way):
    store.put({"a": np.full(NUMBERS, 5)}, "d")
    store.put(np.full(NUMBERS, 5), "x")
    views = {"get": lambda: store.get("d")["a"], "sum": lambda: store.get("x")[::2]}
    view = views.get(way, lambda: store.get("x", mode="c"))()

    store.shutdown()
    store = None
    gc.collect()

    assert is_whole(view)


@pytest.mark.reserve("0")
def test_bytes_are_freed_when_the_last_reader_lets_go(store, peer):
    view = share(store, peer)
    pid = store.stats().pid
    store.delete("x")
    del view
    assert eventually(lambda: store.stats().held >= NBYTES)
    assert heap_bytes(pid) >= NBYTES

    peer("del view")

    assert eventually(lambda: store.stats().used == 0)
    assert store.stats().held == 0
    assert eventually(lambda: heap_bytes(pid) == 0)


@pytest.mark.reserve("0")
def test_bytes_are_freed_when_the_last_reader_is_killed(store, peer):
    view = share(store, peer)
    pid = store.stats().pid
    store.delete("x")
    del view
    assert eventually(lambda: store.stats().held >= NBYTES)

    peer.kill()

    assert eventually(lambda: store.stats().used == 0)
    assert eventually(lambda: heap_bytes(pid) == 0)


@pytest.mark.reserve("0")
def test_bytes_of_an_object_that_nobody_reads_are_freed_at_once(store):
    pid = store.stats().pid
    for n in range(5):
        store.put(np.full(NUMBERS, n), "x")
    assert eventually(lambda: store.stats().used < 2 * NBYTES)
    store.delete("x")

    assert eventually(lambda: store.stats().used == 0)
    assert eventually(lambda: heap_bytes(pid) == 0)


@pytest.mark.reserve("0")
def test_small_objects_give_their_pages_back(store):
    pid = store.stats().pid
    for n in range(2000):
        store.put(n, f"n{n}")
    assert heap_bytes(pid) > 0

    store.clear()

    assert eventually(lambda: store.stats().used == 0)
    assert eventually(lambda: heap_bytes(pid) <= PAGE), "one may be shared with the rest of the nursery"
    assert is_nothing_reserved(store)
    assert eventually(lambda: heap_bytes(pid) == 0)


def test_published_objects_outlive_the_process_that_put_them(store, peer):
    peer("store.put(np.full(1000, 5), 'theirs')")

    peer.kill()

    assert is_whole(store.get("theirs"))


@pytest.mark.reserve("0")
def test_a_put_that_was_killed_half_way_leaves_nothing(store, peer):
    # Reserved and written, never committed: what the store sees of a client that dies in the middle of a put.
    peer("""
        from jupyter_shm.protocol import messages as m
        session = store._session
        got = session.connection.request(m.Reserve, 1 << 22)
        session.heap.write(got.offset, [(0, memoryview(bytes(1 << 22)))])
    """)
    assert store.stats().reserved >= 1 << 22

    peer.kill()

    assert eventually(lambda: store.stats().reserved == 0)
    assert store.stats().used == 0
    assert eventually(lambda: heap_bytes(store.stats().pid) == 0)


# --- Putting what is stored already -----------------------------------------------------------------------------------


def small(store, before):
    """Has ``used`` grown by no more than a header's page or two?"""
    return store.stats().used - before <= 16_384


def test_putting_a_fetched_array_copies_nothing(store, peer):
    view = share(store, peer)
    before = store.stats().used

    store.put(view, "again")
    peer("store.put(view[1000:5000], 'slice')")

    assert small(store, before)
    assert is_whole(store.get("again"))
    assert store.get("slice").shape == (4000,)
    assert store.info("x").containers == 2


def test_what_was_put_again_lives_on_after_the_original_name_is_deleted(store, peer):
    view = share(store, peer)
    store.put(view[100:], "again")
    del view
    peer("del view")

    store.delete("x")
    overwrite_everything(store)

    assert peer("view = store.get('again'); len(view)") == NUMBERS - 100
    assert peers_is_whole(peer)
    peer("del view")
    store.delete("again")
    assert eventually(lambda: store.stats().used == 0)


def test_chains_of_slices_of_slices_refer_to_the_first_bytes(store, peer):
    store.put(np.full(NUMBERS, 5), "c0")
    before = store.stats().used
    for n in range(1, 20):
        store.put(store.get(f"c{n - 1}")[1000:], f"c{n}")
        store.delete(f"c{n - 1}")
    overwrite_everything(store)

    assert eventually(lambda: small(store, before))
    assert peer("view = store.get('c19'); len(view)") == NUMBERS - 19_000
    assert peers_is_whole(peer)
    store.delete("c19")
    peer("del view")
    assert eventually(lambda: store.stats().used == 0)


@pytest.mark.parametrize("kind", ["a view", "an array of our own"])
def test_a_put_holds_nothing_of_what_it_stored_after_its_return(store, kind):
    store.put(np.full(NUMBERS, 5), "x")
    array = store.get("x")[5:] if kind == "a view" else np.full(NUMBERS, 5)
    gone = weakref.ref(array)
    gc.disable()
    try:
        store.put({"a": array}, "d")
        del array

        assert gone() is None
        assert store.info("x").holders == ()
    finally:
        gc.enable()
        gc.collect()


def test_slices_inside_other_objects_copy_nothing_and_keep_the_bytes(store, peer):
    store.put(np.full(NUMBERS, 5), "x")
    store.put(np.full(NUMBERS, 6), "y")
    before = store.stats().used
    x, y = store.get("x"), store.get("y")

    store.put({"a": x[:1000], "b": [x[5000:], y], "c": "text"}, "d")
    del x, y
    gc.collect()

    assert small(store, before)
    store.delete("x")
    store.delete("y")
    overwrite_everything(store)
    assert peer("d = store.get('d'); int(d['a'].max()), int(d['b'][0].min()), int(d['b'][1].max()), d['c']") == (
        5, 5, 6, "text",
    )  # fmt: skip
    store.delete("d")
    assert eventually(lambda: store.stats().held > 0)
    assert peer("int(d['b'][1].min())") == 6
    peer("del d")
    assert eventually(lambda: store.stats().used == 0)


def test_a_re_put_of_one_array_out_of_an_object_lives_on_alone(store, peer):
    store.put({"a": np.full(NUMBERS, 5), "b": np.full(NUMBERS, 6)}, "d")
    before = store.stats().used

    peer("store.put(store.get('d')['a'], 'a')")
    store.delete("d")
    overwrite_everything(store)

    assert eventually(lambda: small(store, before))
    assert is_whole(store.get("a"))
    store.delete("a")
    assert eventually(lambda: store.stats().used == 0)


def test_a_slice_under_its_own_name_keeps_its_bytes(store):
    store.put(np.arange(NUMBERS), "x")

    for _ in range(5):
        store.put(store.get("x")[10:-10], "x")
        overwrite_everything(store)

    assert np.array_equal(store.get("x"), np.arange(50, NUMBERS - 50))
    store.delete("x")
    assert eventually(lambda: store.stats().used == 0)


def test_a_re_put_view_of_a_deleted_object_is_shared_too(store, peer):
    view = share(store, peer)
    store.delete("x")
    assert eventually(lambda: store.stats().held > 0)
    before = store.stats().used

    store.put(view, "again")
    del view
    peer("del view")
    overwrite_everything(store)

    assert eventually(lambda: small(store, before))
    assert is_whole(store.get("again"))


def test_what_was_written_to_a_copy_on_write_view_is_put_as_it_is(store, peer):
    store.put(np.full(NUMBERS, 5), "x")
    private = store.get("x", mode="c")
    private[:] = 7

    store.put(private, "seven")

    assert peer("view = store.get('seven'); int(view.min()), int(view.max())") == (7, 7)
    assert is_whole(store.get("x"))


def test_an_anonymous_object_inside_a_named_one_outlives_its_ref(store, peer):
    ref = store.put(np.full(NUMBERS, 5))
    store.put([store.get(ref)], "list")

    del ref
    overwrite_everything(store)

    assert is_whole(store.get("list")[0])
    assert peer("view = store.get('list')[0]; len(view)") == NUMBERS
    assert peers_is_whole(peer)


def test_a_view_of_one_store_is_copied_into_another(runtime_folder):
    with Store("one", capacity="64MiB") as one, Store("two", capacity="64MiB") as two:
        one.put(np.full(NUMBERS, 5), "x")
        two.put(one.get("x"), "x")
        assert two.stats().used >= NBYTES
        one.shutdown()
        assert is_whole(two.get("x"))


def test_a_view_of_an_ended_store_is_copied_into_its_successor(store, peer):
    view = share(store, peer)
    kill_store_and_keeper(store.stats().pid)
    notice_the_end(store)

    store.put(view, "x")

    assert store.stats().used >= NBYTES
    del view
    assert is_whole(store.get("x"))
