from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest
from children import run

from jupyter_shm.linux import memory
from jupyter_shm.linux.memory import HUGE, PAGE


def is_close_on_exec(fd: int) -> bool:
    return bool(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)


def test_a_memory_many_times_the_machine_costs_nothing_until_it_is_touched():
    fd = memory.create_memory("sparse", 1 << 40)

    assert os.fstat(fd).st_size == 1 << 40
    assert memory.resident_bytes(fd) == 0
    os.close(fd)


def test_resident_bytes_count_the_pages_that_were_written(heap):
    os.pwrite(heap.fd, b"x", 5 * PAGE)
    os.pwrite(heap.fd, b"x", 9 * PAGE)

    assert memory.resident_bytes(heap.fd) == 2 * PAGE


def test_the_label_shows_in_proc():
    fd = memory.create_memory("a-label", PAGE)

    assert "a-label" in str(Path(f"/proc/self/fd/{fd}").readlink())
    os.close(fd)


@pytest.mark.parametrize("nbytes", [0, PAGE, 1 << 30])
def test_nobody_can_change_the_size_of_a_memory(heap, nbytes):
    with pytest.raises(PermissionError):
        os.ftruncate(heap.fd, nbytes)


def test_nobody_can_add_a_seal_that_would_lock_out_writers(heap):
    with pytest.raises(PermissionError):
        fcntl.fcntl(heap.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_descriptors_of_a_memory_are_close_on_exec(heap):
    assert is_close_on_exec(heap.fd)
    assert is_close_on_exec(heap.read_only)


def test_the_read_only_descriptor_shows_the_same_bytes_and_takes_none(heap):
    os.pwrite(heap.fd, b"hello", 100)

    assert os.pread(heap.read_only, 5, 100) == b"hello"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(heap.read_only, b"x", 0)


@pytest.mark.parametrize("nbytes", [0, -PAGE])
def test_a_memory_without_bytes_is_refused(nbytes):
    with pytest.raises(ValueError, match="at least 1 byte"):
        memory.create_memory("none", nbytes)


def test_a_memory_above_the_file_size_limit_is_an_oserror_and_leaves_no_descriptor():
    code = f"""
        import os, resource
        from jupyter_shm.linux import memory
        resource.setrlimit(resource.RLIMIT_FSIZE, ({1 << 20}, {1 << 20}))
        before = os.listdir("/proc/self/fd")
        try:
            memory.create_memory("big", {1 << 30})
        except OSError as error:
            print(error.errno, os.listdir("/proc/self/fd") == before)
    """

    assert run(code) == (0, f"{errno.EFBIG} True")


def test_running_out_of_descriptors_is_told_as_such():
    code = """
        import resource
        from jupyter_shm.linux import memory
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        try:
            memory.create_memory("one-too-many", 4096)
        except OSError as error:
            print(error.errno)
    """

    assert run(code) == (0, str(errno.EMFILE))


def test_punching_returns_the_pages_and_leaves_the_neighbours(heap):
    os.pwrite(heap.fd, b"x" * (4 * PAGE), 0)

    memory.punch(heap.fd, PAGE, 2 * PAGE)

    assert memory.resident_bytes(heap.fd) == 2 * PAGE
    assert os.pread(heap.fd, 4 * PAGE, 0) == b"x" * PAGE + bytes(2 * PAGE) + b"x" * PAGE
    assert os.fstat(heap.fd).st_size == heap.nbytes


def test_punching_nothing_or_a_hole_does_nothing(heap):
    os.pwrite(heap.fd, b"x", 0)

    memory.punch(heap.fd, 0, 0)
    memory.punch(heap.fd, 4 * PAGE, PAGE)

    assert memory.resident_bytes(heap.fd) == PAGE


@pytest.mark.parametrize(("offset", "nbytes"), [(1, PAGE), (0, PAGE - 1), (0, 1), (-PAGE, PAGE), (PAGE, -PAGE)])
def test_punching_anything_but_whole_pages_is_refused_and_zeroes_nothing(heap, offset, nbytes):
    os.pwrite(heap.fd, b"x" * (2 * PAGE), 0)

    with pytest.raises(ValueError, match="multiples of the page size"):
        memory.punch(heap.fd, offset, nbytes)

    assert os.pread(heap.fd, 2 * PAGE, 0) == b"x" * (2 * PAGE)


def test_a_read_only_descriptor_cannot_punch(heap):
    with pytest.raises(OSError, match="fallocate: Bad file descriptor"):
        memory.punch(heap.read_only, 0, PAGE)


@pytest.mark.parametrize(
    ("nbytes", "down", "up"),
    [(0, 0, 0), (1, 0, PAGE), (PAGE - 1, 0, PAGE), (PAGE, PAGE, PAGE), (HUGE + 1, HUGE, HUGE + PAGE)],
)
def test_sizes_are_rounded_to_pages(nbytes, down, up):
    assert (memory.page_down(nbytes), memory.page_up(nbytes)) == (down, up)


def test_what_was_written_is_told_and_the_rest_stays_untouched(heap):
    os.pwrite(heap.fd, b"x", 5 * PAGE)
    os.pwrite(heap.fd, b"x", 6 * PAGE + 1)
    os.pwrite(heap.fd, b"x", 9 * PAGE)

    def told(start: int, end: int) -> list[tuple[int, int]]:
        return [(at // PAGE, nbytes // PAGE) for at, nbytes in memory.data_ranges(heap.fd, start * PAGE, end * PAGE)]

    assert told(0, heap.nbytes // PAGE) == [(5, 2), (9, 1)]
    assert told(6, 9) == [(6, 1)]
    assert told(6, 10) == [(6, 1), (9, 1)]
    assert told(10, 20) == told(0, 5) == told(7, 7) == []
    assert memory.resident_bytes(heap.fd) == 3 * PAGE
