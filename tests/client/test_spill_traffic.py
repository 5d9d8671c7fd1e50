"""More than memory through a small store: every refusal justified, no byte changed under a view, nothing left over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from peers import ROOT, heap_bytes, spill_bytes

from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

WORKER = Path(__file__).with_name("traffic_worker.py")


def traffic(nbytes: int, seconds: float) -> dict[str, int]:
    """Let three processes put so many bytes together; what they have done."""
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(number), str(nbytes // 3), str(1000 + number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for number in range(3)
    ]
    try:
        told = [worker.communicate(timeout=seconds) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    for worker, (_, complaint) in zip(workers, told, strict=True):
        assert worker.returncode == 0, complaint
    done = [json.loads(out) for out, _ in told]
    return {key: sum(one[key] for one in done) for key in done[0]}


def through(store: Store, nbytes: int, seconds: float) -> None:
    done = traffic(nbytes, seconds)
    stats = store.stats()
    print(done, stats)

    assert stats.starts == 1
    assert stats.used + stats.reserved <= stats.capacity
    assert done["puts"] > done["refused"] > 0
    assert stats.spilled_objects > 0, "there was always room"
    store.clear()
    assert eventually(lambda: store.stats().used == 0), store.stats()
    assert eventually(lambda: store.stats().spilled == 0), store.stats()
    stats = store.stats()
    assert (stats.held, stats.reserved, stats.objects) == (0, 0, 0)
    assert eventually(lambda: heap_bytes(stats.pid) <= store.stats().reserve)
    assert eventually(lambda: spill_bytes(stats.pid) == 0)


def test_a_gigabyte_passes_through_a_store_of_64_mebibytes(runtime_folder):
    with Store(capacity="64MiB") as store:
        through(store, 1_000_000_000, 55)


@pytest.mark.slow
def test_twenty_gigabytes_pass_through_a_store_of_256_mebibytes(runtime_folder):
    with Store(capacity="256MiB") as store:
        through(store, 20_000_000_000, 1500)
