"""Objects made without asking: what a ring says counts before whatever is said afterwards, and an idle store rests."""

from __future__ import annotations

import pytest
from pure_store import MIB, PureClient, PureStore, assert_nothing_is_left, is_live, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store.extents import PAGE
from jupyter_shm.store.nurseries import BATCH, LARGEST, LEAST, LOOK, MAX_NURSERIES, MAX_SLOTS, SHARE
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.tables.layout import RESERVED, slot_of
from jupyter_shm.tables.ring import RING

KIB = 1 << 10


@pytest.fixture
def store() -> PureStore:
    return PureStore(64 * MIB, 256 * MIB)


# --- Granted, or not --------------------------------------------------------------------------------------------------


def test_a_nursery_is_an_extent_and_slots_that_are_nobody_elses(store: PureStore, client: PureClient):
    nursery = client.nursery(200 * KIB, 5).granted

    assert nursery.nbytes == 200 * KIB
    assert nursery.offset % PAGE == 0
    assert len({slot_of(id) for id in (nursery.id, *nursery.ids)}) == 6
    assert all(store.state_of(id) == RESERVED for id in (nursery.id, *nursery.ids))
    assert {store.reader.ender(slot_of(id)) for id in nursery.ids} == {(nursery.id, 0)}
    assert store.ledger.reserved == 200 * KIB
    store.ledger.check()


def test_no_more_is_granted_than_is_good_for_all(store: PureStore, client: PureClient):
    nursery = client.nursery(LARGEST * 100, MAX_SLOTS * 100).granted

    assert nursery.nbytes == min(LARGEST, store.ledger.capacity // SHARE)
    assert len(nursery.ids) == MAX_SLOTS


@pytest.mark.parametrize(("nbytes", "slots"), [(0, 8), (LEAST - 1, 8), (LEAST, 0)])
def test_there_is_none_for_who_asks_for_next_to_nothing(store: PureStore, client: PureClient, nbytes: int, slots: int):
    answer = client.ask(m.ReserveNursery, nbytes, slots)

    assert answer == m.NurseryReserved(answer.number, 0, 0, 0, (), False)
    assert store.reader.row(client.welcome.row) == (client.id, answer.number)
    assert_nothing_is_left(store)


def test_a_client_has_a_few_of_them_and_one_more_when_it_gives_one_back(client: PureClient):
    nurseries = [client.nursery() for _ in range(MAX_NURSERIES)]
    assert not client.ask(m.ReserveNursery, LEAST, 8).id

    client.send(m.Abandon(nurseries[1].id))
    assert client.ask(m.ReserveNursery, LEAST, 8).id


def test_there_is_none_where_there_is_no_room(store: PureStore, client: PureClient, other: PureClient):
    taken = other.reserve(store.ledger.free - LEAST + PAGE)

    assert not client.ask(m.ReserveNursery, LEAST, 8).id
    other.send(m.Abandon(taken.id))
    assert client.ask(m.ReserveNursery, LEAST, 8).id


def test_there_is_none_where_the_machine_has_no_memory(store: PureStore, client: PureClient):
    store.core.admission.room = lambda _nbytes: LEAST - 1

    assert not client.ask(m.ReserveNursery, LEAST, 8).id
    assert_nothing_is_left(store)


@pytest.mark.parametrize(("slots", "is_granted"), [(9, True), (10, False)])
def test_as_many_slots_are_left_as_are_promised(slots: int, is_granted: bool):
    store = PureStore(64 * MIB, 256 * MIB, 20)

    assert bool(store.connect().ask(m.ReserveNursery, LEAST, slots).id) == is_granted


def test_a_full_store_is_full_with_its_nurseries(store: PureStore, client: PureClient, other: PureClient):
    nursery = client.nursery(LEAST, 8)
    other.reserve(store.ledger.capacity - LEAST)
    id = client.announce(nursery.cut(b"x" * 5000))

    assert store.ledger.free == 0
    assert (store.ledger.used, store.ledger.reserved) == (2 * PAGE, store.ledger.capacity - 2 * PAGE)
    assert reason(other.ask(m.Reserve, 1)) == "full"

    client.write_drop(id)
    client.ring()
    store.advance_to_rest()
    assert store.ledger.free == PAGE, "the second page is the nursery's too"
    store.ledger.check()


# --- What is written before a packet counts before it -----------------------------------------------------------------


def test_what_the_ring_says_is_an_object_like_any_other(store: PureStore, client: PureClient):
    piece = client.nursery().cut(b"y" * 100)
    id = client.announce(piece)

    record = store.reader.live_record(slot_of(id))
    assert (record.offset, record.extent, record.nbytes) == (piece.offset, 192, piece.nbytes)
    assert (record.payload, record.client, record.name_nbytes, record.request) == (8, client.id, 0, 0)
    facts = client.ask(m.Info, "", id).object
    assert (facts.id, facts.state, facts.offset, facts.version) == (id, "live", piece.offset, 1)
    store.ledger.check()


BEFORE = {
    "a ring": lambda _piece: m.Ring(),
    "a reserve": lambda _piece: m.Reserve(9, 100),
    "a hint": lambda _piece: m.Hint(1),
    "an abandon of the nursery": lambda piece: m.Abandon(piece.nursery),
    "a cancel of the nursery": lambda _piece: m.Cancel(1),
    "a cancel of nothing": lambda _piece: m.Cancel(0),
    "a commit": lambda _piece: m.Commit(9, 1, "x", 64, 1, 1, True),
    "a delete": lambda _piece: m.Delete(9, "x", 0),
    "accounts": lambda _piece: m.Stats(9),
}


@pytest.mark.parametrize("what", BEFORE)
def test_a_ring_is_read_before_a_packet_of_its_client(store: PureStore, client: PureClient, what: str):
    piece = client.nursery().cut()
    id = client.write(piece)
    assert not is_live(store, id)
    client.unanswered.add(9)

    client.send(BEFORE[what](piece))

    assert is_live(store, id)
    assert client.unread == 0
    store.ledger.check()


def test_a_drop_that_had_no_room_in_the_ring_ends_what_the_ring_has_made(store: PureStore, client: PureClient):
    id = client.write(client.nursery().cut())

    client.send(m.Drop(id))

    assert not is_live(store, id)
    store.advance_to_rest()
    assert store.ledger.objects == {}


def test_an_object_contains_what_the_ring_has_just_made(store: PureStore, client: PureClient, other: PureClient):
    nursery = client.nursery()
    inner = client.write(nursery.cut(b"inner"))
    outer = client.commit_piece(nursery.cut(b"outer", (inner,)), "outer")
    assert store.ledger.objects[outer.id].contained == (inner,)

    more = client.write(nursery.cut(b"more"))
    assert isinstance(other.put("theirs", b"", (more,)), m.Committed), "its id was handed over"


ASK_ANOTHER = {
    "the list": lambda other, made: made in {one.id for one in other.ask(m.List, 0, True).objects},
    "its facts": lambda other, made: other.ask(m.Info, "", made).object.id == made,
    "the accounts": lambda other, _made: other.ask(m.Stats).objects == 1,
    "a delete": lambda other, made: isinstance(other.ask(m.Delete, "", made), m.Done),
}


@pytest.mark.parametrize("what", ASK_ANOTHER)
def test_whoever_asks_is_told_what_stands_in_any_ring(
    store: PureStore, client: PureClient, other: PureClient, what: str
):
    id = client.write(client.nursery().cut())

    assert ASK_ANOTHER[what](other, id)
    store.ledger.check()


def test_a_ring_is_read_before_a_delete_by_somebody_who_has_one(
    store: PureStore, client: PureClient, other: PureClient
):
    other.announce(other.nursery().cut())
    ids = [one.write(one.nursery().cut()) for one in (client, store.connect(), store.connect())]

    for id in ids:
        assert isinstance(other.ask(m.Delete, "", id), m.Done)
    assert [is_live(store, id) for id in ids] == [False] * 3


@pytest.mark.parametrize("question", [(m.Look, "x"), (m.Wait, ("x",), 1), (m.List, 0, False), (m.Info, "x", 0)])
def test_every_question_has_every_ring_read(store: PureStore, client: PureClient, other: PureClient, question: tuple):
    ids = [one.write(one.nursery().cut()) for one in (client, store.connect(), other)]

    other.ask(*question)

    assert all(is_live(store, id) for id in ids)


# --- Looking, and resting ---------------------------------------------------------------------------------------------


def test_a_store_that_is_told_looks_by_itself_until_it_finds_nothing(store: PureStore, client: PureClient):
    nursery = client.nursery(slots=20)
    assert not client.is_looked_at

    client.announce(nursery.cut())
    assert client.is_looked_at
    for _ in range(10):
        id = client.write(nursery.cut())
        store.advance(LOOK)
        assert is_live(store, id), "nobody told the store"
        assert client.is_looked_at

    store.advance(LOOK)
    assert not client.is_looked_at


def test_an_idle_store_does_nothing(store: PureStore, client: PureClient):
    nursery = client.nursery()
    client.announce(nursery.cut())
    assert store.core.deadline(store.now) is not None

    store.advance(2 * LOOK + GRACE)

    assert store.core.deadline(store.now) is None
    done: list[a.Action] = []
    store.on_action = done.append
    store.advance(3600.0)
    assert done == []


@pytest.mark.parametrize("since", [0.0, GRACE / 2, GRACE])
def test_who_saw_the_store_look_just_before_it_stopped_is_found_by_the_last_look(
    store: PureStore, client: PureClient, since: float
):
    nursery = client.nursery()
    client.announce(nursery.cut())
    while client.is_looked_at:
        store.advance(LOOK)
    store.now += since

    id = client.write(nursery.cut())  # and it does not tell: its row said that the store looks
    store.advance(GRACE + LOOK)

    assert is_live(store, id)
    store.advance(1.0)
    assert store.core.deadline(store.now) is None


def test_after_the_last_look_the_store_is_told_again(store: PureStore, client: PureClient):
    nursery = client.nursery()
    client.announce(nursery.cut())
    store.advance(1.0)

    id = client.write(nursery.cut())
    store.advance(1.0)
    assert not is_live(store, id)

    client.ring()
    assert is_live(store, id)
    assert client.is_looked_at


def test_an_entry_that_is_not_whole_yet_is_read_when_it_is(store: PureStore, client: PureClient):
    nursery = client.nursery()
    client.announce(nursery.cut())
    piece = nursery.cut()
    client.write(piece)
    at = len(client.table.memory) - RING * 64 + 64
    whole = bytes(client.table.memory[at : at + 64])
    client.table.memory[at + 32 : at + 64] = bytes(32)

    store.advance(LOOK)
    assert not is_live(store, piece.id)

    client.table.memory[at : at + 64] = whole
    store.advance(LOOK + GRACE)
    assert is_live(store, piece.id)


def test_a_question_that_finds_a_ring_empty_does_not_keep_the_store_awake(
    store: PureStore, client: PureClient, other: PureClient
):
    client.announce(client.nursery().cut())
    for _ in range(5):
        other.ask(m.Look, "x")
        store.now += LOOK

    store.advance(1.0)

    assert store.core.deadline(store.now) is None
    assert not client.is_looked_at


def test_the_tail_is_written_after_what_the_entries_say_was_done(store: PureStore, client: PureClient):
    nursery = client.nursery()
    ids = [client.write(nursery.cut()) for _ in range(3)]
    seen: list[tuple[int, int]] = []
    store.on_action = lambda _: seen.append((client.unread, sum(is_live_in_index(store, id) for id in ids)))

    client.ring()

    assert {live for unread, live in seen if unread == 0} == {3}
    assert (3, 1) in seen


def is_live_in_index(store: PureStore, id: int) -> bool:
    return store.reader.is_live(slot_of(id), id >> 20)


def test_no_more_than_a_batch_is_read_when_nobody_waits(store: PureStore, client: PureClient, other: PureClient):
    nursery = client.nursery(128 * KIB, MAX_SLOTS)
    count = BATCH + 100
    client.announce(nursery.cut())
    ids = [client.write(nursery.cut(b"")) for _ in range(count)]
    store.now += LOOK

    store.settle()
    assert client.unread == count - BATCH
    assert store.core.deadline(store.now) <= store.now, "it goes on at once"
    store.settle()
    assert client.unread == 0
    assert all(is_live(store, id) for id in ids)

    for id in ids:
        client.write_drop(id)
    assert other.ask(m.Stats).objects == count + 1, "DYING ones are counted"
    assert client.unread == 0, "who asks has all of it read"


def test_a_ring_may_go_round_as_often_as_it_likes(store: PureStore, client: PureClient):
    for round in range(9):
        nursery = client.nursery(128 * KIB, MAX_SLOTS)
        for _ in range(500):
            client.write_drop(client.write(nursery.cut(b"")))
        client.ring()
        assert client.table.ring_head == 1000 * (round + 1)
        client.send(m.Abandon(nursery.id))
    assert client.table.ring_head > 2 * RING
    assert_nothing_is_left(store)
