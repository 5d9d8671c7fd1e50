"""The arrays that travel, and how a reader knows that the right one has arrived."""

from __future__ import annotations

import numpy as np

KB = 1 << 10
MB = 1 << 20
BIG = 256 * MB
GB = 1 << 30

PAGE = 4096


def pattern(nbytes: int) -> np.ndarray:
    """0, 1, 2, ... as float64, every page touched; sums up without rounding to 1 GiB and beyond."""
    return np.arange(nbytes // 8, dtype=np.float64)


def stamp(array: np.ndarray, number: int) -> None:
    """Make one try's array differ from every other's, at both ends."""
    array[0] = array[-1] = number


def check(array: np.ndarray, nbytes: int, number: int = 0) -> None:
    """Is it what was published?  Looks at its shape and both ends; an array that was not stamped has number 0."""
    assert array.shape == (nbytes // 8,), f"an array of {nbytes} bytes arrived with shape {array.shape}"
    assert array.dtype == np.float64, f"float64 arrived as {array.dtype}"
    last = number or nbytes // 8 - 1
    assert (array[0], array[-1]) == (number, last), f"{array[0]} ... {array[-1]} arrived, not {number} ... {last}"


def check_sum(total: float, nbytes: int) -> None:
    """Is it the sum of what was published?"""
    count = nbytes // 8
    assert total == count * (count - 1) // 2, f"the sum of an array of {nbytes} bytes is wrong: {total}"


def touch(array: np.ndarray) -> int:
    """Read one byte of every page."""
    return int(array.view(np.uint8)[::PAGE].sum(dtype=np.int64))
