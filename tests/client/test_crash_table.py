"""The crash table: at every step of every call somebody dies, and what was promised holds.

A row is a call, a column says who dies.  Each trial is one step of the store, numbered by ``crash_points``; steps are
tried until there is none left, so new ones are found by themselves.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from crash_table import Client, State, World, forker, full
from peers import kill_store


@dataclass(frozen=True)
class Row:
    """One call, and what must hold.

    Attributes:
        events: What of it can be interrupted.
        call: What the client does; ``""``: it dies.
        result: What the call returns when it returns: when the client lives, always.
        after: What there is when it has returned.
        before: What there was before.  A dead client's call has happened, or not: after it there is one of the two.
        prepare: What the client does first.
        views: Names that the witness reads before, and through it all.
        own: How many of the nameless objects are there for the client alone.
        connections: How many the client has in the end.
        reserves: Bytes that the client has reserved, besides its nursery.
        refs: Values of the objects without a name that the client's ``refs`` are of: whoever has these can fetch them.
        is_awaited: Another client waits for the name "x".
    """

    events: tuple[str, ...]
    call: str
    result: Any
    after: State
    before: State = field(default_factory=State)
    prepare: str = ""
    views: tuple[str, ...] = ()
    own: int = 0
    connections: int = 1
    reserves: int = 0
    refs: tuple[int, ...] = ()
    is_awaited: bool = False


X, X2 = State({"x": (1, 1)}), State({"x": (2, 1)})
PUT_X = "store.put(full(1), 'x')"
PUT_INNER = f"{PUT_X}; view = store.get('x')"
PUT_OUTER = f"{PUT_INNER}; store.put(view[1000:], 'y'); view = None"
HAVE_NURSERY = "store.put(full(6), 'y'); store.delete('y')"
HAVE_ALL = (
    f"{PUT_X}; store.put(full(3), 'y'); view = store.get('y'); store.delete('y'); refs = [store.put(full(4))]; "
    "store._session.connection.request(m.Reserve, 1 << 20); held()"
)

ROWS = {
    "put": Row(("ReserveNursery", "Commit"), "store.put(full(2), 'x').version", 1, X2, is_awaited=True),
    "large put": Row(("Reserve", "Commit"), "store.put(large(2), 'x').version", 1, X2, is_awaited=True),
    "put out of the next nursery": Row(
        ("ReserveNursery", "Commit", "Abandon"),
        "store.put(full(5), 'x').version",
        5,
        State({"x": (5, 5)}),
        State({"x": (4, 4)}),
        "[store.put(full(n), 'x').id for n in range(1, 5)]",
    ),
    "overwrite": Row(
        ("Commit",), "store.put(full(2), 'x').version", 2, State({"x": (2, 2)}, 1), X, PUT_X, views=("x",)
    ),
    "delete": Row(("Delete",), "store.delete('x')", None, State({}, 1), X, PUT_X, views=("x",)),
    "anonymous": Row(
        ("Ring", "settle"),
        "globals().update(refs=[store.put(full(2)), store.put(little(3))])",
        None,
        State({}, 2),
        prepare=HAVE_NURSERY,
        own=2,
        refs=(2, 3),
    ),
    "anonymous, and the store looks by itself": Row(
        ("settle",),
        "[have_ring_read(), globals().update(refs=[store.put(full(2)), store.put(little(3))])][-1]",
        None,
        State({}, 2),
        prepare=HAVE_NURSERY,
        own=2,
        refs=(2, 3),
    ),
    "anonymous and gone": Row(
        ("Ring", "settle"),
        "[same(store.get(store.put(little(2)))), store.stats().clients]",
        [2, 2],
        State(),
        prepare=HAVE_NURSERY,
    ),
    "anonymous, and nobody reads the ring": Row(
        ("restart",),
        "[pid := store.stats().pid, os.kill(pid, 19), refs := [store.put(full(2)), store.put(little(3))], "
        "os.kill(pid, 9), store.stats().starts > 1][-1]",
        True,
        State({}, 2),
        prepare=HAVE_NURSERY,
        own=2,
        refs=(2, 3),
    ),
    "large anonymous": Row(
        ("Reserve", "Commit", "Drop", "settle"),
        "[same(store.get(store.put(large(2)))), store.stats().clients]",
        [2, 2],
        State(),
    ),
    "end of a nursery": Row(("Abandon",), "store._session.cutter.let_go()", None, X, X, PUT_X),
    "free": Row(("settle",), "store.delete('x')", None, State(), X, PUT_X),
    "let go": Row(
        ("Hint", "settle"),
        "[same(globals().pop('view')), store.stats().clients]",
        [1, 2],
        State(),
        State({}, 1),
        f"{PUT_INNER}; store.delete('x'); held()",
        own=1,
    ),
    "hang up": Row(("hang-up",), "", None, X, State({"x": (1, 1)}, 2), HAVE_ALL, reserves=1 << 20),
    "hello": Row(("Hello",), "(other := shm.connect()).stats().clients", 3, State(), connections=2),
    "events": Row(("Events",), "type(store.events()) is list", True, X, X, PUT_X),
    "look": Row(("Look",), "store.get('nothing', default=None)", None, State()),
    "wait": Row(("Wait", "Commit"), "wait_and_put()", [2, 1], X2),
    "contain": Row(
        ("Commit",), "store.put(view[1000:], 'y').version", 1, State({"x": (1, 1), "y": (1, 1)}), X, PUT_INNER
    ),
    "contain what the ring tells of": Row(
        ("Commit",),
        "[have_ring_read(), ref := store.put(full(1)), store.put(store.get(ref)[1000:], 'y').version][-1]",
        1,
        State({"y": (1, 1)}, 1),
        prepare=HAVE_NURSERY,
    ),
    "delete contained": Row(
        ("Delete", "settle"),
        "store.delete('x')",
        None,
        State({"y": (1, 1)}, 1),
        State({"x": (1, 1), "y": (1, 1)}),
        PUT_OUTER,
        views=("y",),
    ),
    "delete container": Row(
        ("Delete", "settle"),
        "store.delete('y')",
        None,
        State(),
        State({"y": (1, 1)}, 1),
        f"{PUT_OUTER}; store.delete('x')",
    ),
    "promise": Row(
        ("Pend",),
        "globals().update(refs=[promised()])",
        None,
        State({}, 1),
        own=1,
    ),
    "promise that nobody wants": Row(("Pend", "Drop", "settle"), "[promised(), store.stats().clients][1]", 2, State()),
    "make": Row(
        ("Fulfil",),
        "make(refs[0], full(2))",
        None,
        State({}, 1),
        State({}, 1),
        f"{HAVE_NURSERY}; refs = [promised()]",
        own=1,
        refs=(2,),
    ),
    "make what is large": Row(
        ("Reserve", "Fulfil"),
        "make(refs[0], large(2))",
        None,
        State({}, 1),
        State({}, 1),
        "refs = [promised()]",
        own=1,
        refs=(2,),
    ),
    "make it stand for another": Row(
        ("Fulfil",),
        "stand(refs[0], refs[1])",
        None,
        State({}, 2),
        State({}, 2),
        "refs = [promised(), store.put(full(3))]",
        own=2,
        refs=(3, 3),
    ),
    "make what is contained": Row(
        ("Fulfil",),
        "make(refs[0], full(2))",
        None,
        State({}, 2),
        State({}, 2),
        f"{HAVE_NURSERY}; refs = [promised()]; box = store.put([refs[0]])",
        own=2,
        refs=(2,),
    ),
    "end of who has promised": Row(("hang-up",), "", None, State(), State({}, 1), "refs = [promised()]"),
    "put on terms": Row(
        ("Commit",),
        "store.put(full(2), 'x', ttl=1000, pin=True).version",
        2,
        State({"x": (2, 2)}, terms={"x": "pinned expires"}),
        State({"x": (1, 1)}, terms={"x": "expires"}),
        "store.put(full(1), 'x', ttl=1000)",
    ),
    "large put on terms": Row(
        ("Commit",),
        "store.put(large(2), 'x', ttl=1000, pin=True).version",
        1,
        State({"x": (2, 1)}, terms={"x": "pinned expires"}),
    ),
    "put for as long as it lives": Row(
        ("Commit", "hang-up"),
        "[store.put(large(2), 'x', lifetime='kernel').version, store.close()][0]",
        1,
        State(),
        connections=0,
    ),
    "pin": Row(("Pin",), "store.pin('x')", None, State({"x": (1, 1)}, terms={"x": "pinned"}), X, PUT_X),
    "unpin": Row(
        ("Pin",), "store.unpin('x')", None, X, State({"x": (1, 1)}, terms={"x": "pinned"}), f"{PUT_X[:-1]}, pin=True)"
    ),
    "unpin what is over": Row(
        ("Pin",),
        "store.unpin('x')",
        None,
        State({}, 1),
        State({"x": (1, 1)}, terms={"x": "pinned expires"}),
        f"{PUT_X[:-1]}, pin=True, ttl=1e-9)",
        views=("x",),
    ),
    "expire": Row(("Expire",), "store.expire('x', 1000)", None, State({"x": (1, 1)}, terms={"x": "expires"}), X, PUT_X),
    "expiry": Row(("settle",), "[store.expire('x', 1e-9), gone('x')][1]", True, State({}, 1), X, PUT_X, views=("x",)),
    "end of a publisher": Row(
        ("hang-up",),
        "",
        None,
        X,
        State({"x": (1, 1), "y": (2, 1), "z": (3, 1)}, terms={"y": "kernel", "z": "pinned kernel"}),
        f"{PUT_X}; store.put(full(2), 'y', lifetime='kernel'); store.put(large(3), 'z', lifetime='kernel', pin=True)",
    ),
    "restart": Row(
        ("restart",),
        "[os.kill(store.stats().pid, 9), store.put(full(2), 'x').version][1]",
        2,
        State({"x": (2, 2)}, 2),
        State({"x": (1, 1)}, 2),
        HAVE_ALL,
        own=2,
        reserves=1 << 20,
        refs=(4,),
    ),
}


# --- One trial --------------------------------------------------------------------------------------------------------


class Trial:
    """One row and one step; who dies is the column's.

    Args:
        world: The store and the witness.
        row: Of the table.
        step: ``event step`` of the order.
    """

    def __init__(self, world: World, row: Row, step: str) -> None:
        self.world = world
        self.row = row
        self.step = step
        self.waiter: Client | None = None
        world.begin()
        if row.is_awaited:
            self.waiter = world.new_client()
            self.waiter("waiting = waiting()")
        self.client = world.new_client()
        if row.prepare:
            self.client(row.prepare)
        for name in row.views:
            world.view(name)
        self._left: list[str] = []
        world.check(row.before, clients=1 + len(world.clients))

    def order(self, signal: str, *more: str) -> None:
        """Let it happen."""
        self.world.order(f"{self.step} {signal}", *more)

    def call(self) -> None:
        """The call, to its end."""
        if self.row.call:
            assert self.client(self.row.call) == self.row.result
        else:
            self.client.kill()

    def has_returned(self) -> bool:
        """Is the call over, and everything that the store had to do for it?"""
        return self.client.has_answered() and self.world.look() == self.row.after

    def let_die_with_client(self, and_then: Callable[[int], None]) -> None:
        """Let the client die at the step.

        Args:
            and_then: Lets the store go on, which stands still there, or kills it.
        """
        self.order("SIGSTOP")
        self.client.send(self.row.call)
        with self.world.standing_still(self.has_returned) as store:
            if store is not None:
                self.client.kill()
                and_then(store)
        if store is None:
            self.withdraw()  # what we do from here on is not what is tried
            assert self.client.answer() == self.row.result
            self.holds()
        else:
            self.holds_without_client()

    def holds(self) -> None:
        """What must hold after a call that has returned."""
        lives = bool(self.row.call)
        clients = 1 + lives * self.row.connections + (self.waiter is not None)
        self.world.check(self.row.after, clients=clients)
        assert self.world.fetch(self.client("refs") if self.row.refs else []) == list(self.row.refs)

    def holds_without_client(self) -> None:
        """What must hold when the client has died in its call."""
        allowed = [
            State(one.names, max(0, one.nameless - self.row.own), one.terms)
            for one in (self.row.after, self.row.before)
        ]
        self.world.check(*allowed, clients=1 + (self.waiter is not None))

    def withdraw(self) -> list[str]:
        """Let nobody die any more.

        Returns:
            The events of the orders that were not carried out.
        """
        self._left += self.world.orders_left()
        self.world.order()
        return [line.split()[0] for line in self._left]

    def end(self) -> bool:
        """Let go of everything.

        Returns:
            Was the order carried out?
        """
        self.withdraw()
        if self.waiter is not None:
            if not self.world.look().names:
                assert self.world.store.put(full(2), "x").version == 1
            assert self.waiter("waiting.result()") == 2
        self.world.check_reserved(self.row.reserves if self.client.is_alive else 0)
        self.world.end()
        return not any(line.startswith(f"{self.step} ") for line in self._left)


@pytest.fixture(scope="module")
def clients() -> Iterator[Any]:
    with forker() as made:
        yield made


@pytest.fixture
def world(runtime_folder, clients) -> Iterator[World]:
    world = World(runtime_folder, clients)
    yield world
    world.close()


def try_all(world: World, row: Row, die: Callable[[Trial], None]) -> None:
    """Let somebody die at each step of each event."""
    for event in row.events:
        for step in itertools.count():
            trial = Trial(world, row, f"{event} {step}")
            try:
                die(trial)
                was_there = trial.end()
            except Exception as error:
                raise AssertionError(f"at {trial.step}: {error}") from error
            if not was_there:
                break
        assert step > 0, f"no {event} was seen"
    world.leave()


# --- Who dies ---------------------------------------------------------------------------------------------------------


def the_store(trial: Trial) -> None:
    trial.order("SIGKILL")
    trial.call()
    trial.holds()


def the_store_and_the_next_one(trial: Trial) -> None:
    """The second one in its restart, each time a step later; and the third one when all is done."""
    world = trial.world
    trial.order("SIGKILL", f"restart {world.restart_step} SIGKILL")
    trial.call()
    trial.holds()
    world.restart_step = 0 if "restart" in trial.withdraw() else world.restart_step + 1
    world.kill_store()
    trial.holds()


def the_client(trial: Trial) -> None:
    trial.let_die_with_client(lambda store: os.kill(store, signal.SIGCONT))


def the_client_and_the_store(trial: Trial) -> None:
    trial.let_die_with_client(kill_store)


def the_keeper_then_the_store(trial: Trial) -> None:
    trial.world.kill_keeper()
    the_store(trial)


COLUMNS = [the_store, the_store_and_the_next_one, the_client, the_client_and_the_store, the_keeper_then_the_store]


TWICE = COLUMNS[1], *COLUMNS[3:]
"""More than one process dies: one of these for each row, in turn, in the quick suite; all of them in the slow one."""


def cases(rows: dict[str, Row]) -> Iterator[Any]:
    for (number, row), column in itertools.product(enumerate(rows), COLUMNS):
        if rows[row].call or "client" not in column.__name__:
            is_slow = column in TWICE and column is not TWICE[number % len(TWICE)]
            marks = [pytest.mark.slow] if is_slow else []
            yield pytest.param(row, column, id=f"{row}-{column.__name__}", marks=marks)


@pytest.mark.reserve("0")
@pytest.mark.parametrize(("row", "die"), list(cases(ROWS)))
def test_whoever_dies_at_whatever_step_the_promises_hold(world, row, die):
    try_all(world, ROWS[row], die)


def test_a_pin_that_was_half_done_is_done_before_anybody_is_served(world):
    """Else an unpin that came after it could be answered first, and what it has unpinned be pinned again."""
    world.store.put(full(1), "x")
    later, first = world.new_client(), world.new_client()  # the one that connected first would be served first
    world.order("Pin 2 SIGSTOP")  # the word is written, the number is not
    first.send("store.pin('x')")
    with world.standing_still(first.has_answered) as store:
        assert store is not None
        later("numbers = []; store._session.connection.ask(m.Pin, 'x', 0, False, ticket=numbers)")

        kill_store(store)

    assert first.answer() is None
    assert type(later("store._session.connection.answer(numbers[0])")).__name__ == "Done"
    assert not world.store.info("x").pinned
    world.end()
    world.leave()


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_the_promises_hold_where_freed_memory_is_kept_for_the_next_put(world, row):
    try_all(world, ROWS[row], the_store)
