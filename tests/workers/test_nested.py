"""Tasks that submit tasks: they run on the same workers, and never wait for each other in a circle."""

from __future__ import annotations

import os

import numpy as np
import pytest

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


@shm.remote
def fibonacci(n):
    if n < 2:
        return n
    return sum(shm.get([fibonacci.remote(n - 1), fibonacci.remote(n - 2)]))


@shm.remote
def add(a, b=0):
    return a + b


@shm.remote
def fan_out(count):
    refs = [add.remote(i, 1) for i in range(count)]
    return sum(shm.get(refs))


@shm.remote
def chain(count):
    ref = add.remote(0, 1)
    for _ in range(count):
        ref = add.remote(ref, b=1)
    return shm.get(ref)


@pytest.mark.parametrize("count", [1, 2])
def test_a_recursion_ends_however_few_workers_there_are(workers, count):
    shm.init(workers=count)

    assert shm.get(fibonacci.remote(9), timeout=60) == 34


def test_many_tasks_that_wait_for_tasks_end(workers):
    assert shm.get([fan_out.remote(5) for _ in range(10)], timeout=60) == [15] * 10
    assert shm.get([chain.remote(6) for _ in range(6)], timeout=60) == [7] * 6


def test_the_work_of_one_task_is_spread_over_all_workers(workers):
    @shm.remote
    def where(_):
        import time

        time.sleep(0.02)
        return os.getpid()

    @shm.remote
    def spread():
        return set(shm.get([where.remote(i) for i in range(20)]))

    assert len(shm.get(spread.remote())) == 2


def test_large_values_cross_between_tasks(workers):
    @shm.remote
    def outer(array):
        twice = add.remote(array, array)
        return shm.get(add.remote(twice, np.ones(200_000)))

    assert shm.get(outer.remote(np.ones(200_000))).sum() == 600_000
    assert eventually(lambda: shm.stats().objects == 0)


def test_the_error_of_an_inner_task_comes_through_the_outer_one(workers):
    @shm.remote
    def fail():
        raise LookupError("deep inside")

    @shm.remote
    def outer():
        try:
            shm.get(fail.remote())
        except LookupError:
            return shm.get(add.remote(fail.remote(), 1))

    with pytest.raises(LookupError, match="deep inside"):
        shm.get(outer.remote())


def test_an_inner_task_that_dies_takes_along_only_who_ran_it_meanwhile(workers):
    shm.init(workers=2)

    @shm.remote
    def die():
        os._exit(1)

    @shm.remote(retries=3)
    def outer():
        try:
            shm.get(die.remote())
        except errors.WorkerDiedError:
            return "told"

    assert shm.get(outer.remote(), timeout=60) == "told"


def test_a_task_waits_with_a_timeout_and_cancels(workers):
    @shm.remote
    def wait_for(name):
        return shm.get(name, timeout=30)

    @shm.remote
    def outer():
        slow = wait_for.remote("never")
        quick = add.remote(1)
        ready, pending = shm.wait([slow, quick])
        assert (ready, pending) == ([quick], [slow])
        try:
            shm.get(slow, timeout=0.05)
        except errors.GetTimeoutError:
            shm.cancel(slow)
        try:
            shm.get(slow)
        except errors.CancelledError:
            return "cancelled"

    shm.init(workers=3)
    assert shm.get(outer.options(retries=3).remote(), timeout=60) == "cancelled"


def test_a_worker_has_no_workers_of_its_own(workers):
    @shm.remote
    def start():
        shm.init(workers=2)

    with pytest.raises(errors.InvalidArgumentError, match="worker itself"):
        shm.get(start.remote())


def test_several_values_of_an_inner_task_can_be_used_one_by_one(workers):
    @shm.remote(num_returns=2)
    def both():
        return 1, 2

    @shm.remote
    def outer():
        first, second = both.remote()
        del first
        return shm.get(add.remote(second, 5))

    assert shm.get(outer.remote(), timeout=30) == 7
