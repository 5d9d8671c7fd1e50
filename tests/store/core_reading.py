"""What readers do in the model of the whole store: leases by name and by reference, and their ends."""

from __future__ import annotations

import hypothesis.strategies as st
from core_model import NAMES, CoreModel
from hypothesis.stateful import precondition, rule

from jupyter_shm.protocol import messages as m
from jupyter_shm.tables.layout import slot_of
from jupyter_shm.tables.leases import SENT

PICK = st.integers(0, 1000)  # which of those that there are


class Readers(CoreModel):
    """The rules of those who only read."""

    @rule(pick=PICK, name=st.sampled_from(NAMES))
    def begin_a_get(self, pick: int, name: str) -> None:
        actor = self.actors[pick % len(self.actors)]
        if actor.taking is None:
            actor.taking = actor.end.lease_steps(name)

    @rule(pick=PICK, name=st.sampled_from(NAMES))
    def get(self, pick: int, name: str) -> None:
        actor = self.actors[pick % len(self.actors)]
        if actor.taking is None:
            id = actor.end.lease(name)
            busy = {slot_of(one) for one in actor.leases}
            assert id == self.named.get(name) or (
                id is None and (slot_of(self.named[name]) in busy or self._is_leaving(self.named[name]))
            )
            actor.leases += [id] if id is not None else []

    @precondition(lambda self: any(actor.taking for actor in self.actors))
    @rule(pick=PICK, steps=st.integers(1, 3))
    def go_on_with_a_get(self, pick: int, steps: int) -> None:
        able = [actor for actor in self.actors if actor.taking]
        actor = able[pick % len(able)]
        for _ in range(steps):
            next(actor.taking, None)
        if actor.taking.is_over:
            if actor.taking.id is not None:
                assert self.store.ledger.objects[actor.taking.id].name == actor.taking.name
                actor.leases.append(actor.taking.id)
            actor.taking = None

    @precondition(lambda self: any(actor.leases and not actor.taking for actor in self.actors))
    @rule(pick=PICK, is_hint_lost=st.booleans())
    def let_go(self, pick: int, is_hint_lost: bool) -> None:
        able = [actor for actor in self.actors if actor.leases and not actor.taking]
        actor = able[pick % len(able)]
        id = actor.leases.pop(pick % len(actor.leases))
        if is_hint_lost or actor.end.is_ended:
            generation, count = actor.end.table.entry(slot_of(id))
            actor.end.table.write(slot_of(id), generation, count - 1 | (SENT if id in actor.end.sent else 0))
        else:
            actor.end.let_go(id)

    @precondition(lambda self: self.kept)
    @rule(pick=PICK, is_sent=st.booleans())
    def hold_a_reference(self, pick: int, is_sent: bool) -> None:
        """Of an anonymous object, whosever it is; and pickle it, perhaps."""
        actor = self.actors[pick % len(self.actors)]
        able = [id for id in self._alive() if not self.store.ledger.objects[id].name and self._is_live(id)]
        busy = {slot_of(one) for one in actor.leases}
        able = [id for id in able if id in actor.leases or slot_of(id) not in busy]
        if able and actor.taking is None and actor.end.lease_id(able[pick % len(able)]):
            id = able[pick % len(able)]
            actor.leases.append(id)
            if is_sent:
                actor.end.send_ref(id)

    @precondition(lambda self: self.kept)
    @rule(pick=PICK)
    def hint_for_nothing(self, pick: int) -> None:
        self._who(pick).end.send(m.Hint(list(self.kept)[pick % len(self.kept)]))
