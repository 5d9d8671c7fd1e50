"""Who has nothing to do does nothing: no timer ticks in an idle store, its keeper, or an idle client."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from jupyter_shm.testing.private import eventually

SPAN = 3.0
"""Seconds without a single step that are called idle: whatever ticks more often is seen."""


def steps(pid):
    """How often a thread of a process gave up, or was taken, the processor: no thread runs without that."""
    lines = [line for status in Path(f"/proc/{pid}/task").glob("*/status") for line in status.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if "voluntary_ctxt_switches" in line)


def rested(pid):
    """Did a process rest for a whole span?  Being idle is a state that it may still be on its way to."""
    before = steps(pid)
    time.sleep(SPAN)
    return steps(pid) == before


@pytest.fixture
def idlers(store, peer):
    """The processes that have nothing to do, after some work: a client holds views, one of them of a deleted object."""
    store.put(np.full(100_000, 5), "x")
    peer("store.put(np.arange(10), 'y'); views = [store.get('x'), store.get('x')[5:], store.get('y')]")
    peer("del views[0]; store.delete('y'); ref = store.put(np.arange(10_000)); store.get(ref)")
    stats = store.stats()
    return {"store": stats.pid, "keeper": stats.keeper, "client": peer.pid}


def test_steps_are_seen(store):
    pid = store.stats().pid
    before = steps(pid)
    store.stats()

    assert eventually(lambda: steps(pid) > before)


@pytest.mark.parametrize("who", ["store", "keeper", "client"])
def test_an_idle_process_takes_no_step(idlers, who):
    assert eventually(lambda: rested(idlers[who]), 45), "something ticks"
