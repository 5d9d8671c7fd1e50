"""Tasks on two workers: ours, loky's and Ray's.  Functions that do nothing, take a large stored array, or make one.

``python -m benchmarks.tasks ENGINE NBYTES TASKS`` measures one engine in a process of its own, in the interpreter that has
it, and prints its figures.  They take turns, several times over, and medians count.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .measures import Figure, Plan
from .peers import OTHERS, OURS
from .venvs import ROOT, UnavailableError, interpreter

WORKERS = 2
ROUNDS = 3
PATIENCE = 120.0
"""Seconds that one engine may take for one round."""


def nothing() -> None:
    """What a task does that measures what tasks cost."""


def ends(array: Any) -> float:
    """Look at a large array, as little as will show that it is there."""
    return float(array[0] + array[-1])


def make(count: int) -> Any:
    """Make a large array."""
    return np.random.default_rng(1).random(count)


class Ours:
    """``shm.remote``."""

    def start(self, nbytes: int) -> None:
        import jupyter_shm as shm

        self.store = shm.connect(capacity=8 * nbytes)
        shm.init(workers=WORKERS)
        self.put, self.get = shm.put, shm.get
        self.remote = lambda function: shm.remote(function).remote

    def stop(self) -> None:
        import jupyter_shm as shm

        shm.shutdown()
        self.store.shutdown(force=True)


class Loky:
    """``loky.ProcessPoolExecutor``: nothing is stored, so it has no figure for stored arrays."""

    put: Any = None

    def start(self, _nbytes: int) -> None:
        from loky import ProcessPoolExecutor

        self._pool = ProcessPoolExecutor(WORKERS)
        self.remote = lambda function: lambda *args: self._pool.submit(function, *args)

    def get(self, found: Any) -> Any:
        return [one.result() for one in found] if isinstance(found, list) else found.result()

    def stop(self) -> None:
        self._pool.shutdown()


class Rays:
    """``ray.remote``."""

    def start(self, nbytes: int) -> None:
        from .peers import ray as peer

        self._peer = peer.Ray()
        self._peer.folder = Path(tempfile.mkdtemp(prefix="shm-bench-"))
        self._peer.start(8 * nbytes)
        self.put, self.get = peer.ray.put, peer.ray.get
        self.remote = lambda function: peer.ray.remote(function).remote

    def stop(self) -> None:
        self._peer.stop()


ENGINES: dict[str, Callable[[], Any]] = {"ours": Ours, "loky": Loky, "ray": Rays}


def seconds(work: Callable[[], object], tries: int) -> float:
    """Median of one."""
    took = []
    for _ in range(tries):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def measure(engine: Any, nbytes: int, tasks: int) -> dict[str, float]:
    """All figures of one engine that has been started; results are checked."""
    empty, large = engine.remote(nothing), engine.remote(make)
    count = nbytes // 8

    def many() -> None:
        assert engine.get([empty() for _ in range(tasks)]) == [None] * tasks

    def result() -> None:
        assert len(engine.get(large(count))) == count

    many()  # the workers have started
    figures = {"task": seconds(many, 3) / tasks, "sync task": seconds(lambda: engine.get(empty()), tasks // 4)}
    result()
    figures["large result"] = seconds(result, 5)
    figures["large local"] = seconds(lambda: make(count), 5)
    if engine.put is not None:
        look, stored = engine.remote(ends), engine.put(np.ones(count))

        def looks() -> None:
            assert engine.get([look(stored) for _ in range(tasks // 4)]) == [2.0] * (tasks // 4)

        looks()
        figures["task of large"] = seconds(looks, 3) / (tasks // 4)
    return figures


def tasks(plan: Plan, others: list[str]) -> Iterator[tuple[str, Figure]]:
    """The figures, each with whose it is: ours bear loky's along, as what a pool of processes gives to anybody.

    Args:
        plan: How much is done.
        others: Names of the peers that are measured.
    """
    names = ["ours", "loky", *(["ray"] if "ray" in others else [])]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(1 if plan.is_quick else ROUNDS):
        for name in names:
            with contextlib.suppress(subprocess.SubprocessError, UnavailableError):
                found[name].append(_round(name, plan.large, max(plan.tries, 100)))
    for name, rounds in found.items():
        for figure in rounds[0] if rounds else ():
            value = statistics.median(one[figure] for one in rounds)
            whose = "ray" if name == "ray" else OURS.name
            yield whose, (f"loky {figure}" if name == "loky" else figure, value)


def _round(name: str, nbytes: int, count: int) -> dict[str, float]:
    """One engine in a process of its own; whatever it has started ends with it."""
    python = str(interpreter(OTHERS["ray"])) if name == "ray" else sys.executable
    with tempfile.TemporaryDirectory(prefix="shm-bench-") as folder:
        process = subprocess.Popen(
            [python, "-m", "benchmarks.tasks", name, str(nbytes), str(count)],
            cwd=ROOT,
            env={**os.environ, "JUPYTER_SHM_RUNTIME_DIR": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            out = process.communicate(timeout=PATIENCE)[0]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        return dict(json.loads(out.splitlines()[-1]))


def main(name: str, nbytes: int, count: int) -> None:
    """Measure one engine, and print what was found."""
    engine = ENGINES[name]()
    engine.start(nbytes)
    try:
        print(json.dumps(measure(engine, nbytes, count)), flush=True)
    finally:
        engine.stop()


if __name__ == "__main__":
    # Not this module, which is called ``__main__`` now: workers import the functions from where they are at home.
    import_module("benchmarks.tasks").main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
