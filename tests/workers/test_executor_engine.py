"""Tasks on an executor that somebody else has made."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


@shm.remote
def add(a, b=0):
    return a + b


@shm.remote
def fail():
    raise LookupError("here")


@pytest.fixture(params=["threads", "loky"])
def executor(request, workers):
    if request.param == "threads":
        pool = ThreadPoolExecutor(2)
    else:
        from loky.process_executor import ProcessPoolExecutor

        pool = ProcessPoolExecutor(2)
    shm.init(engine=pool)
    yield pool
    shm.shutdown()
    pool.shutdown(wait=True)


def test_tasks_run_on_an_executor_as_they_do_on_our_own_workers(executor):
    large = shm.put(np.ones(200_000))
    total = add.remote(add.remote(large, 1), b=add.remote(large, large))

    assert shm.get(total).sum() == 800_000
    assert shm.get([add.remote(i, 1) for i in range(20)]) == list(range(1, 21))
    for ref in (fail.remote(), add.remote(fail.remote())):
        with pytest.raises(LookupError, match="here"):
            shm.get(ref)
    first, second = shm.remote(num_returns=2)(lambda: (1, os.getpid())).remote()
    assert shm.get([first, second])[0] == 1


def test_a_large_result_is_gone_with_its_last_reference_while_its_worker_lives_on(executor):
    make = shm.remote(num_returns=2)(lambda: (np.ones(200_000), [np.zeros(300_000)]))
    one, other = make.remote()
    assert shm.get(one).sum() == 200_000
    assert shm.get(other)[0].sum() == 0
    assert eventually(lambda: shm.stats().objects == 2)

    del one, other

    assert eventually(lambda: shm.stats().objects == 0)
    assert shm.get(add.remote(1, 1)) == 2


def test_what_has_not_begun_can_be_cancelled(workers):
    go = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        shm.init(engine=pool)
        first = pool.submit(go.wait, 30)
        second = add.remote(1)
        third = add.remote(second)
        shm.cancel(second)
        for ref in (second, third):
            with pytest.raises(errors.CancelledError):
                shm.get(ref)
        go.set()
        assert first.result()
        shm.init(workers=1)
        assert shm.get(add.remote(2)) == 2
        assert eventually(lambda: shm.stats().objects == 0)


def test_an_executor_that_is_over_is_told(workers):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    shm.init(engine=pool)

    with pytest.raises(RuntimeError, match="shutdown"):
        shm.get(add.remote(1))
    with pytest.raises(errors.InvalidArgumentError, match="workers"):
        shm.init(workers=2, engine=pool)
