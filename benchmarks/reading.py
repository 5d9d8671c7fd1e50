"""What other processes do with what was published: fetch, first and again, and read it.  Runs in a host process."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from .arrays import check, check_sum, pattern
from .clock import seconds, settled, turns
from .desk import Desk

LOCAL = 3
"""Sums of a local array before, and as many after."""


def first_sum(desk: Desk, key: str, nbytes: int) -> dict[str, Any]:
    """Fetch and sum what this process has never seen, between sums of a local array of that size."""
    local = pattern(nbytes)
    local.sum()
    opened = desk.peer.open(key)
    around = [seconds(local.sum) for _ in range(LOCAL)]
    start = time.perf_counter()
    array = desk.peer.get(opened)
    total = array.sum()
    first = time.perf_counter() - start
    second = seconds(lambda: desk.peer.get(opened).sum())
    around += [seconds(local.sum) for _ in range(LOCAL)]
    check_sum(total, nbytes)
    return {"first": first, "second": second, "local": median(around)}


def first_gets(desk: Desk, keys: list[str], nbytes: int) -> float:
    """Fetch each of them for the first time, and let go of it.

    Returns:
        Median seconds of one.
    """
    opened = [desk.peer.open(key) for key in keys]
    times = []
    for number, one in enumerate(opened, start=1):
        start = time.perf_counter()
        array = desk.peer.get(one)
        times.append(time.perf_counter() - start)
        check(array, nbytes, number)
        del array
        desk.peer.tidy()
    return median(times)


def gets_again(desk: Desk, key: str, nbytes: int, number: int, tries: int, limit: float) -> float:
    """Fetch an object while a view of it is alive.

    Returns:
        Median seconds of one.
    """
    opened = desk.peer.open(key)
    alive = desk.peer.get(opened)
    times = []
    for _ in turns(tries, limit):
        times.append(seconds(lambda: desk.peer.get(opened)))
        desk.peer.tidy()
    check(alive, nbytes, number)
    check(desk.peer.get(opened), nbytes, number)
    return settled(times)


def gets(desk: Desk, keys: list[str], nbytes: int, tries: int, limit: float) -> float:
    """Fetch these in turn, no view of them alive.

    Returns:
        Median seconds of one.
    """
    opened = [desk.peer.open(key) for key in keys]
    times = []
    for number in turns(tries, limit):
        one = opened[number % len(opened)]
        times.append(seconds(lambda one=one: desk.peer.get(one)))
        desk.peer.tidy()
    for one in opened:
        check(desk.peer.get(one), nbytes)
        desk.peer.tidy()
    return settled(times)


def hold(desk: Desk, key: str, nbytes: int) -> None:
    """Fetch, read and keep one."""
    array = desk.peer.get(desk.peer.open(key))
    check_sum(array.sum(), nbytes)
    desk.held.append(array)


def let_go(desk: Desk) -> None:
    """Keep nothing that was fetched."""
    desk.held.clear()
