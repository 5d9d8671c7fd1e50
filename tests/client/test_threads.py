"""Threads: one Store for all of them, and ends of views anywhere."""

from __future__ import annotations

import gc
import random
import threading
import time

import numpy as np
from peers import is_nothing_reserved

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually

SECONDS = 2.5


def run_all(functions, seconds=SECONDS):
    """Run each function again and again in a thread of its own; whatever one raises ends all and is returned."""
    over = time.monotonic() + seconds
    failures = []

    def loop(function):
        try:
            while time.monotonic() < over and not failures:
                function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return failures


def worker(store, n):
    """Put, get, overwrite, wait, delete, and check every sum."""
    rnd = random.Random(n)

    def once():
        name, value = f"n{n}-{rnd.randrange(4)}", rnd.randrange(1000)
        store.put(np.full(rnd.choice((10, 20_000)), value), name)
        view = store.get(name)
        assert view.min() == view.max() == value
        shared = store.get("shared", default=None)
        assert shared is None or shared.min() == shared.max()
        if rnd.random() < 0.3:
            store.put(np.full(5000, value), "shared")
        assert store.wait([name, "never"], timeout=1) == ([name], ["never"])
        ref = store.put(view[: len(view) // 2])
        assert store.get(ref).sum() == value * (len(view) // 2)
        del ref
        if rnd.random() < 0.5:
            store.delete(name)
            assert store.get(name, default=None) is None
            assert view.min() == view.max() == value

    return once


def test_eight_threads_share_one_store(store):
    assert run_all([worker(store, n) for n in range(8)]) == []

    store.clear()
    assert eventually(lambda: store.stats().used == 0)
    assert is_nothing_reserved(store)


def test_eight_threads_share_one_store_while_garbage_is_collected_at_every_step(store):
    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:

        def cycle():
            # Ends of views inside of collections that began anywhere, also under the client's own locks.
            view = store.get("x", default=None)
            if view is not None:
                loop = [view]
                loop.append(loop)

        def put():
            store.put(np.arange(1000), "x")

        def anonymous():
            loop = [store.put(np.arange(1000))]
            loop.append(loop)

        assert run_all([cycle, cycle, put, anonymous, store.stats]) == []
    finally:
        gc.set_threshold(*before)

    gc.collect()
    store.clear()
    assert eventually(lambda: store.stats().used == 0)


def test_views_may_end_in_any_thread(store, peer):
    store.put(np.full(100_000, 5), "x")
    views = [store.get("x")[n:] for n in range(200)] + [store.get("x", mode="c") for _ in range(20)]
    store.delete("x")
    assert eventually(lambda: store.stats().held > 0)

    def end():
        if views:
            views.pop()
        else:
            raise EOFError

    assert {type(failure) for failure in run_all([end] * 8)} <= {EOFError}
    assert eventually(lambda: store.stats().used == 0)


def test_threads_open_and_close_stores_of_their_own(store):
    store.put(np.full(1000, 5), "x")

    def once():
        with shm.connect() as mine:
            view = mine.get("x")
        assert (view == 5).all()

    assert run_all([once] * 4, seconds=1.5) == []
    assert eventually(lambda: store.stats().clients == 1)


def test_closing_while_other_threads_call_ends_their_calls_with_a_clear_error(store):
    store.put(np.full(1000, 5), "x")
    for _ in range(10):
        mine = shm.connect()
        ready = threading.Barrier(5)
        failures = []

        def busy(mine=mine, ready=ready, failures=failures):
            ready.wait()
            try:
                while True:
                    mine.put(np.full(1000, 5), "x")
                    assert (mine.get("x") == 5).all()
            except (errors.ClosedError, errors.StoreConnectionError):
                pass
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=busy) for _ in range(4)]
        for thread in threads:
            thread.start()
        ready.wait()
        mine.get("x")
        mine.close()
        for thread in threads:
            thread.join(30)
        assert failures == []
    assert eventually(lambda: store.stats().clients == 1)


def test_closing_ends_a_wait_of_another_thread_or_lets_it_finish(store):
    mine = shm.connect()
    outcome = []

    def wait():
        try:
            outcome.append(mine.get("late", timeout=None))
        except errors.ShmError as error:
            outcome.append(type(error))

    thread = threading.Thread(target=wait)
    thread.start()
    mine.close()
    store.put(1, "late")
    thread.join(30)

    assert not thread.is_alive()
    assert outcome[0] in (1, errors.ClosedError, errors.StoreConnectionError)
    assert eventually(lambda: store.stats().clients == 1)
