"""Who puts one small object after the other is given the next nursery before the last one is used up."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from peers import forked

from jupyter_shm.client import nursery
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually


@pytest.fixture
def small_nurseries(monkeypatch):
    monkeypatch.setattr(nursery, "FIRST_SLOTS", 4)
    monkeypatch.setattr(nursery, "MOST_SLOTS", 4)


def put_some(store, count=12):
    return [store.put(np.full(10, n)) for n in range(count)]


def put_until_asked_ahead(store):
    refs = put_some(store)
    while not store._session.cutter._ahead:
        refs += put_some(store, 1)
    return refs


def values(store, refs):
    return [int(store.get(ref)[0]) for ref in refs]


def test_objects_out_of_one_nursery_after_the_other_are_all_there(store):
    refs = put_some(store, 3000)

    assert store.stats().objects == 3000
    assert values(store, refs) == list(range(3000))


def test_a_put_takes_the_nursery_that_was_asked_for_ahead(store, small_nurseries):
    refs = put_until_asked_ahead(store)
    (number,) = store._session.cutter._ahead

    refs += put_some(store, 3)

    assert store._session.cutter._ahead != [number]
    assert [int(store.get(ref)[0]) for ref in refs[-3:]] == [0, 1, 2]


def test_whoever_has_used_up_no_nursery_yet_asks_for_none_ahead(store, small_nurseries):
    refs = put_some(store, 4)

    assert not store._session.cutter._ahead
    assert values(store, refs) == [0, 1, 2, 3]


def test_what_was_asked_for_ahead_is_given_back_when_the_store_is_closed_though_views_live(store, small_nurseries):
    with Store() as other:
        refs = put_until_asked_ahead(other)
        view = other.get(refs[0])
        del refs

    assert eventually(lambda: store.stats().reserved == 0)
    assert store.stats().clients == 2
    assert view[0] == 0
    del view
    assert eventually(lambda: store.stats().clients == 1)


def test_a_child_does_not_take_what_its_parent_has_asked_for_ahead(store, small_nurseries):
    refs = put_until_asked_ahead(store)
    before = list(store._session.cutter._ahead)

    ours = forked(lambda: values(store, put_some(store)))

    assert ours == list(range(12))
    assert store._session.cutter._ahead == before
    assert values(store, put_some(store)) == list(range(12))
    assert values(store, refs[:12]) == list(range(12))


def test_a_larger_object_than_the_next_nursery_holds_gets_one_of_its_own(store, small_nurseries):
    refs = put_until_asked_ahead(store)

    large = store.put(np.full(200_000, 7))
    more = put_some(store)

    assert store.get(large)[-1] == 7
    assert values(store, more) == list(range(12))
    assert store.get(refs[0])[0] == 0


def test_the_store_may_die_before_it_has_answered_who_asked_ahead(store, small_nurseries):
    refs = put_some(store, 11)
    pid = store.stats().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        while not store._session.cutter._ahead:
            refs += put_some(store, 1)
    finally:
        os.kill(pid, signal.SIGKILL)
    refs += put_some(store, 6)

    assert store.stats().starts == 2
    assert len(refs) == store.stats().objects
    assert [int(store.get(ref)[0]) for ref in refs[-6:]] == list(range(6))
