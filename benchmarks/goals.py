"""What this project promises of its speed, each held against what was measured in the same run.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .peers import OTHERS, Kind
from .run import Results

SIZES = ("1 KB", "1 MB")


@dataclass(frozen=True)
class Goal:
    """One promise.

    Args:
        text: What is promised of which figure.
        value: The figure, out of the results; None if something for it was not measured.
        bound: That it has to reach.
        at_least: Is more better?
        unit: ``"x"`` for a ratio, ``"s"`` for seconds.
        beside_raw: The same figure beside raw buffers, whose dtype and shape their reader has to know from elsewhere.
    """

    text: str
    value: Callable[[Results], float | None]
    bound: float
    at_least: bool = True
    unit: str = "x"
    beside_raw: Callable[[Results], float | None] = field(default=lambda _results: None)

    def is_reached(self, value: float) -> bool:
        """Does this figure keep the promise?"""
        return value >= self.bound if self.at_least else value <= self.bound


def over(above: str, below: str) -> Callable[[Results], float | None]:
    """One of our figures divided by another of ours."""

    def value(results: Results) -> float | None:
        one, other = results.ours(above), results.ours(below)
        return None if one is None or other is None else one / other

    return value


def ratio(results: Results, figures: tuple[str, ...], counts: Callable[[Kind], bool]) -> float | None:
    """How many times faster we are than the best of the peers that count; of several figures, in the worst."""
    ratios = []
    for figure in figures:
        times = [seconds for name, seconds in results.measured(figure).items() if counts(OTHERS[name])]
        ours = results.ours(figure)
        if not times or ours is None:
            return None
        ratios.append(min(times) / ours)
    return min(ratios)


def faster(text: str, *figures: str, bound: float, stores_only: bool = False) -> Goal:
    """To be so many times faster than the best peer that hands over an array; of several figures, in the worst."""

    def counts(kind: Kind) -> bool:
        return not kind.is_raw and (kind.has_store or not stores_only)

    return Goal(
        text,
        lambda results: ratio(results, figures, counts),
        bound,
        beside_raw=lambda results: ratio(results, figures, lambda kind: kind.is_raw),
    )


def slowest(*figures: str) -> Callable[[Results], float | None]:
    """The largest of several figures of ours."""

    def value(results: Results) -> float | None:
        known = [results.ours(figure) for figure in figures]
        return None if None in known else max(known)

    return value


GOALS = (
    Goal("first put of 256 MB, reserve warm: at least 0.9 of memcpy's speed", lambda got: got.ours("first ratio"), 0.9),
    Goal("steady put of 256 MB: at least memcpy's speed", over("steady memcpy", "steady put"), 1.0),
    Goal(
        "first sum of 256 MB in another process: at most 1.15 times a local sum",
        over("first sum", "local sum"),
        1.15,
        at_least=False,
    ),
    faster("anonymous put of 1 KB: at least twice as fast as the best peer", "anonymous put 1 KB", bound=2),
    faster("sustained puts of 1 KB: at least twice as fast as the best peer", "sustained put", bound=2),
    faster("first get of 1 KB: at least twice as fast as the best peer", "first get 1 KB", bound=2),
    faster("first get of 1 MB: at least twice as fast as the best peer", "first get 1 MB", bound=2),
    Goal(
        "put of 1 KB under a name: at most one bare round trip",
        over("named put 1 KB", "trip 1 KB"),
        1.0,
        at_least=False,
    ),
    faster(
        "put of 1 KB under a name: at least twice as fast as every peer with a store process",
        "named put 1 KB",
        bound=2,
        stores_only=True,
    ),
    Goal("get again: at most 1 µs", slowest(*(f"get again {size}" for size in SIZES)), 1e-6, at_least=False, unit="s"),
    faster(
        "get again: at least ten times as fast as the best peer", *(f"get again {size}" for size in SIZES), bound=10
    ),
    faster("put of 1 MB under a name: at least 3 times as fast as the best peer", "named put 1 MB", bound=3),
    faster("hand-off of 64 MB: at least 1.8 times as fast as the best peer", "hand-off 64 MB", bound=1.8),
    Goal(
        "get with 100,000 objects: at most 1.2 times that with 10",
        over("many objects get", "few objects get"),
        1.2,
        at_least=False,
    ),
    Goal(
        "Pool.map over 100 slices of a stored array of 1 GB: at most 0.02 of the time that its bytes take",
        over("slices by reference", "slices by bytes"),
        0.02,
        at_least=False,
    ),
    faster("tasks that do nothing: at least twice Ray's rate", "task", bound=2),
    Goal("tasks that do nothing: at least 0.8 of loky's rate", over("loky task", "task"), 0.8),
    Goal("one that is waited for: at most 1.3 times loky's", over("sync task", "loky sync task"), 1.3, at_least=False),
    faster("tasks that take one stored array of 64 MB: at least twice Ray's rate", "task of large", bound=2),
    Goal(
        "a task's array of 64 MB: at most 1.5 times the time of making it here",
        over("large result", "large local"),
        1.5,
        at_least=False,
    ),
    Goal("import: at most 60 ms more than numpy's", lambda got: got.ours("import"), 0.06, at_least=False, unit="s"),
    Goal("connect to a running store: at most 5 ms", lambda got: got.ours("connect"), 0.005, at_least=False, unit="s"),
    Goal("start of a store: at most 300 ms", lambda got: got.ours("start"), 0.3, at_least=False, unit="s"),
)
