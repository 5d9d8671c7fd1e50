"""The ring protocol as a transition system: one client that writes entries, one store that reads them.  No I/O here.

**Memory.**  Each process writes into a store buffer of its own, first in first out, and a buffered write reaches memory
at any later moment; reads happen in program order, and may be earlier than the process's own buffered writes.  An entry
and the head that makes it count are one write here: a torn one is found by its check, and read later.

**The client** writes an entry, then reads the word ``looking`` of its row.  If that is 0 it sends a packet.  Whoever
receives a packet sees all that its sender wrote before it.  A packet stays in the socket while no store lives.

**The store** looks.  What it finds it does, then it writes the tail, sets ``looking`` and will look again.  If it finds
nothing it clears ``looking``, waits a grace (all that stood in the client's buffer when that 0 reached memory has drained)
and looks once more; finds it nothing again, it rests until a packet comes.

**A store that dies**, at any step, is started again when all that it had written has arrived.  The next one looks.

**The promise:** no entry is left that nobody will ever read.  A state in which nothing moves any more without another
call of the client has all entries done.

Every safeguard can be taken out by a field of ``RingProtocol``, whose comments say what then goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Phase(Enum):
    """Where the store stands."""

    LOOKING = "will look soon"
    DOING = "has done what it found, and writes the tail"
    GRACE = "has cleared the word, and will look once more"
    RESTING = "waits for a packet"
    DEAD = "is to be started again"


class RingState(NamedTuple):
    """Everything there is."""

    written: int = 0  # entries that the client has written, arrived or not
    buffered: int = 0  # of these, not in memory yet
    is_between: bool = False  # the client has written an entry, and has not read the word yet
    saw: int | None = None  # what a client that reads before it writes has read
    has_rung: bool = False  # there is a packet in the socket
    phase: Phase = Phase.RESTING
    looking: int = 0  # the word, in memory
    store_buffer: tuple[int, ...] = ()  # values of the word on their way, oldest first
    undrained: int = 0  # entries that the grace still waits for
    done: int = 0  # entries that were done
    tail: int = 0  # entries of which the row says so
    deaths_left: int = 1

    @property
    def head(self) -> int:
        """What the store sees of the ring."""
        return self.written - self.buffered

    @property
    def looking_as_the_store_knows_it(self) -> int:
        """Its own last write, arrived or not."""
        return self.store_buffer[-1] if self.store_buffer else self.looking


Step = tuple[str, RingState]


@dataclass(frozen=True)
class RingProtocol:
    """Which safeguards are in force."""

    # Without it a client that read the word just before it was cleared waits for ever.
    last_look: bool = True
    # Without it the last look comes while such a client's entry is still in its buffer.
    grace: bool = True
    # Without it a client believes in a word that was cleared, and looked after, before its entry was written.
    write_before_read: bool = True
    # Without it nobody looks for a client to whom the store that died had said that it looks.
    look_after_restart: bool = True
    # Without it a store that dies in between has said of an entry that it was done.
    tail_after_done: bool = True


HEALTHY = RingProtocol()


def left_behind(state: RingState) -> str | None:
    """The promise: nothing moves any more, and an entry is not done."""
    moves = state.buffered or state.store_buffer or state.is_between or state.saw is not None or state.has_rung
    if moves or state.phase is not Phase.RESTING or state.done >= state.written:
        return None
    return f"{state.written - state.done} of {state.written} entries will never be done"


class RingModel:
    """The transition system of one protocol.

    Args:
        protocol: The safeguards in force.
        entries: How many the client writes.
        deaths: How often the store dies.
    """

    def __init__(self, protocol: RingProtocol = HEALTHY, entries: int = 3, deaths: int = 1) -> None:
        self._protocol = protocol
        self._entries = entries
        self._deaths = deaths

    @property
    def initial(self) -> RingState:
        """Nothing was written yet."""
        return RingState(deaths_left=self._deaths)

    def successors(self, state: RingState) -> Iterator[Step]:
        """List every step that anybody, or a buffer, can take now."""
        yield from self._drains(state)
        yield from self._client_steps(state)
        if state.phase is Phase.DEAD:
            yield from self._restart(state)
            return
        yield from self._store_steps(state)
        if state.deaths_left:
            dead = state._replace(phase=Phase.DEAD, undrained=0, deaths_left=state.deaths_left - 1)
            yield "store: dies", dead

    # Memory

    def _drains(self, state: RingState) -> Iterator[Step]:
        if state.buffered:
            left = max(state.undrained - 1, 0)
            yield "memory: an entry arrives", state._replace(buffered=state.buffered - 1, undrained=left)
        if state.store_buffer:
            word, *rest = state.store_buffer
            drained = state._replace(looking=word, store_buffer=tuple(rest))
            if not word and state.phase is Phase.GRACE:
                drained = drained._replace(undrained=state.buffered)
            yield f"memory: looking = {word} arrives", drained

    # The client

    def _client_steps(self, state: RingState) -> Iterator[Step]:
        if not self._protocol.write_before_read:
            yield from self._reckless_client_steps(state)
        elif state.is_between:
            yield self._heed(state._replace(is_between=False), state.looking)
        elif state.written < self._entries:
            wrote = state._replace(written=state.written + 1, buffered=state.buffered + 1, is_between=True)
            yield f"client: writes entry {wrote.written}", wrote

    def _reckless_client_steps(self, state: RingState) -> Iterator[Step]:
        if state.saw is not None:
            wrote = state._replace(written=state.written + 1, buffered=state.buffered + 1, saw=None)
            yield self._heed(wrote, state.saw)
        elif state.written < self._entries:
            yield f"client: reads looking = {state.looking}, too early", state._replace(saw=state.looking)

    def _heed(self, state: RingState, looking: int) -> Step:
        if looking:
            return "client: reads looking = 1, tells nobody", state
        return "client: reads looking = 0, rings", state._replace(has_rung=True, buffered=0, undrained=0)

    # The store

    def _store_steps(self, state: RingState) -> Iterator[Step]:
        if state.phase is Phase.DOING:
            yield "store: has done them, writes the tail", self._after_work(state)
            return
        if state.has_rung:
            yield "store: a packet comes", self._look(state._replace(has_rung=False), state.phase)
        if state.phase is Phase.LOOKING:
            yield "store: looks", self._look(state, Phase.GRACE)
        elif state.phase is Phase.GRACE and self._grace_is_over(state):
            found = self._look(state, Phase.RESTING) if self._protocol.last_look else self._rest(state)
            yield "store: looks for the last time", found

    def _grace_is_over(self, state: RingState) -> bool:
        return not self._protocol.grace or (not state.store_buffer and state.undrained == 0)

    def _look(self, state: RingState, otherwise: Phase) -> RingState:
        if state.head > state.tail:
            # Between the two writes the store may die.
            doing = state._replace(phase=Phase.DOING)
            return (
                doing._replace(done=state.head) if self._protocol.tail_after_done else doing._replace(tail=state.head)
            )
        if otherwise is Phase.GRACE and state.phase is Phase.LOOKING:
            return state._replace(phase=Phase.GRACE, store_buffer=(*state.store_buffer, 0), undrained=state.buffered)
        return state._replace(phase=otherwise)

    def _rest(self, state: RingState) -> RingState:
        return state._replace(phase=Phase.RESTING)

    def _after_work(self, state: RingState) -> RingState:
        most = max(state.done, state.tail)
        after = state._replace(phase=Phase.LOOKING, done=most, tail=most, undrained=0)
        if after.looking_as_the_store_knows_it:
            return after
        return after._replace(store_buffer=(*after.store_buffer, 1))

    def _restart(self, state: RingState) -> Iterator[Step]:
        if not state.store_buffer:
            phase = Phase.LOOKING if self._protocol.look_after_restart else Phase.RESTING
            yield f"store: is started again, reads looking = {state.looking}", state._replace(phase=phase)
