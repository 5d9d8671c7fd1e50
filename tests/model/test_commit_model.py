"""The name protocol keeps its promises between any two writes, and loses one with any safeguard taken out."""

from __future__ import annotations

from dataclasses import fields

import pytest

from .commit_cases import (
    CONTAINED,
    MUTANTS,
    PUT_DELETE,
    RESTART_MUTANTS,
    SLOTS_CHANGE_NAMES,
    TWO_PUTS,
    WITHOUT_DEATHS,
    Case,
    explored,
    searched,
    without,
)
from .commit_protocol import Protocol
from .commit_state import ReaderPhase, SlotState, State


@pytest.mark.parametrize("name", WITHOUT_DEATHS)
def test_every_promise_is_kept_between_any_two_writes(name: str) -> None:
    case, at_least = WITHOUT_DEATHS[name]

    report = explored(case)

    assert report.trace is None, report.violation
    assert report.states > at_least
    returns = {label.split(": returns")[0] for label in report.labels if ": returns" in label}
    assert len(returns) == len(case.scenario), "an operation never returned, so nothing was shown about it"


@pytest.mark.parametrize(
    "step",
    [
        "reader: get x: the name word says slot 0",
        "reader: get x: slot 0 is LIVE, holds #2 (put x)",
        "reader: get x: slot 1 is LIVE, a miss",
        "reader: get x: slot 1 is DYING, a miss",
        "reader: get x: slot 1 is FREE, a miss",
        "reader: get x: slot 0 is RESERVED, a miss",
        "reader: get x: no name word, a miss",
        "store: answers get x: slot 1",
        "store: answers get x: no such name",
        "reader: releases #0 (put x)",
        "store: Commit of #1 (put x): old slot DYING",
        "store: Delete of #3 (delete x): old slot DYING",
        "store: slot 1: FREE",
        "store: slot 1: extent given back and punched",
        "C0 #1 (put x): fills extent 0, commits",
    ],
)
def test_the_overwriting_scenario_takes_every_kind_of_step(step: str) -> None:
    case, _ = WITHOUT_DEATHS["overwrites and a delete"]

    assert step in explored(case).labels


@pytest.mark.parametrize("missing", MUTANTS)
def test_without_one_safeguard_a_promise_breaks(missing: str) -> None:
    case, broken = MUTANTS[missing]
    assert explored(case).trace is None

    report = explored(case, without(*missing.split(" and ")))

    assert report.trace
    assert report.violation is not None
    assert report.violation.startswith(broken)


def test_every_safeguard_has_a_mutant() -> None:
    taken_out = {safeguard for key in (*MUTANTS, *RESTART_MUTANTS) for safeguard in key.split(" and ")}

    assert taken_out == {field.name for field in fields(Protocol)}


def test_the_name_need_not_be_compared_while_its_word_is_read_again() -> None:
    report = explored(Case(SLOTS_CHANGE_NAMES), without("names_compared"))

    assert report.trace is None, report.violation


def test_a_one_way_delete_leaves_the_deleted_value_to_be_got() -> None:
    report = explored(Case(PUT_DELETE), without("two_way"))

    assert report.trace
    assert report.violation == "stale: get yields #0 (put x) after #1 (delete x)"


def test_the_old_value_is_still_got_until_the_put_returns() -> None:
    def old_beside_new(state: State) -> str | None:
        both_live = [slot.state for slot in state.slots].count(SlotState.LIVE) == 2
        is_held = state.reader.phase is ReaderPhase.HOLDING
        return "the older is held while the newer is LIVE" if both_live and is_held else None

    assert searched(Case(TWO_PUTS), old_beside_new).trace


def test_bytes_of_a_deleted_object_stay_under_a_reader_that_holds_its_container() -> None:
    def held_through_container(state: State) -> str | None:
        dying = {slot.object for slot in state.slots if slot.state is SlotState.DYING}
        return (
            "a held container is DYING, and so is what it contains"
            if state.reader.object == 3 and dying >= {0, 3}
            else None
        )

    assert searched(Case(CONTAINED), held_through_container).trace
