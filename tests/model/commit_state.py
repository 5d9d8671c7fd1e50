"""What stands where in the name protocol: index, heap, queues, store, clients, reader.  No protocol, no I/O here.

The state is cut by what a death takes along.  The index, the heap and the queues outlive the store (the keeper holds
them), ``Store`` is all that dies with it, ``Client`` and ``Reader`` are other processes.  So a death is a step that
throws ``State.store`` away, and a restart builds it again from the rest.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple, TypeVar

from .commit_scenario import NAMES, NONE

Item = TypeVar("Item")


class SlotState(str, Enum):
    """The state word of a slot."""

    FREE = "FREE"
    RESERVED = "RESERVED"
    LIVE = "LIVE"
    DYING = "DYING"


class Caller(NamedTuple):
    """Who asked for something, and under which of its numbers."""

    client: int
    number: int


NOBODY = Caller(NONE, 0)


class Slot(NamedTuple):
    """One slot of the index: the state word, the ender word, and the record, which is written while it is FREE.

    Readers believe neither the state word nor what the CRC covers without the other.
    """

    state: SlotState = SlotState.FREE
    maker: Caller = NOBODY  # whose request made it: a Reserve if RESERVED, else a Commit
    sequence: int = 0  # rises with every commit
    object: int = NONE  # the operation that it is for; the record has its name
    extent: int = NONE
    contains: int = NONE  # id of the object whose bytes this one refers to
    ender: Caller = NOBODY  # whose Delete ended it; counts only while it is DYING


FREE_SLOT = Slot()


class Kind(str, Enum):
    """What a packet to the store is."""

    RESERVE = "Reserve"
    COMMIT = "Commit"
    DELETE = "Delete"
    CANCEL = "Cancel"  # one-way: it has no number of its own


class Reservation(NamedTuple):
    """What a client knows of the extent that it fills."""

    slot: int
    maker: Caller
    extent: int


NO_RESERVATION = Reservation(NONE, NOBODY, NONE)


class Request(NamedTuple):
    """A packet in a client's queue."""

    kind: Kind
    operation: int
    number: int = 0  # 0: none, it is not answered
    reservation: Reservation = NO_RESERVATION  # that a Commit fills, or a Cancel takes back
    contains: int = NONE  # of a Commit: what the extent's prefix lists


class Said(str, Enum):
    """What an answer says."""

    RESERVED = "reserved"
    DONE = "done"
    REFUSED = "refused"
    AGAIN = "ask again"


class Answer(NamedTuple):
    """A packet in a client's receive queue."""

    number: int
    said: Said
    reservation: Reservation = NO_RESERVATION  # of RESERVED


NO_ANSWER = Answer(0, Said.DONE)


class Write(str, Enum):
    """One write of the store that outlives it.  Others look, and the store may die, between any two."""

    RESERVED = "slot RESERVED"
    RECORD = "record of a FREE slot"
    LIVE = "slot LIVE"
    UNRESERVE = "reservation FREE"
    NAME = "name word"
    ENDER = "ender word"
    DYING = "old slot DYING"
    CLEAR_NAME = "name word cleared"
    ROW = "row"
    ANSWER = "answer"
    CONSUME = "packet consumed"
    FREE = "FREE"
    GIVE_BACK = "extent given back and punched"


class Task(NamedTuple):
    """What the store is in the middle of."""

    writes: tuple[Write, ...]  # still to come
    client: int = NONE  # whose packet it handles; NONE: nobody asked, the store frees a slot
    slot: int = NONE  # that is made RESERVED, LIVE or FREE
    old: int = NONE  # that is made DYING
    reservation: int = NONE  # slot whose extent goes to the new one
    answer: Answer = NO_ANSWER


class Stage(str, Enum):
    """How far a store is from serving.  Until the first write of a restart, no store need live."""

    ROWS = "rows"
    TWINS = "twins"
    LOSERS = "losers"
    NAMES = "names"
    EXTENTS = "extents"
    HEADS = "heads"
    SERVING = "serving"


class Store(NamedTuple):
    """All that a death of the store loses."""

    stage: Stage = Stage.ROWS
    sequence: int = 0  # of the last commit
    free_extents: frozenset[int] = frozenset()
    task: Task | None = None
    outbox: frozenset[tuple[int, Answer]] = frozenset()  # client, and the answer that found no room in its queue


class ClientPhase(str, Enum):
    """Where a client stands in its current operation."""

    READY = "not begun"
    RESERVING = "has asked for an extent"
    WAITING = "has sent its Commit or Delete"


class Client(NamedTuple):
    """One client; it does its operations one after the other."""

    returned: int = 0  # operations whose calls are over
    phase: ClientPhase = ClientPhase.READY
    number: int = 0  # of its last request
    reservation: Reservation = NO_RESERVATION  # that it fills, or has filled
    leased: int = NONE  # id of the object that it holds while putting it again


class ReaderPhase(str, Enum):
    """Where the reader stands in a get."""

    IDLE = "in no get"
    LOOKED_UP = "has read the name word"
    ASKING = "missed, waits for the store's answer"
    HOLDING = "has the object, under a lease"


class Reader(NamedTuple):
    """A process that only gets, one name after the other, for ever."""

    phase: ReaderPhase = ReaderPhase.IDLE
    name: str = ""
    slot: int = NONE
    told: int = NONE  # id of the object that the store said the name means
    object: int = NONE
    floor: frozenset[int] = frozenset()  # the newest operations on the name when the get began


class State(NamedTuple):
    """Everything there is."""

    # The index: everybody reads it, only the store writes it, one field of one entry at a time.
    slots: tuple[Slot, ...]
    names: tuple[int, ...]  # per name: the slot that it stands for
    rows: tuple[int, ...]  # per client: the number of its last request that was handled

    heap: tuple[int, ...]  # per extent: the object whose bytes stand in it, NONE for a hole
    requests: tuple[tuple[Request, ...], ...]  # per client: its queue to the store; the head stays until consumed
    answers: tuple[tuple[Answer, ...], ...]  # per client: its receive queue
    store: Store
    clients: tuple[Client, ...]
    reader: Reader

    # What may still go wrong.
    deaths_left: int
    jams_left: int  # answers that may find no room

    # What no process knows.  Per name: its operations in the order in which they took effect, which is what "old" and
    # "new" mean in the promises.  And the operations whose calls said that they had no effect.
    applied: tuple[tuple[int, ...], ...]
    refused: frozenset[int] = frozenset()
    fault: str = ""  # what was wrong with what was just said to somebody

    def slot_named(self, name: str) -> int:
        """The slot that the name word of ``name`` says."""
        return self.names[NAMES.index(name)]

    def applied_to(self, name: str) -> tuple[int, ...]:
        """The operations on ``name`` that took effect, oldest first."""
        return self.applied[NAMES.index(name)]

    def slot_made_by(self, maker: Caller, *states: SlotState) -> int:
        """The slot in one of ``states`` that a request made; NONE if there is none."""
        return next((n for n, slot in enumerate(self.slots) if slot.maker == maker and slot.state in states), NONE)

    def free_slots(self) -> list[int]:
        """The slots that nobody uses."""
        return [number for number, slot in enumerate(self.slots) if slot.state is SlotState.FREE]

    def with_slot(self, number: int, slot: Slot) -> State:
        """The state after slot ``number`` was written."""
        return self._replace(slots=put_at(self.slots, number, slot))

    def with_slot_state(self, number: int, word: SlotState) -> State:
        """The state after the state word of slot ``number`` was written."""
        return self.with_slot(number, self.slots[number]._replace(state=word))

    def with_name(self, name: str, slot: int) -> State:
        """The state after the name word of ``name`` was written."""
        return self._replace(names=put_at(self.names, NAMES.index(name), slot))

    def with_bytes(self, extent: int, content: int) -> State:
        """The state after ``extent`` was filled with the bytes of object ``content``, or punched (NONE)."""
        return self._replace(heap=put_at(self.heap, extent, content))

    def with_requests(self, client: int, packets: tuple[Request, ...]) -> State:
        """The state with other packets waiting in a client's queue."""
        return self._replace(requests=put_at(self.requests, client, packets))

    def with_answers(self, client: int, packets: tuple[Answer, ...]) -> State:
        """The state with other packets waiting in a client's receive queue."""
        return self._replace(answers=put_at(self.answers, client, packets))

    def with_row(self, client: int, number: int) -> State:
        """The state after the row of ``client`` was written."""
        return self._replace(rows=put_at(self.rows, client, number))

    def with_store(self, **fields: Any) -> State:
        """The state with some fields of the store's own memory changed."""
        return self._replace(store=self.store._replace(**fields))

    def with_client(self, number: int, client: Client) -> State:
        """The state with client ``number`` as given."""
        return self._replace(clients=put_at(self.clients, number, client))

    def with_applied(self, name: str, operation: int, after: int | None = None) -> State:
        """The state after ``operation`` on ``name`` took effect: last of all, or right after another one."""
        done = self.applied_to(name)
        place = len(done) if after is None else done.index(after) + 1
        return self._replace(applied=put_at(self.applied, NAMES.index(name), (*done[:place], operation, *done[place:])))


def put_at(items: tuple[Item, ...], place: int, item: Item) -> tuple[Item, ...]:
    """A tuple with one item replaced."""
    return (*items[:place], item, *items[place + 1 :])
