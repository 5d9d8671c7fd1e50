"""The recent past: what is told of, how it is forgotten, and who is called when something happens."""

from __future__ import annotations

import pytest
from crashed import Crashed, Revived
from pure_store import MIB, WALL, PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store.entries import Object
from jupyter_shm.store.history import AGE, EVENTS, LARGE, History
from jupyter_shm.store.watchers import PAUSE
from jupyter_shm.tables.layout import KERNEL_LIFETIME, PINNED


def told(store: PureStore, after: int = 0) -> list[tuple[str, str, int]]:
    """Kind, name and version of every event behind one."""
    return [(event.kind, event.name, event.version) for event in store.core.history.after(after, EVENTS)[0]]


def large(client: PureClient, nbytes: int = LARGE, name: str = "") -> int:
    """A large object; its id."""
    reserved = client.reserve(nbytes + 64)
    return client.commit(reserved, client.fill(reserved, b""), name, payload=nbytes).id


# --- What is told of --------------------------------------------------------------------------------------------------


def test_the_life_of_a_name_is_told_in_its_order(store: PureStore, client: PureClient, other: PureClient):
    first = client.put("x").id
    store.advance(5.0)
    second = other.put("x").id
    other.ask(m.Pin, "x", 0, True)
    other.ask(m.Pin, "x", 0, False)
    client.ask(m.Expire, "x", 0, 10**9)
    store.advance(2.0)
    client.put("x")
    client.ask(m.Delete, "x", 0)

    events = client.ask(m.Events, 0).events

    assert [(event.kind, event.id, event.who) for event in events][:6] == [
        ("publish", first, "a.ipynb"),
        ("overwrite", second, "other.ipynb"),
        ("pin", second, "other.ipynb"),
        ("unpin", second, "other.ipynb"),
        ("ttl", second, "a.ipynb"),
        ("expire", second, ""),
    ]
    assert told(store)[6:] == [("publish", "x", 1), ("delete", "x", 1)]
    assert [event.sequence - events[0].sequence for event in events] == list(range(8))
    assert [event.time - WALL - 1000 for event in events][:3] == pytest.approx([0.0, 5.0, 5.0])
    assert {event.nbytes for event in events} == {8}


def test_what_is_refused_is_no_event(store: PureStore, client: PureClient):
    client.put("x", overwrite=False)
    before = store.core.history.last

    client.put("x", overwrite=False)
    client.ask(m.Delete, "y", 0)
    client.ask(m.Pin, "y", 0, True)
    client.ask(m.Expire, "y", 0, 5)

    assert store.core.history.last == before


def test_objects_without_a_name_are_told_of_when_they_are_large():
    store = PureStore(600 * MIB, 1024 * MIB)
    client = store.connect()
    nursery = client.nursery(2 * MIB)
    large(client, LARGE - 1)
    by_message = large(client, LARGE)
    by_ring = client.write(nursery.cut(bytes(100)), payload=LARGE)
    client.write(nursery.cut(bytes(100)), payload=LARGE - 1)

    events = client.ask(m.Events, 0).events
    assert [(event.kind, event.id, event.nbytes) for event in events] == [
        ("publish", by_message, LARGE),
        ("publish", by_ring, LARGE),
    ]

    client.write_drop(by_ring)
    client.send(m.Drop(by_message))
    assert [(event.kind, event.id) for event in client.ask(m.Events, events[-1].sequence).events] == [
        ("delete", by_ring),
        ("delete", by_message),
    ]


def test_an_unpin_that_ends_a_name_is_two_events(store: PureStore, client: PureClient):
    client.put_on_terms("x", PINNED, 1.0)
    store.advance(2.0)

    client.ask(m.Pin, "x", 0, False)

    assert told(store) == [("publish", "x", 1), ("unpin", "x", 1), ("expire", "x", 1)]


def test_the_end_of_a_client_is_told_with_what_it_takes_along(store: PureStore, client: PureClient, other: PureClient):
    client.put_on_terms("mine", KERNEL_LIFETIME)
    client.put("stays")
    client.put("")
    large(client)
    before = store.core.history.last

    client.hang_up()

    events = other.ask(m.Events, before).events
    assert [(event.kind, event.name, event.nbytes, event.who) for event in events] == [
        ("death", "", LARGE, "a.ipynb"),
        ("death", "mine", 8, "a.ipynb"),
        ("death", "", LARGE + 16, "a.ipynb"),
    ]
    assert events[-1].id == 0


def test_who_only_looked_is_not_missed(store: PureStore, client: PureClient, other: PureClient):
    client.put("x")
    other.ask(m.Info, "x", 0)
    other.lease("x")
    before = store.core.history.last

    other.hang_up()
    assert store.core.history.last == before
    client.hang_up()
    assert told(store, before) == [("death", "", 0)]


# --- How it is forgotten ----------------------------------------------------------------------------------------------


def entry(name: str = "x", payload: int = 1) -> Object:
    return Object(1, 1, 1, 1, name, 1, 1, "", 0, 64, 64, payload, 1, 1)


def test_the_oldest_events_are_forgotten_first():
    history = History(5.0)
    for number in range(EVENTS + 10):
        history.note("publish", entry(f"{number}"), "")

    events, has_more, is_lost = history.after(0, EVENTS)

    assert [event.name for event in events] == [f"{number}" for number in range(10, EVENTS + 10)]
    assert (has_more, is_lost) == (False, False)
    assert history.after(events[0].sequence - 1, 1)[2] is False
    assert history.after(events[0].sequence - 2, 1)[2] is True
    assert history.after(history.last, 5) == ([], False, False)


def test_what_is_too_old_is_forgotten_also_when_nothing_else_happens():
    history, now = History(1.0), [1000.0]
    history.wall = lambda: now[0]
    history.note("publish", entry(), "")
    now[0] += AGE
    assert len(history.after(0, 5)[0]) == 1

    now[0] += 1.0
    assert history.after(0, 5) == ([], False, False)
    assert history.after(history.last - 1, 5) == ([], False, True)
    history.note("publish", entry("y"), "")
    now[0] += AGE + 1
    history.note("publish", entry("z"), "")

    assert [event.name for event in history.after(0, 5)[0]] == ["z"]
    assert len(history) == 1


def test_a_clock_that_is_set_back_does_not_let_the_ring_grow():
    history, now = History(0.0), [1e9]
    history.wall = lambda: now[0]
    for number in range(2 * EVENTS):
        now[0] -= 1
        history.note("publish", entry(f"{number}"), "")

    assert len(history) == EVENTS


def test_events_come_in_pages(store: PureStore, client: PureClient):
    for number in range(2 * m.PAGE_EVENTS + 5):
        client.put(f"{number}")
    names, after = [], 0

    for _ in range(3):
        past = client.ask(m.Events, after)
        names += [event.name for event in past.events]
        after = past.last

    assert names == [f"{number}" for number in range(2 * m.PAGE_EVENTS + 5)]
    assert not past.has_more
    assert client.ask(m.Events, after).events == ()
    assert client.ask(m.Events, m.MAX_COUNT) == m.Past(client._number, (), after, False, False)


def test_a_store_that_starts_anew_begins_with_that_and_its_numbers_are_higher(store: PureStore, client: PureClient):
    for _ in range(50):
        client.put("x")
    last = store.core.history.last
    crashed = Crashed(store)
    store.now += 0.01

    revived = Revived(store, crashed)

    events, _, is_lost = revived.core.history.after(last, 5)
    assert [event.kind for event in events] == ["restart"]
    assert events[0].sequence > last
    assert is_lost


def test_what_ended_while_no_store_lived_is_told_after_the_restart(store: PureStore, client: PureClient):
    client.put_on_terms("mine", KERNEL_LIFETIME)
    client.put_on_terms("short", ttl=1.0)
    large(client)
    crashed = Crashed(store)
    store.noted.discard(client.conn)
    store.now += 2.0

    revived = Revived(store, crashed)
    revived.work()

    assert [kind for kind, _, _ in told(revived)] == ["restart", "death", "death", "expire"]


# --- Who is called ----------------------------------------------------------------------------------------------------


@pytest.fixture
def watcher(store: PureStore) -> PureClient:
    """Waits for the next event."""
    watcher = store.connect("watcher.ipynb", watches=True)
    watcher.ask(m.Events, m.MAX_COUNT)
    watcher.answers.clear()
    return watcher


def test_a_watcher_is_called_at_the_next_event_and_not_again_before_it_has_looked(
    store: PureStore, client: PureClient, watcher: PureClient
):
    store.advance(1.0)
    assert watcher.answers == []

    client.put("x")
    store.work()
    assert watcher.answers == [m.Changed(0, store.core.history.last)]
    client.put("y")
    store.advance(10.0)
    assert len(watcher.answers) == 1

    past = watcher.ask(m.Events, store.core.history.last - 2)
    assert [event.name for event in past.events] == ["x", "y"]
    store.advance(1.0)
    assert len(watcher.answers) == 1
    client.put("z")
    store.advance(1.0)
    assert len(watcher.answers) == 2


def test_what_happened_before_the_last_look_was_answered_calls_at_once(store: PureStore, client: PureClient):
    client.put("x")
    watcher = store.connect(watches=True)
    for number in range(m.PAGE_EVENTS + 1):
        client.put(f"{number}")
    past = watcher.ask(m.Events, 0)
    assert past.has_more
    store.advance(1.0)
    assert not [answer for answer in watcher.answers if isinstance(answer, m.Changed)]

    watcher.ask(m.Events, past.last)
    client.put("y")
    store.work()

    assert [answer for answer in watcher.answers if isinstance(answer, m.Changed)]


def test_a_watcher_is_not_called_more_often_than_it_can_make_use_of(
    store: PureStore, client: PureClient, watcher: PureClient
):
    calls = 0
    for _ in range(1000):
        client.put("x")
        store.advance(0.001)
        if watcher.answers:
            calls += 1
            watcher.answers.clear()
            watcher.ask(m.Events, store.core.history.last)

    assert 0.9 / PAUSE <= calls <= 1.1 / PAUSE


def test_who_does_not_watch_is_not_called(store: PureStore, client: PureClient, other: PureClient):
    other.ask(m.Events, m.MAX_COUNT)
    other.answers.clear()

    client.put("x")
    store.advance(10.0)

    assert other.answers == []


def test_a_store_whose_watchers_wait_has_nothing_to_wake_up_for(
    store: PureStore, client: PureClient, watcher: PureClient
):
    client.put("x")
    watcher.ask(m.Events, m.MAX_COUNT)
    store.advance_to_rest()

    assert store.core.deadline(store.now) is None


def test_a_watcher_that_hung_up_is_forgotten(store: PureStore, client: PureClient, watcher: PureClient):
    watcher.hang_up()
    client.put("x")
    store.advance_to_rest()

    assert store.core.deadline(store.now) is None


def test_watchers_are_called_by_the_next_store_whatever_they_had_been_told(
    store: PureStore, client: PureClient, watcher: PureClient
):
    client.put("x")
    store.work()
    revived = Revived(store, Crashed(store))
    called: list[int] = []
    revived._do[a.Send] = lambda action: called.append(action.conn)

    revived.advance(1.0)

    assert called == [watcher.conn]
