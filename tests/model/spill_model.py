"""An object that leaves for the disk, as a transition system: two words of its slot, readers, a store that may die.

No I/O here.  Memory is that of ``lease_model``: each process writes into a buffer of its own, first in first out, and reads
its own writes there.  Here the store writes two words: the *place* (0, or where in the spill heap) and the *state* (LIVE,
SPILLING, SPILLED, DYING, FREE).  The generation does not change: what that is for, the lease model shows.

**A get**, by any of the client's threads: read the state word; LIVE or SPILLED is a hit.  Write the lease word, its count
one higher.  Read the state word again; still the same, the lease is held, on the extent or on the place that is read then;
otherwise undo.

**The store**, when an object is to leave: the copy is whole; write the place, then SPILLING.  Wait a grace, then look at the
lease word.  Nobody holds it: write SPILLED, and then the extent is another's.  Somebody does: write the place 0, then LIVE.
Somebody asks for it in between: the same.  When an object is to end, SPILLING becomes LIVE in that way first; then DYING, a
grace, a look, and FREE; then its bytes are another's, wherever they are, and last the place is 0.

**A store that dies**, between any two of these writes, is started again when all that it has written has arrived.  It knows nothing but the two words: LIVE and
SPILLING have their bytes in the heap, and become LIVE without a place.  SPILLED has them on disk; so has DYING if it has a
place.  A DYING one waits a whole grace again.

**The promises:** nobody holds what is another's; the bytes of an object that is not FREE are where its words say; and
nothing is given back twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

LIVE, SPILLING, SPILLED, DYING, FREE = "LIVE", "SPILLING", "SPILLED", "DYING", "FREE"
HEAP, DISK = "heap", "disk"

IDLE, GRACE, LOOK, DEAD = "idle", "grace", "look", "dead"

Deed = tuple[str, "str | int"]
"""A write of a word, ``("word", SPILLED)``, ``("place", 1)``; or ``("give", HEAP)``: these bytes are another's."""


@dataclass(frozen=True)
class Protocol:
    """Which safeguards are in force; each mutant lacks one."""

    # Without it the look overlooks a lease that is still in the client's buffer, or about to be written.
    grace: bool = True
    # Without it a reader believes in what it saw before its lease was written.
    recheck: bool = True
    # Without it the extent is given up before anybody could know that it will be: at SPILLING.
    waits_to_give_up: bool = True
    # Without it an object that ends while it leaves is DYING before its place is taken out: a store that dies in between
    # leaves one that passes for spilled.
    place_goes_first: bool = True
    # Without it readers still hit it while it is SPILLING, and none of them is seen who comes after the look.
    readers_miss: bool = True


HEALTHY = Protocol()


class Reader(NamedTuple):
    """One thread of the client."""

    gets_left: int
    seen: str = ""  # the state that was read; "" outside a get
    is_announced: bool = False
    held: tuple[str, ...] = ()  # HEAP or DISK for each lease


class State(NamedTuple):
    """Everything there is."""

    word: str = LIVE
    place: int = 0
    lease: int = 0  # the count in the lease word, as memory has it
    store_buffer: tuple[Deed, ...] = ()  # oldest first
    client_buffer: tuple[int, ...] = ()
    undrained: int = 0  # leading writes of client_buffer that the grace waits for
    store: str = IDLE
    todo: tuple[Deed, ...] = ()  # what the store is about to do before anything else
    readers: tuple[Reader, ...] = ()
    given: tuple[str, ...] = ()  # what is another's: HEAP, DISK, each as often as it was given back
    spills_left: int = 2
    deaths_left: int = 1

    def last(self, which: str) -> str | int:
        """A word as the store reads it: its own last write, arrived or not."""
        for name, value in reversed(self.store_buffer):
            if name == which:
                return value
        return self.word if which == "word" else self.place

    def doing(self, *deeds: Deed, then: str) -> State:
        """The state in which the store has begun with these deeds, to go on afterwards."""
        return self._replace(todo=deeds, store=then)

    def count(self) -> int:
        """The lease word as the client reads it."""
        return self.client_buffer[-1] if self.client_buffer else self.lease

    def with_reader(self, number: int, reader: Reader) -> State:
        """The state with one reader as given."""
        return self._replace(readers=(*self.readers[:number], reader, *self.readers[number + 1 :]))


Step = tuple[str, State]


def broken(state: State) -> str | None:
    """Which promise is broken, if one is."""
    for number, reader in enumerate(state.readers):
        for where in reader.held:
            if where in state.given:
                return f"T{number} reads the {where}, which is another's"
    if len(set(state.given)) < len(state.given):
        return f"given back twice: {state.given}"
    word = state.last("word")
    where = DISK if word == SPILLED or (word == DYING and state.last("place")) else HEAP
    if word != FREE and where in state.given:
        return f"{word}, and its bytes in the {where} are another's"
    return None


class SpillModel:
    """The transition system.

    Args:
        protocol: The safeguards in force.
        readers: Threads of the client.
        gets: Of each.
        spills: How often the object may begin to leave.
        deaths: How often the store may die.
    """

    def __init__(
        self, protocol: Protocol = HEALTHY, readers: int = 2, gets: int = 2, spills: int = 2, deaths: int = 1
    ) -> None:
        self._protocol = protocol
        self.initial = State(readers=(Reader(gets),) * readers, spills_left=spills, deaths_left=deaths)

    def successors(self, state: State) -> Iterator[Step]:
        """List every step that anybody, or a buffer, can take now."""
        yield from self._drains(state)
        yield from self._store_steps(state)
        yield from self._deaths(state)
        for number, reader in enumerate(state.readers):
            yield from self._reader_steps(state, number, reader)

    # Memory

    def _drains(self, state: State) -> Iterator[Step]:
        if state.store_buffer:
            (which, value), *rest = state.store_buffer
            drained = state._replace(store_buffer=tuple(rest), **{which: value})
            if value in {SPILLING, DYING}:
                drained = drained._replace(undrained=len(state.client_buffer))
            yield f"memory: the store's {which} {value} arrives", drained
        if state.client_buffer:
            count, *later = state.client_buffer
            left = max(state.undrained - 1, 0)
            drained = state._replace(lease=count, client_buffer=tuple(later), undrained=left)
            yield f"memory: the client's count {count} arrives", drained

    # The store

    def _store_steps(self, state: State) -> Iterator[Step]:
        if state.todo:
            (kind, what), *rest = state.todo
            done = state._replace(todo=tuple(rest))
            if kind == "give":
                yield f"store: gives the {what} back", done._replace(given=(*state.given, str(what)))
            else:
                buffer = (*state.store_buffer, (kind, what))
                yield f"store: writes {kind} {what}", done._replace(store_buffer=buffer)
            return
        word = state.last("word")
        is_over = not self._protocol.grace or (not state.store_buffer and state.undrained == 0)
        if state.store == IDLE and word == LIVE:
            if state.spills_left:
                yield from self._begin_to_leave(state)
            yield "store: ends it", state.doing(("word", DYING), then=GRACE)
        elif state.store == IDLE and word == SPILLED:
            yield "store: ends it on disk", state.doing(("word", DYING), then=GRACE)
        elif state.store == GRACE:
            if is_over:
                yield "store: the grace is over", state._replace(store=LOOK)
            if word == SPILLING:
                yield "store: is asked for it", self._stay(state)
                yield "store: ends it while it leaves", self._stay(state, ("word", DYING), then=GRACE)
        elif state.store == LOOK:
            yield from self._look(state, str(word))

    def _begin_to_leave(self, state: State) -> Iterator[Step]:
        # The copy is whole; its place was never anybody's, or is nobody's again: it is this one's once more.
        given = tuple(one for one in state.given if one != DISK)
        begun = state._replace(spills_left=state.spills_left - 1, given=given)
        deeds: tuple[Deed, ...] = (("place", 1), ("word", SPILLING))
        if not self._protocol.waits_to_give_up:
            deeds = (*deeds, ("give", HEAP))
        yield "store: begins to spill it", begun.doing(*deeds, then=GRACE)

    def _stay(self, state: State, *more: Deed, then: str = IDLE) -> State:
        deeds: tuple[Deed, ...] = (("place", 0), ("word", LIVE), ("give", DISK), *more)
        if not self._protocol.place_goes_first:
            deeds = (("word", LIVE), ("give", DISK), *more, ("place", 0))
        return state.doing(*deeds, then=then)

    def _look(self, state: State, word: str) -> Iterator[Step]:
        is_held = state.lease > 0
        if word == SPILLING:
            if is_held:
                yield "store: finds a lease, it stays", self._stay(state)
            else:
                deeds: tuple[Deed, ...] = (("word", SPILLED),)
                if self._protocol.waits_to_give_up:
                    deeds = (*deeds, ("give", HEAP))
                yield "store: finds no lease, it is spilled", state.doing(*deeds, then=IDLE)
        elif not is_held:
            where = DISK if state.last("place") else HEAP
            freed = state.doing(("word", FREE), ("give", where), ("place", 0), then=IDLE)
            yield f"store: frees it in the {where}", freed

    def _deaths(self, state: State) -> Iterator[Step]:
        if state.store != DEAD:
            if state.deaths_left:
                left = state.deaths_left - 1
                yield "store: dies", state._replace(store=DEAD, todo=(), undrained=0, deaths_left=left)
        elif not state.store_buffer:
            yield f"store: is started again, reads {state.word} at {state.place}", self._restarted(state)

    def _restarted(self, state: State) -> State:
        reborn = state._replace(store=IDLE, undrained=0)
        if state.word in {LIVE, SPILLING}:
            # What is in the spill heap and no object's is nobody's.
            given = tuple(one for one in state.given if one != DISK)
            return reborn.doing(("place", 0), ("word", LIVE), then=IDLE)._replace(given=given)
        if state.word == DYING:
            return reborn._replace(store=GRACE, undrained=len(state.client_buffer))
        # What its extent, or its place, was is nobody's: given back when that had not been done yet.
        where = HEAP if state.word == SPILLED else DISK if state.place else HEAP
        given = state.given if where in state.given else (*state.given, where)
        return reborn.doing(*([("place", 0)] if state.word == FREE else []), then=IDLE)._replace(given=given)

    # The client

    def _reader_steps(self, state: State, number: int, reader: Reader) -> Iterator[Step]:
        is_locked = any(other.seen for other in state.readers)
        if not reader.seen:
            hits = {LIVE, SPILLED} if self._protocol.readers_miss else {LIVE, SPILLING, SPILLED}
            if reader.gets_left and state.word in hits and not is_locked:
                seen = reader._replace(gets_left=reader.gets_left - 1, seen=state.word)
                yield f"T{number}: sees {state.word}", state.with_reader(number, seen)
            if reader.held and not is_locked:
                let_go = state.with_reader(number, reader._replace(held=reader.held[1:]))
                yield f"T{number}: lets go", self._write(let_go, state.count() - 1)
        elif not reader.is_announced:
            announced = state.with_reader(number, reader._replace(is_announced=True))
            yield f"T{number}: announces", self._write(announced, state.count() + 1)
        else:
            yield self._recheck(state, number, reader)

    def _recheck(self, state: State, number: int, reader: Reader) -> Step:
        outside = reader._replace(seen="", is_announced=False)
        if state.word == reader.seen or not self._protocol.recheck:
            where = DISK if reader.seen == SPILLED else HEAP
            held = outside._replace(held=(*reader.held, where))
            return f"T{number}: holds the {where}", state.with_reader(number, held)
        return f"T{number}: sees {state.word}, undoes", self._write(
            state.with_reader(number, outside), state.count() - 1
        )

    def _write(self, state: State, count: int) -> State:
        return state._replace(client_buffer=(*state.client_buffer, count))
