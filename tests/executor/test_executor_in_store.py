"""Large arguments and results of an ``Executor`` go through the store, unasked, and the memory goes back."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import executor_tasks as tasks
import numpy as np
import pytest

import jupyter_shm as shm
from jupyter_shm.client.session import open_sessions
from jupyter_shm.testing.private import eventually
from jupyter_shm.workers.packing import LARGE, open_up, pack_up

COUNT = 1 << 17
NUMBERS = np.arange(COUNT, dtype=float)


def is_mapped(array) -> bool:
    """Do its elements lie in a map of the store's heap, a shared or a private one?"""
    address = array.__array_interface__["data"][0]
    with Path("/proc/self/maps").open() as lines:
        for line in lines:
            start, _, end = line.split(maxsplit=1)[0].partition("-")
            if int(start, 16) <= address < int(end, 16):
                return "jupyter-shm-heap" in line
    return False


def is_empty(store) -> bool:
    gc.collect()
    return eventually(lambda: store.stats().objects == 0)


def test_a_large_argument_arrives_in_shared_memory_and_may_be_written(store, pool):
    mine = NUMBERS.copy()

    def look(array):
        before = is_mapped(array), float(array.sum())
        array[:] = 0
        return before

    look.__globals__["is_mapped"] = is_mapped
    assert pool.submit(look, mine).result() == (True, NUMBERS.sum())
    assert (mine == NUMBERS).all()
    assert is_empty(store)


def test_a_large_result_arrives_in_shared_memory_may_be_written_and_goes_when_it_is_let_go_of(store, pool):
    future = pool.submit(np.arange, COUNT)
    result = future.result()

    assert is_mapped(result)
    assert eventually(lambda: store.stats().objects == 1)
    result += 1
    assert result[0] == 1

    del result
    gc.collect()
    assert store.stats().objects == 1  # the future has it still
    del future
    assert is_empty(store)


@pytest.mark.parametrize("where", ["a list", "a dict", "keyword", "deep"])
def test_arrays_anywhere_inside_go_through_the_store(store, pool, where):
    box = {"a list": [1, NUMBERS], "a dict": {"x": NUMBERS}, "keyword": NUMBERS, "deep": [({"x": [NUMBERS]},)]}[where]

    def total(box):
        while not isinstance(box, np.ndarray):
            box = next(iter(box.values())) if isinstance(box, dict) else box[-1]
        return float(box.sum()), is_mapped(box), [box, box]

    total.__globals__["is_mapped"] = is_mapped
    found, is_there, (one, other) = pool.submit(total, box=box).result()

    assert (found, is_there) == (NUMBERS.sum(), True)
    assert one is other
    assert is_mapped(one)


def test_a_table_goes_through_the_store(store, pool):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"n": np.arange(COUNT), "s": ["a", "bc"] * (COUNT // 2)})

    back = pool.submit(lambda table: table.assign(m=table["n"] + 1), table).result()

    assert back["m"].iloc[-1] == COUNT
    assert eventually(lambda: store.stats().objects == 1)
    del back
    assert is_empty(store)


def test_what_is_small_never_needs_a_store(runtime_folder):
    with shm.Executor(1) as pool:
        assert pool.submit(np.sum, np.ones(LARGE // 8 - 100)).result() == LARGE // 8 - 100

    assert not list(runtime_folder.iterdir())


def test_a_stored_array_is_not_copied_either_way(store, pool):
    x = store.get(store.put(NUMBERS))
    used = store.stats().used

    back, facts = pool.submit(lambda x: (x[100:], tasks.facts(x)), x).result()

    assert facts == (NUMBERS.sum(), False)
    assert not back.flags.writeable
    assert store.stats().used < used + 64 * 1024
    assert back[0] == 100
    del x, back
    assert is_empty(store)


def test_a_thousand_calls_that_wait_do_not_fill_the_store(store, pool):
    array = np.zeros(1 << 20)  # 8 MiB; 256 MiB is the capacity

    futures = [pool.submit(len, array) for _ in range(200)]

    assert {future.result() for future in futures} == {1 << 20}
    del futures, array
    assert is_empty(store)


def test_where_the_store_is_full_bytes_travel(store, pool):
    hog = store.put(np.zeros(250 << 17))  # 250 of 256 MiB

    back = pool.submit(tasks.add_one, np.zeros(2 << 20)).result()

    assert back.sum() == 2 << 20
    assert not is_mapped(back)
    del hog


def test_a_reference_among_the_arguments_is_a_reference_there(store, pool):
    ref = store.put(NUMBERS)

    assert pool.submit(lambda refs: float(shm.get(refs[0]).sum()), [ref]).result() == NUMBERS.sum()
    del ref
    assert is_empty(store)


def test_a_reference_in_a_result_keeps_what_it_means_as_long_as_it_lives(store, pool):
    ref = pool.submit(lambda: shm.put(np.arange(COUNT))).result()
    gc.collect()

    assert shm.get(ref).sum() == NUMBERS.sum()
    del ref
    assert is_empty(store)


def test_results_that_nobody_takes_hold_nothing(store, pool):
    for _ in range(10):
        pool.submit(np.zeros, COUNT)
    pool.shutdown()

    assert is_empty(store)


@pytest.mark.may_leak("descriptors", "segments", reason="loky keeps something of the processes of a pool that broke")
def test_a_call_that_was_cancelled_or_broke_the_pool_holds_nothing(store):
    pool = shm.Executor(1)
    futures = [pool.submit(lambda _: os._exit(1), NUMBERS) for _ in range(20)]
    futures[-1].cancel()

    assert all(future.cancelled() or future.exception(timeout=50) for future in futures)
    pool.shutdown()
    del futures
    assert is_empty(store)


def test_a_worker_that_reads_much_is_not_replaced(store):
    x = store.get(store.put(np.zeros(100 << 17)))
    with shm.Executor(1) as pool:
        pids = {pool.submit(lambda x: (x.sum(), os.getpid())[1], x).result() for _ in range(3)}
        limit = pool.submit(lambda: __import__("loky").process_executor._MAX_MEMORY_LEAK_SIZE).result()

    assert len(pids) == 1
    assert limit > 1 << 40


# --- shipments, in one process ------------------------------------------------------------------------------------------


def test_a_shipment_of_arguments_may_be_opened_again_and_again(store):
    shipment = pack_up([NUMBERS], store=store)

    assert shipment.is_stored
    assert all((open_up(shipment)[0] == NUMBERS).all() for _ in range(3))
    del shipment
    assert is_empty(store)


def test_a_shipment_that_is_handed_over_is_held_by_nobody_but_its_opener(store):
    shipment = pack_up([NUMBERS], hand_over=True, store=store)
    assert store.session.leases._sent == set()
    assert store.stats().objects == 1

    opened = open_up(shipment)

    assert (opened[0] == NUMBERS).all()
    del opened
    assert is_empty(store)
    with pytest.raises(shm.errors.ObjectNotFoundError):
        open_up(shipment)


def test_a_shipment_is_opened_read_only_if_one_likes(store):
    (array,) = open_up(pack_up([NUMBERS], hand_over=True, store=store), private=False)

    assert not array.flags.writeable
    assert any(session.heap.offset_at(array.__array_interface__["data"][0], 1) for session in open_sessions())


def test_layouts_and_types_survive_a_shipment(store):
    matrix = NUMBERS.reshape(256, 512)
    things = [
        matrix.T,
        matrix[::2, ::-3],
        matrix.astype("M8[s]"),
        np.float32(3),
        np.array(NUMBERS.tobytes()).reshape(()),
        matrix.view([("a", "f8"), ("b", "f8")]),
        np.array([None, "x"]),
    ]

    for thing, back in zip(things, open_up(pack_up(things, hand_over=True, store=store)), strict=True):
        assert np.array_equal(np.asarray(back), np.asarray(thing))
        assert back.dtype == thing.dtype
