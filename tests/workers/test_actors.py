"""Actors: objects in processes of their own, from their first call to their end."""

from __future__ import annotations

import copy
import gc
import itertools
import os
import pickle
import signal
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from client.peers import forked, is_alive, run

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


@shm.remote
class Counter:
    """Counts."""

    def __init__(self, start=0):
        self.count = start
        self.friend = None

    def add(self, amount=1):
        self.count += amount
        return self.count

    def pid(self):
        return os.getpid()

    def fail(self):
        self.count += 100
        raise LookupError("on purpose")

    def end(self, how):
        how()

    def wait_for(self, name):
        shm.get(name, timeout=30)
        return self.count

    @shm.method(num_returns=2)
    def pair(self):
        return self.count, -self.count

    def befriend(self, friend):
        self.friend = friend

    def ask_friend(self, amount):
        return shm.get(self.friend.add.remote(amount))

    def square_elsewhere(self, x):
        return shm.get(square.remote(x))

    def look(self, one, many):
        return type(one).__name__, type(many[0]).__name__, one.flags.writeable

    def double(self, array):
        return array * 2

    def say(self, text):
        print(text)


@shm.remote
class Broken:
    def __init__(self, text):
        raise LookupError(text)

    def add(self):
        return 1


@shm.remote
def square(x):
    return x * x


@shm.remote
def add_often(counter, times):
    return shm.get([counter.add.remote(1) for _ in range(times)])


@shm.remote
def make_one(start):
    counter = Counter.remote(start)
    return shm.get(counter.add.remote(1)), shm.get(counter.pid.remote())


@shm.remote
def make_and_give(start):
    return [Counter.remote(start)]


@shm.remote
def kill_actor(counter):
    shm.kill(counter)


def exit_at_once():
    os._exit(3)


def kill_it():
    os.kill(os.getpid(), signal.SIGKILL)


def died(ref):
    with pytest.raises(errors.ActorDiedError) as caught:
        shm.get(ref, timeout=60)
    return str(caught.value)


# --- calls --------------------------------------------------------------------------------------------------------------


def test_an_actor_keeps_its_state_in_a_process_of_its_own(workers):
    counter, other = Counter.remote(10), Counter.remote()

    assert shm.get([counter.add.remote(1), counter.add.remote(amount=2), other.add.remote()]) == [11, 13, 1]
    pids = set(shm.get([counter.pid.remote(), counter.pid.remote(), other.pid.remote()]))
    assert len(pids | {os.getpid()}) == 3


def test_calls_are_carried_out_in_the_order_in_which_they_were_made(workers):
    counter = Counter.remote()

    assert shm.get([counter.add.remote(1) for _ in range(300)]) == list(range(1, 301))


def test_a_call_that_waits_for_a_reference_is_not_overtaken_by_later_ones(workers):
    @shm.remote
    def later():
        shm.get("go", timeout=30)
        return 1000

    counter = Counter.remote()
    first, second = counter.add.remote(later.remote()), counter.add.remote(1)
    assert shm.wait([second], timeout=0.2)[0] == []

    shm.put(1, "go")
    assert shm.get([first, second]) == [1000, 1001]


def test_several_threads_have_their_calls_carried_out_each_in_its_order(workers):
    counter = Counter.remote()

    def count(_):
        found = shm.get([counter.add.remote(1) for _ in range(50)])
        return found == sorted(found)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(count, range(4)))
    assert shm.get(counter.add.remote(0)) == 200


def test_references_arrive_as_values_nested_ones_as_references_and_results_can_be_arguments(workers):
    counter = Counter.remote()
    array = shm.put(np.arange(10))

    assert shm.get(counter.look.remote(array, many=[array])) == ("ndarray", "ObjectRef", False)
    assert shm.get(square.remote(counter.add.remote(square.remote(3)))) == 81


def test_large_arguments_and_results_cross_through_the_store_and_leave_nothing_there(workers):
    counter = Counter.remote()
    for _ in range(3):
        result = shm.get(counter.double.remote(np.ones(1 << 18)))
        assert result.sum() == 2 << 18
        assert not result.flags.writeable

    del result
    assert eventually(lambda: shm.stats().objects == 0)


def test_several_values_have_a_reference_each(workers):
    counter = Counter.remote(5)

    assert shm.get(counter.pair.remote()) == [5, -5]
    assert shm.get(counter.pair.options(num_returns=1).remote()) == (5, -5)
    with pytest.raises(errors.InvalidArgumentError, match=r"Counter.add returned a int"):
        shm.get(counter.add.options(num_returns=2).remote())


def test_a_class_of_a_notebook_goes_as_code_and_its_new_version_is_what_is_made(workers):
    scope = {"shm": shm, "__name__": "__main__"}
    cell = "@shm.remote\nclass Mine:\n    def what(self):\n        return answer()\n"
    exec("def answer():\n    return 1\n" + cell, scope)
    old = scope["Mine"].remote()
    assert shm.get(old.what.remote()) == 1

    exec("def answer():\n    return 2\n", scope)
    assert shm.get(scope["Mine"].remote().what.remote()) == 2
    assert shm.get(old.what.remote()) == 1


def test_what_an_actor_prints_lands_where_the_call_was_made_before_its_get_returns(workers, capsys):
    counter = Counter.remote()
    shm.get(counter.say.remote("hello"))

    assert capsys.readouterr().out == "hello\n"


def test_a_remote_class_can_be_subclassed(workers):
    class Twice(Counter):
        def add(self, amount=1):
            return super().add(2 * amount)

    assert shm.get(shm.remote(Twice).remote(1).add.remote(3)) == 7


# --- errors -------------------------------------------------------------------------------------------------------------


def test_an_error_comes_back_as_what_it_was_and_the_actor_goes_on(workers):
    counter = Counter.remote()
    with pytest.raises(LookupError, match="on purpose") as caught:
        shm.get(counter.fail.remote())

    assert "in fail" in "".join(traceback.format_exception(caught.value))
    assert shm.get(counter.add.remote(1)) == 101


def test_an_argument_that_failed_fails_the_call_and_it_is_not_made(workers):
    counter = Counter.remote()
    with pytest.raises(LookupError):
        shm.get(counter.add.remote(counter.fail.remote()))

    assert shm.get(counter.add.remote(0)) == 100


def test_what_the_constructor_raises_is_raised_by_all_calls_and_its_process_ends(workers):
    broken = Broken.remote("no way")
    early = broken.add.remote()
    for ref in (early, broken.add.remote()):
        with pytest.raises(LookupError, match="no way"):
            shm.get(ref)
    with pytest.raises(LookupError, match="no way"):
        shm.get(broken.add.remote())


@pytest.mark.parametrize(("how", "word"), [(exit_at_once, r"EXIT\(3\)"), (kill_it, "SIGKILL")])
def test_the_death_of_an_actor_is_told_to_all_callers_and_nobody_else_is_touched(workers, how, word):
    counter, other = Counter.remote(), Counter.remote()
    shm.get(other.add.remote())
    end, queued = counter.end.remote(how), counter.add.remote()

    for ref in (end, queued, counter.add.remote()):
        text = died(ref)
        assert "its process has ended" in text
        assert word.replace("\\", "") in text
    assert shm.get(other.add.remote()) == 2
    assert shm.get(square.remote(3)) == 9


def test_an_argument_that_kills_where_it_is_unpickled_is_the_end_of_the_actor(workers):
    class Bomb:
        def __reduce__(self):
            return exit_at_once, ()

    died(Counter.remote().add.remote(Bomb()))


def test_slips_are_told_what_they_are(workers):
    counter = Counter.remote()
    with pytest.raises(TypeError, match=r"Counter.remote\("):
        Counter()
    with pytest.raises(TypeError, match=r"handle.add.remote"):
        counter.add(1)
    with pytest.raises(AttributeError, match="no method 'count', and its attributes cannot be reached"):
        counter.count  # noqa: B018
    with pytest.raises(errors.InvalidArgumentError, match="Counter is a class"):
        shm.remote(num_returns=2)(Counter)
    with pytest.raises(errors.InvalidArgumentError, match="kill takes the handle of an actor"):
        shm.kill(3)
    with pytest.raises(errors.UnpicklableError):
        counter.add.remote(threading.Lock())
    assert copy.deepcopy(counter) is counter
    assert repr(counter) == "<actor Counter>"
    assert repr(counter.add) == "<method add of <actor Counter>>"
    assert "add" in dir(counter)
    assert Counter.__doc__ == "Counts."


# --- ends ---------------------------------------------------------------------------------------------------------------


def test_kill_ends_an_actor_whatever_it_does_and_may_be_said_twice(workers):
    counter = Counter.remote()
    pid = shm.get(counter.pid.remote())
    busy, queued = counter.end.remote(signal.pause), counter.add.remote()

    shm.kill(counter)
    shm.kill(counter)

    for ref in (busy, queued, counter.add.remote()):
        assert "shm.kill" in died(ref)
    assert eventually(lambda: not is_alive(pid))


def test_kill_ends_an_actor_that_waits_for_a_task_and_what_that_had_of_it(workers, caplog):
    @shm.remote
    class Waiter:
        def wait(self):
            shm.put(1, "begun")
            return shm.get([sleep.remote(60), sleep.remote(60)])

    @shm.remote
    def sleep(seconds):
        time.sleep(seconds)

    waiter = Waiter.remote()
    ref = waiter.wait.remote()
    shm.get("begun", timeout=30)
    shm.kill(waiter)

    died(ref)
    assert shm.get(square.remote(4), timeout=30) == 16
    assert not caplog.records


def test_an_actor_ends_with_its_handle_when_its_calls_have_ended(workers):
    counter = Counter.remote()
    pid = shm.get(counter.pid.remote())
    ref = counter.wait_for.remote("go")
    del counter
    gc.collect()

    assert is_alive(pid)
    shm.put(1, "go")
    assert shm.get(ref) == 0
    assert eventually(lambda: not is_alive(pid))


def test_a_handle_may_be_dropped_in_the_line_that_made_it(workers):
    assert shm.get(Counter.remote(3).add.remote(4)) == 7


def test_shutdown_ends_actors_and_later_calls_say_so(workers):
    counter = Counter.remote()
    pid = shm.get(counter.pid.remote())
    busy = counter.end.remote(signal.pause)

    shm.shutdown()

    assert not is_alive(pid)
    died(busy)
    assert "shm.shutdown()" in died(counter.add.remote())
    shm.kill(counter)
    assert shm.get(Counter.remote().add.remote()) == 1


def test_a_queued_call_can_be_cancelled_and_one_that_has_begun_goes_on_unheard(workers):
    counter = Counter.remote()
    begun, queued, last = counter.wait_for.remote("go"), counter.add.remote(10), counter.add.remote(1)

    shm.cancel(queued)
    shm.cancel(begun)
    for ref in (queued, begun):
        with pytest.raises(errors.CancelledError):
            shm.get(ref, timeout=30)
    shm.put(1, "go")
    assert shm.get(last) == 1


def test_an_interrupt_ends_the_wait_and_the_actor_goes_on_with_its_state(workers):
    counter = Counter.remote(3)
    shm.get(counter.add.remote())
    busy, queued = counter.wait_for.remote("go"), counter.add.remote(50)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        shm.get([busy, queued])

    shm.put(1, "go")
    assert shm.get(counter.add.remote()) == 5


def test_many_calls_are_cancelled_at_once_and_the_line_goes_on(workers):
    counter = Counter.remote()
    busy, queued = counter.wait_for.remote("go"), [counter.add.remote() for _ in range(2000)]
    last = counter.add.remote()
    for ref in queued[::-1]:
        shm.cancel(ref)
    shm.put(1, "go")

    assert shm.get([busy, last]) == [0, 1]


def test_a_cancelled_call_that_waits_for_a_reference_holds_up_nobody(workers):
    counter = Counter.remote()
    waiting = counter.add.remote(square.remote(Counter.remote().wait_for.remote("never")))
    last = counter.add.remote(1)
    shm.cancel(waiting)

    assert shm.get(last, timeout=30) == 1


def test_many_actors_come_and_go_and_leave_no_process(workers):
    for _ in range(2):
        actors = [Counter.remote(i) for i in range(4)]
        pids = shm.get([actor.pid.remote() for actor in actors])
        assert shm.get([actor.add.remote() for actor in actors]) == [1, 2, 3, 4]
        del actors
        assert eventually(lambda: not any(map(is_alive, pids)))  # noqa: B023


@pytest.mark.parametrize(
    "last_words", ["", "busy = counter.sleep.remote()", "os.kill(os.getpid(), 9)", "shm.kill(counter)"]
)
def test_an_interpreter_ends_at_once_and_its_actors_with_it(runtime_folder, last_words):
    begin = time.monotonic()
    _, out, _ = run(
        f"""
        import os, time
        import jupyter_shm as shm

        @shm.remote
        class Sleeper:
            def pid(self):
                return os.getpid()

            def sleep(self):
                time.sleep(60)

        counter = Sleeper.remote()
        print(shm.get(counter.pid.remote()), flush=True)
        {last_words}
        """
    )

    assert time.monotonic() - begin < 50
    assert eventually(lambda: not is_alive(int(out)))


def test_a_forked_child_is_told_that_the_actor_is_its_parents(workers):
    counter = Counter.remote()
    shm.get(counter.add.remote())

    def child():
        died(counter.add.remote())
        shm.kill(counter)

    forked(child)
    assert shm.get(counter.add.remote()) == 2


# --- handles in other places --------------------------------------------------------------------------------------------


def test_a_task_calls_an_actor_whose_handle_it_was_given(workers):
    counter = Counter.remote()

    assert shm.get(add_often.remote(counter, 5)) == [1, 2, 3, 4, 5]
    found = shm.get([add_often.remote(counter, 5) for _ in range(4)])
    assert sorted(itertools.chain(*found)) == list(range(6, 26))
    assert shm.get(counter.add.remote()) == 26


def test_an_actor_calls_another_and_tasks(workers):
    first, second = Counter.remote(), Counter.remote(100)
    shm.get(first.befriend.remote(second))
    del second
    gc.collect()

    assert shm.get([first.ask_friend.remote(1), first.ask_friend.remote(2)]) == [101, 103]
    assert shm.get(first.square_elsewhere.remote(5)) == 25


def test_calls_of_an_actor_do_not_begin_while_another_one_of_it_waits(workers):
    counter = Counter.remote()
    waits, after = counter.square_elsewhere.remote(5), counter.add.remote()

    assert shm.get([waits, after]) == [25, 1]


def test_a_task_makes_an_actor_which_ends_with_its_handle_there(workers):
    count, pid = shm.get(make_one.remote(7))

    assert count == 8
    assert eventually(lambda: not is_alive(pid))


def test_a_task_gives_back_the_handle_of_an_actor_that_it_made(workers):
    (counter,) = shm.get(make_and_give.remote(7))

    assert shm.get(counter.add.remote()) == 8
    shm.kill(counter)
    died(counter.add.remote())


def test_a_task_can_end_an_actor(workers):
    counter = Counter.remote()
    shm.get(kill_actor.remote(counter))

    assert "shm.kill" in died(counter.add.remote())


def test_a_handle_that_comes_back_is_the_same_actor(workers):
    counter = Counter.remote()
    again = pickle.loads(pickle.dumps(counter))

    assert again == counter
    assert len({again, counter}) == 1
    assert shm.get([counter.add.remote(), again.add.remote()]) == [1, 2]


def test_a_handle_is_refused_where_nobody_can_reach_the_actor(workers):
    data = pickle.dumps(Counter.remote())
    _, out, _ = run(
        f"""
        import sys
        sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]}
        import pickle, jupyter_shm as shm
        try:
            pickle.loads({data!r})
        except shm.errors.InvalidArgumentError as error:
            print(error)
        """
    )

    assert "can be used in the process that made it, and in its workers" in out


def test_an_executor_as_engine_has_no_actors_and_says_so(workers):
    with ThreadPoolExecutor(1) as pool:
        shm.init(engine=pool)
        try:
            with pytest.raises(errors.InvalidArgumentError, match="an actor needs a process of its own"):
                Counter.remote()
        finally:
            shm.init(workers=2)
