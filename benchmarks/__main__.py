"""``python -m benchmarks``: medians of the hot paths beside the limits of this machine, in one run."""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from jupyter_shm import Store, __version__
from jupyter_shm.linux import packets
from jupyter_shm.testing.private import private_store

from .restarts import restarts

KB = np.arange(128, dtype=np.float64)  # 1 KiB
MB = np.arange(1 << 17, dtype=np.float64)  # 1 MiB
BIG = np.arange(1 << 25, dtype=np.float64)  # 256 MiB


def median(call: Callable[[], object], tries: int, prepare: Callable[[], object] = lambda: None) -> float:
    """Median seconds of one call, after a tenth of the tries to warm up."""
    times = []
    for _ in range(tries + tries // 10):
        prepare()
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
        del result
    return statistics.median(times[tries // 10 :])


@contextmanager
def echo() -> Iterator[Callable[[bytes], bytes]]:
    """A process that sends every packet back: the bare round trip that ours are held against."""
    ours, theirs = packets.pair()
    code = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1]))\nwhile data := s.recv(65536): s.send(data)"
    child = subprocess.Popen([sys.executable, "-c", code, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()

    def call(data: bytes) -> bytes:
        ours.send(data)
        return ours.recv(65536)

    try:
        yield call
    finally:
        ours.close()
        child.wait()


def reader(tries: int) -> None:
    """The other process: fetch what the first one has published, and print the medians in seconds."""
    store = Store()
    # "First get": no view of it is alive, so the whole path is taken each time.
    first = median(lambda: store.get("mb"), tries)
    kept = store.get("mb")
    again = median(lambda: store.get("mb"), tries)
    assert np.array_equal(kept, MB)
    start = time.perf_counter()
    total = store.get("big").sum()
    first_sum = time.perf_counter() - start
    again_sum = median(lambda: store.get("big").sum(), 3)
    assert total == BIG.sum()
    print(first, again, first_sum, again_sum)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--tries", type=int, default=3000, help="calls per median")
    parser.add_argument("--objects", type=int, default=100_000, help="in the store that is killed")
    parser.add_argument("--reader", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.reader:
        reader(options.tries)
        return
    rows = [*limits(options.tries), *ours(options.tries), *restarts(7, options.objects)]
    print(
        f"jupyter_shm {__version__}, Python {platform.python_version()}, numpy {np.__version__}, {platform.platform()}\n"
    )
    print("| what | median | goal |\n|---|---:|---:|")
    for what, seconds, goal in rows:
        print(f"| {what} | {show(seconds)} | {goal} |")


def limits(tries: int) -> Iterator[tuple[str, float, str]]:
    """What this machine gives to anybody."""
    with echo() as call:
        yield "bare round trip of 64 bytes over a socket", median(lambda: call(b"x" * 64), tries), ""
    target = BIG.copy()
    yield "memcpy of 256 MB (np.copyto, both sides touched)", median(lambda: np.copyto(target, BIG), 5), ""
    yield "sum of a local array of 256 MB", median(target.sum, 5), ""


def ours(tries: int) -> Iterator[tuple[str, float, str]]:
    """What the store and its client cost."""
    with private_store(capacity="2GiB") as store:
        store.put(MB, "mb")
        store.put(BIG, "big")
        command = [sys.executable, "-m", "benchmarks", "--reader", "--tries", str(tries)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        first, again, first_sum, again_sum = map(float, out.split())
        yield "get of a published 1 MB array in another process", first, "8 µs"
        yield "get of it again, while a view of it is alive", again, "6 µs"
        yield "first sum of 256 MB in another process, its get included", first_sum, ""
        yield "next sum of it", again_sum, ""
        yield "put of 1 KB under a name", median(lambda: store.put(KB, "kb"), tries), "110 µs"
        yield "put of 1 KB, anonymous", median(lambda: store.put(KB), tries), ""
        yield "put of 1 MB under a name", median(lambda: store.put(MB, "mb"), tries // 10), ""
        store.delete("big")
        yield (
            "put of 256 MB under a new name",
            median(lambda: store.put(BIG, "big"), 5, lambda: store.pop("big", None)),
            "",
        )


def show(seconds: float) -> str:
    """Microseconds below a millisecond, else milliseconds."""
    return f"{seconds * 1e6:,.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:,.1f} ms"


if __name__ == "__main__":
    main()
