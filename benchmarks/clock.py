"""How often something is tried, how long it took, and which tries count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

LEAST = 4
"""Tries that are made even when the time is over."""

WARM = 10
"""A tenth of the tries, and one at least, comes before those that count."""


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes; what it returns is let go of afterwards."""
    start = time.perf_counter()
    result = call()
    end = time.perf_counter()
    del result
    return end - start


def turns(tries: int, limit: float) -> Iterator[int]:
    """Count the tries, and stop early when they take too long.

    Args:
        tries: How many at most.
        limit: Seconds after which there is no further one.

    Yields:
        1, 2, ...
    """
    end = time.perf_counter() + limit
    for number in range(1, tries + 1):
        if number > LEAST and time.perf_counter() > end:
            return
        yield number


def settled(times: Sequence[float]) -> float:
    """Median of the tries after the warm-up."""
    return median(times[max(len(times) // WARM, 1) :] or times)
