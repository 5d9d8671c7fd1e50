"""A pool's map over slices of a stored array: what the bytes take, and what references take.  Of us only.

``python -m benchmarks.slices NBYTES`` measures it in a process of its own, which a pool may start again and again.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import jupyter_shm as shm
from jupyter_shm.testing.private import private_store

from .measures import Figure, Plan
from .venvs import ROOT

SLICES = 100
PROCESSES = 2


def look(part: np.ndarray[Any, Any]) -> float:
    """What is done with each slice: as little as will show that it is there."""
    return float(part[0] + part[-1])


def seconds(pool: Any, parts: list[np.ndarray[Any, Any]]) -> float:
    """One map over all slices; the results are checked."""
    start = time.perf_counter()
    found = pool.map(look, parts)
    took = time.perf_counter() - start
    assert found == [look(part) for part in parts]
    return took


def measure(nbytes: int, tries: int) -> tuple[float, float]:
    """Medians by bytes and by reference, in turn, with processes that have done both before."""
    with private_store(capacity=2 * nbytes) as store:
        store.put(np.arange(nbytes // 8, dtype=float), "array")
        parts = np.array_split(store.get("array"), SLICES)
        by_bytes, by_reference = [], []
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            for number in range(tries + 1):
                times = [seconds(pool, parts)]
                with shm.integrate("multiprocessing"):
                    times.append(seconds(pool, parts))
                if number:
                    by_bytes.append(times[0])
                    by_reference.append(times[1])
        return statistics.median(by_bytes), statistics.median(by_reference)


def slices(plan: Plan) -> Iterator[Figure]:
    """The figures."""
    command = [sys.executable, "-m", "benchmarks.slices", str(plan.beyond), str(plan.starts)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    by_bytes, by_reference = json.loads(done.stdout)
    yield "slices by bytes", by_bytes
    yield "slices by reference", by_reference


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
