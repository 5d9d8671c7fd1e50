"""What users see of the store: ObjectInfo, StoreStats, and the list of objects, as text, rich and HTML tables."""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..durations import format_duration
from ..protocol.messages import ObjectFacts, Person
from ..serial.meta import FAILURE, FORWARD, NDARRAY, Meta
from ..sizes import format_size
from ..tables.layout import KERNEL_LIFETIME, PINNED
from .identity import notebook_of
from .terms import KERNEL, REFERENCE, STORE

_LIVES = {
    STORE: "until it is deleted or replaced",
    KERNEL: "until its publisher ends",
    REFERENCE: "as long as it is referred to",
}

_UNMADE = {
    "pending": "none yet: it is still to be made",
    "lost": "none: who was to make it has ended",
}


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lease on an object.

    Attributes:
        pid: As it sees itself, or as the system does.
        label: Notebook, script or command that people know it by.
        kernel: Id of the Jupyter kernel that it is; ``""`` if it is none.
        notebook: Path of the notebook that it belongs to; ``""`` where Jupyter does not tell it.
        client: Its id as a client of the store; a process has one for each connection.
    """

    pid: int
    label: str
    kernel: str
    notebook: str
    client: int

    def __str__(self) -> str:
        # A label that is no path names the kernel already.
        kernel = f", kernel {self.kernel[:8]}" if self.kernel and self.notebook else ""
        return f"{self.label} (pid {self.pid}{kernel}, client {self.client})"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of one object.

    Attributes:
        name: ``""`` for an anonymous object.
        type: Qualified name of the type; ``"?"`` when the object was gone before it could be looked at.
        shape, dtype: Of what has them, else ``None``.
        nbytes: Bytes of data.
        state: ``"live"``; ``"spilled"``: its bytes are on disk, and are read there; ``"held"``: its name is gone, and
            somebody still reads its bytes; ``"pending"``: it is still to be made; ``"lost"``: whoever was to make it has
            ended.
        version: Counts the puts under this name, from 1.
        created: When it was published, in UTC.
        owner: Who published it.
        holders: Processes that hold a lease on it; at most 32 are told.
        reads: How often a get built it; not those that gave one more array over bytes of which a view lived already.
        containers: Other stored objects whose bytes refer to this one's.
        id: Id of the object in its store.
        pinned: It does not expire and is not spilled.
        expires: Seconds until its name ends, when this was told; ``None``: it does not end by itself.  A pinned one
            does not expire before it is unpinned.
        lifetime: ``"store"``: the name stays until it is taken away.  ``"kernel"``: it ends with its publisher's
            connection.  ``"reference"``: there is no name; it lives as long as it is referred to.
    """

    name: str
    type: str
    shape: tuple[int, ...] | None
    dtype: str | None
    nbytes: int
    state: str
    version: int
    created: datetime
    owner: str
    holders: tuple[Holder, ...]
    reads: int
    containers: int
    id: int
    pinned: bool
    expires: float | None
    lifetime: str
    _meta: Meta | None = field(repr=False, compare=False)

    def explain(self) -> str:
        """Say which bytes a get shares, which it copies, and why."""
        meta = self._meta
        if self.state in _UNMADE:
            return _UNMADE[self.state]
        if meta is None:
            return "the object was gone before it could be looked at"
        if meta.kind == FORWARD:
            return "it stands for another object without a name, and a get gives that one"
        if meta.kind == FAILURE:
            return "it stands for an exception, which a get raises"
        if meta.kind == NDARRAY:
            where = "another object's extent" if meta.parts[0][0] else "its own extent"
            return f"all {format_size(meta.nbytes)} are shared: an ndarray, read in place from {where}"
        stream, *shared = meta.parts
        total = sum(part[2] for part in shared)
        return (
            f"{format_size(total)} in {len(shared)} buffer{'s' if len(shared) != 1 else ''} are shared, read in place; "
            f"{format_size(stream[2])} are a "
            f"pickle stream, from which each get builds the {meta.type} anew"
        )

    @property
    def stream(self) -> int:
        """Bytes that each get has to unpickle; 0 for an ndarray, and where that is not known."""
        meta = self._meta
        return 0 if meta is None or meta.kind == NDARRAY else int(meta.parts[0][2])

    @property
    def lives(self) -> str:
        """How long it lives, in words."""
        if self.state == "held":
            return "until nobody reads it any more"
        text = _LIVES[self.lifetime]
        if self.expires is not None:
            left = f"{format_duration(self.expires)} more" if self.expires else "its time is over"
            text = left if self.lifetime == STORE else f"{left}, or {text}"
        return f"{text}; pinned" if self.pinned else text

    @property
    def terms(self) -> str:
        """What was agreed about it, in a few words; empty for most."""
        said = ["pinned"] if self.pinned else []
        said += [f"{format_duration(self.expires)} left"] if self.expires is not None else []
        return ", ".join([*said, *([KERNEL] if self.lifetime == KERNEL else [])])

    def rows(self) -> list[tuple[str, str]]:
        """Label and text of each fact, in the order in which people want them."""
        rows = [
            ("name", self.name or "(anonymous)"),
            ("type", self.type),
            ("shape", format_shape(self.shape)),
            ("dtype", self.dtype or "-"),
            ("size", format_size(self.nbytes)),
            ("state", self.state),
            ("lives", self.lives),
            ("version", str(self.version)),
            ("created", f"{self.created.astimezone():%Y-%m-%d %H:%M:%S}"),
            ("owner", self.owner),
            ("holders", ", ".join(map(str, self.holders)) or "nobody"),
            ("reads", str(self.reads)),
            ("memory", self.explain()),
        ]
        return rows if not self.containers else [*rows, ("contained in", f"{self.containers} other objects")]

    def __rich__(self) -> Any:
        from rich.table import Table

        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for label, text in self.rows():
            table.add_row(label, _plain(text))
        return table

    def __str__(self) -> str:
        return "\n".join(f"{label:12} {_shown(text)}" for label, text in self.rows())

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return _html_table((), self.rows())


class ObjectList(list[ObjectInfo]):
    """A list of objects that shows itself as a table."""

    @property
    def headings(self) -> tuple[str, ...]:
        """What the columns tell; ``terms`` only if something was agreed about one of the objects."""
        plain = ("name", "type", "shape", "dtype", "size", "version", "owner", "holders", "reads", "state")
        return (*plain, "terms") if any(info.terms for info in self) else plain

    def rows(self) -> list[tuple[str, ...]]:
        """One row of texts per object, in the order of ``headings``."""
        rows = [
            (
                info.name or "(anonymous)",
                info.type,
                format_shape(info.shape),
                info.dtype or "-",
                format_size(info.nbytes),
                str(info.version),
                info.owner,
                str(len(info.holders)),
                str(info.reads),
                info.state,
                info.terms,
            )
            for info in self
        ]
        columns = len(self.headings)
        return [row[:columns] for row in rows]

    def __rich__(self) -> Any:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, caption=None if self else "the store is empty")
        for heading in self.headings:
            right = heading in {"size", "version", "holders", "reads"}
            table.add_column(heading, justify="right" if right else "left", overflow="ellipsis", no_wrap=True)
        for row in self.rows():
            table.add_row(*map(_plain, row))
        return table

    def __str__(self) -> str:
        return _text_table(self.headings, self.rows()) if self else "the store is empty"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return _html_table(self.headings, self.rows()) if self else "<em>the store is empty</em>"


@dataclass(frozen=True, slots=True)
class StoreStats:
    """The store's accounts.  Sizes in bytes.

    Attributes:
        capacity: What used and reserved may be together.
        used: Pages of sealed objects in memory, held ones included.
        held: The part of it whose names are gone, but which somebody still reads.
        reserved: Extents that are being filled.
        reserve: The warm reserve: free memory that is kept for the next puts, and given up before one is refused.
        objects, names, clients: How many there are; who only watches is no client.
        payload: Bytes of data, as published.
        uptime: Seconds.
        pid: Of the store's process.
        keeper: Process id of its keeper, which starts it again if it dies; 0 while it has none.
        starts: Processes that this store has been so far: 1, and one more each time that it died.
        spilled: Bytes on disk of objects that had to leave memory; not a part of ``used``.
        spilled_objects: How many these are.
        spill_limit: Bytes that may be there at most, as the disk was when it was asked last.
        spill_reason: Why nothing is spilled; ``""`` when objects are.
        version, python: Of the store's process.
    """

    capacity: int
    used: int
    held: int
    reserved: int
    reserve: int
    objects: int
    names: int
    clients: int
    payload: int
    uptime: float
    pid: int
    keeper: int
    starts: int
    version: str
    python: str
    spilled: int = 0
    spilled_objects: int = 0
    spill_limit: int = 0
    spill_reason: str = ""

    @property
    def free(self) -> int:
        """Bytes that may still be put."""
        return max(0, self.capacity - self.used - self.reserved)

    def rows(self) -> list[tuple[str, str]]:
        """Label and text of each account."""
        sizes = ("capacity", "used", "held", "reserved", "reserve", "free")
        return [
            *((label, format_size(getattr(self, label))) for label in sizes),
            ("spilled", self._spilled()),
            ("objects", f"{self.objects:,} ({self.names:,} named)"),
            ("clients", str(self.clients)),
            ("store", f"pid {self.pid}, jupyter_shm {self.version}, Python {self.python}, up {self.uptime:.0f} s"),
        ]

    def _spilled(self) -> str:
        if self.spill_reason:
            return f"off: {self.spill_reason}"
        what = f"{self.spilled_objects:,} object{'s' * (self.spilled_objects != 1)}"
        return f"{format_size(self.spilled)} on disk ({what}; at most {format_size(self.spill_limit)})"

    def __rich__(self) -> Any:
        from rich.table import Table

        table = Table(box=None, show_header=False, pad_edge=False)
        for label, text in self.rows():
            table.add_row(label, text)
        return table

    def __str__(self) -> str:
        return "\n".join(f"{label:10} {text}" for label, text in self.rows())

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        return _html_table((), self.rows())


def object_info(facts: ObjectFacts, meta: Meta | None, people: dict[int, Person]) -> ObjectInfo:
    """Put together what the store, the object itself and the list of clients say."""
    found = (people[id] for id in facts.holders if id in people)
    return ObjectInfo(
        name=facts.name,
        type=meta.type if meta else "?",
        shape=meta.shape if meta else None,
        dtype=meta.dtype if meta else None,
        nbytes=facts.payload,
        state=facts.state,
        version=facts.version,
        created=datetime.fromtimestamp(facts.created_ns / 1e9, timezone.utc),
        owner=facts.label,
        holders=tuple(
            Holder(person.pid, person.label, person.kernel, notebook_of(person.label, person.kernel), person.id)
            for person in found
        ),
        reads=facts.reads,
        containers=facts.containers,
        id=facts.id,
        pinned=bool(facts.flags & PINNED),
        expires=max(0.0, (facts.expiry - time.monotonic_ns()) / 1e9) if facts.expiry else None,
        lifetime=(KERNEL if facts.flags & KERNEL_LIFETIME else STORE) if facts.name else REFERENCE,
        _meta=meta,
    )


def format_shape(shape: tuple[int, ...] | None) -> str:
    """Show a shape: numbers with a times sign in between, ``"scalar"``, or ``"-"`` for what has none."""
    if shape is None:
        return "-"
    return " \N{MULTIPLICATION SIGN} ".join(f"{size:,}" for size in shape) or "scalar"


def _plain(text: str) -> Any:
    # A name such as "[red]" is text, not markup.
    from rich.text import Text

    return Text(_shown(text))


def _shown(text: str) -> str:
    """Text for a terminal: a name may hold escape sequences or line ends, which must not act there."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _text_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rows = [[_shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [headings, *rows])
    return "\n".join(line.rstrip() for line in lines)


def _html_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(heading)}</th>' for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
