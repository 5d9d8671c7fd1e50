"""Handles of actors in tasks, in other actors, and where they do not belong."""

from __future__ import annotations

import gc
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from client.peers import is_alive, run
from workers.counters import Counter, add_often, died, kill_actor, make_and_give, make_one

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


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
