"""The ends of submitters: by themselves, by a signal, by a fork; nothing stays behind, and nothing is waited for."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from client.peers import forked, is_alive, run

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


@shm.remote
def one(x=1):
    return x


@shm.remote
def hold(path):
    Path(path).touch()
    time.sleep(60)


SCRIPT = """
import os, sys, time
import jupyter_shm as shm

@shm.remote
def pid():
    return os.getpid()

@shm.remote
def sleep():
    time.sleep(60)

shm.init(workers=2)
print(*set(shm.get([pid.remote() for _ in range(40)])), flush=True)
"""


@pytest.mark.parametrize(
    ("last_words", "status"),
    [
        ("", 0),
        ("ref = sleep.remote(); time.sleep(0.2)", 0),
        ("refs = [sleep.remote() for _ in range(50)]; sys.exit(3)", 3),
        ("shm.shutdown(); shm.shutdown(); print(shm.get(pid.remote()) > 0)", 0),
        ("shm.get(sleep.remote().__class__)", 1),
    ],
)
def test_an_interpreter_ends_at_once_and_its_workers_with_it(runtime_folder, last_words, status):
    begin = time.monotonic()
    code, out, err = run(SCRIPT + last_words)

    assert code == status, err
    assert not err or status == 1
    assert time.monotonic() - begin < 30
    pids = [int(word) for word in out.split() if word.isdigit()]
    assert len(pids) >= 1
    assert eventually(lambda: not any(map(is_alive, pids)))


def test_ctrl_c_in_a_terminal_ends_what_is_waited_for_and_no_worker_says_anything(runtime_folder):
    code, out, err = run(
        SCRIPT
        + """
import signal, threading
os.setpgid(0, 0) if os.getpgid(0) != os.getpid() else None
def interrupt():
    time.sleep(0.5)
    for worker in set(workers): os.kill(worker, signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
workers = shm.get([pid.remote() for _ in range(40)])
threading.Thread(target=interrupt).start()
ref = sleep.remote()
begin = time.monotonic()
try:
    shm.get(ref)
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - begin < 3)
try:
    shm.get(ref)
except shm.errors.CancelledError as error:
    print(error)
print(shm.get(pid.remote()) > 0)
"""
    )

    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == ["interrupted True", "sleep was cancelled", "True"]


def test_a_forked_child_has_workers_of_its_own_and_leaves_those_of_its_parent_alone(workers, tmp_path):
    pending, ready = hold.remote(str(tmp_path / "begun")), one.remote([1, 2])
    shm.get(ready)

    def child():
        with pytest.raises(errors.CancelledError, match="forked"):
            shm.get(pending, timeout=10)
        assert shm.get(ready) == [1, 2]
        assert shm.get(one.remote(5), timeout=30) == 5
        shm.shutdown()
        return True

    assert forked(child)
    assert shm.get(one.remote(2), timeout=30) == 2
    shm.cancel(pending)


def test_a_fork_while_tasks_are_submitted_does_not_hang(workers):
    stop = threading.Event()
    failures = []

    def submit():
        while not stop.is_set():
            try:
                assert shm.get([one.remote(i) for i in range(20)], timeout=30) == list(range(20))
            except BaseException as error:
                failures.append(error)
                return

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        for _ in range(5):
            assert forked(lambda: shm.get(one.remote(3), timeout=30) == 3 and (shm.shutdown() or True))
    finally:
        stop.set()
        thread.join()
    assert failures == []


def test_importing_the_package_and_ending_without_a_task_imports_nothing_of_this(runtime_folder):
    code, out, _ = run(
        "import sys, jupyter_shm as shm\n"
        "shm.put(1); shm.get\n"
        "print(sorted({'loky', 'concurrent.futures', 'multiprocessing'} & {*sys.modules}),"
        " [name for name in sys.modules if name.startswith('jupyter_shm.workers')])"
    )

    assert (code, out) == (0, "[] []")


def test_a_store_that_ends_with_its_keeper_takes_large_results_and_leaves_small_ones(workers):
    import numpy as np
    from client.peers import kill_store_and_keeper

    small, large = one.remote([1]), one.remote(np.ones(1 << 20))
    shm.wait([small, large], num_returns=2)
    kill_store_and_keeper(shm.stats().pid)
    time.sleep(0.1)  # until a get looks at its socket again

    assert shm.get(small) == [1]
    with pytest.warns(errors.StoreLostWarning):
        shm.put(1)
    with pytest.raises(errors.ObjectNotFoundError):
        shm.get(large)
    assert shm.get(one.remote(5), timeout=30) == 5


def test_descriptors_and_threads_do_not_grow_with_deaths(workers):
    @shm.remote
    def die():
        os._exit(1)

    def counts():
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    def three_deaths():
        for _ in range(3):
            with pytest.raises(errors.WorkerDiedError):
                shm.get(die.remote())
        shm.get([one.remote() for _ in range(20)])

    three_deaths()
    gc.collect()
    before = counts()
    three_deaths()

    gc.collect()
    assert eventually(lambda: counts() <= before), (before, counts())


def test_the_script_itself_is_not_run_again_in_workers(runtime_folder, tmp_path):
    (tmp_path / "script.py").write_text(
        "import jupyter_shm as shm\nprint('once')\n@shm.remote\ndef f(x): return x + 1\nprint(shm.get(f.remote(1)))\n"
    )
    code, out, err = run(
        f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, {str(tmp_path / 'script.py')!r}]))"
    )

    assert (code, out, err) == (0, "once\n2", "")
    assert sys.executable


def test_a_child_that_a_task_forks_is_no_worker(workers, capfd):
    @shm.remote
    def fork():
        def child():
            assert type(sys.stdout).__name__ != "TaskStream"
            with pytest.raises(errors.CancelledError):
                shm.get(pending, timeout=10)
            return shm.get(one.remote(7), timeout=30), shm.shutdown()

        pending = one.remote(3)
        got = forked(child)[0]
        print("from the task")
        return got, shm.get(pending)

    assert shm.get(fork.remote(), timeout=60) == (7, 3)
    assert shm.get(one.remote(2), timeout=30) == 2
    assert capfd.readouterr().out == "from the task\n"
