"""Rings and commits that lie harm nobody: not the store, nor others, nor what the liar has said truly before."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from pure_parts import Nursery, Piece
from pure_store import MIB, PureClient, PureStore, assert_nothing_is_left, is_live, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.extents import LARGE
from jupyter_shm.store.nurseries import LOOK
from jupyter_shm.tables.ring import COMMIT, DROP, RING


@pytest.fixture
def store() -> PureStore:
    return PureStore(64 * MIB, 256 * MIB)


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
    "a place that is misaligned": lambda at: (COMMIT, at.mine.ids[0], at.good.offset + 520, 64, 8, 1),
    "a large one between pages": lambda at: (COMMIT, at.mine.ids[0], at.good.offset + 512, LARGE, 8, 1),
    "a place before it": lambda at: (COMMIT, at.mine.ids[0], at.mine.granted.offset - 64, 64, 8, 1),
    "a place behind it": lambda at: (COMMIT, at.mine.ids[0], at.mine.granted.offset + 2 * LARGE, 64, 8, 1),
    "half behind it": lambda at: (COMMIT, at.mine.ids[0], at.mine.granted.offset + 2 * LARGE - 64, 65, 8, 1),
    "the place of another object": lambda at: (COMMIT, at.mine.ids[0], at.good.offset, 64, 8, 1),
    "a part of another object": lambda at: (COMMIT, at.mine.ids[0], at.good.offset + 64, 640, 8, 1),
    "no bytes": lambda at: (COMMIT, at.mine.ids[0], at.good.offset + 512, 0, 8, 1),
    "more bytes than there are": lambda at: (COMMIT, at.mine.ids[0], at.good.offset, (1 << 64) - 1, 8, 1),
    "an object once more": lambda at: (COMMIT, at.good.id, at.good.offset + 512, 64, 8, 1),
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
