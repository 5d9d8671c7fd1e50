"""One run: every scene with us and every peer, one after the other, and what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .measures import SCENES, Figure, Plan
from .peers import OURS, US, Kind
from .restarts import restarts
from .session import PeerError, session
from .slices import slices
from .startup import startup
from .tasks import tasks
from .venvs import UnavailableError, interpreter

BUDGET = 300.0
"""Seconds that one peer may take in all: the scenes that are left then are not measured."""


@dataclass
class Results:
    """Figures and what else is known of each peer, by its name.

    Args:
        figures: Medians: seconds, a rate (what ends in ``puts`` or ``gets``) or bytes (``pss``).
        reasons: Why something was not measured, by scene; ``""`` for the whole peer.
        versions: By distribution.
        seconds: That it took.
    """

    kinds: list[Kind]
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    reasons: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table in (self.figures, self.reasons, self.versions):
            table.update({kind.name: {} for kind in self.kinds})
        self.seconds.update({kind.name: 0.0 for kind in self.kinds})

    def of(self, name: str, figure: str) -> float | None:
        """One figure of one peer."""
        return self.figures.get(name, {}).get(figure)

    def ours(self, figure: str) -> float | None:
        """One of ours."""
        return self.of(US, figure)

    def measured(self, figure: str) -> dict[str, float]:
        """This figure of all peers that have it, us left out."""
        others = {kind.name: self.of(kind.name, figure) for kind in self.kinds if kind.name != US}
        return {name: value for name, value in others.items() if value is not None}


def run(others: list[Kind], plan: Plan, objects: int) -> Results:
    """Measure everything.

    A scene is done with one after the other before the next scene begins: so what is compared lies minutes apart, not
    a whole run.

    Args:
        others: The peers, us left out.
        plan: How much is done.
        objects: In the store that is killed.
    """
    results = Results([OURS, *others])
    for kind in results.kinds:
        _prepare(kind, plan, results)
    for scene in SCENES:
        for kind in results.kinds:
            if "" not in results.reasons[kind.name]:
                _measure(kind, scene.__name__, scene(kind, plan), results)
    _measure(OURS, "startup", startup(plan), results)
    _measure(OURS, "slices", slices(plan), results)
    _measure(OURS, "restarts", _restarts(plan, objects), results)
    say("tasks")
    for whose, figure in tasks(plan, [kind.name for kind in others if "" not in results.reasons[kind.name]]):
        results.figures[whose].update([figure])
    return results


def _prepare(kind: Kind, plan: Plan, results: Results) -> None:
    """Install it and start it once: whoever fails here is not measured."""
    try:
        interpreter(kind)
        say(f"{kind.title}: starting")
        with session(kind, plan.capacity) as one:
            results.versions[kind.name] = one.versions
    except (UnavailableError, PeerError, OSError) as error:
        results.reasons[kind.name][""] = str(error)
        say(f"{kind.title}: not measured: {error}")


def _measure(kind: Kind, scene: str, figures: Iterable[Figure], results: Results) -> None:
    """One scene; what it found before it failed counts."""
    if kind.name != US and results.seconds[kind.name] > BUDGET:
        results.reasons[kind.name][scene] = f"the {BUDGET:.0f} s of this peer were over"
        return
    start = time.monotonic()
    try:
        results.figures[kind.name].update(figures)
    except (PeerError, OSError) as error:
        if kind.name == US:
            raise
        results.reasons[kind.name][scene] = str(error)
        say(f"{kind.title}: {scene} was not measured: {error}")
    finally:
        took = time.monotonic() - start
        results.seconds[kind.name] += took
        say(f"{kind.title}: {scene}, {took:.0f} s")


def _restarts(plan: Plan, objects: int) -> Iterator[Figure]:
    for (_, seconds, _), count in zip(restarts(plan.starts + 2, objects), ("few", "many"), strict=True):
        yield f"killed with {count}", seconds


def say(text: str) -> None:
    """Tell who waits what is going on."""
    print(text, file=sys.stderr, flush=True)
