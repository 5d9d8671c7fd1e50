"""When objects end: never before their grace, never under a lease, and soon after the last one is let go."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pure_store import PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store import reclaim
from jupyter_shm.store.ledger import FIRST_BACKOFF
from jupyter_shm.store.reclaim import GRACE, LAST_BACKOFF
from jupyter_shm.tables.layout import slot_of


def looks(store: PureStore, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times at which the store looks whether anybody holds an object, from now on."""
    times: list[float] = []
    keep = reclaim.Reclaim._keep
    monkeypatch.setattr(reclaim.Reclaim, "_keep", lambda self, held, now: (times.append(now), keep(self, held, now)))
    return times


# --- Law 1: a whole grace ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [0.0, GRACE / 2, GRACE * 0.99, GRACE, 1.0, 1000.0])
@pytest.mark.parametrize("event", ["settle", "deadline", "message", "hang-up"])
def test_a_grace_begins_when_its_state_word_was_surely_written_however_late_that_is_known(
    store: PureStore, client: PureClient, late: float, event: str
):
    other = store.connect()
    id = client.put("x").id
    client.post(m.Delete, "x", 0)

    # The actions of that call took this long; the next event is the first to know that they are done.
    store.now += late
    if event == "settle":
        store.settle()
    elif event == "deadline":
        store.core.deadline(store.now)
    elif event == "message":
        other.post(m.Stats)
    else:
        other.hang_up()
    begun = store.now
    store.now = begun + GRACE * 0.999
    store.settle()
    assert id in store.ledger.objects

    store.now = begun + GRACE
    store.settle()
    assert id not in store.ledger.objects


@pytest.mark.parametrize("how", ["overwrite", "drop", "cancel", "hang-up", "delete by id"])
def test_whatever_ends_an_object_it_has_a_grace(store: PureStore, client: PureClient, how: str):
    store.connect()
    committed = client.put("x" if how in {"overwrite", "delete by id"} else "")
    if how == "overwrite":
        client.put("x")
    elif how == "drop":
        client.send(m.Drop(committed.id))
    elif how == "cancel":
        client.send(m.Cancel(committed.number))
    elif how == "delete by id":
        client.ask(m.Delete, "", committed.id)
    else:
        client.hang_up()
    store.core.deadline(store.now)

    store.now += GRACE * 0.999
    store.settle()
    assert committed.id in store.ledger.objects
    store.now += GRACE * 0.002
    store.settle()
    assert committed.id not in store.ledger.objects


def test_a_hint_does_not_cut_a_grace_short(store: PureStore, client: PureClient):
    id = client.put("x").id
    client.ask(m.Delete, "x", 0)

    client.send(m.Hint(id))
    store.now += GRACE / 2
    client.send(m.Hint(id))
    store.work()

    assert id in store.ledger.objects


def test_a_hint_for_a_live_object_does_nothing(store: PureStore, client: PureClient):
    id = client.put("x").id

    client.send(m.Hint(id))
    store.advance(100.0)

    assert store.bytes_of("x")
    assert id in store.ledger.objects


def test_a_lease_written_in_the_last_moment_of_the_grace_counts(store: PureStore, client: PureClient):
    reader = store.connect()
    client.put("x")
    taking = reader.lease_steps("x")
    next(taking)
    client.ask(m.Delete, "x", 0)
    store.now += GRACE * 0.9
    next(taking)
    store.now += GRACE
    store.settle()

    assert len(store.ledger.objects) == 1
    with pytest.raises(StopIteration):
        next(taking)
    assert taking.id is None, "step 3 saw that it was no longer LIVE"


def test_a_reader_that_comes_back_after_the_end_takes_nothing(store: PureStore, client: PureClient):
    reader = store.connect()
    client.put("x")
    taking = reader.lease_steps("x")
    next(taking)
    client.ask(m.Delete, "x", 0)
    store.advance_to_rest()
    client.put("y")  # into the same slot, perhaps

    assert list(taking) == [None]
    assert taking.id is None
    assert [count for _, _, count, _ in reader.table.touched_slots()] == [0]


# --- Laws 2 and 3: looks ----------------------------------------------------------------------------------------------


def test_a_held_object_stays_and_is_told_as_held(store: PureStore, client: PureClient):
    id = client.put("x", b"data").id
    client.lease("x")
    client.ask(m.Delete, "x", 0)
    assert client.ask(m.Stats).held == 0

    store.advance(GRACE)

    assert client.ask(m.Stats).held == store.ledger.objects[id].extent
    assert client.ask(m.Info, "", id).object.state == "held"


def test_a_hint_leads_to_a_look_without_time_going_on(store: PureStore, client: PureClient):
    id = client.put("x").id
    client.lease("x")
    client.ask(m.Delete, "x", 0)
    store.advance(100.0)

    client.let_go(id)
    store.work()

    assert store.ledger.objects == {}
    assert store.ledger.held == 0


def test_looks_without_a_hint_come_after_ever_longer_times(
    store: PureStore, client: PureClient, monkeypatch: pytest.MonkeyPatch
):
    client.put("x")
    client.lease("x")
    client.ask(m.Delete, "x", 0)
    times = looks(store, monkeypatch)

    store.advance(300.0)

    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[0] == pytest.approx(FIRST_BACKOFF)
    assert all(after == pytest.approx(min(2 * before, LAST_BACKOFF)) for before, after in pairwise(pauses))
    assert pauses[-1] == pytest.approx(LAST_BACKOFF)


def test_a_lost_hint_costs_memory_for_half_a_minute_at_most(store: PureStore, client: PureClient):
    id = client.put("x").id
    client.lease("x")
    client.ask(m.Delete, "x", 0)
    store.advance(200.0)
    client.table.write(slot_of(id), id >> 20, 0)

    store.advance(LAST_BACKOFF)

    assert store.ledger.objects == {}


def test_a_store_with_nothing_dying_has_nothing_to_look_at(store: PureStore, client: PureClient):
    client.put("x")

    assert store.core.deadline(store.now) is None


def test_a_thousand_ends_at_once_are_worked_off_in_parts(
    store: PureStore, client: PureClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reclaim, "BATCH", 10)
    for number in range(25):
        client.put(f"n{number}")
    for number in range(25):
        client.ask(m.Delete, f"n{number}", 0)
    store.core.deadline(store.now)
    store.now += GRACE

    left = []
    for _ in range(3):
        store.settle()
        left.append(len(store.ledger.objects))

    assert left == [15, 5, 0]


def test_a_slot_is_free_in_the_index_before_its_pages_are_punched(store: PureStore, client: PureClient):
    client.put("x", bytes(100_000))
    client.ask(m.Delete, "x", 0)
    done: list[a.Action] = []
    store.on_action = done.append

    store.advance(GRACE)

    assert [type(action) for action in done] == [a.SetState, a.Punch]
