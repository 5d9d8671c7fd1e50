"""What the engine knows of one of its workers.  No I/O here."""

from __future__ import annotations

from .lane import Lane
from .output import Origin
from .task import Task

HUNG_UP = 0.5
"""Seconds after which a worker is killed that has hung up, and has not ended."""


class Worker:
    """A lane, and what it was given.

    Args:
        number: Of the lane in the graph.
        lane: Its process.

    Attributes:
        tasks: By their number there, the tasks that it was given and that have not ended.
        last: The number that was given last.
        known: Digests of the functions that it knows.
        origins: By number, where the output of tasks goes.
    """

    __slots__ = ("known", "lane", "last", "number", "origins", "tasks")

    def __init__(self, number: int, lane: Lane) -> None:
        self.number = number
        self.lane = lane
        self.tasks: dict[int, Task] = {}
        self.last = 0
        self.known: set[bytes] = set()
        self.origins: dict[int, Origin] = {}
