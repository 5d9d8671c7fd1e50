"""What this project promises of its speed, each held against what was measured in the same run.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .peers import OTHERS
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
    """

    text: str
    value: Callable[[Results], float | None]
    bound: float
    at_least: bool = True
    unit: str = "x"

    def is_reached(self, value: float) -> bool:
        """Does this figure keep the promise?"""
        return value >= self.bound if self.at_least else value <= self.bound


def over(above: str, below: str) -> Callable[[Results], float | None]:
    """One of our figures divided by another of ours."""

    def value(results: Results) -> float | None:
        one, other = results.ours(above), results.ours(below)
        return None if one is None or other is None else one / other

    return value


def faster(*figures: str, stores_only: bool = False) -> Callable[[Results], float | None]:
    """How many times faster we are than the best peer; of several figures, in the worst."""

    def one(results: Results, figure: str) -> float | None:
        found, ours = results.measured(figure), results.ours(figure)
        times = [seconds for name, seconds in found.items() if OTHERS[name].has_store or not stores_only]
        return min(times) / ours if times and ours is not None else None

    def value(results: Results) -> float | None:
        ratios = [one(results, figure) for figure in figures]
        known = [ratio for ratio in ratios if ratio is not None]
        return min(known) if known and len(known) == len(ratios) else None

    return value


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
    Goal("anonymous put of 1 KB: at least twice as fast as the best peer", faster("anonymous put 1 KB"), 2),
    Goal("sustained puts of 1 KB: at least twice as fast as the best peer", faster("sustained put"), 2),
    Goal("first get of 1 KB: at least twice as fast as the best peer", faster("first get 1 KB"), 2),
    Goal("first get of 1 MB: at least twice as fast as the best peer", faster("first get 1 MB"), 2),
    Goal(
        "put of 1 KB under a name: at most one bare round trip",
        over("named put 1 KB", "trip 1 KB"),
        1.0,
        at_least=False,
    ),
    Goal(
        "put of 1 KB under a name: at least twice as fast as every peer with a store process",
        faster("named put 1 KB", stores_only=True),
        2,
    ),
    Goal("get again: at most 1 µs", slowest(*(f"get again {size}" for size in SIZES)), 1e-6, at_least=False, unit="s"),
    Goal(
        "get again: at least ten times as fast as the best peer", faster(*(f"get again {size}" for size in SIZES)), 10
    ),
    Goal("put of 1 MB under a name: at least 3 times as fast as the best peer", faster("named put 1 MB"), 3),
    Goal("hand-off of 64 MB: at least 1.8 times as fast as the best peer", faster("hand-off 64 MB"), 1.8),
    Goal(
        "get with 100,000 objects: at most 1.2 times that with 10",
        over("many objects get", "few objects get"),
        1.2,
        at_least=False,
    ),
    Goal("import: at most 60 ms more than numpy's", lambda got: got.ours("import"), 0.06, at_least=False, unit="s"),
    Goal("connect to a running store: at most 5 ms", lambda got: got.ours("connect"), 0.005, at_least=False, unit="s"),
    Goal("start of a store: at most 300 ms", lambda got: got.ours("start"), 0.3, at_least=False, unit="s"),
)
