"""Memory made ahead of demand: huge where the machine lets us, present where it does not, and never changed."""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from children import run

from jupyter_shm.linux import libc, maps, memory, warming
from jupyter_shm.linux.memory import HUGE, PAGE

NBYTES = 8 * HUGE

COLLAPSES = not warming.what_is_possible().collapse
needs_collapse = pytest.mark.skipif(
    not COLLAPSES, reason=f"MADV_COLLAPSE does not work here: {warming.what_is_possible().collapse}"
)

CHILD = """
    import ctypes, os, resource, sys
    from jupyter_shm.linux import libc, memory, warming
    from jupyter_shm.linux.memory import HUGE

    def without_huge_pages():
        libc.prctl(41, 1)  # PR_SET_THP_DISABLE: every way to a huge page answers as an old kernel does

    def without(number, nth, value, answer):
        '''Let a system call fail as in a sandbox, where argument ``nth`` is ``value`` (None: always).'''
        class Code(ctypes.Structure):
            _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]
        class Program(ctypes.Structure):
            _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.POINTER(Code))]
        check = [] if value is None else [(0x20, 0, 0, 16 + 8 * nth), (0x15, 0, 1, value)]
        lines = [(0x20, 0, 0, 0), (0x15, 0, len(check) + 1, number), *check,
                 (0x06, 0, 0, 0x50000 | answer), (0x06, 0, 0, 0x7FFF0000)]
        program = Program(len(lines), (Code * len(lines))(*lines))
        libc.prctl(38, 1)
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        assert prctl(22, 2, ctypes.byref(program), 0, 0) == 0, os.strerror(ctypes.get_errno())

    def heap(nbytes=8 * HUGE):
        fd = memory.create_memory("test-heap", nbytes)
        return fd, memory.reopen_read_only(fd)
"""

MADVISE = {"x86_64": 28, "aarch64": 233}.get(os.uname().machine)


def child(code: str) -> str:
    """What a child with the tools above prints."""
    lines = "\n".join(f"    {line.strip()}" for line in code.strip().splitlines())
    status, text = run(CHILD + "\n" + lines)
    assert status == 0
    return text


def huge_bytes(fd: int, offset: int, nbytes: int) -> int:
    """Bytes that a map of a range shows in huge pages, as smaps tells it of a map that was touched."""
    with maps.map_shared(fd, offset, nbytes) as made:
        bytes(made.view[::PAGE])
        lines = iter(Path("/proc/self/smaps").read_text().splitlines())
        next(line for line in lines if line.startswith(f"{made.address:x}-"))
        for line in lines:
            key, _, value = line.partition(":")
            if key in ("ShmemPmdMapped", "FilePmdMapped") and int(value.split()[0]):
                return 1024 * int(value.split()[0])
            if key == "VmFlags":
                break
    return 0


def is_there(resident: int, nbytes: int) -> bool:
    """Has a range memory?  What was only read the kernel may take back at any time: some of it may be gone again."""
    return nbytes // 2 < resident <= nbytes if nbytes else resident == 0


def maps_of(fd: int) -> list[str]:
    inode = f" {os.fstat(fd).st_ino} "
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if inode in line]


@needs_collapse
def test_an_empty_range_becomes_huge_pages_through_a_descriptor_that_cannot_write(heap):
    warmed = warming.warm(heap.read_only, 2 * HUGE, 3 * HUGE)

    assert warmed == (2 * HUGE, 3 * HUGE, 3 * HUGE, 0)
    assert memory.resident_bytes(heap.fd) == 3 * HUGE
    assert huge_bytes(heap.read_only, 2 * HUGE, 3 * HUGE) == 3 * HUGE


@needs_collapse
def test_what_is_there_in_small_pages_becomes_huge_and_keeps_its_bytes(heap):
    data = os.urandom(NBYTES)
    for at in range(0, NBYTES, PAGE):  # in pieces: the kernel may answer one large write by larger pages
        os.pwrite(heap.fd, data[at : at + PAGE], at)
    assert huge_bytes(heap.read_only, 0, NBYTES) == 0

    warmed = warming.warm(heap.read_only, 0, NBYTES)

    assert warmed.huge == NBYTES
    assert huge_bytes(heap.read_only, 0, NBYTES) == NBYTES
    assert os.pread(heap.fd, NBYTES, 0) == data


def test_memory_that_was_made_reads_as_zeros_and_can_be_given_back(heap):
    warmed = warming.warm(heap.read_only, 0, NBYTES)

    assert warmed.huge + warmed.present == NBYTES
    assert is_there(memory.resident_bytes(heap.fd), NBYTES)
    assert os.pread(heap.fd, NBYTES, 0) == bytes(NBYTES)
    memory.punch(heap.fd, 0, NBYTES)
    assert memory.resident_bytes(heap.fd) == 0


def test_to_warm_what_is_warm_changes_nothing(heap):
    first = warming.warm(heap.read_only, 0, NBYTES)

    assert warming.warm(heap.read_only, 0, NBYTES) == first
    assert is_there(memory.resident_bytes(heap.fd), NBYTES)


def test_nothing_around_the_range_is_touched(heap):
    warming.warm(heap.read_only, 3 * HUGE, HUGE)

    assert 3 * HUGE <= os.lseek(heap.fd, 0, os.SEEK_DATA) < 4 * HUGE
    with pytest.raises(OSError, match=os.strerror(errno.ENXIO)):
        os.lseek(heap.fd, 4 * HUGE, os.SEEK_DATA)


def test_nothing_stays_mapped(heap):
    warming.warm(heap.read_only, 0, NBYTES)

    assert maps_of(heap.fd) == []


def test_it_stops_between_two_steps_when_it_is_told_to(heap):
    answers = iter([True, False])

    warmed = warming.warm(heap.read_only, 0, NBYTES, lambda: next(answers))

    assert warmed.huge + warmed.present == warming.STEP < NBYTES
    assert is_there(memory.resident_bytes(heap.fd), warming.STEP)
    assert maps_of(heap.fd) == []


def test_a_range_that_must_not_be_begun_is_not_touched(heap):
    assert warming.warm(heap.read_only, 0, NBYTES, lambda: False) == (0, NBYTES, 0, 0)
    assert memory.resident_bytes(heap.fd) == 0


@pytest.mark.parametrize(
    ("offset", "nbytes"),
    [(PAGE, HUGE), (0, HUGE + PAGE), (0, 0), (-HUGE, HUGE), (0, -HUGE), (7 * HUGE, 2 * HUGE), (NBYTES, HUGE)],
)
def test_what_is_not_whole_huge_pages_of_the_memory_is_refused(heap, offset, nbytes):
    with pytest.raises(ValueError, match="cannot warm"):
        warming.warm(heap.read_only, offset, nbytes)

    assert memory.resident_bytes(heap.fd) == 0


# --- others at the same time ----------------------------------------------------------------------------------------

ROOM = 4 * HUGE
"""Bytes of each of three ranges: one written through a map, one by pwrite, one only read."""

SPARED = np.ones(ROOM // 8, bool)
SPARED.reshape(-1, HUGE // 8)[:, -PAGE // 8 :] = False
"""Words that the test below keeps: the last page of each huge page is punched, which makes small pages of it again."""


def write_through_a_map(fd, stop):
    with maps.map_shared(fd, 0, ROOM, writable=True) as made:
        words, count = np.frombuffer(made.view, np.uint64), 0
        while not stop[0] or not count:
            count += 1
            words[:] = count
        return bool((words[SPARED] == count).all())


def write_by_calls(fd, stop):
    count = 0
    while not stop[0] or not count:
        count += 1
        data = np.full(HUGE // 8, count, np.uint64).tobytes()
        for at in range(ROOM, 2 * ROOM, HUGE):
            os.pwrite(fd, data, at)
    words = np.frombuffer(os.pread(fd, ROOM, ROOM), np.uint64)
    return bool((words[SPARED] == count).all())


def read_what_grows(fd, stop):
    with maps.map_shared(fd, 0, 2 * ROOM) as made:
        words, kept = np.frombuffer(made.view, np.uint64), np.tile(SPARED, 2)
        before = words[kept]
        while not stop[0]:
            now = words[kept]
            if (now < before).any():
                return False  # a word that went back: a write was lost
            before = now
    return True


def read_what_stays(fd, stop):
    expected = np.arange(ROOM // 8, dtype=np.uint64)[SPARED]
    with maps.map_shared(fd, 2 * ROOM, ROOM) as made:
        words = np.frombuffer(made.view, np.uint64)
        while not stop[0]:
            by_call = np.frombuffer(os.pread(fd, ROOM, 2 * ROOM), np.uint64)
            if (words[SPARED] != expected).any() or (by_call[SPARED] != expected).any():
                return False
    return True


@pytest.fixture
def stop() -> Iterator[memoryview]:
    """A word that processes forked from here share: not 0 when they are to end."""
    with mmap.mmap(-1, PAGE) as shared, memoryview(shared) as view, view.cast("Q") as words:
        yield words
        words[0] = 1


def fork(work, *arguments):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if work(*arguments) else 2
        finally:
            os._exit(status)
    return pid


@pytest.mark.parametrize("seconds", [1.5, pytest.param(30, marks=pytest.mark.slow)])
def test_collapsing_what_is_live_loses_no_byte_under_readers_and_writers(seconds, stop):
    fd = memory.create_memory("test-heap", 3 * ROOM)
    read_only = memory.reopen_read_only(fd)
    os.pwrite(fd, np.arange(ROOM // 8, dtype=np.uint64), 2 * ROOM)
    pids = [fork(work, fd, stop) for work in (write_through_a_map, write_by_calls)]
    pids += [fork(work, read_only, stop) for work in (read_what_grows, read_what_stays)]
    try:
        deadline, huge = time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            warmed = warming.warm(read_only, 0, 3 * ROOM)
            assert warmed.huge + warmed.present == 3 * ROOM
            huge += warmed.huge
            for at in range(0, 3 * ROOM, HUGE):
                memory.punch(fd, at + HUGE - PAGE, PAGE)
    finally:
        stop[0] = 1
        ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        os.close(read_only)
        os.close(fd)

    assert ends == [0, 0, 0, 0]
    assert huge or not COLLAPSES


# --- machines that allow less ---------------------------------------------------------------------------------------

SHOW = """
    print(*warming.warm(read_only, 0, 8 * HUGE)[2:], memory.resident_bytes(fd))
"""


def is_all_small(text: str) -> bool:
    """Does ``SHOW`` say that everything is there, in small pages?"""
    huge, present, resident = map(int, text.split())
    return (huge, present) == (0, NBYTES) and is_there(resident, NBYTES)


def test_where_no_huge_pages_are_to_be_had_there_are_small_ones():
    assert is_all_small(child("fd, read_only = heap()\nwithout_huge_pages()\n" + SHOW))


@pytest.mark.skipif(MADVISE is None, reason="the number of madvise is not known for this machine")
@pytest.mark.parametrize("answer", [errno.EPERM, errno.ENOSYS, errno.EINVAL])
def test_a_sandbox_without_madvise_gets_small_pages(answer):
    code = f"fd, read_only = heap()\nwithout({MADVISE}, 2, None, {answer})\n"

    assert is_all_small(child(code + SHOW))


@pytest.mark.skipif(MADVISE is None, reason="the number of madvise is not known for this machine")
def test_a_kernel_that_only_populates_gets_small_pages():
    code = (
        f"fd, read_only = heap()\nwithout({MADVISE}, 2, {libc.MADV_COLLAPSE}, {errno.EINVAL})\nwithout_huge_pages()\n"
    )

    assert is_all_small(child(code + SHOW))


@pytest.mark.skipif(MADVISE is None, reason="the number of madvise is not known for this machine")
@pytest.mark.parametrize(("answer", "huge"), [(errno.EBUSY, 0), (errno.EAGAIN, 0)])
def test_a_full_cgroup_ends_it_and_a_busy_page_does_not(answer, huge):
    code = f"fd, read_only = heap()\nwithout({MADVISE}, 2, {libc.MADV_COLLAPSE}, {answer})\n"
    text = child(code + "print(*warming.warm(read_only, 0, 8 * HUGE)[2:])")

    assert text == (f"{huge} 0" if answer == errno.EBUSY else f"{huge} {NBYTES}")


@pytest.mark.skipif(MADVISE is None, reason="the number of madvise is not known for this machine")
def test_memory_that_cannot_be_populated_ends_it():
    code = f"fd, read_only = heap()\nwithout_huge_pages()\nwithout({MADVISE}, 2, {libc.MADV_POPULATE_READ}, {errno.ENOMEM})\n"

    assert child(code + "print(*warming.warm(read_only, 0, 8 * HUGE)[2:])") == "0 0"


def test_where_there_are_no_addresses_nothing_is_done():
    code = """
        fd, read_only = heap()
        resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))
    """

    assert child(code + SHOW) == "0 0 0"


@needs_collapse
def test_a_small_allowance_of_addresses_is_enough():
    code = """
        fd, read_only = heap(64 * HUGE)
        now = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (now + 8 * HUGE, now + 8 * HUGE))
        print(warming.warm(read_only, 0, 64 * HUGE).huge // HUGE)
    """

    assert child(code) == "64"


# --- what is possible -----------------------------------------------------------------------------------------------


def test_what_is_possible_is_what_happens(heap):
    ways = warming.what_is_possible()

    warmed = warming.warm(heap.read_only, 0, NBYTES)

    assert (warmed.huge == NBYTES) == (not ways.collapse or not ways.hugepage)
    assert bool(ways.advice) == bool(ways.collapse and ways.hugepage)


def test_trying_leaves_nothing_behind():
    before = Path("/proc/self/maps").read_text().count("jupyter-shm-probe")

    warming.what_is_possible()

    assert Path("/proc/self/maps").read_text().count("jupyter-shm-probe") == before == 0


def test_huge_pages_that_are_turned_off_for_the_process_are_told():
    text = child("without_huge_pages()\nways = warming.what_is_possible()\nprint(ways.collapse, ways.advice, sep='|')")

    assert text.startswith(os.strerror(errno.EINVAL) + "|")
    assert "PR_SET_THP_DISABLE" in text


@pytest.mark.skipif(MADVISE is None, reason="the number of madvise is not known for this machine")
def test_a_sandbox_that_forbids_madvise_is_told():
    code = f"without({MADVISE}, 2, None, {errno.EPERM})\nways = warming.what_is_possible()\n"
    text = child(code + "print(ways.collapse, ways.hugepage, ways.populate, ways.advice, sep='|')")

    assert text == "|".join([os.strerror(errno.EPERM)] * 3 + ["Allow madvise in the sandbox."])


@pytest.mark.parametrize(
    "limit", ["RLIMIT_AS, (1 << 20, 1 << 20)", "RLIMIT_FSIZE, (4096, 4096)", "RLIMIT_NOFILE, (3, 3)"]
)
def test_a_process_that_can_try_nothing_is_told_so(limit):
    text = child(f"resource.setrlimit(resource.{limit})\nways = warming.what_is_possible()\nprint(*ways, sep='|')")

    assert len(text.split("|")) == 4
    assert all(text.split("|"))
