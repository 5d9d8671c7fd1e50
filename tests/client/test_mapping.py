"""The store as a mapping: only names count, and nothing is fetched to answer a question about names."""

from __future__ import annotations

import numpy as np
import pytest

from jupyter_shm import errors


def test_items_are_put_fetched_and_taken_away(store, peer):
    store["x"] = np.arange(5)

    assert peer("store['x'].tolist()") == [0, 1, 2, 3, 4]
    peer("del store['x']")
    assert "x" not in store
    with pytest.raises(KeyError, match="'x'"):
        store["x"]
    with pytest.raises(errors.ObjectNotFoundError):
        del store["x"]


def test_names_are_counted_and_told_sorted(store):
    for name in ("b", "c", "a"):
        store[name] = name
    anonymous = store.put(1)

    assert len(store) == 3
    assert list(store) == store.keys() == ["a", "b", "c"]
    assert set(store) == {"a", "b", "c"}
    del anonymous


def test_an_empty_store_is_true(store):
    assert len(store) == 0
    assert store


def test_keys_of_several_pages_are_all_told(store):
    names = [f"{'x' * 120}{n:04}" for n in range(300)]
    for name in names:
        store[name] = 0

    assert store.keys() == names
    assert [info.name for info in store.list()] == names
    assert store._ipython_key_completions_() == names


def test_questions_about_names_fetch_nothing(store, peer):
    store["x"] = np.arange(10)

    assert "x" in store
    assert "y" not in store
    assert list(store) == ["x"]
    store.list()
    store.info("x").explain()
    store.wait(["x"])
    assert peer("'x' in store")

    assert store.info("x").reads == 0
    assert store.info("x").holders == ()


def test_clear_takes_every_name_away_and_fetches_nothing(store, peer):
    for n in range(200):
        store[f"n{n}"] = n
    view = peer("kept = store.get('n7'); kept")

    store.clear()

    assert view == 7
    assert len(store) == 0
    assert peer("store.keys()") == []


def test_pop_gives_the_object_and_takes_the_name_away(store):
    store["x"] = np.arange(5)

    popped = store.pop("x")

    assert popped.sum() == 10
    assert "x" not in store
    assert store.pop("x", None) is None
    assert store.pop("x", 3) == 3
    with pytest.raises(KeyError):
        store.pop("x")


@pytest.mark.parametrize("key", [3, None, b"x"], ids=repr)
def test_a_key_that_is_no_name_is_a_type_error(store, key):
    with pytest.raises(TypeError, match="str"):
        store[key] = 1
    with pytest.raises(TypeError, match="str"):
        store[key]
    with pytest.raises(TypeError, match="str"):
        del store[key]
    with pytest.raises(TypeError, match="str"):
        key in store  # noqa: B015 - it raises


def test_equality_is_identity(store, new_peer):
    assert store == store  # noqa: PLR0124 - that is the promise
    assert store != {}
    assert hash(store) == hash(store)
