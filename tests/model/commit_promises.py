"""What the name protocol promises, as questions to one state: which promise does it break?  No steps, no I/O here.

"Older" and "newer" mean the order in which operations took effect: a put when the name word was written, a delete when
the object's slot became DYING.  An operation whose call has returned although it had no effect yet is newer than all
that had.
"""

from __future__ import annotations

from .commit_protocol import Setting
from .commit_scenario import NONE, Verb
from .commit_state import (
    ClientPhase,
    Reader,
    ReaderPhase,
    Reservation,
    SlotState,
    Stage,
    State,
)

SEALED = {SlotState.LIVE, SlotState.DYING}


class Promises:
    """The promises about the states of one scenario.

    Args:
        setting: The scenario, by whose operations' numbers a state names objects.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._promises = (
            self.said,
            self.garbage,
            self.shared_extent,
            self.twice,
            self.refused_and_done,
            self.never_returns,
            self.lost,
        )

    def violated(self, state: State) -> str | None:
        """Name the first promise that ``state`` breaks; None if it keeps them all."""
        for promise in self._promises:
            if broken := promise(state):
                return broken
        return None

    # What is said

    def said(self, state: State) -> str | None:
        """A get yields what the name meant at some moment of its duration, and a refusal has a reason: see below."""
        return state.fault or None

    def floor(self, state: State, name: str) -> frozenset[int]:
        """The newest operation on ``name``, below which no get that begins now may fall.

        One at most, unless several have returned that had no effect yet: then nobody knows which is the newest.
        """
        programs = zip(state.clients, self._setting.programs, strict=True)
        returned = {operation for client, program in programs for operation in program[: client.returned]}
        applied = state.applied_to(name)
        ahead = {n for n in returned - state.refused if self._name(n) == name and n not in applied}
        return frozenset(ahead or applied[-1:])

    def fault_of_hit(self, state: State, reader: Reader, object: int) -> str:
        """A get yields an object: not one of another name, nor an old (deleted) one, nor one that nobody has named."""
        if self._name(object) != reader.name:
            return f"foreign: get {reader.name} yields {self._show(object)}"
        applied = state.applied_to(reader.name)
        if object not in applied:
            return f"too early: get yields {self._show(object)} before the name means it; the next one yields an older"
        for newer in sorted(reader.floor):
            if object not in applied[_place(applied, newer) :]:
                return f"stale: get yields {self._show(object)} after {self._show(newer)}"
        return ""

    def fault_of_miss(self, state: State, reader: Reader) -> str:
        """A get finds nothing: then what it should have found may be deleted by now."""
        applied = state.applied_to(reader.name)
        for made in sorted(reader.floor):
            since = (made, *applied[_place(applied, made) :])
            if not any(self._verb(number) is Verb.DELETE for number in since):
                return f"stale: get finds nothing after {self._show(made)}"
        return ""

    def fault_of_refusal(self, state: State, operation: int) -> str:
        """A delete is refused only when there is nothing, a put only when there is something that must not go."""
        applied = state.applied_to(self._name(operation))
        if operation in applied:
            return f"refused and done: {self._show(operation)} took effect, and is refused"
        newest = applied[-1:]
        is_there = bool(newest) and self._verb(*newest) is not Verb.DELETE
        has_reason = {Verb.DELETE: not is_there, Verb.PUT_NEW: is_there}.get(self._verb(operation), False)
        return "" if has_reason else f"refused wrongly: {self._show(operation)}, after {[*map(self._show, newest)]}"

    # Bytes

    def garbage(self, state: State) -> str | None:
        """The bytes of every object that is LIVE or held, and of all that it contains, are there."""
        needed = {slot.object for slot in state.slots if slot.state is SlotState.LIVE}
        if state.reader.phase is ReaderPhase.HOLDING:
            needed.add(state.reader.object)
        for thing in sorted(needed):
            if not _is_intact(state, thing):
                return f"garbage: bytes that {self._show(thing)} needs were freed"
        return None

    def shared_extent(self, state: State) -> str | None:
        """No extent belongs to two slots, or to a slot and the allocator.

        But for a reservation and the object that it has just been committed into, while the store is at it.
        """
        sealed = {slot.extent for slot in state.slots if slot.state in SEALED}
        owned = [*state.store.free_extents]
        for slot in state.slots:
            is_twin = slot.state is SlotState.RESERVED and slot.extent in sealed and not _is_at_rest(state)
            if slot.state is not SlotState.FREE and not is_twin:
                owned.append(slot.extent)
        twice = sorted({extent for extent in owned if owned.count(extent) > 1})
        return f"shared extent: {twice} have two owners each" if twice else None

    # Calls

    def twice(self, state: State) -> str | None:
        """Every operation takes effect at most once."""
        for applied in state.applied:
            if len(set(applied)) < len(applied):
                again = next(operation for operation in applied if applied.count(operation) > 1)
                return f"twice: {self._show(again)} took effect twice"
        return None

    def refused_and_done(self, state: State) -> str | None:
        """A call that says that it was refused has had no effect, and will have none."""
        for operation in sorted(state.refused):
            if operation in state.applied_to(self._name(operation)):
                return f"refused and done: {self._show(operation)} took effect, and was refused"
        return None

    def never_returns(self, state: State) -> str | None:
        """Whoever waits has a request in its queue, or an answer in its receive queue."""
        for number, client in enumerate(state.clients):
            asked = [request.number for request in state.requests[number]]
            answered = [answer.number for answer in state.answers[number]]
            is_in_work = state.store.task is not None and state.store.task.client == number
            if client.phase is not ClientPhase.READY and client.number not in asked + answered and not is_in_work:
                return f"never returns: request {client.number} of C{number} is gone"
        return None

    # What is left

    def lost(self, state: State) -> str | None:
        """While the store is at rest, each extent has an owner, each object a name, each reservation a client."""
        if not _is_at_rest(state):
            return None
        owned = {slot.extent for slot in state.slots if slot.state is not SlotState.FREE} | state.store.free_extents
        for extent, content in enumerate(state.heap):
            if extent not in owned:
                return f"lost: extent {extent} is neither a slot's nor the allocator's"
            if content != NONE and extent in state.store.free_extents:
                return f"lost: extent {extent} was given back and not punched"
        for number, slot in enumerate(state.slots):
            if slot.state is SlotState.LIVE and state.slot_named(self._name(slot.object)) != number:
                return f"lost: {self._show(slot.object)} is LIVE, and no name means it"
            if slot.state is SlotState.RESERVED and not self._has_owner(state, number):
                return f"lost: slot {number} is RESERVED for a client that does not know it"
        return None

    def _has_owner(self, state: State, number: int) -> bool:
        slot = state.slots[number]
        reservation = Reservation(number, slot.maker, slot.extent)
        client = state.clients[slot.maker.client]
        is_asking = client.phase is ClientPhase.RESERVING and client.number == slot.maker.number
        packets = state.requests[slot.maker.client]
        return is_asking or reservation in {client.reservation, *(packet.reservation for packet in packets)}

    # Words

    def _show(self, number: int) -> str:
        return self._setting.show(number)

    def _name(self, number: int) -> str:
        return self._setting.operation(number).name

    def _verb(self, number: int) -> Verb:
        return self._setting.operation(number).verb


def _place(applied: tuple[int, ...], operation: int) -> int:
    """Where ``operation`` stands, or will stand at the earliest if it had no effect yet."""
    return applied.index(operation) if operation in applied else len(applied)


def _is_at_rest(state: State) -> bool:
    return state.store.stage is Stage.SERVING and state.store.task is None


def _is_intact(state: State, thing: int) -> bool:
    for slot in state.slots:
        if slot.object == thing and slot.state in SEALED:
            contained_is_intact = slot.contains == NONE or _is_intact(state, slot.contains)
            return state.heap[slot.extent] == thing and contained_is_intact
    return False
