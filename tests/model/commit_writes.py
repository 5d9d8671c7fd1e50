"""What each write of the store does to the index, the queues and the heap.  It decides nothing.  No I/O here."""

from __future__ import annotations

from collections.abc import Iterator

from .commit_protocol import Setting
from .commit_scenario import NONE
from .commit_state import FREE_SLOT, Caller, Kind, Request, Slot, SlotState, State, Task, Write

Step = tuple[str, State]

UNSEEN = {Write.RECORD, Write.RESERVED, Write.UNRESERVE, Write.ENDER, Write.ROW}
"""Writes that only the next store looks at.  When no death can come any more they are no steps of their own: whatever
others do before one of them could as well come after it.  Nor is the consumption of a packet that was answered."""


class Writes:
    """Carries out tasks.

    Args:
        setting: Scenario and protocol.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._do = {
            Write.RECORD: self._record,
            Write.RESERVED: lambda state, task: state.with_slot_state(task.slot, SlotState.RESERVED),
            Write.LIVE: lambda state, task: state.with_slot_state(task.slot, SlotState.LIVE),
            Write.UNRESERVE: lambda state, task: state.with_slot(task.reservation, FREE_SLOT),
            Write.NAME: self._name_word,
            Write.ENDER: _ender,
            Write.DYING: self._dying,
            Write.CLEAR_NAME: lambda state, task: state.with_name(self._name(state, task), NONE),
            Write.ROW: lambda state, task: state.with_row(task.client, head(state, task.client).number),
            Write.ANSWER: deliver,
            Write.CONSUME: lambda state, task: state.with_requests(task.client, state.requests[task.client][1:]),
            Write.FREE: lambda state, task: state.with_slot_state(task.slot, SlotState.FREE),
            Write.GIVE_BACK: _give_back,
        }

    def next(self, state: State, task: Task) -> Iterator[Step]:
        """Take the next step of a task: its next write, or the discovery that an answer finds no room."""
        write, *rest = task.writes
        if write in UNSEEN and rest and not state.deaths_left:
            yield from self.next(self._do[write](state, task), task._replace(writes=tuple(rest)))
            return
        label = f"store: {self._subject(state, task)}: {write.value}"
        if write is Write.ANSWER:
            label += f" {task.answer.number}: {task.answer.said.value}"
            if state.jams_left:
                yield f"{label}; finds no room", _jam(state, task)
        after = self._do[write](state, task)
        if rest == [Write.CONSUME] and write is Write.ANSWER and not state.deaths_left:
            after, rest = self._do[Write.CONSUME](after, task), []
        yield label, after.with_store(task=task._replace(writes=tuple(rest)) if rest else None)

    def _subject(self, state: State, task: Task) -> str:
        if task.client == NONE:
            return f"slot {task.slot}"
        packets = state.requests[task.client]
        return f"{packets[0].kind.value} of {self._setting.show(packets[0].operation)}" if packets else "a request"

    def _name(self, state: State, task: Task) -> str:
        return self._setting.operation(head(state, task.client).operation).name

    def _record(self, state: State, task: Task) -> State:
        request = head(state, task.client)
        maker = Caller(task.client, request.number)
        if request.kind is Kind.RESERVE:
            return state.with_slot(
                task.slot, Slot(maker=maker, object=request.operation, extent=task.answer.reservation.extent)
            )
        extent = state.slots[task.reservation].extent
        facts = (maker, state.store.sequence, request.operation, extent, request.contains)
        return state.with_slot(task.slot, Slot(SlotState.FREE, *facts))

    def _name_word(self, state: State, task: Task) -> State:
        name = self._name(state, task)
        return state.with_name(name, task.slot).with_applied(name, head(state, task.client).operation)

    def _dying(self, state: State, task: Task) -> State:
        request = head(state, task.client)
        dying = state.with_slot_state(task.old, SlotState.DYING)
        return dying.with_applied(self._name(state, task), request.operation) if request.kind is Kind.DELETE else dying


def head(state: State, client: int) -> Request:
    """The packet at the head of a client's queue."""
    return state.requests[client][0]


def deliver(state: State, task: Task) -> State:
    """The state after the answer of ``task`` went into the client's receive queue."""
    return state.with_answers(task.client, (*state.answers[task.client], task.answer))


def _jam(state: State, task: Task) -> State:
    # The packet stays at the head of its queue, and the store turns to others.
    outbox = state.store.outbox | {(task.client, task.answer)}
    return state.with_store(task=None, outbox=outbox)._replace(jams_left=state.jams_left - 1)


def _ender(state: State, task: Task) -> State:
    ender = Caller(task.client, head(state, task.client).number)
    return state.with_slot(task.old, state.slots[task.old]._replace(ender=ender))


def _give_back(state: State, task: Task) -> State:
    slot = state.slots[task.slot]
    punched = state.with_bytes(slot.extent, NONE)
    given = punched.with_store(free_extents=punched.store.free_extents | {slot.extent})
    # What a FREE slot used to name is never read again; forgetting it makes equal states equal.
    return given.with_slot(task.slot, FREE_SLOT) if slot.state is SlotState.FREE else given
