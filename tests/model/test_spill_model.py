"""Objects that leave for the disk keep their promises in every interleaving, and lose them with any safeguard taken out."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from .explorer import Report, explore
from .spill_model import HEALTHY, Protocol, SpillModel, broken

# What is taken out, and what then goes wrong.
MUTANTS = {
    "grace": "reads the heap, which is another's",
    "recheck": "which is another's",
    "waits_to_give_up": "are another's",
    "place_goes_first": "another's",
    "readers_miss": "reads the heap, which is another's",
}


def explored(protocol: Protocol = HEALTHY, *, gets: int = 1, **bounds: int) -> Report:
    model = SpillModel(protocol, gets=gets, **bounds)
    return explore(model.initial, model.successors, broken)


@pytest.fixture(scope="module")
def healthy() -> Report:
    return explored()


def test_no_interleaving_breaks_a_promise(healthy: Report):
    assert healthy.trace is None, (healthy.violation, healthy.trace)
    assert healthy.states > 50_000


def test_nor_do_two_deaths():
    report = explored(readers=1, gets=2, deaths=2)

    assert report.trace is None, (report.violation, report.trace)
    assert report.states > 10_000


@pytest.mark.slow
def test_nor_do_two_threads_that_fetch_it_twice():
    report = explored(gets=2)

    assert report.trace is None, (report.violation, report.trace)
    assert report.states > 400_000


@pytest.mark.parametrize(
    "step",
    [
        "T0: holds the heap",
        "T1: holds the disk",
        "T0: sees SPILLING, undoes",
        "T0: sees DYING, undoes",
        "T0: sees SPILLED, undoes",
        "store: finds a lease, it stays",
        "store: finds no lease, it is spilled",
        "store: is asked for it",
        "store: ends it while it leaves",
        "store: ends it on disk",
        "store: frees it in the heap",
        "store: frees it in the disk",
        "store: is started again, reads LIVE at 1",
        "store: is started again, reads SPILLING at 1",
        "store: is started again, reads SPILLING at 0",
        "store: is started again, reads SPILLED at 1",
        "store: is started again, reads DYING at 1",
        "store: is started again, reads FREE at 1",
    ],
)
def test_the_healthy_protocol_takes_every_kind_of_step(healthy: Report, step: str):
    assert step in healthy.labels


@pytest.mark.parametrize("missing", MUTANTS)
def test_without_one_safeguard_a_promise_is_broken(missing: str):
    report = explored(replace(HEALTHY, **{missing: False}))

    assert report.trace
    assert report.violation is not None
    assert MUTANTS[missing] in report.violation, (report.violation, report.trace)


def test_every_safeguard_has_a_mutant():
    assert set(MUTANTS) == {field.name for field in fields(Protocol)}
