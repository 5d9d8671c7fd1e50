"""Gets in an event loop: nothing blocks it, and a task that is cancelled leaves nothing behind."""

from __future__ import annotations

import asyncio
import pickle
import threading

import numpy as np
import pytest

from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


def run(coroutine):
    """Run it in a loop that counts how often it goes round meanwhile."""

    async def main():
        task = asyncio.ensure_future(coroutine)
        rounds = 0
        while not task.done():
            await asyncio.sleep(0.001)
            rounds += 1
        return task.result(), rounds

    return asyncio.run(main())


def test_a_reference_is_awaited(store):
    ref = store.put(np.arange(10))

    async def main():
        return await ref

    assert asyncio.run(main()).tolist() == list(range(10))


def test_a_reference_of_another_process_is_awaited(store, peer):
    ref = pickle.loads(peer("import pickle; ref = store.put(np.arange(10)); pickle.dumps(ref)"))

    async def main():
        return await ref

    assert asyncio.run(main()).sum() == 45


def test_awaiting_a_name_that_is_there_gives_the_same_as_get(store):
    store.put({"a": 1}, "x")

    assert asyncio.run(store.aget("x")) == {"a": 1}
    assert asyncio.run(store.aget(["x", "x"])) == [{"a": 1}, {"a": 1}]
    assert asyncio.run(store.aget("nothing", default=7)) == 7
    with pytest.raises(errors.ObjectNotFoundError):
        asyncio.run(store.aget("nothing"))


def test_a_name_is_waited_for_while_the_loop_goes_on(store, peer):
    peer.send("import time; time.sleep(0.3); store.put(5, 'later')")

    value, rounds = run(store.aget("later", timeout=None))

    peer.answer()
    assert value == 5
    assert rounds > 20


def test_a_wait_that_ends_without_it_is_an_error_or_the_default(store):
    with pytest.raises(errors.GetTimeoutError, match="never"):
        asyncio.run(store.aget("never", timeout=0.05))
    assert asyncio.run(store.aget("never", timeout=0.05, default=3)) == 3


def test_what_no_timeout_can_be_is_refused_at_once(store):
    with pytest.raises(errors.InvalidArgumentError):
        asyncio.run(store.aget("x", timeout="soon"))


def test_a_cancelled_wait_leaves_no_connection_and_no_busy_thread(store):
    before = threading.active_count()

    async def main():
        task = asyncio.ensure_future(store.aget("never", timeout=None))
        assert await asyncio.to_thread(eventually, lambda: store.stats().clients == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert eventually(lambda: store.stats().clients == 1)
    assert eventually(lambda: threading.active_count() <= before)
    store.put(1, "x")
    assert asyncio.run(store.aget("x")) == 1


def test_many_tasks_wait_at_once(store):
    async def main():
        tasks = [asyncio.ensure_future(store.aget(f"n{n}", timeout=30)) for n in range(8)]
        await asyncio.sleep(0)
        for n in range(8):
            await asyncio.to_thread(store.put, n, f"n{n}")
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == list(range(8))
