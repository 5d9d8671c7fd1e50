"""Which objects leave memory, in which order, when they have left, and what the disk has to say."""

from __future__ import annotations

import pytest
from pure_spill import CAPACITY, SIZE, fill, fill_all, make_room, spilled, text_of
from pure_store import MIB, PureClient, PureStore, assert_nothing_is_left, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.admission import LONGEST
from jupyter_shm.store.agreements import agree
from jupyter_shm.store.extents import LARGE, PAGE
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.store.spilling import FRESH, STALLED
from jupyter_shm.tables.layout import LIVE, PINNED, SPILLED, SPILLING, TERM_SPILLED, slot_of


@pytest.fixture
def store() -> PureStore:
    """Room for four objects, and a disk for many."""
    return PureStore(CAPACITY, disk=64 * MIB)


# --- who leaves ---------------------------------------------------------------------------------------------------------


def test_a_put_that_does_not_fit_is_granted_when_others_have_left(store: PureStore, client: PureClient):
    fill_all(client)

    assert isinstance(make_room(store, client), m.Reserved)

    assert spilled(store) == {"a"}
    assert text_of(store, "a") == b"aa"
    assert store.ledger.used == 3 * SIZE
    assert store.ledger.spill.used == SIZE


def test_no_more_leave_than_have_to(store: PureStore, client: PureClient):
    fill_all(client)

    make_room(store, client, 2 * SIZE)

    assert spilled(store) == {"a", "b"}


def test_who_was_used_last_leaves_last(store: PureStore, client: PureClient, other: PureClient):
    ids = fill_all(client)
    for name in "ab":
        store.now += 1
        other.table.note_use(slot_of(ids[name]), int(store.now * 1000), fresh=True)
        other.table.write(slot_of(ids[name]), ids[name] >> 20, 0)

    make_room(store, client, 3 * SIZE)

    assert spilled(store) == {"c", "d", "a"}


def test_what_was_used_by_a_client_that_has_gone_counts(store: PureStore, client: PureClient, other: PureClient):
    ids = fill_all(client)
    store.now += 1
    other.table.add(slot_of(ids["a"]), ids["a"] >> 20)
    other.table.note_use(slot_of(ids["a"]), int(store.now * 1000), fresh=True)
    other.hang_up()

    make_room(store, client)

    assert spilled(store) == {"b"}


def test_uses_of_an_object_that_was_in_the_slot_before_do_not_count(
    store: PureStore, client: PureClient, other: PureClient
):
    ids = fill_all(client)
    slot = slot_of(ids["a"])
    other.table.write(slot, (ids["a"] >> 20) - 1, 0)
    other.table.note_use(slot, int(store.now * 1000) + 5000, fresh=True)

    make_room(store, client)

    assert spilled(store) == {"a"}


def test_what_somebody_reads_stays(store: PureStore, client: PureClient, other: PureClient):
    fill_all(client)
    other.lease("a")
    other.lease("c")

    make_room(store, client, 2 * SIZE)

    assert spilled(store) == {"b", "d"}


def test_what_is_pinned_stays(store: PureStore, client: PureClient):
    ids = fill_all(client)
    pinned = store.ledger.objects[ids["a"]]
    store.perform(list(agree(pinned, pinned.terms._replace(flags=PINNED))))

    make_room(store, client)

    assert spilled(store) == {"b"}
    assert reason(make_room(store, client, 3 * SIZE)) == "full"
    assert spilled(store) == {"b"}


def test_what_contains_another_one_stays_and_so_does_what_is_contained(store: PureStore, client: PureClient):
    a = fill(client, "a")
    client.put("b", bytes(SIZE - 64), (a,))
    fill(client, "c")
    fill(client, "d")

    make_room(store, client, 2 * SIZE)

    assert spilled(store) == {"c", "d"}


def test_small_objects_stay(store: PureStore, client: PureClient):
    for n in range(12):
        fill(client, f"n{n}", LARGE - PAGE)
    fill(client, "large")

    assert reason(make_room(store, client, 2 * SIZE)) == "full"
    assert not spilled(store)
    assert isinstance(make_room(store, client), m.Reserved)
    assert spilled(store) == {"large"}


def test_what_cannot_be_made_to_fit_is_refused_and_nobody_leaves_in_vain(
    store: PureStore, client: PureClient, other: PureClient
):
    fill_all(client)
    other.lease("d")

    answer = client.ask(m.Reserve, CAPACITY)

    told = answer.figures
    assert (told.asked, told.capacity, told.used, told.reserved) == (CAPACITY, CAPACITY, CAPACITY, 0)
    assert (told.busy, told.pinned, told.held, told.spillable) == (SIZE, 0, 0, 3 * SIZE)
    assert told.holders == (m.Holding("a.ipynb", CAPACITY, 0), m.Holding("other.ipynb", 0, SIZE))
    assert "256.0 KiB are being read, 768.0 KiB could be spilled to disk" in answer.text
    assert "The most is held by a.ipynb (published 1.0 MiB, reads 0 B), other.ipynb" in answer.text
    assert not spilled(store)
    assert store.copying is None


# --- how they leave -----------------------------------------------------------------------------------------------------


def seen(store: PureStore, id: int) -> list[tuple[int, int]]:
    """State and place of a slot after each action that follows."""
    found: list[tuple[int, int]] = []
    store.on_action = lambda _: found.append((store.state_of(id), store.terms.get(slot_of(id), TERM_SPILLED)))
    return found


def test_its_place_is_written_before_readers_miss_it_and_a_grace_goes_by_before_its_extent_is_anybodys(
    store: PureStore, client: PureClient
):
    ids = fill_all(client)
    steps = seen(store, ids["a"])
    client.post(m.Reserve, SIZE)
    store.work()

    assert steps[-3:] == [(LIVE, 0), (LIVE, 1), (SPILLING, 1)]
    assert store.ledger.used == CAPACITY
    store.advance(GRACE * 0.9)
    assert store.state_of(ids["a"]) == SPILLING
    store.advance(GRACE * 0.2)
    assert steps[3:6] == [(SPILLED, 1)] * 3
    assert store.ledger.used == 3 * SIZE


def test_a_reader_who_saw_it_live_keeps_it_in_memory(store: PureStore, client: PureClient, other: PureClient):
    """Step 3 of the lease protocol comes before SPILLING is seen; the store looks a grace later."""
    ids = fill_all(client)
    taking = other.lease_steps("a")
    next(taking)
    next(taking)  # the lease is written, the state not looked at again
    other.table.write(slot_of(ids["a"]), ids["a"] >> 20, 0)  # it will be: too late for the store to see it now
    number = client.post(m.Reserve, SIZE)
    store.work()
    assert store.state_of(ids["a"]) == SPILLING
    other.table.write(slot_of(ids["a"]), ids["a"] >> 20, 1)

    store.advance(GRACE * 1.1)

    assert store.state_of(ids["a"]) == LIVE
    assert store.terms.get(slot_of(ids["a"]), TERM_SPILLED) == 0
    store.advance(2 * GRACE)
    assert spilled(store) == {"b"}
    assert isinstance(client.take_answer(number), m.Reserved)
    assert store.ledger.spill.used == SIZE


@pytest.mark.parametrize("question", ["look", "info", "info by id", "wait"])
def test_who_asks_for_one_that_is_leaving_gets_it_from_memory(
    store: PureStore, client: PureClient, other: PureClient, question: str
):
    ids = fill_all(client)
    client.post(m.Reserve, SIZE)
    store.work()
    assert store.state_of(ids["a"]) == SPILLING
    assert other.lease("a") is None

    if question == "look":
        other.ask(m.Look, "a")
    elif question == "wait":
        other.ask(m.Wait, ("a", "nothing"), 1)
    else:
        other.ask(m.Info, "a" if question == "info" else "", ids["a"])

    assert other.lease("a") == ids["a"]
    store.advance(GRACE * 3)
    assert spilled(store) == {"b"}


def test_one_that_is_asked_for_while_it_is_copied_stays(store: PureStore, client: PureClient, other: PureClient):
    fill_all(client)
    store.copies = False
    client.post(m.Reserve, SIZE)
    store.work()
    assert store.copying is not None
    other.lease("a")

    store.copied()
    store.copies = True
    store.advance(GRACE * 3)

    assert spilled(store) == {"b"}
    assert store.ledger.spill.used == SIZE


@pytest.mark.parametrize("moment", ["copying", "leaving", "gone"])
@pytest.mark.parametrize("end", ["delete", "overwrite"])
def test_it_may_end_at_any_moment(store: PureStore, client: PureClient, other: PureClient, moment: str, end: str):
    reserved = other.reserve(PAGE)
    ids = fill_all(client, "abc")
    fill(client, "d", SIZE - LARGE)
    store.copies = moment != "copying"
    number = client.post(m.Reserve, SIZE)
    store.work()
    if moment == "gone":
        store.advance(GRACE * 1.1)
        assert spilled(store) == {"a"}

    if end == "delete":
        assert isinstance(other.ask(m.Delete, "a", 0), m.Done)
    else:
        other.commit(reserved, other.fill(reserved, b"small"), "a")
    if moment == "copying":
        store.copied()
    store.copies = True
    store.advance(1.0)

    assert ids["a"] not in store.ledger.objects
    assert isinstance(client.take_answer(number), m.Reserved)
    assert store.ledger.spill.used == 0 or spilled(store) == {"b"}
    for name in list(store.ledger.names):
        other.ask(m.Delete, name, 0)
    client.hang_up()
    other.hang_up()
    assert_nothing_is_left(store)
    assert store.ledger.spill.used == 0


def test_a_spilled_one_is_held_on_disk_by_who_reads_it(store: PureStore, client: PureClient, other: PureClient):
    ids = fill_all(client)
    make_room(store, client)
    assert other.lease("a") == ids["a"]
    client.ask(m.Delete, "a", 0)
    store.advance(1.0)

    assert store.ledger.held == 0, "it takes no memory"
    assert store.bytes_at(ids["a"])[-1:] == b"a"
    facts = client.ask(m.Info, "", ids["a"]).object
    assert (facts.state, facts.spilled) == ("held", 1)

    other.let_go(ids["a"])
    store.advance(1.0)
    assert ids["a"] not in store.ledger.objects
    assert store.ledger.spill.used == 0


def test_it_is_told_where_it_is_and_that_it_is_spilled(store: PureStore, client: PureClient):
    ids = fill_all(client)
    make_room(store, client, 2 * SIZE)

    page = client.ask(m.List, 0, False)
    stats = client.ask(m.Stats)

    told = {one.name: (one.state, one.spilled) for one in page.objects}
    assert told == {"a": ("spilled", 1), "b": ("spilled", SIZE + 1), "c": ("live", 0), "d": ("live", 0)}
    assert (stats.used, stats.spilled, stats.spilled_objects) == (2 * SIZE, 2 * SIZE, 2)
    assert (stats.spill_limit, stats.spill_reason) == (64 * MIB, "")
    assert client.ask(m.Look, "a") == m.Found(client._number, ids["a"])


def test_a_spilled_one_cannot_be_contained_but_its_name_can_be_given_again(store: PureStore, client: PureClient):
    ids = fill_all(client)
    client.send(m.Abandon(make_room(store, client).id))

    assert reason(client.put("e", b"", (ids["a"],))) == "contained-gone"
    assert client.put("a", b"new").version == 2


# --- the disk -----------------------------------------------------------------------------------------------------------


def test_a_full_disk_refuses_the_put_and_loses_nothing(store: PureStore, client: PureClient):
    fill_all(client)
    store.disk = SIZE
    assert isinstance(make_room(store, client), m.Reserved)

    answer = make_room(store, client)

    assert reason(answer) == "full"
    assert "the disk takes 0 B more" in answer.text
    assert (answer.figures.spilled, answer.figures.spill_limit, answer.figures.spillable) == (SIZE, SIZE, 0)
    assert {name: text_of(store, name) for name in "abcd"} == {"a": b"aa", "b": b"bb", "c": b"cc", "d": b"dd"}


def test_a_disk_that_has_room_again_is_used_again(store: PureStore, client: PureClient):
    fill_all(client)
    store.disk = PAGE
    assert reason(make_room(store, client)) == "full"
    store.disk = 64 * MIB
    assert reason(make_room(store, client)) == "full", "it is not asked again at once"
    store.advance(FRESH)

    assert isinstance(make_room(store, client), m.Reserved)


def test_where_the_disk_takes_little_what_fits_leaves(store: PureStore, client: PureClient):
    fill(client, "a")
    fill(client, "b", LARGE)
    fill(client, "c")
    fill(client, "d")
    store.disk = store.ledger.spill.limit = 2 * LARGE

    answer = make_room(store, client, 2 * SIZE)

    assert spilled(store) == {"b"}, "the others are too large"
    assert "the disk takes 64.0 KiB more" in answer.text
    assert answer.figures.spillable == 0


def test_a_disk_that_fails_refuses_the_put_says_why_and_is_tried_again(store: PureStore, client: PureClient):
    fill_all(client)
    store.copies = False
    number = client.post(m.Reserve, SIZE)
    store.work()
    store.copied("Input/output error")
    store.work()

    answer = client.take_answer(number)
    assert "nothing can be spilled to disk: Input/output error" in answer.text
    assert answer.figures.spillable == 0
    assert store.ledger.spill.used == 0
    store.copies = True
    store.advance(FRESH)
    assert isinstance(make_room(store, client), m.Reserved)


def test_a_put_waits_as_long_as_bytes_move(store: PureStore, client: PureClient):
    fill_all(client)
    store.copies = False
    number = client.post(m.Reserve, SIZE)
    for _ in range(10):
        store.advance(STALLED * 0.9)
        store.perform(store.core.spilled(PAGE, "", 0, store.now))
        assert client.take_answer(number) is None

    store.advance(STALLED * 1.1)

    answer = client.take_answer(number)
    assert reason(answer) == "full"
    assert "the disk has taken nothing for 5 s" in answer.text
    store.copied()
    store.advance(GRACE * 1.1)
    assert spilled(store) == {"a"}, "what was begun comes to its end"


def test_a_put_does_not_wait_for_ever(store: PureStore, client: PureClient, other: PureClient):
    """Others fetch whatever leaves."""
    fill_all(client)
    number = client.post(m.Reserve, SIZE)
    asked = store.now
    answer = None
    while answer is None:
        store.advance(GRACE / 2)
        for object in store.ledger.objects.values():
            if store.state_of(object.id) == SPILLING:
                other.ask(m.Look, object.name)
        answer = client.take_answer(number)
        assert store.now < asked + LONGEST + 5

    assert reason(answer) == "full"


def test_without_a_disk_a_refusal_says_so(client: PureClient):
    store = PureStore(CAPACITY)
    client = store.connect()
    fill_all(client)

    answer = client.ask(m.Reserve, SIZE)

    assert "nothing can be spilled to disk: the store has no spill heap" in answer.text
