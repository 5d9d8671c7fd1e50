"""Tasks on real workers: values, errors, order, and what waits for them."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback

import numpy as np
import pytest

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


@shm.remote
def add(a, b=0):
    return a + b


@shm.remote
def fail(text):
    raise LookupError(text)


@shm.remote
def wait_for_name(name, result=None):
    shm.get(name, timeout=30)
    return result


@shm.remote
def pid_of_worker():
    return os.getpid()


class UnfriendlyError(Exception):
    """Cannot be unpickled: it wants two arguments, and shows pickle one."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def test_a_task_runs_in_another_process_and_returns_its_value(workers):
    assert shm.get(add.remote(1, b=2)) == 3
    assert shm.get(pid_of_worker.remote()) != os.getpid()


def test_references_among_the_arguments_arrive_as_values_and_nested_ones_as_references(workers):
    @shm.remote
    def look(a, nested, *, c):
        return type(a).__name__, type(nested[0]).__name__, int(shm.get(nested[0]).sum()), c

    array = shm.put(np.arange(10))

    assert shm.get(look.remote(array, [array], c=add.remote(1, 1))) == ("ndarray", "ObjectRef", 45, 2)


def test_tasks_run_in_the_order_that_their_references_ask_for(workers):
    ref = add.remote(0, 1)
    for _ in range(20):
        ref = add.remote(ref, 1)

    assert shm.get(ref) == 21


def test_a_large_array_crosses_in_both_directions_without_being_asked_and_is_read_only(workers):
    result = shm.get(add.remote(np.ones(1 << 20), 1))

    assert result.sum() == 2 << 20
    assert not result.flags.writeable


def test_small_results_stay_out_of_the_store_until_their_reference_leaves_the_process(workers):
    ref = add.remote(np.arange(4), 1)
    assert shm.get(ref).tolist() == [1, 2, 3, 4]
    assert shm.stats().objects == 0

    box = shm.put([ref])

    assert shm.stats().objects == 2
    back = shm.get(box)[0]
    assert back == ref
    assert hash(back) == hash(ref)
    assert shm.get(back).tolist() == [1, 2, 3, 4]


def test_each_get_of_a_small_result_gives_an_object_of_its_own(workers):
    ref = add.remote([1], [2])
    shm.get(ref).append(3)

    assert shm.get(ref) == [1, 2]
    assert shm.get(ref, copy=True) == [1, 2]


def test_a_small_array_can_be_had_writable(workers):
    ref = add.remote(np.arange(3), 1)
    mine = shm.get(ref, mode="c")
    mine[0] = 7

    assert shm.get(ref).tolist() == [1, 2, 3]


def test_the_memory_of_large_results_and_arguments_goes_back_with_the_last_reference(workers):
    for _ in range(5):
        assert shm.get(add.remote(np.ones(1 << 18), np.ones(1 << 18))).sum() == 2 << 18

    assert eventually(lambda: shm.stats().objects == 0)


def test_several_values_have_a_reference_each(workers):
    @shm.remote(num_returns=2)
    def split(a):
        return a[: len(a) // 2], a[len(a) // 2 :]

    first, second = split.remote(np.arange(200_000))

    assert shm.get(add.remote(first, second)).sum() == sum(range(200_000))
    with pytest.raises(errors.InvalidArgumentError, match=r"3 values.*num_returns=2"):
        shm.get(shm.remote(lambda: (1, 2, 3)).options(num_returns=2).remote()[1])


def test_an_error_comes_back_as_what_it_was_with_the_traceback_of_the_worker(workers):
    with pytest.raises(LookupError, match="nothing here") as caught:
        shm.get(fail.remote("nothing here"))

    text = "".join(traceback.format_exception(caught.value))
    assert "raise LookupError(text)" in text
    assert "running.py" not in text


def test_what_depends_on_a_failed_task_fails_with_the_same_error(workers):
    refs = [add.remote(add.remote(fail.remote("gone"), 1), 1), add.remote(1, b=fail.remote("gone"))]

    for ref in refs:
        with pytest.raises(LookupError, match="gone"):
            shm.get(ref)
    with pytest.raises(LookupError, match="gone"):
        shm.get(add.remote(refs[0]))


def test_an_error_that_cannot_be_rebuilt_is_told_by_its_text(workers):
    @shm.remote
    def raise_it(holds_lock):
        import threading

        error = UnfriendlyError(1, 2)
        if holds_lock:
            error = ValueError("with a lock")
            error.lock = threading.Lock()
        raise error

    for holds_lock, text in ((False, "1 and 2"), (True, "with a lock")):
        with pytest.raises(errors.TaskError, match=text) as caught:
            shm.get(raise_it.remote(holds_lock))
        assert "raise error" in "".join(traceback.format_exception(caught.value))


def test_what_cannot_be_pickled_is_refused_where_it_is_passed_and_where_it_is_returned(workers):
    with pytest.raises(errors.UnpicklableError, match="lock"):
        add.remote(__import__("threading").Lock())

    @shm.remote
    def make_lock():
        import threading

        return {"a": threading.Lock()}

    with pytest.raises(errors.UnpicklableError, match="lock"):
        shm.get(make_lock.remote())
    assert shm.get(add.remote(1)) == 1


def test_a_remote_function_that_is_called_directly_says_what_to_do(workers):
    with pytest.raises(TypeError, match=r"add\.remote\(\.\.\.\)"):
        add(1)
    assert add.function(1, 2) == 3


def test_a_get_with_a_timeout_ends_and_the_task_goes_on(workers):
    ref = wait_for_name.remote("go", 5)

    for wait in (lambda: shm.get(ref, timeout=0.05), lambda: shm.get([ref, add.remote(1)], timeout=0.05)):
        with pytest.raises(errors.GetTimeoutError):
            wait()
    shm.put(1, "go")
    assert shm.get(ref) == 5


def test_an_error_ends_the_get_of_a_list_at_once(workers):
    slow = wait_for_name.remote("go")

    with pytest.raises(LookupError):
        shm.get([slow, fail.remote("early")])
    shm.put(1, "go")
    shm.get(slow)


def test_a_wait_takes_promises_names_and_stored_objects_together(workers):
    stored, slow = shm.put(np.arange(3)), wait_for_name.remote("go", 5)

    assert shm.wait([slow, stored]) == ([stored], [slow])
    assert shm.wait([slow, "nobody"], timeout=0.05) == ([], [slow, "nobody"])
    shm.put(1, "go")
    assert shm.wait([slow, "nobody"]) == ([slow], ["nobody"])
    assert shm.wait([slow, "nobody", "go", stored], num_returns=3)[1] == ["nobody"]


def test_a_wait_is_ended_by_a_name_as_well_as_by_a_task(workers):
    slow, put = wait_for_name.remote("never"), shm.remote(lambda: shm.put(1, "soon") and None).remote()

    assert shm.wait([slow, "soon"]) == (["soon"], [slow])
    shm.get(put)
    shm.cancel(slow)


def test_results_come_as_they_are_ready(workers):
    slow, quick = wait_for_name.remote("go", "slow"), add.remote(1)
    order = shm.as_completed([slow, quick])

    assert next(order) is quick
    shm.put(1, "go")
    assert next(order) is slow
    assert list(order) == []
    with pytest.raises(errors.GetTimeoutError):
        list(shm.as_completed([wait_for_name.remote("late")], timeout=0.05))
    shm.put(1, "late")


def test_results_can_be_awaited(workers):
    async def both():
        return await add.remote(1), await shm.connect().aget([add.remote(2), add.remote(3)], timeout=30)

    assert asyncio.run(both()) == (1, [2, 3])

    async def too_long():
        await shm.connect().aget(wait_for_name.remote("go"), timeout=0.05)

    with pytest.raises(errors.GetTimeoutError):
        asyncio.run(too_long())
    shm.put(1, "go")


def test_the_number_of_workers_can_be_changed_while_tasks_run(workers):
    slow = wait_for_name.remote("go", 1)
    shm.init(workers=1)
    assert len({shm.get(pid_of_worker.remote()) for _ in range(10)}) == 1
    shm.put(1, "go")
    assert shm.get(slow) == 1
    shm.init(workers=3)
    assert shm.get([add.remote(i) for i in range(50)]) == list(range(50))


@pytest.mark.parametrize("workers_wanted", [0, -1, "two", 1.5, True])
def test_a_number_of_workers_that_makes_no_sense_is_refused(workers_wanted, runtime_folder):
    with pytest.raises(errors.InvalidArgumentError, match="workers"):
        shm.init(workers=workers_wanted)
    with pytest.raises(errors.InvalidArgumentError, match="engine"):
        shm.init(engine="ray")


def test_after_a_shutdown_what_had_not_ended_is_cancelled_and_new_tasks_start_new_workers(workers):
    slow, ended = wait_for_name.remote("never"), add.remote(1)
    shm.get(ended)
    waiting = add.remote(slow)
    shm.shutdown()

    for ref in (slow, waiting):
        with pytest.raises(errors.CancelledError, match="shut down"):
            shm.get(ref)
    assert shm.get(ended) == 1
    assert shm.get(add.remote(2)) == 2


def test_blas_gets_its_share_of_the_processors(workers):
    seen = shm.get(shm.remote(lambda: os.environ.get("OPENBLAS_NUM_THREADS")).remote())

    assert seen == os.environ.get("OPENBLAS_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // 2)))


def test_a_worker_that_touches_much_of_the_store_is_not_replaced(workers):
    @shm.remote
    def touch(array):
        time.sleep(1.1)  # loky looks once a second
        return os.getpid(), int(array[::512].sum())

    array = shm.put(np.ones(48 << 20, np.uint8).repeat(1))
    shm.init(workers=1)
    pids = {shm.get(touch.remote(array))[0] for _ in range(2)}

    assert len(pids) == 1


def test_threads_may_submit_and_get_at_the_same_time(workers):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as threads:
        sums = list(threads.map(lambda n: sum(shm.get([add.remote(n, i) for i in range(50)])), range(8)))

    assert sums == [50 * n + 1225 for n in range(8)]


def test_python_is_the_same_here_and_there(workers):
    assert shm.get(shm.remote(lambda: sys.version_info[:2]).remote()) == sys.version_info[:2]
