"""A full store: who waits, who is refused, when, and with which figures."""

from __future__ import annotations

import re

import pytest
from pure_store import MIB, PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store.admission import ROOM_PATIENCE
from jupyter_shm.store.extents import PAGE
from jupyter_shm.store.reclaim import GRACE

CAPACITY = 64 * PAGE
LARGE = 32 * PAGE


@pytest.fixture
def store() -> PureStore:
    return PureStore(CAPACITY)


def fill(client: PureClient, name: str, nbytes: int = LARGE) -> int:
    return client.put(name, bytes(nbytes - 64)).id


def test_the_last_page_can_be_had(store: PureStore, client: PureClient):
    assert isinstance(client.ask(m.Reserve, CAPACITY), m.Reserved)
    assert store.ledger.free == 0


@pytest.mark.parametrize("nbytes", [CAPACITY + 1, (1 << 63) - 1])
def test_what_can_never_fit_is_refused_at_once(client: PureClient, nbytes: int):
    assert client.ask(m.Reserve, nbytes).reason == "full"


def test_nothing_cannot_be_reserved(client: PureClient):
    assert client.ask(m.Reserve, 0).reason == "protocol"


def test_a_put_that_fits_when_a_grace_time_ends_waits_for_it(store: PureStore, client: PureClient):
    fill(client, "a")
    fill(client, "b")
    client.ask(m.Delete, "a", 0)
    number = client.post(m.Reserve, LARGE)
    store.work()
    assert client.take_answer(number) is None

    store.advance(GRACE * 1.01)

    assert isinstance(client.take_answer(number), m.Reserved)
    # What it took over was punched before it was told so.
    assert store.punched
    assert store.ledger.free == 0


def test_a_name_can_be_overwritten_for_ever_in_a_store_that_holds_it_twice(store: PureStore, client: PureClient):
    for _ in range(20):
        number = client.post(m.Reserve, LARGE)
        store.advance(GRACE * 1.01)
        reserved = client.take_answer(number)
        assert isinstance(client.commit(reserved, client.fill(reserved, b"x"), "a"), m.Committed)

    assert store.ledger.names["a"].version == 20


def test_a_put_is_refused_as_soon_as_waiting_is_in_vain(store: PureStore, client: PureClient):
    reader = store.connect("reader.ipynb")
    fill(client, "a")
    fill(client, "b")
    reader.lease("a")
    client.ask(m.Delete, "a", 0)
    number = client.post(m.Reserve, LARGE)

    store.advance(GRACE * 1.01)

    answer = client.take_answer(number)
    assert answer.reason == "full"
    assert "128.0 KiB of it by deleted objects that are still read" in answer.text


def test_a_put_is_refused_within_a_second_whatever_others_delete(
    store: PureStore, client: PureClient, other: PureClient
):
    fill(client, "a", CAPACITY - 16 * PAGE)
    client.put("b", b"x")
    client.ask(m.Delete, "b", 0)
    number = client.post(m.Reserve, LARGE)
    asked, answer = store.now, None

    for _ in range(1000):
        store.advance(GRACE / 2)
        other.put("b", b"x")
        other.ask(m.Delete, "b", 0)
        answer = client.take_answer(number)
        if answer is not None:
            break

    assert answer.reason == "full"
    assert ROOM_PATIENCE - GRACE < store.now - asked < 1.0


def test_figures_of_a_refusal_justify_it(store: PureStore, client: PureClient):
    fill(client, "big", LARGE)
    client.reserve(LARGE // 2)

    text = client.ask(m.Reserve, LARGE).text

    assert text.startswith("128.0 KiB are needed, but only 64.0 KiB of the capacity of 256.0 KiB are free")
    assert "(128.0 KiB used, 0 B of it by deleted objects that are still read; 64.0 KiB being written)" in text
    assert "The largest: big 128.0 KiB (a.ipynb)." in text
    assert "JUPYTER_SHM_CAPACITY" in text


def test_a_smaller_put_overtakes_one_that_waits(store: PureStore, client: PureClient):
    other = store.connect()
    fill(client, "a")
    fill(client, "b", 16 * PAGE)
    client.ask(m.Delete, "a", 0)
    number = client.post(m.Reserve, LARGE)

    assert isinstance(other.ask(m.Reserve, 16 * PAGE), m.Reserved)

    store.advance(GRACE * 1.01)
    assert isinstance(client.take_answer(number), m.Reserved)


def test_those_who_wait_are_served_in_their_order(store: PureStore, client: PureClient):
    other = store.connect()
    fill(client, "a", CAPACITY)
    client.ask(m.Delete, "a", 0)
    first = client.post(m.Reserve, CAPACITY)
    second = other.post(m.Reserve, CAPACITY)

    store.advance(GRACE * 1.01)

    assert isinstance(client.take_answer(first), m.Reserved)
    assert other.take_answer(second).reason == "full"


@pytest.mark.parametrize("end", ["abandon", "hang up"])
def test_a_reservation_given_back_in_the_drain_lets_another_put_in(store: PureStore, client: PureClient, end: str):
    other = store.connect()
    reserved = other.reserve(CAPACITY)
    number = client.post(m.Reserve, CAPACITY)

    if end == "abandon":
        other.send(m.Abandon(reserved.id))
    else:
        other.hang_up()
    store.work()

    assert isinstance(client.take_answer(number), m.Reserved)


@pytest.mark.parametrize("end", ["cancel", "hang up"])
def test_who_waits_for_room_and_goes_takes_none(store: PureStore, client: PureClient, end: str):
    other = store.connect()
    fill(client, "a", CAPACITY)
    client.ask(m.Delete, "a", 0)
    number = other.post(m.Reserve, CAPACITY)

    if end == "cancel":
        other.send(m.Cancel(number))
    else:
        other.hang_up()
    store.advance_to_rest()

    assert store.ledger.reserved == store.ledger.used == 0
    assert not store.ledger.reservations


def test_a_put_that_the_machine_has_no_memory_for_is_refused_with_the_machines_figure(
    store: PureStore, client: PureClient
):
    store.core.admission.room = lambda _: 5 * PAGE

    text = client.ask(m.Reserve, LARGE).text

    assert "only 20.0 KiB of memory left" in text
    assert isinstance(client.ask(m.Reserve, 5 * PAGE), m.Reserved)


def test_what_the_machine_gets_back_in_the_same_moment_is_there_for_a_put_that_waits(
    store: PureStore, client: PureClient
):
    left = [CAPACITY]

    def note(action: a.Action) -> None:
        if isinstance(action, a.Punch):
            left[0] += action.nbytes

    store.on_action = note
    store.core.admission.room = lambda _: left[0]
    fill(client, "a", CAPACITY // 2)
    left[0] -= CAPACITY // 2
    fill(client, "b", CAPACITY // 4)
    left[0] -= CAPACITY // 4

    client.ask(m.Delete, "a", 0)
    number = client.post(m.Reserve, CAPACITY // 2)
    store.advance_to_rest()

    assert isinstance(client.take_answer(number), m.Reserved)


def test_a_heap_without_a_gap_is_told_from_a_full_store():
    store = PureStore(MIB, heap_nbytes=MIB // 2)
    client = store.connect()

    answer = client.ask(m.Reserve, MIB)

    assert answer.reason == "full"
    assert "address space" in answer.text


# --- Slots ------------------------------------------------------------------------------------------------------------


def test_every_reservation_can_be_committed_however_many_there_are():
    store = PureStore(max_objects=8)
    client = store.connect()
    reservations = []
    while isinstance(answer := client.ask(m.Reserve, 100), m.Reserved):
        reservations.append(answer)

    assert answer.reason == "full"
    assert len(reservations) >= 3
    for at, reserved in enumerate(reservations):
        assert isinstance(client.commit(reserved, client.fill(reserved, b""), str(at)), m.Committed)


def test_a_store_out_of_slots_says_so_and_has_one_again_after_a_delete():
    store = PureStore(max_objects=5)
    client = store.connect()
    count = 0
    while True:
        number = client.post(m.Reserve, 100)
        store.work()
        answer = client.take_answer(number)
        if isinstance(answer, m.Refused):
            break
        client.commit(answer, client.fill(answer, b""), f"n{count}")
        count += 1

    assert answer.reason == "full"
    assert re.search(rf"holds {count} objects and 0 are being written; the limit is {count}\.", answer.text)

    client.ask(m.Delete, "n0", 0)
    store.advance(GRACE * 1.01)
    assert isinstance(client.put("again"), m.Committed)


def test_a_thousand_puts_and_deletes_use_the_same_few_slots(store: PureStore, client: PureClient):
    ids = set()
    for _ in range(1000):
        ids.add(client.put("x").id)
        client.ask(m.Delete, "x", 0)
        store.advance(GRACE * 1.01)

    assert len(ids) == 1000
    assert len(store.ledger._generations) <= 2
