"""The core's laws, one by one: what is answered when, what every request does, and what a hang-up undoes."""

from __future__ import annotations

import pytest
from pure_store import IDENTITY, PureClient, PureStore, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store import clients as clients_module
from jupyter_shm.store import welcomes
from jupyter_shm.store.extents import PAGE
from jupyter_shm.tables.layout import DYING, FREE, LIVE, RESERVED, slot_of


def trace(store: PureStore) -> list[a.Action]:
    """Every action from now on, in its order."""
    done: list[a.Action] = []
    store.on_action = done.append
    return done


# --- Law 1: answered after the index shows it -------------------------------------------------------------------------


def test_a_put_is_answered_after_every_action_that_publishes_it(store: PureStore, client: PureClient):
    client.publish("x")
    reserved = client.reserve(100)
    done = trace(store)

    client.commit(reserved, client.fill(reserved, b"new"), "x")

    kinds = [type(action) for action in done]
    assert kinds.index(a.WriteRecord) < kinds.index(a.SetState) < kinds.index(a.SetName) < kinds.index(a.SetRow)
    assert kinds.index(a.Send) == len(kinds) - 1


def test_an_overwritten_name_always_means_the_old_or_the_new(store: PureStore, client: PureClient):
    client.publish("x", b"old")
    seen: list[bytes | None] = []
    store.on_action = lambda _: seen.append(store.bytes_of("x"))

    client.publish("x", b"new")

    assert {data and data[64:] for data in seen} == {b"old", b"new"}
    assert seen == sorted(seen, key=lambda data: data[64:] == b"new"), "the old one came back"


def test_a_delete_is_answered_after_readers_miss_the_name(store: PureStore, client: PureClient):
    id = client.publish("x")
    done = trace(store)

    assert client.ask(m.Delete, "x", 0) == m.Done(client._number)

    assert isinstance(done[-1], a.Send)
    assert done.index(a.SetEnder(slot_of(id), client.id, client._number)) < done.index(
        a.SetState(slot_of(id), id >> 20, DYING)
    )
    assert a.ClearName(b"x", slot_of(id)) in done


def test_the_old_object_is_dying_only_when_the_name_means_the_new_one(store: PureStore, client: PureClient):
    old = client.publish("x", b"old")
    done = trace(store)

    new = client.publish("x", b"new")

    renamed = done.index(a.SetName(b"x", slot_of(new), slot_of(old)))
    assert renamed < done.index(a.SetState(slot_of(old), old >> 20, DYING))
    assert not any(isinstance(action, a.ClearName) for action in done)


def test_a_row_shows_the_last_request_before_its_answer_is_sent(store: PureStore, client: PureClient):
    done = trace(store)

    client.reserve(10)

    sent = next(at for at, action in enumerate(done) if isinstance(action, a.Send))
    assert done[sent - 1] == a.SetRow(client.welcome.row, client.id, 1)


# --- Law 2: no is said after a drain ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "answers"),
    [
        (m.Look, ("x",), lambda answer: isinstance(answer, m.Found)),
        (m.Info, ("x", 0), lambda answer: answer.object.name == "x"),
        (m.Wait, (("x",), 1), lambda answer: answer.names == ("x",)),
        (m.List, (0, False), lambda answer: [one.name for one in answer.objects] == ["x"]),
    ],
    ids=["look", "info", "wait", "list"],
)
def test_a_question_sees_what_others_sent_before_it_is_answered(
    store: PureStore, client: PureClient, other: PureClient, kind, fields, answers
):
    reserved = other.reserve(100)
    nbytes = other.fill(reserved, b"data")
    number = client.post(kind, *fields)

    # The put stood in another socket, and is read in the drain before the question is answered.
    other.post(m.Commit, reserved.id, "x", nbytes, 8, 0, True)
    assert client.take_answer(number) is None
    store.settle()

    assert answers(client.take_answer(number))


def test_a_store_with_a_question_wants_to_settle_at_once(store: PureStore, client: PureClient):
    assert store.core.deadline(store.now) is None

    client.post(m.Look, "x")

    assert store.core.deadline(store.now) == store.now


# --- Hello ------------------------------------------------------------------------------------------------------------


def test_a_client_is_welcomed_with_a_row_and_a_table(store: PureStore, client: PureClient, other: PureClient):
    us = IDENTITY

    assert client.welcome == m.Welcome(1, 0, us.store, us.pid, store.ledger.capacity, us.package, us.python)
    assert (other.welcome.client, other.welcome.row) == (2, 1)
    assert store.reader.row(1) == (2, 0)
    assert client.table.is_valid()


def test_a_row_is_free_again_after_a_hang_up_and_its_id_is_never_given_again(store: PureStore, client: PureClient):
    client.hang_up()

    assert store.reader.row(0) == (0, 0)
    again = store.connect()
    assert (again.welcome.client, again.welcome.row) == (2, 0)


def test_a_client_too_many_is_refused_and_harms_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(welcomes, "MAX_CLIENTS", 2)
    monkeypatch.setattr(clients_module, "MAX_CLIENTS", 2)
    store = PureStore()
    first = store.connect()
    store.connect()
    third = store.connect()

    assert third.welcome is None
    assert reason(third.answers[0]) == "connection"
    assert "2 clients" in third.answers[0].text

    third.hang_up()
    first.hang_up()
    assert store.connect().welcome is not None


def test_a_client_that_was_refused_and_goes_on_all_the_same_is_not_served(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clients_module, "MAX_CLIENTS", 1)
    store = PureStore()
    store.connect()
    second = store.connect()

    second.post(m.Reserve, 100)
    second.post(m.Look, "x")
    store.work()

    assert not any(isinstance(answer, m.Reserved) for answer in second.answers)
    assert store.ledger.reservations == {}


# --- Puts -------------------------------------------------------------------------------------------------------------


def test_a_reservation_is_no_object_yet(store: PureStore, client: PureClient):
    reserved = client.reserve(100)

    assert store.state_of(reserved.id) == RESERVED
    assert store.reader.record(slot_of(reserved.id)).client == client.id
    assert client.ask(m.Info, "", reserved.id).reason == "not-found"
    assert client.ask(m.Stats).reserved == PAGE


def test_versions_count_the_puts_under_a_name(client: PureClient, other: PureClient):
    first = client.put("x")
    second = other.put("x")
    third = client.put("x")

    assert (first.version, first.replaced_version, first.replaced_label) == (1, 0, "")
    assert (second.version, second.replaced_version, second.replaced_label) == (2, 1, "a.ipynb")
    assert (third.version, third.replaced_version, third.replaced_label) == (3, 2, "other.ipynb")
    assert len({first.id, second.id, third.id}) == 3


def test_a_name_that_is_taken_is_kept_if_asked_for(store: PureStore, client: PureClient, other: PureClient):
    id = client.publish("x", b"first")
    reserved = other.reserve(100)

    answer = other.commit(reserved, other.fill(reserved, b"second"), "x", overwrite=False)

    assert reason(answer) == "exists"
    assert "version 1" in answer.text
    assert "a.ipynb" in answer.text
    assert store.reader.find(b"x")[0] == slot_of(id)
    # The reservation is still there, to be committed under another name.
    assert isinstance(other.commit(reserved, 70, "y", overwrite=False), m.Committed)


def test_an_anonymous_object_is_its_publishers(store: PureStore, client: PureClient, other: PureClient):
    id = client.publish("")

    other.send(m.Drop(id))
    assert store.state_of(id) == LIVE
    client.send(m.Drop(id))
    assert store.state_of(id) == DYING


def test_a_drop_of_a_named_object_does_nothing(store: PureStore, client: PureClient):
    id = client.publish("x")

    client.send(m.Drop(id))

    assert store.state_of(id) == LIVE


def test_an_abandoned_reservation_is_given_back(store: PureStore, client: PureClient, other: PureClient):
    reserved = client.reserve(PAGE)

    other.send(m.Abandon(reserved.id))
    assert store.state_of(reserved.id) == RESERVED
    client.send(m.Abandon(reserved.id))
    client.send(m.Abandon(reserved.id))

    assert store.state_of(reserved.id) == FREE
    assert store.punched == [(reserved.offset, PAGE)]
    assert reason(client.commit(reserved, 64, "x")) == "bad-reservation"


# --- Deletes ----------------------------------------------------------------------------------------------------------


def test_a_delete_by_id_takes_the_name_too(store: PureStore, client: PureClient, other: PureClient):
    id = client.publish("x")

    assert isinstance(other.ask(m.Delete, "", id), m.Done)

    assert store.bytes_of("x") is None
    assert reason(client.ask(m.Look, "x")) == "not-found"


def test_a_delete_by_name_and_id_spares_a_newer_object(store: PureStore, client: PureClient):
    old = client.publish("x", b"old")
    client.publish("x", b"new")

    assert reason(client.ask(m.Delete, "x", old)) == "not-found"

    assert store.bytes_of("x").endswith(b"new")


@pytest.mark.parametrize(("name", "id"), [("x", 0), ("", 1 << 20 | 5), ("", (1 << 63) - 1), ("", 0), ("x", 1 << 20)])
def test_what_is_not_there_cannot_be_deleted(store: PureStore, client: PureClient, name: str, id: int):
    assert reason(client.ask(m.Delete, name, id)) == "not-found"


def test_a_version_starts_anew_under_a_deleted_name(client: PureClient):
    client.put("x")
    client.ask(m.Delete, "x", 0)

    assert client.put("x").version == 1


# --- Waits ------------------------------------------------------------------------------------------------------------


def test_a_wait_ends_with_the_put_that_completes_it(store: PureStore, client: PureClient, other: PureClient):
    number = client.post(m.Wait, ("a", "b", "c"), 2)
    store.work()
    other.publish("c")
    assert client.take_answer(number) is None
    other.publish("a")

    assert client.take_answer(number) == m.Ready(number, ("a", "c"))
    other.publish("b")  # and nothing more is said: the client checks that it is answered once


def test_names_that_went_meanwhile_do_not_count(store: PureStore, client: PureClient, other: PureClient):
    number = client.post(m.Wait, ("a", "b"), 2)
    store.work()
    other.publish("a")
    other.ask(m.Delete, "a", 0)
    other.publish("b")

    assert client.take_answer(number) is None


def test_a_wait_for_what_is_there_ends_at_once(client: PureClient):
    client.publish("a")

    assert client.ask(m.Wait, ("a", "b"), 1).names == ("a",)


def test_an_anonymous_object_ends_no_wait(store: PureStore, client: PureClient, other: PureClient):
    number = client.post(m.Wait, ("",), 1)
    store.work()
    other.publish("")

    assert client.take_answer(number) is None


def test_everybody_who_waits_is_told(store: PureStore, client: PureClient):
    others = [store.connect() for _ in range(5)]
    numbers = [each.post(m.Wait, ("a",), 1) for each in others]
    store.work()

    client.publish("a")

    assert [each.take_answer(number) for each, number in zip(others, numbers, strict=True)] == [
        m.Ready(number, ("a",)) for number in numbers
    ]
