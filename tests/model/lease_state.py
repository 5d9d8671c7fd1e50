"""What stands where in the lease protocol: two words, two store buffers, the store, a client's threads.  No steps here.

A lease word is ``generation << 24 | count``.  ``State.slot`` and ``State.lease_word`` are what memory holds; whoever
has written a word reads the last of its own writes, which may still wait in its buffer.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

COUNT_BITS = 24  # bits of the lease word below the generation


class SlotState(Enum):
    """What the state word says of the slot."""

    FREE = "FREE"
    LIVE = "LIVE"
    DYING = "DYING"


class StateWord(NamedTuple):
    """The slot's state word: one word, read and written whole."""

    state: SlotState
    generation: int


class StorePhase(Enum):
    """What the store does next about the slot."""

    IDLE = "nothing begun"
    GRACE = "waiting out the grace"
    SCAN = "looking at the lease word"
    FREEING = "bytes freed, FREE not written yet"
    DEAD = "no store lives"


class Connection(Enum):
    """How far the client is from hanging up."""

    OPEN = "open"
    CLOSED = "close() was called, views may live"
    HUNG_UP = "the store has dropped the table"


class GetPhase(Enum):
    """Where a thread stands in its get."""

    OUTSIDE = "in no get"
    SEEN = "after step 1"
    ANNOUNCED = "after step 2"


class Thread(NamedTuple):
    """One thread of the client."""

    gets_left: int
    phase: GetPhase = GetPhase.OUTSIDE
    seen: int = 0  # generation read in step 1; 0 outside a get
    held: tuple[int, ...] = ()  # generations of the leases that it believes to hold, ascending

    def outside(self) -> Thread:
        """The thread after a get that gave up."""
        return self._replace(phase=GetPhase.OUTSIDE, seen=0)

    def holding(self) -> Thread:
        """The thread after a get that believes in its lease."""
        return self.outside()._replace(held=tuple(sorted((*self.held, self.seen))))

    def releasing(self, generation: int) -> Thread:
        """The thread after it let go of one lease on ``generation``."""
        at = self.held.index(generation)
        return self._replace(held=(*self.held[:at], *self.held[at + 1 :]))


class State(NamedTuple):
    """Everything there is."""

    slot: StateWord
    lease_word: int
    store_buffer: tuple[StateWord, ...]  # oldest first, as is the other
    client_buffer: tuple[int, ...]
    undrained: int  # leading writes of client_buffer that the grace still waits for
    store: StorePhase
    connection: Connection
    threads: tuple[Thread, ...]
    freed: int  # the bytes of this generation and of all before it were freed; 0 is none
    deaths_left: int
    knows_table: bool = True  # the store that lives, or the next one, has the client's lease table

    def slot_as_the_store_reads_it(self) -> StateWord:
        """The store's own last write of the state word, arrived or not."""
        return self.store_buffer[-1] if self.store_buffer else self.slot

    def lease_word_as_the_client_reads_it(self) -> int:
        """The client's own last write of its lease word, arrived or not."""
        return self.client_buffer[-1] if self.client_buffer else self.lease_word

    def with_store_write(self, word: StateWord, then: StorePhase) -> State:
        """The state after the store wrote its state word, into its buffer, and went on to a phase."""
        return self._replace(store_buffer=(*self.store_buffer, word), store=then)

    def with_client_writes(self, *words: int) -> State:
        """The state after the client wrote its lease word, once or more, into its buffer."""
        return self._replace(client_buffer=(*self.client_buffer, *words))

    def with_thread(self, number: int, thread: Thread) -> State:
        """The state with thread ``number`` as given."""
        return self._replace(threads=(*self.threads[:number], thread, *self.threads[number + 1 :]))


def lease(generation: int, count: int) -> int:
    """Pack a lease word."""
    return generation << COUNT_BITS | count


def generation_of(word: int) -> int:
    """The generation that a lease word names."""
    return word >> COUNT_BITS


def count_of(word: int) -> int:
    """How many leases a lease word counts."""
    return word & ((1 << COUNT_BITS) - 1)


def show_lease(word: int) -> str:
    """A lease word for people."""
    return f"lease word {generation_of(word)}<<{COUNT_BITS}|{count_of(word)}"


def show_slot(word: StateWord) -> str:
    """A state word for people."""
    return f"{word.state.value} {word.generation}"
