"""Promises alone: kept once, told once, waited for by many; no worker is needed."""

from __future__ import annotations

import threading
import time

import pytest

from jupyter_shm import errors
from jupyter_shm.client.parcels import pack_parcel
from jupyter_shm.client.promises import Latch, Promise, promised, wait_for


class Broken:
    def error(self):
        return LookupError("broken")


def test_a_promise_is_kept_once_and_its_callbacks_are_called_once():
    promise, told = Promise(), []
    promise.on_kept(told.append)
    promise.on_kept(forgotten := (lambda _: told.append("no")))
    promise.forget(forgotten)

    assert promise.keep(value=pack_parcel(1)[0])
    assert not promise.keep(failure=Broken())
    promise.on_kept(told.append)
    assert told == [promise, promise]
    assert promise.state == "ready"


def test_whoever_keeps_a_promise_first_of_many_threads_wins_and_each_waiter_wakes_up():
    for _ in range(50):
        promise, wins, woken = Promise(), [], []
        start = threading.Barrier(6)

        def keep(start=start, promise=promise, wins=wins):
            start.wait()
            wins.append(promise.keep(failure=Broken()))

        def wait(start=start, promise=promise, woken=woken):
            start.wait()
            woken.append(wait_for([promise], 1, time.monotonic() + 30))

        threads = [threading.Thread(target=job) for job in (keep, keep, keep, wait, wait, wait)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(wins) == [False, False, True]
        assert woken == [True] * 3


def test_a_wait_ends_at_its_deadline_and_leaves_nothing_behind():
    promises = [Promise() for _ in range(3)]
    promises[0].keep(failure=Broken())

    assert wait_for(promises, 1, time.monotonic())
    assert not wait_for(promises, 2, time.monotonic() + 0.02)
    assert not promises[1]._callbacks


def test_a_latch_opens_at_its_count_or_at_a_failure():
    latch, early = Latch(2), Latch(2, stops_at_failure=True)
    failed = Promise()
    failed.keep(failure=Broken())
    latch.tell(failed)
    early.tell(failed)

    assert early.wait(time.monotonic())
    assert not latch.wait(time.monotonic())
    latch.tell("a name")
    latch.tell("another")
    assert latch.wait(time.monotonic())


def test_references_are_told_apart_by_their_promise():
    promise = Promise("f")
    ref, same, other = promised(promise), promised(promise), promised(Promise())

    assert ref == same
    assert ref != other
    assert len({ref, same, other}) == 2
    assert repr(ref) == "ObjectRef(f: pending)"


def test_a_failed_promise_raises_an_error_of_its_own_for_each_get(private_store):
    ref = promised(promise := Promise("f"))
    promise.keep(failure=Broken())

    raised = []
    for get in (lambda: private_store.get(ref), lambda: private_store.get([ref])):
        with pytest.raises(LookupError, match="broken") as caught:
            get()
        raised.append(caught.value)
    assert raised[0] is not raised[1]


@pytest.mark.parametrize("value", [None, 1, "x" * 100, b"y", [1, {"a": (2,)}], 1.5])
def test_a_small_object_is_itself_again_and_can_be_put(private_store, value):
    parcel, kept = pack_parcel(value)

    assert kept == []
    assert parcel.build() == value
    assert private_store.get(parcel.put(private_store)) == value
    with pytest.raises(errors.InvalidModeError, match="copy=True"):
        parcel.build("c")
