"""A store with objects and without clients: after a while it takes no more than it needs."""

from __future__ import annotations

import pytest
from pure_spill import fill, fill_all, spilled
from pure_store import MIB, PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.extents import HUGE, PAGE
from jupyter_shm.store.linger import LINGER, Linger
from jupyter_shm.store.reserve import FORGET, QUIET

WARM = 2 * HUGE


@pytest.fixture
def store() -> PureStore:
    """Room for four objects, and a disk for many."""
    return PureStore(64 * MIB, disk=64 * MIB)


@pytest.fixture
def retreats(store: PureStore) -> list[float]:
    """When the reserve was given up because nobody had come for long."""
    times: list[float] = []
    retreat = store.ledger.warm.retreat

    def note(now: float) -> None:
        times.append(now)
        retreat(now)

    store.ledger.warm.retreat = note  # type: ignore[method-assign]
    return times


def warm_up(store: PureStore) -> None:
    """Let the reserve be what it is to be."""
    store.ledger.warm.target = WARM
    store.ledger.warm.note_put(store.now)
    for _ in range(4):
        store.advance(QUIET)
        if store.warming:
            store.warmed(store.warming[0][1], 0)
    assert store.ledger.warm.nbytes == WARM


def test_the_time_counts_from_the_end_of_the_last_client(
    store: PureStore, client: PureClient, other: PureClient, retreats: list[float]
):
    client.put("x")
    client.hang_up()
    store.advance(2 * LINGER)
    assert retreats == []

    other.hang_up()
    gone = store.now
    store.advance(LINGER - 1)
    assert retreats == []
    store.advance(10 * LINGER)

    assert retreats == [pytest.approx(gone + LINGER)]
    assert store.exit is None
    assert store.core.deadline(store.now) is None


def test_a_client_that_comes_begins_the_time_anew(store: PureStore, client: PureClient, retreats: list[float]):
    client.put("x")
    client.hang_up()
    store.advance(LINGER - 1)

    store.connect().hang_up()
    store.advance(LINGER - 1)
    assert retreats == []
    store.advance(2)
    store.connect().hang_up()
    store.advance(2 * LINGER)

    assert len(retreats) == 2


def test_who_only_watches_is_no_client_that_is_waited_for(store: PureStore, client: PureClient, retreats: list[float]):
    client.put("x")
    store.connect("jupyter-lab", watches=True)
    client.hang_up()
    gone = store.now
    store.advance(LINGER - 1)
    store.connect("jupyter-lab", watches=True).hang_up()
    store.advance(10 * LINGER)

    assert retreats == [pytest.approx(gone + LINGER)]


def test_a_store_without_objects_does_not_linger_but_ends(store: PureStore, client: PureClient, retreats: list[float]):
    client.hang_up()

    store.advance(LINGER)

    assert store.exit
    assert retreats == []


def test_a_store_whose_last_name_expires_while_it_lingers_ends(store: PureStore, client: PureClient):
    client.put_on_terms("x", ttl=2 * LINGER)
    client.hang_up()

    store.advance(2 * LINGER + 60)
    assert store.exit is None
    store.advance(LINGER)

    assert store.exit


def test_the_time_may_be_set(store: PureStore, client: PureClient, retreats: list[float]):
    store.core.linger.seconds = 5.0
    client.put("x")
    client.hang_up()

    store.advance(5.0)

    assert len(retreats) == 1


def test_the_reserve_is_given_back_and_not_made_again_before_somebody_comes(store: PureStore, client: PureClient):
    store.core.linger.seconds = FORGET / 2  # the reserve itself would wait for longer
    client.put("x", bytes(PAGE))
    warm_up(store)
    client.hang_up()
    store.advance(FORGET / 2 - 1)
    assert store.ledger.warm.nbytes == WARM

    store.advance(30.0)
    assert store.ledger.warm.nbytes == 0
    assert not store.warming
    assert store.core.deadline(store.now) is None
    store.ledger.check()

    newcomer = store.connect()
    warm_up(store)
    assert isinstance(newcomer.put("y"), m.Committed)


def test_what_is_not_pinned_leaves_for_the_disk_and_then_the_store_sleeps(store: PureStore, client: PureClient):
    fill_all(client, "abc")
    small = fill(client, "small", PAGE)
    client.ask(m.Pin, "b", 0, True)
    client.hang_up()
    store.advance(LINGER - 1)
    assert spilled(store) == set()

    store.advance(60.0)

    assert spilled(store) == {"a", "c"}
    assert not store.ledger.objects[small].is_spilled
    assert store.core.deadline(store.now) is None
    newcomer = store.connect()
    fill(newcomer, "d")
    store.advance(60.0)
    assert spilled(store) == {"a", "c"}


@pytest.mark.parametrize("trouble", ["Input/output error", "No space left on device"])
def test_a_disk_that_takes_nothing_does_not_keep_it_awake(store: PureStore, client: PureClient, trouble: str):
    fill_all(client, "abc")
    client.hang_up()
    if trouble.startswith("No"):
        store.disk = 0
    store.copies = False
    store.advance(LINGER)
    assert store.copying
    store.copied(trouble)
    store.copies = True

    store.advance(60.0)

    assert store.core.deadline(store.now) is None


def test_who_comes_while_they_leave_finds_them_in_memory(store: PureStore, client: PureClient):
    fill_all(client, "abc")
    client.hang_up()
    store.copies = False
    store.advance(LINGER)
    assert store.copying

    newcomer = store.connect()
    newcomer.lease("a")
    newcomer.lease("b")
    newcomer.lease("c")
    store.copies = True
    store.advance(60.0)

    assert spilled(store) == set()


def test_the_end_is_said_once():
    linger = Linger()
    assert linger.deadline(10.0) == 10.0 + LINGER
    assert not linger.look(9.0 + LINGER)
    assert linger.look(10.0 + LINGER)
    assert not linger.look(11.0 + LINGER)
    assert linger.deadline(12.0 + LINGER) is None

    linger.end()

    assert linger.deadline(99.0) == 99.0 + LINGER
