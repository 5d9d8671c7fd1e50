"""What a publisher does: put, first and again, alone and beside what the machine can do.  Runs in a host process."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from .arrays import KB, pattern, stamp
from .clock import seconds, settled, turns
from .desk import Desk
from .limits import Copy, echo
from .peers.peer import fresh

MANY = 64 * KB
"""Bytes up to which objects are deleted after the measurement: later ones between the tries, to bound the memory."""


def first_put(desk: Desk, nbytes: int, copies: int) -> dict[str, Any]:
    """One put into whatever was just started, between copies of the same array."""
    array = pattern(nbytes)
    copy = Copy(array)
    copy()
    before = [copy() for _ in range(copies)]
    name = fresh()
    start = time.perf_counter()
    handle = desk.peer.put(array, name)
    put = time.perf_counter() - start
    after = [copy() for _ in range(copies)]
    desk.kept["big"] = [handle]
    return {"put": put, "memcpy": median(before + after), "key": desk.peer.key(handle)}


def steady_put(desk: Desk, nbytes: int, tries: int, limit: float) -> dict[str, Any]:
    """The same name again and again, a copy of the same array after each.

    Where a name cannot be given to a new array, the one before is deleted first, which is not timed.
    """
    array = pattern(nbytes)
    copy = Copy(array)
    puts, copies = [], []
    handle, name = None, fresh()
    for number in turns(tries + tries // 4, limit):
        stamp(array, number)
        if handle is not None and not desk.peer.replaces:
            desk.peer.delete(handle)
            handle, name = None, fresh()
        start = time.perf_counter()
        handle = desk.peer.put(array, name)
        puts.append(time.perf_counter() - start)
        copies.append(copy())
    desk.peer.delete(handle)
    warm = len(puts) // 5
    return {"put": median(puts[warm:]), "memcpy": median(copies[warm:]), "tries": len(puts) - warm}


def small_puts(desk: Desk, nbytes: int, tries: int, limit: float, anonymous: bool = False) -> dict[str, Any]:
    """Puts of one size: anonymous ones one after the other, others in turn with a bare round trip."""
    array = pattern(nbytes)
    put = desk.peer.put_anonymous if anonymous else desk.peer.put
    times, trips, handles = [], [], []
    with echo() as trip:
        for _ in turns(tries, limit):
            name = fresh()
            start = time.perf_counter()
            handle = put(array, name)
            times.append(time.perf_counter() - start)
            trips.append(0.0 if anonymous else trip())
            handles.append(handle)
            if nbytes > MANY:
                desk.peer.delete(handles.pop())
            del handle
    desk.delete(handles)
    return {"put": settled(times), "trip": settled(trips)}


def sustained_puts(desk: Desk, nbytes: int, count: int, limit: float) -> dict[str, Any]:
    """As many as there are, every handle kept, until whoever stores them has told how many it has.

    Args:
        desk: Of this host.
        nbytes: Of each.
        count: How many.
        limit: Seconds after which no further one is put.
    """
    array = pattern(nbytes)
    names = [fresh() for _ in range(min(count, desk.peer.most))]
    handles = []
    start = time.perf_counter()
    for name in names:
        handles.append(desk.peer.put_anonymous(array, name))
        if time.perf_counter() - start > limit:
            break
    stored = desk.peer.count(handles)
    took = time.perf_counter() - start
    assert stored >= len(handles), f"{len(handles)} were put, and {stored} are there"
    result = {"put": took / len(handles), "puts": len(handles)}
    desk.delete(handles)
    return result


def publish(desk: Desk, nbytes: int, count: int, label: str) -> list[str]:
    """So many objects, stamped 1, 2, ...; not timed.

    Returns:
        Their keys.
    """
    array = pattern(nbytes)
    for number in range(1, count + 1):
        stamp(array, number)
        desk.kept.setdefault(label, []).append(desk.peer.put(array, fresh()))
    return [desk.peer.key(handle) for handle in desk.kept[label]]


def forget(desk: Desk, label: str) -> None:
    """Delete what was published so."""
    desk.delete(desk.kept.pop(label))


def fill(desk: Desk, upto: int, limit: float, sample: int) -> dict[str, Any]:
    """Publish small objects until there are so many; not timed.

    Args:
        desk: Of this host.
        upto: How many there are to be, with those of earlier calls.
        limit: Seconds after which no further one is published.
        sample: Of how many, spread evenly over all, the keys are wanted.
    """
    array = pattern(64)
    handles = desk.kept.setdefault("fill", [])
    start = time.perf_counter()
    while len(handles) < upto and time.perf_counter() - start < limit:
        handles.append(desk.peer.put(array, fresh()))
        desk.peer.park(handles[-1])
    step = max(len(handles) // sample, 1)
    return {"objects": len(handles), "keys": [desk.peer.key(handle) for handle in handles[::step][:sample]]}


def size_put(desk: Desk, nbytes: int, tries: int, limit: float) -> dict[str, Any]:
    """Puts of one size and copies of the same array in turn."""
    array = pattern(nbytes)
    copy = Copy(array)
    puts, copies = [], []
    for _ in turns(tries, limit):
        name = fresh()
        start = time.perf_counter()
        handle = desk.peer.put(array, name)
        puts.append(time.perf_counter() - start)
        copies.append(copy())
        desk.peer.delete(handle)
        del handle  # elsewhere the object goes with it
    return {"put": settled(puts), "memcpy": settled(copies)}


def same_name(desk: Desk, nbytes: int, tries: int) -> dict[str, Any]:
    """A small array over and over under one name, in turn with a bare round trip."""
    array, name = pattern(nbytes), fresh()
    with echo() as trip:
        pairs = [(seconds(lambda: desk.peer.put(array, name)), trip()) for _ in range(tries)]
    puts, trips = zip(*pairs, strict=True)
    return {"put": settled(puts), "trip": settled(trips)}
