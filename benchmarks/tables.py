"""The results as Markdown: goals, one table for each kind of question, what was not measured, and on what.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .goals import GOALS
from .measures import Plan
from .peers import US, Kind
from .run import Results
from .wording import DASH, show_bytes, show_rate, show_ratio, show_seconds, show_size


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Args:
        title: What was measured.
        figure: Its name in the results.
        limit: Name of the figure of ours that shows what the machine gives to anybody.
        unit: ``"s"``, ``"/s"`` or ``"B"``.
    """

    title: str
    figure: str
    limit: str = ""
    unit: str = "s"

    def text(self, value: float | None) -> str:
        """A figure for people."""
        if value is None:
            return DASH
        return {"s": show_seconds, "/s": show_rate, "B": show_bytes}[self.unit](value)

    def ratio(self, ours: float, theirs: float) -> float:
        """How many times better we are."""
        return ours / theirs if self.unit == "/s" else theirs / max(ours, 1e-9)


LEGEND = """\
Medians. The limit is memcpy, a local sum or a bare round trip, measured in turn with ours; of tasks it is loky's time. Behind each figure of a peer
stands how many times better ours is; a dash: not measured, see the end. Raw buffers are bytes, whose dtype and shape their
reader has to know from elsewhere; the best peer is the best of the others."""

MAIN = (
    Row("first put of {big}, reserve warm", "first put", "first memcpy"),
    Row("first put of {big}, no reserve", "cold put", "cold memcpy"),
    Row("first put of {beyond}, beyond the reserve", "beyond put", "beyond memcpy"),
    Row("steady put of {big}", "steady put", "steady memcpy"),
    Row("first sum of {big} in another process", "first sum", "local sum"),
    Row("second sum of it", "second sum", "local sum"),
    Row("put of 1 KB, anonymous", "anonymous put 1 KB"),
    Row("sustained puts of 1 KB, each", "sustained put"),
    Row("put of 1 KB under a name", "named put 1 KB", "trip 1 KB"),
    Row("put of 1 KB over the same name", "same name put", "same name trip"),
    Row("put of 1 MB, anonymous", "anonymous put 1 MB"),
    Row("put of 1 MB under a name", "named put 1 MB", "trip 1 MB"),
    Row("first get of 1 KB", "first get 1 KB"),
    Row("first get of 1 MB", "first get 1 MB"),
    Row("get of 1 KB again", "get again 1 KB"),
    Row("get of 1 MB again", "get again 1 MB"),
    Row("hand-off of 1 KB", "hand-off 1 KB"),
    Row("hand-off of 1 MB", "hand-off 1 MB"),
    Row("hand-off of {large}", "hand-off 64 MB"),
    Row("memory of each of four readers of {big}", "pss", unit="B"),
    Row("Pool.map over 100 slices of {beyond}, by reference", "slices by reference"),
    Row("the same, as bytes", "slices by bytes"),
    Row("task that does nothing, of {tasks:,}", "task", "loky task"),
    Row("the same, one after the other", "sync task", "loky sync task"),
    Row("task that takes a stored array of {large}", "task of large"),
    Row("task that makes an array of {large}; the limit: making it here", "large result", "large local"),
    Row("import, more than numpy's", "import", "import numpy"),
    Row("connect to a running store", "connect"),
    Row("start of a store", "start"),
    Row("SIGKILL of the store to the first answered put, 10 objects", "killed with few"),
    Row("the same with {objects:,} objects", "killed with many"),
)


def crowd_rows(plan: Plan) -> Iterator[Row]:
    """Puts and gets by so many clients."""
    for task in ("puts", "gets"):
        for clients in plan.clients:
            yield Row(f"{task} of 1 KB, {clients} clients", f"{clients} clients {task}", unit="/s")


def number_rows(plan: Plan) -> Iterator[Row]:
    """Gets and puts beside so many objects."""
    for task in ("get", "put"):
        for count in plan.objects:
            yield Row(f"{task}, {count:,} objects", f"{count} objects {task}")
    yield Row("get, in turn with the next line, 10 objects", "few objects get")
    yield Row(f"get, in turn, {plan.objects[-1]:,} objects", "many objects get")


def size_rows(plan: Plan) -> Iterator[Row]:
    """Puts and first gets of so many bytes."""
    for nbytes in plan.sizes:
        yield Row(f"put of {show_size(nbytes)}", f"{nbytes} bytes put", f"{nbytes} bytes memcpy")
    for nbytes in plan.sizes:
        yield Row(f"first get of {show_size(nbytes)}", f"{nbytes} bytes get")


# --- the text ---------------------------------------------------------------------------------------------------------


def document(results: Results, plan: Plan, facts: dict[str, str], objects: int) -> str:
    """The whole text."""
    names = {
        "objects": objects,
        "tasks": max(plan.tries, 100),
        "big": show_size(plan.big),
        "beyond": show_size(plan.beyond),
    }
    names["large"] = show_size(plan.large)
    main = [Row(row.title.format(**names), row.figure, row.limit, row.unit) for row in MAIN]
    parts = [
        "# Results",
        "**A quick run: few tries of small arrays. Its figures say nothing.**" if plan.is_quick else "",
        _machine(facts, results),
        "## Goals",
        goals_table(results),
        "## Measured",
        LEGEND,
        table(main, results),
        "## Several clients at once",
        "All of them together, in a second.",
        table(list(crowd_rows(plan)), results),
        "## Number of objects in the store",
        table(list(number_rows(plan)), results),
        "## Size of the array",
        table(list(size_rows(plan)), results),
        _not_measured(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def goals_table(results: Results) -> str:
    """Each goal, what was measured, and whether that is enough."""
    lines = ["| goal | measured | | beside raw buffers |", "|---|---:|---|---:|"]
    for goal in GOALS:
        value = goal.value(results)
        if value is None:
            shown, verdict = DASH, "not measured"
        else:
            shown = show_ratio(value) if goal.unit == "x" else show_seconds(value)
            verdict = "reached" if goal.is_reached(value) else "**not reached**"
        beside = goal.beside_raw(results)
        lines.append(f"| {goal.text} | {shown} | {verdict} | {'' if beside is None else show_ratio(beside)} |")
    return "\n".join(lines)


def table(rows: list[Row], results: Results) -> str:
    """One line for each row, one column for each who was measured at all."""
    others = [kind for kind in results.kinds if kind.name != US and results.figures[kind.name]]
    heads = ["", "limit", "jupyter_shm", "limit ÷ ours", *(["best peer ÷ ours"] if others else [])]
    lines = [_line([*heads, *(kind.title for kind in others)]), "|---|" + "---:|" * (len(heads) - 1 + len(others))]
    return "\n".join([*lines, *(_line(_cells(row, results, others)) for row in rows)])


def _cells(row: Row, results: Results, others: list[Kind]) -> Iterator[str]:
    ours, limit = results.ours(row.figure), results.ours(row.limit)
    theirs = [results.of(kind.name, row.figure) for kind in others]
    yield row.title
    yield row.text(limit) if limit is not None else ""
    yield row.text(ours)
    yield show_ratio(limit / ours) if limit and ours else ""
    if ours is None:
        yield from [""] * (1 + len(others) if others else 0)
        return
    ratios = [None if value is None else row.ratio(ours, value) for value in theirs]
    known = [ratio for ratio, kind in zip(ratios, others, strict=True) if ratio is not None and not kind.is_raw]
    if others:
        yield show_ratio(min(known)) if known else ""
    for value, ratio in zip(theirs, ratios, strict=True):
        yield DASH if ratio is None else f"{row.text(value)} ({show_ratio(ratio)})"


def _line(cells: object) -> str:
    return f"| {' | '.join(cells)} |"


def _machine(facts: dict[str, str], results: Results) -> str:
    versions = [
        f"{kind.title}: {', '.join(f'{name} {version}' for name, version in results.versions[kind.name].items())}"
        for kind in results.kinds
        if results.versions[kind.name]
    ]
    return "\n".join(f"- {line}" for line in [*(f"{name}: {fact}" for name, fact in facts.items()), *versions])


def _not_measured(results: Results) -> str:
    lines = [
        f"- {kind.title}{f', {scene}' if scene else ''}: not measured: {reason}"
        for kind in results.kinds
        for scene, reason in results.reasons[kind.name].items()
    ]
    return "\n".join(["## Not measured", "", *lines]) if lines else ""
