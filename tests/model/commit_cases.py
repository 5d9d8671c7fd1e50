"""Scenarios of the name protocol with what may happen in them, and the mutants that break in them.  No tests here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from .commit_model import CommitModel
from .commit_protocol import HEALTHY, Protocol
from .commit_scenario import Scenario, delete, put, put_again, put_new
from .commit_state import State
from .explorer import Report, explore


@dataclass(frozen=True)
class Case:
    """A scenario, and how much may go wrong in it."""

    scenario: Scenario
    deaths: int = 0  # of the store
    jams: int = 0  # answers that find no room
    extents: int = 3

    def model(self, protocol: Protocol = HEALTHY) -> CommitModel:
        """Its transition system."""
        return CommitModel(self.scenario, protocol, extents=self.extents, deaths=self.deaths, jams=self.jams)


@cache
def explored(case: Case, protocol: Protocol = HEALTHY) -> Report:
    """Visit every state of a case, or find a broken promise."""
    model = case.model(protocol)
    return explore(model.initial, model.successors, model.promises.violated)


def searched(case: Case, wanted: Callable[[State], str | None]) -> Report:
    """Visit states of a case until one is found that is no fault, but wanted."""
    model = case.model()
    return explore(model.initial, model.successors, wanted)


def without(*missing: str) -> Protocol:
    """The protocol without some of its safeguards."""
    return replace(HEALTHY, **dict.fromkeys(missing, False))


PUT_DELETE = (put(0, "x"), delete(1, "x"))
TWO_PUTS = (put(0, "x"), put(1, "x"))
NEW_PUTS = (put_new(0, "x"), put_new(1, "x"))
TWO_DELETES = (put(0, "x"), delete(0, "x"), delete(1, "x"))
PUT_AFTER_DELETE = (put(0, "x"), delete(0, "x"), put(1, "x"))
OVERWRITES = (put(0, "x"), put(0, "x"), put(1, "x"), delete(1, "x"))
SLOT_CHANGES_NAME = (put(0, "x"), delete(0, "x"), put(1, "y"))
SLOTS_CHANGE_NAMES = (put(0, "x"), delete(0, "x"), put(1, "y"), put(1, "x"))
TWO_NAMES = (put(0, "x"), put(0, "y"), put(1, "x"), delete(1, "x"))
CONTAINED_ONCE = (put(0, "x"), delete(0, "x"), put_again(1, "x", "y"), delete(1, "y"))
CONTAINED = (put(0, "x"), delete(0, "x"), put(0, "x"), put_again(1, "x", "y"), delete(1, "y"))
CONTAINED_TWICE = (put(0, "x"), put(0, "x"), put_again(1, "x", "y"), put_again(1, "y", "x"))

# Each with a number of states that is a little below what is there: a model that cannot move keeps every promise.
WITHOUT_DEATHS = {
    "two puts of one name": (Case(TWO_PUTS), 1_000),
    "overwrites and a delete": (Case(OVERWRITES, extents=2), 20_000),
    "slots used again for another name": (Case(SLOTS_CHANGE_NAMES), 24_000),
    "two names": (Case(TWO_NAMES), 40_000),
    "an object put again while its name goes": (Case(CONTAINED), 10_000),
    "a container put again under the first name": (Case(CONTAINED_TWICE), 3_000),
}
WITH_DEATHS = {
    "a put and a delete": (Case(PUT_DELETE, deaths=2), 7_000),
    "two puts of one name": (Case(TWO_PUTS, deaths=2), 30_000),
    "two deletes of one name": (Case(TWO_DELETES, deaths=2), 24_000),
    "two puts of what must not be there": (Case(NEW_PUTS, deaths=2), 19_000),
    "a slot used again for another name": (Case(SLOT_CHANGES_NAME, deaths=1), 24_000),
    "an object put again while its name goes": (Case(CONTAINED_ONCE, deaths=1), 11_000),
    "a put and a delete whose answers may wait": (Case(PUT_DELETE, deaths=2, jams=1), 21_000),
}

# What is taken out, where, and the promise that breaks.
MUTANTS = {
    "two_way": (Case(TWO_PUTS), "stale: get yields #0 (put x) after #1 (put x)"),
    "answer_after_names": (Case(TWO_PUTS), "stale: get yields #0 (put x) after #1 (put x)"),
    "misses_ask": (Case(TWO_PUTS), "stale: get finds nothing after #0 (put x)"),
    "names_compared and name_read_again": (Case(SLOTS_CHANGE_NAMES), "foreign: get x yields #2 (put y)"),
    "name_read_again": (Case(PUT_AFTER_DELETE), "too early: get yields #2 (put x) before the name means it"),
    "frees_look_at_leases": (Case(TWO_PUTS), "garbage: bytes that #0 (put x) needs"),
    "frees_look_at_containers": (Case(CONTAINED), "garbage: bytes that #3 (put again x as y) needs"),
    "dying_containers_count": (Case(CONTAINED), "garbage: bytes that #3 (put again x as y) needs"),
    "lease_until_answer": (Case(CONTAINED), "garbage: bytes that #3 (put again x as y) needs"),
    "free_before_giving_back": (Case(TWO_PUTS), "shared extent: [0] have two owners"),
}
RESTART_MUTANTS = {
    "answer_before_consuming": (Case(PUT_DELETE, deaths=1), "never returns: request 1 of C1 is gone"),
    "rows_count_refusals": (Case(PUT_DELETE, deaths=1), "refused and done: #1 (delete x) took effect"),
    "enders": (Case(PUT_DELETE, deaths=1), "refused and done: #1 (delete x) took effect"),
    "ender_before_dying": (Case(PUT_DELETE, deaths=1), "refused and done: #1 (delete x) took effect"),
    "live_before_reservation_free": (Case(PUT_DELETE, deaths=1), "refused wrongly: #0 (put x), after []"),
    "answers_matched": (Case(TWO_PUTS, deaths=1), "stale: get yields #1 (put x) after #0 (put x)"),
    "rows_raised": (Case(PUT_DELETE, deaths=1), "lost: slot 0 is RESERVED for a client that does not know it"),
    "twins_resolved": (Case(PUT_DELETE, deaths=1), "shared extent: [0] have two owners"),
    "losers_end": (Case(TWO_PUTS, deaths=1), "lost: #0 (put x) is LIVE, and no name means it"),
    "names_rebuilt": (Case(PUT_DELETE, deaths=1), "lost: #0 (put x) is LIVE, and no name means it"),
    "unowned_given_back": (Case(PUT_DELETE, deaths=1), "lost: extent 0 is neither a slot's nor the allocator's"),
    "sequence_restored": (Case(TWO_PUTS, deaths=2), "twice: #0 (put x) took effect twice"),
    "heads_first": (Case(PUT_DELETE, deaths=1), "refused and done: #0 (put x) took effect"),
    "unknown_is_asked_again": (Case(NEW_PUTS, deaths=1), "lost: slot 0 is RESERVED for a client that does not know it"),
    "unanswered_keep_slots": (Case(PUT_DELETE, deaths=1, jams=1), "refused and done: #0 (put x) took effect"),
}
