"""``Executor`` keeps the promises of ``concurrent.futures``."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import gc
import operator
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import executor_tasks as tasks
import pytest

import jupyter_shm as shm
from jupyter_shm.testing.private import eventually

ERRORS = {
    "at the arguments' pickling": (lambda pool: pool.submit(id, tasks.Mine("pickle", tasks.fail)), ValueError),
    "at the arguments' unpickling": (lambda pool: pool.submit(id, tasks.Mine("unpickle", tasks.fail)), ValueError),
    "in the call": (lambda pool: pool.submit(tasks.fail), ValueError),
    "at the result's pickling": (lambda pool: pool.submit(tasks.mine, "pickle", tasks.fail), ValueError),
    "at the result's unpickling": (lambda pool: pool.submit(tasks.mine, "unpickle", tasks.fail), ValueError),
    "an exit at the arguments' unpickling": (
        lambda pool: pool.submit(id, tasks.Mine("unpickle", tasks.leave)),
        SystemExit,
    ),
    "an exit in the call": (lambda pool: pool.submit(tasks.leave), SystemExit),
    "an exit at the result's pickling": (lambda pool: pool.submit(tasks.mine, "pickle", tasks.leave), SystemExit),
    "an exit at the result's unpickling": (lambda pool: pool.submit(tasks.mine, "unpickle", tasks.leave), SystemExit),
    "an error that cannot be unpickled": (lambda pool: pool.submit(tasks.raise_two_words), TypeError),
    "an error that cannot be pickled": (lambda pool: pool.submit(tasks.raise_locked), RuntimeError),
    "a result that cannot be pickled": (lambda pool: pool.submit(threading.Lock), TypeError),
    "an argument that cannot be pickled": (lambda pool: pool.submit(id, threading.Lock()), TypeError),
    "an interrupt": (lambda pool: pool.submit(tasks.interrupt_me), KeyboardInterrupt),
}
DEATHS = {
    "at the arguments' unpickling": lambda pool: pool.submit(id, tasks.Mine("unpickle", tasks.die)),
    "in the call": lambda pool: pool.submit(tasks.die),
    "at the result's pickling": lambda pool: pool.submit(tasks.mine, "pickle", tasks.die),
}


def test_it_is_an_executor(pool):
    assert isinstance(pool, cf.Executor)
    assert isinstance(pool.submit(int), cf.Future)


def test_a_call_has_its_arguments_and_gives_its_result(pool):
    future = pool.submit(sorted, [3, 1, 2], key=operator.neg, reverse=True)

    assert future.result(timeout=50) == [1, 2, 3]
    assert (future.done(), future.running(), future.cancelled(), future.cancel()) == (True, False, False, False)
    assert pool.submit(dict, fn=1, self=2).result() == {"fn": 1, "self": 2}
    assert pool.submit(os.getpid).result() != os.getpid()


def test_lambdas_closures_and_local_classes_work(pool):
    class Local:
        def __init__(self, value):
            self.value = value

    offset = 5

    assert pool.submit(lambda x: x + offset, 2).result() == 7
    assert pool.submit(lambda: Local(offset)).result().value == 5


@pytest.mark.parametrize(("submit", "kind"), ERRORS.values(), ids=ERRORS)
def test_an_error_fails_its_call_with_its_type_and_no_other_call(pool, submit, kind):
    future = submit(pool)

    assert type(future.exception(timeout=50)) in (kind, *kind.__subclasses__())
    assert pool.submit(divide := tasks.divide, 7, 2).result() == divide(7, 2)


def test_an_error_shows_where_in_the_worker_it_was_raised(pool):
    with pytest.raises(ValueError, match="on purpose") as caught:
        pool.submit(tasks.fail).result()

    assert 'raise ValueError("on purpose")' in str(caught.value.__cause__)


def test_what_cannot_be_sent_is_told_with_the_way_to_it(pool):
    error = pool.submit(id, {"a": [threading.Lock()]}).exception()

    assert isinstance(error, TypeError)
    assert "['a'][0]" in str(error.__cause__)


@pytest.mark.may_leak("descriptors", "segments", reason="loky keeps something of the processes of a pool that broke")
@pytest.mark.parametrize("submit", DEATHS.values(), ids=DEATHS)
def test_a_process_that_dies_breaks_the_pool(store, submit):
    with shm.Executor(1) as pool:
        future = submit(pool)
        waiting = pool.submit(int)

        assert isinstance(future.exception(timeout=50), BrokenProcessPool)
        assert isinstance(waiting.exception(timeout=50), BrokenProcessPool)
        with pytest.raises(BrokenProcessPool):
            pool.submit(int)


def test_map_gives_the_results_in_order(pool):
    numbers = range(20)

    assert list(pool.map(pow, numbers, numbers)) == [n**n for n in numbers]
    assert list(pool.map(pow, numbers, range(7), chunksize=3)) == [n**n for n in range(7)]
    assert list(pool.map(abs, [], chunksize=5)) == []
    assert list(pool.map(abs, iter(numbers), buffersize=2)) == list(numbers)
    assert list(pool.map(abs, iter(numbers), buffersize=2, chunksize=3)) == list(numbers)


def test_map_begins_at_once_and_takes_no_more_than_its_buffer(pool):
    taken = []

    def numbers():
        for number in range(100):
            taken.append(number)
            yield number

    results = pool.map(abs, numbers(), buffersize=5)
    assert len(taken) == 5
    assert next(results) == 0
    assert len(taken) == 6
    results.close()


def test_map_raises_in_its_place(pool):
    results = pool.map(tasks.divide, [1, 6, 1], [1, 2, 0])

    assert [next(results), next(results)] == [1, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_gives_up_in_time_and_cancels_the_rest(pool, tmp_path):
    def leave_a_trace(number):
        time.sleep(0.2)
        (tmp_path / str(number)).touch()

    with pytest.raises(cf.TimeoutError):
        list(pool.map(leave_a_trace, range(40), timeout=0.1))

    pool.shutdown()
    assert len([*tmp_path.iterdir()]) < 20


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [({"chunksize": 0}, ValueError), ({"buffersize": 0}, ValueError), ({"buffersize": "2"}, TypeError)],
)
def test_map_refuses_what_makes_no_sense(pool, wrong, kind):
    with pytest.raises(kind):
        pool.map(abs, [1], **wrong)


def test_map_keeps_no_result_that_was_given_out(pool):
    for result in pool.map(set, [[n] for n in range(5)], chunksize=2):
        gone = weakref.ref(result)
        del result
        gc.collect()
        assert gone() is None


def test_a_call_that_waits_can_be_cancelled_and_wait_and_as_completed_know_it(pool):
    futures = [pool.submit(time.sleep, 0.05) for _ in range(30)]

    assert futures[-1].cancel()
    assert futures[-1].cancel()
    assert futures[-1].cancelled()
    with pytest.raises(cf.CancelledError):
        futures[-1].result()
    done, pending = cf.wait(futures, timeout=50)
    assert (len(done), pending) == (30, set())
    assert set(cf.as_completed(futures)) == set(futures)
    assert not futures[0].cancel()


def test_a_call_that_runs_is_told_and_cannot_be_cancelled(pool):
    future = pool.submit(time.sleep, 1)

    assert eventually(future.running)
    assert not future.cancel()
    assert future.result() is None


def test_waiting_for_the_first_error_ends_with_it(pool):
    slow = pool.submit(time.sleep, 3)
    done, pending = cf.wait([slow, pool.submit(tasks.fail)], return_when=cf.FIRST_EXCEPTION)

    assert pending == {slow}
    assert len(done) == 1
    with pytest.raises(cf.TimeoutError):
        slow.result(timeout=0)


def test_callbacks_are_called_once_with_the_future_whenever_they_were_added(pool):
    called = []
    future = pool.submit(int)
    future.add_done_callback(called.append)
    future.result()
    assert eventually(lambda: called == [future])

    future.add_done_callback(called.append)

    assert called == [future, future]


def test_the_arguments_are_let_go_of_when_the_call_has_ended(pool):
    argument = {1, 2}
    gone = weakref.ref(argument)
    future = pool.submit(len, argument)
    del argument

    assert future.result() == 2
    assert eventually(lambda: gone() is None)


def test_asyncio_takes_it(pool):
    async def main():
        return await asyncio.get_running_loop().run_in_executor(pool, os.getpid)

    assert asyncio.run(main()) != os.getpid()


# --- coming and going -------------------------------------------------------------------------------------------------


def test_every_process_is_prepared(store):
    with shm.Executor(2, initializer=tasks.prepare, initargs=("x",)) as pool:
        assert pool.submit(tasks.prepared).result() == ["x"]


@pytest.mark.may_leak("descriptors", "segments", reason="loky keeps something of the processes of a pool that broke")
def test_an_initializer_that_fails_breaks_the_pool(store):
    with shm.Executor(1, initializer=tasks.fail_to_prepare) as pool:
        assert isinstance(pool.submit(int).exception(timeout=50), BrokenProcessPool)


@pytest.mark.parametrize(
    ("arguments", "kind"), [((0,), ValueError), ((-1,), ValueError), ((1, "init"), TypeError)], ids=["0", "-1", "text"]
)
def test_arguments_that_make_no_sense_are_refused(arguments, kind):
    with pytest.raises(kind):
        shm.Executor(*arguments)


def test_shutdown_waits_for_what_was_submitted_and_takes_no_more(store):
    pool = shm.Executor(2)
    futures = [pool.submit(time.sleep, 0.02) for _ in range(20)]

    pool.shutdown()
    pool.shutdown()

    assert all(future.done() and future.exception() is None for future in futures)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(int)


def test_shutdown_without_waiting_lets_the_calls_end(store):
    pool = shm.Executor(1)
    futures = [pool.submit(pow, n, 2) for n in range(5)]

    pool.shutdown(wait=False)

    assert [future.result(timeout=50) for future in futures] == [0, 1, 4, 9, 16]


def test_shutdown_cancels_what_has_not_begun_if_it_is_told_to(store):
    pool = shm.Executor(1)
    futures = [pool.submit(time.sleep, 0.05) for _ in range(40)]

    pool.shutdown(cancel_futures=True)

    assert len([future for future in futures if future.cancelled()]) > 20
    assert all(future.done() for future in futures)


def test_an_executor_that_is_let_go_of_ends_when_its_calls_are_done(store):
    pool = shm.Executor(1)
    futures = [pool.submit(pow, n, 2) for n in range(5)]

    del pool

    assert [future.result(timeout=50) for future in futures] == [0, 1, 4, 9, 16]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=50
    )


def test_the_end_of_the_interpreter_waits_for_the_calls_and_leaves_no_process(store):
    done = run("""
        import os, time, jupyter_shm as shm
        pool = shm.Executor(2)
        print(*{pool.submit(os.getpid).result() for _ in range(20)}, flush=True)
        pool.submit(lambda: (time.sleep(0.3), print("done", flush=True)))
    """)

    pids, word = done.stdout.splitlines()
    assert (word, done.stderr, done.returncode) == ("done", "", 0)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.split())


def test_nothing_can_be_submitted_at_the_end_of_the_interpreter(store):
    done = run("""
        import atexit, jupyter_shm as shm
        pool = shm.Executor(1)
        pool.submit(int).result()
        @atexit.register
        def late():
            try:
                pool.submit(int)
            except RuntimeError as error:
                print(error)
    """)

    assert done.stdout.startswith("cannot schedule new futures after")


def test_functions_of_main_work(store):
    done = run("""
        import jupyter_shm as shm
        class Point:
            def __init__(self, x): self.x = x
        def double(point): return Point(2 * point.x)
        with shm.Executor(1) as pool:
            print(pool.submit(double, Point(21)).result().x)
    """)

    assert (done.stdout, done.stderr) == ("42\n", "")
