"""Arrays with a head that was seen before are built without decoding it, and are what they would have been."""

from __future__ import annotations

import numpy as np
import pytest

from jupyter_shm.client import kinds

ARRAYS = {
    "one axis": np.arange(100.0),
    "C order": np.arange(24, dtype="i2").reshape(2, 3, 4),
    "Fortran order": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "big endian": np.arange(9, dtype=">f4"),
    "datetimes": np.arange("2024-01", "2025-01", dtype="M8[M]"),
    "no axis": np.array(7),
    "nothing in it": np.empty((0, 3)),
    "records": np.zeros(3, dtype=[("a", "i4"), ("b", "f8")]),
    "large": np.arange(100_000),
    "large of two axes": np.arange(100_000.0).reshape(50, -1),
}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(kinds, "_kinds", {})


@pytest.mark.parametrize("kind", ARRAYS)
def test_a_second_array_of_a_kind_is_as_good_as_the_first(store, kind):
    array = ARRAYS[kind]
    for name in ("first", "second", "third"):
        store.put(array, name)

    got = [store.get(name) for name in ("first", "second", "third", "third")]

    for one in got:
        assert np.array_equal(one, array)
        assert (one.dtype, one.shape) == (array.dtype, array.shape)
        assert one.flags.f_contiguous == array.flags.f_contiguous
        assert not one.flags.writeable
    assert len(kinds._kinds) == (kind != "records")


def test_an_array_of_a_known_kind_shows_its_own_bytes_and_holds_its_own_lease(store):
    for n in range(5):
        store.put(np.full(50, n), f"n{n}")

    views = [store.get(f"n{n}") for n in range(5)]
    for n in range(5):
        store.delete(f"n{n}")

    assert [int(view.sum()) for view in views] == [50 * n for n in range(5)]
    assert store.stats().objects == 5


def test_a_change_of_the_array_that_a_kind_was_learned_from_changes_no_other(store):
    store.put(np.arange(6), "a")
    store.put(np.arange(6), "b")
    first = store.get("a")

    first.shape = (2, 3)

    assert store.get("b").shape == (6,)


def test_arrays_of_more_kinds_than_are_remembered_are_all_right(store):
    arrays = [np.arange(n) for n in range(1, kinds.MAX_KINDS + 20)]
    for n, array in enumerate(arrays):
        store.put(array, f"n{n}")

    assert all(np.array_equal(store.get(f"n{n}"), array) for n, array in enumerate(arrays))
    assert len(kinds._kinds) <= kinds.MAX_KINDS
