"""What a get gives cannot be written: numpy refuses, and whoever ignores numpy is stopped by the MMU."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from peers import PeerError


@pytest.fixture
def shared(store, peer):
    """100,000 numbers, fetched by a peer as ``x``."""
    store.put(np.arange(100_000), "x")
    peer("import ctypes, mmap; x = store.get('x')")
    return peer


def total(store):
    return int(store.get("x").sum())


def test_numpy_refuses_to_write(store, shared):
    with pytest.raises(PeerError, match="read-only"):
        shared("x[0] = 1")
    with pytest.raises(PeerError, match="read-only"):
        shared("x.reshape(10, -1)[1:].T[0] = 1")
    with pytest.raises(PeerError, match="read-only"):
        shared("x.sort()")

    assert total(store) == 4_999_950_000


def test_the_read_only_flag_cannot_be_lifted(store, shared):
    for array in ("x", "x[5:]", "x.view(np.uint8)", "x.base", "np.asarray(memoryview(x))"):
        with pytest.raises(PeerError, match="ValueError"):
            shared(f"{array}.setflags(write=True)")


@pytest.mark.parametrize("where", ["x.ctypes.data", "x.ctypes.data + x.nbytes - 8"])
def test_a_write_past_numpy_dies_by_the_mmu(store, shared, where):
    with pytest.raises(PeerError, match=f"exit status {-signal.SIGSEGV}$"):
        shared(f"ctypes.c_long.from_address({where}).value = 1")

    assert total(store) == 4_999_950_000


def test_the_map_cannot_be_made_writable(store, shared):
    errno = shared("""
        libc = ctypes.CDLL(None, use_errno=True)
        page = x.ctypes.data & -mmap.PAGESIZE
        assert libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), 3) == -1
        ctypes.get_errno()
    """)

    assert errno == 13  # EACCES
    assert total(store) == 4_999_950_000


def test_arrays_inside_an_object_are_protected_too(store, peer):
    store.put({"a": np.arange(100_000)}, "d")

    with pytest.raises(PeerError, match="read-only"):
        peer("store.get('d')['a'][0] = 1")
    with pytest.raises(PeerError, match="exit status -11"):
        peer("import ctypes; d = store.get('d'); ctypes.c_long.from_address(d['a'].ctypes.data).value = 1")


def test_what_is_written_to_a_copy_on_write_view_stays_in_that_process(store, shared):
    written = shared("""
        y = store.get('x', mode='c')
        y[:] = 0
        ctypes.c_long.from_address(y.ctypes.data).value = 7
        int(y.sum()), int(x.sum()), int(store.get('x').sum())
    """)

    assert written == (7, 4_999_950_000, 4_999_950_000)
    assert total(store) == 4_999_950_000


def test_a_copy_on_write_view_does_not_follow_an_overwrite(store, shared):
    shared("y = store.get('x', mode='c')")
    store.put(np.zeros(100_000, int), "x")
    for n in range(20):
        store.put(np.full(100_000, n), f"other{n}")

    assert shared("int(y.sum()), int(x.sum())") == (4_999_950_000, 4_999_950_000)


def test_the_publisher_of_an_array_gets_no_writable_view_either(store):
    store.put(np.arange(10), "x")

    assert not store.get("x").flags.writeable
