"""Objects that are still to be made: one client makes each of them, once, and whoever waits is told."""

from __future__ import annotations

import pytest
from pure_store import PureClient, PureStore, assert_nothing_is_left, is_live, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.extents import LARGE
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.store.references import KEEP
from jupyter_shm.tables.layout import DROPPED, FREE, PENDING, slot_of


@pytest.fixture
def store() -> PureStore:
    return PureStore()


@pytest.fixture
def maker(store: PureStore) -> PureClient:
    return store.connect("maker.ipynb")


@pytest.fixture
def reader(store: PureStore) -> PureClient:
    return store.connect("reader.ipynb")


def state(store: PureStore, id: int) -> int:
    return store.reader.state(slot_of(id)) & 0xFF


def held(client: PureClient) -> int:
    id = client.pend()
    assert client.lease_id(id)
    return id


# --- Making ---------------------------------------------------------------------------------------------------------


def test_it_is_made_under_the_id_that_was_given(store: PureStore, maker: PureClient):
    id = held(maker)
    assert state(store, id) == PENDING

    assert isinstance(maker.fulfil(id, b"bytes"), m.Done)

    assert is_live(store, id)
    assert store.bytes_at(id).endswith(b"bytes")
    assert store.ledger.reservations == {}
    store.ledger.check()


def test_it_is_made_of_a_piece_of_a_nursery(maker: PureClient):
    store = PureStore(64 << 20)
    maker = store.connect()
    id, nursery = held(maker), maker.nursery()
    piece, kept = nursery.cut(b"bytes"), nursery.cut(b"other")

    assert isinstance(maker.fulfil_with_piece(id, piece), m.Done)
    maker.announce(kept)
    store.work()

    assert store.bytes_at(id).endswith(b"bytes")
    assert store.bytes_at(kept.id).endswith(b"other")
    assert state(store, piece.id) == FREE
    maker.hang_up()
    assert_nothing_is_left(store)


@pytest.mark.parametrize("nbytes", [1, 3 * LARGE])
def test_what_becomes_of_it_is_what_becomes_of_any_anonymous_object(store: PureStore, maker: PureClient, nbytes: int):
    id = held(maker)
    maker.fulfil(id, b"x" * nbytes)
    maker.send(m.Drop(id))
    maker.let_go(id)

    assert_nothing_is_left(store)


def test_it_is_made_once(store: PureStore, maker: PureClient):
    id = held(maker)
    maker.fulfil(id, b"first")
    reserved = maker.reserve(1000)

    again = maker.fulfil_with(id, reserved, maker.fill(reserved, b"second"))

    assert reason(again) == "fulfilled"
    assert "maker.ipynb" in again.text
    assert store.bytes_at(id).endswith(b"first")
    assert isinstance(maker.commit(reserved, maker.fill(reserved, b"second"), "x"), m.Committed), "nothing is lost"


def test_nobody_else_makes_it(store: PureStore, maker: PureClient, reader: PureClient):
    id = held(maker)

    assert reason(reader.fulfil(id)) == "invalid-argument"

    assert state(store, id) == PENDING
    assert isinstance(maker.fulfil(id), m.Done)


def test_what_is_gone_is_not_made(store: PureStore, maker: PureClient):
    id = maker.pend()
    maker.send(m.Drop(id))
    store.work()
    assert state(store, id) == DROPPED
    assert reason(maker.fulfil(id)) == "not-found"

    store.advance(1.0)

    assert state(store, id) == FREE
    assert reason(maker.fulfil(id)) == "not-found"
    assert reason(maker.fulfil(slot_of(id))) == "not-found"


def test_it_cannot_be_made_of_what_is_not_reserved(store: PureStore, maker: PureClient, reader: PureClient):
    id, mine, theirs = held(maker), maker.reserve(1000), reader.reserve(1000)
    nbytes = maker.fill(mine, b"data")

    assert reason(maker.fulfil_with(id, theirs, nbytes)) == "bad-reservation"
    assert reason(maker.fulfil_with(id, mine, 100_000)) == "bad-reservation"
    assert reason(maker.ask(m.Fulfil, id, id, nbytes, 8, 1)) == "bad-reservation"
    assert reason(maker.ask(m.Fulfil, id, mine.id, nbytes, 8, 1, mine.id, mine.offset)) == "bad-reservation"

    assert isinstance(maker.fulfil_with(id, mine, nbytes), m.Done)
    store.ledger.check()


def test_a_bad_header_changes_nothing(store: PureStore, maker: PureClient):
    id, reserved = held(maker), maker.reserve(1000)
    store.heap[reserved.offset : reserved.offset + 8] = b"no magic"

    assert reason(maker.fulfil_with(id, reserved, 1000)) == "bad-header"

    assert isinstance(maker.fulfil_with(id, reserved, maker.fill(reserved, b"data")), m.Done)


def test_who_is_not_waited_for_any_more_does_not_make_it(store: PureStore, maker: PureClient):
    id, reserved = held(maker), maker.reserve(1000)
    nbytes = maker.fill(reserved, b"data")
    maker.table.withdraw(maker._number + 1)

    assert reason(maker.fulfil_with(id, reserved, nbytes)) == "again"

    assert state(store, id) == PENDING


def test_when_it_was_made_its_request_cannot_be_cancelled_any_more(store: PureStore, maker: PureClient):
    id = held(maker)
    maker.fulfil(id)

    maker.send(m.Cancel(maker._number))

    assert is_live(store, id)


def test_who_did_not_get_to_know_its_id_cancels_it(store: PureStore, maker: PureClient):
    id = maker.pend()

    maker.send(m.Cancel(maker._number))
    store.advance(1.0)

    assert state(store, id) == FREE


def test_there_are_no_more_of_them_than_slots(store: PureStore):
    store = PureStore(max_objects=5)
    maker = store.connect()
    ids = [held(maker) for _ in range(4)]

    refused = maker.ask(m.Pend)

    assert (reason(refused), "4 objects" in refused.text) == ("full", True)
    maker.send(m.Drop(ids[0]))
    maker.let_go(ids[0])
    store.advance(1.0)
    assert held(maker)


# --- What it contains -------------------------------------------------------------------------------------------------


def test_what_it_contains_lives_as_long(store: PureStore, maker: PureClient, reader: PureClient):
    id, inner = held(maker), reader.publish("")
    maker.fulfil(id, b"", (inner,))
    reader.hang_up()
    store.advance(1.0)
    assert is_live(store, inner)

    maker.send(m.Drop(id))
    maker.let_go(id)

    store.advance(1.0)
    assert store.ledger.objects == {}


def test_a_pending_one_lives_as_long_as_what_contains_it(store: PureStore, maker: PureClient, reader: PureClient):
    id = held(maker)
    reader.publish("box", b"", (id,))
    maker.send(m.Drop(id))
    maker.let_go(id)
    store.advance(1.0)
    assert state(store, id) == PENDING

    assert isinstance(maker.fulfil(id), m.Done)

    reader.ask(m.Delete, "box", 0)
    store.advance(1.0)
    assert store.ledger.objects == {}


def test_it_does_not_contain_itself_by_whatever_way(store: PureStore, maker: PureClient):
    one, other = held(maker), held(maker)
    box = maker.publish("", b"", (one,))
    boxes = maker.publish("", b"", (box, other))

    assert reason(maker.fulfil(one, b"", (one,))) == "invalid-argument"
    assert reason(maker.fulfil(one, b"", (box,))) == "invalid-argument"
    assert reason(maker.fulfil(one, b"", (boxes,))) == "invalid-argument"
    assert isinstance(maker.fulfil(other, b"", (one,)), m.Done)
    assert reason(maker.fulfil(one, b"", (other,))) == "invalid-argument"
    assert isinstance(maker.fulfil(one, b""), m.Done)

    maker.hang_up()
    assert_nothing_is_left(store)


def test_what_is_gone_is_not_contained(maker: PureClient):
    assert reason(maker.fulfil(held(maker), b"", (77,))) == "contained-gone"


# --- Waiting ----------------------------------------------------------------------------------------------------------


def test_who_waits_is_told_when_it_is_made(maker: PureClient, reader: PureClient):
    one, other = held(maker), held(maker)
    first, both = reader.wait_for(one, other), maker.wait_for(one, other, count=2)
    assert reader.take_answer(first) is None

    maker.fulfil(other)

    assert reader.take_answer(first) == m.Ready(first, (), (other,))
    assert maker.take_answer(both) is None
    maker.fulfil(one)
    assert maker.take_answer(both) == m.Ready(both, (), (one, other))


def test_names_and_objects_are_waited_for_together(maker: PureClient, reader: PureClient):
    id = held(maker)
    number = reader.post(m.Wait, ("x",), 2, 0, (id,))
    reader.store.work()
    maker.fulfil(id)
    assert reader.take_answer(number) is None

    maker.publish("x")

    assert reader.take_answer(number) == m.Ready(number, ("x",), (id,))


def test_what_is_there_or_gone_is_not_waited_for(maker: PureClient, reader: PureClient):
    there, pending, gone = maker.publish(""), held(maker), 77

    assert reader.ask(m.Wait, (), 2, 0, (there, pending, gone)).ids == (there, gone)
    assert reader.ask(m.Wait, (), 0, 0, (pending,)).ids == ()


def test_when_its_maker_ends_it_is_lost_to_who_waits_and_to_who_asks_later(
    store: PureStore, maker: PureClient, reader: PureClient
):
    id = held(maker)
    assert reader.lease_id(id)
    number = reader.wait_for(id)
    assert reader.ask(m.Info, "", id).object.state == "pending"

    maker.hang_up()

    assert reader.take_answer(number) == m.Ready(number, (), (id,))
    assert reader.ask(m.Wait, (), 1, 0, (id,)).ids == (id,)
    facts = reader.ask(m.Info, "", id).object
    assert (facts.state, facts.label, facts.holders) == ("lost", "maker.ipynb", (reader.id,))
    assert reason(reader.fulfil(id)) == "invalid-argument"
    reader.let_go(id)
    store.advance(1.0)
    assert state(store, id) == FREE


def test_when_nobody_refers_to_it_who_waits_is_told(store: PureStore, maker: PureClient, reader: PureClient):
    id = maker.pend()
    number = reader.wait_for(id)

    maker.send(m.Drop(id))

    assert reader.take_answer(number) == m.Ready(number, (), (id,))


def test_who_hung_up_waits_no_longer(store: PureStore, maker: PureClient, reader: PureClient):
    id = held(maker)
    reader.wait_for(id)
    reader.hang_up()

    maker.fulfil(id)

    assert len(store.core.inquiries._waiters) == 0


# --- Living -----------------------------------------------------------------------------------------------------------


def test_it_lives_while_anybody_refers_to_it(store: PureStore, maker: PureClient, reader: PureClient):
    id = held(maker)
    assert reader.lease_id(id)
    maker.send(m.Drop(id))
    maker.let_go(id)
    store.advance(60.0)
    assert state(store, id) == PENDING

    reader.let_go(id)
    store.work()

    assert state(store, id) == DROPPED
    store.advance(GRACE)
    assert state(store, id) == FREE


def test_a_pickled_reference_keeps_it(store: PureStore, maker: PureClient, reader: PureClient):
    id = held(maker)
    assert reader.lease_id(id)
    reader.send_ref(id)
    reader.hang_up()
    maker.send(m.Drop(id))
    maker.let_go(id)
    store.advance(KEEP - 1)
    assert state(store, id) == PENDING
    assert isinstance(maker.fulfil(id), m.Done)
    store.advance(2)

    assert_nothing_is_left(store)


def test_who_turns_up_during_the_grace_brings_it_back(store: PureStore, maker: PureClient, reader: PureClient):
    id = maker.pend()
    maker.send(m.Drop(id))
    store.work()
    assert state(store, id) == DROPPED

    assert reader.ask(m.Info, "", id).object.state == "pending"

    assert state(store, id) == PENDING
    assert reader.lease_id(id)
    number = reader.wait_for(id)
    maker.hang_up()
    assert reader.take_answer(number) == m.Ready(number, (), (id,)), "who was to make it is known again"


def test_one_that_comes_back_when_its_maker_has_ended_is_lost(store: PureStore, maker: PureClient, reader: PureClient):
    id = maker.pend()
    maker.hang_up()
    assert state(store, id) == DROPPED

    assert reader.ask(m.Info, "", id).object.state == "lost"

    store.advance(2.0)
    assert state(store, id) == FREE


@pytest.mark.parametrize("is_made", [True, False])
def test_one_that_ends_in_the_same_look_as_what_contained_it_does_not_come_back(
    store: PureStore, maker: PureClient, is_made: bool
):
    id = maker.publish("") if is_made else maker.pend()
    assert maker.lease_id(id)
    maker.send(m.Drop(id))
    generation, _ = maker.table.entry(slot_of(id))
    maker.table.write(slot_of(id), generation, 0)
    maker.send(m.Hint(id))
    assert maker.lease_id(id) is False, "it is ending"
    maker.table.write(slot_of(id), generation, 1)  # somebody had it, and was not seen
    box = maker.publish("", b"", (id,))
    maker.table.write(slot_of(id), generation, 0)
    maker.send(m.Drop(box))
    store.core.deadline(store.now)  # from now on its grace counts
    store.now += 10 * GRACE

    store.settle()

    assert_nothing_is_left(store)


def test_it_cannot_be_deleted(store: PureStore, maker: PureClient):
    id = held(maker)

    assert reason(maker.ask(m.Delete, "", id)) == "invalid-argument"

    assert state(store, id) == PENDING


def test_it_is_listed_and_counted(maker: PureClient):
    id = held(maker)

    (facts,) = maker.ask(m.List, 0, True).objects
    assert (facts.id, facts.state, facts.nbytes, facts.version, facts.created_ns > 0) == (id, "pending", 0, 1, True)
    assert maker.ask(m.List, 0, False).objects == ()
    assert maker.ask(m.Stats).objects == 1


def test_ten_thousand_of_them_take_no_memory(maker: PureClient):
    store = maker.store
    ids = [held(maker) for _ in range(10_000)]

    assert (store.ledger.used, store.ledger.reserved, len(store.ledger.objects)) == (0, 0, 10_000)
    for id in ids:
        maker.send(m.Drop(id))
        maker.let_go(id)
    store.advance(5.0)
    assert_nothing_is_left(store)
