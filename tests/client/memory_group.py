"""A cgroup of a test's own that limits memory, where one can be made: as root, or where the folder was given to us."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS = 10.0


class MemoryGroup:
    """The group.

    Args:
        folder: Of version 1 or 2.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def limit(self, nbytes: int) -> None:
        name = "memory.max" if (self._folder / "memory.max").exists() else "memory.limit_in_bytes"
        (self._folder / name).write_text(str(nbytes))

    def add(self, pid: int) -> None:
        """A process, and whatever it will start."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def pids(self) -> list[int]:
        return [int(line) for line in (self._folder / "cgroup.procs").read_text().split()]

    def kills(self) -> int:
        """How many processes the system has killed here because memory was short."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(FileNotFoundError):
                lines = (self._folder / name).read_text().splitlines()
                return sum(int(line.split()[1]) for line in lines if line.split()[0] == "oom_kill")
        raise AssertionError("this group does not tell of kills")


@contextmanager
def memory_group() -> Iterator[MemoryGroup]:
    """Make one; skips the test where none can be made."""
    roots = [Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")]
    for root in roots:
        folder = root / f"jupyter-shm-test-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        if any((folder / name).exists() for name in ("memory.max", "memory.limit_in_bytes")):
            break
        folder.rmdir()
    else:
        pytest.skip("no cgroup that limits memory can be made here")
    try:
        yield MemoryGroup(folder)
    finally:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                folder.rmdir()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
