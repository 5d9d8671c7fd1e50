"""How long the store is away when it dies: from SIGKILL to the first answered put."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from jupyter_shm import Store
from jupyter_shm.testing.private import private_store

PROCESSES = 2
FILL = """
import sys, jupyter_shm as shm
store = shm.connect()
for number in range(int(sys.argv[1]), int(sys.argv[2])):
    store.put(number, f"object {number}")
"""


def fill(store: Store, objects: int) -> None:
    """Publish so many small objects, from several processes."""
    step = -(-objects // PROCESSES)
    spans = [(first, min(first + step, objects)) for first in range(0, objects, step)]
    writers = [subprocess.Popen([sys.executable, "-c", FILL, str(first), str(last)]) for first, last in spans]
    assert not any(writer.wait() for writer in writers)
    assert len(store) == objects


def away(store: Store, kills: int) -> float:
    """Median seconds from SIGKILL to the answer of a put that was begun at once."""
    times = []
    for number in range(kills):
        time.sleep(0.1)  # the keeper starts one that died at once again only after a delay
        pid = store.stats().pid
        start = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        store.put(number, "first")
        times.append(time.perf_counter() - start)
        assert store.get("first") == number
        assert store.stats().starts == number + 2
    return statistics.median(times)


def restarts(kills: int, objects: int) -> Iterator[tuple[str, float, str]]:
    """The rows of the table."""
    for count in (10, objects):
        with private_store(capacity="2GiB") as store:
            fill(store, count)
            yield f"SIGKILL of the store, to the first answered put, with {count:,} objects", away(store, kills), ""
