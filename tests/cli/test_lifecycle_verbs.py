"""``jupyter shm start`` and ``stop``, also of a store that cannot be asked."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from store_processes import stores_of

from jupyter_shm.client.store import Store
from jupyter_shm.linux.runtime import store_paths, take_lock
from jupyter_shm.testing.private import eventually

# --- start ------------------------------------------------------------------------------------------------------------


def test_start_starts_a_store_and_tells_where_it_is(cli, runtime_folder: Path):
    done = cli("start", "--capacity", "64MiB")

    (pid,) = stores_of(runtime_folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "store 'default' started",
        f"  pid      {pid}",
        f"  socket   {runtime_folder}/default.sock",
        "  capacity 64.0 MiB",
        f"  log      {runtime_folder}/default.log",
    ]


def test_starting_what_runs_changes_nothing(cli, runtime_folder: Path):
    first = cli("start", "--capacity", "64MiB")
    before = stores_of(runtime_folder)

    again = cli("start")

    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == first.stdout.replace("started", "runs already")
    assert stores_of(runtime_folder) == before


def test_a_capacity_that_is_not_applied_is_told(cli, store: Store):
    same = cli("start", "--capacity", "64MiB")
    other = cli("start", "--capacity", "65MiB")

    assert (same.returncode, same.stderr) == (0, "")
    assert other.returncode == 0
    assert other.stderr.startswith("jupyter shm: warning: the 65.0 MiB asked for are not applied")
    assert "capacity 64.0 MiB" in other.stdout


def test_stores_of_other_names_live_beside_each_other(cli, runtime_folder: Path):
    cli("start", "--capacity", "64MiB")
    cli("start", "--store", "other", "--capacity", "32MiB")

    stopped = cli("stop", "--store", "other")

    assert stopped.stdout.startswith("store 'other' (pid ")
    assert cli("ls").returncode == 0
    assert cli("--store", "other", "ls").returncode == 3


# --- stop -------------------------------------------------------------------------------------------------------------


def test_stop_tells_what_was_lost(cli, runtime_folder: Path):
    cli("start", "--capacity", "64MiB")
    (pid,) = stores_of(runtime_folder)
    with Store() as store:
        store.put(np.zeros(1 << 17), "a")
    # The store learns a moment later that we have gone.
    assert eventually(lambda: "0 besides this command" in cli("doctor").stdout)

    done = cli("stop")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"store 'default' (pid {pid}) stopped; lost: 1 object, 1.0 MiB\n"
    assert stores_of(runtime_folder) == {}


def test_stop_is_refused_while_processes_are_connected_and_names_them(cli, store: Store):
    store.put(np.zeros(10), "a")

    done = cli("stop")

    assert (done.returncode, done.stdout) == (1, "")
    assert f"(pid {os.getpid()})" in done.stderr
    assert "`jupyter shm stop --force`" in done.stderr
    assert store.keys() == ["a"]


def test_a_forced_stop_counts_what_was_lost_and_leaves_views_alone(cli, store: Store, runtime_folder: Path):
    store.put(np.arange(1 << 17), "a")
    store.put(np.arange(1 << 17), "b")
    held = store.get("a")
    (pid,) = stores_of(runtime_folder)

    done = cli("stop", "--force")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"store 'default' (pid {pid}) stopped; lost: 2 objects, 2.0 MiB\n"
    assert (held == np.arange(1 << 17)).all()


def test_a_new_store_can_start_as_soon_as_stop_returns(cli, runtime_folder: Path):
    for _ in range(3):
        assert cli("start", "--capacity", "64MiB").stdout.startswith("store 'default' started")
        assert cli("stop").stdout.endswith("stopped; it held nothing\n")

        lock = take_lock(store_paths("default").lock, wait=False)

        assert lock is not None
        os.close(lock)


# --- a store that cannot be asked -------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["ls"], ["info", "x"], ["rm", "x"], ["start"]], ids=" ".join)
def test_a_store_of_another_wire_version_is_told_with_both_cures(cli, foreign, words: list[str]):
    foreign()

    done = cli(*words)

    assert (done.returncode, done.stdout) == (1, "")
    assert "jupyter_shm 9.9" in done.stderr
    assert "wire version 99" in done.stderr
    assert "`jupyter shm stop`" in done.stderr
    assert "JUPYTER_SHM_STORE" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["stop"], ["stop", "--force"]], ids=" ".join)
def test_a_store_of_another_wire_version_is_ended_by_a_signal(cli, foreign, runtime_folder: Path, words: list[str]):
    process = foreign()

    done = cli(*words)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"store 'default' (pid {process.pid}) was ended by SIGTERM; "
        "it speaks another wire version, so what it held could not be counted\n"
    )
    assert process.wait(timeout=0) == 7
    assert cli("start", "--capacity", "64MiB").returncode == 0


@pytest.mark.slow
def test_a_store_that_ignores_sigterm_is_killed_only_by_force(cli, foreign):
    process = foreign("stubborn")

    polite = cli("stop")
    assert process.poll() is None
    forced = cli("stop", "--force")

    assert polite.returncode == 1
    assert "`jupyter shm stop --force`" in polite.stderr
    assert forced.returncode == 0
    assert "was ended by SIGTERM and SIGKILL" in forced.stdout
    assert process.wait(timeout=0) == -signal.SIGKILL


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_ended_only_by_force(cli, foreign):
    process = foreign("silent")

    polite = cli("stop")
    assert process.poll() is None
    forced = cli("stop", "--force")

    assert polite.returncode == 1
    assert f"the store (pid {process.pid}) accepted the connection but has not answered" in polite.stderr
    assert (forced.returncode, forced.stderr) == (0, "")
    assert forced.stdout.endswith("was ended by SIGTERM; it did not answer, so what it held could not be counted\n")


@pytest.mark.slow
def test_a_real_store_that_hangs_can_be_stopped(cli, runtime_folder: Path):
    cli("start", "--capacity", "64MiB")
    (pid,) = stores_of(runtime_folder)
    os.kill(pid, signal.SIGSTOP)

    done = cli("stop", "--force")

    assert done.returncode == 0
    assert f"(pid {pid}) was ended by SIGTERM and SIGKILL" in done.stdout
    assert stores_of(runtime_folder) == {}
