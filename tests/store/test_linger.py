"""A store with objects and without clients: after a while it takes no more than it needs."""

from __future__ import annotations

import pytest
from pure_store import PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.extents import HUGE, PAGE
from jupyter_shm.store.linger import LINGER, Linger
from jupyter_shm.store.reserve import FORGET, QUIET

WARM = 2 * HUGE


@pytest.fixture
def retreats(store: PureStore, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When what is not pinned was to be spilled."""
    times: list[float] = []

    def spill_unpinned(now: float) -> list[object]:
        times.append(now)
        return []

    monkeypatch.setattr(store.core, "_spill_unpinned", spill_unpinned)
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


def test_the_end_is_said_once():
    linger = Linger()
    assert linger.deadline(10.0) == 10.0 + LINGER
    assert not linger.look(9.0 + LINGER)
    assert linger.look(10.0 + LINGER)
    assert not linger.look(11.0 + LINGER)
    assert linger.deadline(12.0 + LINGER) is None

    linger.end()

    assert linger.deadline(99.0) == 99.0 + LINGER
