"""A breadth-first explorer of transition systems.  It knows no protocol.  No I/O here.

A model is an initial state and a function that lists the steps that are possible in a state.  The explorer
visits every state that any order of steps can reach, and stops at the first one that breaks a promise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeVar

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True)
class Report:
    """What an exploration found.

    Attributes:
        states: Distinct states reached, the initial one included.
        trace: Labels of the steps that lead from the initial state to the violation, in the order in which they
            happen; no shorter way exists.  None when no promise was broken.
        violation: What the last state of the trace breaks, in words.  None when no promise was broken.
        labels: Every label that was met.  A model that cannot take a step is safe from it for the wrong reason:
            tests look here that the interesting steps did occur.
    """

    states: int
    trace: list[str] | None
    violation: str | None
    labels: frozenset[str]


def explore(
    initial: State,
    successors: Callable[[State], Iterable[tuple[str, State]]],
    violated: Callable[[State], str | None],
    *,
    limit: int = 2_000_000,
) -> Report:
    """Visit every state that can be reached, nearest first, until one breaks a promise.

    Args:
        initial: The state to start from.
        successors: Lists ``(label, next state)`` for every step possible in a state.
        violated: Names the promise that a state breaks; None for a state in order.
        limit: Most states to visit.

    Returns:
        The report; its trace is None if the whole space was visited and every state kept every promise.

    Raises:
        RuntimeError: The space has more than ``limit`` states.  An unfinished search proves nothing, so it
            never ends in a report.
    """
    came_from: dict[State, tuple[str, State] | None] = {initial: None}
    labels: set[str] = set()
    if broken := violated(initial):
        return Report(1, [], broken, frozenset())
    frontier = deque([initial])
    while frontier:
        state = frontier.popleft()
        for label, successor in successors(state):
            labels.add(label)
            if successor in came_from:
                continue
            came_from[successor] = (label, state)
            # Looking when a state is found, not when its turn comes, still finds a shortest trace: states are
            # found in order of their distance.
            if broken := violated(successor):
                return Report(len(came_from), _trace(came_from, successor), broken, frozenset(labels))
            frontier.append(successor)
        if len(came_from) > limit:
            raise RuntimeError(
                f"the model has more than {limit} states ({len(frontier)} of those found still wait); "
                "tighten its bounds or raise limit"
            )
    return Report(len(came_from), None, None, frozenset(labels))


def _trace(came_from: dict[State, tuple[str, State] | None], state: State) -> list[str]:
    """Walk back from ``state`` to the initial one; return the labels in the order in which the steps happen."""
    labels: list[str] = []
    while (arrival := came_from[state]) is not None:
        label, state = arrival
        labels.append(label)
    return labels[::-1]
