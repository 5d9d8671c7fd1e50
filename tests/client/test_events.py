"""events: the recent past of a store, told to whoever asks."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from peers import kill_store, kill_store_and_keeper

from jupyter_shm import errors
from jupyter_shm.testing.private import eventually


def kinds(store, since=None) -> list[tuple[str, str]]:
    return [(event.kind, event.name) for event in store.events(since)]


def test_what_all_processes_do_is_told_with_who_did_it(store, peer):
    store.put(np.arange(1000), "x", ttl=1000)
    peer("store.put(1, 'x'); store.pin('x'); store.unpin('x'); store.expire('x', 5); store.delete('x')")

    events = store.events()

    kinds = ["publish", "overwrite", "pin", "unpin", "ttl", "delete"]
    assert [event.kind for event in events] == kinds
    assert [event.version for event in events] == [1, 2, 2, 2, 2, 2]
    assert {event.who for event in events[1:]} == {"peer_loop.py"}
    assert events[0].who != "peer_loop.py"
    assert events[0].nbytes == 8000
    assert [event.sequence - events[0].sequence for event in events] == list(range(6))
    age = datetime.now(timezone.utc) - events[0].when
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert abs(time.time() - events[0].time) < 60


def test_only_what_came_since_is_told(store):
    store.put(1, "a")
    last = store.events()[-1].sequence
    assert store.events(since=last) == []

    store.put(1, "b")
    store.put(1, "c")

    assert kinds(store, last) == [("publish", "b"), ("publish", "c")]


def test_more_events_than_a_packet_holds_are_all_told(store):
    for number in range(500):
        store.put(number, f"{number}")

    assert [name for _, name in kinds(store)] == [f"{number}" for number in range(500)]


def test_the_end_of_bytes_that_were_read_on_without_a_name_is_told(store):
    store.put(np.arange(1000), "read")
    store.put(np.arange(1000), "unread")
    view = store.get("read")
    store.put(1, "read")
    store.put(1, "unread")
    assert eventually(lambda: [info.state for info in store.list(anonymous=True)].count("held") == 1)
    assert "free" not in dict(kinds(store))

    del view

    assert eventually(lambda: kinds(store)[-1] == ("free", "read"))
    assert store.events()[-1].version == 1
    assert [kind for kind, _ in kinds(store)].count("free") == 1


def test_an_expiry_is_told_as_the_stores_own_doing(store):
    store.put(1, "x", ttl=0.01)

    assert eventually(lambda: kinds(store)[-1] == ("expire", "x"))
    assert store.events()[-1].who == ""


def test_a_process_that_is_killed_is_told_with_what_it_took_along(store, peer):
    peer("store.put(np.zeros(10), 'x', lifetime='kernel'); ref = store.put(np.zeros(1 << 18)); store.put(1, 'stays')")
    peer.kill()

    assert eventually(lambda: store.events()[-1].id == 0)
    deaths = [event for event in store.events() if event.kind == "death"]
    assert sorted((event.name, event.nbytes) for event in deaths) == [("", 1 << 21), ("", (1 << 21) + 80), ("x", 80)]
    assert {event.who for event in deaths} == {"peer_loop.py"}


def test_small_objects_without_a_name_are_not_told_of_and_large_ones_are(store):
    for number in range(100):
        store.put(np.full(1000, number))
    assert store.events() == []

    ref = store.put(np.zeros(1 << 17))
    del ref

    assert eventually(lambda: kinds(store) == [("publish", ""), ("delete", "")])


def test_the_past_begins_anew_with_a_store_process_and_numbers_never_go_back(store):
    store.put(1, "x")
    last = store.events()[-1].sequence
    kill_store(store.stats().pid)
    store.put(2, "x")

    assert kinds(store) == [("restart", ""), ("overwrite", "x")]
    assert kinds(store, last) == [("lost", ""), ("restart", ""), ("overwrite", "x")]
    assert store.events()[0].version == 2
    numbers = [event.sequence for event in store.events(last)]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > last
    assert kinds(store, numbers[1]) == [("overwrite", "x")]


def test_numbers_do_not_go_back_with_a_store_that_knows_nothing_of_the_one_before(store):
    store.put(1, "x")
    last = store.events()[-1].sequence
    kill_store_and_keeper(store.stats().pid)
    with pytest.warns(errors.StoreLostWarning):
        store.put(1, "y")

    assert kinds(store, last) == [("lost", ""), ("publish", "y")]
    assert store.events()[0].sequence > last


@pytest.mark.parametrize("since", [-1, 1.5, "1", 1 << 63], ids=repr)
def test_since_is_the_number_of_an_event(store, since):
    with pytest.raises(errors.InvalidArgumentError, match="since is the sequence of an event"):
        store.events(since)
