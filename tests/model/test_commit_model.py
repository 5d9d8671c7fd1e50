"""The name protocol keeps its promises between any two writes, and loses one with any safeguard taken out."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from .commit_model import HEALTHY, CommitModel, Protocol
from .commit_state import Scenario, State, delete, put, put_again
from .explorer import Report, explore

TWO_PUTS = (put(0, "x"), put(1, "x"))
OVERWRITES = (put(0, "x"), put(0, "x"), put(1, "x"), delete(1, "x"))
SLOTS_CHANGE_NAMES = (put(0, "x"), delete(0, "x"), put(1, "y"), put(1, "x"))
TWO_NAMES = (put(0, "x"), put(0, "y"), put(1, "x"), delete(1, "x"))
CONTAINED = (put(0, "x"), delete(0, "x"), put(0, "x"), put_again(1, "x", "y"), delete(1, "y"))
CONTAINED_TWICE = (put(0, "x"), put(0, "x"), put_again(1, "x", "y"), put_again(1, "y", "x"))

SCENARIOS = {
    "two puts of one name": (TWO_PUTS, 1_000),
    "overwrites and a delete": (OVERWRITES, 50_000),
    "slots used again for another name": (SLOTS_CHANGE_NAMES, 14_000),
    "two names": (TWO_NAMES, 30_000),
    "an object put again while its name goes": (CONTAINED, 10_000),
    "a container put again under the first name": (CONTAINED_TWICE, 3_500),
}

# What is taken out, where, and the promise that breaks.
MUTANTS = {
    "two_way": (TWO_PUTS, "stale: get yields #0 (put x) after #1 (put x) returned"),
    "row_after_names": (TWO_PUTS, "stale: get yields #0 (put x) after #1 (put x) returned"),
    "misses_ask": (TWO_PUTS, "stale: get finds nothing after #0 (put x) returned"),
    "names_compared": (SLOTS_CHANGE_NAMES, "foreign: get x yields #2 (put y)"),
    "frees_look_at_leases": (TWO_PUTS, "garbage: bytes that #0 (put x) needs"),
    "frees_look_at_containers": (CONTAINED, "garbage: bytes that #3 (put again x as y) needs"),
    "dying_containers_count": (CONTAINED, "garbage: bytes that #3 (put again x as y) needs"),
    "lease_until_answer": (CONTAINED, "garbage: bytes that #3 (put again x as y) needs"),
    "free_before_giving_back": (TWO_PUTS, "shared extent: [0] have two owners"),
}


def explored(scenario: Scenario, protocol: Protocol = HEALTHY) -> Report:
    model = CommitModel(scenario, protocol)
    return explore(model.initial, model.successors, model.promises.violated)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_promise_is_kept_between_any_two_writes(name: str) -> None:
    scenario, at_least = SCENARIOS[name]

    report = explored(scenario)

    assert report.trace is None, report.violation
    # A model that cannot move keeps every promise; the numbers are a little below what is there.
    assert report.states > at_least
    returns = [label for label in report.labels if label.endswith("sees its row, returns")]
    assert len(returns) == len(scenario), "an operation never returned, so nothing was shown about it"


@pytest.mark.parametrize(
    "step",
    [
        "reader: get x: the name word says slot 0",
        "reader: get x: slot 0 is LIVE, holds #2 (put x)",
        "reader: get x: slot 0 is DYING, a miss",
        "reader: get x: slot 0 is FREE, a miss",
        "reader: get x: slot 0 is RESERVED, a miss",
        "reader: get x: no name word, a miss",
        "store: answers get x: slot 0",
        "store: answers get x: no such name",
        "reader: get x ends, not found",
        "reader: releases #0 (put x)",
        "store: #3 (delete x): old slot DYING",
        "store: slot 0: FREE",
        "store: slot 0: extent given back and punched",
        "C0 #1 (put x): reserves slot 0, extent 0",
    ],
)
def test_the_overwriting_scenario_takes_every_kind_of_step(overwrites: Report, step: str) -> None:
    assert step in overwrites.labels


@pytest.fixture(scope="module")
def overwrites() -> Report:
    return explored(OVERWRITES)


@pytest.mark.parametrize("missing", MUTANTS)
def test_without_one_safeguard_a_promise_breaks(missing: str) -> None:
    scenario, broken = MUTANTS[missing]
    assert explored(scenario).trace is None

    report = explored(scenario, replace(HEALTHY, **{missing: False}))

    assert report.trace
    assert report.violation is not None
    assert report.violation.startswith(broken)


def test_every_safeguard_has_a_mutant() -> None:
    assert MUTANTS.keys() == {field.name for field in fields(Protocol)}


def test_a_one_way_delete_leaves_the_deleted_value_to_be_got() -> None:
    report = explored((put(0, "x"), delete(1, "x")), replace(HEALTHY, two_way=False))

    assert report.trace
    assert report.violation == "stale: get yields #0 (put x) after #1 (delete x) returned"


def test_the_old_value_is_still_got_until_the_put_returns() -> None:
    model = CommitModel(TWO_PUTS)

    def old_beside_new(state: State) -> str | None:
        """Not a fault: this searches for the moment in which both values may be held."""
        both_live = [slot.state.value for slot in state.slots].count("LIVE") == 2
        return "the older is held while the newer is LIVE" if both_live and state.reader.object >= 0 else None

    report = explore(model.initial, model.successors, old_beside_new)

    assert report.trace


def test_bytes_of_a_deleted_object_stay_under_a_reader_that_holds_its_container() -> None:
    model = CommitModel(CONTAINED)

    def held_through_container(state: State) -> str | None:
        """Not a fault: this searches for a held container, DYING itself, whose contained object is DYING too."""
        dying = {slot.object for slot in state.slots if slot.state.value == "DYING"}
        return "held" if state.reader.object == 3 and dying >= {0, 3} else None

    report = explore(model.initial, model.successors, held_through_container)

    assert report.trace
