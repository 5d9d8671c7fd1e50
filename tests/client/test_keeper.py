"""The keeper: it may die alone; with the store everything ends, and the next use begins afresh."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from peers import ROOT, forked, is_alive, is_nothing_reserved, kill_store, kill_store_and_keeper
from store_processes import keepers_of, processes_of, stores_of

from jupyter_shm.client.store import Store
from jupyter_shm.errors import ObjectNotFoundError, PeerRefusedError, StoreLostWarning, StoreUnresponsiveError
from jupyter_shm.linux.process import descriptor_count
from jupyter_shm.linux.runtime import take_lock
from jupyter_shm.tables.layout import WORD, WORD_LAYOUT
from jupyter_shm.testing.private import eventually


def new_keeper(store, old):
    """Wait until another keeper has taken over; its pid."""
    assert eventually(lambda: store.stats().keeper not in (0, old))
    return store.stats().keeper


def kill_keeper(store):
    """SIGKILL the keeper alone; the pid of the next one."""
    old = store.stats().keeper
    os.kill(old, signal.SIGKILL)
    return new_keeper(store, old)


def has_memory(folder, inode):
    """Does any process of this folder, or this one, still have a memory open or mapped?"""
    for pid in [os.getpid(), *processes_of(folder)]:
        if f" {inode} " in Path(f"/proc/{pid}/maps").read_text():
            return True
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if link.stat().st_ino == inode and "memfd" in str(link.readlink()):
                    return True
            except FileNotFoundError:
                continue
    return False


def heap_inode(pid):
    heaps = [fd for fd in Path(f"/proc/{pid}/fd").iterdir() if "jupyter-shm-heap" in str(fd.readlink())]
    return heaps[0].stat().st_ino


def index_descriptor(pid):
    return next(fd for fd in Path(f"/proc/{pid}/fd").iterdir() if "jupyter-shm-index" in str(fd.readlink()))


# --- What it is -------------------------------------------------------------------------------------------------------


def test_keeper_and_store_stand_on_neutral_ground_and_carry_nothing_heavy(store, runtime_folder):
    store.put(np.arange(100_000), "x")
    (keeper,), (pid,) = keepers_of(runtime_folder), stores_of(runtime_folder)
    assert eventually(lambda: store.stats().keeper == keeper)

    for process in (keeper, pid):
        assert os.getsid(process) == keeper
        assert str(Path(f"/proc/{process}/cwd").readlink()) == "/"
        assert "numpy" not in Path(f"/proc/{process}/maps").read_text()
    assert "memfd" not in Path(f"/proc/{keeper}/maps").read_text(), "the keeper maps nothing"


def test_a_keeper_that_a_store_has_started_is_like_the_first_one(store, runtime_folder):
    keeper = kill_keeper(store)

    assert list(keepers_of(runtime_folder)) == [keeper]
    assert os.getsid(keeper) == keeper
    assert str(Path(f"/proc/{keeper}/cwd").readlink()) == "/"
    assert "memfd" not in Path(f"/proc/{keeper}/maps").read_text()


def test_neither_numpy_nor_cloudpickle_is_imported(runtime_folder):
    # As it is started: under another name than ``-m`` the package loads the client at once.
    command = [sys.executable, "-X", "importtime", "-m", "jupyter_shm.store", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr

    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "jupyter_shm.store.daemon" in imported
    assert {"numpy", "cloudpickle", "pickle", "jupyter_shm.client.store"} & imported == set()


# --- It dies ----------------------------------------------------------------------------------------------------------


def test_the_keeper_may_die_again_and_again_and_the_store_after_it(store, runtime_folder):
    store.put(np.arange(1000), "x")
    view = store.get("x")

    for round in range(1, 4):
        kill_keeper(store)
        assert store.get("x")[-1] == 999
        kill_store(store.stats().pid)
        store.put(round, "y")

        assert (store.get("y"), store.get("x")[-1]) == (round, 999)
        assert store.stats().starts == round + 1
        assert len(keepers_of(runtime_folder)) == len(stores_of(runtime_folder)) == 1
    assert view.sum() == 499_500


def test_no_descriptor_is_lost_by_deaths(store):
    store.put(1, "x")
    keeper = kill_keeper(store)
    kill_store(store.stats().pid)
    counts = descriptor_count(store.stats().pid), descriptor_count(keeper)

    for _ in range(8):
        kill_store(store.stats().pid)
        store.put(1, "x")

    assert eventually(lambda: (descriptor_count(store.stats().pid), descriptor_count(keeper)) == counts)


def test_when_both_die_all_memory_is_freed_and_the_next_use_begins_afresh_and_says_so_once(store, runtime_folder):
    store.put(np.arange(1_000_000), "x")
    before = store.stats()
    heap = heap_inode(before.pid)
    kill_store_and_keeper(before.pid)

    with pytest.warns(StoreLostWarning, match=f"pid {before.pid}.*gone"):
        # A child that was just being started may have all descriptors of the dead for a moment more.
        assert eventually(lambda: "x" not in store)

    assert not has_memory(runtime_folder, heap)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.put(1, "x")
        assert store.get("x") == 1
    assert store.stats().starts == 1


def is_gone(store):
    with pytest.raises(ObjectNotFoundError):
        store.delete("x")
    return True


CALLS = {
    "put": lambda store: store.put(2, "x").version == 1,
    "get": lambda store: store.get("nothing", default=5) == 5,
    "delete": is_gone,
    "list": lambda store: store.list() == [],
    "stats": lambda store: store.stats().objects == 0,
    "in": lambda store: "nothing" not in store,
    "pop": lambda store: store.pop("x", None) is None,
    "wait": lambda store: store.wait(["nothing"], timeout=0.5) == ([], ["nothing"]),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_in_whose_middle_both_die_is_made_to_the_next_store(store, call):
    store.put(1, "x")
    pid = store.stats().pid
    os.kill(pid, signal.SIGSTOP)  # so that the call is on its way when they die
    killer = threading.Timer(0.2, kill_store_and_keeper, [pid])
    killer.start()

    with pytest.warns(StoreLostWarning) as caught:
        assert CALLS[call](store)

    killer.join()
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("milliseconds", [0, 1, 5, 20, 60, 150])
def test_a_store_that_dies_after_its_keeper_is_there_as_a_whole_or_not_at_all(store, peer, milliseconds):
    values = {f"n{number}": np.full(1000, number) for number in range(50)}
    for name, value in values.items():
        store.put(value, name)
    views = {name: store.get(name) for name in values}
    peer("views = [store.get(f'n{number}') for number in range(50)]")
    stats = store.stats()
    assert eventually(lambda: store.stats().keeper)

    os.kill(store.stats().keeper, signal.SIGKILL)
    over = time.monotonic() + milliseconds / 1000
    while time.monotonic() < over:
        pass
    kill_store(stats.pid)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreLostWarning)
        assert set(store.keys()) in (set(), set(values))
        store.put(np.full(300_000, -1), "new")
    assert all((views[name] == value).all() for name, value in values.items())
    assert peer("all((view == number).all() for number, view in enumerate(views))")


def test_sigterm_to_the_keeper_ends_store_and_keeper_in_order(store, runtime_folder):
    store.put(np.arange(10), "x")
    view = store.get("x")
    assert eventually(lambda: store.stats().keeper)

    os.kill(store.stats().keeper, signal.SIGTERM)

    assert eventually(lambda: not processes_of(runtime_folder))
    assert not (runtime_folder / "default.sock").exists()
    os.close(take_lock(runtime_folder / "default.lock", wait=True))
    assert view.sum() == 45
    assert "Traceback" not in (runtime_folder / "default.log").read_text()


# --- There is no way on -----------------------------------------------------------------------------------------------


def test_a_store_that_cannot_start_again_is_given_up_and_says_why(store, runtime_folder):
    store.put(np.arange(10), "x")
    view = store.get("x")
    pid = store.stats().pid
    (keeper,) = keepers_of(runtime_folder)
    fd = os.open(index_descriptor(keeper), os.O_RDWR)
    os.pwrite(fd, struct.pack("<Q", 4711), WORD * WORD_LAYOUT)
    os.close(fd)

    kill_store(pid)

    assert eventually(lambda: not is_alive(keeper), seconds=30)
    log = (runtime_folder / "default.log").read_text()
    assert "a layout that this release does not know" in log
    assert "it is not started again, and what it held is lost" in log
    with pytest.warns(StoreLostWarning):
        store.put(1, "y")
    assert store.keys() == ["y"]
    assert view.sum() == 45


# --- Nobody is there for a while --------------------------------------------------------------------------------------


def test_whoever_comes_while_no_store_lives_is_served_by_the_next_one(store, new_peer):
    store.put(np.arange(10), "x")
    peer = new_peer()
    stats = store.stats()
    assert eventually(lambda: store.stats().keeper)
    os.kill(store.stats().keeper, signal.SIGSTOP)
    kill_store(stats.pid)

    newcomer = new_peer(wait=False)
    peer.send("store.put(5, 'y'); store.get('y')")
    assert store.get("x").sum() == 45, "published names need no store"
    os.kill(stats.keeper, signal.SIGCONT)

    newcomer.answer()
    assert newcomer("int(store.get('x').sum())") == 45
    assert peer.answer() == 5
    assert forked(lambda: int(store.get("x").sum())) == 45


def test_a_folder_that_is_closed_to_the_next_store_loses_nobody(store, runtime_folder):
    store.put(np.arange(10), "x")
    runtime_folder.chmod(0o755)
    kill_store(store.stats().pid)

    store.put(1, "y")

    assert (store.get("x").sum(), store.get("y"), store.stats().starts) == (45, 1, 2)
    runtime_folder.chmod(0o700)
    assert eventually(lambda: can_connect(store))


def test_a_socket_that_is_removed_while_no_store_lives_is_bound_by_the_next_one(store, runtime_folder):
    store.put(1, "x")
    stats = store.stats()
    assert eventually(lambda: store.stats().keeper)
    keeper = store.stats().keeper
    os.kill(keeper, signal.SIGSTOP)
    kill_store(stats.pid)
    (runtime_folder / "default.sock").unlink()

    os.kill(keeper, signal.SIGCONT)

    assert eventually((runtime_folder / "default.sock").exists)
    assert can_connect(store)
    assert len(stores_of(runtime_folder)) == 1


def can_connect(store):
    """Does a new connection reach the store that this one talks to?"""
    try:
        with Store(start=False) as other:
            return other.stats().pid == store.stats().pid
    except (FileNotFoundError, PeerRefusedError):
        return False


@pytest.mark.slow
def test_a_store_that_stands_still_is_told_and_published_names_are_still_there(store, peer):
    store.put(np.arange(10), "x")
    stats = store.stats()
    os.kill(stats.pid, signal.SIGSTOP)
    try:
        assert peer("int(store.get('x').sum())") == 45
        assert store.get("x").sum() == 45
        with pytest.raises(StoreUnresponsiveError, match=rf"pid {stats.pid}, log .*default\.log.* for 10 s") as caught:
            store.put(1, "y")
        assert "can still be fetched" in str(caught.value)
    finally:
        os.kill(stats.pid, signal.SIGCONT)

    assert store.keys() == ["x"]
    del caught  # with its frames: the put that was given up
    assert is_nothing_reserved(store, peer)
    store.put(1, "y")
    assert peer("store.get('y')") == 1


def test_a_call_of_a_store_that_hangs_goes_on_when_that_is_killed(store, peer):
    pid = store.stats().pid
    os.kill(pid, signal.SIGSTOP)
    peer.send("store.put('late', 'x')")
    peer.send("store.get('x')")
    kill_store(pid)

    peer.answer()
    assert peer.answer() == "late"
    assert store.get("x") == "late"
