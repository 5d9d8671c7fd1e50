"""Actors: what their calls give, and what goes wrong in them."""

from __future__ import annotations

import copy
import os
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from workers.counters import Broken, Counter, died, exit_at_once, kill_it, square

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually

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
