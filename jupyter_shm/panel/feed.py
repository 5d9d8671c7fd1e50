"""What is told to a page: a store's accounts, objects and events as one JSON state, and as changes of it.  No I/O here.

The words are a contract with the TypeScript side, held by the files in ``labextension/contract``.  Sizes are bytes, times
are seconds since 1970.  Ids are text: JavaScript's numbers end at 2**53.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..client.events import Event
from ..client.info import Holder, ObjectInfo, StoreStats

NEARLY_FULL = 0.9
"""Part of the capacity from which on a page warns."""

SAME_EXPIRY = 1.0
"""Seconds by which two tellings of one expiry may differ: what is left is counted anew each time."""

MANY = 0.5
"""Part of all objects from which on a change is told as a whole state: it would be longer than that."""


class Usage(msgspec.Struct, frozen=True):
    """The accounts, as ``StoreStats`` has them.

    Attributes:
        is_nearly_full: Used and reserved are ``NEARLY_FULL`` of the capacity, or more.
    """

    capacity: int
    used: int
    held: int
    reserved: int
    reserve: int
    free: int
    spilled: int
    spilled_objects: int
    spill_limit: int
    spill_reason: str
    objects: int
    names: int
    clients: int
    payload: int
    pid: int
    version: str
    python: str
    is_nearly_full: bool


class Reader(msgspec.Struct, frozen=True):
    """A process that holds an object, as ``Holder`` has it."""

    label: str
    notebook: str
    pid: int
    kernel: str
    client: int


class Entry(msgspec.Struct, frozen=True):
    """One object, as ``ObjectInfo`` has it.

    Attributes:
        notebook: Path of the publisher's notebook; ``""`` where it is none, or is not known.
        expires: When its name ends; ``None``: not by itself.
    """

    id: str
    name: str
    type: str
    shape: tuple[int, ...] | None
    dtype: str | None
    nbytes: int
    created: float
    version: int
    owner: str
    notebook: str
    holders: tuple[Reader, ...]
    reads: int
    state: str
    pinned: bool
    expires: float | None
    lifetime: str
    containers: int


class Happening(msgspec.Struct, frozen=True):
    """One event, as ``Event`` has it."""

    sequence: int
    time: float
    kind: str
    name: str
    id: str
    version: int
    nbytes: int
    who: str


class State(msgspec.Struct, frozen=True, tag="state", tag_field="kind"):
    """All that a page shows.

    Attributes:
        revision: Counts the states of one sender.
        now: When it was so.
        store: Name of the store.
        incarnation: Tells stores of one name apart; ``""`` where there is none.
        fault: Why there is nothing to show; ``""`` where there is.
        usage: ``None`` where there is a fault.
        objects: In no particular order.
        events: Of the last minutes, the oldest first.
    """

    revision: int
    now: float
    store: str
    incarnation: str
    fault: str
    usage: Usage | None
    objects: tuple[Entry, ...]
    events: tuple[Happening, ...]


class Diff(msgspec.Struct, frozen=True, tag="diff", tag_field="kind"):
    """What makes one state of another.

    Attributes:
        base: Revision of the state that it is about.
        revision: Of the state that it makes.
        now: When that was so.
        usage: The accounts as they are then.
        changed: Objects that are new, or not what they were.
        gone: Ids of objects that are no more.
        events: What happened in between.
    """

    base: int
    revision: int
    now: float
    usage: Usage
    changed: tuple[Entry, ...]
    gone: tuple[str, ...]
    events: tuple[Happening, ...]


def state_of(
    store: str,
    incarnation: int,
    revision: int,
    now: float,
    stats: StoreStats,
    infos: Iterable[ObjectInfo],
    events: Iterable[Event],
) -> State:
    """The state of a store that answers.

    Args:
        store: Its name.
        incarnation: Its id, a random number.
        revision: Above that of every state before.
        now: Seconds since 1970, at which the rest was asked for.
        stats: From ``store.stats()``.
        infos: From ``store.list(anonymous=True)``.
        events: From ``store.events()``.
    """
    return State(
        revision,
        round(now, 3),
        store,
        str(incarnation),
        "",
        usage_of(stats),
        tuple(_entry(info, now) for info in infos),
        happenings_of(events),
    )


def fault_state(store: str, revision: int, now: float, fault: str) -> State:
    """The state of a store that does not run, or does not answer.

    Args:
        store: Its name.
        revision: Above that of every state before.
        now: Seconds since 1970.
        fault: Why, for people.
    """
    return State(revision, round(now, 3), store, "", fault, None, (), ())


def usage_of(stats: StoreStats) -> Usage:
    """The accounts for a page."""
    same = {name: getattr(stats, name) for name in Usage.__struct_fields__ if name != "is_nearly_full"}
    return Usage(**same, is_nearly_full=stats.used + stats.reserved >= NEARLY_FULL * stats.capacity)


def happenings_of(events: Iterable[Event]) -> tuple[Happening, ...]:
    """Events for a page."""
    return tuple(
        Happening(
            event.sequence,
            round(event.time, 3),
            event.kind,
            event.name,
            str(event.id),
            event.version,
            event.nbytes,
            event.who,
        )
        for event in events
    )


def change(old: State, new: State) -> State | Diff | None:
    """The shortest message that makes the new state of the old one.

    Args:
        old: What the page has.
        new: Of a higher revision, and of the same sender.

    Returns:
        ``None`` if nothing has changed but the time; a ``State`` if it is about another store, about a fault, or if most
        of it is new.
    """
    if new.fault or old.fault or new.incarnation != old.incarnation or new.usage is None:
        is_same = new.fault == old.fault and new.incarnation == old.incarnation
        return None if is_same and new.fault else new
    before = {entry.id: entry for entry in old.objects}
    changed = tuple(entry for entry in new.objects if not _is_same(before.pop(entry.id, None), entry))
    last = old.events[-1].sequence if old.events else 0
    events = tuple(event for event in new.events if event.sequence > last)
    if not changed and not before and not events and new.usage == old.usage:
        return None
    if len(changed) > MANY * len(new.objects) and len(changed) > len(events):
        return new
    return Diff(old.revision, new.revision, new.now, new.usage, changed, tuple(before), events)


def encode(message: State | Diff) -> str:
    """A message as JSON text."""
    return msgspec.json.encode(message).decode()


def _entry(info: ObjectInfo, now: float) -> Entry:
    return Entry(
        id=str(info.id),
        name=info.name,
        type=info.type,
        shape=info.shape,
        dtype=info.dtype,
        nbytes=info.nbytes,
        created=round(info.created.timestamp(), 3),
        version=info.version,
        owner=info.owner,
        notebook=info.owner if info.owner.endswith(".ipynb") else "",
        holders=tuple(map(_reader, info.holders)),
        reads=info.reads,
        state=info.state,
        pinned=info.pinned,
        expires=None if info.expires is None else round(now + info.expires, 3),
        lifetime=info.lifetime,
        containers=info.containers,
    )


def _reader(holder: Holder) -> Reader:
    return Reader(holder.label, holder.notebook, holder.pid, holder.kernel, holder.client)


def _is_same(old: Entry | None, new: Entry) -> bool:
    if old is None or old == new:
        return old is not None
    if old.expires is None or new.expires is None or abs(old.expires - new.expires) > SAME_EXPIRY:
        return False
    return msgspec.structs.replace(old, expires=new.expires) == new
