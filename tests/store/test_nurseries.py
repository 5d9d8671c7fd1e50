"""Objects made without asking: what a ring says counts before whatever is said afterwards, and an idle store rests."""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import pytest
from crashed import Crashed
from pure_store import MIB, Nursery, Piece, PureClient, PureStore, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store.extents import LARGE, PAGE
from jupyter_shm.store.nurseries import BATCH, LARGEST, LEAST, LOOK, MAX_NURSERIES, MAX_SLOTS, SHARE
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.tables.layout import FREE, LIVE, RESERVED, slot_of
from jupyter_shm.tables.prefix import pack_prefix
from jupyter_shm.tables.ring import COMMIT, DROP, RING

KIB = 1 << 10


@pytest.fixture
def store() -> PureStore:
    return PureStore(64 * MIB, 256 * MIB)


def is_live(store: PureStore, id: int) -> bool:
    """Does the index say so, and do the books?"""
    said = store.reader.state(slot_of(id)) == id >> 20 << 8 | LIVE
    known = store.ledger.objects.get(id)
    assert said == (known is not None and known.state == LIVE)
    return said


def assert_nothing_is_left(store: PureStore) -> None:
    store.advance_to_rest()
    ledger = store.ledger
    ledger.check()
    assert (ledger.objects, ledger.reservations) == ({}, {})
    assert (ledger.used, ledger.reserved, ledger.extents.pages_used) == (0, 0, 0)
    assert all(slot.state & 0xFF == FREE for slot in store.reader.slots())


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


# --- The ends of objects ----------------------------------------------------------------------------------------------


def test_what_was_made_and_dropped_before_anybody_looked_leaves_nothing(store: PureStore, client: PureClient):
    nursery = client.nursery()
    before = store.ledger.extents.pages_used
    piece = nursery.cut(b"z" * 3 * PAGE)
    done: list[type] = []
    store.on_action = lambda action: done.append(type(action))

    client.write_drop(client.write(piece))
    client.ring()

    assert a.Publish not in done
    assert store.state_of(piece.id) == FREE
    assert store.ledger.objects == {}
    assert store.ledger.extents.pages_used == before - 3
    assert (piece.offset, 3 * PAGE) in store.punched
    store.ledger.check()
    client.send(m.Abandon(nursery.id))
    assert_nothing_is_left(store)


def test_what_is_dropped_by_the_ring_waits_for_its_readers(store: PureStore, client: PureClient, other: PureClient):
    piece = client.nursery().cut(b"held")
    id = client.announce(piece)
    other.table.add(slot_of(id), id >> 20)
    client.write_drop(id)
    store.advance(1.0)

    assert not is_live(store, id)
    assert store.heap[piece.offset + piece.nbytes - 4 : piece.offset + piece.nbytes] == b"held"

    other.let_go(id)
    store.advance(1.0)
    assert store.ledger.objects == {}


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
@pytest.mark.parametrize("sizes", [(64, 300, 5000, 64), (2 * PAGE, PAGE, 3 * PAGE, PAGE)], ids=str)
def test_pieces_may_be_committed_in_any_order_and_by_any_way(
    store: PureStore, client: PureClient, order: tuple[int, ...], sizes: tuple[int, ...]
):
    nursery = client.nursery(LEAST, 6)
    pieces = [
        nursery.try_cut(pack_prefix((), b"") + bytes([number]) * (size - 64)) for number, size in enumerate(sizes)
    ]
    for number, at in enumerate(order):
        if number % 2:
            assert isinstance(client.commit_piece(pieces[at], f"n{at}"), m.Committed)
        else:
            client.announce(pieces[at])
        store.ledger.check()
        assert all(slot_of(one.id) for one in pieces)
    client.send(m.Abandon(nursery.id))
    store.ledger.check()

    assert all(is_live(store, piece.id) for piece in pieces)
    for number, piece in enumerate(pieces):
        assert store.heap[piece.offset + 64 : piece.offset + piece.nbytes] == bytes([number]) * (piece.nbytes - 64)
    assert store.ledger.reserved == 0
    client.hang_up()
    for at in order[1::2]:
        store.connect().ask(m.Delete, f"n{at}", 0)
    store.clients.clear()
    assert_nothing_is_left(store)


def test_what_is_passed_over_stays_the_clients_until_the_nursery_is_given_back(
    store: PureStore, client: PureClient, other: PureClient
):
    nursery = client.nursery(LEAST, 8)
    open_piece, later = nursery.cut(b"o" * 10_000), nursery.cut(b"l")
    client.announce(later)

    for nbytes in (64, 10_000, PAGE, LARGE):
        taken = other.reserve(nbytes)
        assert taken.offset + nbytes <= open_piece.offset or taken.offset >= open_piece.offset + LEAST

    client.announce(open_piece)
    store.advance(LOOK)
    assert is_live(store, open_piece.id)


@pytest.mark.parametrize("is_hung_up", [False, True])
def test_what_is_left_of_a_nursery_goes_back_with_its_gaps_and_promises(
    store: PureStore, client: PureClient, other: PureClient, is_hung_up: bool
):
    nursery = client.nursery(LEAST, 8)
    pieces = [nursery.cut(b"p" * 5000) for _ in range(5)]
    for at in (1, 3):
        client.announce(pieces[at])
    client.commit_piece(pieces[4], "named")
    assert store.ledger.reservations[nursery.id].gaps

    if is_hung_up:
        client.write(pieces[0])  # nobody has read it: it never was
        client.hang_up()
    else:
        client.send(m.Abandon(nursery.id))
    store.advance_to_rest()

    store.ledger.check()
    assert store.ledger.reservations == {}
    kept = {pieces[4].id} if is_hung_up else {pieces[1].id, pieces[3].id, pieces[4].id}
    assert set(store.ledger.objects) == kept
    assert store.ledger.reserved == 0
    for id in (nursery.id, *nursery.granted.ids):
        assert store.state_of(id) == (LIVE if id in kept else FREE)
    other.ask(m.Delete, "named", 0)
    for one in tuple(store.clients.values()):
        one.hang_up()
    assert_nothing_is_left(store)


def test_a_piece_of_a_nursery_that_was_given_back_is_nobodys(store: PureStore, client: PureClient):
    nursery = client.nursery()
    piece, late = nursery.cut(), nursery.cut()
    client.send(m.Abandon(nursery.id))

    client.announce(piece)

    assert reason(client.commit_piece(late, "late")) == "bad-reservation"
    assert_nothing_is_left(store)


def test_cancelling_what_has_no_number_ends_no_object_of_the_ring(store: PureStore, client: PureClient):
    nursery = client.nursery()
    id = client.announce(nursery.cut())

    client.send(m.Cancel(0))
    assert is_live(store, id)
    assert nursery.id in store.ledger.reservations

    client.send(m.Cancel(nursery.granted.number))
    assert is_live(store, id)
    assert store.ledger.reservations == {}
    store.ledger.check()


# --- Names out of a nursery -------------------------------------------------------------------------------------------


def test_a_piece_is_published_under_a_name_and_replaces_what_it_meant(
    store: PureStore, client: PureClient, other: PureClient
):
    nursery = client.nursery()
    first = client.commit_piece(nursery.cut(b"1st"), "x")
    second = client.commit_piece(nursery.cut(b"2nd"), "x")

    assert (first.version, second.version, second.replaced_version) == (1, 2, 1)
    assert store.bytes_of("x")[-3:] == b"2nd"
    assert other.put("x", b"3rd").version == 3
    assert client.commit_piece(nursery.cut(b"4th"), "x").version == 4
    store.advance_to_rest()
    assert [object.version for object in store.ledger.objects.values()] == [4]
    store.ledger.check()


def test_a_refused_piece_can_be_committed_still(store: PureStore, client: PureClient, other: PureClient):
    other.publish("x", b"theirs")
    nursery = client.nursery()
    piece = nursery.cut(b"mine")

    assert reason(client.commit_piece(piece, "x", overwrite=False)) == "exists"
    assert reason(client.commit_piece(piece, "a\0b")) == "invalid-name"
    gone = nursery.cut(b"", (1 << 40,))
    assert reason(client.commit_piece(gone, "y")) == "contained-gone"
    assert store.state_of(piece.id) == RESERVED
    assert isinstance(client.commit_piece(piece, "x"), m.Committed)
    assert reason(client.commit_piece(piece, "again")) == "bad-reservation"
    store.ledger.check()


def test_who_waits_for_a_name_is_told_when_it_comes_out_of_a_nursery(client: PureClient, other: PureClient):
    number = other.post(m.Wait, ("x",), 1)
    other.store.work()

    client.commit_piece(client.nursery().cut(), "x")

    assert other.take_answer(number) == m.Ready(number, ("x",))


# --- Liars ------------------------------------------------------------------------------------------------------------


class Liar(NamedTuple):
    """What a lie is made of."""

    mine: Nursery
    theirs: Nursery
    good: Piece
    plain: int = 0  # id of a reservation


LIES = {
    "an id that nobody has": lambda at: (COMMIT, 77 << 20 | 500, at.good.offset, 64, 8, 1),
    "no id": lambda at: (COMMIT, 0, at.good.offset, 64, 8, 1),
    "the nursery's own id": lambda at: (COMMIT, at.mine.id, at.good.offset, 64, 8, 1),
    "another's id": lambda at: (COMMIT, at.theirs.ids[0], at.good.offset, 64, 8, 1),
    "another's id and place": lambda at: (COMMIT, at.theirs.ids[0], at.theirs.granted.offset, 64, 8, 1),
    "another's place": lambda at: (COMMIT, at.mine.ids[0], at.theirs.granted.offset, 64, 8, 1),
    "a place that is misaligned": lambda at: (COMMIT, at.mine.ids[0], at.good.offset + 8, 64, 8, 1),
    "a large one between pages": lambda at: (COMMIT, at.mine.ids[0], at.good.offset + 192, LARGE, 8, 1),
    "a place before it": lambda at: (COMMIT, at.mine.ids[0], at.mine.granted.offset - 64, 64, 8, 1),
    "a place behind it": lambda at: (COMMIT, at.mine.ids[0], at.mine.granted.offset + 2 * LARGE, 64, 8, 1),
    "half behind it": lambda at: (COMMIT, at.mine.ids[0], at.mine.granted.offset + 2 * LARGE - 64, 65, 8, 1),
    "the place of another object": lambda at: (COMMIT, at.mine.ids[0], at.good.offset, 64, 8, 1),
    "a part of another object": lambda at: (COMMIT, at.mine.ids[0], at.good.offset + 64, 640, 8, 1),
    "no bytes": lambda at: (COMMIT, at.mine.ids[0], at.good.offset + 192, 0, 8, 1),
    "more bytes than there are": lambda at: (COMMIT, at.mine.ids[0], at.good.offset, (1 << 64) - 1, 8, 1),
    "an object once more": lambda at: (COMMIT, at.good.id, at.good.offset + 192, 64, 8, 1),
    "words of all ones": lambda _at: (COMMIT, *[(1 << 64) - 1] * 5),
    "a drop of what never was": lambda _at: (DROP, 1 << 50, 0, 0, 0, 0),
    "a drop of another's promise": lambda at: (DROP, at.theirs.ids[0], 0, 0, 0, 0),
    "a drop of its nursery": lambda at: (DROP, at.mine.id, 0, 0, 0, 0),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_ring_that_lies_harms_nobody(store: PureStore, client: PureClient, other: PureClient, lie: str):
    mine, theirs = client.nursery(2 * LARGE), other.nursery()
    good = mine.cut(b"g" * 100)
    told = [client.announce(good), other.announce(theirs.cut(b"theirs"))]
    named = client.commit_piece(mine.cut(), "named").id
    before = set(store.ledger.objects)

    client.table.append(LIES[lie](Liar(mine, theirs, good)))
    client.ring()
    store.advance_to_rest()

    assert client.unread == 0
    assert all(is_live(store, id) for id in (*told, named))
    assert set(store.ledger.objects) == before
    store.ledger.check()
    assert is_live(store, client.announce(mine.cut())), "what is true is done still"
    for one in (client, other):
        one.hang_up()
    store.connect().ask(m.Delete, "named", 0)
    assert_nothing_is_left(store)


@pytest.mark.parametrize("whose", ["another's object", "another's name", "a name of its own"])
def test_a_ring_drops_only_anonymous_objects_of_its_client(
    store: PureStore, client: PureClient, other: PureClient, whose: str
):
    client.announce(client.nursery().cut())
    id = {
        "another's object": lambda: other.announce(other.nursery().cut()),
        "another's name": lambda: other.publish("x"),
        "a name of its own": lambda: client.publish("x"),
    }[whose]()

    client.write_drop(id)
    client.ring()
    store.advance_to_rest()

    assert is_live(store, id)


def test_the_largest_facts_are_told_as_what_a_word_holds(store: PureStore, client: PureClient, other: PureClient):
    piece = client.nursery().cut()
    client.table.append((COMMIT, piece.id, piece.offset, piece.nbytes, (1 << 64) - 1, (1 << 64) - 1))

    facts = other.ask(m.Info, "", piece.id).object

    assert (facts.payload, facts.created_ns) == (m.MAX_COUNT, m.MAX_COUNT)


@pytest.mark.parametrize("head", [0, 1, 3, RING + 5, (1 << 64) - 1])
def test_a_head_that_lies_does_nothing_and_keeps_nobody_awake(
    store: PureStore, client: PureClient, other: PureClient, head: int
):
    nursery = client.nursery()
    ids = [client.announce(nursery.cut()) for _ in range(2)]
    store.advance(LOOK)
    client.table.words[2] = head

    client.send(m.Ring())
    other.ask(m.Stats)
    store.advance(1.0)

    assert store.core.deadline(store.now) is None
    assert set(store.ledger.objects) == set(ids)


COMMITS = {
    "a nursery as if it were a reservation": lambda at: (at.mine.id, "x", 64, 1, 1, True),
    "a reservation as if it were a nursery": lambda at: (
        at.plain, "x", 64, 1, 1, True, at.good.id, at.good.offset,
    ),
    "an id that was not promised": lambda at: (at.mine.id, "x", 64, 1, 1, True, 7, at.good.offset),
    "a place outside": lambda at: (at.mine.id, "x", 64, 1, 1, True, at.good.id, 0),
    "a place that is misaligned": lambda at: (
        at.mine.id, "x", 64, 1, 1, True, at.good.id, at.good.offset + 1,
    ),
    "more bytes than there are": lambda at: (
        at.mine.id, "x", m.MAX_COUNT, 1, 1, True, at.good.id, at.good.offset,
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", COMMITS)
def test_a_commit_that_lies_is_refused_and_changes_nothing(store: PureStore, client: PureClient, lie: str):
    nursery, plain = client.nursery(), client.reserve(200).id
    piece = nursery.cut(b"p")

    answer = client.ask(m.Commit, *COMMITS[lie](Liar(nursery, nursery, piece, plain)))

    assert reason(answer) in {"bad-reservation", "bad-header"}
    assert store.ledger.objects == {}
    store.ledger.check()
    assert isinstance(client.commit_piece(piece, "x"), m.Committed)


def test_a_stranger_commits_nothing_out_of_a_nursery(store: PureStore, client: PureClient, other: PureClient):
    piece = client.nursery().cut()

    assert reason(other.commit_piece(piece, "x")) == "bad-reservation"
    other.send(m.Abandon(piece.nursery))
    assert is_live(store, client.announce(piece))


# --- Holes that others have got ---------------------------------------------------------------------------------------


def spent(store: PureStore, client: PureClient, piece: Piece) -> None:
    """An object that was made, dropped and freed: its bytes are anybody's."""
    client.announce(piece)
    client.write_drop(piece.id)
    client.ring()
    store.advance(1.0)
    assert piece.id not in store.ledger.objects


def test_the_next_store_leaves_a_hole_in_a_nursery_to_whoever_has_got_it(
    store: PureStore, client: PureClient, other: PureClient
):
    nursery = client.nursery(4 * LARGE)
    spent(store, client, nursery.cut(b"x" * (LARGE - 64)))
    kept = nursery.cut(b"k")
    theirs = other.reserve(LARGE)
    assert theirs.offset == nursery.granted.offset

    ledger = Crashed(store).restore().ledger

    ledger.check()
    spans = ledger.reservations[nursery.id].spans()
    assert any(start <= kept.offset < end for start, end in spans)
    assert all(end <= theirs.offset or start >= theirs.offset + LARGE for start, end in spans)


def test_the_next_store_leaves_a_hole_over_two_nurseries_to_whoever_has_got_it(
    store: PureStore, client: PureClient, other: PureClient
):
    """The first one's end, what was between them, and the beginning of the second one."""
    first = client.nursery(LARGE)
    between = other.reserve(LARGE)
    second = client.nursery(LARGE)
    assert first.granted.offset + 2 * LARGE == between.offset + LARGE == second.granted.offset
    head, tail = first.cut(b"h" * (LARGE // 2 - 64)), first.cut(b"t" * (LARGE // 2 - 64))
    spent(store, client, tail)
    spent(store, client, second.cut(b"s" * (LARGE // 2 - 64)))
    other.send(m.Abandon(between.id))
    theirs = other.reserve(2 * LARGE)
    assert theirs.offset == tail.offset

    restored = Crashed(store).restore().ledger

    restored.check()
    assert theirs.id in restored.reservations
    assert any(start <= head.offset < end for start, end in restored.reservations[first.id].spans())


def test_a_nursery_in_a_hole_of_an_older_one_is_restored_with_it(
    store: PureStore, client: PureClient, other: PureClient
):
    old = client.nursery(4 * LARGE)
    spent(store, client, old.cut(b"x" * (2 * LARGE - 64)))
    young = other.nursery(LARGE)
    assert young.granted.offset == old.granted.offset
    open_old, open_young = old.cut(b"old"), young.cut(b"young")
    for one in (young.cut(b"1"), young.cut(b"2")):
        other.announce(one)

    restored = Crashed(store).restore().ledger

    restored.check()
    for piece in (open_old, open_young):
        entry = restored.reservations[piece.nursery]
        assert piece.id in entry.promised
        assert any(start <= piece.offset and piece.offset + 64 <= end for start, end in entry.spans())
