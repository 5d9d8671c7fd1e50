"""The name protocol as a transition system: clients put and delete, a reader gets without asking.  No I/O here.

Nobody dies in this model; its state (see ``commit_state``) is cut so that deaths can be added.

**Memory.**  The index shows every write of the store at once and in order.  That a write may come late is the subject
of ``lease_model``; here a reader may look, and anybody may act, between any two writes.

**A put.**  The client reserves: the store makes a free slot RESERVED, with a free extent.  The client fills the extent
and sends the commit.  The store applies one packet at a time, in separate writes: the new slot LIVE, the name word, the
old slot DYING, the client's row, the answer.  The call returns when the client sees its row, which is earlier than
the answer's packet.  **A delete** is a packet too: the slot DYING, the name word, the row, the answer.
**Putting again** what is stored copies nothing: the new object lists the old one as contained, and the client holds a
lease on the old one from before it reserves until the call returns.

**A get.**  Read the name word; look at that slot; if it is LIVE and is the name's, take a lease (one step here, and
what ``lease_model`` is about).  Anything else is a miss, and a miss is never believed: the store is asked, drains every
socket and answers with a slot, at which the reader looks again, or with "no such name".

**A free.**  Between packets, a DYING slot that no lease holds and no living object contains is made FREE; after that
its extent is given back and punched.

**The promises** are in ``commit_promises``.  Every safeguard can be taken out by a field of ``Protocol``, whose
comments say what then goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .commit_promises import Promises
from .commit_state import (
    NAMES,
    NONE,
    Client,
    ClientPhase,
    Reader,
    ReaderPhase,
    Request,
    Scenario,
    Slot,
    SlotState,
    State,
    Store,
    Task,
    Verb,
    Write,
)

PUT_WRITES = (Write.LIVE, Write.NAME, Write.DYING, Write.ROW, Write.ANSWER)
DELETE_WRITES = (Write.DYING, Write.NAME, Write.ROW, Write.ANSWER)
FREE_WRITES = (Write.FREE, Write.GIVE_BACK)
STATE_WORDS = {Write.LIVE: SlotState.LIVE, Write.FREE: SlotState.FREE}

Step = tuple[str, State]


@dataclass(frozen=True)
class Protocol:
    """Which safeguards are in force.  All of them make the protocol; each mutant lacks one."""

    # Without it a named put or delete returns as soon as it is sent, and the old value is still got.
    two_way: bool = True
    # Without it the row is the first write, and the call returns before the index shows what it did.
    row_after_names: bool = True
    # Without it a reader that meets the old slot of a name just overwritten reports that nothing is there.
    misses_ask: bool = True
    # Without it a late reader takes the object that now has the slot of the one it looked up.
    names_compared: bool = True
    # Without it bytes are punched under a reader.
    frees_look_at_leases: bool = True
    # Without it an object that another one contains is freed when its own name goes.
    frees_look_at_containers: bool = True
    # Without it contained bytes go together with their container's name, under those who still hold the container.
    dying_containers_count: bool = True
    # Without it the contained object may be gone before the store lists it, and the put has to be refused.
    lease_until_answer: bool = True
    # Without it the allocator gives away an extent that a slot still names.
    free_before_giving_back: bool = True


HEALTHY = Protocol()


class CommitModel:
    """The transition system of one scenario under one protocol.

    Args:
        scenario: The clients' operations; each client does its own in this order.
        protocol: The safeguards in force.
        slots: Slots of the index.  With few of them the store uses slots again; a put waits for a free one.
        extents: Extents of the heap, likewise.
    """

    def __init__(self, scenario: Scenario, protocol: Protocol = HEALTHY, *, slots: int = 3, extents: int = 3) -> None:
        self.promises = Promises(scenario)
        self._scenario = scenario
        self._protocol = protocol
        self._slots, self._extents = slots, extents
        clients = 1 + max(operation.client for operation in scenario)
        self._programs = [[n for n, op in enumerate(scenario) if op.client == client] for client in range(clients)]
        self._names = sorted({operation.name for operation in scenario})

    @property
    def initial(self) -> State:
        """Nothing is stored, nobody has begun."""
        clients = len(self._programs)
        return State(
            slots=(Slot(),) * self._slots,
            names=(NONE,) * len(NAMES),
            rows=(0,) * clients,
            heap=(NONE,) * self._extents,
            sockets=((),) * clients,
            store=Store(frozenset(range(self._extents))),
            clients=(Client(),) * clients,
            reader=Reader(),
            applied=((),) * len(NAMES),
        )

    def successors(self, state: State) -> Iterator[Step]:
        """List every step that any party can take now."""
        for number in range(len(state.clients)):
            yield from self._client_steps(state, number)
        if state.store.task is None:
            yield from self._takes(state)
            yield from self._frees(state)
            yield from self._answers(state)
        else:
            yield self._next_write(state, state.store.task)
        yield from self._reader_steps(state)

    # The clients

    def _client_steps(self, state: State, number: int) -> Iterator[Step]:
        client, program = state.clients[number], self._programs[number]
        if client.returned == len(program):
            return
        operation = program[client.returned]
        label = f"C{number} {self.promises.show(operation)}"
        if client.phase is ClientPhase.FILLING:
            yield f"{label}: fills its extent, sends the commit", self._commit(state, number, operation)
        elif client.phase is ClientPhase.WAITING and state.rows[number] > client.returned:
            yield f"{label}: sees its row, returns", _return(state, number)
        elif client.phase is ClientPhase.READY and self._scenario[operation].verb is Verb.DELETE:
            yield f"{label}: sends it", self._send(state, number, Request(operation))
        elif client.phase is ClientPhase.READY:
            yield from self._reserve(state, number, operation, label)

    def _reserve(self, state: State, number: int, operation: int, label: str) -> Iterator[Step]:
        # Asking and being answered are one step: the client does nothing in between, and the store answers only
        # when it is in the middle of nothing and has done what this client sent before.
        slot = next((n for n, s in enumerate(state.slots) if s.state is SlotState.FREE), NONE)
        if state.store.task or state.sockets[number] or slot == NONE or not state.store.free_extents:
            return
        contained = _object_named(state, self._scenario[operation].source)
        if self._scenario[operation].verb is Verb.PUT_AGAIN and contained == NONE:
            return
        extent = min(state.store.free_extents)
        reserved = state.with_slot(slot, Slot(SlotState.RESERVED, operation, extent, contained))
        reserved = reserved._replace(store=Store(state.store.free_extents - {extent}))
        client = state.clients[number]._replace(phase=ClientPhase.FILLING, slot=slot, leased=contained)
        yield f"{label}: reserves slot {slot}, extent {extent}", reserved.with_client(number, client)

    def _commit(self, state: State, number: int, operation: int) -> State:
        slot = state.clients[number].slot
        filled = state.with_bytes(state.slots[slot].extent, operation)
        return self._send(filled, number, Request(operation, slot))

    def _send(self, state: State, number: int, request: Request) -> State:
        sent = state.with_socket(number, (*state.sockets[number], request))
        if not self._protocol.two_way:
            return _return(sent, number)
        client = sent.clients[number]._replace(phase=ClientPhase.WAITING)
        if not self._protocol.lease_until_answer:
            client = client._replace(leased=NONE)
        return sent.with_client(number, client)

    # The store

    def _takes(self, state: State) -> Iterator[Step]:
        for socket in state.sockets:
            if not socket:
                continue
            operation, slot = socket[0]
            verb, name = self._scenario[operation].verb, self._scenario[operation].name
            task = Task(self._writes_of(verb), slot, operation)
            yield self._next_write(state.with_applied(name, operation), task)

    def _writes_of(self, verb: Verb) -> tuple[Write, ...]:
        writes = DELETE_WRITES if verb is Verb.DELETE else PUT_WRITES
        if self._protocol.row_after_names:
            return writes
        return (Write.ROW, *(write for write in writes if write is not Write.ROW))

    def _frees(self, state: State) -> Iterator[Step]:
        writes = FREE_WRITES if self._protocol.free_before_giving_back else FREE_WRITES[::-1]
        for number, slot in enumerate(state.slots):
            if slot.state is SlotState.DYING and not self._is_needed(state, slot.object):
                yield self._next_write(state, Task(writes, number))

    def _is_needed(self, state: State, thing: int) -> bool:
        return (self._protocol.frees_look_at_leases and _is_leased(state, thing)) or (
            self._protocol.frees_look_at_containers and self._is_contained(state, thing)
        )

    def _is_contained(self, state: State, thing: int) -> bool:
        # A RESERVED container does not count: the store knows its list from the commit on.
        living = {SlotState.LIVE, SlotState.DYING} if self._protocol.dying_containers_count else {SlotState.LIVE}
        return any(slot.contains == thing and slot.state in living for slot in state.slots)

    def _answers(self, state: State) -> Iterator[Step]:
        reader = state.reader
        if reader.phase is not ReaderPhase.ASKING or any(state.sockets):
            return
        slot = state.slot_named(reader.name)
        phase = ReaderPhase.NOT_FOUND if slot == NONE else ReaderPhase.LOOKED_UP
        said = "no such name" if slot == NONE else f"slot {slot}"
        answered = reader._replace(phase=phase, slot=slot)
        yield f"store: answers get {reader.name}: {said}", state._replace(reader=answered)

    def _next_write(self, state: State, task: Task) -> Step:
        write, *rest = task.writes
        subject = f"slot {task.slot}" if task.operation == NONE else self.promises.show(task.operation)
        after = state.with_task(task._replace(writes=tuple(rest)) if rest else None)
        return f"store: {subject}: {write.value}", self._write(after, write, task)

    def _write(self, state: State, write: Write, task: Task) -> State:
        if write in STATE_WORDS:
            return state.with_slot_state(task.slot, STATE_WORDS[write])
        if write is Write.GIVE_BACK:
            return _give_back(state, task.slot)
        operation = self._scenario[task.operation]
        if write is Write.NAME:
            return state.with_name(operation.name, task.slot)
        if write is Write.DYING:
            return self._end_older(state, operation.name, task.slot)
        if write is Write.ROW:
            return state.with_row(operation.client)
        return state.with_socket(operation.client, state.sockets[operation.client][1:])

    def _end_older(self, state: State, name: str, newest: int) -> State:
        for number, slot in enumerate(state.slots):
            if slot.state is SlotState.LIVE and number != newest and self._scenario[slot.object].name == name:
                # There is one at most: a put ends the older one before the next is taken.
                return state.with_slot_state(number, SlotState.DYING)
        return state

    # The reader

    def _reader_steps(self, state: State) -> Iterator[Step]:
        reader = state.reader
        if reader.phase is ReaderPhase.IDLE:
            for name in self._names:
                yield self._look_up(state, name)
        elif reader.phase is ReaderPhase.LOOKED_UP:
            yield self._look_at_slot(state, reader)
        elif reader.phase is ReaderPhase.HOLDING:
            yield f"reader: releases {self.promises.show(reader.object)}", state._replace(reader=Reader())
        elif reader.phase is ReaderPhase.NOT_FOUND:
            yield f"reader: get {reader.name} ends, not found", state._replace(reader=Reader())

    def _look_up(self, state: State, name: str) -> Step:
        programs = zip(state.clients, self._programs, strict=True)
        returned = [operation for client, program in programs for operation in program[: client.returned]]
        slot = state.slot_named(name)
        reader = Reader(ReaderPhase.LOOKED_UP, name, slot, floor=self.promises.floor(state, name, returned))
        if slot == NONE:
            return f"reader: get {name}: no name word, a miss", self._miss(state, reader)
        return f"reader: get {name}: the name word says slot {slot}", state._replace(reader=reader)

    def _look_at_slot(self, state: State, reader: Reader) -> Step:
        slot = state.slots[reader.slot]
        label = f"reader: get {reader.name}: slot {reader.slot} is {slot.state.value}"
        if slot.state is SlotState.LIVE and self._is_the_names(slot, reader.name):
            held = reader._replace(phase=ReaderPhase.HOLDING, slot=NONE, object=slot.object)
            return f"{label}, holds {self.promises.show(slot.object)}", state._replace(reader=held)
        return f"{label}, a miss", self._miss(state, reader)

    def _is_the_names(self, slot: Slot, name: str) -> bool:
        return not self._protocol.names_compared or self._scenario[slot.object].name == name

    def _miss(self, state: State, reader: Reader) -> State:
        phase = ReaderPhase.ASKING if self._protocol.misses_ask else ReaderPhase.NOT_FOUND
        return state._replace(reader=reader._replace(phase=phase, slot=NONE))


def _object_named(state: State, name: str) -> int:
    """The object that a get of ``name`` would find right now."""
    slot = state.slot_named(name) if name else NONE
    if slot == NONE or state.slots[slot].state is not SlotState.LIVE:
        return NONE
    return state.slots[slot].object


def _is_leased(state: State, thing: int) -> bool:
    return state.reader.object == thing or any(client.leased == thing for client in state.clients)


def _return(state: State, number: int) -> State:
    return state.with_client(number, Client(returned=state.clients[number].returned + 1))


def _give_back(state: State, number: int) -> State:
    slot = state.slots[number]
    punched = state.with_bytes(slot.extent, NONE)
    given = punched._replace(store=punched.store._replace(free_extents=punched.store.free_extents | {slot.extent}))
    # What a FREE slot used to name is never read again; forgetting it makes equal states equal.
    return given.with_slot(number, Slot()) if slot.state is SlotState.FREE else given
