"""What the core wants done, in this order, by whoever runs it.  No I/O here.

The daemon carries a list of actions out from first to last before it tells the core of anything else; the core
relies on it: a state word is in the index before the answer that speaks of it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..protocol.messages import Answer
from ..tables.layout import Record


@dataclass(slots=True)
class WriteRecord:
    """Write the immutable facts of a FREE slot."""

    slot: int
    record: Record


@dataclass(slots=True)
class SetState:
    """Write a slot's state word."""

    slot: int
    generation: int
    state: int


@dataclass(slots=True)
class Promise:
    """Make a FREE slot RESERVED for an object that will be cut out of a nursery."""

    slot: int
    generation: int
    nursery: int


@dataclass(slots=True)
class Pend:
    """Make a FREE slot PENDING, for an object that a client will make."""

    slot: int
    generation: int
    client: int
    number: int


@dataclass(slots=True)
class Publish:
    """Write the facts of an object into the slot that was promised, or is PENDING, and make it LIVE."""

    slot: int
    record: Record


@dataclass(slots=True)
class SetTail:
    """Write how many entries of a client's ring were read; after all that they say was done."""

    row: int
    tail: int


@dataclass(slots=True)
class SetDone:
    """Write which of a client's requests about terms was carried out last: its row would say the same of a refusal."""

    row: int
    number: int


@dataclass(slots=True)
class SetLooking:
    """Write whether a client's ring is looked at without its telling."""

    row: int
    is_looking: bool


@dataclass(slots=True)
class SetName:
    """Let a name mean a slot; ``old`` is the slot that it meant until now."""

    name: bytes
    slot: int
    old: int | None


@dataclass(slots=True)
class ClearName:
    """Let a name mean nothing."""

    name: bytes
    slot: int


@dataclass(slots=True)
class SetRow:
    """Write a client's row: the number of the last request that was applied; client 0 frees the row."""

    row: int
    client: int
    number: int


@dataclass(slots=True)
class SetEnder:
    """Write, before a slot is made DYING, whose request that was: it is then known when it is seen again."""

    slot: int
    client: int
    number: int


@dataclass(slots=True)
class SetReads:
    """Write how often an object was fetched by clients that have hung up."""

    slot: int
    reads: int


@dataclass(slots=True)
class SetTerm:
    """Write one of the terms of an object: one of the TERM_* of ``tables.layout``."""

    slot: int
    term: int
    value: int


@dataclass(slots=True)
class NoteClient:
    """What the next store has to know of this client has changed."""

    conn: int


@dataclass(slots=True)
class ForgetClient:
    """The next store needs not know of this client any more; before its row is free."""

    conn: int


@dataclass(slots=True)
class OpenTable:
    """Make the lease table of a new client; it travels with the Welcome that follows."""

    conn: int
    client: int


@dataclass(slots=True)
class Send:
    """Send a message; never wait for a slow reader."""

    conn: int
    message: Answer


@dataclass(slots=True)
class Warm:
    """Have a range of the heap, which nobody has, made ready to be written fast; tell ``Core.warmed`` what came of it."""

    offset: int
    nbytes: int


@dataclass(slots=True)
class Punch:
    """Give pages of the heap back to the system."""

    offset: int
    nbytes: int


@dataclass(slots=True)
class Spill:
    """Have an object's bytes copied into the spill heap; tell ``Core.spilled`` what came of it."""

    id: int
    source: int  # offset in the heap
    offset: int  # in the spill heap
    nbytes: int
    spilled: int  # bytes of the spill heap that are in use without it


@dataclass(slots=True)
class PunchSpill:
    """Give a part of the spill heap back to the disk, before anything that is spilled later is written."""

    offset: int
    nbytes: int


@dataclass(slots=True)
class SetCapacity:
    """Write how many bytes used and reserved pages together may take."""

    nbytes: int


@dataclass(slots=True)
class Exit:
    """End the store, once everything sent is on its way."""

    reason: str


Action: TypeAlias = (
    WriteRecord
    | SetState
    | Promise
    | Pend
    | Publish
    | SetTail
    | SetDone
    | SetLooking
    | SetName
    | ClearName
    | SetRow
    | SetEnder
    | SetReads
    | SetTerm
    | NoteClient
    | ForgetClient
    | OpenTable
    | Send
    | Warm
    | Punch
    | Spill
    | PunchSpill
    | SetCapacity
    | Exit
)
