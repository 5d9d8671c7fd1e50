"""The store that serves: which requests it takes, what it answers, what it frees.  No I/O here."""

from __future__ import annotations

from collections.abc import Iterator

from .commit_promises import Promises
from .commit_protocol import Setting
from .commit_restart import answer_seen_again
from .commit_scenario import NONE, Verb
from .commit_state import (
    Answer,
    Caller,
    Kind,
    Reader,
    ReaderPhase,
    Request,
    Reservation,
    Said,
    Slot,
    SlotState,
    State,
    Task,
    Write,
)
from .commit_writes import Step, Writes

END = (Write.ROW, Write.ANSWER, Write.CONSUME)
RESERVE_WRITES = (Write.RECORD, Write.RESERVED, *END)
FREE_WRITES = (Write.FREE, Write.GIVE_BACK)


class ServingStore:
    """The store between its restarts.

    Args:
        setting: Scenario and protocol.
        writes: Carries out what is decided here.
        promises: They say what is wrong with a no.
    """

    def __init__(self, setting: Setting, writes: Writes, promises: Promises) -> None:
        self._promises = promises
        self._setting = setting
        self._protocol = setting.protocol
        self._writes = writes

    def steps(self, state: State) -> Iterator[Step]:
        """List what the store, which is in the middle of nothing, may begin now."""
        for client, packets in enumerate(state.requests):
            if packets and not _is_unanswered(state, client):
                yield from self._takes(state, client, packets[0])
        for client, answer in state.store.outbox:
            sent = state.with_store(outbox=state.store.outbox - {(client, answer)})
            yield from self._writes.next(sent, Task((Write.ANSWER, Write.CONSUME), client, answer=answer))
        yield from self._frees(state)
        yield from self._answers(state)

    # Requests

    def _takes(self, state: State, client: int, request: Request) -> Iterator[Step]:
        if request.number and request.number <= state.rows[client]:
            taken, task = answer_seen_again(self._setting, state, client)
        elif request.kind is Kind.RESERVE:
            if not _has_room(state):
                return
            taken, task = _reserve(state, client, request)
        elif request.kind is Kind.COMMIT:
            taken, task = self._commit(state, client, request)
        elif request.kind is Kind.DELETE:
            taken, task = self._delete(state, client, request)
        else:
            taken, task = state, _cancel(state, client, request)
        yield from self._writes.next(taken, task._replace(writes=self._in_order(task.writes)))

    def _commit(self, state: State, client: int, request: Request) -> tuple[State, Task]:
        operation = self._setting.operation(request.operation)
        reservation = _slot_reserved(state, request)
        old = self._slot_of(state, operation.name)
        if reservation == NONE or (old != NONE and operation.verb is Verb.PUT_NEW):
            return self._refuse(state, client, request)
        ending = () if old == NONE else (Write.DYING,)
        writes = (Write.RECORD, Write.LIVE, Write.UNRESERVE, Write.NAME, *ending, *END)
        answer = Answer(request.number, Said.DONE)
        task = Task(writes, client, state.free_slots()[0], old, reservation, answer)
        return state.with_store(sequence=state.store.sequence + 1), task

    def _delete(self, state: State, client: int, request: Request) -> tuple[State, Task]:
        old = self._slot_of(state, self._setting.operation(request.operation).name)
        if old == NONE:
            return self._refuse(state, client, request)
        ender = (Write.ENDER,) if self._protocol.enders else ()
        writes = (*ender, Write.DYING, Write.CLEAR_NAME, *END)
        return state, Task(writes, client, old=old, answer=Answer(request.number, Said.DONE))

    def _refuse(self, state: State, client: int, request: Request) -> tuple[State, Task]:
        writes = END if self._protocol.rows_count_refusals else END[1:]
        refused = state._replace(fault=self._promises.fault_of_refusal(state, request.operation))
        return refused, Task(writes, client, answer=Answer(request.number, Said.REFUSED))

    def _in_order(self, writes: tuple[Write, ...]) -> tuple[Write, ...]:
        safeguards = self._protocol
        if not safeguards.answer_after_names and Write.NAME in writes:
            writes = (Write.ANSWER, *_less(writes, Write.ANSWER))
        if not safeguards.answer_before_consuming and Write.ANSWER in writes:
            writes = (*writes[:-2], Write.CONSUME, Write.ANSWER)
        if not safeguards.live_before_reservation_free and Write.UNRESERVE in writes:
            writes = (Write.RECORD, Write.UNRESERVE, *_less(writes, Write.RECORD, Write.UNRESERVE))
        if not safeguards.ender_before_dying and Write.ENDER in writes:
            writes = (Write.DYING, Write.ENDER, *_less(writes, Write.DYING, Write.ENDER))
        return writes

    def _slot_of(self, state: State, name: str) -> int:
        number = state.slot_named(name)
        return number if number != NONE and self._is_names_object(state.slots[number], name) else NONE

    def _is_names_object(self, slot: Slot, name: str) -> bool:
        return slot.state is SlotState.LIVE and self._setting.operation(slot.object).name == name

    # Frees

    def _frees(self, state: State) -> Iterator[Step]:
        writes = FREE_WRITES if self._protocol.free_before_giving_back else FREE_WRITES[::-1]
        for number, slot in enumerate(state.slots):
            if slot.state is SlotState.DYING and not self._is_needed(state, slot):
                yield from self._writes.next(state, Task(writes, slot=number))

    def _is_needed(self, state: State, slot: Slot) -> bool:
        return (
            (self._protocol.frees_look_at_leases and _is_leased(state, slot.object))
            or (self._protocol.frees_look_at_containers and self._is_contained(state, slot.object))
            or (self._protocol.unanswered_keep_slots and _tells_of_unanswered(state, slot))
        )

    def _is_contained(self, state: State, thing: int) -> bool:
        # A RESERVED container does not count: the store knows its list from the commit on.
        living = {SlotState.LIVE, SlotState.DYING} if self._protocol.dying_containers_count else {SlotState.LIVE}
        return any(slot.contains == thing and slot.state in living for slot in state.slots)

    # Questions

    def _answers(self, state: State) -> Iterator[Step]:
        # The question and its answer are packets, too.  It stays until it is answered, and two answers do no more
        # than one, so that asking, dying and asking again are the same as waiting.
        reader = state.reader
        if reader.phase is not ReaderPhase.ASKING or not _are_drained(state):
            return
        slot = state.slot_named(reader.name)
        if slot == NONE:
            fault = self._promises.fault_of_miss(state, reader)
            yield f"store: answers get {reader.name}: no such name", state._replace(reader=Reader(), fault=fault)
        else:
            told = reader._replace(phase=ReaderPhase.LOOKED_UP, slot=slot, told=state.slots[slot].object)
            yield f"store: answers get {reader.name}: slot {slot}", state._replace(reader=told)


def _less(writes: tuple[Write, ...], *less: Write) -> tuple[Write, ...]:
    return tuple(write for write in writes if write not in less)


def _reserve(state: State, client: int, request: Request) -> tuple[State, Task]:
    slot, extent = state.free_slots()[0], min(state.store.free_extents)
    reservation = Reservation(slot, Caller(client, request.number), extent)
    task = Task(RESERVE_WRITES, client, slot, answer=Answer(request.number, Said.RESERVED, reservation))
    return state.with_store(free_extents=state.store.free_extents - {extent}), task


def _cancel(state: State, client: int, request: Request) -> Task:
    slot = _slot_reserved(state, request)
    return Task((Write.CONSUME,) if slot == NONE else (*FREE_WRITES, Write.CONSUME), client, slot)


def _slot_reserved(state: State, request: Request) -> int:
    number, maker, _ = request.reservation
    is_there = state.slots[number].state is SlotState.RESERVED and state.slots[number].maker == maker
    return number if is_there else NONE


def _has_room(state: State) -> bool:
    # One slot is kept, into which a reservation is committed.
    return len(state.free_slots()) > 1 and bool(state.store.free_extents)


def _are_drained(state: State) -> bool:
    # What waits for room, or for room in a receive queue, stays at the head of its queue and is not waited for.
    return not any(
        packets and not _is_unanswered(state, client) and (packets[0].kind is not Kind.RESERVE or _has_room(state))
        for client, packets in enumerate(state.requests)
    )


def _is_unanswered(state: State, client: int) -> bool:
    return any(other == client for other, _ in state.store.outbox)


def _is_leased(state: State, thing: int) -> bool:
    return state.reader.object == thing or any(client.leased == thing for client in state.clients)


def _tells_of_unanswered(state: State, slot: Slot) -> bool:
    return any(Caller(client, answer.number) in {slot.maker, slot.ender} for client, answer in state.store.outbox)
