"""References in other processes: pickled, sent, stored inside of objects; the bytes live as long as anybody has one."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import subprocess
import sys

import numpy as np
import pytest
from peers import forked, kill_store

import jupyter_shm as shm
from jupyter_shm import ObjectRef, errors
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

NUMBERS = 10_000
TOTAL = NUMBERS * (NUMBERS - 1) // 2
BACK = "import pickle, gc; ref = pickle.loads(bytes.fromhex({!r}))"


def put_numbers(store):
    return store.put(np.arange(NUMBERS))


def is_empty(store):
    return eventually(lambda: store.stats().objects == 0 and store.stats().used == 0)


def lives_on(store, count=1):
    """There are so many objects, and still are when one that was made later has ended."""
    for _ in range(2):
        store.put(0, "later")
        store.delete("later")
        if not eventually(lambda: store.stats().objects == count):
            return False
    return True


def send(peer, ref):
    peer(BACK.format(pickle.dumps(ref).hex()))


def test_a_pickled_reference_is_small_and_comes_back_equal(store):
    ref = put_numbers(store)

    data = pickle.dumps(ref)
    back = pickle.loads(data)

    assert len(data) < 150
    assert back == ref
    assert hash(back) == hash(ref)
    assert (back.name, back.version) == (ref.name, ref.version)
    assert store.get(back).sum() == TOTAL


def test_copies_of_a_reference_are_the_reference(store):
    ref = put_numbers(store)

    assert copy.copy(ref) is ref
    assert copy.deepcopy([ref])[0] is ref


def test_a_reference_in_another_process_keeps_the_object(store, peer):
    ref = put_numbers(store)
    send(peer, ref)

    del ref

    assert lives_on(store)
    assert peer("int(store.get(ref).sum())") == TOTAL


def test_the_last_reference_frees_the_object_whosever_it_was(runtime_folder, new_peer, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_KEEP", "0")
    with Store(capacity="64MiB") as store:
        publisher, reader = new_peer(), new_peer()
        data = publisher("import pickle; ref = store.put(np.arange(10_000)); pickle.dumps(ref)")
        reader(BACK.format(data.hex()))

        publisher.close()
        assert lives_on(store)
        assert reader("int(store.get(ref).sum())") == TOTAL
        reader("del ref; gc.collect()")

        assert is_empty(store)


def test_a_reference_is_handed_on_when_its_publisher_and_its_sender_are_gone(store, new_peer):
    first, second, third = new_peer(), new_peer(), new_peer()
    data = first("import pickle; pickle.dumps(store.put(np.arange(10_000)))")
    second(BACK.format(data.hex()))
    first.kill()
    data = second("pickle.dumps(ref)")
    second.kill()

    third(BACK.format(data.hex()))

    assert third("int(store.get(ref).sum())") == TOTAL


def test_a_pickled_reference_waits_for_its_reader_when_its_sender_is_gone(store, new_peer):
    sender = new_peer()
    data = sender("import pickle; pickle.dumps(store.put(np.arange(10_000)))")
    sender.kill()
    assert lives_on(store)

    assert store.get(pickle.loads(data)).sum() == TOTAL


def test_a_pickled_reference_that_nobody_reads_keeps_its_object_for_as_long_as_the_setting_says(
    runtime_folder, new_peer, monkeypatch
):
    monkeypatch.setenv("JUPYTER_SHM_KEEP", "1s")
    with Store(capacity="64MiB") as store:
        sender = new_peer()
        data = sender("import pickle; pickle.dumps(store.put(np.arange(10_000)))")
        sender.kill()
        assert eventually(lambda: store.stats().clients == 1)
        assert store.stats().objects == 1

        assert is_empty(store)
        with pytest.raises(errors.ObjectNotFoundError, match="gone"):
            store.get(pickle.loads(data))


def test_what_was_not_pickled_ends_with_its_process_at_once(store, new_peer):
    holder = new_peer()
    holder("refs = [store.put(np.arange(10_000)) for _ in range(20)]")
    assert store.stats().objects == 20

    holder.kill()

    assert is_empty(store)


def test_references_and_keeps_outlive_a_death_of_the_store(store, new_peer):
    sender, reader = new_peer(), new_peer()
    data = sender("import pickle; ref = store.put(np.arange(10_000)); pickle.dumps(ref)")
    reader(BACK.format(data.hex()))
    gone = new_peer()
    unread = gone("import pickle; pickle.dumps(store.put(np.arange(10_000)))")
    gone.kill()
    assert eventually(lambda: store.stats().clients == 3)

    kill_store(store.stats().pid)

    assert store.stats().starts == 2
    sender("del ref")
    assert lives_on(store, 2)
    assert reader("int(store.get(ref).sum())") == TOTAL
    assert store.get(pickle.loads(unread)).sum() == TOTAL


def test_who_refers_last_may_do_so_after_a_death_of_the_store(runtime_folder, new_peer, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_KEEP", "0")
    with Store(capacity="64MiB") as store:
        publisher, reader = new_peer(), new_peer()
        data = publisher("import pickle; ref = store.put(np.arange(10_000)); pickle.dumps(ref)")
        reader(BACK.format(data.hex()))
        publisher("del ref")
        kill_store(store.stats().pid)
        assert store.stats().objects == 1

        publisher.close()
        reader("del ref; gc.collect()")

        assert is_empty(store)


# --- inside of stored objects -----------------------------------------------------------------------------------------


def test_a_reference_inside_of_a_stored_object_keeps_what_it_means(store, peer):
    ref = put_numbers(store)
    store.put({"numbers": ref, "again": [ref]}, "box")

    del ref

    assert lives_on(store, 2)
    assert peer("box = store.get('box'); box['numbers'] == box['again'][0], int(store.get(box['numbers']).sum())") == (
        True,
        TOTAL,
    )


def test_what_only_a_stored_object_refers_to_goes_with_it(store, peer):
    ref = put_numbers(store)
    store.put([ref], "box")
    del ref
    assert lives_on(store, 2)

    store.delete("box")

    assert is_empty(store)


def test_a_reference_out_of_a_stored_object_outlives_that(store, peer):
    ref = put_numbers(store)
    store.put([ref], "box")
    peer("ref = store.get('box')[0]; import gc")
    del ref
    store.delete("box")

    assert lives_on(store, 1)
    assert peer("int(store.get(ref).sum())") == TOTAL
    peer("del ref; gc.collect()")

    assert is_empty(store)


def test_boxes_in_boxes_keep_what_is_in_the_innermost(store, peer):
    ref = put_numbers(store)
    for _ in range(5):
        ref = store.put({"inner": ref})
    store.put(ref, "box")
    del ref

    assert lives_on(store, 7)
    assert (
        peer("""
            inner = store.get("box")
            while isinstance(inner, shm.ObjectRef):
                inner = store.get(inner)
                inner = inner["inner"] if isinstance(inner, dict) else inner
            int(inner.sum())
        """)
        == TOTAL
    )
    peer("del inner")
    store.delete("box")
    assert is_empty(store)


def test_a_named_reference_inside_of_a_stored_object_keeps_nothing(store):
    ref = store.put(np.arange(NUMBERS), "x")
    store.put([ref], "box")

    store.delete("x")

    assert eventually(lambda: store.stats().objects == 1)
    with pytest.raises(errors.ObjectNotFoundError):
        store.get(store.get("box")[0])


def test_boxes_are_what_they_were_after_a_death_of_the_store(store, peer):
    ref = put_numbers(store)
    store.put([ref], "box")
    del ref

    kill_store(store.stats().pid)

    assert lives_on(store, 2)
    assert peer("int(store.get(store.get('box')[0]).sum())") == TOTAL
    store.delete("box")
    assert is_empty(store)


# --- ends -------------------------------------------------------------------------------------------------------------


def test_a_delete_ends_it_for_everybody_who_does_not_hold_it_yet(store, peer, new_peer):
    ref = put_numbers(store)
    data = pickle.dumps(ref)
    send(peer, ref)
    peer("view = store.get(ref)")

    store.delete(ref)

    with pytest.raises(errors.ObjectNotFoundError):
        store.delete(ref)
    late = new_peer()
    late(BACK.format(data.hex()))
    assert late("store.get(ref, default='gone')") == "gone"
    assert peer("int(view.sum())") == TOTAL
    peer("del view, ref; gc.collect()")
    del ref
    assert is_empty(store)


def test_a_reference_to_a_store_that_is_gone_says_so(runtime_folder):
    with Store("one", capacity="64MiB") as one:
        data = pickle.dumps(put_numbers(one))
        one.shutdown()
    with Store("two", capacity="64MiB") as two:
        back = pickle.loads(data)

        assert isinstance(back, ObjectRef)
        with pytest.raises(errors.ObjectNotFoundError, match="gone"):
            two.get(back)


def test_a_process_that_never_connected_reads_what_it_is_handed(store):
    data = pickle.dumps(put_numbers(store))

    code = "import sys, pickle, jupyter_shm as shm; print(int(shm.get(pickle.loads(bytes.fromhex(sys.argv[1]))).sum()))"
    done = subprocess.run([sys.executable, "-c", code, data.hex()], check=True, capture_output=True, text=True)

    assert done.stdout.split() == [str(TOTAL)]


def _total(ref):
    return int(shm.get(ref).sum())


def test_a_pool_of_spawned_processes_is_handed_references(store):
    refs = [store.put(np.full(100, n)) for n in range(6)]

    with multiprocessing.get_context("spawn").Pool(2) as pool:
        totals = pool.map(_total, refs)
        pool.close()
        pool.join()

    assert totals == [100 * n for n in range(6)]


def test_a_forked_child_sends_references_of_its_own(store):
    kept = [put_numbers(store)]

    data = forked(lambda: pickle.dumps(kept[0]))
    kept.clear()

    assert lives_on(store)
    assert store.get(pickle.loads(data)).sum() == TOTAL
