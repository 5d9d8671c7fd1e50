"""Fixtures of the floor ``linux``: a memory, and a read-only descriptor of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from jupyter_shm.linux import memory


class Memory(NamedTuple):
    fd: int
    read_only: int
    nbytes: int


@pytest.fixture
def heap() -> Iterator[Memory]:
    nbytes = 8 * memory.HUGE
    fd = memory.create_memory("test-heap", nbytes)
    read_only = memory.reopen_read_only(fd)
    yield Memory(fd, read_only, nbytes)
    os.close(read_only)
    os.close(fd)
