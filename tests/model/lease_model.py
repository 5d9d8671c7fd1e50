"""The lease protocol as a transition system: one slot, one store, one client with several threads.  No I/O here.

**Memory.**  Each process writes into a store buffer of its own, first in first out, and a buffered write reaches memory
at any later moment, or much later.  A process reads its own buffered writes, everybody else reads memory.  Reads
happen in program order.  The threads of a client share one buffer: their lock hands every write to the next thread, yet
the store may see none of them for a long time, which is weaker than what any lock of a real machine leaves open.
Two words matter.  The slot's *state word* (FREE, LIVE or DYING, with a generation) is written by the store alone, the
client's *lease word* (``generation << 24 | count``) by the client alone.

**A get** runs under the client's lock.  Step 1: read the state word; LIVE tells the generation.  Step 2: write the lease
word, count one higher; a word with a count above 0 of another generation is never replaced.  Step 3: read the state word
again; still LIVE with the same generation, the lease is held, otherwise undo.  A release lowers the count under the
same lock, so it is one step here: nobody else looks at the word in between.

**A free**, by the store.  Mark the slot DYING.  Wait a grace: everything that stood in a buffer when DYING reached memory
has drained.  Scan: while the lease word names this generation with a count above 0, look again later.  Free the bytes
(the model frees them when the scan passes, which is earlier than in truth and so the stricter case), write FREE, and
use the slot again as LIVE with the next generation.

**A store that dies** is started again over the same memory and gives a DYING slot a whole new grace.  It may die with an
empty buffer only: the machine drains the writes of a dead process too, and a store that dies with writes on their way is
the same as one that does nothing more until they have arrived.

**close()** stops new gets.  The client hangs up when its last view is gone, and only then the store drops its table.
A client that is killed hangs up too, but has no views left to be harmed: it needs no step of its own.

**The promise:** nobody holds a lease (has left step 3 and not released) for a generation whose bytes were freed.

Every safeguard can be taken out by a field of ``Protocol``, whose comments say what then goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

COUNT_BITS = 24  # bits of the lease word below the generation


@dataclass(frozen=True)
class Protocol:
    """Which safeguards are in force.  All of them make the protocol; each mutant lacks one."""

    # Without it a lease that is still in the client's buffer is overlooked by the scan.
    grace: bool = True
    # Without it a store that dies within the grace frees at once, which is having no grace.
    grace_after_restart: bool = True
    # Without it the word is zeroed before it is written, as struct.pack_into does: the scan may see that zero.
    whole_words: bool = True
    # Step 3.  Without it a lease may be written after the scan, and is believed.
    recheck: bool = True
    # Without it a thread may carry a generation of long ago to step 2.  Harmless if busy_word_stays ...
    lock_covers_step_1: bool = True
    # ... and the other way round: one of these two is enough.  With neither, another thread's lease is overwritten.
    busy_word_stays: bool = True
    # Without it close() takes the table along while views still stand on its leases.
    table_outlives_close: bool = True


HEALTHY = Protocol()


@dataclass(frozen=True)
class Bounds:
    """How much happens before the model stops; what keeps the number of states finite."""

    threads: int = 2
    gets_per_thread: int = 2  # those that fail in step 3 included; each may still be held when the next begins
    generations: int = 2  # how often the slot is LIVE
    restarts: int = 1


class SlotState(Enum):
    """What the state word says of the slot."""

    FREE = "FREE"
    LIVE = "LIVE"
    DYING = "DYING"


class StateWord(NamedTuple):
    """The slot's state word: one word, so it is read and written whole."""

    state: SlotState
    generation: int


class StorePhase(Enum):
    """What the store does next about the slot."""

    IDLE = "idle"
    GRACE = "waiting out the grace"
    SCAN = "looking at the lease word"
    FREEING = "bytes freed, FREE not written yet"


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

    phase: GetPhase
    seen: int  # generation read in step 1; 0 outside a get
    held: tuple[int, ...]  # generations of the leases it believes to hold, ascending
    gets_left: int


class State(NamedTuple):
    """Everything there is.  ``slot`` and ``lease_word`` are what memory holds."""

    slot: StateWord
    lease_word: int
    store_buffer: tuple[StateWord, ...]
    client_buffer: tuple[int, ...]
    undrained: int  # leading writes of client_buffer that the grace still waits for
    store: StorePhase
    connection: Connection
    threads: tuple[Thread, ...]
    freed: int  # bytes of this generation and all before it were freed; 0 is none
    restarts_left: int


Step = tuple[str, State]


def lease(generation: int, count: int) -> int:
    """Pack a lease word."""
    return generation << COUNT_BITS | count


def generation_of(word: int) -> int:
    """The generation that a lease word names."""
    return word >> COUNT_BITS


def count_of(word: int) -> int:
    """How many leases a lease word counts."""
    return word & ((1 << COUNT_BITS) - 1)


def freed_under_a_lease(state: State) -> str | None:
    """The promise: name the thread that holds a lease on bytes that were freed, or return None."""
    for number, thread in enumerate(state.threads):
        for generation in thread.held:
            if generation <= state.freed:
                return f"T{number} holds a lease on generation {generation}, whose bytes were freed"
    return None


def miscounted(state: State) -> str | None:
    """A promise of the client to itself: its lease word counts what its threads hold and announce."""
    leases = [generation for thread in state.threads for generation in thread.held]
    leases += [thread.seen for thread in state.threads if thread.phase is GetPhase.ANNOUNCED]
    word = _own_lease_word(state)
    if count_of(word) != len(leases) or any(generation != generation_of(word) for generation in leases):
        return f"the lease word says {_show(word)}, the threads' leases are on generations {leases}"
    return None


class LeaseModel:
    """The transition system of one protocol within some bounds.

    Args:
        protocol: The safeguards in force.
        bounds: How much happens.
    """

    def __init__(self, protocol: Protocol = HEALTHY, bounds: Bounds | None = None) -> None:
        self._protocol = protocol
        self._bounds = bounds or Bounds()

    @property
    def initial(self) -> State:
        """An object of generation 1 is LIVE, nobody has looked at it yet."""
        return State(
            slot=StateWord(SlotState.LIVE, 1),
            lease_word=0,
            store_buffer=(),
            client_buffer=(),
            undrained=0,
            store=StorePhase.IDLE,
            connection=Connection.OPEN,
            threads=(Thread(GetPhase.OUTSIDE, 0, (), self._bounds.gets_per_thread),) * self._bounds.threads,
            freed=0,
            restarts_left=self._bounds.restarts,
        )

    def successors(self, state: State) -> Iterator[Step]:
        """List every step that any party, or a store buffer, can take now."""
        yield from self._drains(state)
        yield from self._store_steps(state)
        yield from self._restarts(state)
        yield from self._connection_steps(state)
        for number in range(len(state.threads)):
            yield from self._get_steps(state, number)
            yield from self._releases(state, number)

    # Memory

    def _drains(self, state: State) -> Iterator[Step]:
        if state.store_buffer:
            word, *rest = state.store_buffer
            drained = state._replace(slot=word, store_buffer=tuple(rest))
            if word.state is SlotState.DYING:
                # From here on step 3 fails; what was announced before stands in the client's buffer at the latest.
                drained = drained._replace(undrained=len(state.client_buffer))
            yield f"memory: the store's {_show_slot(word)} arrives", drained
        if state.client_buffer:
            entry, *later = state.client_buffer
            yield (
                f"memory: the client's {_show(entry)} arrives",
                state._replace(lease_word=entry, client_buffer=tuple(later), undrained=max(state.undrained - 1, 0)),
            )

    # The store

    def _store_steps(self, state: State) -> Iterator[Step]:
        word = _own_slot_word(state)
        if state.store is StorePhase.IDLE:
            yield from self._begin_free_or_reuse(state, word)
        elif state.store is StorePhase.GRACE and self._grace_is_over(state):
            yield "store: the grace is over", state._replace(store=StorePhase.SCAN)
        elif state.store is StorePhase.SCAN and not self._scan_finds_lease(state, word.generation):
            seen = "no table" if state.connection is Connection.HUNG_UP else _show(state.lease_word)
            yield (
                f"store: the scan sees {seen}, frees the bytes of generation {word.generation}",
                state._replace(store=StorePhase.FREEING, freed=word.generation),
            )
        elif state.store is StorePhase.FREEING:
            free = StateWord(SlotState.FREE, word.generation)
            yield f"store: writes {_show_slot(free)}", _store_writes(state, free, StorePhase.IDLE)

    def _begin_free_or_reuse(self, state: State, word: StateWord) -> Iterator[Step]:
        if word.state is SlotState.LIVE:
            dying = StateWord(SlotState.DYING, word.generation)
            yield f"store: writes {_show_slot(dying)}", _store_writes(state, dying, StorePhase.GRACE)
        elif word.generation < self._bounds.generations:
            live = StateWord(SlotState.LIVE, word.generation + 1)
            yield f"store: writes {_show_slot(live)}", _store_writes(state, live, StorePhase.IDLE)

    def _grace_is_over(self, state: State) -> bool:
        return not self._protocol.grace or (not state.store_buffer and state.undrained == 0)

    def _scan_finds_lease(self, state: State, generation: int) -> bool:
        if state.connection is Connection.HUNG_UP:
            return False
        return generation_of(state.lease_word) == generation and count_of(state.lease_word) > 0

    def _restarts(self, state: State) -> Iterator[Step]:
        if not state.restarts_left or state.store_buffer:
            return
        reborn = state._replace(store=StorePhase.IDLE, undrained=0, restarts_left=state.restarts_left - 1)
        if state.slot.state is SlotState.DYING and self._protocol.grace_after_restart:
            # How much of the old grace had passed died with the store, so everything buffered now counts.
            reborn = reborn._replace(store=StorePhase.GRACE, undrained=len(state.client_buffer))
        elif state.slot.state is SlotState.DYING:
            reborn = reborn._replace(store=StorePhase.SCAN)
        yield "store: dies and is restarted", reborn

    # The client

    def _connection_steps(self, state: State) -> Iterator[Step]:
        if state.connection is Connection.OPEN and self._lock_is_free(state):
            after = Connection.CLOSED if self._protocol.table_outlives_close else Connection.HUNG_UP
            yield f"client: close(), then {after.name}", state._replace(connection=after)
        if state.connection is Connection.CLOSED and not any(thread.held for thread in state.threads):
            yield "client: hangs up", state._replace(connection=Connection.HUNG_UP)

    def _get_steps(self, state: State, number: int) -> Iterator[Step]:
        if state.connection is not Connection.OPEN:
            return
        phase = state.threads[number].phase
        if phase is GetPhase.OUTSIDE:
            yield from self._step_1(state, number)
        elif phase is GetPhase.SEEN:
            yield from self._step_2(state, number)
        else:
            yield from self._step_3(state, number)

    def _step_1(self, state: State, number: int) -> Iterator[Step]:
        # Taking the lock and reading are one step: nothing that others do in between could not come before both.
        # A miss changes nothing here: the client asks the store, which is another protocol.
        thread = state.threads[number]
        if not thread.gets_left or state.slot.state is not SlotState.LIVE:
            return
        if self._protocol.lock_covers_step_1 and not self._lock_is_free(state):
            return
        seen = thread._replace(phase=GetPhase.SEEN, seen=state.slot.generation, gets_left=thread.gets_left - 1)
        yield f"T{number} step 1: reads {_show_slot(state.slot)}", _with_thread(state, number, seen)

    def _step_2(self, state: State, number: int) -> Iterator[Step]:
        if not self._protocol.lock_covers_step_1 and not self._lock_is_free(state):
            return
        thread, word = state.threads[number], _own_lease_word(state)
        same = generation_of(word) == thread.seen
        if count_of(word) and not same and self._protocol.busy_word_stays:
            yield f"T{number} step 2: finds {_show(word)} busy, gives up", _leave_get(state, number)
            return
        announced = lease(thread.seen, count_of(word) + 1 if same else 1)
        yield (
            f"T{number} step 2: writes {_show(announced)}",
            self._client_writes(_with_thread(state, number, thread._replace(phase=GetPhase.ANNOUNCED)), announced),
        )

    def _step_3(self, state: State, number: int) -> Iterator[Step]:
        thread = state.threads[number]
        if not self._protocol.recheck:
            yield f"T{number} believes without step 3", _hold(state, number)
        elif state.slot == StateWord(SlotState.LIVE, thread.seen):
            yield f"T{number} step 3: reads {_show_slot(state.slot)}, holds the lease", _hold(state, number)
        else:
            undone = self._client_writes(_leave_get(state, number), _own_lease_word(state) - 1)
            yield f"T{number} step 3: reads {_show_slot(state.slot)}, undoes", undone

    def _releases(self, state: State, number: int) -> Iterator[Step]:
        thread = state.threads[number]
        if not self._lock_is_free(state):
            return
        for generation in sorted(set(thread.held)):
            released = _with_thread(state, number, thread._replace(held=_without(thread.held, generation)))
            word = _own_lease_word(state)
            # Only a broken protocol makes the word name another generation; lowering that one's count would be
            # a second fault on top, and the trace would no longer show the first alone.
            if generation_of(word) == generation and count_of(word):
                released = self._client_writes(released, word - 1)
            yield f"T{number} releases generation {generation}", released

    def _client_writes(self, state: State, word: int) -> State:
        writes = (word,) if self._protocol.whole_words else (0, word)
        return state._replace(client_buffer=state.client_buffer + writes)

    def _lock_is_free(self, state: State) -> bool:
        # Who holds the lock follows from the phases, so the state needs no field for it.
        locked = {GetPhase.SEEN, GetPhase.ANNOUNCED} if self._protocol.lock_covers_step_1 else {GetPhase.ANNOUNCED}
        return not any(thread.phase in locked for thread in state.threads)


def _own_slot_word(state: State) -> StateWord:
    """The state word as the store itself reads it."""
    return state.store_buffer[-1] if state.store_buffer else state.slot


def _own_lease_word(state: State) -> int:
    """The lease word as the client's threads read it."""
    return state.client_buffer[-1] if state.client_buffer else state.lease_word


def _store_writes(state: State, word: StateWord, then: StorePhase) -> State:
    return state._replace(store_buffer=(*state.store_buffer, word), store=then)


def _with_thread(state: State, number: int, thread: Thread) -> State:
    return state._replace(threads=state.threads[:number] + (thread,) + state.threads[number + 1 :])


def _leave_get(state: State, number: int) -> State:
    return _with_thread(state, number, state.threads[number]._replace(phase=GetPhase.OUTSIDE, seen=0))


def _hold(state: State, number: int) -> State:
    thread = state.threads[number]
    held = tuple(sorted((*thread.held, thread.seen)))
    return _with_thread(state, number, thread._replace(phase=GetPhase.OUTSIDE, seen=0, held=held))


def _without(held: tuple[int, ...], generation: int) -> tuple[int, ...]:
    at = held.index(generation)
    return held[:at] + held[at + 1 :]


def _show(word: int) -> str:
    return f"lease word {generation_of(word)}<<24|{count_of(word)}"


def _show_slot(word: StateWord) -> str:
    return f"{word.state.value} {word.generation}"
