"""Several processes at once, each doing the same for a second or two.  Runs in every one of their host processes."""

from __future__ import annotations

import time

from .arrays import KB, pattern
from .desk import Desk
from .peers.peer import fresh


def crowd_puts(desk: Desk, start_at: float, duration: float) -> float:
    """Publish 1 KB again and again, each in place of the one before.

    Args:
        desk: Of this host.
        start_at: When all begin, on the clock that all processes share.
        duration: Seconds.

    Returns:
        How many in a second.
    """
    array, name, handle, puts = pattern(KB), fresh(), None, 0
    _wait(start_at)
    while (now := time.monotonic()) < start_at + duration:
        if handle is not None and not desk.peer.replaces:
            desk.peer.delete(handle)
            handle, name = None, fresh()
        handle = desk.peer.put(array, name)
        puts += 1
    desk.peer.delete(handle)
    return puts / (now - start_at)


def crowd_gets(desk: Desk, start_at: float, duration: float, key: str) -> float:
    """Fetch 1 KB again and again, no view of it alive.

    Returns:
        How many in a second.
    """
    opened, fetched = desk.peer.open(key), 0
    _wait(start_at)
    while (now := time.monotonic()) < start_at + duration:
        array = desk.peer.get(opened)
        fetched += 1
        right = array[0] == 1
        del array
        desk.peer.tidy()
    assert right
    return fetched / (now - start_at)


def _wait(start_at: float) -> None:
    time.sleep(max(start_at - time.monotonic(), 0))
