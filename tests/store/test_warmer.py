"""The process that makes memory ahead of demand: real ones, and how each of them ends."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_shm.linux import maps, memory, packets, warming
from jupyter_shm.linux.memory import HUGE, PAGE
from jupyter_shm.store.warmer import NAME, STARTS, Warmer

SECONDS = 30.0
"""How long a condition may take before the test fails; spent only then."""

NBYTES = 64 * HUGE

MAKES_HUGE = not warming.what_is_possible().advice

ALL = 1 << 62
"""A margin that no machine has: nothing is warmed."""


@pytest.fixture
def heap() -> Iterator[int]:
    fd = memory.create_memory("test-heap", NBYTES)
    yield fd
    os.close(fd)


@pytest.fixture
def read_only(heap: int) -> Iterator[int]:
    fd = memory.reopen_read_only(heap)
    yield fd
    os.close(fd)


@pytest.fixture
def warmer(read_only: int) -> Iterator[Warmer]:
    warmer = Warmer(read_only)
    yield warmer
    warmer.stop()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {SECONDS:g} s"
        time.sleep(0.005)


def hear(warmer: Warmer, count: int = 1) -> list[warming.Warmed]:
    """What it tells next, waited for as the loop of the store does."""
    heard: list[warming.Warmed] = []
    while len(heard) < count:
        assert select.select([warmer.fd], [], [], SECONDS)[0], "it tells nothing"
        heard += warmer.hear()
    return heard


def stat_of(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_idle(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text() == f"{NAME}\n" and stat_of(pid)[0] == "S"


def has_ended(pid: int) -> bool:
    return not stat_of(pid) or stat_of(pid)[0] in "ZX"


def started(warmer: Warmer) -> int:
    """The id of a warmer that is done with its preparations."""
    assert warmer.start()
    eventually(lambda: is_idle(warmer.pid))
    return warmer.pid


# --- what it does -----------------------------------------------------------------------------------------------------


def test_a_range_has_memory_when_the_warmer_has_told(heap, warmer):
    assert warmer.ask(4 * HUGE, 8 * HUGE, 0)

    ((offset, nbytes, huge, present),) = hear(warmer)

    assert (offset, nbytes, huge + present) == (4 * HUGE, 8 * HUGE, 8 * HUGE)
    assert bool(huge) == MAKES_HUGE
    # What was only read, where nothing can be collapsed, the kernel may take back at any time.
    assert 4 * HUGE < memory.resident_bytes(heap) <= 8 * HUGE


def test_several_ranges_are_told_in_the_order_in_which_they_were_asked(warmer):
    ranges = [(8 * HUGE, HUGE), (0, 2 * HUGE), (4 * HUGE, HUGE)]

    assert all(warmer.ask(offset, nbytes, 0) for offset, nbytes in ranges)

    assert [told[:2] for told in hear(warmer, 3)] == ranges


def test_nothing_is_told_that_was_not_asked(warmer):
    assert warmer.hear() == []
    warmer.start()
    assert warmer.hear() == []


def test_what_is_live_stays_as_it_is_while_it_is_warmed(heap, warmer):
    data = os.urandom(16 * HUGE)
    for at in range(0, len(data), PAGE):
        os.pwrite(heap, data[at : at + PAGE], at)
    warmer.ask(0, len(data), 0)

    with maps.map_shared(heap, 0, len(data), writable=True) as made:
        while not (heard := warmer.hear()):
            made.view[HUGE] = made.view[HUGE] ^ 0xFF
            assert made.view[5 * HUGE :: HUGE // 2] == data[5 * HUGE :: HUGE // 2]
        made.view[HUGE] = data[HUGE]
        assert made.view == data

    assert heard[0].huge + heard[0].present == len(data)
    assert memory.resident_bytes(heap) == len(data)


def test_where_memory_is_short_nothing_is_done(heap, warmer):
    warmer.ask(0, NBYTES, ALL)

    assert hear(warmer) == [(0, NBYTES, 0, 0)]
    assert memory.resident_bytes(heap) == 0


def test_a_margin_counts_for_its_own_request_alone(warmer):
    warmer.ask(0, HUGE, ALL)
    warmer.ask(0, HUGE, 0)

    assert [told.huge + told.present for told in hear(warmer, 2)] == [0, HUGE]


@pytest.mark.parametrize(("offset", "nbytes"), [(PAGE, HUGE), (0, PAGE), (0, 0), (-HUGE, HUGE)])
def test_what_is_not_whole_huge_pages_is_refused_before_anything_is_started(warmer, offset, nbytes):
    with pytest.raises(ValueError, match="cannot warm"):
        warmer.ask(offset, nbytes, 0)

    assert (warmer.fd, warmer.pid) == (-1, 0)


# --- what it is -------------------------------------------------------------------------------------------------------


def test_it_holds_the_heap_and_its_socket_and_nothing_else(heap, read_only, warmer):
    reader, writer = os.pipe()
    connection, peer = packets.pair()
    try:
        pid = started(warmer)
        links = {int(link.name): str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
        flags = Path(f"/proc/{pid}/fdinfo/{read_only}").read_text().split("flags:")[1].split()[0]
        os.close(writer)
        connection.close()

        # Nobody else holds the other ends.
        assert select.select([reader], [], [], SECONDS)[0]
        assert os.read(reader, 1) == b""
        assert packets.receive(peer, wait=False) == packets.END
    finally:
        os.close(reader)
        peer.close()

    assert [links.pop(stream) for stream in (0, 1, 2)] == [os.devnull] * 3
    assert links.pop(read_only) == str(Path(f"/proc/self/fd/{heap}").readlink())
    assert int(flags, 8) & os.O_ACCMODE == os.O_RDONLY
    assert [link.partition(":")[0] for link in links.values()] == ["socket"]


def test_it_maps_no_memory_of_the_store_while_it_is_idle(heap, warmer):
    with maps.map_shared(heap, 0, HUGE, writable=True):
        pid = started(warmer)
        warmer.ask(0, HUGE, 0)
        hear(warmer)
        eventually(lambda: is_idle(pid))

        assert "/memfd:" in Path("/proc/self/maps").read_text()
        assert "/memfd:" not in Path(f"/proc/{pid}/maps").read_text()


def test_it_lets_everybody_else_go_first(warmer):
    pid = started(warmer)

    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert os.sched_getscheduler(pid) == os.SCHED_BATCH
    assert os.getsid(pid) == pid
    with contextlib.suppress(FileNotFoundError):
        assert Path(f"/proc/{pid}/autogroup").read_text().split()[-1] in ("19", "0")


def test_it_waits_without_using_a_processor(warmer):
    pid = started(warmer)
    used = stat_of(pid)[11:13]
    switches = Path(f"/proc/{pid}/status").read_text().partition("voluntary_ctxt_switches:")[2]
    time.sleep(0.3)

    assert stat_of(pid)[11:13] == used
    assert Path(f"/proc/{pid}/status").read_text().partition("voluntary_ctxt_switches:")[2] == switches


def test_signals_mean_to_it_what_they_mean_to_any_process(warmer):
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        pid = started(warmer)
        os.kill(pid, signal.SIGTERM)
        warmer.ask(0, HUGE, 0)
        eventually(lambda: warmer.hear() or warmer.fd < 0)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert heard == []
    assert warmer.pid != pid


def test_it_runs_nothing_of_the_store_when_it_ends(tmp_path):
    code = """
        import atexit, os, sys, time
        from jupyter_shm.linux import memory
        from jupyter_shm.store.warmer import Warmer
        atexit.register(lambda: print("the store's exit", flush=True))
        print("not flushed yet", end=" ")
        fd = memory.create_memory("heap", memory.HUGE)
        warmer = Warmer(memory.reopen_read_only(fd))
        warmer.start()
        pid = warmer.pid
        warmer._sock.close()  # the end of the socket, and of the process
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """

    assert run(code) == "not flushed yet 0\nthe store's exit\n"


def run(code: str, *arguments: object) -> str:
    with start(code, *arguments) as child:
        out, _ = child.communicate(timeout=SECONDS)
    assert child.returncode == 0
    return out


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    lines = "\n".join(line.removeprefix(" " * 8) for line in code.splitlines())
    return subprocess.Popen(
        [sys.executable, "-c", lines, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
    )


# --- the end of the store ---------------------------------------------------------------------------------------------


STORE = """
        import sys
        from jupyter_shm.linux import memory
        from jupyter_shm.store.warmer import Warmer
        fd = memory.create_memory("heap", 512 * memory.HUGE)
        warmer = Warmer(memory.reopen_read_only(fd))
        warmer.start()
        print(warmer.pid, flush=True)
        sys.stdin.readline()
        warmer.ask(0, 512 * memory.HUGE, 0)  # a second of work, or more
        print("asked", flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("is_working", [False, True], ids=["idle", "working"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_store(number, is_working):
    with start(STORE) as store:
        pid = int(store.stdout.readline())
        if is_working:
            store.stdin.write("go\n")
            store.stdin.flush()
            assert store.stdout.readline() == "asked\n"
        else:
            eventually(lambda: is_idle(pid))
        store.send_signal(number)
        store.wait()

        eventually(lambda: has_ended(pid))


def test_it_is_killed_with_the_store_whatever_it_is_at():
    with start(STORE) as store:
        pid = int(store.stdout.readline())
        eventually(lambda: is_idle(pid))
        os.kill(pid, signal.SIGSTOP)  # it can notice nothing by itself
        store.kill()
        store.wait()

        eventually(lambda: has_ended(pid))


def test_it_ends_with_the_store_where_the_kernel_does_not_see_to_it():
    refused = "libc.prctl = lambda *_: (_ for _ in ()).throw(OSError(1, 'refused'))\n"
    code = STORE.replace(
        "        fd =", "        from jupyter_shm.linux import libc\n        " + refused + "        fd ="
    )
    with start(code) as store:
        pid = int(store.stdout.readline())
        eventually(lambda: is_idle(pid))
        store.kill()
        store.wait()

        eventually(lambda: has_ended(pid))


def test_stop_ends_it_in_the_middle_of_its_work_and_leaves_no_zombie(warmer):
    pid = started(warmer)
    warmer.ask(0, NBYTES, 0)

    warmer.stop()

    assert not stat_of(pid)
    assert (warmer.fd, warmer.pid, warmer.has_ended, warmer.hear()) == (-1, 0, True, [])
    assert not warmer.ask(0, HUGE, 0)
    assert not warmer.start()
    warmer.stop()


def test_one_that_was_never_needed_can_be_stopped(warmer):
    warmer.stop()

    assert warmer.has_ended


# --- its own end ------------------------------------------------------------------------------------------------------


def test_what_is_outstanding_when_it_dies_comes_back_as_not_warmed(warmer):
    pid = started(warmer)
    os.kill(pid, signal.SIGSTOP)
    assert warmer.ask(0, NBYTES, 0)
    assert warmer.ask(4 * HUGE, HUGE, 0)
    os.kill(pid, signal.SIGKILL)

    assert hear(warmer, 2) == [(0, NBYTES, 0, 0), (4 * HUGE, HUGE, 0, 0)]
    assert not stat_of(pid)
    assert (warmer.fd, warmer.pid, warmer.has_ended) == (-1, 0, False)


def test_what_it_told_before_it_died_is_heard(warmer):
    pid = started(warmer)
    warmer.ask(0, HUGE, 0)
    assert select.select([warmer.fd], [], [], SECONDS)[0]
    os.kill(pid, signal.SIGSTOP)
    warmer.ask(HUGE, HUGE, 0)
    os.kill(pid, signal.SIGKILL)

    told, lost = hear(warmer, 2)

    assert told.huge + told.present == HUGE
    assert lost == (HUGE, HUGE, 0, 0)


def test_another_one_is_started_when_it_is_needed_again_a_few_times(warmer):
    for number in range(STARTS):
        assert not warmer.has_ended
        assert warmer.ask(number * HUGE, HUGE, 0)
        assert len(hear(warmer)) == 1
        os.kill(warmer.pid, signal.SIGKILL)
        eventually(lambda: warmer.hear() == [] and warmer.fd < 0)

    assert warmer.has_ended
    assert not warmer.ask(0, HUGE, 0)
    assert warmer.fd == -1


def test_asking_one_that_has_died_is_told_and_the_next_one_serves(warmer):
    pid = started(warmer)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: has_ended(pid))

    assert not warmer.ask(0, HUGE, 0)
    assert warmer.hear() == []
    assert warmer.ask(0, HUGE, 0)
    (told,) = hear(warmer)
    assert told.huge + told.present == HUGE


def test_its_end_is_in_the_log_and_a_stop_is_not(warmer, read_only, caplog):
    os.kill(started(warmer), signal.SIGKILL)
    eventually(lambda: warmer.hear() == [] and warmer.fd < 0)
    other = Warmer(read_only)
    other.start()
    other.stop()

    (record,) = caplog.records
    assert "signal 9" in record.getMessage()


def test_a_mistake_in_it_ends_it_without_a_word(warmer, capfd):
    warmer.ask(NBYTES, HUGE, 0)  # beyond the heap, which the store never asks for

    assert hear(warmer) == [(NBYTES, HUGE, 0, 0)]
    assert capfd.readouterr() == ("", "")


def test_a_process_that_cannot_be_started_is_no_error(warmer, monkeypatch, caplog):
    before = set(Path("/proc/self/fd").iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        for _ in range(STARTS):
            assert not warmer.ask(0, HUGE, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert warmer.has_ended
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_a_reaped_child_is_no_error(warmer):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        started(warmer)
        warmer.stop()
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert warmer.pid == 0
