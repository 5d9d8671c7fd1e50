"""The process that copies objects to disk: real ones, and how each of them ends."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jupyter_shm.linux import memory
from jupyter_shm.linux.memory import PAGE, resident_bytes
from jupyter_shm.linux.spillfile import open_spill
from jupyter_shm.store import spiller as module
from jupyter_shm.store.spiller import COPY, DONE, FAILED, MOVED, NAME, PUNCH, STARTS, TELL, Order, Spiller, Told

SECONDS = 30.0
"""How long a condition may take before the test fails; spent only then."""

NBYTES = 64 << 20
ROOT = Path(__file__).parents[2]


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
def spill() -> Iterator[int]:
    writable, readable = open_spill("/var/tmp")
    os.close(readable)
    yield writable
    os.close(writable)


@pytest.fixture
def spiller(read_only: int, spill: int) -> Iterator[Spiller]:
    spiller = Spiller(read_only, spill)
    yield spiller
    spiller.stop()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {SECONDS:g} s"
        time.sleep(0.005)


def hear(spiller: Spiller, count: int = 1) -> list[Told]:
    """What it tells next, but for its progress, waited for as the loop of the store does."""
    return [told for told in hear_all(spiller, count) if told.kind != MOVED]


def hear_all(spiller: Spiller, count: int = 1) -> list[Told]:
    heard: list[Told] = []
    while sum(told.kind != MOVED for told in heard) < count:
        assert select.select([spiller.fd], [], [], SECONDS)[0], "it tells nothing"
        heard += spiller.hear()
    return heard


def state_of(pid: int) -> str:
    """The letter of its state; "" when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def copy(offset: int = 0, nbytes: int = PAGE, source: int = 0, spilled: int = 0) -> Order:
    return Order(COPY, offset, nbytes, source, spilled)


# --- what it does -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nbytes", [PAGE, 5 * PAGE, (1 << 20) + PAGE, 40 << 20])
def test_what_is_in_the_heap_is_on_disk_when_it_has_told(heap, spill, spiller, nbytes):
    data = os.urandom(nbytes)
    assert os.pwrite(heap, data, 3 * PAGE) == nbytes

    assert spiller.ask(copy(PAGE, nbytes, 3 * PAGE))
    (told,) = hear(spiller)

    assert (told.kind, told.moved, told.error) == (DONE, nbytes, "")
    assert told.limit > 0
    assert os.pread(spill, nbytes, PAGE) == data
    assert os.fstat(spill).st_size == PAGE + nbytes


def test_a_hole_of_the_heap_is_copied_and_stays_one(heap, spill, spiller):
    spiller.ask(copy(0, 8 << 20))

    assert hear(spiller)[0].kind == DONE
    assert os.pread(spill, 8 << 20, 0).count(0) == 8 << 20
    assert resident_bytes(heap) == 0


def test_a_long_copy_tells_how_far_it_is(heap, spiller):
    os.posix_fallocate(heap, 0, NBYTES)
    spiller.ask(copy(0, NBYTES))

    heard = hear_all(spiller)

    assert [told.moved for told in heard] == [*range(TELL, NBYTES + 1, TELL), NBYTES]
    assert [told.kind for told in heard] == [MOVED] * (NBYTES // TELL) + [DONE]


def test_orders_are_carried_out_one_after_the_other(heap, spill, spiller):
    """A place that was given back is the next object's at once."""
    for round in range(60):
        data = bytes([round + 1]) * (4 * PAGE)
        os.pwrite(heap, data, round * 4 * PAGE)
        assert spiller.ask(Order(PUNCH, 0, 8 * PAGE))
        assert spiller.ask(copy(0, 4 * PAGE, round * 4 * PAGE))
        assert spiller.ask(copy(4 * PAGE, 4 * PAGE, round * 4 * PAGE))

    told = hear(spiller, 180)

    assert {one.kind for one in told} == {DONE}
    assert os.pread(spill, 8 * PAGE, 0) == bytes([60]) * (8 * PAGE)


def test_holes_beside_each_other_that_wait_are_made_as_one(spill, spiller):
    os.posix_fallocate(spill, 0, 2000 * PAGE)
    for page in range(2000):
        assert spiller.ask(Order(PUNCH, page * PAGE, PAGE))

    eventually(lambda: spiller.hear() or resident_bytes(spill) == 0)
    assert spiller._deaths == 0


def test_nothing_is_told_that_was_not_asked(spiller):
    assert spiller.hear() == []
    assert spiller.fd == -1


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_more_than_half_of_the_disk_is_refused_and_nothing_is_written(spill, spiller):
    spiller.ask(copy(spilled=1 << 60))

    (told,) = hear(spiller)

    assert (told.kind, told.error) == (FAILED, os.strerror(errno.ENOSPC))
    assert 0 < told.limit < (1 << 60) + PAGE
    assert resident_bytes(spill) == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_write_that_fails_is_told_and_what_was_written_is_given_back(heap, spill, spiller, monkeypatch, number):
    def fail(fd, data, offset):
        if offset >= 8 << 20:
            raise OSError(number, os.strerror(number))
        return written(fd, data, offset)

    written = os.pwrite
    monkeypatch.setattr(os, "pwrite", fail)  # inherited by the fork
    spiller.ask(copy(0, 16 << 20))
    (told,) = hear(spiller)
    monkeypatch.undo()

    assert (told.kind, told.error) == (FAILED, os.strerror(number))
    assert resident_bytes(spill) == 0
    spiller.ask(copy(0, PAGE))
    assert hear(spiller)[0].kind == DONE


def test_a_limit_of_file_sizes_is_told_and_does_not_end_it(heap, read_only, spill, spiller):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        spiller.ask(copy(0, 2 << 20))
        (told,) = hear(spiller)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert told.error == os.strerror(errno.EFBIG)


def test_when_it_dies_the_next_one_does_what_was_to_be_done(heap, spill, spiller):
    os.posix_fallocate(spill, 0, 64 * PAGE)
    os.pwrite(heap, b"x" * PAGE, 0)
    spiller.ask(copy(128 * PAGE))
    hear(spiller)
    first = spiller.pid
    os.kill(first, signal.SIGSTOP)
    spiller.ask(Order(PUNCH, 0, 32 * PAGE))
    spiller.ask(copy(256 * PAGE))
    spiller.ask(Order(PUNCH, 48 * PAGE, 16 * PAGE))
    os.kill(first, signal.SIGKILL)

    heard = hear(spiller, 3)

    assert [(told.kind, told.order.kind, told.order.offset) for told in heard] == [
        (DONE, PUNCH, 0),
        (DONE, COPY, 256 * PAGE),
        (DONE, PUNCH, 48 * PAGE),
    ]
    assert spiller.pid not in {0, first}
    assert os.pread(spill, PAGE, 256 * PAGE) == b"x" * PAGE


def test_one_after_the_other_that_dies_is_not_replaced_for_ever(spiller, monkeypatch):
    monkeypatch.setattr(module, "spill_limit", lambda *_: os.kill(os.getpid(), signal.SIGKILL))

    assert spiller.ask(copy())

    assert [(told.kind, told.error) for told in hear(spiller)] == [
        (FAILED, "the process that spills objects has died")
    ], f"{STARTS} have died of it"
    assert spiller.has_ended
    assert not spiller.ask(copy())


def test_one_that_has_done_something_may_be_replaced_as_often_as_it_dies(spiller):
    for _ in range(2 * STARTS):
        spiller.ask(copy())
        assert hear(spiller)[0].kind == DONE
        os.kill(spiller.pid, signal.SIGKILL)
        eventually(lambda: state_of(spiller.pid) == "Z")
        assert spiller.hear() == []


def test_a_process_that_cannot_be_started_is_no_error(spiller, monkeypatch):
    def refuse():
        raise BlockingIOError(errno.EAGAIN, "no process")

    monkeypatch.setattr(os, "fork", refuse)

    assert [spiller.ask(copy()) for _ in range(STARTS + 1)] == [False] * (STARTS + 1)
    assert spiller.has_ended


# --- its lock: two of them never write at once --------------------------------------------------------------------------


def test_it_begins_when_the_one_of_a_store_that_died_is_gone(heap, read_only, spill, spiller):
    """The write that is under way when a process is killed comes to its end."""
    other = Spiller(read_only, spill)
    other.ask(copy(0, PAGE))
    hear(other)

    assert spiller.ask(copy(0, PAGE))
    assert not select.select([spiller.fd], [], [], 0.3)[0], "it did not wait"
    assert os.pread(spill, PAGE, 0).count(0) == PAGE

    other.stop()
    assert hear(spiller)[0].kind == DONE


def test_the_lock_is_the_childs_and_not_the_stores(read_only, spill, spiller):
    spiller.ask(copy())
    hear(spiller)
    again = os.open(f"/proc/self/fd/{read_only}", os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)

    spiller.stop()

    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)


# --- its end ------------------------------------------------------------------------------------------------------------


def test_stop_ends_it_in_the_middle_of_its_work_and_leaves_no_zombie(heap, spiller):
    os.posix_fallocate(heap, 0, NBYTES)
    spiller.ask(copy(0, NBYTES))
    pid = spiller.pid
    eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == f"{NAME}\n")

    spiller.stop()

    assert not state_of(pid)
    assert (spiller.fd, spiller.pid, spiller.has_ended, spiller.hear()) == (-1, 0, True, [])
    assert not spiller.ask(copy())
    spiller.stop()


STORE = """
    import os, sys
    from jupyter_shm.linux import memory
    from jupyter_shm.linux.spillfile import open_spill
    from jupyter_shm.store.spiller import COPY, Order, Spiller
    heap = memory.create_memory("heap", 1 << 30)
    os.posix_fallocate(heap, 0, 256 << 20)
    spiller = Spiller(memory.reopen_read_only(heap), open_spill("/var/tmp")[0])
    spiller.ask(Order(COPY, 0, 256 << 20))
    print(spiller.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_the_store_in_the_middle_of_its_work(number):
    store = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STORE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with store:
        pid = int(store.stdout.readline())
        store.send_signal(number)
        store.wait()

        eventually(lambda: state_of(pid) in "ZX")
