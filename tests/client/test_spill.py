"""Objects on disk: read like all others, held like all others, and gone like all others."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from crowding import BYTES, CAPACITY, MEGA, NAMES, full, is_full, spilled, spiller_of
from peers import forked, is_alive, kill_store, run, spill_bytes

from jupyter_shm import errors
from jupyter_shm.client.store import Store
from jupyter_shm.linux.process import private_bytes
from jupyter_shm.testing.private import eventually


@pytest.fixture
def small(runtime_folder):
    """A store of 64 MiB."""
    with Store(capacity=CAPACITY) as store:
        yield store


# --- reading ------------------------------------------------------------------------------------------------------------


def test_what_leaves_memory_is_there_all_the_same(crowded):
    stats = crowded.stats()
    assert stats.spilled_objects == len(spilled(crowded)) >= 4
    assert stats.spilled >= 4 * BYTES
    assert stats.used + stats.reserved <= CAPACITY
    assert crowded.keys() == sorted(NAMES)

    for value, name in enumerate(NAMES):
        assert is_full(crowded.get(name), value)


def test_the_least_recently_used_leaves_first(small):
    for value in range(8):
        small.put(full(value), f"n{value}")
    time.sleep(0.002)  # uses are told in milliseconds
    for name in ("n0", "n3"):
        small.get(name)

    small.put(full(8), "n8")
    small.put(full(9), "n9")

    assert spilled(small)[:2] == ["n1", "n2"]
    assert {"n0", "n3"}.isdisjoint(spilled(small))


def test_a_spilled_array_is_a_view_that_cannot_be_written(crowded):
    array = crowded.get("n0")

    with pytest.raises(ValueError, match="read-only"):
        array[0] = 5
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


def test_c_code_that_writes_to_a_spilled_array_dies_and_changes_nothing(crowded):
    status, _, _ = run("""
        import ctypes, faulthandler
        import jupyter_shm as shm
        array = shm.connect().get("n0")
        ctypes.memset(array.ctypes.data, 255, 8)
    """)

    assert status == -signal.SIGSEGV
    assert is_full(crowded.get("n0"), 0)


def test_a_get_again_looks_at_the_same_bytes(crowded):
    array = crowded.get("n0")
    again = crowded.get("n0")

    assert again.__array_interface__["data"] == array.__array_interface__["data"]
    crowded.put(full(5), "n0")
    assert is_full(crowded.get("n0"), 5)
    assert is_full(array, 0)


def test_reading_takes_no_private_memory_and_none_of_the_store(crowded):
    used, before = crowded.stats().used, private_bytes()

    views = [crowded.get(name) for name in spilled(crowded)]
    assert all(view.sum() >= 0 for view in views)

    assert private_bytes() - before < MEGA
    assert crowded.stats().used == used


def test_every_way_to_read_works(crowded, new_peer):
    assert "n1" in spilled(crowded)
    private = crowded.get("n1", mode="c")
    private[0] = 77
    copy = crowded.get("n1", copy=True)
    copy[0] = 78

    assert is_full(crowded.get("n1"), 1)
    assert is_full(private[1:], 1)
    assert crowded.info("n1").state == "spilled"
    assert "are shared: an ndarray" in crowded.info("n1").explain()
    assert crowded.wait(["n1"]) == (["n1"], [])
    assert "n1" in crowded
    peer = new_peer()
    assert peer("int(store.get('n1', timeout=5)[0]), int(store.get('n1').sum()), store.wait(['n1'])[0]") == (
        1,
        len(full(1)),
        ["n1"],
    )


def test_other_types_are_read_from_disk_too(small):
    table = pd.DataFrame({"a": np.arange(600_000), "b": np.arange(600_000) * 0.5})
    thing = {"array": np.arange(MEGA), "text": "x" * 1000, "table": table}
    small.put(table, "table")
    small.put(thing, "thing")
    small.put(np.asfortranarray(np.arange(600_000).reshape(600, 1000)), "fortran")
    for value in range(9):
        small.put(full(value), f"n{value}")
    assert {"table", "thing", "fortran"} <= set(spilled(small))

    assert small.get("table").equals(table)
    got = small.get("thing")
    assert is_full(got["array"] - np.arange(MEGA), 0)
    assert got["table"].equals(table)
    assert small.get("fortran").flags.f_contiguous
    assert small.get("fortran")[599, 999] == 599_999


def test_a_reference_to_this_very_version_reads_it_from_disk(small):
    ref = small.put(full(1), "x")
    for value in range(10):
        small.put(full(value), f"n{value}")
    assert "x" in spilled(small)

    assert is_full(small.get(ref), 1)
    small.put(full(2), "x")
    assert eventually(lambda: small.info("x").version == 2)
    gc.collect()
    assert eventually(lambda: _is_gone(small, ref))


def _is_gone(store, ref) -> bool:
    try:
        store.get(ref)
    except errors.ObjectNotFoundError:
        return True
    return False


def test_a_pickled_view_is_an_array_like_any_other(crowded):
    assert is_full(pickle.loads(pickle.dumps(crowded.get("n0"))), 0)


def test_what_is_spilled_can_be_put_again_in_whole_and_in_part(crowded):
    view = crowded.get("n1")

    crowded.put(view, "whole")
    crowded.put(view[10:20], "part")

    del view
    crowded.delete("n1")
    assert is_full(crowded.get("whole"), 1)
    assert is_full(crowded.get("part"), 1)
    assert crowded.get("part").shape == (10,)


def test_a_forked_child_reads_its_parents_views_and_fetches_its_own(crowded):
    view = crowded.get("n0")

    def child():
        return is_full(view, 0), is_full(crowded.get("n1"), 1), is_full(crowded.get("n11"), 11)

    assert forked(child) == (True, True, True)


def test_it_is_shown_in_the_tables(crowded):
    (line,) = [line for line in str(crowded.list()).splitlines() if line.startswith("n0 ")]
    assert line.endswith("spilled")
    assert "spilled" in dict(crowded.stats().rows())
    assert f"{crowded.stats().spilled_objects} objects" in str(crowded.stats())


# --- holding and letting go ---------------------------------------------------------------------------------------------


def test_what_is_read_does_not_leave(small):
    views = [small.get(small.put(full(value), f"n{value}").name) for value in range(8)]

    with pytest.raises(errors.StoreFullError) as caught:
        small.put(full(8), "n8")

    error = caught.value
    assert error.asked > error.capacity - error.used - error.reserved + error.spillable
    assert (error.spillable, error.spilled) == (0, 0)
    assert error.busy >= 8 * BYTES
    assert error.holders[0][2] >= 8 * BYTES
    assert "are being read" in str(error)
    assert all(is_full(view, value) for value, view in enumerate(views))
    del views
    small.put(full(8), "n8")
    assert is_full(small.get("n0"), 0)


def test_a_spilled_object_that_is_deleted_while_it_is_read_keeps_its_bytes(crowded, new_peer):
    peer = new_peer()
    assert peer("view = store.get('n0'); int(view[-1])") == 0
    before = crowded.stats().spilled

    crowded.delete("n0")
    with pytest.raises(errors.ObjectNotFoundError):
        crowded.get("n0")
    assert peer("int(view.sum())") == 0
    assert crowded.stats().held == 0
    assert [info.state for info in crowded.list(anonymous=True) if info.name == "n0"] in ([], ["held"])
    peer("del view")

    assert eventually(lambda: crowded.stats().spilled < before)


def test_views_outlive_the_connection_and_the_store(runtime_folder):
    store = Store(capacity=CAPACITY)
    for value, name in enumerate(NAMES):
        store.put(full(value), name)
    view = store.get("n0")
    store.shutdown()

    assert is_full(view, 0)


def test_the_disk_is_given_back(crowded):
    pid = crowded.stats().pid
    assert spill_bytes(pid) >= 4 * BYTES

    crowded.clear()

    assert eventually(lambda: crowded.stats().spilled == 0)
    assert eventually(lambda: spill_bytes(pid) == 0)


def test_nothing_is_left_on_the_disk_when_the_store_has_ended(crowded):
    before = set(Path("/var/tmp").iterdir())
    pid = crowded.stats().pid
    crowded.shutdown()

    assert eventually(lambda: not is_alive(pid))
    assert not [path for path in set(Path("/var/tmp").iterdir()) - before if "jupyter-shm" in path.name]


# --- deaths -------------------------------------------------------------------------------------------------------------


def test_everything_is_there_when_the_store_was_killed(crowded):
    view = crowded.get("n0")
    before = spilled(crowded)

    for _ in range(3):
        kill_store(crowded.stats().pid)
        assert spilled(crowded) == before

    stats = crowded.stats()
    assert (stats.starts, stats.spilled_objects) == (4, len(before))
    for value, name in enumerate(NAMES):
        assert is_full(crowded.get(name), value)
    assert is_full(view, 0)
    assert crowded.info("n0").owner == crowded.info("n11").owner
    crowded.put(full(12), "n12")
    del view
    crowded.clear()
    assert eventually(lambda: spill_bytes(crowded.stats().pid) == 0)


def test_everything_is_there_when_the_keeper_was_killed_and_then_the_store(crowded):
    first = crowded.stats().keeper
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: crowded.stats().keeper not in {0, first})
    kill_store(crowded.stats().pid)

    assert crowded.stats().starts == 2
    for value, name in enumerate(NAMES):
        assert is_full(crowded.get(name), value)


def test_a_process_that_spills_and_dies_is_replaced(crowded, runtime_folder):
    first = spiller_of(runtime_folder)
    assert first
    os.kill(first, signal.SIGKILL)

    for value in range(12, 16):
        crowded.put(full(value), f"n{value}")

    assert spiller_of(runtime_folder) not in {0, first}
    for value in range(16):
        assert is_full(crowded.get(f"n{value}"), value)


def test_a_store_killed_in_the_middle_of_a_copy_loses_nothing_and_goes_on(crowded, new_peer, runtime_folder):
    peer = new_peer()
    spiller, before = spiller_of(runtime_folder), crowded.stats().spilled
    os.kill(spiller, signal.SIGSTOP)
    peer.send("store.put(np.full(5_000_000, 77), 'late').version")
    assert eventually(lambda: crowded.stats().spilled > before), "no copy is begun"
    kill_store(crowded.stats().pid)

    assert peer.answer() == 1
    assert eventually(lambda: not is_alive(spiller)), "it is killed with its store"
    assert is_full(crowded.get("late"), 77)
    for value, name in enumerate(NAMES):
        assert is_full(crowded.get(name), value)
