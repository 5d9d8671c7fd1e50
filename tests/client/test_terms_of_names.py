"""How long names live: a time, their publisher's life, and pins; with real processes and real time."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

import numpy as np
import pytest
from peers import Forked, forked, kill_store

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.client.default import _stores
from jupyter_shm.testing.private import eventually

ARRAY = np.arange(1000)
SOON = 0.05  # seconds: long enough to look before it is over, most of the time
BLINK = 1e-9  # seconds: over as soon as the store looks


# --- Time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("obj", [ARRAY, np.zeros(1_000_000), {"a": 1}], ids=["small", "large", "dict"])
def test_a_name_ends_by_itself_and_who_reads_it_keeps_the_bytes(store, peer, obj):
    store.put(obj, "x", ttl=30)
    view = store.get("x")
    assert 25 < store.info("x").expires <= 30
    store.expire("x", SOON)

    assert eventually(lambda: "x" not in store)
    assert "x" not in peer("store.keys()")
    with pytest.raises(errors.ObjectNotFoundError):
        store.get("x")
    assert str(view) == str(obj)


@pytest.mark.parametrize("ttl", ["1h30m", 5400, timedelta(hours=1.5), np.float64(5400)], ids=str)
def test_a_time_to_live_may_be_written_in_many_ways(store, ttl):
    store.put(1, "x", ttl=ttl)
    store.put(1, "y")
    store.expire("y", ttl)

    assert 5390 < store.info("x").expires <= 5400
    assert 5390 < store.info("y").expires <= 5400


def test_a_time_to_live_can_be_taken_away(store):
    store.put(1, "x", ttl=0.2)

    store.expire("x", None)
    store.put(1, "y", ttl=0.25)

    assert eventually(lambda: "y" not in store)
    assert "x" in store
    assert store.info("x").expires is None


def test_the_longest_time_is_taken(store):
    store.put(1, "x", ttl=1e300)

    assert store.info("x").expires > 1e9


def test_a_name_expires_while_nobody_is_connected(store, new_peer):
    peer = new_peer("import os; import jupyter_shm as shm; store = shm.connect(); store.put(1, 'x', ttl=0.1)")
    peer.close()

    assert eventually(lambda: "x" not in store)


def test_an_idle_store_wakes_up_for_what_expires(store):
    store.put(1, "x", ttl=0.3)

    # Nobody asks anything meanwhile: the index is looked at.
    assert eventually(lambda: store._session.leases.index.find(b"x") is None)


def test_a_name_expires_although_the_store_died_meanwhile(store):
    store.put(1, "x", ttl=0.3)
    store.put(1, "y", ttl=1000)
    store.put(1, "p", ttl=BLINK, pin=True)

    kill_store(store.stats().pid)

    assert eventually(lambda: "x" not in store)
    assert 900 < store.info("y").expires <= 1000
    assert store.info("p").pinned
    store.unpin("p")
    assert store.keys() == ["y"]


# --- Pins -------------------------------------------------------------------------------------------------------------


def test_what_is_pinned_does_not_expire_and_is_gone_when_an_unpin_returns(store):
    store.put(ARRAY, "x", ttl=BLINK, pin=True)
    store.put(ARRAY, "y", ttl=BLINK)
    assert eventually(lambda: "y" not in store)
    assert (store.info("x").pinned, store.info("x").expires) == (True, 0.0)

    store.unpin("x")

    assert "x" not in store


def test_a_pin_is_of_one_version(store):
    first = store.put(1, "x", pin=True, ttl=100, lifetime="kernel")
    store.put(2, "x")

    info = store.info("x")
    assert (info.pinned, info.expires, info.lifetime) == (False, None, "store")
    for call in (store.pin, store.unpin, lambda ref: store.expire(ref, 5)):
        with pytest.raises(errors.ObjectNotFoundError):
            call(first)


def test_a_version_is_pinned_by_its_reference(store):
    ref = store.put(1, "x")

    store.pin(ref)
    assert store.info("x").pinned
    store.unpin(ref)
    store.expire(ref, 1000)

    assert not store.info("x").pinned
    assert store.info("x").expires > 900


def test_what_is_pinned_can_be_deleted(store):
    store.put(1, "x", pin=True)

    del store["x"]

    assert store.keys() == []


# --- The publisher's life ---------------------------------------------------------------------------------------------

PUT_MINE = (
    "store.put(np.arange(10), 'x', lifetime='kernel'); store.put(np.zeros(10**6), 'y', lifetime='kernel', pin=True)"
)


@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_a_name_ends_with_its_publisher_and_readers_keep_its_bytes(store, peer, how):
    peer(f"{PUT_MINE}; store.put(3, 'stays')")
    view = store.get("x")
    assert store.info("x").lifetime == store.info("y").lifetime == "kernel"

    peer.close() if how == "ends" else peer.kill()

    assert eventually(lambda: store.keys() == ["stays"])
    assert list(view) == list(range(10))


def test_a_name_ends_with_its_publisher_also_when_the_store_was_dead_meanwhile(store, peer):
    peer(PUT_MINE)
    pid = store.stats().pid
    os.kill(pid, signal.SIGSTOP)
    peer.kill()

    kill_store(pid)

    assert eventually(lambda: store.keys() == [])


def test_a_publisher_outlives_a_store_process_and_so_do_its_names(store, peer):
    peer(PUT_MINE)

    kill_store(store.stats().pid)
    kill_store(store.stats().pid)

    assert store.keys() == ["x", "y"]
    peer.kill()
    assert eventually(lambda: store.keys() == [])


def test_a_closed_connection_ends_its_names_when_no_view_of_it_is_left(store, peer):
    peer(f"{PUT_MINE}; view = store.get('x'); store.close()")
    assert store.keys() == ["x", "y"]

    peer("del view")

    assert eventually(lambda: store.keys() == [])


def test_another_ones_version_outlives_the_first_publisher(store, peer):
    peer(PUT_MINE)
    store.put(1, "x")

    peer.kill()

    assert eventually(lambda: store.keys() == ["x"])


def test_a_forked_child_ends_nothing_of_its_parent(store):
    store.put(1, "x", lifetime="kernel")

    assert forked(lambda: (store.put(2, "of the child", lifetime="kernel"), store.keys())[1]) == ["of the child", "x"]

    assert eventually(lambda: store.keys() == ["x"])


def test_the_names_of_a_parent_do_not_wait_for_its_children(store, peer):
    child = peer("import signal; store.put(1, 'x', lifetime='kernel'); pid = os.fork(); pid or signal.pause(); pid")
    peer.kill()
    try:
        assert eventually(lambda: store.keys() == [])
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_takes_its_own_names_along(store):
    child = Forked(lambda: store.put(2, "x", lifetime="kernel").version)

    assert child.result() == 1
    assert eventually(lambda: store.keys() == [])


# --- What makes no sense ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"ttl": 5}, "^ttl of an object without a name"),
        ({"lifetime": "kernel"}, "^lifetime='kernel' of an object without a name"),
        ({"pin": True}, "^pin of an object without a name"),
        ({"ttl": "5m", "pin": True}, "^ttl and pin of an object without a name"),
    ],
)
def test_an_object_without_a_name_has_no_terms(store, terms, said):
    with pytest.raises(errors.InvalidArgumentError, match=said):
        store.put(ARRAY, **terms)

    assert store.stats().objects == 0


@pytest.mark.parametrize("lifetime", ["", "process", None, 5])
def test_there_are_two_lifetimes_of_names(store, lifetime):
    with pytest.raises(errors.InvalidArgumentError, match="lifetime is 'store' or 'kernel', got"):
        store.put(1, "x", lifetime=lifetime)
    assert store.put(1, "x", lifetime=str(b"store", "ascii")).version == 1


@pytest.mark.parametrize("ttl", [0, -1, "soon", float("nan"), [3]], ids=str)
def test_a_time_that_is_none_is_refused_before_anything_is_done(store, ttl):
    store.put(1, "x")
    for call in (lambda: store.put(2, "x", ttl=ttl), lambda: store.expire("x", ttl)):
        with pytest.raises(errors.SettingError, match=r"^ttl is"):
            call()

    assert store.info("x").version == 1
    assert store.info("x").expires is None


@pytest.mark.parametrize("call", [lambda s, k: s.pin(k), lambda s, k: s.unpin(k), lambda s, k: s.expire(k, 5)])
def test_terms_are_of_names_that_are_there(store, call):
    ref = store.put(ARRAY)
    with pytest.raises(errors.ObjectNotFoundError, match="nothing is published under 'x'"):
        call(store, "x")
    with pytest.raises(errors.InvalidKeyError):
        call(store, 7)
    with pytest.raises(errors.InvalidNameError):
        call(store, "")
    with pytest.raises(errors.InvalidArgumentError, match="has no name"):
        call(store, ref)


# --- How it looks -----------------------------------------------------------------------------------------------------


def test_info_and_list_tell_how_long_a_name_lives(store):
    plain, ref = store.put(1, "plain"), store.put(ARRAY)
    store.put(1, "all", ttl=5430, lifetime="kernel", pin=True)
    store.put(1, "over", ttl=BLINK, pin=True)

    assert store.info(plain).lives == "until it is deleted or replaced"
    assert store.info(ref).lives == "as long as it is referred to"
    assert store.info("all").lives == "1 h 30 min more, or until its publisher ends; pinned"
    assert store.info("over").lives == "its time is over; pinned"
    assert "lives" in str(store.info("all"))
    assert "pinned, 1 h 30 min left, kernel" in str(store.list())
    assert store.list().rows()[0][-1] == ""
    assert "terms" not in store.list("plain").headings


def test_an_object_that_is_only_read_lives_as_long_as_it_is(store):
    store.put(ARRAY, "x", ttl=1000, pin=True)
    view = store.get("x")
    del store["x"]

    assert eventually(lambda: [info.lives for info in store.list(anonymous=True)] == ["until nobody reads it any more"])
    assert len(view) == 1000


def test_the_functions_of_the_package_use_the_default_store(store):
    try:
        shm.put(1, "x", ttl=100, lifetime="kernel", pin=True)
        assert store.info("x").terms.endswith("left, kernel")
        shm.unpin("x")
        shm.expire("x", None)
        assert store.info("x").terms == "kernel"
        shm.pin("x")
        assert store.info("x").pinned
    finally:
        _stores.pop("default").close()
    assert eventually(lambda: store.keys() == [])
