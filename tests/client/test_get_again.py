"""A get of an array of which a view lives: as good as the first one, though nearly nothing of it is done again."""

from __future__ import annotations

import gc
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from peers import forked, kill_store_and_keeper

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.client.again import again
from jupyter_shm.client.refs import ObjectRef
from jupyter_shm.tables.layout import generation_of, slot_of
from jupyter_shm.testing.private import eventually

ARRAYS = {
    "numbers": np.arange(12.0),
    "matrix": np.arange(12).reshape(3, 4),
    "Fortran": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    "one row in Fortran's order": np.arange(5.0).reshape(1, 5, order="F"),
    "none": np.empty(0),
    "no numbers of three axes": np.empty((3, 0, 2), order="F"),
    "no axis": np.array(7.5),
    "dates": np.array(["2020-01-01", "NaT"], "M8[D]"),
    "text": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bcd"]),
    "truth": np.array([True, False]),
    "big endian": np.arange(5, dtype=">i4"),
    "records": np.array([(1, 2.0), (3, 4.0)], [("a", "i4"), ("b", "f8")]),
    "large": np.arange(100_000.0),
}


def looks(array):
    """All that an array says of itself."""
    return array.shape, array.strides, array.dtype, array.dtype.names, str(array.flags), array.tobytes()


def root_of(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def reads(store, name):
    return store.info(name).reads


@pytest.mark.parametrize("kind", ARRAYS)
def test_every_array_is_the_same_again_and_an_object_of_its_own(store, kind):
    ref = store.put(ARRAYS[kind], "x")
    first = store.get("x")
    expected = looks(first)

    for more in (store.get("x"), store["x"], store.get("x"), store.get(ref), store.get(ref), *store.get(["x", ref])):
        assert looks(more) == expected
        assert more is not first
        assert root_of(more) is root_of(first)
        assert not more.flags.writeable


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("by", ["name", "ref"])
def test_what_is_done_to_one_array_is_not_seen_by_a_later_get(store, kind, by):
    ref = store.put(ARRAYS[kind], "x")
    key = "x" if by == "name" else ref
    expected = looks(store.get(key))
    kept = []
    for _ in range(3):
        array = store.get(key)
        assert looks(array) == expected
        kept.append(array)
        if array.dtype.names:
            array.dtype.names = ("changed", "too")
        array.shape = (*array.shape, 1)
        if array.dtype.names is None and array.flags.c_contiguous:
            array.dtype = np.dtype("V1")
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True

    assert looks(store.get(key)) == expected


def test_a_get_again_is_not_counted_as_a_read(store):
    ref = store.put(np.arange(10), "x")
    view = store.get("x")
    assert reads(store, "x") == 1

    for _ in range(10):
        store.get("x"), store["x"]
    assert reads(store, "x") == 1, "what was got again was built anew"
    store.get(ref)
    counted = reads(store, "x")
    for _ in range(10):
        store.get(ref)
    assert reads(store, "x") == counted

    del view
    store.get("x")
    assert reads(store, "x") == counted + 1


def test_an_object_that_is_no_array_is_built_anew_each_time(store):
    store.put({"a": np.arange(1000)}, "d")
    first = store.get("d")
    first["mine"] = 1

    assert list(store.get("d")) == ["a"]
    assert reads(store, "d") == 2


def test_an_overwritten_name_gives_the_new_array_and_a_deleted_one_none(store, peer):
    store.put(np.full(10, 1), "x")
    views = [store.get("x"), store.get("x")]

    for n in range(2, 50):
        peer(f"store.put(np.full(10, {n}), 'x')")
        views.append(store.get("x"))
        assert views[-1][0] == n
        assert store.get("x")[0] == n
    peer("store.delete('x')")

    assert store.get("x", default=None) is None
    with pytest.raises(errors.ObjectNotFoundError):
        store["x"]
    assert [view[0] for view in views] == [1, *range(1, 50)]


def test_a_ref_gives_its_own_version_for_as_long_as_a_view_lives_and_then_none(store):
    ref = store.put(np.full(10, 1), "x")
    view = store.get(ref)
    store.put(np.full(10, 2), "x")

    assert store.get(ref)[0] == store.get(ref)[0] == 1
    assert store.get("x")[0] == 2
    assert root_of(store.get(ref)) is root_of(view)
    del view
    with pytest.raises(errors.ObjectNotFoundError):
        store.get(ref)


def test_what_is_kept_for_a_get_again_pins_nothing_and_goes_with_the_last_view(store):
    shown = store._session.leases.shown
    gc.disable()
    try:
        refs = [store.put(np.arange(10), f"n{n}") for n in range(500)]
        views = [store.get(f"n{n}") for n in range(500)] + [store.get(ref) for ref in refs]
        assert len(shown) == 1000
        parts = [store.get("n7")[3:], store.get("n7")[:3]]
        del views
        assert set(shown) == {"n7", refs[7].id}
        assert [holder.pid for holder in store.info("n7").holders] != []
        parts.pop()
        assert "n7" in shown
        parts.pop()

        assert not shown
        assert all(info.holders == () for info in store.list())
        store.clear()
        assert eventually(lambda: store.stats().used == 0)
    finally:
        gc.enable()


def test_a_view_of_an_old_version_keeps_nothing_of_the_new_one(store):
    shown = store._session.leases.shown
    store.put(np.full(10, 1), "x")
    old = store.get("x")
    store.put(np.full(10, 2), "x")
    store.get("x")

    assert old[0] == 1
    assert "x" not in shown
    new = store.get("x")
    del old
    assert "x" in shown
    assert new[0] == 2


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ([], None),
        ({}, errors.InvalidKeyError),
        (np.arange(3), errors.InvalidKeyError),
        (None, errors.InvalidKeyError),
        (b"x", errors.InvalidKeyError),
        (7, errors.InvalidKeyError),
        ("", errors.InvalidNameError),
        ("x\0", errors.InvalidNameError),
        ("x" * 129, errors.InvalidNameError),
        ("\udc80", errors.InvalidNameError),
    ],
)
def test_keys_that_make_no_sense_are_refused_as_ever(store, key, error):
    store.put(np.arange(10), "x")
    view = store.get("x")
    ids = [key for key in store._session.leases.shown if isinstance(key, int)]

    if error is None:
        assert store.get(key) == []
        return
    with pytest.raises(error):
        store.get(key)
    with pytest.raises(error):
        store.get(key, default=None)
    assert not ids, view


def test_the_id_of_an_object_is_no_key(store):
    ref = store.put(np.arange(10), "x")
    view = store.get(ref)

    with pytest.raises(errors.InvalidKeyError):
        store.get(ref.id)
    assert view[1] == 1


def test_a_name_of_a_class_of_ones_own_is_found_too(store):
    class Name(str):
        __slots__ = ()

    store.put(np.arange(10), "x")
    view = store.get("x")

    assert store.get(Name("x"))[1] == view[1] == 1


def test_other_modes_go_their_own_way(store):
    store.put(np.zeros(10), "x")
    view = store.get("x")

    private = store.get("x", mode="c")
    private[:] = 1
    copied = store.get("x", copy=True)
    copied[:] = 2
    assert store.get("x", timeout=1).sum() == store.get("x", default=5).sum() == view.sum() == 0
    with pytest.raises(errors.InvalidModeError):
        store.get("x", mode="w")
    with pytest.raises(errors.InvalidArgumentError):
        store.get("x", timeout="long")


def test_a_closed_store_gives_nothing_again(store):
    store.put(np.arange(10), "x")
    mine = shm.connect()
    view = mine.get("x")
    mine.close()

    with pytest.raises(errors.ClosedError):
        mine.get("x")
    assert view[1] == 1


def test_a_ref_of_another_store_is_not_taken_for_one_of_this(store):
    ref = store.put(np.arange(10), "x")
    view = store.get(ref)

    with pytest.raises(errors.ObjectNotFoundError):
        store.get(ObjectRef(ref.store ^ 1, ref.id, "x", 1))
    assert view[1] == 1


def test_after_a_shutdown_nothing_of_the_ended_store_is_given_again(store):
    store.put(np.arange(10), "x")
    with shm.connect() as mine:
        view = mine.get("x")
        store.shutdown(force=True)

        with pytest.warns(errors.StoreLostWarning):
            assert mine.get("x", default=None) is None
        assert view[1] == 1


def test_after_the_death_of_store_and_keeper_nothing_of_them_is_given_for_long(store):
    store.put(np.arange(10), "x")
    view = store.get("x")
    kill_store_and_keeper(store.stats().pid)

    with pytest.warns(errors.StoreLostWarning):
        assert eventually(lambda: store.get("x", default=None) is None)
    assert view[1] == 1


def test_a_forked_child_gets_again_under_leases_of_its_own(store):
    store.put(np.full(1000, 5), "x")
    view = store.get("x")

    def child():
        mine = [store.get("x") for _ in range(3)]
        assert root_of(mine[0]) is root_of(view)
        store.put(np.full(1000, 6), "x")
        return [int(array[0]) for array in mine], int(store.get("x")[0]), bool((view == 5).all())

    assert forked(child) == ([5, 5, 5], 6, True)
    assert store.get("x")[0] == 6
    assert view[0] == 5


def test_threads_that_get_again_while_others_overwrite_never_see_a_mixture(store):
    store.put(np.full(1000, 0), "x")
    over, failures = threading.Event(), []

    def read():
        newest = 0
        try:
            while not over.is_set():
                views = [store.get("x") for _ in range(5)]
                for view in views:
                    assert view.min() == view.max() >= newest
                    newest = int(view[0])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(1, 300):
        store.put(np.full(1000, n), "x")
    over.set()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert not store._session.leases.shown
    store.clear()
    assert eventually(lambda: store.stats().used == 0)


def test_a_take_that_fails_leaves_a_lease_of_another_generation_alone(store):
    ref = store.put(np.arange(10), "x")
    leases, slot, generation = store._session.leases, slot_of(ref.id), generation_of(ref.id)
    leases.table.write(slot, generation + 1, 1)  # no store that keeps the rules lets it come to this

    assert leases.take(b"x") is None

    assert leases.table.entry(slot) == (generation + 1, 1)
    leases.table.write(slot, generation + 1, 0)
    assert store.get("x")[1] == 1


# --- Each look that decides, one after the other ----------------------------------------------------------------------

WORDS = {"the slot's state": 40, "the bucket of the name": 41, "the size of the name table": 3, "the store's end": 5}


@pytest.fixture
def session(store):
    """A session with words of our own, in which an array is shown."""
    store.put(np.arange(10), "x")
    view = store.get("x")
    ref = store._session.leases.shown["x"][0]
    words = [0] * 50
    words[40], words[41], words[3] = 7, 8, 9
    shown = {"x": (ref, 40, 7, 41, 8, 9, None, view.shape, view.dtype, 0, None)}
    session = SimpleNamespace(
        leases=SimpleNamespace(shown=shown),
        connection=SimpleNamespace(broken=None),
        words=words,
        next_look=float("inf"),
        view=view,
    )
    del view
    yield session
    session.view = None


def test_an_array_is_given_again_while_nothing_has_changed(session):
    assert again(session, "x") is not None
    assert again(session, "y") is None


@pytest.mark.parametrize("what", WORDS)
def test_each_word_alone_keeps_an_array_from_being_given_again(session, what):
    session.words[WORDS[what]] += 1

    assert again(session, "x") is None


def test_a_broken_connection_a_due_look_and_an_ended_root_each_keep_it_too(session):
    session.next_look = 0.0
    assert again(session, "x") is None
    session.next_look = float("inf")
    session.connection.broken = "gone"
    assert again(session, "x") is None
    session.connection.broken = None
    assert again(session, "x") is not None
    session.view = None
    assert again(session, "x") is None
