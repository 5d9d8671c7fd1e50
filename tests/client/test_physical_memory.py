"""Readers share physical pages."""

from __future__ import annotations

import numpy as np
import pytest

from jupyter_shm.client.store import Store

MEGA = 1 << 20


@pytest.mark.parametrize("shape", ["an array", "an object"])
def test_a_second_process_adds_less_than_a_megabyte_of_private_memory_for_240(runtime_folder, new_peer, shape):
    with Store(capacity="512MiB") as store:
        array = np.ones(30 * MEGA)
        store.put(array if shape == "an array" else {"a": array}, "x")
        del array
        # Linux counts a page that one process alone maps as private to it: the publisher reads too, as in life.
        ours = store.get("x") if shape == "an array" else store.get("x")["a"]
        ours.sum()
        peer = new_peer()
        # Twice: what the first get loads of code is no memory of the array's.
        before, got, summed, total = peer("""
            from jupyter_shm.linux.process import private_bytes
            store.put(np.ones(1000), "small"); store.get("small").sum()
            before = private_bytes()
            x = store.get("x")
            x = x if isinstance(x, np.ndarray) else x["a"]
            got = private_bytes()
            total = float(x.sum())
            before, got, private_bytes(), total
        """)

        assert peer.close() == 0
        del ours

    assert total == 30 * MEGA
    assert got - before < MEGA
    assert summed - before < MEGA


def test_pages_of_the_heap_that_one_process_alone_has_mapped_are_not_its_private_memory(store, peer):
    store.put(np.ones(8 * MEGA), "x")

    before, summed = peer("""
        from jupyter_shm.linux.process import private_bytes
        before = private_bytes()
        x = store.get("x")
        x.sum()
        before, private_bytes()
    """)

    assert summed - before < MEGA


def test_a_copy_on_write_view_takes_memory_only_where_it_is_written(store, peer):
    store.put(np.ones(8 * MEGA), "x")
    ours = store.get("x")
    ours.sum()

    before, read, wrote = peer("""
        from jupyter_shm.linux.process import private_bytes
        before = private_bytes()
        x = store.get("x", mode="c")
        x.sum()
        read = private_bytes()
        x[: 1 << 20] = 0
        before, read, private_bytes()
    """)

    assert read - before < MEGA
    assert 8 * MEGA <= wrote - read < 16 * MEGA


def test_looking_at_a_table_of_objects_touches_none_of_their_memory(store, peer):
    for n in range(20):
        store.put(np.ones(MEGA), f"x{n}")

    before, after = peer("""
        from jupyter_shm.linux.process import private_bytes
        str(store.list()); store.stats()
        before = private_bytes()
        for _ in range(5): str(store.list(anonymous=True)); [str(info) for info in store.list()]
        before, private_bytes()
    """)

    assert after - before < MEGA
