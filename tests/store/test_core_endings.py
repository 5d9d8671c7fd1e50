"""How things end in the core: cancelled, contained, hung up, stopped, idle."""

from __future__ import annotations

import pytest
from pure_store import PureClient, PureStore, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.core import IDLE_EXIT
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.tables.layout import DYING, FREE, LIVE, RESERVED, slot_of

# --- Cancel -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_settled", [True, False])
def test_a_cancelled_wait_is_never_answered(store: PureStore, client: PureClient, other: PureClient, is_settled: bool):
    number = client.post(m.Wait, ("a",), 1)
    if is_settled:
        store.work()
    client.send(m.Cancel(number))
    other.publish("a")
    store.advance_to_rest()

    assert client.take_answer(number) is None
    assert len(store.core.inquiries._waiters) == 0


def test_a_cancelled_reservation_is_given_back(store: PureStore, client: PureClient):
    reserved = client.reserve(100)

    client.send(m.Cancel(reserved.number))

    assert store.state_of(reserved.id) == FREE
    assert store.ledger.reserved == 0


@pytest.mark.parametrize("is_first", [True, False])
def test_an_object_that_ends_in_one_look_with_what_contains_it_stays_ended(
    store: PureStore, client: PureClient, is_first: bool
):
    inner = client.put("")
    outer = client.publish("outer", b"data", (inner.id,))
    ends = [lambda: client.send(m.Cancel(inner.number)), lambda: client.ask(m.Delete, "outer", 0)]

    for end in ends if is_first else reversed(ends):
        end()
    assert [store.state_of(id) for id in (inner.id, outer)] == [DYING, DYING]
    store.advance_to_rest()

    assert [store.state_of(id) for id in (inner.id, outer)] == [FREE, FREE]
    store.ledger.check()


def test_a_cancelled_anonymous_commit_is_undone_and_a_named_one_is_not(store: PureStore, client: PureClient):
    anonymous = client.put("")
    named = client.put("x")

    client.send(m.Cancel(anonymous.number))
    client.send(m.Cancel(named.number))

    assert store.state_of(anonymous.id) == DYING
    assert store.state_of(named.id) == LIVE


def test_a_client_cancels_only_its_own(store: PureStore, client: PureClient, other: PureClient):
    reserved = client.reserve(100)
    mine = other.reserve(100)
    assert reserved.number == mine.number

    other.send(m.Cancel(reserved.number))

    assert store.state_of(reserved.id) == RESERVED
    assert store.state_of(mine.id) == FREE


# --- Containment ------------------------------------------------------------------------------------------------------


def test_a_contained_object_outlives_its_name_and_goes_with_its_last_container(store: PureStore, client: PureClient):
    inner = client.publish("inner", b"i" * 100)
    client.publish("one", contained=(inner,))
    client.publish("two", contained=(inner,))
    offset = store.ledger.objects[inner].offset

    client.ask(m.Delete, "inner", 0)
    client.ask(m.Delete, "one", 0)
    store.advance(60.0)
    assert store.heap[offset + 64 : offset + 164] == b"i" * 100
    facts = client.ask(m.Info, "", inner)
    assert (facts.object.state, facts.object.containers) == ("held", 1)

    client.ask(m.Delete, "two", 0)
    store.advance(GRACE * 2)
    assert store.ledger.objects == {}
    assert store.ledger.used == 0


def test_a_chain_of_containers_goes_from_its_end_in_one_look(store: PureStore, client: PureClient):
    ids = [client.publish("0")]
    for number in range(1, 20):
        ids.append(client.publish(str(number), contained=(ids[-1],)))
    for number in range(19):
        client.ask(m.Delete, str(number), 0)
    store.advance(1.0)
    assert len(store.ledger.objects) == 20

    client.ask(m.Delete, "19", 0)
    store.advance(GRACE * 1.5)

    assert store.ledger.objects == {}


def test_what_is_gone_cannot_be_contained(store: PureStore, client: PureClient):
    inner = client.publish("inner")
    client.ask(m.Delete, "inner", 0)

    assert reason(client.put("x", contained=(inner,))) == "contained-gone"

    store.advance_to_rest()
    assert reason(client.put("x", contained=(inner,))) == "contained-gone"
    assert store.bytes_of("x") is None


def test_a_dying_object_can_be_contained_by_who_holds_a_lease(store: PureStore, client: PureClient, other: PureClient):
    inner = client.publish("inner", b"kept")
    assert other.lease("inner") == inner
    client.ask(m.Delete, "inner", 0)

    assert reason(client.put("mine", contained=(inner,))) == "contained-gone"
    assert isinstance(other.put("theirs", contained=(inner,)), m.Committed)

    other.let_go(inner)
    store.advance(60.0)
    assert inner in store.ledger.objects


def test_a_dying_object_that_lives_inside_another_can_be_contained_again(store: PureStore, client: PureClient):
    inner = client.publish("inner")
    outer = client.publish("outer", contained=(inner,))
    client.ask(m.Delete, "inner", 0)
    store.advance(1.0)

    assert isinstance(client.put("third", contained=(inner, outer)), m.Committed)

    client.ask(m.Delete, "outer", 0)
    store.advance(60.0)
    assert {inner, outer} <= store.ledger.objects.keys()


def test_a_reservation_cannot_be_contained(client: PureClient):
    reserved = client.reserve(100)

    assert reason(client.put("x", contained=(reserved.id,))) == "contained-gone"


# --- Hang-up ----------------------------------------------------------------------------------------------------------


def test_a_hang_up_undoes_everything_but_names(store: PureStore, client: PureClient, other: PureClient):
    client.publish("kept")
    anonymous = client.publish("")
    reserved = client.reserve(100)
    number = client.post(m.Wait, ("never",), 1)
    store.work()
    client.post(m.Look, "never")

    client.hang_up()
    assert store.state_of(reserved.id) == FREE
    assert store.state_of(anonymous) == DYING
    store.advance_to_rest()
    other.publish("never")

    assert number not in {getattr(answer, "number", None) for answer in client.answers}
    assert set(store.ledger.names) == {"kept", "never"}
    assert len(store.ledger.objects) == 2


def test_a_hang_up_lets_go_of_leases_at_once(store: PureStore, client: PureClient, other: PureClient):
    id = client.publish("x")
    other.lease("x")
    client.ask(m.Delete, "x", 0)
    store.advance(60.0)
    assert id in store.ledger.objects

    other.hang_up()
    store.work()

    assert id not in store.ledger.objects


def test_reads_are_remembered_beyond_a_hang_up(store: PureStore, client: PureClient, other: PureClient):
    id = client.publish("x")
    other.lease("x")
    other.table.note_use(slot_of(id), 5, fresh=True)
    other.table.note_use(slot_of(id), 6, fresh=False)
    assert client.ask(m.Info, "x", 0).object.reads == 2

    other.hang_up()

    assert client.ask(m.Info, "x", 0).object.reads == 2


def test_a_hang_up_of_an_unknown_connection_is_nothing(store: PureStore):
    assert store.core.hung_up(999, store.now) == []


# --- Stop and idle exit -----------------------------------------------------------------------------------------------


def test_a_store_that_others_use_is_not_stopped_unless_forced(store: PureStore, client: PureClient, other: PureClient):
    answer = client.ask(m.Stop, False)
    assert reason(answer) == "in-use"
    assert "other.ipynb" in answer.text
    assert store.exit is None

    assert isinstance(client.ask(m.Stop, True), m.Done)
    assert store.exit


def test_other_connections_of_the_same_process_are_nobody_else(store: PureStore):
    client = store.connect(pid=7)
    store.connect(pid=7)

    assert isinstance(client.ask(m.Stop, False), m.Done)


def test_who_only_watches_does_not_keep_others_from_stopping_the_store(store: PureStore, client: PureClient):
    store.connect("jupyter-lab", watches=True)

    assert isinstance(client.ask(m.Stop, False), m.Done)


def test_who_only_watches_does_not_keep_an_empty_store(store: PureStore, client: PureClient):
    store.connect("jupyter-lab", watches=True)
    client.hang_up()
    store.advance(IDLE_EXIT - 1)
    assert store.exit is None

    store.advance(1.5)

    assert "600 seconds" in store.exit


def test_an_empty_store_that_nobody_uses_ends(store: PureStore, client: PureClient):
    client.hang_up()
    store.advance(IDLE_EXIT - 1)
    assert store.exit is None

    store.advance(1.5)

    assert "600 seconds" in store.exit


def test_a_store_that_nobody_ever_used_ends_too(store: PureStore):
    store.advance(IDLE_EXIT + 1)

    assert store.exit


@pytest.mark.parametrize("what", ["client", "object", "both"])
def test_a_store_with_a_client_or_an_object_stays(store: PureStore, client: PureClient, what: str):
    if what != "client":
        client.publish("x")
    if what == "object":
        client.hang_up()

    store.advance(10 * IDLE_EXIT)

    assert store.exit is None


def test_the_idle_time_starts_when_the_last_client_goes(store: PureStore, client: PureClient):
    store.advance(10 * IDLE_EXIT)
    client.hang_up()
    store.advance(IDLE_EXIT - 1)

    assert store.exit is None


def test_a_client_that_comes_back_in_time_keeps_the_store(store: PureStore):
    store.advance(IDLE_EXIT - 1)
    store.connect()
    store.advance(IDLE_EXIT)

    assert store.exit is None


# --- What another store may have to answer ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["made", "ended"])
def test_the_slot_that_tells_what_came_of_a_request_stays_until_its_answer_is_sent(
    store: PureStore, client: PureClient, other: PureClient, what: str
):
    id = client.publish("x")
    made = client._number
    other.ask(m.Delete, "x", 0)
    who, number = (client, made) if what == "made" else (other, other._number)
    store.core.is_unanswered(who.conn, number)

    store.advance(5.0)

    assert store.state_of(id) == DYING
    assert store.core.deadline(store.now) is None, "nobody waits for it"
    store.core.is_consumed(who.conn, number, store.now)
    store.work()
    assert store.state_of(id) == FREE
    assert store.ledger.used == 0


def test_nobody_needs_the_answers_of_a_client_that_hung_up(store: PureStore, client: PureClient, other: PureClient):
    id = client.publish("x")
    store.core.is_unanswered(client.conn, client._number)
    other.ask(m.Delete, "x", 0)
    store.advance(1.0)

    client.hang_up()
    store.work()

    assert store.state_of(id) == FREE


def test_a_row_is_free_only_when_the_next_store_needs_not_know_of_its_client(store: PureStore, client: PureClient):
    done = []
    store.on_action = done.append
    client.publish("x")
    client.hang_up()

    assert [type(action).__name__ for action in done[-2:]] == ["ForgetClient", "SetRow"]
