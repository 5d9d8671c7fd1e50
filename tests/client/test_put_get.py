"""put and get, from one process to another."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from peers import PeerError, is_nothing_reserved

from jupyter_shm import errors

VALUES = {
    "float64": np.arange(1000.0),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "strided": np.arange(100)[::-7],
    "empty": np.empty((0, 3)),
    "scalar": np.array(7.5),
    "datetime": np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    "record": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "masked": np.ma.array([1, 2, 3], mask=[0, 1, 0]),
    "text": "äöü",
    "none": None,
    "nested": {"a": [1, np.arange(5000)], "b": (2, b"x" * 10_000)},
}


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        equal_nan = a.dtype.kind in "fM"
        return (a.dtype, a.shape) == (b.dtype, b.shape) and np.array_equal(a, b, equal_nan=equal_nan)
    return a == b


@pytest.mark.parametrize("kind", VALUES)
def test_what_one_process_puts_another_gets(store, peer, kind):
    store.put(VALUES[kind], "x")

    peer("x = store.get('x'); store.put(x, 'back'); store.put(store.get('x', copy=True), 'copied')")

    assert same(VALUES[kind], store.get("back"))
    assert same(VALUES[kind], store.get("copied"))


def test_a_put_is_a_snapshot(store):
    array = np.zeros(100_000)
    store.put(array, "x")

    array[:] = 1

    assert store.get("x").sum() == 0


def test_views_of_one_object_share_their_memory(store):
    store.put(np.arange(1000), "x")

    a, b = store.get("x"), store.get("x")

    assert a.__array_interface__["data"] == b.__array_interface__["data"]


def test_a_copy_is_writable_and_shares_nothing(store, peer):
    store.put(np.arange(10_000), "x")

    copied = store.get("x", copy=True)
    copied[:] = 0

    assert peer("int(store.get('x').sum())") == 49_995_000
    del copied
    assert store.info("x").holders == (), "a copy holds no lease"


def test_a_copy_on_write_view_is_writable_at_once_and_nobody_sees_it(store, peer):
    store.put(np.arange(10_000), "x")

    private = store.get("x", mode="c")
    private[:] = 0

    assert private.flags.writeable
    assert peer("int(store.get('x').sum())") == 49_995_000
    assert store.get("x").sum() == 49_995_000
    assert store.get("x", mode="c").sum() == 49_995_000, "each is private, also inside one process"


def test_two_copy_on_write_views_of_a_slice_that_was_put_again_are_right(store):
    store.put(np.arange(100_000), "x")
    store.put(store.get("x")[50_000:], "tail")

    private = store.get("tail", mode="c")

    assert np.array_equal(private, np.arange(50_000, 100_000))


def test_only_ndarrays_have_a_copy_on_write_mode(store):
    store.put({"a": 1}, "x")

    with pytest.raises(errors.InvalidModeError, match="copy=True"):
        store.get("x", mode="c")


@pytest.mark.parametrize("mode", ["w", "", None, 3, "R"])
def test_an_unknown_mode_is_refused_even_for_a_missing_name(store, mode):
    with pytest.raises(errors.InvalidModeError, match="'r'"):
        store.get("missing", mode=mode)


# --- Names and keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 129, "ä" * 65, "\ud800"])
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_stored(store, name):
    before = store.stats()

    with pytest.raises(errors.InvalidNameError):
        store.put(1, name)
    with pytest.raises(errors.InvalidNameError):
        store.get(name)
    with pytest.raises(errors.InvalidNameError):
        store.delete(name)
    with pytest.raises(errors.InvalidNameError):
        store.info(name)

    after = store.stats()
    assert (after.used, after.objects, after.reserved) == (before.used, before.objects, before.reserved)


@pytest.mark.parametrize("name", ["x" * 128, "ä" * 64, "a b/c\n", "[red]", "'", "🦀", "..", " "])
def test_every_other_text_is_a_name(store, peer, name):
    store.put(41, name)

    assert peer(f"store.get({name!r})") == 41
    assert store.keys() == [name]
    assert store.info(name).name == name


@pytest.mark.parametrize("key", [3, b"x", None, 1.5, {"a": 1}, object()], ids=repr)
def test_a_key_of_a_wrong_type_is_refused(store, key):
    for call in (store.get, store.delete, store.info):
        with pytest.raises(errors.InvalidKeyError, match="str"):
            call(key)
    with pytest.raises(errors.InvalidKeyError):
        store.wait([key])
    with pytest.raises(errors.InvalidKeyError):
        store.get(["x", key], default=None)


@pytest.mark.parametrize("name", [3, b"x", 1.5], ids=repr)
def test_a_name_of_a_wrong_type_is_refused_by_put(store, name):
    with pytest.raises(errors.InvalidKeyError, match="str"):
        store.put(1, name)

    assert store.stats().objects == 0


def test_a_list_of_keys_gives_a_list_of_objects_in_their_order(store):
    ref = store.put(3)
    store.put(1, "a")
    store.put(2, "b")

    assert store.get(["b", ref, "a"]) == [2, 3, 1]
    assert store.get(("a", "b")) == [1, 2]
    assert store.get([]) == []
    assert store.get(["a", "missing"], default=0) == [1, 0]
    with pytest.raises(errors.ObjectNotFoundError, match="missing"):
        store.get(["a", "missing"])


# --- Misses, timeouts and defaults ------------------------------------------------------------------------------------


def test_a_missing_name_fails_at_once_and_the_error_tells_close_names(store):
    store.put(1, "flights")

    with pytest.raises(errors.ObjectNotFoundError, match=r"'flight'.*'flights'") as caught:
        store.get("flight")

    assert isinstance(caught.value, KeyError)
    assert not str(caught.value).startswith('"'), "a sentence, not the repr of one"


def test_a_default_is_given_for_a_missing_name_only(store):
    marker = object()
    store.put(None, "none")

    assert store.get("missing", default=marker) is marker
    assert store.get("missing", default=None) is None
    assert store.get("missing", timeout=0.01, default=marker) is marker
    assert store.get("none", default=marker) is None


@pytest.mark.parametrize("timeout", [0, 0.1, -1])
def test_a_timeout_that_passes_is_a_timeout_error_that_names_the_key(store, timeout):
    started = time.monotonic()

    with pytest.raises(errors.GetTimeoutError, match="'missing'") as caught:
        store.get("missing", timeout=timeout)

    assert isinstance(caught.value, TimeoutError)
    assert time.monotonic() - started >= timeout


@pytest.mark.parametrize("timeout", [0, 0.1, None])
def test_a_published_name_is_given_whatever_the_timeout_is(store, peer, timeout):
    peer("store.put(5, 'x')")

    assert store.get("x", timeout=timeout) == 5


def test_get_without_a_limit_waits_until_the_name_is_published(store, peer):
    peer.send("store.get('late', timeout=None)")
    peer.send("store.get('late', timeout=30)")

    store.put("here", "late")

    assert peer.answer() == "here"
    assert peer.answer() == "here"


def test_a_get_that_waits_leaves_a_name_that_is_deleted_and_put_again_alone(store, peer):
    peer.send("[store.get('x', timeout=None) for _ in range(1)]")
    for n in range(50):
        store.put(n, "x")
        store.delete("x")
    store.put("last", "x")

    assert peer.answer()[0] in [*range(50), "last"]


def test_a_timeout_leaves_no_wait_behind(store):
    for _ in range(20):
        store.get("missing", timeout=0, default=None)

    store.put(1, "missing")

    assert store.get("missing") == 1


def test_what_cannot_be_pickled_is_refused_and_the_store_is_as_it_was(store):
    before = store.stats()

    with pytest.raises(errors.UnpicklableError, match="lock"):
        store.put({"a": [1, threading.Lock()]}, "x")

    after = store.stats()
    assert (after.used, after.objects, after.reserved) == (before.used, before.objects, before.reserved)
    assert "x" not in store


def test_an_overwrite_keeps_the_bytes_of_who_reads_the_old_version(store, peer):
    store.put(np.full(100_000, 1), "x")
    peer("old = store.get('x')")

    store.put(np.full(100_000, 2), "x")

    assert peer("(old.min(), old.max(), store.get('x').min())") == (1, 1, 2)


def test_overwriting_can_be_forbidden(store, peer):
    store.put(1, "x")

    with pytest.raises(PeerError, match=r"ObjectExistsError.*version 1") as caught:
        peer("store.put(2, 'x', overwrite=False)")

    assert "overwrit" in caught.value.text
    assert store.get("x") == 1
    assert store.info("x").version == 1
    assert is_nothing_reserved(store, peer), "the refused put gave its extent back"
    store.put(3, "y", overwrite=False)
    assert store.get("y") == 3


def test_code_of_another_python_is_refused_with_the_name_of_who_published_it(store, peer):
    peer("from jupyter_shm.client import writing; writing._PYTHON = (2, 7); store.put(lambda: 1, 'f')")

    for copy in (False, True):
        with pytest.raises(errors.PythonMismatchError, match=r"that peer_loop\.py defined .* under Python 2\.7"):
            store.get("f", copy=copy)
