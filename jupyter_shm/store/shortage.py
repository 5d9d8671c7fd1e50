"""Why a put does not fit: the figures of the moment, and the sentences that people read.  No I/O here."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol import messages as m
from ..sizes import format_size
from .extents import PAGE
from .ledger import Ledger
from .survey import Survey

MOST = 3
"""Notebooks, and objects, that are named."""

CANDIDATES = 20
"""Clients whose labels are looked at for that."""

Label = Callable[[int], str]
"""Who a client is, for people; "" when it is not connected any more."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """A refusal.

    Attributes:
        text: For people.
        figures: For programs; ``None`` where they are not the reason.
    """

    text: str
    figures: m.Figures | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, and what there was for it.

    Attributes:
        nbytes: Bytes that were asked for.
        room: Bytes of memory that the machine has left for it.
        reach: Bytes that are leaving for the spill heap, or could.
        trouble: Why no more of them can; "" when more would not help.
    """

    nbytes: int
    room: int
    reach: int = 0
    trouble: str = ""


def shortage(ledger: Ledger, asked: Asked, survey: Survey | None, label: Label) -> Shortage:
    """Refuse a put.

    Args:
        ledger: The books.
        asked: What for.
        survey: A look at all objects that is over; ``None`` where it is not about bytes.
        label: Who is who.
    """
    needed = ledger.extents.pages_needed(asked.nbytes) * PAGE
    if not ledger.has_slots():
        return Shortage(
            f"the store holds {len(ledger.objects):,} objects and {len(ledger.reservations):,} are being written; "
            f"the limit is {ledger.max_objects - 1:,}. Delete some, or put many small values as one object."
        )
    is_full = needed > ledger.free
    if not is_full and asked.room >= asked.nbytes:
        text = f"the heap's address space has no gap of {format_size(needed)}; delete names, or restart the store"
        return Shortage(text)
    figures = _figures(ledger, asked, -1 if is_full else asked.room, survey, label)
    return Shortage((_full if is_full else _short)(figures, asked) + _most(figures) + _largest(ledger), figures)


def _figures(ledger: Ledger, asked: Asked, available: int, survey: Survey | None, label: Label) -> m.Figures:
    return m.Figures(
        asked=ledger.extents.pages_needed(asked.nbytes) * PAGE,
        capacity=ledger.capacity,
        used=ledger.used,
        held=ledger.held,
        busy=survey.busy if survey else 0,
        pinned=survey.pinned if survey else 0,
        reserved=ledger.reserved,
        spillable=asked.reach,
        spilled=ledger.spill.used,
        spill_limit=ledger.spill.limit if ledger.spill.is_open else 0,
        available=available,
        holders=_holders(survey, label) if survey else (),
    )


def _full(figures: m.Figures, asked: Asked) -> str:
    free = max(0, figures.capacity - figures.used - figures.reserved)
    return (
        f"{format_size(figures.asked)} are needed, but only {format_size(free)} of the capacity of "
        f"{format_size(figures.capacity)} are free ({format_size(figures.used)} used, {format_size(figures.held)} of it "
        f"by deleted objects that are still read; {format_size(figures.reserved)} being written){_reach(figures, asked)} "
        "Delete names, let go of arrays that you have fetched, or give the store more with `jupyter shm set capacity` "
        "(JUPYTER_SHM_CAPACITY when it starts)."
    )


def _short(figures: m.Figures, asked: Asked) -> str:
    return (
        f"{format_size(figures.asked)} are needed, but this machine (or its memory limit) has only "
        f"{format_size(figures.available)} of memory left{_reach(figures, asked)} Free memory, or delete names that are "
        "not needed any more."
    )


def _reach(figures: m.Figures, asked: Asked) -> str:
    """What spilling could do, and why not more."""
    parts = []
    if figures.busy:
        parts.append(f"{format_size(figures.busy)} are being read")
    if figures.pinned:
        parts.append(f"{format_size(figures.pinned)} are pinned")
    if figures.spillable:
        parts.append(f"{format_size(figures.spillable)} could be spilled to disk")
    if asked.trouble:
        parts.append(asked.trouble)
    return f"; {', '.join(parts)}." if parts else "."


def _holders(survey: Survey, label: Label) -> tuple[m.Holding, ...]:
    both = survey.published + survey.read
    published: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for client, _ in both.most_common(CANDIDATES):
        name = label(client) or survey.label(client)
        published[name] += survey.published[client]
        read[name] += survey.read[client]
    most = heapq.nlargest(MOST, published, key=lambda name: published[name] + read[name])
    return tuple(m.Holding(name, published[name], read[name]) for name in most)


def _most(figures: m.Figures) -> str:
    holders = [
        f"{one.label or 'somebody'} (published {format_size(one.published)}, reads {format_size(one.read)})"
        for one in figures.holders
    ]
    return f" The most is held by {', '.join(holders)}." if holders else ""


def _largest(ledger: Ledger) -> str:
    holders = [
        f"{object.name or 'an anonymous object'} {format_size(object.extent)} ({ledger.label(object)})"
        for object in ledger.largest(MOST)
    ]
    return f" The largest: {', '.join(holders)}." if holders else ""
