"""The crash table: at every step of every call somebody dies, and what was promised holds.

A row is a call, a column says who dies.  Each trial is one step of the store, numbered by ``crash_points``; steps are
tried until there is none left, so new ones are found by themselves.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from crash_client import full, nursery
from crash_table import Bystander, Rival, Row, State, Trial, World, holders_of
from peers import PeerError, is_alive, kill_store

from jupyter_shm.errors import StoreLostWarning
from jupyter_shm.testing.private import eventually

KILLER = "the store died twice at one packet"
"""What the log says of a packet that is dropped."""


NOTHING, X = State(), State({"x": (1, 1)})
PUT_X = "put(1, 'x')"
PUT_INNER = f"{PUT_X}; view = store.get('x')"
PUT_OUTER = f"{PUT_INNER}; store.put(view[1000:], 'y'); view = None"
HAVE_ALL = (
    f"{PUT_X}; put(3, 'y'); view = store.get('y'); store.delete('y'); ref = store.put(full(4)); "
    "store._session.connection.request(m.Reserve, 1 << 19); held()"
)

# In the words of ``crash_client``: put() gives the version and the one that it replaced.
ROWS = {
    "put": Row(("Reserve", "Commit"), "put(2, 'x')", (1, 0), State({"x": (2, 1)}), is_awaited=True),
    "overwrite": Row(("Commit",), "put(2, 'x')", (2, 1), State({"x": (2, 2)}, 1), X, prepare=PUT_X, views=("x",)),
    "refused put": Row(
        ("Commit",), "error_of(lambda: put(2, 'x', overwrite=False))", "ObjectExistsError", X, X, prepare=PUT_X
    ),
    "put too large": Row(("Reserve", "settle"), "error_of(lambda: put(2, 'x', 500_000))", "StoreFullError", NOTHING),
    "put that waits for room": Row(
        ("Reserve", "settle"),
        "[store.delete('x'), put(2, 'y', 150_000)]",
        [None, (1, 0)],
        State({"y": (2, 1)}),
        X,
        between=(NOTHING,),
        prepare="put(1, 'x', 150_000)",
    ),
    "delete": Row(("Delete",), "store.delete('x')", None, State({}, 1), X, prepare=PUT_X, views=("x",)),
    "refused delete": Row(("Delete",), "error_of(lambda: store.delete('x'))", "ObjectNotFoundError", NOTHING),
    "anonymous": Row(
        ("Reserve", "Commit", "Drop", "settle"),
        "[same(store.get(store.put(full(2)))), store.stats().reserved]",
        [2, 0],
        NOTHING,
    ),
    "free": Row(("settle",), "store.delete('x')", None, NOTHING, X, prepare=PUT_X),
    "let go": Row(
        ("Hint", "settle"),
        "[same(globals().pop('view')), store.stats().reserved]",
        [1, 0],
        NOTHING,
        State({}, 1),
        prepare=f"{PUT_INNER}; store.delete('x'); held()",
        own=1,
    ),
    "hang up": Row(("hang-up",), "", None, X, State({"x": (1, 1)}, 2), prepare=HAVE_ALL),
    "hello": Row(
        ("Hello",),
        "[(other := shm.connect()).stats().clients, same(view := other.get('x')), store.delete('x'), held()]",
        [3, 1, None, None],
        State({}, 1),
        X,
        prepare=PUT_X,
        own=1,
        connections=2,
    ),
    "fork": Row(
        ("Hello", "Forked"),
        "[fork(), store.delete('x'), same(globals().pop('view'))]",
        [0, None, 1],
        NOTHING,
        X,
        prepare=PUT_INNER,
    ),
    "look": Row(("Look",), "store.get('nothing', default=None)", None, NOTHING),
    "wait": Row(("Wait", "Commit"), "wait_and_put()", [2, (1, 0)], State({"x": (2, 1)})),
    "give up": Row(("Wait", "Cancel"), "store.get('nothing', timeout=0.01, default=None)", None, NOTHING),
    "contain": Row(
        ("Commit",),
        "store.put(view[1000:], 'y').version",
        1,
        State({"x": (1, 1), "y": (1, 1)}),
        X,
        prepare=PUT_INNER,
    ),
    "delete contained": Row(
        ("Delete", "settle"),
        "store.delete('x')",
        None,
        State({"y": (1, 1)}, 1),
        State({"x": (1, 1), "y": (1, 1)}),
        prepare=PUT_OUTER,
        views=("y",),
    ),
    "delete container": Row(
        ("Delete", "settle"),
        "store.delete('y')",
        None,
        NOTHING,
        State({"y": (1, 1)}, 1),
        prepare=f"{PUT_OUTER}; store.delete('x')",
    ),
    "restart": Row(
        ("restart", "Reserve"),
        "[os.kill(store.stats().pid, 9), put(2, 'x')][1]",
        (2, 1),
        State({"x": (2, 2)}, 2),
        State({"x": (1, 1)}, 2),
        prepare=HAVE_ALL,
        own=2,
    ),
}


@pytest.fixture(scope="module")
def clients() -> Iterator[Any]:
    with nursery() as made:
        yield made


@pytest.fixture
def world(runtime_folder, clients, monkeypatch) -> Iterator[World]:
    for name, value in World.environment(runtime_folder).items():
        monkeypatch.setenv(name, value)
    world = World(runtime_folder, clients)
    yield world
    world.close()


def try_all(world: World, row: Row, die: Callable[[Trial], None]) -> None:
    """Let somebody die at each step of each event."""
    for event in row.events:
        for step in itertools.count():
            if not try_one(world, row, f"{event} {step}", die):
                break
        assert step > 0, f"no {event} was seen"


def try_one(world: World, row: Row, step: str, die: Callable[[Trial], None]) -> bool:
    """Let somebody die at this step; False when there is no such step."""
    trial = Trial(world, row, step)
    try:
        die(trial)
        return trial.end()
    except Exception as error:
        raise AssertionError(f"at {step}: {error}") from error


# --- Who dies ---------------------------------------------------------------------------------------------------------


def the_store(trial: Trial) -> None:
    trial.order(f"{trial.step} SIGKILL")
    trial.call()
    trial.holds()


def the_store_and_the_next_one(trial: Trial) -> None:
    """One before the call, one in the call, the next one in its restart, each time a step later; and more afterwards."""
    world = trial.world
    world.kill_store()
    again = f"restart {world.next_step} SIGKILL"
    trial.order(f"{trial.step} SIGKILL", again)
    trial.call()
    trial.holds()
    world.next_step = 0 if again in trial.withdraw() else world.next_step + 1
    world.kill_store()
    trial.holds()
    trial.delete_names()
    world.kill_store()
    trial.has_no_names()


def the_store_twice_at_one_packet(trial: Trial) -> None:
    """Then the packet is dropped, with its connection: unless it was carried out before the first death."""
    event, step = trial.step.split()
    trial.order(f"{event} {step} SIGKILL", f"{event} {int(step) % 3} SIGKILL")
    trial.send()
    if trial.is_refused():
        assert KILLER in trial.world.log.read_text()
        trial.withdraw()
        trial.client("store.put(full(9), 'z'); store.delete('z')")
        trial.client.close()
        trial.holds_without_client(trial.row.before)
    else:
        trial.holds()


def the_client(trial: Trial) -> None:
    def strike(store: int) -> None:
        trial.client.kill()
        os.kill(store, signal.SIGCONT)

    strike_with_client(trial, strike)


def the_client_and_the_store(trial: Trial) -> None:
    def strike(store: int) -> None:
        trial.client.kill()
        kill_store(store)

    strike_with_client(trial, strike)


def the_client_and_then_the_store(trial: Trial) -> None:
    """When it finds out that the client has died, each time a step later."""

    def strike(store: int) -> None:
        trial.client.kill()
        os.kill(store, signal.SIGCONT)

    world = trial.world
    again = f"hang-up {world.next_step} SIGKILL"
    strike_with_client(trial, strike, again)
    world.next_step = 0 if again in trial.withdraw() else world.next_step + 1


def strike_with_client(trial: Trial, strike: Callable[[int], None], more: str = "") -> None:
    if trial.interrupt(strike, more=more):
        trial.holds_without_client(trial.row.after, trial.row.before, *trial.row.between)
    else:
        trial.answer()
        trial.holds()


def the_keeper_then_the_store(trial: Trial) -> None:
    trial.world.kill_keeper()
    the_store(trial)


def the_keeper_and_later_the_store(trial: Trial) -> None:
    """The keeper in the midst of the call; the store when all is done, and there is another keeper."""
    keeper = trial.world.store.stats().keeper

    def strike(store: int) -> None:
        os.kill(keeper, signal.SIGKILL)
        os.kill(store, signal.SIGCONT)

    was_there = trial.interrupt(strike)
    trial.answer()
    trial.holds()
    trial.withdraw()
    if was_there:
        trial.world.wait_for_keeper(keeper)
        trial.world.kill_store()
        trial.holds()


COLUMNS = {
    the_store: set(ROWS),
    the_client_and_the_store: set(ROWS) - {"refused put", "put too large", "refused delete", "look", "give up", "wait"},
    the_store_and_the_next_one: {"overwrite"},
    the_store_twice_at_one_packet: {"overwrite"},
    the_client: {"overwrite"},
    the_client_and_then_the_store: {"overwrite"},
    the_keeper_then_the_store: {"overwrite"},
    the_keeper_and_later_the_store: {"overwrite"},
}
"""Who dies, and the rows in which that is quick and tells the most."""

SENSELESS = {
    ("hang up", the_client),
    ("hang up", the_client_and_the_store),
    ("hang up", the_client_and_then_the_store),
    # Two requests in two threads: which of them the end of the connection hits is a matter of chance.
    ("wait", the_store_twice_at_one_packet),
}


def cases() -> Iterator[Any]:
    for row, column in itertools.product(ROWS, COLUMNS):
        if (row, column) not in SENSELESS:
            marks = [] if row in COLUMNS[column] else [pytest.mark.slow]
            yield pytest.param(row, column, marks=marks, id=f"{row}-{column.__name__}")


@pytest.mark.parametrize(("row", "die"), list(cases()))
def test_whoever_dies_at_whatever_step_the_promises_hold(world, row, die):
    try_all(world, ROWS[row], die)
    world.leave(expected_error=KILLER if die is the_store_twice_at_one_packet else "")


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_a_second_death_at_any_step_of_the_restart_changes_nothing(world, row):
    restart_steps = itertools.count()
    is_last = False

    def die(trial: Trial) -> None:
        nonlocal is_last
        again = f"restart {next(restart_steps)} SIGKILL"
        trial.order(f"{trial.step} SIGKILL", again)
        trial.call()
        trial.holds()
        is_last = again in trial.withdraw()

    for event in ROWS[row].events:
        for step in itertools.count():
            restart_steps, is_last = itertools.count(), False
            while was_there := try_one(world, ROWS[row], f"{event} {step}", die):
                if is_last:
                    break
            if not was_there:
                break
    world.leave()


# --- When others are about --------------------------------------------------------------------------------------------

RIVALS = {
    "put": (5, ((1, 0), 2, {"x": (5, 2)}), ((2, 1), 1, {"x": (2, 2)})),
    "overwrite": (5, ((2, 1), 3, {"x": (5, 3)}), ((3, 2), 2, {"x": (2, 3)})),
    "refused put": (0, ("ObjectExistsError", 0, {}), ("(1, 0)", 0, {"x": (2, 1)})),
    "delete": (5, (None, 1, {"x": (5, 1)}), (None, 2, {})),
    "refused delete": (5, ("ObjectNotFoundError", 1, {"x": (5, 1)}), ("None", 1, {})),
}
"""What the witness puts as "x" (0: it deletes "x"), while the store stands still, which then dies: the next one finds
both requests.  What the call returns, the version of the witness's put, and what there is then, when the call comes
first, and when it comes second."""


@pytest.mark.parametrize("row", RIVALS)
def test_what_was_done_is_not_done_again_after_what_others_did_since(world, row):
    value, first, second = RIVALS[row]
    row = replace(ROWS[row], is_awaited=False)

    def die(trial: Trial) -> None:
        bystander = Bystander(world, trial.client)
        rival = Rival(world.store, value)
        is_first = True

        def strike(store: int) -> None:
            nonlocal is_first
            # The witness sees what the call does, or knows that it has returned: then what it does itself comes second.
            is_seen = row.before != row.after and world.seen() == row.after.names.get("x", (0, 0))
            is_first = is_seen or eventually(trial.client.has_answered, 0.1)
            rival.post()
            kill_store(store)

        # The queue of the witness is empty then, so the next store finds its request first.
        if not trial.interrupt(strike, bystander.has_answer):
            trial.withdraw()
            rival.post()
        outcome = (trial.client.answer(), rival.version(), world.look().names)
        assert outcome in ([first] if is_first else [first, second]), (outcome, is_first)
        world.check(State(outcome[2], len(row.views)), clients=3, reserved=0)

    try_all(world, row, die)
    world.leave()


def test_a_new_client_is_not_taken_for_one_that_died(world):
    """Were ids given twice, requests of the new one would pass for those that the old one's objects tell of."""
    world.begin()
    old = world.new_client()
    old(PUT_X)
    old.kill()
    world.check(X, clients=1)
    world.kill_store()

    new = world.new_client()
    world.order("Commit 0 SIGKILL")  # its second request, as the old one's put was

    assert new("put(2, 'x')") == (2, 1)
    assert world.orders_left() == []
    world.check(State({"x": (2, 2)}), clients=2)
    world.end()
    world.leave()


def test_what_a_client_has_read_is_counted_once(world):
    world.begin()
    reads = 0
    for step in itertools.count():
        client = world.new_client()
        client("[store.get('standing')[0] for _ in range(3)]")
        world.order(f"hang-up {step} SIGKILL")
        client.kill()
        assert eventually(lambda: world.store.stats().clients == 1)
        reads += 3
        assert world.store.info("standing").reads == reads + 1, f"at hang-up {step}"
        if world.orders_left():
            break
    world.end()
    world.leave()


# --- A packet that kills ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "call"),
    [
        ("Reserve", "store.put(full(2), 'x')"),
        ("Commit", "store.put(full(2), 'x')"),
        ("Delete", "store.delete('x')"),
        ("Look", "store.get('nothing')"),
        ("Wait", "store.get('nothing', timeout=None)"),
        ("Stats", "store.stats()"),
        ("Info", "store.info('x')"),
        ("List", "store.list()"),
    ],
)
def test_a_packet_that_kills_the_store_twice_is_dropped_with_its_connection(world, event, call):
    world.begin()
    client, other = world.new_client(), world.new_client()
    client("store.put(full(1), 'x'); view = store.get('x'); ref = store.put(full(3))")
    other("waiting = waiting('later')")
    world.view("x")

    world.order(f"{event} 0 SIGKILL", f"{event} 0 SIGKILL")
    with pytest.raises(PeerError, match="StoreConnectionError"):
        client(call)

    assert world.orders_left() == []
    assert KILLER in world.log.read_text()
    # One connection more: the old one lives on with its view.
    assert client("[same(view), store.stats().clients]") == [1, 4]
    world.check(State({"x": (1, 1)}, 1), clients=4)
    assert world.store.put(full(2), "later").version == 1
    assert other("waiting.result()") == 2
    world.end()
    world.leave(expected_error=KILLER)


def test_hello_that_kills_the_store_is_said_again(world):
    world.order(*3 * ["Hello 0 SIGKILL"])
    client = world.new_client()
    assert world.orders_left() == []
    assert client("store.stats().clients") == 2
    world.end()
    world.leave()


# --- Keeper and store -------------------------------------------------------------------------------------------------


def test_when_store_and_keeper_die_all_is_lost_and_freed_and_the_next_use_starts_afresh(world):
    for step in itertools.count():
        if not all_is_lost(world, f"Commit {step}"):
            break
    assert step > 0
    world.leave()


def all_is_lost(world: World, step: str) -> bool:
    """Kill both at this step of an overwrite; False when there is no such step."""
    trial = Trial(world, ROWS["overwrite"], step)
    stats, heap = world.store.stats(), world.heap()
    assert str(os.getpid()) in holders_of(heap)
    bystander = Bystander(world, trial.client)

    def strike(store: int) -> None:
        os.kill(stats.keeper, signal.SIGKILL)
        assert eventually(lambda: not is_alive(stats.keeper))
        kill_store(store)

    if not trial.interrupt(strike, bystander.has_answer):
        assert (trial.client.answer(), bystander.client.answer()) == (trial.row.result, 3)
        return trial.end()
    trial.is_refused()  # or not, if the answer was sent
    if bystander.has_asked:
        with pytest.raises(PeerError, match="StoreConnectionError"):
            bystander.client.answer()
    for client in (trial.client, bystander.client):
        client.send("store.keys()")
        assert client.answer(warned=("StoreLostWarning",)) == []
        assert client("store.keys()") == []
    with pytest.warns(StoreLostWarning):
        assert world.store.keys() == []
    world.check_views()
    assert world.store.put(full(6), "x").version == 1
    assert (world.store.stats().starts, world.store.stats().keeper > 0) == (1, True)
    world.end()
    assert eventually(lambda: not holders_of(heap)), f"heap {heap} is not freed"
    return True
