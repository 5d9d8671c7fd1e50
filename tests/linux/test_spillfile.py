"""The file that objects are spilled into: nameless, sparse, and never in memory."""

from __future__ import annotations

import errno
import mmap
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jupyter_shm.errors import SettingError
from jupyter_shm.linux import limits, spillfile
from jupyter_shm.linux.memory import PAGE, punch, resident_bytes

IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on a disk: not pytest's own, which is in memory where /tmp is."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def spill(folder: Path) -> Iterator[tuple[int, int]]:
    descriptors = spillfile.open_spill(str(folder))
    yield descriptors
    for fd in descriptors:
        os.close(fd)


def test_it_has_no_name_and_takes_no_disk(spill, folder):
    assert list(folder.iterdir()) == []
    assert resident_bytes(spill[0]) == 0
    assert not any(os.get_inheritable(fd) for fd in spill)


def test_what_is_written_is_read_through_the_other_descriptor_which_nobody_can_write(spill):
    os.posix_fallocate(spill[0], 0, 3 * PAGE)
    os.pwrite(spill[0], b"bytes", PAGE)

    with mmap.mmap(spill[1], 3 * PAGE, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
        assert memory[PAGE : PAGE + 5] == b"bytes"
    with pytest.raises(OSError) as caught:
        os.pwrite(spill[1], b"x", 0)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(PermissionError):
        mmap.mmap(spill[1], PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def test_what_is_given_back_takes_no_disk_any_more(spill):
    os.posix_fallocate(spill[0], 0, 64 * PAGE)
    assert resident_bytes(spill[0]) >= 64 * PAGE

    punch(spill[0], 0, 64 * PAGE)

    assert resident_bytes(spill[0]) == 0


def test_where_the_file_system_knows_no_nameless_files_one_is_made_and_its_name_taken_away(folder, monkeypatch):
    opened = os.open

    def no_tmpfile(path, flags, mode=0o777, **others):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return opened(path, flags, mode, **others)

    monkeypatch.setattr(os, "open", no_tmpfile)
    descriptors = spillfile.open_spill(str(folder))
    monkeypatch.undo()

    os.pwrite(descriptors[0], b"bytes", 0)
    assert os.pread(descriptors[1], 5, 0) == b"bytes"
    assert list(folder.iterdir()) == []
    assert os.fstat(descriptors[0]).st_mode & 0o777 == 0o600
    for fd in descriptors:
        os.close(fd)


@pytest.mark.skipif(not IN_MEMORY.is_dir(), reason="there is no /dev/shm here")
def test_a_folder_in_memory_is_refused_with_that_reason():
    with pytest.raises(SettingError, match=r"/dev/shm is a (tmpfs|ramfs), which keeps files in memory"):
        spillfile.open_spill(str(IN_MEMORY))


def test_a_folder_that_does_not_exist_is_refused(folder):
    with pytest.raises(SettingError, match=r"no file can be made in .*nowhere: No such file"):
        spillfile.open_spill(str(folder / "nowhere"))


def test_a_file_system_without_holes_is_refused(folder, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(spillfile, "punch", refuse)

    with pytest.raises(SettingError, match="cannot give parts of a file back"):
        spillfile.open_spill(str(folder))


def test_a_disk_that_fails_is_refused(folder, monkeypatch):
    def fail(*_arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "posix_fallocate", fail)

    with pytest.raises(SettingError, match="cannot be used: Input/output error"):
        spillfile.open_spill(str(folder))


def test_it_may_take_half_of_what_is_free_without_it(spill):
    found = os.fstatvfs(spill[0])
    free = found.f_bavail * found.f_frsize

    half = spillfile.spill_limit(spill[0], 0)
    more = spillfile.spill_limit(spill[0], 1 << 40)

    # Others write to the disk meanwhile.
    assert abs(half - free // 2) < free // 10 + (64 << 20)
    assert abs(more - half - (1 << 39)) < free // 10 + (64 << 20)


def test_a_limit_of_file_sizes_is_an_error_and_no_signal(spill):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            os.posix_fallocate(spill[0], 0, 2 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG


@pytest.mark.parametrize(
    ("setting", "folder"),
    [(None, "/var/tmp"), ("", "/var/tmp"), ("/data", "/data"), ("0", ""), ("off", ""), ("OFF", ""), (" 0 ", "")],
)
def test_the_setting_names_a_folder_or_turns_it_off(monkeypatch, setting, folder):
    if setting is None:
        monkeypatch.delenv(limits.SPILL, raising=False)
    else:
        monkeypatch.setenv(limits.SPILL, setting)

    assert limits.spill_setting() == folder
