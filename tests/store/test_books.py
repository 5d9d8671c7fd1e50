"""The ledger, the waiters, the holders and the report by themselves: what the core's own tests do not reach."""

from __future__ import annotations

import pytest
from pure_store import PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import report
from jupyter_shm.store.entries import Object, Reservation
from jupyter_shm.store.extents import PAGE
from jupyter_shm.store.ledger import Ledger
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.store.waiters import Waiter, Waiters
from jupyter_shm.tables.layout import DYING, object_id

# --- The ledger -------------------------------------------------------------------------------------------------------


def test_pages_that_small_objects_share_are_counted_once():
    ledger = Ledger(1 << 20, 64 << 20)

    reservations = [ledger.reserve(1, number, 1024) for number in range(8)]

    assert ledger.reserved == 2 * PAGE
    for reservation in reservations[:4]:
        ledger.release(reservation)
    assert ledger.reserved == PAGE
    ledger.check()


def test_a_page_that_a_reservation_brought_and_others_still_use_is_never_lost():
    ledger = Ledger(1 << 20, 64 << 20)
    first, second = ledger.reserve(1, 1, 1024), ledger.reserve(1, 2, 1024)

    assert ledger.release(first)[1] == 0
    assert ledger.used + ledger.reserved == PAGE
    assert ledger.release(second) == (0, PAGE)
    assert ledger.used == ledger.reserved == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda ledger: setattr(ledger, "payload", 1),
        lambda ledger: setattr(ledger._sealed, "pages", 7),
        lambda ledger: setattr(next(iter(ledger.objects.values())), "contained", (77,)),
        lambda ledger: setattr(ledger, "in_grace", 1),
        lambda ledger: setattr(ledger, "held", 1),
        lambda ledger: setattr(ledger.extents, "pages_used", 9),
        lambda ledger: ledger.names.clear(),
        lambda ledger: ledger._free_slots.append(0),
        lambda ledger: ledger._free_slots.clear(),
        lambda ledger: setattr(next(iter(ledger.objects.values())), "containers", 1),
    ],
)
def test_books_that_do_not_balance_are_found(store: PureStore, client: PureClient, damage):
    client.put("x")
    client.send(m.Abandon(client.reserve(10).id))
    store.ledger.check()

    damage(store.ledger)

    with pytest.raises(AssertionError):
        store.ledger.check()


# --- Books that were restored -----------------------------------------------------------------------------------------


def sealed(slot: int, offset: int, **facts: object) -> Object:
    """An object of 1 KiB, as a store that died has left it."""
    some = {"name": "", "client": 1, "request": slot + 1, "label": None, "payload": 10, "created_ns": 0, "version": 1}
    id = object_id(slot, 3)
    return Object(id, slot, 3, sequence=slot + 1, offset=offset, extent=1024, nbytes=1000, **{**some, **facts})


def test_restored_books_balance_and_go_on_where_the_others_ended():
    inner = sealed(0, 0, name="inner")
    outer = sealed(4, PAGE + 2048, name="outer", contained=(inner.id,))
    dying = sealed(2, 2 * PAGE, name="outer", state=DYING)
    held = Reservation(object_id(1, 9), 1, 9, client=2, request=5, offset=2048, extent=PAGE)

    ledger = Ledger.restored((20 * PAGE, 64 << 20, 100), [inner, outer, dying], [held], [3, 9, 3, 7, 3, 2], 60)

    ledger.check()
    assert ledger.names == {"inner": inner, "outer": outer}
    assert (ledger.payload, ledger.in_grace, ledger.held) == (30, 1, 0)
    assert (ledger.used, ledger.reserved, ledger.free) == (3 * PAGE, 0, 17 * PAGE)
    assert list(ledger.from_slot(1)) == [dying, outer]
    assert inner.containers == 1
    assert ledger.release(held)[1] == 0
    # The slots that were used before come first, each in its next generation
    taken = [ledger.reserve(1, 1, 64) for _ in range(4)]
    assert [(one.slot, one.generation) for one in taken] == [(1, 10), (3, 8), (5, 3), (6, 1)]
    assert (
        ledger.seal(taken[0], name="", request=2, label="", nbytes=1, payload=0, created_ns=0, version=1).sequence == 61
    )
    ledger.check()


def test_a_label_is_read_when_it_is_first_asked_for(store: PureStore, client: PureClient):
    object = store.ledger.objects[client.publish("x")]
    asked: list[int] = []
    store.ledger.read_label = lambda one: asked.append(one.id) or "b.ipynb"
    assert store.ledger.label(object) == "a.ipynb"

    object.label = None

    assert [store.ledger.label(object) for _ in range(3)] == ["b.ipynb"] * 3
    assert asked == [object.id]


def test_a_label_that_nobody_can_read_is_empty():
    assert Ledger(1 << 20, 64 << 20).label(sealed(0, 0)) == ""


# --- Who waits --------------------------------------------------------------------------------------------------------


def test_waiters_are_found_by_name_and_forgotten_by_request():
    waiters = Waiters()
    one, two = Waiter(1, 5, ("a", "b", "a"), 1), Waiter(2, 5, ("a",), 1)
    waiters.add(one)
    waiters.add(two)
    assert waiters.of("a") == [one, two]
    assert waiters.of("b") == [one]
    assert waiters.of("c") == []

    waiters.cancel(1, 5)
    waiters.cancel(1, 5)
    waiters.cancel(9, 9)

    assert waiters.of("a") == [two]
    assert waiters.of("b") == []
    assert len(waiters) == 1


def test_nothing_is_left_of_a_connection_that_hung_up():
    waiters = Waiters()
    for number in range(3):
        waiters.add(Waiter(1, number, ("a", str(number)), 1))
    waiters.add(Waiter(2, 0, ("a",), 1))

    waiters.hung_up(1)

    assert len(waiters) == 1
    assert list(waiters._by_key) == ["a"]


# --- What the store says ----------------------------------------------------------------------------------------------


def everything(client: PureClient, *, anonymous: bool) -> list[m.ObjectFacts]:
    """All pages of the list."""
    found, after = [], 0
    while True:
        page = client.ask(m.List, after, anonymous)
        found += page.objects
        after = page.last
        if not after:
            return found


@pytest.mark.parametrize("count", [0, 1, m.PAGE_OBJECTS - 1, m.PAGE_OBJECTS, m.PAGE_OBJECTS + 1, 2 * m.PAGE_OBJECTS])
def test_pages_tell_everything_once(client: PureClient, count: int):
    for number in range(count):
        client.put(f"n{number}")

    told = [facts.name for facts in everything(client, anonymous=False)]

    assert sorted(told) == sorted(f"n{number}" for number in range(count))


@pytest.mark.parametrize("count", [1, m.PAGE_CLIENTS - 1, m.PAGE_CLIENTS, m.PAGE_CLIENTS + 1])
def test_pages_tell_every_client_once(store: PureStore, count: int):
    clients = [store.connect(f"{number}.ipynb") for number in range(count)]
    people, after = [], 0
    while True:
        answer = clients[0].ask(m.Clients, after)
        people += answer.clients
        after = answer.last
        if not after:
            break

    assert [person.label for person in people] == [f"{number}.ipynb" for number in range(count)]


def test_the_list_tells_anonymous_and_held_objects_only_if_asked(store: PureStore, client: PureClient):
    client.put("named")
    client.put("")
    client.put("held")
    client.put("gone")
    client.lease("held")
    for name in ("held", "gone"):
        client.ask(m.Delete, name, 0)
    store.advance(GRACE / 2)
    assert {(one.name, one.state) for one in everything(client, anonymous=True)} == {("named", "live"), ("", "live")}
    store.advance(GRACE)

    assert {one.name for one in everything(client, anonymous=False)} == {"named"}
    assert {(one.name, one.state) for one in everything(client, anonymous=True)} == {
        ("named", "live"),
        ("", "live"),
        ("held", "held"),
    }


def test_an_objects_facts_are_what_its_publisher_said_and_its_readers_did(store: PureStore, client: PureClient):
    reader = store.connect("reader.ipynb")
    id = client.put("x", b"d" * 100).id
    reader.lease("x")

    facts = reader.ask(m.Info, "x", 0).object

    assert facts == m.ObjectFacts(
        id=id,
        name="x",
        state="live",
        version=1,
        payload=8,
        offset=facts.offset,
        nbytes=192,
        created_ns=1_700_000_000_000_000_000,
        client=client.id,
        label="a.ipynb",
        holders=(reader.id,),
        containers=0,
        reads=0,
    )
    assert bytes(store.heap[facts.offset + 64 : facts.offset + 164]) == b"d" * 100


def test_the_accounts_add_up(store: PureStore, client: PureClient):
    client.put("x", bytes(100_000))
    client.put("", b"")
    client.reserve(70_000)
    store.advance(12.5)

    accounts = client.ask(m.Stats)

    assert (accounts.objects, accounts.names, accounts.clients, accounts.payload) == (2, 1, 1, 16)
    assert accounts.used == 25 * PAGE + PAGE
    assert accounts.reserved == 18 * PAGE
    assert accounts.uptime == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("name", "id", "said"),
    [
        ("x", 0, "nothing is published under 'x'"),
        ("", 5, "this reference"),
        ("x", 5, "('x') is gone: deleted or replaced"),
    ],
)
def test_what_is_missing_is_said(name: str, id: int, said: str):
    assert said in report.missing(name, id)


def test_who_uses_a_store_is_said_in_one_line_however_many_they_are():
    others = [m.Hello(number, f"{number}.ipynb", "", "", "") for number in range(10, 19)] * 2

    text = report.in_use(others)

    assert "10.ipynb (pid 10), 11.ipynb (pid 11)" in text
    assert "and 4 more" in text
