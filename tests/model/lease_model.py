"""The lease protocol as a transition system: one slot, one store, one client with several threads.  No I/O here.

**Memory.**  Each process writes into a store buffer of its own, first in first out, and a buffered write reaches memory
at any later moment.  A process reads its own buffered writes, everybody else reads memory; reads happen in program
order.  The threads of a client share one buffer: their lock hands every write on to the next thread, yet the store
may see none of them for a long time, which is more than any real lock leaves open.
Two words matter.  The slot's *state word* (FREE, LIVE or DYING, with a generation) is written by the store alone, the
client's *lease word* (a generation and a count) by the client alone.

**A get** runs under the client's lock.  Step 1: read the state word; LIVE tells the generation.  Step 2: write the
lease word, its count one higher; a word with a count above 0 of another generation is never replaced.  Step 3: read the
state word again; still LIVE with the same generation, the lease is held, otherwise undo.  A release lowers the count
under the same lock; it is one step here, for nobody else looks at the word in between.

**A free**, by the store.  Mark the slot DYING.  Wait a grace: all that stood in a buffer when DYING reached memory has
drained.  Scan: while the lease word names this generation with a count above 0, look again later.  Free the bytes (the
model counts them as freed as soon as the scan has passed, the strictest moment), write FREE, and some day use the
slot again as LIVE with the next generation.

**A store that dies**, at any step, is started again over the same memory when all that it had written has arrived: the
machine drains the writes of a dead process too.  Until then, and while no store lives, the client goes on.  The next
store has the lease tables at once, and gives a DYING slot a whole new grace, for how much of it had passed died with
the one before.

**close()** stops new gets.  The client hangs up when its last view is gone, and only then the store drops its table.
A client that is killed hangs up too, but has no views left to be harmed: it needs no step of its own.

**The promise:** nobody holds a lease (has left step 3 and not released) on a generation whose bytes were freed.

Every safeguard can be taken out by a field of ``Protocol``, whose comments say what then goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .lease_state import (
    Connection,
    GetPhase,
    SlotState,
    State,
    StateWord,
    StorePhase,
    Thread,
    count_of,
    generation_of,
    lease,
    show_lease,
    show_slot,
)

Step = tuple[str, State]


@dataclass(frozen=True)
class Protocol:
    """Which safeguards are in force.  All of them make the protocol; each mutant lacks one."""

    # Without it the scan overlooks a lease that is still in the client's buffer, or is announced a moment later.
    grace: bool = True
    # Without it a store that dies within the grace frees at once, which is having no grace.
    grace_after_restart: bool = True
    # Without it the word is zeroed before it is written, as struct.pack_into does: the scan may see that zero.
    whole_words: bool = True
    # Without it a store that was started again takes a client for gone until it hears of it.
    table_outlives_store: bool = True
    # Step 3.  Without it a lease that was written after the scan is believed.
    recheck: bool = True
    # Without it a thread may carry a generation of long ago to step 2.  Harmless while busy_word_stays ...
    lock_covers_step_1: bool = True
    # ... and the other way round: one of these two is enough.  With neither, another thread's lease is overwritten.
    busy_word_stays: bool = True
    # Without it close() takes the table away from under living views.
    table_outlives_close: bool = True


HEALTHY = Protocol()


@dataclass(frozen=True)
class Bounds:
    """How much happens; what keeps the number of states finite."""

    threads: int = 2
    gets_per_thread: int = 2  # failed ones included; what one get yielded may still be held when the next begins
    generations: int = 2  # how often the slot is LIVE
    deaths: int = 1


SMALL = Bounds()


def freed_under_a_lease(state: State) -> str | None:
    """The promise: name the thread that holds a lease on bytes that were freed; None if there is none."""
    for number, thread in enumerate(state.threads):
        for generation in thread.held:
            if generation <= state.freed:
                return f"T{number} holds a lease on generation {generation}, whose bytes were freed"
    return None


def miscounted(state: State) -> str | None:
    """What the client owes itself: its lease word counts what its threads hold and announce."""
    leases = [generation for thread in state.threads for generation in thread.held]
    leases += [thread.seen for thread in state.threads if thread.phase is GetPhase.ANNOUNCED]
    word = state.lease_word_as_the_client_reads_it()
    if count_of(word) != len(leases) or any(generation != generation_of(word) for generation in leases):
        return f"{show_lease(word)}, but the threads' leases are on generations {leases}"
    return None


class LeaseModel:
    """The transition system of one protocol within some bounds.

    Args:
        protocol: The safeguards in force.
        bounds: How much happens.
    """

    def __init__(self, protocol: Protocol = HEALTHY, bounds: Bounds = SMALL) -> None:
        self._protocol = protocol
        self._bounds = bounds

    @property
    def initial(self) -> State:
        """An object of generation 1 is LIVE; nobody has looked at it yet."""
        return State(
            slot=StateWord(SlotState.LIVE, 1),
            lease_word=0,
            store_buffer=(),
            client_buffer=(),
            undrained=0,
            store=StorePhase.IDLE,
            connection=Connection.OPEN,
            threads=(Thread(self._bounds.gets_per_thread),) * self._bounds.threads,
            freed=0,
            deaths_left=self._bounds.deaths,
        )

    def successors(self, state: State) -> Iterator[Step]:
        """List every step that anybody, or a store buffer, can take now."""
        yield from self._drains(state)
        yield from self._store_steps(state)
        yield from self._deaths(state)
        yield from self._connection_steps(state)
        for number, thread in enumerate(state.threads):
            yield from self._get_steps(state, number, thread)
            yield from self._releases(state, number, thread)

    # Memory

    def _drains(self, state: State) -> Iterator[Step]:
        if state.store_buffer:
            word, *rest = state.store_buffer
            drained = state._replace(slot=word, store_buffer=tuple(rest))
            if word.state is SlotState.DYING:
                # From here on step 3 fails.  What passed it before was announced before, so it stands in the
                # client's buffer at the latest: these are the writes that the grace is for.
                drained = drained._replace(undrained=len(state.client_buffer))
            yield f"memory: the store's {show_slot(word)} arrives", drained
        if state.client_buffer:
            entry, *later = state.client_buffer
            left = max(state.undrained - 1, 0)
            drained = state._replace(lease_word=entry, client_buffer=tuple(later), undrained=left)
            yield f"memory: the client's {show_lease(entry)} arrives", drained

    # The store

    def _store_steps(self, state: State) -> Iterator[Step]:
        word = state.slot_as_the_store_reads_it()
        if state.store is StorePhase.IDLE:
            yield from self._begin_free_or_reuse(state, word)
        elif state.store is StorePhase.GRACE and self._grace_is_over(state):
            yield "store: the grace is over", state._replace(store=StorePhase.SCAN)
        elif state.store is StorePhase.SCAN and not scan_finds_lease(state, word.generation):
            found = show_lease(state.lease_word) if _has_table(state) else "no table"
            freed = state._replace(store=StorePhase.FREEING, freed=word.generation)
            yield f"store: the scan finds {found}, frees the bytes of generation {word.generation}", freed
        elif state.store is StorePhase.FREEING:
            free = StateWord(SlotState.FREE, word.generation)
            yield f"store: writes {show_slot(free)}", state.with_store_write(free, StorePhase.IDLE)

    def _begin_free_or_reuse(self, state: State, word: StateWord) -> Iterator[Step]:
        if word.state is SlotState.LIVE:
            dying = StateWord(SlotState.DYING, word.generation)
            yield f"store: writes {show_slot(dying)}", state.with_store_write(dying, StorePhase.GRACE)
        elif word.generation < self._bounds.generations:
            live = StateWord(SlotState.LIVE, word.generation + 1)
            yield f"store: writes {show_slot(live)}", state.with_store_write(live, StorePhase.IDLE)

    def _grace_is_over(self, state: State) -> bool:
        return not self._protocol.grace or (not state.store_buffer and state.undrained == 0)

    def _deaths(self, state: State) -> Iterator[Step]:
        if state.store is not StorePhase.DEAD:
            if state.deaths_left:
                dead = state._replace(store=StorePhase.DEAD, undrained=0, deaths_left=state.deaths_left - 1)
                yield "store: dies", dead
        elif not state.store_buffer:
            knows_table = state.knows_table and self._protocol.table_outlives_store
            reborn = state._replace(store=StorePhase.IDLE, undrained=0, knows_table=knows_table)
            if state.slot.state is SlotState.DYING and self._protocol.grace_after_restart:
                # All that is buffered now counts.
                reborn = reborn._replace(store=StorePhase.GRACE, undrained=len(state.client_buffer))
            elif state.slot.state is SlotState.DYING:
                reborn = reborn._replace(store=StorePhase.SCAN)
            yield f"store: is started again, reads {show_slot(state.slot)}", reborn

    # The client

    def _connection_steps(self, state: State) -> Iterator[Step]:
        if state.connection is Connection.OPEN and self._lock_is_free(state):
            then = Connection.CLOSED if self._protocol.table_outlives_close else Connection.HUNG_UP
            yield f"client: close(), now {then.name}", state._replace(connection=then)
        if state.connection is Connection.CLOSED and not any(thread.held for thread in state.threads):
            yield "client: hangs up", state._replace(connection=Connection.HUNG_UP)

    def _get_steps(self, state: State, number: int, thread: Thread) -> Iterator[Step]:
        if state.connection is not Connection.OPEN:
            return
        if thread.phase is GetPhase.OUTSIDE:
            yield from self._step_1(state, number, thread)
        elif thread.phase is GetPhase.SEEN:
            yield from self._step_2(state, number, thread)
        else:
            yield self._step_3(state, number, thread)

    def _step_1(self, state: State, number: int, thread: Thread) -> Iterator[Step]:
        # Taking the lock and reading are one step: whatever others do in between could as well come before both.
        # A miss is no step, it changes nothing here: the client asks the store, which is another protocol.
        if not thread.gets_left or state.slot.state is not SlotState.LIVE:
            return
        if self._protocol.lock_covers_step_1 and not self._lock_is_free(state):
            return
        seen = Thread(thread.gets_left - 1, GetPhase.SEEN, state.slot.generation, thread.held)
        yield f"T{number} step 1: reads {show_slot(state.slot)}", state.with_thread(number, seen)

    def _step_2(self, state: State, number: int, thread: Thread) -> Iterator[Step]:
        if not self._protocol.lock_covers_step_1 and not self._lock_is_free(state):
            return
        word = state.lease_word_as_the_client_reads_it()
        same = generation_of(word) == thread.seen
        if count_of(word) and not same and self._protocol.busy_word_stays:
            given_up = state.with_thread(number, thread.outside())
            yield f"T{number} step 2: finds a busy {show_lease(word)}, gives up", given_up
            return
        entry = lease(thread.seen, count_of(word) + 1 if same else 1)
        announced = state.with_thread(number, thread._replace(phase=GetPhase.ANNOUNCED))
        yield f"T{number} step 2: writes {show_lease(entry)}", self._write_lease(announced, entry)

    def _step_3(self, state: State, number: int, thread: Thread) -> Step:
        holding = state.with_thread(number, thread.holding())
        if not self._protocol.recheck:
            return f"T{number} without step 3: believes in its lease", holding
        label = f"T{number} step 3: reads {show_slot(state.slot)}"
        if state.slot == StateWord(SlotState.LIVE, thread.seen):
            return f"{label}, holds the lease", holding
        entry = state.lease_word_as_the_client_reads_it() - 1
        return f"{label}, undoes", self._write_lease(state.with_thread(number, thread.outside()), entry)

    def _releases(self, state: State, number: int, thread: Thread) -> Iterator[Step]:
        if not thread.held or not self._lock_is_free(state):
            return
        word = state.lease_word_as_the_client_reads_it()
        for generation in sorted(set(thread.held)):
            released = state.with_thread(number, thread.releasing(generation))
            # Only in a broken protocol may the word name another generation.  Lowering that one's count would be a
            # second fault, and the trace should show the first one alone.
            if generation_of(word) == generation and count_of(word):
                released = self._write_lease(released, word - 1)
            yield f"T{number} releases generation {generation}", released

    def _write_lease(self, state: State, entry: int) -> State:
        return state.with_client_writes(entry) if self._protocol.whole_words else state.with_client_writes(0, entry)

    def _lock_is_free(self, state: State) -> bool:
        # Who has the lock follows from the phases; the state needs no field for it.
        inside = {GetPhase.SEEN, GetPhase.ANNOUNCED} if self._protocol.lock_covers_step_1 else {GetPhase.ANNOUNCED}
        return not any(thread.phase in inside for thread in state.threads)


def scan_finds_lease(state: State, generation: int) -> bool:
    """Does the store, if it looks now, find that the client holds a lease on this generation?"""
    if not _has_table(state):
        return False
    return generation_of(state.lease_word) == generation and count_of(state.lease_word) > 0


def _has_table(state: State) -> bool:
    return state.knows_table and state.connection is not Connection.HUNG_UP
