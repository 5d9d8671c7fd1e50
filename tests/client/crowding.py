"""A store in which not everything has room that is put there, and what tests of it ask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from store_processes import stores_of

MEGA = 1 << 20
CAPACITY = 64 * MEGA
SIZE = 8 * MEGA
NAMES = [f"n{number}" for number in range(12)]


BYTES = SIZE - (64 << 10)  # with its prefix less than SIZE, of which eight fit


def full(value: int, nbytes: int = BYTES) -> np.ndarray:
    """An array that is full of one number."""
    return np.full(nbytes // 8, value)


def is_full(array: np.ndarray, value: int) -> bool:
    return bool((array == value).all())


def spilled(store) -> list[str]:
    return sorted(info.name for info in store.list() if info.state == "spilled")


def spiller_of(folder: Path) -> int:
    """The process that copies objects to disk for the only store of a folder."""
    (store,) = stores_of(folder)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if "(shm-spiller)" in fields and int(fields.rpartition(")")[2].split()[1]) == store:
                return int(entry.name)
    return 0
