"""The leak checks find what they are there to find: a check that cannot fail checks nothing."""

from __future__ import annotations

import mmap
import os
import signal
import stat
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from leaks import KINDS, Holdings, kinds_to_check, leaked_since, report
from store_processes import NO_FOLDER, end_stores_of, processes_of, settings_in

WAITS_FOR_INPUT = [sys.executable, "-c", "input()"]


def test_nothing_is_reported_where_nothing_was_left():
    before = Holdings.now()

    assert leaked_since(before, seconds=0) == []


def test_an_open_descriptor_is_reported_with_its_target():
    before = Holdings.now()
    reading, writing = os.pipe()

    leaked = leaked_since(before, seconds=0)

    os.close(reading)
    os.close(writing)
    assert len(leaked) == 2
    assert all(line.startswith("descriptors: ") and " -> pipe:[" in line for line in leaked)


def test_a_descriptor_number_that_is_used_again_for_something_else_is_reported(tmp_path: Path):
    first = os.open("/dev/zero", os.O_RDONLY)
    before = Holdings.now()
    os.close(first)
    second = os.open("/dev/full", os.O_RDONLY)

    leaked = leaked_since(before, seconds=0)

    os.close(second)
    assert second == first, "the kernel gives out the lowest free number"
    assert leaked == [f"descriptors: {first} -> /dev/full"]


def test_a_running_thread_is_reported_by_name():
    before = Holdings.now()
    let_go = threading.Event()
    thread = threading.Thread(target=let_go.wait, name="left-behind")
    thread.start()

    leaked = leaked_since(before, seconds=0)

    let_go.set()
    thread.join()
    assert [line.split(" (")[0] for line in leaked] == ["threads: left-behind"]


def test_a_running_child_is_reported_by_its_command_line():
    before = Holdings.now()
    with subprocess.Popen(WAITS_FOR_INPUT, stdin=subprocess.PIPE) as child:
        leaked = leaked_since(before, ("children",), seconds=0)
        child.stdin.close()

    assert [line.split(": ", 2)[:2] for line in leaked] == [["children", f"pid {child.pid}"]]


def test_a_dead_child_that_nobody_waited_for_is_reported():
    before = Holdings.now()
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

    leaked = leaked_since(before, seconds=0)

    os.waitpid(child, 0)
    assert leaked == [f"children: pid {child}: (dead, and nobody waited for it)"]


def test_a_map_without_a_descriptor_is_reported():
    before = Holdings.now()
    descriptor = os.memfd_create("left-behind")
    os.truncate(descriptor, mmap.PAGESIZE)
    kept = mmap.mmap(descriptor, mmap.PAGESIZE)
    os.close(descriptor)

    leaked = leaked_since(before, ("segments",), seconds=0)

    kept.close()
    assert [line.split(" (")[0] for line in leaked] == ["segments: map of memfd:left-behind"]


def test_a_file_in_shared_memory_is_reported():
    before = Holdings.now()
    path = Path(f"/dev/shm/jupyter-shm-test-{os.getpid()}")
    path.touch()

    leaked = leaked_since(before, seconds=0)

    path.unlink()
    assert leaked == [f"segments: {path}"]


@pytest.mark.parametrize(("maker", "is_ours"), [(os.getppid, False), (os.getpid, True)])
def test_a_semaphore_of_workers_is_held_against_who_made_it(maker, is_ours):
    before = Holdings.now()
    path = Path(f"/dev/shm/sem.loky-{maker()}-left")
    path.touch()

    leaked = leaked_since(before, seconds=0)

    path.unlink()
    assert leaked == ([f"segments: {path}"] if is_ours else [])


def test_what_goes_away_before_the_deadline_is_no_leak():
    before = Holdings.now()
    thread = threading.Timer(0.2, lambda: None)
    thread.start()

    assert leaked_since(before) == []
    thread.join()


def test_garbage_in_cycles_is_no_leak():
    before = Holdings.now()
    cycle = list(os.pipe())
    cycle.append(cycle)
    weakref.finalize(InCycle(cycle), os.closerange, cycle[0], cycle[1] + 1)
    del cycle

    assert leaked_since(before, seconds=0) == []


class InCycle:
    """Freed by the garbage collection only, because it is part of what it holds."""

    def __init__(self, cycle: list[object]) -> None:
        self.cycle = cycle
        cycle.append(self)


def test_only_the_kinds_that_are_asked_for_are_looked_at():
    before = Holdings.now()
    reading, writing = os.pipe()

    leaked = leaked_since(before, tuple(kind for kind in KINDS if kind != "descriptors"), seconds=0)

    os.close(reading)
    os.close(writing)
    assert leaked == []


@pytest.mark.may_leak("descriptors", reason="shows that the mark works; the next test closes the pipe")
def test_a_marked_test_may_leave_what_its_mark_says(left: list[int]):
    left.extend(os.pipe())


def test_what_a_marked_test_left_is_not_held_against_the_next_one(left: list[int]):
    assert len(left) == 2
    for descriptor in left:
        os.close(descriptor)


@pytest.fixture(scope="module")
def left() -> list[int]:
    """Descriptors that one test hands to the next."""
    return []


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [((), "all"), (("threads",), ""), (("sockets",), "no such kind")],
    ids=["no-kind", "no-reason", "unknown-kind"],
)
def test_a_mark_without_a_kind_or_a_reason_is_refused(kinds: tuple[str, ...], reason: str):
    with pytest.raises(ValueError, match="may_leak needs"):
        kinds_to_check(*kinds, reason=reason)


def test_the_report_lists_every_leak_and_names_the_cure():
    text = report(["threads: a", "children: b"])

    assert "threads: a\n  children: b" in text
    assert "may_leak" in text


# --- Stores -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pretended_store(tmp_path: Path) -> Path:
    """A folder from which ``python -m jupyter_shm.store`` starts a process that is no store but lives like one."""
    package = tmp_path / "jupyter_shm" / "store"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import signal, sys\n"
        "if 'deaf' in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\n"
        "signal.pause()\n"
    )
    return tmp_path


def start(where: Path, folder: str, *arguments: str) -> subprocess.Popen[bytes]:
    store = subprocess.Popen(
        [sys.executable, "-m", "jupyter_shm.store", *arguments],
        cwd=where,
        env={"JUPYTER_SHM_RUNTIME_DIR": folder},
        stdout=subprocess.PIPE,
    )
    assert store.stdout.readline() == b"up\n"
    return store


def test_stores_of_a_folder_are_found_and_those_of_others_left_alone(pretended_store: Path):
    with start(pretended_store, "/tmp/mine") as mine, start(pretended_store, "/tmp/mine-not") as not_mine:
        found = processes_of(Path("/tmp/mine"))
        mine.kill()
        not_mine.kill()

    assert list(found) == [mine.pid]
    assert "-m jupyter_shm.store" in found[mine.pid]


def test_a_store_that_heeds_sigterm_is_ended_without_complaint(pretended_store: Path):
    with start(pretended_store, "/tmp/mine") as store:
        complaints = end_stores_of(Path("/tmp/mine"))

    assert complaints == []
    assert store.returncode == -signal.SIGTERM


def test_a_store_that_ignores_sigterm_is_killed_and_named(pretended_store: Path):
    with start(pretended_store, "/tmp/mine", "deaf") as store:
        complaints = end_stores_of(Path("/tmp/mine"), seconds=0.1)

    assert store.returncode == -signal.SIGKILL
    assert len(complaints) == 1
    assert complaints[0].startswith(f"pid {store.pid} did not end within 0.1 s of SIGTERM")


def test_a_test_that_asks_for_no_runtime_folder_can_reach_no_store():
    assert os.environ["JUPYTER_SHM_RUNTIME_DIR"] == NO_FOLDER
    with pytest.raises(NotADirectoryError):
        Path(NO_FOLDER).mkdir(parents=True)


def test_a_runtime_folder_is_private_short_and_with_a_small_reserve_the_only_setting(runtime_folder: Path):
    assert stat.S_IMODE(runtime_folder.stat().st_mode) == 0o700
    assert len(os.fsencode(runtime_folder)) < 40
    assert {name: os.environ[name] for name in settings_in(os.environ)} == {
        "JUPYTER_SHM_RUNTIME_DIR": str(runtime_folder),
        "JUPYTER_SHM_RESERVE": "16MiB",
    }
