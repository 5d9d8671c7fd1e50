"""The whole store against a dict once more, where there is room for four objects, and a disk for more.

Copies are made when the machine says so, and may fail; readers come at any step of them.
"""

from __future__ import annotations

import hypothesis.strategies as st
from core_model import NAMES
from hypothesis import settings
from hypothesis.stateful import initialize, precondition, rule
from pure_store import MIB
from test_core_machine import PHASES, PICK, CoreMachine

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.admission import ROOM_PATIENCE
from jupyter_shm.store.extents import PAGE
from jupyter_shm.store.reclaim import GRACE

FEW = 70  # pages
LARGE = st.sampled_from([66_000, 66_000, 120_000])


class SpillMachine(CoreMachine):
    @initialize(disk=st.sampled_from([20 * PAGE, 40 * PAGE, 64 * MIB]), reserve=st.sampled_from([0, 4 * PAGE]))
    def begin(self, disk: int, reserve: int) -> None:
        super().begin(FEW, 1000, reserve, disk)
        for name in NAMES:
            self.put(0, name, 66_000, set())

    @rule(pick=PICK, name=st.sampled_from([*NAMES, ""]), nbytes=LARGE, inner=st.sets(PICK, max_size=1))
    def put_large(self, pick: int, name: str, nbytes: int, inner: set[int]) -> None:
        self.put(pick, name, nbytes, inner)

    @rule(pick=PICK, name=st.sampled_from([*NAMES, ""]), nbytes=LARGE)
    def put_and_wait(self, pick: int, name: str, nbytes: int) -> None:
        """A put for which others leave, if they can."""
        actor = self._who(pick)
        before = set(actor.reserved)
        number = self._post(actor, m.Reserve, nbytes)
        self.store.copies = True
        for _ in range(4):
            self.store.advance(GRACE)
        self.store.copies = False
        self._collect()
        if number in actor.pending:
            return
        for id in actor.reserved.keys() - before:
            self._commit(actor, id, name, overwrite=True, inner=set())

    @precondition(lambda self: self.store.core._spilling._leaving)
    @rule(pick=PICK, by_id=st.booleans())
    def ask_for_one_that_leaves(self, pick: int, by_id: bool) -> None:
        """It is in memory again before the answer is sent."""
        id = next(iter(self.store.core._spilling._leaving))
        actor = self._who(pick)
        object = self.store.ledger.objects.get(id)
        if object is None or not self._is_leaving(id):
            return
        if by_id or not object.name:
            answer = self._answer(actor, self._post(actor, m.Info, "", id))
            assert answer.object.state == "live"
        else:
            assert self._answer(actor, self._post(actor, m.Look, object.name)).id == id
        assert not self._is_leaving(id)

    @precondition(lambda self: self.store.core._spilling._leaving)
    @rule(pick=PICK)
    def end_one_that_leaves(self, pick: int) -> None:
        id = next(iter(self.store.core._spilling._leaving))
        name = self.store.ledger.objects[id].name
        self.delete(pick, name, by_id=False) if name else self.drop(list(self.kept).index(id))

    @rule(patience=st.sampled_from([GRACE, ROOM_PATIENCE]))
    def copies_are_made_for_a_while(self, patience: float) -> None:
        self.store.copies = True
        self.store.advance(patience)
        self.store.copies = False
        self._collect()


TestSpillMachine = SpillMachine.TestCase
TestSpillMachine.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, report_multiple_bugs=False, phases=PHASES
)
