"""A store that died, and the next one, until it serves.  No I/O here.

Nothing but ``State.store`` is lost.  The next store reads all slots, and then goes through the stages below, each of
which is one write after the other; it may die between any two, and the one after it begins from the first stage.
What a stage finds in order needs no write and is no step.

1. **Rows**: each at least the highest number that a slot tells of: of the request that made it if it is not FREE, of
   the Delete that ended it if it is DYING.
2. **Twins**: a RESERVED slot whose extent a LIVE or DYING slot has, too, was committed: FREE.
3. **Losers**: of two LIVE slots with one name, the one with the lower sequence was overwritten: DYING.
4. **Names** are made to mean the LIVE slots.
5. **Extents** that no slot owns are given back, and punched.
6. **Heads** of queues whose number their row has reached were handled before: they are answered from what the slots
   say, and consumed.

That DYING slots wait a whole grace from here on is the subject of ``lease_model``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .commit_protocol import Setting
from .commit_scenario import NONE
from .commit_state import (
    FREE_SLOT,
    Answer,
    Caller,
    Kind,
    Request,
    Reservation,
    Said,
    Slot,
    SlotState,
    Stage,
    State,
    Store,
    Task,
    Write,
)
from .commit_writes import Step, Writes, head

MADE = (SlotState.RESERVED, SlotState.LIVE, SlotState.DYING)
SEALED = (SlotState.LIVE, SlotState.DYING)
UNSEEN = {Stage.ROWS, Stage.TWINS, Stage.EXTENTS}


class Restart:
    """Deaths and restarts of the store.

    Args:
        setting: Scenario and protocol.
        writes: Carries out the answers.
    """

    def __init__(self, setting: Setting, writes: Writes) -> None:
        self._setting = setting
        self._writes = writes
        safeguards = setting.protocol
        stages: list[tuple[bool, Stage, Callable[[State], Iterator[Step]]]] = [
            (safeguards.rows_raised, Stage.ROWS, _raise_rows),
            (safeguards.twins_resolved, Stage.TWINS, _resolve_twins),
            (safeguards.losers_end, Stage.LOSERS, self._end_losers),
            (safeguards.names_rebuilt, Stage.NAMES, self._rebuild_names),
            (True, Stage.EXTENTS, self._give_back_extents),
            (safeguards.heads_first, Stage.HEADS, self._answer_heads),
        ]
        self._stages = [(stage, steps) for is_in_force, stage, steps in stages if is_in_force]

    def dies(self, state: State) -> Iterator[Step]:
        """The store may die at any moment; one that has done nothing yet may as well not have begun."""
        sequence = max((slot.sequence for slot in state.slots if slot.state in MADE), default=0)
        store = Store(sequence=sequence if self._setting.protocol.sequence_restored else 0)
        if state.deaths_left and state.store != store:
            # Nobody believes the record of a slot that is FREE; forgetting it makes equal states equal.
            slots = tuple(slot if slot.state in MADE else FREE_SLOT for slot in state.slots)
            yield "store: dies", state._replace(store=store, slots=slots, deaths_left=state.deaths_left - 1)

    def steps(self, state: State) -> Iterator[Step]:
        """The next write of a restart, or its end."""
        order = [stage for stage, _ in self._stages]
        begun = order.index(state.store.stage) if state.store.stage in order else 0
        for stage, steps in self._stages[begun:]:
            found = list(steps(state.with_store(stage=stage)))
            while found and stage in UNSEEN and not state.deaths_left:
                state = found[0][1]  # as in ``commit_writes``
                found = list(steps(state))
            if found:
                yield from found
                return
        yield "restart: serves", _with_allocator(state.with_store(stage=Stage.SERVING))

    def _end_losers(self, state: State) -> Iterator[Step]:
        for number, slot in enumerate(state.slots):
            if slot.state is SlotState.LIVE and self._winner(state, self._name(slot)) != number:
                yield f"restart: slot {number} was overwritten: DYING", state.with_slot_state(number, SlotState.DYING)
                return

    def _rebuild_names(self, state: State) -> Iterator[Step]:
        for name in self._setting.names:
            slot = self._winner(state, name)
            if state.slot_named(name) != slot:
                named = state.with_name(name, slot)
                if slot != NONE:
                    named = named.with_applied(name, state.slots[slot].object)
                yield f"restart: name word {name} says {'nothing' if slot == NONE else f'slot {slot}'}", named
                return

    def _winner(self, state: State, name: str) -> int:
        live = [n for n, slot in enumerate(state.slots) if slot.state is SlotState.LIVE and self._name(slot) == name]
        return max(live, key=lambda number: state.slots[number].sequence, default=NONE)

    def _name(self, slot: Slot) -> str:
        return self._setting.operation(slot.object).name

    def _give_back_extents(self, state: State) -> Iterator[Step]:
        full = [extent for extent in _unowned(state) if state.heap[extent] != NONE]
        if full and self._setting.protocol.unowned_given_back:
            yield f"restart: extent {full[0]}, which no slot owns, is punched", state.with_bytes(full[0], NONE)

    def _answer_heads(self, state: State) -> Iterator[Step]:
        unanswered = {client for client, _ in state.store.outbox}
        for client, packets in enumerate(state.requests):
            if packets and client not in unanswered and 0 < packets[0].number <= state.rows[client]:
                yield from self._writes.next(*answer_seen_again(self._setting, state, client))
                return


def answer_seen_again(setting: Setting, state: State, client: int) -> tuple[State, Task]:
    """The packet at the head of a queue was handled before: what the slots say of it.

    Returns:
        The state, in which only what no process knows has changed, and the task.
    """
    request = head(state, client)
    caller = Caller(client, request.number)
    number = _slot_that_tells(state, caller, request.kind)
    answer = Answer(request.number, Said.AGAIN if setting.protocol.unknown_is_asked_again else Said.DONE)
    if number != NONE and request.kind is Kind.RESERVE:
        reservation = Reservation(number, caller, state.slots[number].extent)
        answer = Answer(request.number, Said.RESERVED, reservation)
    elif number != NONE:
        answer = Answer(request.number, Said.DONE)
        state = _with_delete_in_order(setting, state, request, state.slots[number].object)
    return state, Task((Write.ANSWER, Write.CONSUME), client, answer=answer)


def _slot_that_tells(state: State, caller: Caller, kind: Kind) -> int:
    if kind is Kind.DELETE:
        ended = (n for n, slot in enumerate(state.slots) if slot.ender == caller and slot.state is SlotState.DYING)
        return next(ended, NONE)
    return state.slot_made_by(caller, *((SlotState.RESERVED,) if kind is Kind.RESERVE else SEALED))


def _with_delete_in_order(setting: Setting, state: State, request: Request, ended: int) -> State:
    # A Delete may have got as far as its ender word when the store died, and then a put overwrote the object: the
    # Delete is taken for done.  So it is, for its call was under way: it counts as done just before that put.
    name = setting.operation(request.operation).name
    if request.kind is Kind.DELETE and request.operation not in state.applied_to(name):
        return state.with_applied(name, request.operation, after=ended)
    return state


def _raise_rows(state: State) -> Iterator[Step]:
    told = [slot.maker for slot in state.slots if slot.state in MADE]
    told += [slot.ender for slot in state.slots if slot.state is SlotState.DYING]
    for client, row in enumerate(state.rows):
        highest = max((caller.number for caller in told if caller.client == client), default=0)
        if highest > row:
            yield f"restart: row of C{client} says {highest}", state.with_row(client, highest)
            return


def _resolve_twins(state: State) -> Iterator[Step]:
    sealed = {slot.extent for slot in state.slots if slot.state in SEALED}
    for number, slot in enumerate(state.slots):
        if slot.state is SlotState.RESERVED and slot.extent in sealed:
            yield f"restart: slot {number} was committed: FREE", state.with_slot(number, FREE_SLOT)
            return


def _unowned(state: State) -> list[int]:
    owned = {slot.extent for slot in state.slots if slot.state in MADE}
    return [extent for extent in range(len(state.heap)) if extent not in owned]


def _with_allocator(state: State) -> State:
    return state.with_store(free_extents=frozenset(e for e in _unowned(state) if state.heap[e] == NONE))
