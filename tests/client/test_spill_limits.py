"""Who waits for the disk, who does not, where there is none, and memory that is the machine's again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from crowding import CAPACITY, MEGA, NAMES, full, is_full, spilled, spiller_of
from peers import PeerError, heap_bytes, kill_store, spill_heap

from jupyter_shm import errors
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

# --- waiting ------------------------------------------------------------------------------------------------------------


def test_while_one_put_waits_for_the_disk_everybody_else_goes_on(crowded, new_peer, runtime_folder):
    peer = new_peer()
    spiller = spiller_of(runtime_folder)
    os.kill(spiller, signal.SIGSTOP)
    try:
        peer.send("store.put(np.full(5_000_000, 77), 'late').version")
        for n in range(300):
            crowded.put(n, "small")
            assert crowded.get("small") == n
            assert is_full(crowded.get(NAMES[n % 12])[:100], n % 12)
        assert "late" not in crowded
    finally:
        os.kill(spiller, signal.SIGCONT)

    assert peer.answer() == 1
    assert is_full(crowded.get("late"), 77)


def test_a_put_that_is_interrupted_while_it_waits_leaves_nothing(crowded, new_peer, runtime_folder):
    peer = new_peer()
    spiller = spiller_of(runtime_folder)
    os.kill(spiller, signal.SIGSTOP)
    peer.send("""
        import signal, threading
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        try:
            store.put(np.full(5_000_000, 77), 'late')
            got = 'put'
        except KeyboardInterrupt:
            got = 'interrupted'
        got
    """)
    got = peer.answer()
    os.kill(spiller, signal.SIGCONT)

    assert got == "interrupted"
    assert eventually(lambda: crowded.stats().reserved == 0 or peer("store._session.cutter.let_go()"))
    assert "late" not in crowded
    peer("""
        def late():
            try:
                return store.put(np.full(5_000_000, 78), 'late').version
            except shm.errors.StoreFullError:
                return 0  # the disk, which stood still, has not been seen to move yet
    """)
    assert eventually(lambda: peer("late()") == 1)


# --- where nothing is spilled -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("off", "JUPYTER_SHM_SPILL_DIR turns it off"),
        ("0", "JUPYTER_SHM_SPILL_DIR turns it off"),
        ("/dev/shm", "/dev/shm is a tmpfs, which keeps files in memory"),
        ("/nowhere", "no file can be made in /nowhere: No such file or directory"),
    ],
)
def test_where_nothing_can_be_spilled_the_store_says_why(runtime_folder, monkeypatch, setting, reason):
    monkeypatch.setenv("JUPYTER_SHM_SPILL_DIR", setting)
    with Store(capacity=CAPACITY) as store:
        assert store.stats().spill_reason == reason
        assert f"off: {reason}" in str(store.stats())
        for value in range(8):
            store.put(full(value), f"n{value}")
        with pytest.raises(errors.StoreFullError) as caught:
            store.put(full(8), "n8")
        assert f"nothing can be spilled to disk: {reason}" in str(caught.value)
        kill_store(store.stats().pid)
        assert store.stats().spill_reason == reason
        assert is_full(store.get("n7"), 7)


def test_another_folder_can_be_named(runtime_folder, monkeypatch):
    monkeypatch.setenv("JUPYTER_SHM_SPILL_DIR", str(runtime_folder))
    with Store(capacity=CAPACITY) as store:
        if store.stats().spill_reason:
            pytest.skip("/tmp is in memory here")
        for value, name in enumerate(NAMES):
            store.put(full(value), name)
        assert spill_heap(store.stats().pid)[0].startswith(f"{runtime_folder}/")
        assert is_full(store.get(spilled(store)[0]), 0)


def test_a_disk_that_is_full_refuses_the_put_and_loses_nothing(runtime_folder, new_peer):
    """A limit of file sizes is the same to the store as a disk without room, and can be had without one."""
    starter = new_peer(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (400 << 20, resource.RLIM_INFINITY))
        import numpy as np, jupyter_shm as shm
        store = shm.connect(capacity=64 << 20)
        """
    )
    with Store() as store:

        def fill() -> None:
            for value in range(100):
                store.put(full(value), f"n{value}")

        with pytest.raises(errors.StoreFullError) as caught:
            fill()
        done = len(store)

        assert "nothing can be spilled to disk: File too large" in str(caught.value)
        assert done > 8
        for value in range(done):
            assert is_full(store.get(f"n{value}"), value)
        assert store.stats().starts == 1
        store.delete("n0")

        def fits() -> bool:
            try:
                store.put(full(99), "n99")
            except errors.StoreFullError:
                return False
            return True

        assert eventually(fits), "the disk has room again, which is found out a second later"
    starter.close()


# --- memory back --------------------------------------------------------------------------------------------------------


@pytest.mark.reserve("0")
def test_what_is_deleted_is_the_machines_again_within_a_second(runtime_folder):
    with Store(capacity=1 << 30) as store:
        pid = store.stats().pid

        def come_and_go() -> bool:
            """Does the machine tell of it?  Others may use shared memory at the same time."""
            before = shared_memory()
            for value in range(4):
                store.put(full(value, 128 * MEGA), f"n{value}")
            there = shared_memory() - before
            assert heap_bytes(pid) >= 512 * MEGA
            store.clear()
            assert eventually(lambda: heap_bytes(pid) == 0, 1.0)
            return there > 400 * MEGA and eventually(lambda: shared_memory() - before < 100 * MEGA, 1.0)

        assert eventually(come_and_go)


@pytest.mark.reserve("64MiB")
def test_beyond_the_reserve_what_is_deleted_is_the_machines_again_within_a_second(runtime_folder):
    with Store(capacity=1 << 30) as store:
        pid = store.stats().pid
        for value in range(4):
            store.put(full(value, 128 * MEGA), f"n{value}")
        store.clear()

        assert eventually(lambda: heap_bytes(pid) <= 66 * MEGA, 2.0), store.stats()


def shared_memory() -> int:
    """Bytes of shared memory on this machine, as /proc/meminfo says.

    Not what is available: freed pages are kept by each processor for a while, and are not counted there.
    """
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Shmem:"))


def test_what_leaves_for_the_disk_is_no_longer_in_the_heap(crowded):
    stats = crowded.stats()
    assert heap_bytes(stats.pid) <= stats.used + stats.reserve + stats.reserved + MEGA


# --- a limit of memory ----------------------------------------------------------------------------------------------------


def test_a_put_beyond_the_limit_is_an_error_and_ends_nobody(runtime_folder, new_peer):
    """Every page that may be touched was granted before: neither SIGBUS nor the system's killer."""
    with Store(capacity=CAPACITY) as store:
        peers = [new_peer() for _ in range(2)]
        for peer in peers:
            peer.send("""
                refused = 0
                for n in range(30):
                    try:
                        store.put(np.full(9_000_000, n), 'huge')
                    except MemoryError:
                        refused += 1
                refused
            """)
        assert [peer.answer() for peer in peers] == [30, 30]
        assert store.stats().starts == 1
        with pytest.raises(PeerError, match="StoreFullError"):
            peers[0]("store.put(np.zeros(CAPACITY := 9_000_000), 'x')")
