"""The name protocol keeps its promises when the store dies between any two writes, also of a restart."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .commit_cases import (
    PUT_AFTER_DELETE,
    PUT_DELETE,
    RESTART_MUTANTS,
    TWO_PUTS,
    WITH_DEATHS,
    Case,
    explored,
    searched,
    without,
)
from .commit_scenario import NONE, Scenario, delete, put
from .commit_state import Caller, Kind, ReaderPhase, Said, SlotState, Stage, State
from .explorer import explore

OVERWRITTEN_DELETE = (put(0, "x"), put(0, "x"), delete(1, "x"))


@pytest.mark.parametrize("name", WITH_DEATHS)
def test_every_promise_is_kept_when_the_store_dies_between_any_two_writes(name: str) -> None:
    case, at_least = WITH_DEATHS[name]

    report = explored(case)

    assert report.trace is None, report.violation
    assert report.states > at_least
    returns = {label.split(": returns")[0] for label in report.labels if ": returns" in label}
    assert len(returns) == len(case.scenario), "an operation never returned, so nothing was shown about it"


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("a put and a delete", "store: dies"),
        ("a put and a delete", "restart: serves"),
        ("a put and a delete", "restart: row of C0 says 1"),
        ("a put and a delete", "restart: row of C0 says 2"),
        ("a put and a delete", "restart: slot 0 was committed: FREE"),
        ("a put and a delete", "restart: name word x says slot 1"),
        ("a put and a delete", "restart: name word x says nothing"),
        ("a put and a delete", "restart: extent 0, which no slot owns, is punched"),
        ("a put and a delete", "store: Reserve of #0 (put x): answer 1: reserved"),
        ("a put and a delete", "store: Commit of #0 (put x): answer 2: done"),
        ("a put and a delete", "store: Delete of #1 (delete x): answer 1: done"),
        ("a put and a delete", "store: Delete of #1 (delete x): answer 1: ask again"),
        ("a put and a delete", "C1 #1 (delete x): is told to ask again, does"),
        ("two puts of one name", "restart: slot 1 was overwritten: DYING"),
        ("two puts of what must not be there", "store: Commit of #1 (put new x): answer 2: ask again"),
        ("two puts of what must not be there", "C1 #1 (put new x): returns, refused"),
        ("a put and a delete whose answers may wait", "store: Commit of #0 (put x): answer 2: done; finds no room"),
    ],
)
def test_every_kind_of_step_is_taken(name: str, step: str) -> None:
    case, _ = WITH_DEATHS[name]

    assert step in explored(case).labels


@pytest.mark.parametrize("missing", RESTART_MUTANTS)
def test_without_one_safeguard_a_promise_breaks(missing: str) -> None:
    case, broken = RESTART_MUTANTS[missing]
    assert explored(case).trace is None

    report = explored(case, without(missing))

    assert report.trace
    assert report.violation is not None
    assert report.violation.startswith(broken)
    assert "store: dies" in report.trace


@pytest.mark.parametrize("missing", RESTART_MUTANTS)
def test_a_store_that_never_dies_needs_none_of_it(missing: str) -> None:
    case, _ = RESTART_MUTANTS[missing]

    report = explored(Case(case.scenario, jams=case.jams), without(missing))

    assert report.trace is None, report.violation


# --- A request is carried out, its client does not know, and others go on ---------------------------------------------


def ended_by_another(state: State) -> str | None:
    """A restart has just answered a Commit whose object somebody had ended since."""
    task = state.store.task
    if state.store.stage is not Stage.HEADS or task is None:
        return None
    request = state.requests[task.client][0]
    slot = state.slot_made_by(Caller(task.client, request.number), SlotState.DYING)
    is_known = request.kind is Kind.COMMIT and slot != NONE and task.answer.said is Said.DONE
    return "seen again, and known" if is_known else None


@pytest.mark.parametrize(
    ("scenario", "other"),
    [(PUT_DELETE, "Delete of #1 (delete x): old slot DYING"), (TWO_PUTS, "Commit of #1 (put x): slot LIVE")],
    ids=["deleted", "overwritten"],
)
def test_a_put_that_is_seen_again_is_known_although_another_client_has_ended_its_object(
    scenario: Scenario, other: str
) -> None:
    trace = searched(Case(scenario, deaths=2, jams=1), ended_by_another).trace

    history = [
        "store: Commit of #0 (put x): answer 2: done; finds no room",
        f"store: {other}",
        "store: dies",
        "store: Commit of #0 (put x): answer 2: done",
    ]
    assert trace is not None
    assert [label for label in trace if label in history] == history


@pytest.mark.parametrize("scenario", [PUT_DELETE, TWO_PUTS], ids=["deleted", "overwritten"])
def test_unless_an_answer_has_to_wait_nobody_ends_an_object_before_its_put_is_answered(scenario: Scenario) -> None:
    assert searched(Case(scenario, deaths=2), ended_by_another).trace is None


def test_a_put_that_is_seen_again_only_after_others_were_served_is_lost_from_sight() -> None:
    case, _ = RESTART_MUTANTS["heads_first"]

    trace = explored(case, without("heads_first")).trace

    assert trace is not None
    history = [
        "store: Commit of #0 (put x): slot LIVE",
        "store: dies",
        "restart: serves",
        "store: Delete of #1 (delete x): old slot DYING",
        "store: slot 1: FREE",
        "store: Commit of #0 (put x): answer 2: ask again",
    ]
    assert [label for label in trace if label in history] == history


def test_a_delete_that_noted_itself_and_went_no_further_is_done_once_a_put_has_ended_the_object() -> None:
    model = Case(OVERWRITTEN_DELETE, deaths=2).model()

    def marked(state: State) -> Iterator[tuple[str, State]]:
        for label, successor in model.successors(state):
            is_answer = label.startswith("store: Delete of #2 (delete x): answer")
            yield f"{label}, late" if is_answer and successor.applied != state.applied else label, successor

    report = explore(model.initial, marked, model.promises.violated)

    assert report.trace is None
    assert "store: Delete of #2 (delete x): answer 1: done, late" in report.labels


@pytest.mark.parametrize("missing", ["rows_raised", "enders", "ender_before_dying", "unanswered_keep_slots"])
def test_a_delete_that_is_not_known_when_it_is_seen_again_deletes_what_another_client_has_put_since(
    missing: str,
) -> None:
    model = Case(PUT_AFTER_DELETE, deaths=1, jams=1).model(without(missing))

    report = explore(model.initial, model.successors, model.promises.twice)

    assert report.violation == "twice: #1 (delete x) took effect twice"


# --- Nobody waits for a store -----------------------------------------------------------------------------------------


def test_a_get_begins_and_succeeds_while_no_store_lives() -> None:
    model = Case(PUT_DELETE, deaths=1).model()

    def only_the_reader_after_a_death(state: State) -> Iterator[tuple[str, State]]:
        for label, successor in model.successors(state):
            is_dead = state.store.stage is Stage.ROWS
            if label.startswith("reader") if is_dead else label != "store: dies" or not state.reader.name:
                yield label, successor

    def got(state: State) -> str | None:
        return "got" if state.store.stage is Stage.ROWS and state.reader.phase is ReaderPhase.HOLDING else None

    assert explore(model.initial, only_the_reader_after_a_death, got).trace
