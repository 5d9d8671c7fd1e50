"""Every way in which a task can end badly, at every step of its way; and what becomes of the others."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import pytest

import jupyter_shm as shm
from jupyter_shm import errors
from jupyter_shm.testing.private import eventually

SUBMITTER = os.getpid()


def raise_error():
    raise LookupError("on purpose")


def leave():
    sys.exit(3)


def leave_at_once():
    os._exit(3)


def kill_it():
    os.kill(os.getpid(), signal.SIGKILL)


def crash():
    faulthandler.disable()
    ctypes.string_at(0)


WAYS = {"error": raise_error, "exit": leave, "os._exit": leave_at_once, "kill": kill_it, "segfault": crash}
DEADLY = ["os._exit", "kill", "segfault"]


class Trap:
    """Goes off where it is pickled, or unpickled: in the process that does it."""

    def __init__(self, way, at):
        self.way, self.at = way, at

    def __reduce__(self):
        if self.at == "pickle":
            WAYS[self.way]()
        return spring, (self.way,)


def spring(way):
    WAYS[way]()


@shm.remote
def run(way):
    WAYS[way]()


@shm.remote
def take(thing):
    return "taken"


@shm.remote
def give(way, at):
    return [Trap(way, at)]


@shm.remote
def one(x=1):
    return x


@shm.remote
def hold(path):
    Path(path).touch()
    time.sleep(60)


def expect_end(ref, way):
    expected = {"error": LookupError, "exit": SystemExit}.get(way, errors.WorkerDiedError)
    with pytest.raises((expected, errors.DeserializeError, errors.UnpicklableError)) as caught:
        shm.get(ref, timeout=60)
    return caught.value


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_ends_badly_while_it_runs_is_told_and_the_next_one_runs(workers, way):
    error = expect_end(run.remote(way), way)

    text = "".join(traceback.format_exception(error))
    assert {"kill": "SIGKILL", "segfault": "SIGSEGV", "os._exit": "EXIT(3)"}.get(way, "test_deaths.py") in text
    assert shm.get([one.remote(i) for i in range(5)]) == list(range(5))


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_ends_badly_while_it_is_unpickled_is_told_and_the_next_one_runs(workers, way):
    expect_end(take.remote(Trap(way, "unpickle")), way)

    assert shm.get(one.remote(2)) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_result_that_ends_badly_while_it_is_pickled_is_told_and_the_next_one_runs(workers, way):
    expect_end(give.remote(way, "pickle"), way)

    assert shm.get(one.remote(2)) == 2


@pytest.mark.parametrize("way", ["error", "exit"])
def test_a_task_that_cannot_be_pickled_raises_where_it_is_submitted(workers, way):
    with pytest.raises((errors.UnpicklableError, SystemExit)):
        take.remote(Trap(way, "pickle"))

    assert shm.get(one.remote(2)) == 2


@pytest.mark.parametrize("way", ["error", "exit"])
def test_a_result_that_cannot_be_unpickled_raises_in_the_get(workers, way):
    with pytest.raises((errors.DeserializeError, SystemExit)):
        shm.get(give.remote(way, "unpickle"))

    assert shm.get(one.remote(2)) == 2


@pytest.mark.parametrize("way", DEADLY)
def test_a_submitter_that_dies_while_it_pickles_or_unpickles_leaves_no_worker(runtime_folder, way):
    from client.peers import is_alive
    from client.peers import run as run_peer

    for call in (f"take.remote(Trap({way!r}, 'pickle'))", f"shm.get(give.remote({way!r}, 'unpickle'))"):
        _, out, _ = run_peer(
            f"""
            import sys
            sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]}
            import jupyter_shm as shm, os
            from test_deaths import Trap, give, take
            shm.init(workers=2)
            print(*shm.get([shm.remote(os.getpid).remote() for _ in range(20)]), flush=True)
            {call}
            """
        )
        pids = {int(pid) for pid in out.split()}
        assert pids
        assert eventually(lambda: not any(map(is_alive, pids)))  # noqa: B023


def test_one_that_exits_among_41_that_are_queued_fails_alone(workers):
    refs = [run.remote("os._exit") if i == 20 else one.remote(i) for i in range(41)]

    for i, ref in enumerate(refs):
        if i == 20:
            expect_end(ref, "os._exit")
        else:
            assert shm.get(ref, timeout=60) == i


def test_tasks_that_had_not_begun_run_once_and_those_on_other_workers_go_on(workers, tmp_path):
    @shm.remote
    def note(i):
        with (tmp_path / "log").open("a") as log:
            log.write(f"{i}\n")
        time.sleep(0.001)
        if i % 10 == 3:
            os._exit(1)
        return i

    refs = [note.remote(i) for i in range(60)]
    for i, ref in enumerate(refs):
        if i % 10 == 3:
            expect_end(ref, "os._exit")
        else:
            assert shm.get(ref, timeout=60) == i

    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(60))


def test_a_task_with_retries_runs_again_after_a_death_and_so_often_only(workers, tmp_path):
    @shm.remote(retries=2)
    def die_until(count):
        with (tmp_path / "log").open("a") as log:
            log.write("x")
        if len((tmp_path / "log").read_text()) <= count:
            os._exit(1)
        return "survived"

    assert shm.get(die_until.remote(2)) == "survived"
    (tmp_path / "log").unlink()
    expect_end(die_until.remote(9), "os._exit")
    assert (tmp_path / "log").read_text() == "xxx"


def test_what_depends_on_a_task_that_died_fails_with_the_same_error(workers):
    expect_end(one.remote(one.remote(run.remote("kill"))), "kill")


def test_a_worker_that_closes_everything_it_has_is_replaced(workers):
    @shm.remote
    def close_all():
        os.closerange(3, 200)

    expect_end(close_all.remote(), "kill")
    assert shm.get(one.remote(2)) == 2


def test_workers_that_cannot_start_fail_their_tasks_instead_of_being_started_for_ever(
    runtime_folder, monkeypatch, workers
):
    from jupyter_shm.workers import lane

    shm.shutdown()
    monkeypatch.setattr(lane.running, "start", leave_at_once)

    with pytest.raises(errors.WorkerDiedError, match="several workers in a row"):
        shm.get(one.remote(), timeout=60)


def test_a_machine_that_has_no_room_for_a_worker_says_so(workers, monkeypatch):
    from jupyter_shm.workers import local

    def refuse(*_):
        raise OSError(24, "Too many open files")

    shm.shutdown()
    monkeypatch.setattr(local, "Lane", refuse)
    refs = [one.options(retries=i % 2).remote() for i in range(30)]

    for ref in refs:
        with pytest.raises(errors.ShmError, match=r"no worker could be started.*Too many open files"):
            shm.get(ref, timeout=60)


# --- cancelling -------------------------------------------------------------------------------------------------------


def test_a_running_task_that_is_cancelled_is_ended_and_what_stood_behind_it_runs(workers, tmp_path):
    shm.init(workers=1)
    slow = hold.remote(str(tmp_path / "begun"))
    assert eventually((tmp_path / "begun").exists)
    behind, dependant = one.remote(5), one.remote(slow)
    shm.cancel(slow)

    for ref in (slow, dependant):
        with pytest.raises(errors.CancelledError, match="hold was cancelled"):
            shm.get(ref, timeout=30)
    assert shm.get(behind, timeout=30) == 5


def test_the_error_of_a_cancelled_task_is_that_of_futures_too(workers, tmp_path):
    from concurrent.futures import CancelledError

    slow = hold.remote(str(tmp_path / "begun"))
    shm.cancel(slow)
    with pytest.raises(CancelledError):
        shm.get(slow)
    with pytest.raises(errors.CancelledError):
        shm.get(slow)


def test_a_task_that_waits_its_turn_is_cancelled_without_a_death(workers, tmp_path):
    shm.init(workers=1)
    pid = shm.get(shm.remote(os.getpid).remote())
    slow = shm.remote(lambda path: Path(path).touch() or shm.get("go", timeout=30)).remote(str(tmp_path / "begun"))
    assert eventually((tmp_path / "begun").exists)
    queued = [one.remote(i) for i in range(20)]
    shm.cancel(queued[3])
    shm.cancel(queued[15])
    shm.put("done", "go")

    assert shm.get(slow) == "done"
    assert [shm.get(ref) for i, ref in enumerate(queued) if i not in (3, 15)] == [
        i for i in range(20) if i not in (3, 15)
    ]
    for i in (3, 15):
        with pytest.raises(errors.CancelledError):
            shm.get(queued[i])
    assert shm.get(shm.remote(os.getpid).remote()) == pid


def test_cancelling_what_has_ended_changes_nothing(workers):
    ref = one.remote(3)
    shm.get(ref)
    shm.cancel(ref)
    shm.cancel(shm.put(1))

    assert shm.get(ref) == 3
    with pytest.raises(errors.InvalidArgumentError):
        shm.cancel("a name")
