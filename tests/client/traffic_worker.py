"""One of several processes that put and read more than their store has room for; run by ``test_spill_traffic``.

Arguments: the worker's number, bytes to put in all, seed.  Prints what it has done, as JSON, and fails at the first byte
that is not what it was, and at the first refusal that its own figures do not justify.
"""

from __future__ import annotations

import json
import math
import random
import sys

import numpy as np

import jupyter_shm as shm
from jupyter_shm import errors

NAMES = 24  # of each worker
WORKERS = 3
VIEWS = 6  # held at a time


def pattern(seed: int, nbytes: int) -> np.ndarray:
    """Bytes that tell whose they are, and in which order."""
    array = np.arange(seed, seed + max(2, nbytes // 8), dtype=np.uint64)
    array[0] = seed
    return array


def check(array: np.ndarray) -> None:
    """See that it is one that ``pattern`` has made."""
    seed = int(array[0])
    assert int(array[-1]) == seed + len(array) - 1, "bytes have changed"
    assert (np.diff(array) == 1).all(), "bytes have changed"


def justify(error: errors.StoreFullError) -> None:
    """See that there was no room."""
    left = error.capacity - error.used - error.reserved if error.available is None else error.available
    assert error.asked > left + error.spillable, f"refused without need: {error}"
    assert error.used + error.reserved <= error.capacity
    assert error.held + error.busy + error.pinned <= error.used
    assert error.holders


class Worker:
    """What one of them does, step by step."""

    def __init__(self, number: int, nbytes: int, seed: int) -> None:
        self.number = number
        self.left = nbytes
        self.random = random.Random(seed)
        self.store = shm.connect()
        self.most = math.log2(self.store.stats().capacity / 2)
        self.views: list[np.ndarray] = []
        self.done = {"puts": 0, "refused": 0, "gets": 0, "misses": 0, "spilled": 0}

    def run(self) -> None:
        while self.left > 0:
            self.random.choice((self.put, self.put, self.get, self.get, self.let_go))()
        for view in self.views:
            check(view)
        self.views.clear()

    def put(self) -> None:
        size = int(2 ** self.random.uniform(12, self.most)) + self.random.randrange(4096)
        array = pattern(self.random.getrandbits(48), size)
        try:
            self.store.put(array, f"w{self.number}-{self.random.randrange(NAMES)}")
            self.done["puts"] += 1
        except errors.StoreFullError as error:
            justify(error)
            self.done["refused"] += 1
        self.left -= size

    def get(self) -> None:
        name = f"w{self.random.randrange(WORKERS)}-{self.random.randrange(NAMES)}"
        view = self.store.get(name, default=None)
        if view is None:
            self.done["misses"] += 1
            return
        self.done["gets"] += 1
        if self.random.random() < 0.5:
            check(view)
        self.views.append(view[self.random.randrange(len(view) - 1) :])
        if len(self.views) > VIEWS:
            self.let_go()

    def let_go(self) -> None:
        if self.views:
            view = self.views.pop(self.random.randrange(len(self.views)))
            check(view)


if __name__ == "__main__":
    worker = Worker(*map(int, sys.argv[1:4]))
    worker.run()
    worker.done["spilled"] = worker.store.stats().spilled
    print(json.dumps(worker.done))
