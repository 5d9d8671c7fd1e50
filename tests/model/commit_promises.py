"""What the name protocol promises, as questions to one state: which promise does it break?  No steps, no I/O here.

"Older" and "newer" mean the order in which the store took the operations.  An operation whose call has returned
although the store has not taken it is newer than everything that the store has taken.
"""

from __future__ import annotations

from .commit_state import NONE, ReaderPhase, Scenario, SlotState, State, Verb


class Promises:
    """The promises about the states of one scenario.

    Args:
        scenario: The operations, by whose numbers a state names objects.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario

    def violated(self, state: State) -> str | None:
        """Name the first promise that ``state`` breaks; None if it keeps them all."""
        return self.foreign(state) or self.stale(state) or self.garbage(state) or self.shared_extent(state)

    def foreign(self, state: State) -> str | None:
        """No get yields an object that was put under another name."""
        reader = state.reader
        if reader.phase is ReaderPhase.HOLDING and self._scenario[reader.object].name != reader.name:
            return f"foreign: get {reader.name} yields {self.show(reader.object)}"
        return None

    def stale(self, state: State) -> str | None:
        """After a put (delete) that returned, no get yields the old value (the deleted one), or nothing at all."""
        reader = state.reader
        for newer in sorted(reader.floor):
            if reader.phase is ReaderPhase.HOLDING and self._is_newer(state, newer, reader.object):
                return f"stale: get yields {self.show(reader.object)} after {self.show(newer)} returned"
            if reader.phase is ReaderPhase.NOT_FOUND and not self._may_be_deleted(state, newer):
                return f"stale: get finds nothing after {self.show(newer)} returned"
        return None

    def garbage(self, state: State) -> str | None:
        """The bytes of every object that is LIVE or held, and of all that it contains, are there."""
        needed = {slot.object for slot in state.slots if slot.state is SlotState.LIVE}
        if state.reader.phase is ReaderPhase.HOLDING:
            needed.add(state.reader.object)
        for thing in sorted(needed):
            if not _is_intact(state, thing):
                return f"garbage: bytes that {self.show(thing)} needs were freed"
        return None

    def shared_extent(self, state: State) -> str | None:
        """No extent belongs to two slots, or to a slot and the allocator."""
        owned = [slot.extent for slot in state.slots if slot.state is not SlotState.FREE]
        owned += state.store.free_extents
        twice = sorted({extent for extent in owned if owned.count(extent) > 1})
        return f"shared extent: {twice} have two owners each" if twice else None

    def floor(self, state: State, name: str, returned: list[int]) -> frozenset[int]:
        """The newest of the operations on ``name`` among ``returned``, below which no get that begins now may fall.

        One, unless several have returned that the store has not taken: then nobody knows yet which is the newest.
        """
        here = [number for number in returned if self._scenario[number].name == name]
        return frozenset(old for old in here if not any(self._is_newer(state, new, old) for new in here))

    def show(self, number: int) -> str:
        """An operation, or the object that it made, for people."""
        operation = self._scenario[number]
        source = f"{operation.source} as " if operation.source else ""
        return f"#{number} ({operation.verb.value} {source}{operation.name})"

    def _is_newer(self, state: State, newer: int, older: int) -> bool:
        applied = state.applied_to(self._scenario[older].name)
        return older in applied and older not in applied[_place(applied, newer) :]

    def _may_be_deleted(self, state: State, made: int) -> bool:
        applied = state.applied_to(self._scenario[made].name)
        return any(self._scenario[number].verb is Verb.DELETE for number in (made, *applied[_place(applied, made) :]))


def _place(applied: tuple[int, ...], operation: int) -> int:
    """Where ``operation`` stands, or will stand at the earliest if the store has not taken it."""
    return applied.index(operation) if operation in applied else len(applied)


def _is_intact(state: State, thing: int) -> bool:
    for slot in state.slots:
        if slot.object == thing and slot.state is not SlotState.FREE:
            contained_is_intact = slot.contains == NONE or _is_intact(state, slot.contains)
            return state.heap[slot.extent] == thing and contained_is_intact
    return False
