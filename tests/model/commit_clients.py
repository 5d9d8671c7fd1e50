"""The clients that put and delete, and the reader that gets without asking.  No I/O here."""

from __future__ import annotations

from collections.abc import Iterator

from .commit_promises import Promises
from .commit_protocol import Setting
from .commit_scenario import NONE, Operation, Verb
from .commit_state import (
    Answer,
    Client,
    ClientPhase,
    Kind,
    Reader,
    ReaderPhase,
    Request,
    Said,
    Slot,
    SlotState,
    State,
)
from .commit_writes import Step


class Clients:
    """All clients.  Each has one request under way at most, and a number of its own for each.

    Args:
        setting: Scenario and protocol.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._protocol = setting.protocol

    def steps(self, state: State, number: int) -> Iterator[Step]:
        """List what a client can do now."""
        client, program = state.clients[number], self._setting.programs[number]
        if client.returned == len(program):
            return
        operation = program[client.returned]
        label = f"C{number} {self._setting.show(operation)}"
        if client.phase is ClientPhase.READY:
            yield from self._begin(state, number, operation, label)
            return
        answers = state.answers[number]
        place = next((n for n, answer in enumerate(answers) if self._is_waited_for(answer, client)), None)
        if place is not None:
            # What it does not wait for is passed over, and never will be waited for.
            taken = state.with_answers(number, answers[place + 1 :])
            yield self._take(taken, number, operation, answers[place], label)

    def _is_waited_for(self, answer: Answer, client: Client) -> bool:
        return answer.number == client.number or not self._protocol.answers_matched

    def _begin(self, state: State, number: int, operation: int, label: str) -> Iterator[Step]:
        if self._setting.operation(operation).verb is Verb.DELETE:
            yield f"{label}: sends it", self._send(state, number, Kind.DELETE, operation)
            return
        contained = NONE
        if self._setting.operation(operation).verb is Verb.PUT_AGAIN:
            contained = _object_named(state, self._setting.operation(operation).source)
            if contained == NONE:
                return
        leasing = state.with_client(number, state.clients[number]._replace(leased=contained))
        yield f"{label}: asks for an extent", self._send(leasing, number, Kind.RESERVE, operation)

    def _take(self, state: State, number: int, operation: int, answer: Answer, label: str) -> Step:
        client = state.clients[number]
        if answer.said is Said.AGAIN:
            kind = (
                Kind.RESERVE
                if client.phase is ClientPhase.RESERVING
                else _last_kind(self._setting.operation(operation))
            )
            return f"{label}: is told to ask again, does", self._send(state, number, kind, operation)
        if client.phase is ClientPhase.RESERVING and answer.said is Said.RESERVED:
            extent = answer.reservation.extent
            filled = state.with_bytes(extent, operation)
            filled = filled.with_client(number, client._replace(reservation=answer.reservation))
            return f"{label}: fills extent {extent}, commits", self._send(filled, number, Kind.COMMIT, operation)
        if answer.said is Said.REFUSED:
            return f"{label}: returns, refused", self._give_up(state, number, operation)
        return f"{label}: returns", _return(state, number)

    def _send(self, state: State, number: int, kind: Kind, operation: int) -> State:
        client = state.clients[number]
        client = client._replace(
            number=client.number + 1,
            phase=ClientPhase.RESERVING if kind is Kind.RESERVE else ClientPhase.WAITING,
        )
        request = Request(kind, operation, client.number)
        if kind is Kind.COMMIT:
            request = request._replace(reservation=client.reservation, contains=client.leased)
            if not self._protocol.lease_until_answer:
                client = client._replace(leased=NONE)
        sent = _queue(state, number, request).with_client(number, client)
        return sent if self._protocol.two_way or kind is Kind.RESERVE else _return(sent, number)

    def _give_up(self, state: State, number: int, operation: int) -> State:
        given_up = state._replace(refused=state.refused | {operation})
        if self._setting.operation(operation).is_put:
            cancel = Request(Kind.CANCEL, operation, reservation=state.clients[number].reservation)
            given_up = _queue(given_up, number, cancel)
        return _return(given_up, number)


class GettingReader:
    """The one that gets.

    Args:
        setting: Scenario and protocol.
        promises: They say below which operation a get must not fall.
    """

    def __init__(self, setting: Setting, promises: Promises) -> None:
        self._setting = setting
        self._promises = promises
        self._protocol = setting.protocol

    def steps(self, state: State) -> Iterator[Step]:
        """List what the reader can do now."""
        reader = state.reader
        if reader.phase is ReaderPhase.IDLE:
            for name in self._setting.names:
                yield self._look_up(state, name)
        elif reader.phase is ReaderPhase.LOOKED_UP:
            yield self._look_at_slot(state, reader)
        elif reader.phase is ReaderPhase.HOLDING:
            yield f"reader: releases {self._setting.show(reader.object)}", state._replace(reader=Reader())

    def _look_up(self, state: State, name: str) -> Step:
        slot = state.slot_named(name)
        reader = Reader(ReaderPhase.LOOKED_UP, name, slot, floor=self._promises.floor(state, name))
        if slot == NONE:
            return f"reader: get {name}: no name word, a miss", self._miss(state, reader)
        return f"reader: get {name}: the name word says slot {slot}", state._replace(reader=reader)

    def _look_at_slot(self, state: State, reader: Reader) -> Step:
        slot = state.slots[reader.slot]
        label = f"reader: get {reader.name}: slot {reader.slot} is {slot.state.value}"
        if slot.state is not SlotState.LIVE or not self._is_meant(state, reader, slot):
            return f"{label}, a miss", self._miss(state, reader)
        fault = self._promises.fault_of_hit(state, reader, slot.object)
        held = Reader(ReaderPhase.HOLDING, reader.name, object=slot.object)
        return f"{label}, holds {self._setting.show(slot.object)}", state._replace(reader=held, fault=fault)

    def _is_meant(self, state: State, reader: Reader, slot: Slot) -> bool:
        if reader.told != NONE:
            return slot.object == reader.told
        return (not self._protocol.names_compared or self._setting.operation(slot.object).name == reader.name) and (
            not self._protocol.name_read_again or state.slot_named(reader.name) == reader.slot
        )

    def _miss(self, state: State, reader: Reader) -> State:
        if self._protocol.misses_ask:
            asking = Reader(ReaderPhase.ASKING, reader.name, floor=reader.floor)
            return state._replace(reader=asking)
        return state._replace(reader=Reader(), fault=self._promises.fault_of_miss(state, reader))


def _object_named(state: State, name: str) -> int:
    """The object that a get of ``name`` would find right now."""
    slot = state.slot_named(name)
    if slot == NONE or state.slots[slot].state is not SlotState.LIVE:
        return NONE
    return state.slots[slot].object


def _queue(state: State, number: int, request: Request) -> State:
    return state.with_requests(number, (*state.requests[number], request))


def _last_kind(operation: Operation) -> Kind:
    return Kind.COMMIT if operation.is_put else Kind.DELETE


def _return(state: State, number: int) -> State:
    client = state.clients[number]
    return state.with_client(number, Client(client.returned + 1, number=client.number))
