"""Objects out of nurseries: in whatever order they are committed, under a name or not, and what is left when they end."""

from __future__ import annotations

from itertools import permutations

import pytest
from pure_store import MIB, PureClient, PureStore, assert_nothing_is_left, is_live, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store.extents import LARGE, PAGE
from jupyter_shm.store.nurseries import LEAST, LOOK
from jupyter_shm.tables.layout import FREE, LIVE, RESERVED, slot_of
from jupyter_shm.tables.prefix import pack_prefix


@pytest.fixture
def store() -> PureStore:
    return PureStore(64 * MIB, 256 * MIB)


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


def test_what_a_ring_told_of_to_nobody_yet_outlives_its_publisher_with_its_readers(
    store: PureStore, client: PureClient, other: PureClient
):
    # A child of a fork has its parent's leases, before the store has read of what they are on.
    piece = client.nursery().cut(b"held")
    gone = client.nursery().cut(b"gone")
    ids = [client.write(piece), client.write(gone)]
    other.table.add(slot_of(ids[0]), ids[0] >> 20)
    client.write_drop(ids[1])

    client.hang_up()
    store.advance(1.0)

    assert store.heap[piece.offset + piece.nbytes - 4 : piece.offset + piece.nbytes] == b"held"
    assert [object.id for object in store.ledger.objects.values()] == [ids[0]]
    store.ledger.check()

    other.let_go(ids[0])
    store.advance(1.0)
    assert store.ledger.objects == {}


def test_what_is_dropped_by_the_ring_waits_for_its_readers(store: PureStore, client: PureClient, other: PureClient):
    piece = client.nursery().cut(b"held")
    id = client.announce(piece)
    other.table.add(slot_of(id), id >> 20)
    client.write_drop(id)
    store.advance(1.0)

    assert is_live(store, id)
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
