"""Names that end by themselves: their time is over, or their publisher is gone; and pins."""

from __future__ import annotations

import pytest
from crashed import Crashed, Revived
from pure_store import MIB, PureClient, PureStore, is_live, reason

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store.lifetimes import BATCH, SPARE, Expiries
from jupyter_shm.tables.layout import KERNEL_LIFETIME, PINNED


def facts(client: PureClient, name: str) -> m.ObjectFacts | None:
    answer = client.ask(m.Info, name, 0)
    return answer.object if isinstance(answer, m.Facts) else None


# --- Time -------------------------------------------------------------------------------------------------------------


def test_a_name_ends_when_its_time_is_over_and_not_before(store: PureStore, client: PureClient):
    id = client.put_on_terms("x", ttl=10.0).id

    store.advance(9.99)
    assert is_live(store, id)
    store.advance(0.01)

    assert not is_live(store, id)
    assert store.bytes_of("x") is None
    assert reason(client.ask(m.Look, "x")) == "not-found"
    store.advance_to_rest()
    assert store.ledger.objects == {}


def test_who_reads_it_keeps_its_bytes(store: PureStore, client: PureClient, other: PureClient):
    id = client.put_on_terms("x", ttl=1.0).id
    other.lease("x")

    store.advance(100.0)

    assert store.bytes_of("x") is None
    assert id in store.ledger.objects
    other.let_go(id)
    store.advance_to_rest()
    assert store.ledger.objects == {}


def test_the_store_has_no_time_to_wake_up_at_when_nothing_expires(store: PureStore, client: PureClient):
    client.put("x")
    store.advance_to_rest()
    assert store.core.deadline(store.now) is None

    client.put_on_terms("y", ttl=50.0)
    store.advance_to_rest()
    assert store.core.deadline(store.now) == pytest.approx(store.now + 48.0)

    client.ask(m.Expire, "y", 0, 0)
    assert store.core.deadline(store.now) is None


@pytest.mark.parametrize("earlier", [True, False])
def test_the_last_word_on_when_a_name_ends_counts(store: PureStore, client: PureClient, earlier: bool):
    id = client.put_on_terms("x", ttl=5.0 if earlier else 20.0).id

    answer = client.ask(m.Expire, "x", 0, 10 * 10**9)

    assert answer == m.Done(client._number)
    assert facts(client, "x").expiry == int(store.now * 1e9) + 10 * 10**9
    store.advance(9.9)
    assert is_live(store, id)
    store.advance(0.2)
    assert not is_live(store, id)


def test_a_new_version_has_terms_of_its_own(store: PureStore, client: PureClient, other: PureClient):
    client.put_on_terms("x", PINNED | KERNEL_LIFETIME, 10.0)

    other.put("x")
    told = facts(client, "x")
    assert (told.version, told.flags, told.expiry) == (2, 0, 0)
    client.hang_up()
    store.advance(100.0)

    assert facts(other, "x").version == 2
    assert Crashed(store).terms() == {}


def test_a_new_version_may_expire_when_the_old_one_did_not(store: PureStore, client: PureClient):
    client.put("x")
    client.put_on_terms("x", ttl=1.0)

    store.advance(1.0)

    assert facts(client, "x") is None


def test_very_many_names_that_expire_at_once_keep_nobody_waiting_for_long(store: PureStore, client: PureClient):
    for number in range(BATCH + 5):
        client.put_on_terms(f"{number}", ttl=5000.0 - store.now)
    told: list[int] = []
    store.on_settled = lambda: told.append(len(store.ledger.names))
    store.now += 5000.0

    store.work()

    assert told[:2] == [5, 0]


# --- Pins -------------------------------------------------------------------------------------------------------------


def test_what_is_pinned_does_not_expire(store: PureStore, client: PureClient):
    client.put_on_terms("x", PINNED, 1.0)
    client.put_on_terms("y", ttl=1.0)
    client.ask(m.Pin, "y", 0, True)

    store.advance(100.0)

    assert facts(client, "x").flags == facts(client, "y").flags == PINNED
    assert store.core.deadline(store.now) is None


def test_what_is_unpinned_after_its_time_ends_before_that_is_answered(store: PureStore, client: PureClient):
    id = client.put_on_terms("x", PINNED, 1.0).id
    store.advance(2.0)
    seen: list[int] = []
    store.on_action = lambda action: seen.append(store.state_of(id)) if isinstance(action, a.Send) else None

    assert client.ask(m.Pin, "x", 0, False) == m.Done(client._number)

    assert seen == [3]  # DYING
    assert facts(client, "x") is None


def test_what_is_unpinned_before_its_time_expires_in_its_time(store: PureStore, client: PureClient):
    client.put_on_terms("x", PINNED, 10.0)
    store.advance(5.0)
    client.ask(m.Pin, "x", 0, False)

    store.advance(4.9)
    assert facts(client, "x") is not None
    store.advance(0.2)
    assert facts(client, "x") is None


def test_a_pinned_name_whose_time_is_taken_away_stays_when_it_is_unpinned(store: PureStore, client: PureClient):
    client.put_on_terms("x", PINNED, 1.0)
    store.advance(5.0)

    client.ask(m.Expire, "x", 0, 0)
    client.ask(m.Pin, "x", 0, False)
    store.advance(100.0)

    assert facts(client, "x") is not None


def test_a_pin_hinders_neither_delete_nor_overwrite(store: PureStore, client: PureClient):
    first = client.put_on_terms("x", PINNED).id
    client.put("x")
    client.put_on_terms("y", PINNED)
    client.ask(m.Delete, "y", 0)
    store.advance_to_rest()

    assert first not in store.ledger.objects
    assert list(store.ledger.names) == ["x"]
    assert Crashed(store).terms() == {}


def test_pinning_twice_and_unpinning_twice_is_no_error_and_writes_nothing(store: PureStore, client: PureClient):
    client.put("x")
    done: list[a.Action] = []
    client.ask(m.Pin, "x", 0, True)
    store.on_action = done.append

    client.ask(m.Pin, "x", 0, True)
    assert not any(isinstance(action, a.SetTerm) for action in done)
    client.ask(m.Pin, "x", 0, False)
    done.clear()
    client.ask(m.Pin, "x", 0, False)

    assert not any(isinstance(action, a.SetTerm) for action in done)


# --- The publisher's end ----------------------------------------------------------------------------------------------


def test_a_name_of_kernel_lifetime_ends_with_its_publisher(store: PureStore, client: PureClient, other: PureClient):
    client.put_on_terms("x", KERNEL_LIFETIME)
    client.put_on_terms("pinned", KERNEL_LIFETIME | PINNED)
    client.put("stays")
    other.put_on_terms("other's", KERNEL_LIFETIME)

    client.hang_up()

    assert set(store.ledger.names) == {"stays", "other's"}
    assert store.bytes_of("x") is None


def test_a_name_that_somebody_else_has_overwritten_is_his(store: PureStore, client: PureClient, other: PureClient):
    client.put_on_terms("x", KERNEL_LIFETIME)
    other.put("x")
    client.put_on_terms("y", KERNEL_LIFETIME)
    other.put_on_terms("y", KERNEL_LIFETIME)

    client.hang_up()
    assert set(store.ledger.names) == {"x", "y"}
    other.hang_up()

    assert set(store.ledger.names) == {"x"}


def test_who_only_breaks_the_protocol_keeps_its_names_until_it_hangs_up(store: PureStore, client: PureClient):
    client.put_on_terms("x", KERNEL_LIFETIME)

    client.send_packet(b"garbage")
    assert "x" in store.ledger.names
    client.hang_up()

    assert store.ledger.names == {}


# --- Requests that make no sense --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "value"), [(m.Pin, True), (m.Pin, False), (m.Expire, 5), (m.Expire, 0)])
def test_of_what_is_not_there_nothing_is_agreed(store: PureStore, client: PureClient, kind: type, value: object):
    old = client.publish("x")
    client.publish("x")
    anonymous = client.publish("")

    assert reason(client.ask(kind, "y", 0, value)) == "not-found"
    assert reason(client.ask(kind, "x", old, value)) == "not-found"
    assert reason(client.ask(kind, "", old, value)) == "not-found"
    assert reason(client.ask(kind, "", anonymous, value)) == "invalid-argument"
    assert reason(client.ask(kind, "", 0, value)) == "not-found"
    assert Crashed(store).terms() == {}


@pytest.mark.parametrize(
    ("name", "flags", "ttl"),
    [("", PINNED, 0.0), ("", KERNEL_LIFETIME, 0.0), ("", 0, 1.0), ("x", 4, 0.0), ("x", (1 << 63) - 1, 1.0)],
)
def test_terms_that_make_no_sense_are_refused_and_the_reservation_stays(
    store: PureStore, client: PureClient, name: str, flags: int, ttl: float
):
    assert reason(client.put_on_terms(name, flags, ttl)) == "invalid-argument"

    assert store.ledger.objects == {}
    assert len(store.ledger.reservations) == 1


def test_the_longest_time_to_live_is_as_good_as_none(store: PureStore, client: PureClient):
    longest = (1 << 63) - 1
    reserved = client.reserve(64)
    client.ask(m.Commit, reserved.id, "x", client.fill(reserved, b""), 8, 1, True, 0, 0, 0, longest)
    client.put("y")
    client.ask(m.Expire, "y", 0, longest)

    store.advance(1e9)

    assert set(store.ledger.names) == {"x", "y"}
    assert facts(client, "x").expiry > longest


# --- After a store that died ------------------------------------------------------------------------------------------


def test_the_next_store_goes_on_with_all_terms(store: PureStore, client: PureClient, other: PureClient):
    client.put_on_terms("short", ttl=5.0)
    client.put_on_terms("pinned", PINNED, 5.0)
    client.put_on_terms("mine", KERNEL_LIFETIME)
    other.put_on_terms("other's", KERNEL_LIFETIME)
    store.advance(4.0)

    revived = Revived(store, Crashed(store))
    assert set(revived.ledger.names) == {"short", "pinned", "mine", "other's"}
    revived.advance(1.5)
    assert set(revived.ledger.names) == {"pinned", "mine", "other's"}
    revived.perform(revived.core.hung_up(client.conn, revived.now))

    assert set(revived.ledger.names) == {"pinned", "other's"}


def test_what_ended_while_no_store_lived_has_ended(store: PureStore, client: PureClient, other: PureClient):
    client.put_on_terms("short", ttl=5.0)
    client.put_on_terms("mine", KERNEL_LIFETIME)
    other.put_on_terms("other's", KERNEL_LIFETIME)
    crashed = Crashed(store)
    store.noted.discard(client.conn)
    store.now += 6.0

    revived = Revived(store, crashed)
    revived.work()

    assert set(revived.ledger.names) == {"other's"}


def test_a_commit_on_terms_is_whole_or_not_there_whenever_the_store_dies():
    store = PureStore(64 * MIB)  # so that there are nurseries
    client = store.connect()
    nursery = client.nursery()
    moments: list[tuple[int, int] | None] = []

    def die(_action: a.Action) -> None:
        crashed = Crashed(store)
        restored = crashed.restore()
        object = restored.ledger.names.get("x")
        moments.append(object and object.terms[:2])
        crashed.repair(restored)
        assert bool(crashed.terms()) == (object is not None)

    for put in (
        lambda: client.put_on_terms("x", PINNED, 5.0),
        lambda: client.ask(m.Commit, nursery.id, "x", (piece := nursery.cut()).nbytes, 8, 1, True, piece.id,
                           piece.offset, PINNED, 5 * 10**9),
    ):  # fmt: skip
        moments.clear()
        store.on_action = die
        put()
        store.on_action = lambda _: None
        assert set(moments) == {None, (PINNED, int(store.now * 1e9) + 5 * 10**9)}
        client.ask(m.Delete, "x", 0)
        store.advance(1.0)


def test_a_request_about_terms_that_is_seen_again_is_answered_and_not_carried_out(
    store: PureStore, client: PureClient, other: PureClient
):
    client.put("x")
    client.ask(m.Pin, "x", 0, True)
    done = client._number
    other.ask(m.Pin, "x", 0, False)
    revived = Revived(store, Crashed(store))
    sent: list[m.Answer] = []
    revived._do[a.Send] = lambda action: sent.append(action.message)

    assert revived.core.was_applied(client.conn, m.Pin(done, "x", 0, True))
    revived.perform(revived.core.received(client.conn, m.Pin(done, "x", 0, True), revived.now))

    assert sent == [m.Done(done)]
    assert revived.ledger.names["x"].terms.flags == 0


def test_a_refusal_that_is_seen_again_is_to_be_asked_again(store: PureStore, client: PureClient):
    client.put("x")
    client.ask(m.Pin, "x", 0, True)
    assert reason(client.ask(m.Pin, "y", 0, True)) == "not-found"
    revived = Revived(store, Crashed(store))
    sent: list[m.Answer] = []
    revived._do[a.Send] = lambda action: sent.append(action.message)

    revived.perform(revived.core.received(client.conn, m.Pin(client._number, "y", 0, True), revived.now))

    assert [reason(answer) for answer in sent] == ["again"]


@pytest.mark.parametrize("kind", ["pin", "unpin", "unpin and end", "expire"])
def test_half_a_request_about_terms_comes_to_the_same_end_when_it_is_carried_out_again(
    store: PureStore, client: PureClient, kind: str
):
    client.put_on_terms("x", PINNED if kind.startswith("unpin") else 0, 5.0 if kind == "unpin and end" else 50.0)
    store.now += 10.0
    fields = {"expire": (m.Expire, 9), "pin": (m.Pin, True)}.get(kind, (m.Pin, False))
    request = fields[0](client._number + 1, "x", 0, fields[1])
    ends: list[tuple[dict[str, tuple[int, int]], list[m.Answer]]] = []

    def die(_action: a.Action) -> None:
        crashed = Crashed(store)
        crashed.repair(crashed.restore())
        revived, sent = Revived(store, crashed), []
        revived._do[a.Send] = lambda action: sent.append(action.message)
        revived.perform(revived.core.received(client.conn, request, revived.now))
        ends.append(({name: object.terms[:2] for name, object in revived.ledger.names.items()}, sent))

    store.on_action = die
    client.post(fields[0], "x", 0, fields[1])

    assert len(ends) > 3
    assert ends == [(ends[-1][0], [m.Done(request.number)])] * len(ends)
    assert ("x" in ends[0][0]) == (kind != "unpin and end")


def test_the_words_of_a_row_that_is_given_again_tell_nothing_of_the_client_before(store: PureStore):
    first = store.connect()
    first.put("x")
    first.ask(m.Pin, "x", 0, True)
    row = first.welcome.row
    assert store.terms.done(row) == first._number
    first.hang_up()

    assert store.connect().welcome.row == row
    assert store.terms.done(row) == 0


# --- The heap of times ------------------------------------------------------------------------------------------------


def test_the_earliest_time_comes_first_and_each_object_has_one():
    expiries = Expiries()
    for id, time in ((1, 50), (2, 30), (3, 40), (2, 60), (3, 0)):
        expiries.set(id, time * 10**9)

    assert len(expiries) == 2
    assert expiries.next() == 50.0
    assert expiries.take(49.9) is None
    assert [expiries.take(99.0) for _ in range(3)] == [1, 2, None]
    assert expiries.next() is None


def test_times_that_are_renewed_for_ever_take_no_more_room():
    expiries = Expiries()
    for number in range(10_000):
        expiries.set(1, 10**15 + number)
        expiries.set(number + 2, 10**15)
        expiries.set(number + 2, 0)

    assert len(expiries._heap) <= 2 * len(expiries) + SPARE + 1
