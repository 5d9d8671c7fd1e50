"""What objects that leave do to puts that wait; the look at all objects; a capacity that is changed; the space on disk."""

from __future__ import annotations

import pytest
from pure_spill import CAPACITY, SIZE, fill, fill_all, make_room, spilled
from pure_store import MIB, PureClient, PureStore, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store import survey as survey_module
from jupyter_shm.store.admission import ROOM_PATIENCE
from jupyter_shm.store.extents import LARGE, PAGE
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.store.spillspace import ADDRESSES, SpillSpace
from jupyter_shm.store.survey import PART, Survey
from jupyter_shm.tables.layout import DYING


@pytest.fixture
def store() -> PureStore:
    """Room for four objects, and a disk for many."""
    return PureStore(CAPACITY, disk=64 * MIB)


# --- those who wait -----------------------------------------------------------------------------------------------------


def test_who_has_waited_for_long_is_not_overtaken(store: PureStore, client: PureClient, other: PureClient):
    fill_all(client, "abc")
    fill(client, "d", SIZE - LARGE)
    store.copies = False
    number = client.post(m.Reserve, 2 * SIZE)
    store.work()
    assert isinstance(other.ask(m.Reserve, PAGE), m.Reserved), "not yet"
    store.advance(ROOM_PATIENCE)

    late = other.post(m.Reserve, PAGE)
    nursery = store.connect()
    assert nursery.ask(m.ReserveNursery, LARGE, 4).id == 0
    store.work()
    assert other.take_answer(late) is None
    store.copies = True
    store.advance(GRACE * 3)

    assert isinstance(client.take_answer(number), m.Reserved)
    assert isinstance(other.take_answer(late), m.Reserved)


@pytest.mark.parametrize("end", ["hang up", "refusal"])
def test_those_behind_one_that_has_waited_for_long_are_served_when_it_is_gone(
    store: PureStore, client: PureClient, other: PureClient, end: str
):
    fill_all(client, "abc")
    fill(client, "d", SIZE - LARGE)
    store.copies = False
    client.post(m.Reserve, 2 * SIZE)
    store.work()
    store.advance(ROOM_PATIENCE)
    late = other.post(m.Reserve, PAGE)
    store.work()
    assert other.take_answer(late) is None

    if end == "hang up":
        client.hang_up()
    else:
        store.copied("Input/output error")
    store.work()

    assert isinstance(other.take_answer(late), m.Reserved)


def test_graces_are_waited_for_before_anybody_leaves(store: PureStore, client: PureClient):
    fill_all(client)
    client.ask(m.Delete, "b", 0)

    assert isinstance(make_room(store, client), m.Reserved)

    assert not spilled(store)


def test_several_that_wait_have_enough_leave_for_all_of_them(store: PureStore):
    clients = [store.connect(f"{n}.ipynb") for n in range(3)]
    fill_all(clients[0])
    numbers = [client.post(m.Reserve, SIZE) for client in clients]

    store.advance(GRACE * 1.5)

    assert spilled(store) == {"a", "b", "c"}, "their graces go by at the same time"
    assert all(isinstance(client.take_answer(n), m.Reserved) for client, n in zip(clients, numbers, strict=True))


def test_what_the_machine_lacks_is_spilled_for_too(store: PureStore, client: PureClient):
    fill_all(client, "ab")
    left = [SIZE // 2]
    store.core.admission.room = lambda _: left[0]
    number = client.post(m.Reserve, SIZE)
    store.work()
    left[0] += SIZE  # what leaves, the machine has again
    store.advance(GRACE * 1.1)

    assert isinstance(client.take_answer(number), m.Reserved)
    assert spilled(store) == {"a"}


def test_a_refusal_for_lack_of_memory_tells_what_the_machine_has(
    store: PureStore, client: PureClient, other: PureClient
):
    fill_all(client, "ab")
    other.lease("a")
    other.lease("b")
    store.core.admission.room = lambda _: SIZE // 2

    answer = client.ask(m.Reserve, SIZE)

    assert (answer.figures.available, answer.figures.spillable) == (SIZE // 2, 0)
    assert "has only 128.0 KiB of memory left; 512.0 KiB are being read" in answer.text


# --- the survey ---------------------------------------------------------------------------------------------------------


def test_many_objects_are_looked_at_in_parts(store: PureStore, client: PureClient):
    store = PureStore(64 * MIB, heap_nbytes=1 << 30, disk=64 * MIB)
    client = store.connect()
    for n in range(PART + 100):
        client.put(f"n{n}", b"")
    fill(client, "large")
    survey = Survey(store.ledger, store.core.holders, store.now)

    survey.go_on()
    assert not survey.is_over
    survey.go_on()
    assert survey.is_over
    assert survey.spillable == SIZE
    assert reason(client.ask(m.Reserve, 64 * MIB)) == "full"


def test_a_survey_of_which_objects_end_meanwhile_comes_to_its_end(store: PureStore, client: PureClient):
    fill_all(client)
    survey = Survey(store.ledger, store.core.holders, store.now)
    client.ask(m.Delete, "a", 0)
    store.advance(GRACE)

    survey.go_on()

    assert [survey.next().name for _ in range(3)] == ["b", "c", "d"]
    assert (survey.next(), survey.spillable) == (None, 0)


# --- the capacity -------------------------------------------------------------------------------------------------------


def test_a_capacity_that_is_lowered_makes_objects_leave(store: PureStore, client: PureClient):
    store = PureStore(8 * MIB, disk=64 * MIB)
    client = store.connect()
    for name in "abcdefgh":
        fill(client, name, MIB)
    done: list[a.Action] = []
    store.on_action = done.append

    assert client.ask(m.SetCapacity, 3 * MIB) == m.Done(client._number)
    store.advance(GRACE * 3)

    assert a.SetCapacity(3 * MIB) in done
    assert store.reader.capacity == 3 * MIB
    assert spilled(store) == set("abcde")
    assert store.ledger.used == 3 * MIB
    store.advance(10.0)
    assert spilled(store) == set("abcde")


def test_what_is_read_stays_above_a_capacity_that_was_lowered_until_it_is_let_go(
    store: PureStore, client: PureClient, other: PureClient
):
    store = PureStore(8 * MIB, disk=64 * MIB)
    client, other = store.connect(), store.connect()
    ids = {name: fill(client, name, MIB) for name in "abcd"}
    for name in ids:
        other.lease(name)
    client.ask(m.SetCapacity, 2 * MIB)
    store.advance(5.0)
    assert store.ledger.used == 4 * MIB
    assert not spilled(store)

    for name in "ab":
        other.let_go(ids[name])
    store.advance(5.0)

    assert spilled(store) == {"a", "b"}


def test_a_capacity_that_is_raised_grants_who_waits(store: PureStore, client: PureClient, other: PureClient):
    store = PureStore(4 * MIB, disk=64 * MIB)
    client, other = store.connect(), store.connect()
    for name in "abcd":
        fill(client, name, MIB)
    store.copies = False
    number = client.post(m.Reserve, MIB)
    store.work()
    assert client.take_answer(number) is None

    other.ask(m.SetCapacity, 6 * MIB)
    store.settle()

    assert isinstance(client.take_answer(number), m.Reserved)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "a capacity of 0 B is of no use"),
        (PAGE, "the least is 1.0 MiB"),
        (1 << 50, "more than the 64.0 MiB of memory"),
    ],
)
def test_a_capacity_that_makes_no_sense_is_refused(store: PureStore, client: PureClient, nbytes: int, text: str):
    answer = client.ask(m.SetCapacity, nbytes)

    assert reason(answer) == "setting"
    assert text in answer.text
    assert store.ledger.capacity == CAPACITY


def test_the_reserve_fits_the_capacity():
    store = PureStore(64 * MIB, heap_nbytes=1 << 30)
    client = store.connect()
    warm = store.ledger.warm
    warm.wanted = 512 * MIB
    warm.fit(store.ledger.capacity)
    assert warm.target == 16 * MIB
    store.core.admission.machine = 1 << 40

    client.ask(m.SetCapacity, 8 * MIB)
    assert warm.target == 2 * MIB
    client.ask(m.SetCapacity, 1 << 33)
    assert warm.target == 512 * MIB


# --- the space ----------------------------------------------------------------------------------------------------------


def test_places_are_whole_pages_and_nobody_elses():
    space = SpillSpace("")
    places = [space.take(nbytes) for nbytes in (1, PAGE, PAGE + 1)]

    assert places == [0, PAGE, 2 * PAGE]
    assert space.used == 4 * PAGE
    assert space.give_back(PAGE, PAGE) == (PAGE, PAGE)
    assert space.take(PAGE) == PAGE
    assert space.free_ranges() == [(4 * PAGE, ADDRESSES - 4 * PAGE)]


def test_places_of_a_store_that_died_are_taken_back():
    space = SpillSpace("")
    space.take_back([(8 * PAGE, 2 * PAGE), (0, PAGE)])

    assert space.used == 3 * PAGE
    assert space.free_ranges()[0] == (PAGE, 7 * PAGE)
    assert {space.take(PAGE) for _ in range(7)} == {page * PAGE for page in range(1, 8)}
    with pytest.raises(ValueError, match="does not lie between"):
        SpillSpace("").take_back([(0, 2 * PAGE), (PAGE, PAGE)])


def test_there_is_room_as_the_limit_says_where_there_is_a_file():
    space = SpillSpace("none")
    space.limit = 10 * PAGE
    assert (space.is_open, space.room) == (False, 0)
    space.reason = ""
    space.take(4 * PAGE)
    assert (space.is_open, space.room) == (True, 6 * PAGE)
    space.limit = PAGE
    assert space.room == 0


# --- everything -----------------------------------------------------------------------------------------------------------


def test_a_store_that_nobody_uses_can_have_everything_leave_that_may(
    store: PureStore, client: PureClient, other: PureClient
):
    ids = fill_all(client, "abc")
    other.lease("b")
    small = fill(client, "small", PAGE)
    store.core.admission.unload(store.now)
    store.advance(5.0)
    assert spilled(store) == {"a", "c"}

    other.let_go(ids["b"])
    store.advance(5.0)
    assert spilled(store) == {"a", "b", "c"}
    assert not store.ledger.objects[small].is_spilled
    store.core.admission.keep()
    fill(client, "d")
    store.advance(5.0)
    assert spilled(store) == {"a", "b", "c"}


def test_what_others_have_dropped_is_known_before_a_put_is_refused(
    store: PureStore, client: PureClient, other: PureClient
):
    """The ring that tells of it is read, although the store was about to look at it a little later."""
    store = PureStore(64 * MIB, heap_nbytes=256 * MIB)
    client, other = store.connect(), store.connect()
    nursery = other.nursery(slots=8)
    id = other.announce(nursery.cut(b"x"))
    big = client.reserve(64 * MIB - 2 * (64 << 10))
    client.commit(big, client.fill(big, b"x"), "big")
    store.advance(0.001)
    other.write_drop(id)
    assert other.is_looked_at

    client.post(m.Reserve, 2 * (64 << 10))
    store.work()

    assert store.state_of(id) == DYING


def test_in_a_store_of_very_many_objects_small_ones_are_only_counted(
    store: PureStore, client: PureClient, other: PureClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(survey_module, "THOROUGH", 3)
    fill_all(client, "ab")
    for name in "cd":
        fill(client, name, PAGE)
        other.lease(name)
    other.lease("a")
    survey = Survey(store.ledger, store.core.holders, store.now)
    survey.go_on()

    assert (survey.busy, survey.spillable) == (SIZE, SIZE)
    assert survey.published[client.id] == 2 * SIZE + 2 * PAGE
    assert survey.read[other.id] == SIZE


def test_a_put_into_a_store_whose_capacity_was_lowered_counts_what_is_above_it(
    store: PureStore, client: PureClient, other: PureClient
):
    store = PureStore(8 * MIB, disk=64 * MIB)
    client, other = store.connect(), store.connect()
    for name in "abcdef":
        fill(client, name, MIB)
        other.lease(name)
    fill(client, "g", MIB)
    client.ask(m.SetCapacity, 6 * MIB)
    store.copies = False

    answer = client.ask(m.Reserve, MIB)

    assert reason(answer) == "full"
    assert (answer.figures.used, answer.figures.capacity, answer.figures.spillable) == (7 * MIB, 6 * MIB, MIB)
