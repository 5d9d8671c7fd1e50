"""The verb ``doctor``: what the machine allows, which versions are here, and how the store is, if one runs."""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

from .. import __version__
from ..errors import ShmError
from ..linux.machine import Fact, machine_facts
from ..sizes import format_size
from .pages import page_facts
from .terminal import FAILED, NotRunningError, place, running_store, show

if TYPE_CHECKING:
    from ..client.info import StoreStats


def doctor(options: argparse.Namespace) -> int:
    """Show the report.

    Returns:
        The exit status: not 0 if anything is bad.
    """
    report = Report([*_versions(), *page_facts(), *machine_facts(), *_store_facts(options)])
    show(report)
    return FAILED if any(fact.verdict == "bad" for fact in report) else 0


class Report(list[Fact]):
    """Facts that show themselves as a table."""

    def __str__(self) -> str:
        width = max(len(fact.name) for fact in self)
        lines = []
        for fact in self:
            lines.append(f"{fact.verdict:6}{fact.name:{width}}  {fact.value}")
            if fact.advice:
                lines.append(f"{'':6}{'':{width}}  > {fact.advice}")
        return "\n".join(lines)

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        colours = {"ok": "green", "warn": "yellow", "bad": "bold red"}
        table = Table(box=None, pad_edge=False)
        for heading in ("verdict", "what", "found", "what to do"):
            table.add_column(heading, overflow="fold")
        for fact in self:
            table.add_row(Text(fact.verdict, colours[fact.verdict]), fact.name, Text(fact.value), Text(fact.advice))
        return table


def _versions() -> list[Fact]:
    facts = [Fact("jupyter_shm", __version__, "ok")]
    for name in ("numpy", "cloudpickle", "ipykernel"):
        try:
            facts.append(Fact(name, version(name), "ok"))
        except PackageNotFoundError:
            facts.append(Fact(name, "not installed", "bad", f"Install it: pip install {name}"))
    return facts


def _store_facts(options: argparse.Namespace) -> list[Fact]:
    title = "store"
    try:
        name, paths = place(options)
        title = f"store {name!r}"
        with running_store(options) as store:
            stats = store.stats()
    except NotRunningError:
        return [Fact(title, "not running; its first use starts it", "ok")]
    except ShmError as error:
        return [Fact(title, "of no use to this Python", "bad", str(error))]
    share = stats.used / stats.capacity
    return [
        Fact(title, f"pid {stats.pid}, jupyter_shm {stats.version}, Python {stats.python}", "ok"),
        Fact("used", f"{format_size(stats.used)} of {format_size(stats.capacity)} ({share:.0%})", "ok"),
        Fact("spilled", *_spilled(stats)),
        Fact("objects", f"{stats.objects:,}, {stats.names:,} of them named", "ok"),
        Fact("clients", f"{stats.clients - 1} besides this command", "ok"),
        Fact("log", str(paths.log), "ok"),
    ]


def _spilled(stats: StoreStats) -> tuple[str, Literal["ok", "warn"], str]:
    if stats.spill_reason:
        is_meant = stats.spill_reason.endswith("turns it off")
        return f"nothing: {stats.spill_reason}", "ok" if is_meant else "warn", ""
    return f"{format_size(stats.spilled)} of at most {format_size(stats.spill_limit)}", "ok", ""
