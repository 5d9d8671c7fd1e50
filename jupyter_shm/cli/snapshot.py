"""One look at a store, as ``jupyter shm top`` shows it: the accounts, and the largest objects.  No I/O here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ..sizes import format_size

if TYPE_CHECKING:
    from ..client.info import ObjectInfo, ObjectList, StoreStats

COLUMNS = ("name", "size", "age", "publisher", "holders", "reads")

WIDEST = 10_000
"""Columns of a text that is for no terminal: no line is broken."""

_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


class Snapshot(NamedTuple):
    """The store at one time.

    Attributes:
        store: Its name.
        stats: Its accounts.
        objects: All of them, also those without a name, and those whose name is gone.
        now: When that was; with a time zone.
    """

    store: str
    stats: StoreStats
    objects: ObjectList
    now: datetime

    def usage(self) -> list[str]:
        """What is used of how much, and by how many, in two lines."""
        stats = self.stats
        share = 100 * (stats.used + stats.reserved) / stats.capacity
        used = f"{format_size(stats.used)} of {format_size(stats.capacity)} used ({share:.0f} %)"
        memory = f"{self.store}: {used}, held {format_size(stats.held)}, reserved {format_size(stats.reserved)}"
        objects = f"{_count(stats.objects, 'object')}, {stats.names:,} named; {_count(stats.clients, 'client')}"
        process = f"reserve {format_size(stats.reserve)}; up {format_age(stats.uptime)}; pid {stats.pid}"
        return [memory, f"{objects}; {process}"]

    def rows(self, limit: int | None = None) -> list[tuple[str, ...]]:
        """A row for each object, the largest first; no more than ``limit``."""
        largest = sorted(self.objects, key=lambda one: (-one.nbytes, one.name, one.id))
        return [self._row(one) for one in largest[:limit]]

    def _row(self, one: ObjectInfo) -> tuple[str, ...]:
        name = one.name or "(anonymous)"
        return (
            name if one.state == "live" else f"{name} ({one.state})",
            format_size(one.nbytes),
            format_age((self.now - one.created).total_seconds()),
            one.owner,
            _holders(one),
            f"{one.reads:,}",
        )

    def table(self, height: int | None = None) -> Any:
        """What rich shows.

        Args:
            height: Lines that there are; objects for which there is no room are counted only.
        """
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        limit = None if height is None else max(1, height - len(self.usage()) - 3)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in COLUMNS:
            right = column in {"size", "age", "reads"}
            table.add_column(column, justify="right" if right else "left", overflow="ellipsis", no_wrap=True)
        rows = self.rows(limit)
        for row in rows:
            table.add_row(*(Text(_printable(cell)) for cell in row))
        more = len(self.objects) - len(rows)
        foot = [f"and {more:,} more" if more else "", "" if height is None else "q quits"]
        usage = [Text(line, no_wrap=True, overflow="ellipsis") for line in self.usage()]
        return Group(*usage, Text(), table, Text("   ".join(filter(None, foot)), style="dim"))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=WIDEST, color_system=None, force_terminal=False, legacy_windows=False)
        with console.capture() as captured:
            console.print(self.table())
        return "\n".join(line.rstrip() for line in captured.get().splitlines()).rstrip()


def format_age(seconds: float) -> str:
    """Show a time span by its largest unit: ``"12 s"``, ``"3 min"``, ``"5 h"``, ``"2 d"``."""
    whole = max(0, int(seconds))
    for size, unit in _AGES:
        if whole >= size:
            return f"{whole // size} {unit}"
    return "0 s"


def _holders(one: ObjectInfo) -> str:
    """How many hold it, and who: each notebook or program once."""
    labels = dict.fromkeys(holder.label for holder in one.holders)
    return f"{len(one.holders)}: {', '.join(labels)}" if labels else "-"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _printable(text: str) -> str:
    """A name may hold escape sequences or line ends, which must not act in a terminal."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
