"""A client that lies harms nobody: it is refused or ended, and everybody else is served as before."""

from __future__ import annotations

import pytest
from pure_store import PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.protocol import wire
from jupyter_shm.tables.layout import slot_of

HUGE_NUMBER = (1 << 63) - 1
CONTROL = "\x01" * 60_000  # its repr is four times as long, and no packet


@pytest.fixture
def store() -> PureStore:
    return PureStore()


@pytest.fixture
def liar(store: PureStore) -> PureClient:
    return store.connect("liar.ipynb")


@pytest.fixture
def honest(store: PureStore) -> PureClient:
    return store.connect("honest.ipynb")


def assert_all_is_well(store: PureStore, honest: PureClient) -> None:
    """Everything that an honest client may ask for works, and the books balance."""
    store.advance_to_rest()
    store.ledger.check()
    assert isinstance(honest.put("mine", b"data"), m.Committed)
    for kind, fields in (
        (m.Look, ("mine",)),
        (m.Wait, (("mine",), 1)),
        (m.List, (0, True)),
        (m.Info, ("mine", 0)),
        (m.Clients, (0,)),
        (m.Stats, ()),
        (m.Events, (0,)),
        (m.Pin, ("mine", 0, True)),
        (m.Expire, ("mine", 0, HUGE_NUMBER)),
        (m.Delete, ("mine", 0)),
    ):
        answer = honest.ask(kind, *fields)
        assert not isinstance(answer, m.Refused | None), kind


LIES = {
    "look for a name longer than a packet's echo": m.Look(1, CONTROL),
    "delete such a name": m.Delete(1, CONTROL, 0),
    "ask about such a name": m.Info(1, CONTROL, 0),
    "ask about such a name by id": m.Info(1, CONTROL, 5),
    "wait for such a name": m.Wait(1, (CONTROL,), 1),
    "wait for none": m.Wait(1, (), 0),
    "wait for more than there are": m.Wait(1, ("x",), HUGE_NUMBER),
    "wait for a version that never comes": m.Wait(1, ("x",), 1, HUGE_NUMBER),
    "reserve everything": m.Reserve(1, HUGE_NUMBER),
    "reserve nothing": m.Reserve(1, 0),
    "commit what was never reserved": m.Commit(1, HUGE_NUMBER, "x", 64, 0, 0, True),
    "list from the end of numbers": m.List(1, HUGE_NUMBER, True),
    "clients from the end of numbers": m.Clients(1, HUGE_NUMBER),
    "events from the end of numbers": m.Events(1, HUGE_NUMBER),
    "events from before all": m.Events(1, 1),
    "abandon what was never reserved": m.Abandon(HUGE_NUMBER),
    "cancel what was never asked": m.Cancel(HUGE_NUMBER),
    "drop what never was": m.Drop(HUGE_NUMBER),
    "hint at what never was": m.Hint(HUGE_NUMBER),
    "commit with flags that nobody knows": m.Commit(1, HUGE_NUMBER, "x", 64, 0, 0, True, 0, 0, HUGE_NUMBER, 1),
    "pin what never was": m.Pin(1, "", HUGE_NUMBER, True),
    "pin a name longer than a packet's echo": m.Pin(1, CONTROL, 0, False),
    "pin nothing": m.Pin(1, "", 0, True),
    "let what never was expire": m.Expire(1, "", HUGE_NUMBER, HUGE_NUMBER),
    "let a name longer than a packet's echo expire": m.Expire(1, CONTROL, HUGE_NUMBER, 0),
    "make what was never promised": m.Fulfil(1, HUGE_NUMBER, HUGE_NUMBER, 64, 0, 0),
    "make nothing of nothing": m.Fulfil(1, 0, 0, 0, 0, 0, HUGE_NUMBER, HUGE_NUMBER),
    "wait for what was never promised": m.Wait(1, (), 2, 0, (0, HUGE_NUMBER)),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_harms_nobody(store: PureStore, liar: PureClient, honest: PureClient, lie: m.Request):
    liar.unanswered.add(1)

    liar.send(lie)

    assert_all_is_well(store, honest)


NEGATIVE = {
    "list from a negative slot": b"\x94\xa4list\x01\xff\xc3",
    "list from the least number": b"\x94\xa4list\x01\xd3\x80\0\0\0\0\0\0\0\xc3",
    "reserve negative bytes": b"\x93\xa7reserve\x01\xff",
    "a number beyond 64 bits": b"\x92\xa5stats\xcf" + b"\xff" * 8,
}


@pytest.mark.parametrize("packet", NEGATIVE.values(), ids=NEGATIVE)
def test_a_number_that_no_word_holds_ends_the_connection(
    store: PureStore, liar: PureClient, honest: PureClient, packet: bytes
):
    liar.send_packet(packet)

    assert liar.is_ended
    assert_all_is_well(store, honest)


@pytest.mark.parametrize("field", ["nbytes", "payload", "created_ns", "reservation"])
def test_a_commit_with_a_negative_fact_ends_the_connection(
    store: PureStore, liar: PureClient, honest: PureClient, field: str
):
    reserved = liar.reserve(100)
    facts = {"reservation": reserved.id, "nbytes": liar.fill(reserved, b""), "payload": 1, "created_ns": 1, field: -1}

    liar.send(m.Commit(number=2, name="x", overwrite=True, **facts))

    assert liar.is_ended
    assert_all_is_well(store, honest)


@pytest.mark.parametrize("field", ["pending", "nbytes", "payload", "created_ns", "reservation", "id", "offset"])
def test_a_promise_that_is_made_of_a_negative_fact_ends_the_connection(
    store: PureStore, liar: PureClient, honest: PureClient, field: str
):
    reserved, pending = liar.reserve(100), liar.pend()
    facts = {"reservation": reserved.id, "nbytes": liar.fill(reserved, b""), "payload": 1, "created_ns": 1}

    liar.send(m.Fulfil(**{"number": 3, "pending": pending, **facts, field: -1}))

    assert liar.is_ended
    assert honest.ask(m.Info, "", pending).object.state == "pending", "until it hangs up"
    assert_all_is_well(store, honest)
    liar.hang_up()
    assert_all_is_well(store, honest)


def test_one_piece_makes_one_promise(store: PureStore, honest: PureClient):
    store = PureStore(64 << 20)
    liar, honest = store.connect(), store.connect()
    nursery, promises = liar.nursery(), [liar.pend() for _ in range(3)]
    piece = nursery.cut(b"data")
    assert isinstance(liar.fulfil_with_piece(promises[0], piece), m.Done)

    again = liar.fulfil_with_piece(promises[1], piece)
    moved = liar.fulfil_with_piece(promises[2], nursery.cut(b"data")._replace(offset=piece.offset))

    assert [one.reason for one in (again, moved)] == ["bad-reservation"] * 2
    assert_all_is_well(store, honest)


def test_a_commit_of_the_largest_facts_is_told_as_it_was(store: PureStore, liar: PureClient, honest: PureClient):
    reserved = liar.reserve(100)
    nbytes = liar.fill(reserved, b"")

    id = liar.ask(m.Commit, reserved.id, "x", nbytes, HUGE_NUMBER, HUGE_NUMBER, True).id

    facts = honest.ask(m.Info, "x", 0).object
    assert (facts.id, facts.payload, facts.created_ns) == (id, HUGE_NUMBER, HUGE_NUMBER)
    assert_all_is_well(store, honest)


def test_the_sum_of_what_is_announced_may_be_larger_than_any_word(
    store: PureStore, liar: PureClient, honest: PureClient
):
    for name in "abc":
        liar.commit(reserved := liar.reserve(100), liar.fill(reserved, b""), name, payload=HUGE_NUMBER)

    assert_all_is_well(store, honest)


def test_a_label_as_long_as_a_packet_is_not_let_in(store: PureStore, honest: PureClient):
    hello = m.Hello(1, "x" * 60_000, "", "", "")
    liar = store.connect()
    liar.session.__init__()

    liar.send_packet(wire.encode_opening(hello))

    assert liar.is_ended
    assert_all_is_well(store, honest)


def test_the_longest_labels_and_names_fit_every_answer(store: PureStore):
    label = "\x01" * m.MAX_LABEL
    clients = [store.connect(label) for _ in range(m.PAGE_CLIENTS + m.MAX_HOLDERS)]
    for number in range(m.PAGE_OBJECTS + 1):
        name = f"{number:03}".ljust(m.MAX_NAME, "\x01")
        clients[0].put(name)
        for client in clients:
            client.lease(name)

    page = clients[1].ask(m.List, 0, True)
    assert len(page.objects) == m.PAGE_OBJECTS
    assert len(page.objects[0].holders) == m.MAX_HOLDERS
    assert len(clients[1].ask(m.Clients, 0).clients) == m.PAGE_CLIENTS
    assert clients[1].ask(m.Reserve, HUGE_NUMBER).reason == "full"
    assert clients[1].ask(m.Stop, False).reason == "in-use"
    assert clients[1].put(name, overwrite=False).reason == "exists"
    assert clients[1].put(name).replaced_label == label


def test_the_longest_events_fit_every_page(store: PureStore):
    client = store.connect("\x01" * m.MAX_LABEL)
    for number in range(m.PAGE_EVENTS + 1):
        client.put(f"{number:03}".ljust(m.MAX_NAME, "\x01"))

    past = client.ask(m.Events, 0)

    assert len(past.events) == m.PAGE_EVENTS
    assert past.has_more
    assert len(client.ask(m.Events, past.last).events) == 1


def test_a_watcher_that_asks_for_ever_and_reads_nothing_is_called_once(store: PureStore, honest: PureClient):
    watcher = store.connect("liar.ipynb", watches=True)
    watcher.ask(m.Events, 0)
    watcher.answers.clear()

    for _ in range(50):
        honest.put("x")
        store.advance(0.1)

    assert [type(answer) for answer in watcher.answers] == [m.Changed]
    assert_all_is_well(store, honest)


def test_an_object_that_is_contained_twice_is_let_go_of_twice(store: PureStore, liar: PureClient, honest: PureClient):
    inner = honest.put("inner").id
    assert isinstance(liar.put("x", contained=(inner, inner)), m.Committed)
    honest.ask(m.Delete, "inner", 0)
    store.advance_to_rest()
    store.ledger.check()
    assert inner in store.ledger.objects

    liar.ask(m.Delete, "x", 0)
    store.advance_to_rest()

    assert store.ledger.objects == {}


def test_a_lease_table_full_of_nonsense_pins_nothing_else(store: PureStore, liar: PureClient, honest: PureClient):
    id = honest.put("x").id
    for slot in range(64):
        liar.table.write(slot, (1 << 40) - 1, 7)
        liar.table.note_use(slot, 1, fresh=True)

    honest.ask(m.Delete, "x", 0)
    store.advance(0.1)
    assert id not in store.ledger.objects

    liar.hang_up()
    assert_all_is_well(store, honest)


def test_hints_for_what_is_still_held_free_nothing(store: PureStore, liar: PureClient, honest: PureClient):
    id = honest.put("x", b"data").id
    assert honest.lease("x") == id
    honest.ask(m.Delete, "x", 0)
    store.advance(0.1)

    for _ in range(100):
        liar.send(m.Hint(id))
        store.work()

    assert honest.table.holds(slot_of(id), id >> 20)
    assert id in store.ledger.objects


def test_a_client_that_is_ended_keeps_its_leases_until_it_hangs_up(
    store: PureStore, liar: PureClient, honest: PureClient
):
    id = honest.put("x", b"data").id
    liar.lease("x")
    liar.send_packet(b"garbage")
    honest.ask(m.Delete, "x", 0)

    store.advance(100.0)
    assert id in store.ledger.objects

    liar.hang_up()
    store.work()
    assert store.ledger.objects == {}
