"""info, list and stats: what the store says of its objects, and who holds them."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from peers import is_nothing_reserved

import jupyter_shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


def test_info_tells_type_shape_dtype_size_version_and_publisher(store, peer):
    peer("store.put(np.zeros((300, 40)), 'x')")

    info = store.info("x")

    assert (info.name, info.type, info.shape, info.dtype) == ("x", "numpy.ndarray", (300, 40), "float64")
    assert (info.nbytes, info.version, info.state, info.containers) == (96_000, 1, "live", 0)
    assert info.owner == "peer_loop.py"
    age = datetime.now(timezone.utc) - info.created
    assert timedelta(0) <= age < timedelta(minutes=5)


def test_the_version_counts_the_puts_under_a_name(store):
    for version in (1, 2, 3):
        ref = store.put(version, "x")
        assert store.info("x").version == ref.version == version

    store.delete("x")
    assert store.put(1, "x").version == 1


def test_a_ref_tells_which_version_of_whose_it_replaced(store, peer):
    first = store.put(1, "x")
    peer("ref = store.put(2, 'x')")

    assert (first.replaced_version, first.replaced_owner) == (0, "")
    assert peer("ref.replaced_version") == 1
    assert store.put(3, "x").replaced_owner == "peer_loop.py"


def test_holders_are_told_by_process_while_they_hold_a_view(store, peer):
    store.put(np.arange(1000), "x")
    assert store.info("x").holders == ()

    peer("x = store.get('x'); y = x[3:]; del x")
    (holder,) = store.info("x").holders
    assert (holder.pid, holder.label, holder.kernel) == (peer.pid, "peer_loop.py", "")
    assert str(peer.pid) in str(holder)

    mine = store.get("x")
    assert {holder.pid for holder in store.info("x").holders} == {peer.pid, os.getpid()}
    del mine
    peer("del y")
    assert store.info("x").holders == ()


@pytest.mark.parametrize("mode", ["r", "c"])
def test_a_view_of_either_mode_holds_its_object(store, mode):
    store.put(np.arange(1000), "x")

    view = store.get("x", mode=mode)[10:20]
    assert [holder.pid for holder in store.info("x").holders] == [os.getpid()]

    del view
    assert store.info("x").holders == ()


def test_reads_count_the_gets_of_all_processes_also_of_those_that_ended(store, peer):
    store.put(np.arange(1000), "x")

    for _ in range(3):
        store.get("x")
    kept = store.get("x")
    peer("for _ in range(5): store.get('x')")
    assert store.info("x").reads == 9

    peer.close()
    assert eventually(lambda: store.stats().clients == 1)
    assert store.info("x").reads == 9
    store.put(1, "x")
    assert store.info("x").reads == 0, "a new version"
    del kept


def test_a_deleted_object_shows_as_held_while_somebody_reads_it(store, peer):
    store.put(np.zeros(100_000), "x")
    peer("x = store.get('x')")

    store.delete("x")

    assert store.list() == []
    assert eventually(lambda: [info.state for info in store.list(anonymous=True)] == ["held"])
    (held,) = store.list(anonymous=True)
    assert [holder.pid for holder in held.holders] == [peer.pid]
    assert held.type == "numpy.ndarray"
    stats = store.stats()
    assert stats.held >= 800_000
    assert (stats.objects, stats.names) == (1, 0)
    with pytest.raises(errors.ObjectNotFoundError):
        store.info("x")

    peer("del x")
    assert eventually(lambda: store.stats().used == 0)
    assert store.list(anonymous=True) == []


def test_an_overwritten_version_shows_as_held_beside_the_live_one(store, peer):
    first = store.put(np.zeros(1000), "x")
    peer("x = store.get('x')")
    store.put(np.zeros(10), "x")

    assert eventually(lambda: [i.state for i in store.list(anonymous=True)] == ["held", "live"])
    assert store.info(first).state == "held"
    assert store.info(first).version == 1
    assert store.info("x").version == 2


def test_the_list_is_in_the_order_of_publication_and_takes_a_pattern(store):
    for name in ("run2", "other", "run1", "RUN3", "run[1]"):
        store.put(name, name)

    assert [info.name for info in store.list()] == ["run2", "other", "run1", "RUN3", "run[1]"]
    assert [info.name for info in store.list("run*")] == ["run2", "run1", "run[1]"]
    assert [info.name for info in store.list("run?")] == ["run2", "run1"]
    assert store.list("nothing*") == []


def test_anonymous_objects_are_listed_only_when_asked_for(store):
    ref = store.put(np.zeros(10))
    store.put(1, "x")

    assert [info.name for info in store.list()] == ["x"]
    assert sorted(info.name for info in store.list(anonymous=True)) == ["", "x"]
    assert store.info(ref).name == ""
    assert [holder.pid for holder in store.info(ref).holders] == [os.getpid()], "the reference holds it"


def test_stats_balance(store, peer):
    empty = store.stats()
    assert (empty.used, empty.reserved, empty.held, empty.objects, empty.names, empty.payload) == (0, 0, 0, 0, 0, 0)
    assert empty.capacity == empty.free == 256 << 20
    assert empty.clients == 2
    assert empty.version == jupyter_shm.__version__

    store.put(np.zeros(1 << 20, np.uint8), "x")
    stats = store.stats()

    assert 1 << 20 < stats.used < 1.1 * (1 << 20)
    assert stats.payload == 1 << 20
    assert (stats.objects, stats.names) == (1, 1)
    assert stats.free == stats.capacity - stats.used - stats.reserved
    assert stats.uptime >= empty.uptime
    store.delete("x")
    assert eventually(lambda: store.stats().used == 0)
    assert store.stats().payload == 0
    assert is_nothing_reserved(store, peer)
    assert store.stats().free == 256 << 20


def test_explain_says_what_is_shared(store):
    store.put(np.zeros(1 << 20, np.uint8), "array")
    store.put({"a": np.zeros(1 << 20, np.uint8), "b": "text"}, "dict")
    store.put(store.get("array")[:500_000], "slice")

    assert "1.0 MiB" in store.info("array").explain()
    assert "its own extent" in store.info("array").explain()
    assert "another object's extent" in store.info("slice").explain()
    assert "1 buffer " in store.info("dict").explain()
    assert "pickle" in store.info("dict").explain()


def test_facts_of_what_is_gone_are_a_clear_error(store):
    ref = store.put(1, "x")
    store.delete("x")

    with pytest.raises(errors.ObjectNotFoundError, match="x"):
        store.info("x")
    assert eventually(lambda: store.stats().objects == 0)
    with pytest.raises(errors.ObjectNotFoundError, match="gone"):
        store.info(ref)


def test_asking_counts_as_no_read_and_takes_no_lease(store, peer):
    store.put(np.zeros(1000), "x")

    for _ in range(10):
        str(store.list(anonymous=True))
        store.info("x")._repr_html_()
        str(store.stats())

    assert (store.info("x").reads, store.info("x").holders) == (0, ())


def test_a_list_can_be_told_while_objects_come_and_go(store, peer):
    peer.send("for n in range(1500): store.put(np.zeros(n), f'n{n % 200}')")
    deadline = time.monotonic() + 30
    seen = 0
    while seen < 200 and time.monotonic() < deadline:
        listed = store.list(anonymous=True)
        seen = len({info.name for info in listed if info.state == "live"})
        assert all(info.type in ("numpy.ndarray", "?") for info in listed)

    peer.answer()
    assert len(store.list()) == 200
