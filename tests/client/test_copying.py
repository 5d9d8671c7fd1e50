"""Copies in pieces and on several threads, and the bar that shows how far a long one is."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from jupyter_shm.client import copying, progress

MIB = 1 << 20


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def threads(request, monkeypatch):
    monkeypatch.setattr(copying, "PARALLEL", 0)
    monkeypatch.setattr(copying, "PIECE", 4096)
    monkeypatch.setattr(copying, "MAX_THREADS", request.param)
    monkeypatch.setattr(copying.os, "sched_getaffinity", lambda _: range(8))
    return request.param


@pytest.mark.parametrize(
    "source",
    [
        np.arange(100_000),
        np.arange(100_000)[::-3],
        np.arange(120_000).reshape(300, 400).T,
        np.arange(10_000).reshape(1, 10_000),
        np.array(7),
        np.zeros(0),
        np.zeros((5, 0)),
    ],
    ids=["flat", "strided", "transposed", "one row", "no axis", "empty", "no columns"],
)
def test_what_is_copied_is_the_same(threads, source):
    target = np.full(source.shape, 77, source.dtype)

    copying.copy([(target, source)])

    assert np.array_equal(target, source)


def test_all_parts_are_copied_and_told_of(threads):
    sources = [np.arange(n) for n in (1, 1000, 50_000)]
    targets = [np.empty_like(source) for source in sources]
    told = []

    copying.copy(list(zip(targets, sources, strict=True)), told.append)

    assert all(map(np.array_equal, targets, sources))
    assert sum(told) == sum(source.nbytes for source in sources)


def test_an_error_in_any_piece_is_raised_when_every_thread_has_ended(threads):
    before, source = threading.active_count(), np.array(["1"] * 50_000)
    source[40_000] = "no number"
    target = np.empty(source.shape, np.int64)

    # From text to numbers: numpy does it, and stops at what is none.
    with pytest.raises((ValueError, TypeError)):
        copying.copy([(target, source)])

    assert threading.active_count() == before


def test_an_interrupt_while_copying_leaves_no_thread_behind(threads):
    before, source = threading.active_count(), np.zeros(MIB)

    def interrupt(_nbytes):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying.copy([(np.empty_like(source), source)], interrupt)

    assert threading.active_count() == before


# --- The bar ----------------------------------------------------------------------------------------------------------


@pytest.mark.may_leak("threads", reason="tqdm keeps one that watches its bars")
def test_a_copy_that_takes_long_shows_a_bar(store, monkeypatch, capfd):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    array = np.arange(4 * MIB)

    store.put(array, "long", progress=True)

    assert "put 'long'" in capfd.readouterr().err
    assert np.array_equal(store.get("long"), array)


def test_a_copy_that_is_fast_shows_nothing_and_imports_nothing(store, capfd, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "tqdm"]:
        monkeypatch.delitem(sys.modules, name)

    store.put(np.zeros(4 * MIB), "short", progress=True)
    store.put(np.zeros(4), progress=True)

    assert capfd.readouterr() == ("", "")
    assert "tqdm" not in sys.modules


def test_nothing_is_shown_unless_it_was_asked_for(store, monkeypatch, capfd):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)

    store.put(np.arange(4 * MIB), "quiet")

    assert capfd.readouterr().err == ""
