"""What stands where in the name protocol: index, heap, sockets, store, clients, reader.  No steps, no I/O here.

The state is cut by what a death takes along.  ``Index``, ``heap`` and ``sockets`` survive the store (the keeper holds
them); ``Store`` is all that dies with it; ``Client`` and ``Reader`` live in other processes.  A crash is therefore a
step that replaces ``State.store`` alone, a restart one that builds it again from the rest.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

NAMES = ("x", "y")


class Verb(Enum):
    """What a client asks for."""

    PUT = "put"
    PUT_AGAIN = "put again"  # a stored object under a new name: no bytes of its own, it contains the old object
    DELETE = "delete"


class Operation(NamedTuple):
    """One call of one client.  Its place in the scenario is its number, and the id of the object that it makes."""

    client: int
    verb: Verb
    name: str
    source: str = ""  # of a PUT_AGAIN: the name under which the contained object is found


Scenario = tuple[Operation, ...]


def put(client: int, name: str) -> Operation:
    """Publish a new object under ``name``, whatever stood there."""
    return Operation(client, Verb.PUT, name)


def put_again(client: int, source: str, name: str) -> Operation:
    """Get ``source`` and publish it under ``name``, sharing its bytes.  Waits for ever if there is no ``source``."""
    return Operation(client, Verb.PUT_AGAIN, name, source)


def delete(client: int, name: str) -> Operation:
    """Take ``name`` away.  No error if nobody has published it."""
    return Operation(client, Verb.DELETE, name)


class SlotState(Enum):
    """The state word of a slot."""

    FREE = "FREE"
    RESERVED = "RESERVED"
    LIVE = "LIVE"
    DYING = "DYING"


class Slot(NamedTuple):
    """One slot of the index.

    What the CRC covers arrives with the state word: readers believe neither without the other, so both are one
    write here.
    """

    state: SlotState = SlotState.FREE
    object: int = -1  # -1: none
    extent: int = -1
    contains: int = -1  # id of the object whose bytes this one refers to


class Index(NamedTuple):
    """What everybody may read, and only the store writes, one field of one entry at a time."""

    slots: tuple[Slot, ...]
    names: tuple[int, ...]  # per name: the slot it stands for, -1 for none
    rows: tuple[int, ...]  # per client: how many of its requests were applied


class Write(Enum):
    """One persistent write of the store; readers look, and the store may die, between any two."""

    LIVE = "slot LIVE"
    NAME = "name word"
    DYING = "old slot DYING"
    ROW = "row"
    ANSWER = "answer, and the packet is consumed"
    FREE = "slot FREE"
    PUNCH = "extent given back and punched"


class Task(NamedTuple):
    """What the store is in the middle of."""

    writes: tuple[Write, ...]  # still to come
    slot: int  # the new one of a put, the DYING one of a free, -1 for a delete
    operation: int = -1  # -1: none asked for it, the store frees a slot


class Store(NamedTuple):
    """All that a death of the store loses."""

    free_extents: frozenset[int]
    task: Task | None = None


class Request(NamedTuple):
    """A commit or a delete, as a packet in a socket."""

    operation: int
    slot: int = -1  # of a put: the reservation that it fills


class ClientPhase(Enum):
    """Where a client stands in its current operation."""

    READY = "not begun"
    FILLING = "has an extent, has not committed"
    WAITING = "has sent its request"


class Client(NamedTuple):
    """One client; it does its operations one after the other."""

    returned: int = 0  # operations whose calls are over
    phase: ClientPhase = ClientPhase.READY
    slot: int = -1  # its reservation
    leased: int = -1  # id of the object that it holds to put it again


class ReaderPhase(Enum):
    """Where the reader stands in a get."""

    IDLE = "in no get"
    LOOKED_UP = "has read the name word"
    ASKING = "missed, waits for the store's answer"
    HOLDING = "has the object, under a lease"
    NOT_FOUND = "was told that there is no such name"


class Reader(NamedTuple):
    """A process that only gets, one name after the other, for ever."""

    phase: ReaderPhase = ReaderPhase.IDLE
    name: str = ""
    slot: int = -1
    object: int = -1
    floor: frozenset[int] = frozenset()  # the newest operations on the name that had returned when the get began


class State(NamedTuple):
    """Everything there is."""

    index: Index
    heap: tuple[int, ...]  # per extent: the object whose bytes stand in it, -1 for a hole
    sockets: tuple[tuple[Request, ...], ...]  # per client; the packet in work stays at the head until answered
    store: Store
    clients: tuple[Client, ...]
    reader: Reader
    applied: tuple[tuple[int, ...], ...]  # per name: its operations in the order in which the store took them.
    # Nobody in the system knows it, and the promises are about it.


def slot_named(state: State, name: str) -> int:
    """The slot that the name word of ``name`` names, -1 for none."""
    return state.index.names[NAMES.index(name)]


def slot_of(state: State, thing: int) -> Slot | None:
    """The slot of object ``thing``, None once it was freed."""
    return next((s for s in state.index.slots if s.object == thing and s.state is not SlotState.FREE), None)
