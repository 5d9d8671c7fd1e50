"""A worker that has touched a large stored array is as good as before: shared memory is no leak."""

from __future__ import annotations

import numpy as np
import pytest

import jupyter_shm as shm

NBYTES = 1 << 29  # loky takes 300 MB more than before for a leak
SMALL = np.ones(10, np.uint8)  # what a worker weighs after its first call is what loky compares with
PAUSE = 1.1  # seconds; loky looks once a second


def touch(array, pause):
    import os
    import time

    total = int(array.sum())
    time.sleep(pause)
    return os.getpid(), total


@pytest.fixture
def large(workers):
    """The name of a stored array of that size."""
    shm.put(np.ones(NBYTES, np.uint8), "large")
    return "large"


def test_a_worker_of_tasks_is_not_restarted_for_it(large):
    shm.init(workers=1)
    look = shm.remote(touch)
    ref = shm.put(shm.get(large))

    first, _ = shm.get(look.remote(SMALL, PAUSE), timeout=50)
    found = [shm.get(look.remote(ref, PAUSE), timeout=50) for _ in range(3)]

    assert found == [(first, NBYTES)] * 3


def test_a_worker_of_the_executor_is_not_restarted_for_it(large):
    array = shm.get(large)

    with shm.Executor(max_workers=1) as executor:
        first, _ = executor.submit(touch, SMALL, PAUSE).result(50)
        found = [executor.submit(touch, array, PAUSE).result(50) for _ in range(3)]

    assert found == [(first, NBYTES)] * 3
