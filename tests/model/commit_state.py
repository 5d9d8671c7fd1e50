"""What stands where in the name protocol: index, heap, sockets, store, clients, reader.  No protocol, no I/O here.

The state is cut by what a death takes along.  The index, the heap and the sockets outlive the store (the keeper holds
them), ``Store`` is all that dies with it, ``Client`` and ``Reader`` are other processes.  So a crash is a step that
throws ``State.store`` away, and a restart one that builds it again from the rest.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

NAMES = ("x", "y")
NONE = -1  # no slot, no extent, no object, no operation


class Verb(Enum):
    """What a client asks for."""

    PUT = "put"
    PUT_AGAIN = "put again"
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
    """Publish what ``source`` names under ``name`` too: a header of its own that contains the old object's bytes.

    It begins only when there is a ``source``.
    """
    return Operation(client, Verb.PUT_AGAIN, name, source)


def delete(client: int, name: str) -> Operation:
    """Take ``name`` away; no error if nobody has published it."""
    return Operation(client, Verb.DELETE, name)


class SlotState(Enum):
    """The state word of a slot."""

    FREE = "FREE"
    RESERVED = "RESERVED"
    LIVE = "LIVE"
    DYING = "DYING"


class Slot(NamedTuple):
    """One slot of the index.

    Readers believe neither the state word nor what the CRC covers without the other, so both are one write here.
    """

    state: SlotState = SlotState.FREE
    object: int = NONE
    extent: int = NONE
    contains: int = NONE  # id of the object whose bytes this one refers to


class Write(Enum):
    """One persistent write of the store.  Readers look, and a store may die, between any two."""

    LIVE = "slot LIVE"
    NAME = "name word"
    DYING = "old slot DYING"
    ROW = "row"
    ANSWER = "answer, the packet is consumed"
    FREE = "FREE"
    GIVE_BACK = "extent given back and punched"


class Task(NamedTuple):
    """What the store is in the middle of."""

    writes: tuple[Write, ...]  # still to come
    slot: int  # the new one of a put, the DYING one of a free, NONE for a delete
    operation: int = NONE  # NONE: nobody asked for it, the store frees a slot


class Store(NamedTuple):
    """All that a death of the store loses."""

    free_extents: frozenset[int]
    task: Task | None = None


class Request(NamedTuple):
    """A commit or a delete, as a packet in a socket."""

    operation: int
    slot: int = NONE  # of a put: the reservation that it fills


class ClientPhase(Enum):
    """Where a client stands in its current operation."""

    READY = "not begun"
    FILLING = "has an extent, has not committed"
    WAITING = "has sent its request"


class Client(NamedTuple):
    """One client; it does its operations one after the other."""

    returned: int = 0  # operations whose calls are over
    phase: ClientPhase = ClientPhase.READY
    slot: int = NONE  # its reservation
    leased: int = NONE  # id of the object that it holds while putting it again


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
    slot: int = NONE
    object: int = NONE
    floor: frozenset[int] = frozenset()  # the newest operations on the name that had returned when the get began


class State(NamedTuple):
    """Everything there is."""

    # The index: everybody reads it, only the store writes it, one field of one entry at a time.
    slots: tuple[Slot, ...]
    names: tuple[int, ...]  # per name: the slot that it stands for
    rows: tuple[int, ...]  # per client: how many of its requests were applied

    heap: tuple[int, ...]  # per extent: the object whose bytes stand in it, NONE for a hole
    sockets: tuple[tuple[Request, ...], ...]  # per client; the packet in work stays at the head until answered
    store: Store
    clients: tuple[Client, ...]
    reader: Reader
    # Per name: its operations in the order in which the store took them.  No process knows this; it is what
    # "old" and "new" mean in the promises.
    applied: tuple[tuple[int, ...], ...]

    def slot_named(self, name: str) -> int:
        """The slot that the name word of ``name`` says."""
        return self.names[NAMES.index(name)]

    def applied_to(self, name: str) -> tuple[int, ...]:
        """The operations on ``name`` that the store has taken, oldest first."""
        return self.applied[NAMES.index(name)]

    def with_slot(self, number: int, slot: Slot) -> State:
        """The state after slot ``number`` was written."""
        return self._replace(slots=(*self.slots[:number], slot, *self.slots[number + 1 :]))

    def with_slot_state(self, number: int, word: SlotState) -> State:
        """The state after the state word of slot ``number`` was written."""
        return self.with_slot(number, self.slots[number]._replace(state=word))

    def with_name(self, name: str, slot: int) -> State:
        """The state after the name word of ``name`` was written."""
        words = zip(NAMES, self.names, strict=True)
        return self._replace(names=tuple(slot if other == name else word for other, word in words))

    def with_bytes(self, extent: int, content: int) -> State:
        """The state after ``extent`` was filled with the bytes of object ``content``, or punched (NONE)."""
        return self._replace(heap=(*self.heap[:extent], content, *self.heap[extent + 1 :]))

    def with_socket(self, client: int, packets: tuple[Request, ...]) -> State:
        """The state with other packets waiting in a client's socket."""
        return self._replace(sockets=(*self.sockets[:client], packets, *self.sockets[client + 1 :]))

    def with_row(self, client: int) -> State:
        """The state after the row of ``client`` counts one request more."""
        return self._replace(rows=tuple(row + (number == client) for number, row in enumerate(self.rows)))

    def with_task(self, task: Task | None) -> State:
        """The state with the store in the middle of ``task``."""
        return self._replace(store=self.store._replace(task=task))

    def with_client(self, number: int, client: Client) -> State:
        """The state with client ``number`` as given."""
        return self._replace(clients=(*self.clients[:number], client, *self.clients[number + 1 :]))

    def with_applied(self, name: str, operation: int) -> State:
        """The state after the store took ``operation`` on ``name``."""
        lists = zip(NAMES, self.applied, strict=True)
        return self._replace(applied=tuple((*done, operation) if other == name else done for other, done in lists))
