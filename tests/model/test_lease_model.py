"""The lease protocol keeps its promise in every interleaving, and loses it with any safeguard taken out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest

from .explorer import Report, explore
from .lease_model import (
    HEALTHY,
    SMALL,
    Bounds,
    LeaseModel,
    Protocol,
    freed_under_a_lease,
    miscounted,
    scan_finds_lease,
)
from .lease_state import State, StorePhase, count_of, generation_of, lease

NEITHER_LOCK_NOR_BUSY_RULE = replace(HEALTHY, lock_covers_step_1=False, busy_word_stays=False)

# What is taken out, and a step without which the violation would have another cause than this.
MUTANTS = {
    "grace": (replace(HEALTHY, grace=False), "store: the scan finds lease word 0<<24|0"),
    "grace_after_restart": (replace(HEALTHY, grace_after_restart=False), "store: is started again, reads DYING 1"),
    "whole_words": (replace(HEALTHY, whole_words=False), "memory: the client's lease word 0<<24|0 arrives"),
    "recheck": (replace(HEALTHY, recheck=False), "T0 without step 3: believes in its lease"),
    "lock_covers_step_1 and busy_word_stays": (
        NEITHER_LOCK_NOR_BUSY_RULE,
        "store: the scan finds lease word 1<<24|1, frees the bytes of generation 2",
    ),
    "table_outlives_store": (
        replace(HEALTHY, table_outlives_store=False),
        "store: the scan finds no table, frees the bytes of generation 1",
    ),
    "table_outlives_close": (
        replace(HEALTHY, table_outlives_close=False),
        "store: the scan finds no table, frees the bytes of generation 1",
    ),
}


def explored(protocol: Protocol = HEALTHY, bounds: Bounds = SMALL) -> Report:
    model = LeaseModel(protocol, bounds)
    return explore(model.initial, model.successors, freed_under_a_lease)


@pytest.mark.parametrize(
    ("bounds", "at_least"),
    [
        (SMALL, 70_000),
        (Bounds(threads=3, gets_per_thread=1), 28_000),
        (Bounds(threads=1, gets_per_thread=3, generations=3, deaths=2), 34_000),
        (Bounds(threads=2, gets_per_thread=1, generations=3, deaths=2), 19_000),
    ],
    ids=str,
)
def test_no_interleaving_frees_bytes_under_a_lease(bounds: Bounds, at_least: int) -> None:
    report = explored(bounds=bounds)

    assert report.trace is None, report.violation
    # A model that cannot move keeps every promise; the numbers are a little below what is there.
    assert report.states > at_least


@pytest.mark.parametrize(
    "step",
    [
        "T0 step 3: reads LIVE 1, holds the lease",
        "T1 step 3: reads LIVE 2, holds the lease",
        "T0 step 2: writes lease word 1<<24|4",
        "T0 step 3: reads DYING 1, undoes",
        "T0 step 3: reads LIVE 2, undoes",
        "T1 releases generation 2",
        "memory: the client's lease word 1<<24|1 arrives",
        "store: the grace is over",
        "store: the scan finds lease word 1<<24|0, frees the bytes of generation 1",
        "store: the scan finds no table, frees the bytes of generation 1",
        "store: writes LIVE 2",
        "store: the scan finds lease word 2<<24|0, frees the bytes of generation 2",
        "store: dies",
        "store: is started again, reads LIVE 1",
        "store: is started again, reads DYING 1",
        "store: is started again, reads FREE 1",
        "client: hangs up",
    ],
)
def test_the_healthy_protocol_takes_every_kind_of_step(healthy: Report, step: str) -> None:
    assert step in healthy.labels


@pytest.fixture(scope="module")
def healthy() -> Report:
    return explored()


def test_the_clients_word_always_counts_what_its_threads_hold() -> None:
    model = LeaseModel()

    report = explore(model.initial, model.successors, miscounted)

    assert report.trace is None, report.violation
    assert report.states > 70_000


@pytest.mark.parametrize("missing", MUTANTS)
def test_without_one_safeguard_bytes_are_freed_under_a_lease(missing: str) -> None:
    protocol, telling_step = MUTANTS[missing]

    report = explored(protocol)

    assert report.trace
    assert report.violation is not None
    assert "holds a lease on generation" in report.violation
    assert any(label.startswith(telling_step) for label in report.trace), report.trace


def test_every_safeguard_has_a_mutant() -> None:
    taken_out = {
        field.name
        for protocol, _ in MUTANTS.values()
        for field in fields(Protocol)
        if not getattr(protocol, field.name)
    }

    assert taken_out == {field.name for field in fields(Protocol)}


def test_step_1_outside_the_lock_is_harmless_while_a_busy_word_is_never_replaced() -> None:
    report = explored(replace(HEALTHY, lock_covers_step_1=False))

    assert report.trace is None, report.violation
    assert report.states > 130_000
    # The rule that makes it harmless was needed, and was followed.
    assert "T0 step 2: finds a busy lease word 2<<24|1, gives up" in report.labels


def test_a_busy_word_is_never_met_while_the_lock_covers_step_1(healthy: Report) -> None:
    report = explored(replace(HEALTHY, busy_word_stays=False))

    assert report.trace is None, report.violation
    assert report.states == healthy.states
    assert not any("busy" in label for label in healthy.labels)


def test_a_store_that_never_dies_needs_no_grace_after_a_restart() -> None:
    report = explored(replace(HEALTHY, grace_after_restart=False), Bounds(deaths=0))

    assert report.trace is None, report.violation
    assert report.states > 10_000


def test_a_lease_that_is_taken_while_no_store_lives_is_seen_by_the_next_one() -> None:
    model = LeaseModel(bounds=Bounds(gets_per_thread=1))

    def only_the_client_while_dead(state: State) -> Iterator[tuple[str, State]]:
        is_dead = state.store is StorePhase.DEAD and not any(thread.held for thread in state.threads)
        for label, successor in model.successors(state):
            if not (is_dead and label.startswith("store: is started")):
                yield label, successor

    def waits(state: State) -> str | None:
        """Not a fault: this searches for the scan that finds such a lease."""
        is_next = state.store is StorePhase.SCAN and not state.deaths_left
        return "the next store waits" if is_next and scan_finds_lease(state, state.slot.generation) else None

    report = explore(model.initial, only_the_client_while_dead, waits)

    assert report.trace
    assert report.trace.index("store: dies") < report.trace.index("T0 step 3: reads LIVE 1, holds the lease")


@pytest.mark.parametrize("phase", [phase for phase in StorePhase if phase is not StorePhase.DEAD], ids=str)
def test_the_store_may_die_in_every_phase(phase: StorePhase) -> None:
    model = LeaseModel()

    def dies_in_it(state: State) -> str | None:
        """Not a fault: this searches for a death in the phase."""
        deaths = [after for label, after in model.successors(state) if label == "store: dies"]
        return "may die" if state.store is phase and deaths else None

    assert explore(model.initial, model.successors, dies_in_it).trace is not None


def test_a_client_that_closes_while_views_live_keeps_the_bytes_until_it_hangs_up() -> None:
    model = LeaseModel()

    def closed_and_scanned(state: State) -> str | None:
        """Not a fault: this searches for the case that the promise is about."""
        waits = state.store.name == "SCAN" and state.connection.name == "CLOSED"
        return "the store waits for a closed client's view" if waits and state.threads[0].held == (1,) else None

    report = explore(model.initial, model.successors, closed_and_scanned)

    assert report.trace


@pytest.mark.parametrize(("generation", "count"), [(0, 0), (1, 0), (1, 1), (2, 2**24 - 1), (2**40 - 1, 3)])
def test_a_lease_word_gives_back_its_generation_and_count_and_fits_64_bits(generation: int, count: int) -> None:
    word = lease(generation, count)

    assert (generation_of(word), count_of(word)) == (generation, count)
    assert word < 2**64
