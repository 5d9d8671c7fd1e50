"""The explorer itself: that it visits everything, finds the nearest fault, and never reports an unfinished search."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .explorer import explore

SIZE = 7  # the toy system: a token on a board of 7 x 7 fields that moves right or up


def moves(field: tuple[int, int]) -> Iterator[tuple[str, tuple[int, int]]]:
    x, y = field
    if x + 1 < SIZE:
        yield "right", (x + 1, y)
    if y + 1 < SIZE:
        yield "up", (x, y + 1)


def nothing_wrong(field: tuple[int, int]) -> None:
    return None


def test_every_reachable_state_is_visited_once() -> None:
    report = explore((0, 0), moves, nothing_wrong)

    assert report.states == SIZE * SIZE
    assert report.labels == {"right", "up"}
    assert report.trace is None
    assert report.violation is None


def test_the_trace_is_a_shortest_way_to_the_violation() -> None:
    forbidden = {(3, 2), (6, 6), (5, 1)}

    report = explore((0, 0), moves, lambda field: f"on {field}" if field in forbidden else None)

    assert report.violation == "on (3, 2)"
    assert report.trace is not None
    assert sorted(report.trace) == ["right", "right", "right", "up", "up"]


def test_a_trace_tells_the_steps_in_the_order_in_which_they_happen() -> None:
    def sums(number: int) -> list[tuple[str, int]]:
        return [("add 3", number + 3), ("double", number * 2)]

    report = explore(1, sums, {14: "fourteen"}.get)

    # The same three steps in any other order lead from 1 to another number.
    assert report.trace == ["add 3", "add 3", "double"]


def test_an_initial_state_that_breaks_a_promise_is_reported_with_no_steps() -> None:
    report = explore((0, 0), moves, {(0, 0): "at once"}.get)

    assert report.trace == []
    assert report.violation == "at once"


def test_a_space_larger_than_the_limit_is_an_error_and_not_a_clean_report() -> None:
    with pytest.raises(RuntimeError, match="more than 10 states"):
        explore((0, 0), moves, nothing_wrong, limit=10)


def test_a_violation_within_the_limit_is_found_however_large_the_space_is() -> None:
    report = explore(0, lambda n: [("next", n + 1)], lambda n: "reached" if n == 40 else None, limit=50)

    assert report.trace == ["next"] * 40
