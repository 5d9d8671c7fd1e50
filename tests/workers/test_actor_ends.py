"""The ends of actors, and of their calls; nothing stays behind."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time

import pytest
from client.peers import forked, is_alive, run
from workers.counters import Counter, died, square

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


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
