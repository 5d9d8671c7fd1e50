"""The name protocol as a transition system: clients put and delete, a reader gets without asking.  No I/O here.

This first version has no crashes; the state (see ``commit_state``) is cut so that they can be added.

**Memory.**  The index shows every write of the store at once and in order.  That a write may come late is the subject
of ``lease_model``; here a reader may look, and anybody may act, between any two writes.

**A put.**  The client reserves: the store finds a free slot and a free extent, and makes the slot RESERVED.  The client
fills the extent and sends the commit.  The store takes one packet at a time and applies it in separate writes: the new
slot LIVE, the name word, the old slot DYING, the client's row, the answer.  The call returns when the client sees its
row: this is earlier than the answer's packet.  A delete is a packet too: the slot DYING, the name word, row, answer.
**A re-put** copies nothing: its object lists the old one as contained.  The client holds a lease on the old object
from before it asks until the call returns.

**A get.**  Read the name word; look at that slot; if it is LIVE and is the name's, take a lease (one step here, and what
``lease_model`` is about).  Anything else is a miss, and a miss is never believed: the store is asked, drains every
socket and answers with a slot, at which the reader looks again, or with "no such name".

**A free.**  Between packets, a DYING slot that no lease holds and no living object contains is made FREE; then its
extent is given back and punched.

**The promises**, each a function below: ``stale`` (after a put or delete that returned, no get yields what it replaced;
no name that was put and not deleted is reported missing), ``foreign`` (no get yields another name's object),
``garbage`` (the bytes of what is LIVE, held or contained are there) and ``shared_extent`` (no extent has two owners).

Every safeguard can be taken out by a field of ``Protocol``, whose comments say what then goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .commit_state import (
    NAMES,
    Client,
    ClientPhase,
    Index,
    Operation,
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
    slot_named,
    slot_of,
)

PUT_WRITES = (Write.LIVE, Write.NAME, Write.DYING, Write.ROW, Write.ANSWER)
DELETE_WRITES = (Write.DYING, Write.NAME, Write.ROW, Write.ANSWER)
FREE_WRITES = (Write.FREE, Write.PUNCH)

Step = tuple[str, State]


@dataclass(frozen=True)
class Protocol:
    """Which safeguards are in force.  All of them make the protocol; each mutant lacks one."""

    # Without it a named put or delete returns as soon as it is sent, and the old value is still got.
    two_way: bool = True
    # Without it the row is the first write, and the call returns before the index shows what it did.
    row_after_names: bool = True
    # Without it a reader that meets the old slot of a name just overwritten reports the name missing.
    misses_ask: bool = True
    # Without it a reader that is late takes the object that now has the slot of the one it looked up.
    names_compared: bool = True
    # Without it bytes are punched under a reader.
    frees_look_at_leases: bool = True
    # Without it an object that another one contains is freed when its own name goes.
    frees_look_at_containers: bool = True
    # Without it the contained object may be gone before the store lists it, and the put has to be refused.
    lease_until_answer: bool = True


HEALTHY = Protocol()


class CommitModel:
    """The transition system of one scenario under one protocol.

    Args:
        scenario: The clients' operations; each client does its own in this order.
        protocol: The safeguards in force.
        slots: Slots of the index.  Few of them make the store use slots again; a put waits for a free one.
        extents: Extents of the heap, likewise.
    """

    def __init__(
        self, scenario: Scenario, protocol: Protocol = HEALTHY, *, slots: int = 3, extents: int = 3
    ) -> None:
        self._scenario = scenario
        self._protocol = protocol
        self._slots, self._extents = slots, extents
        self._names = sorted({operation.name for operation in scenario})
        clients = 1 + max(operation.client for operation in scenario)
        self._programs = [[n for n, op in enumerate(scenario) if op.client == client] for client in range(clients)]

    @property
    def initial(self) -> State:
        """Nothing is stored, nobody has begun."""
        clients = len(self._programs)
        return State(
            index=Index((Slot(),) * self._slots, (-1,) * len(NAMES), (0,) * clients),
            heap=(-1,) * self._extents,
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
        label = f"C{number} {self._show(operation)}"
        if client.phase is ClientPhase.FILLING:
            yield f"{label}: fills its extent, sends the commit", self._commit(state, number, operation)
        elif client.phase is ClientPhase.WAITING and state.index.rows[number] > client.returned:
            yield f"{label}: sees its row, returns", _return(state, number)
        elif client.phase is ClientPhase.READY and self._scenario[operation].verb is Verb.DELETE:
            yield f"{label}: sends it", self._send(state, number, Request(operation))
        elif client.phase is ClientPhase.READY:
            yield from self._reserve(state, number, operation, label)

    def _reserve(self, state: State, number: int, operation: int, label: str) -> Iterator[Step]:
        # Asking and being answered are one step: the client does nothing in between, and the store answers only
        # when it is in the middle of nothing and has done what the client sent before.
        slot = next((n for n, s in enumerate(state.index.slots) if s.state is SlotState.FREE), -1)
        if state.store.task or state.sockets[number] or slot < 0 or not state.store.free_extents:
            return
        contained = self._lookup(state, self._scenario[operation].source)
        if self._scenario[operation].verb is Verb.PUT_AGAIN and contained < 0:
            return
        extent = min(state.store.free_extents)
        reserved = _with_slot(state, slot, Slot(SlotState.RESERVED, operation, extent, contained))
        reserved = reserved._replace(store=Store(state.store.free_extents - {extent}))
        client = state.clients[number]._replace(phase=ClientPhase.FILLING, slot=slot, leased=contained)
        yield (
            f"{label}: reserves slot {slot}, extent {extent}",
            _with_client(reserved, number, client),
        )

    def _lookup(self, state: State, name: str) -> int:
        """The object that a get of ``name`` would find right now, -1 for none."""
        slot = slot_named(state, name) if name else -1
        if slot < 0 or state.index.slots[slot].state is not SlotState.LIVE:
            return -1
        return state.index.slots[slot].object

    def _commit(self, state: State, number: int, operation: int) -> State:
        slot = state.clients[number].slot
        heap = list(state.heap)
        heap[state.index.slots[slot].extent] = operation
        return self._send(state._replace(heap=tuple(heap)), number, Request(operation, slot))

    def _send(self, state: State, number: int, request: Request) -> State:
        sockets = list(state.sockets)
        sockets[number] = (*sockets[number], request)
        sent = state._replace(sockets=tuple(sockets))
        if not self._protocol.two_way:
            return _return(sent, number)
        client = sent.clients[number]._replace(phase=ClientPhase.WAITING)
        if not self._protocol.lease_until_answer:
            client = client._replace(leased=-1)
        return _with_client(sent, number, client)

    # The store

    def _takes(self, state: State) -> Iterator[Step]:
        for socket in state.sockets:
            if not socket:
                continue
            operation, slot = socket[0]
            writes = DELETE_WRITES if self._scenario[operation].verb is Verb.DELETE else PUT_WRITES
            if not self._protocol.row_after_names:
                writes = (Write.ROW, *(write for write in writes if write is not Write.ROW))
            taken = _remember(state, self._scenario[operation].name, operation)
            yield self._next_write(taken, Task(writes, slot, operation))

    def _frees(self, state: State) -> Iterator[Step]:
        for number, slot in enumerate(state.index.slots):
            if slot.state is SlotState.DYING and not self._is_needed(state, slot.object):
                yield self._next_write(state, Task(FREE_WRITES, number))

    def _is_needed(self, state: State, thing: int) -> bool:
        leases = [state.reader.object, *(client.leased for client in state.clients)]
        living = (s for s in state.index.slots if s.state in (SlotState.LIVE, SlotState.DYING))
        return (self._protocol.frees_look_at_leases and thing in leases) or (
            self._protocol.frees_look_at_containers and any(s.contains == thing for s in living)
        )

    def _answers(self, state: State) -> Iterator[Step]:
        reader = state.reader
        if reader.phase is not ReaderPhase.ASKING or any(state.sockets):
            return
        slot = slot_named(state, reader.name)
        phase = ReaderPhase.NOT_FOUND if slot < 0 else ReaderPhase.LOOKED_UP
        said = "no such name" if slot < 0 else f"slot {slot}"
        yield f"store: answers get {reader.name}: {said}", state._replace(reader=reader._replace(phase=phase, slot=slot))

    def _next_write(self, state: State, task: Task) -> Step:
        write, rest = task.writes[0], task.writes[1:]
        subject = f"slot {task.slot}" if task.operation < 0 else self._show(task.operation)
        after = _with_task(state, task._replace(writes=rest) if rest else None)
        return f"store: {subject}: {write.value}", self._write(after, write, task)

    def _write(self, state: State, write: Write, task: Task) -> State:
        if write is Write.LIVE:
            return _with_slot(state, task.slot, state.index.slots[task.slot]._replace(state=SlotState.LIVE))
        if write is Write.FREE:
            return _with_slot(state, task.slot, state.index.slots[task.slot]._replace(state=SlotState.FREE))
        if write is Write.PUNCH:
            return _give_back(state, task.slot)
        operation = self._scenario[task.operation]
        if write is Write.NAME:
            return _with_name(state, operation.name, task.slot)
        if write is Write.DYING:
            return self._end_older(state, operation.name, task.slot)
        if write is Write.ROW:
            return _count_request(state, operation.client)
        return _consume(state, operation.client)

    def _end_older(self, state: State, name: str, keep: int) -> State:
        for number, slot in enumerate(state.index.slots):
            if slot.state is SlotState.LIVE and number != keep and self._scenario[slot.object].name == name:
                state = _with_slot(state, number, slot._replace(state=SlotState.DYING))
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
            yield f"reader: releases {self._show(reader.object)}", state._replace(reader=Reader())
        elif reader.phase is ReaderPhase.NOT_FOUND:
            yield f"reader: get {reader.name} is over, not found", state._replace(reader=Reader())

    def _look_up(self, state: State, name: str) -> Step:
        slot, floor = slot_named(state, name), self._floor(state, name)
        if slot < 0:
            return f"reader: get {name}: no name word", self._miss(state, Reader(name=name, floor=floor))
        looked_up = Reader(ReaderPhase.LOOKED_UP, name, slot, floor=floor)
        return f"reader: get {name}: the name word says slot {slot}", state._replace(reader=looked_up)

    def _look_at_slot(self, state: State, reader: Reader) -> Step:
        slot = state.index.slots[reader.slot]
        label = f"reader: get {reader.name}: slot {reader.slot} is {slot.state.value}"
        if slot.state is SlotState.LIVE and self._is_the_names(slot, reader.name):
            held = reader._replace(phase=ReaderPhase.HOLDING, slot=-1, object=slot.object)
            return f"{label}, holds {self._show(slot.object)}", state._replace(reader=held)
        return f"{label}, a miss", self._miss(state, reader)

    def _is_the_names(self, slot: Slot, name: str) -> bool:
        return not self._protocol.names_compared or self._scenario[slot.object].name == name

    def _miss(self, state: State, reader: Reader) -> State:
        phase = ReaderPhase.ASKING if self._protocol.misses_ask else ReaderPhase.NOT_FOUND
        return state._replace(reader=reader._replace(phase=phase, slot=-1))

    # The promises

    def violated(self, state: State) -> str | None:
        """Name the first promise that ``state`` breaks; None if it keeps them all."""
        return self.stale(state) or self.foreign(state) or self.garbage(state) or self.shared_extent(state)

    def stale(self, state: State) -> str | None:
        """After a put (delete) that returned, no get yields the old value (the deleted one), or misses the new one."""
        reader = state.reader
        if reader.phase is ReaderPhase.HOLDING:
            for newer in sorted(reader.floor):
                if self._supersedes(state, newer, reader.object):
                    return f"stale: get yields {self._show(reader.object)} after {self._show(newer)} returned"
        if reader.phase is ReaderPhase.NOT_FOUND:
            for made in sorted(reader.floor):
                if not self._may_be_deleted(state, made):
                    return f"stale: get misses {self._show(made)}, which returned and was not deleted"
        return None

    def _floor(self, state: State, name: str) -> frozenset[int]:
        """The newest operations on ``name`` whose calls have returned: one, unless some were not applied yet."""
        programs = zip(state.clients, self._programs, strict=True)
        returned = [number for client, program in programs for number in program[: client.returned]]
        here = [number for number in returned if self._scenario[number].name == name]
        return frozenset(old for old in here if not any(self._supersedes(state, new, old) for new in here))

    def _supersedes(self, state: State, newer: int, older: int) -> bool:
        """Whether the store took ``older`` before ``newer``, or has taken it while ``newer`` still waits."""
        applied = state.applied[NAMES.index(self._scenario[older].name)]
        return older in applied and older not in applied[_find(applied, newer) :]

    def _may_be_deleted(self, state: State, made: int) -> bool:
        applied = state.applied[NAMES.index(self._scenario[made].name)]
        return any(self._scenario[number].verb is Verb.DELETE for number in applied[_find(applied, made) :])

    def foreign(self, state: State) -> str | None:
        """No get yields an object that was put under another name."""
        reader = state.reader
        if reader.phase is ReaderPhase.HOLDING and self._scenario[reader.object].name != reader.name:
            return f"foreign: get {reader.name} yields {self._show(reader.object)}"
        return None

    def garbage(self, state: State) -> str | None:
        """The bytes of every object that is LIVE or held, and of those it contains, are there."""
        needed = {slot.object for slot in state.index.slots if slot.state is SlotState.LIVE}
        if state.reader.phase is ReaderPhase.HOLDING:
            needed.add(state.reader.object)
        for thing in sorted(needed):
            if not _is_intact(state, thing):
                return f"garbage: bytes that {self._show(thing)} needs were freed"
        return None

    def shared_extent(self, state: State) -> str | None:
        """No extent belongs to two slots, or to a slot and the allocator."""
        owned = [slot.extent for slot in state.index.slots if slot.state is not SlotState.FREE]
        owned += state.store.free_extents
        twice = sorted({extent for extent in owned if owned.count(extent) > 1})
        return f"shared extent: {twice} have two owners each" if twice else None

    def _show(self, number: int) -> str:
        operation: Operation = self._scenario[number]
        source = f"{operation.source} as " if operation.source else ""
        return f"#{number} ({operation.verb.value} {source}{operation.name})"


def _find(applied: tuple[int, ...], operation: int) -> int:
    """Where ``operation`` stands, or will stand if the store has not taken it."""
    return applied.index(operation) if operation in applied else len(applied)


def _is_intact(state: State, thing: int) -> bool:
    slot = slot_of(state, thing)
    if slot is None or state.heap[slot.extent] != thing:
        return False
    return slot.contains < 0 or _is_intact(state, slot.contains)


def _return(state: State, number: int) -> State:
    return _with_client(state, number, Client(returned=state.clients[number].returned + 1))


def _with_client(state: State, number: int, client: Client) -> State:
    return state._replace(clients=state.clients[:number] + (client,) + state.clients[number + 1 :])


def _with_task(state: State, task: Task | None) -> State:
    return state._replace(store=state.store._replace(task=task))


def _with_slot(state: State, number: int, slot: Slot) -> State:
    slots = state.index.slots
    return state._replace(index=state.index._replace(slots=slots[:number] + (slot,) + slots[number + 1 :]))


def _remember(state: State, name: str, operation: int) -> State:
    lists = zip(NAMES, state.applied, strict=True)
    return state._replace(applied=tuple((*done, operation) if other == name else done for other, done in lists))


def _with_name(state: State, name: str, slot: int) -> State:
    names = tuple(slot if other == name else word for other, word in zip(NAMES, state.index.names, strict=True))
    return state._replace(index=state.index._replace(names=names))


def _count_request(state: State, client: int) -> State:
    rows = list(state.index.rows)
    rows[client] += 1
    return state._replace(index=state.index._replace(rows=tuple(rows)))


def _consume(state: State, client: int) -> State:
    sockets = list(state.sockets)
    sockets[client] = sockets[client][1:]
    return state._replace(sockets=tuple(sockets))


def _give_back(state: State, number: int) -> State:
    extent = state.index.slots[number].extent
    heap = state.heap[:extent] + (-1,) + state.heap[extent + 1 :]
    store = state.store._replace(free_extents=state.store.free_extents | {extent})
    # What a FREE slot used to hold is never read again; forgetting it makes equal states equal.
    return _with_slot(state._replace(heap=heap, store=store), number, Slot())
