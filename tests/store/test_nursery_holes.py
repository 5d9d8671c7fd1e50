"""Nurseries after a store that died: what was cut out, freed and given to others is theirs, and all else the client's."""

from __future__ import annotations

import pytest
from crashed import Crashed
from pure_parts import Piece
from pure_store import MIB, PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.extents import LARGE


@pytest.fixture
def store() -> PureStore:
    return PureStore(64 * MIB, 256 * MIB)


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


@pytest.mark.parametrize("is_first_older", [True, False])
def test_the_next_store_leaves_a_hole_over_two_nurseries_to_whoever_has_got_it(
    store: PureStore, client: PureClient, other: PureClient, is_first_older: bool
):
    """The first one's end, what was between them, and the beginning of the second one."""
    if is_first_older:
        first, between, second = client.nursery(LARGE), other.reserve(LARGE), client.nursery(LARGE)
    else:
        place, between, second = other.reserve(LARGE), other.reserve(LARGE), client.nursery(LARGE)
        other.send(m.Abandon(place.id))
        first = client.nursery(LARGE)
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
