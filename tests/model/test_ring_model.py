"""Every entry of a ring is read without another call of its client, and with any safeguard taken out one is not."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from .explorer import Report, explore
from .ring_model import HEALTHY, Phase, RingModel, RingProtocol, RingState, left_behind

# What is taken out, and a step without which the violation would have another cause than this.
MUTANTS = {
    "last_look": "client: reads looking = 1, tells nobody",
    "grace": "store: looks for the last time",
    "write_before_read": "client: reads looking = 1, too early",
    "look_after_restart": "store: is started again, reads looking = 1",
    "tail_after_done": "store: dies",
}


def explored(protocol: RingProtocol = HEALTHY, entries: int = 3, deaths: int = 1) -> Report:
    model = RingModel(protocol, entries, deaths)
    return explore(model.initial, model.successors, left_behind)


@pytest.fixture(scope="module")
def healthy() -> Report:
    return explored()


@pytest.mark.parametrize(("entries", "deaths", "at_least"), [(3, 0, 150), (3, 1, 700), (4, 2, 2500), (6, 3, 9000)])
def test_no_interleaving_leaves_an_entry_behind(entries: int, deaths: int, at_least: int) -> None:
    report = explored(entries=entries, deaths=deaths)

    assert report.trace is None, (report.violation, report.trace)
    # A model that cannot move keeps every promise; the numbers are a little below what is there.
    assert report.states > at_least


@pytest.mark.parametrize(
    "step",
    [
        "client: reads looking = 0, rings",
        "client: reads looking = 1, tells nobody",
        "memory: an entry arrives",
        "memory: looking = 0 arrives",
        "memory: looking = 1 arrives",
        "store: a packet comes",
        "store: looks",
        "store: looks for the last time",
        "store: has done them, writes the tail",
        "store: dies",
        "store: is started again, reads looking = 0",
        "store: is started again, reads looking = 1",
    ],
)
def test_the_healthy_protocol_takes_every_kind_of_step(healthy: Report, step: str) -> None:
    assert step in healthy.labels


@pytest.mark.parametrize("missing", MUTANTS)
def test_without_one_safeguard_an_entry_is_never_read(missing: str) -> None:
    report = explored(replace(HEALTHY, **{missing: False}))

    assert report.trace
    assert report.violation is not None
    assert "will never be done" in report.violation
    assert MUTANTS[missing] in report.trace, report.trace


def test_every_safeguard_has_a_mutant() -> None:
    assert set(MUTANTS) == {field.name for field in fields(RingProtocol)}


@pytest.mark.parametrize("missing", ["look_after_restart", "tail_after_done"])
def test_a_store_that_never_dies_needs_no_safeguard_against_it(missing: str) -> None:
    report = explored(replace(HEALTHY, **{missing: False}), deaths=0)

    assert report.trace is None, report.trace


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.DEAD], ids=str)
def test_the_store_may_die_in_every_phase(phase: Phase) -> None:
    model = RingModel()

    def dies_in_it(state: RingState) -> str | None:
        """Not a fault: this searches for a death in the phase."""
        deaths = [after for label, after in model.successors(state) if label == "store: dies"]
        return "may die" if state.phase is phase and deaths else None

    assert explore(model.initial, model.successors, dies_in_it).trace is not None


def test_a_store_without_anything_to_read_comes_to_rest() -> None:
    """From every state that can be reached the buffers and the store alone lead to rest: it does not look for ever."""
    model = RingModel()

    def is_restless(state: RingState) -> str | None:
        seen = {state}
        while state.phase is not Phase.RESTING or state.buffered or state.store_buffer or state.has_rung:
            own = [
                s for label, s in model.successors(state) if not label.startswith("client") and label != "store: dies"
            ]
            if not own:
                return "nothing moves, and it does not rest"
            state = own[-1] if own[-1] not in seen else own[0]
            if state in seen:
                return "it goes round"
            seen.add(state)
        return None

    assert explore(model.initial, model.successors, is_restless).trace is None
