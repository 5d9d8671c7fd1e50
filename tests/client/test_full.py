"""A full store refuses, says why, and is as it was; what would fit once grace times end is waited for."""

from __future__ import annotations

import numpy as np
import pytest

from jupyter_shm import errors
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

MEGA = 1 << 20


def megabytes(count, value=0):
    return np.full(count * MEGA, value, np.uint8)


@pytest.fixture
def small(runtime_folder, monkeypatch):
    """A store of 8 MiB that spills nothing."""
    monkeypatch.setenv("JUPYTER_SHM_SPILL_DIR", "off")
    with Store(capacity=8 * MEGA) as store:
        yield store


def accounts(store):
    stats = store.stats()
    return stats.used, stats.reserved, stats.held, stats.objects, stats.names, stats.payload


def test_what_is_larger_than_the_capacity_is_refused_and_the_text_tells_everything(small):
    small.put(megabytes(3), "large")
    small.put(megabytes(1), "medium")
    before = accounts(small)

    with pytest.raises(errors.StoreFullError) as caught:
        small.put(megabytes(20), "huge")

    assert isinstance(caught.value, MemoryError)
    for fact in ("'huge'", "20.0 MiB", "8.0 MiB", "4.0 MiB", "large", "medium", "JUPYTER_SHM_CAPACITY"):
        assert fact in str(caught.value), caught.value
    assert accounts(small) == before
    assert small.get("large").sum() == 0
    assert "huge" not in small


def test_a_full_store_takes_again_what_fits(small):
    for n in range(7):
        small.put(megabytes(1), f"n{n}")
    with pytest.raises(errors.StoreFullError):
        small.put(megabytes(2), "more")

    small.put(1, "tiny")
    small.delete("n0")
    small.delete("n1")
    small.put(megabytes(2), "more")

    assert len(small) == 7


def test_a_put_that_fits_once_the_grace_time_ends_waits_for_it(small):
    for n in range(60):
        small.put(megabytes(6, n), "x")
        assert small.get("x")[0] == n
        small.delete("x")

    assert len(small) == 0


def test_an_anonymous_object_makes_room_as_soon_as_it_is_let_go(small):
    for n in range(60):
        ref = small.put(megabytes(6, n % 250))
        assert small.get(ref)[0] == n % 250
        del ref


def test_overwriting_needs_room_for_both_and_leaves_the_old_one_intact(small):
    small.put(megabytes(5, 5), "x")
    before = accounts(small)

    for _ in range(3):
        with pytest.raises(errors.StoreFullError):
            small.put(megabytes(5, 6), "x")

    assert accounts(small) == before
    assert (small.get("x") == 5).all()
    assert small.info("x").version == 1


def test_a_deleted_object_that_is_still_read_shows_as_held_in_the_refusal(small):
    small.put(megabytes(6, 5), "x")
    view = small.get("x")
    small.delete("x")
    assert eventually(lambda: small.stats().held)

    with pytest.raises(errors.StoreFullError, match=r"6\.0 MiB of it by deleted objects that are still read"):
        small.put(megabytes(6), "y")

    assert (view == 5).all()
    del view
    small.put(megabytes(6), "y")


def test_a_put_that_waits_for_room_keeps_no_other_process_waiting(small, new_peer):
    small.put(megabytes(6), "x")
    view = small.get("x")
    small.delete("x")
    peer = new_peer()
    peer.send("""
        for _ in range(3):
            try:
                store.put(np.zeros(6 << 20, np.uint8), "y")
            except MemoryError as error:
                got = type(error).__name__
        got
    """)

    for n in range(300):
        small.put(n, "n")
        assert small.get("n") == n

    assert peer.answer() == "StoreFullError"
    del view


def test_many_small_objects_are_refused_when_they_are_too_many(small):
    def fill():
        for n in range(100_000):
            small.put(np.zeros(10_000, np.uint8), f"n{n}")

    with pytest.raises(errors.StoreFullError):
        fill()

    assert small.stats().used <= small.stats().capacity
    small.clear()
    assert eventually(lambda: small.stats().used == 0)


def test_a_slice_of_what_is_stored_fits_into_a_full_store(small):
    small.put(megabytes(7, 5), "x")

    small.put(small.get("x")[: 4 * MEGA], "y")

    assert (small.get("y") == 5).all()


def test_processes_that_fill_the_store_together_never_exceed_its_capacity(small, new_peer):
    peers = [new_peer() for _ in range(3)]
    for n, peer in enumerate(peers):
        peer.send(f"""
            refused = 0
            for n in range(100):
                try:
                    store.put(np.full(1 << 20, n % 100, np.uint8), f'p{n}-{{n % 5}}')
                except MemoryError:
                    refused += 1
                    store.pop(f'p{n}-{{n % 5}}', None)
            refused
        """)
    most = 0
    for _ in range(200):
        stats = small.stats()
        most = max(most, stats.used + stats.reserved)
    for peer in peers:
        peer.answer()

    assert most <= 8 * MEGA
    small.clear()
    assert eventually(lambda: small.stats().used == 0)
    assert small.stats().reserved == 0
