"""A store that dies in the middle of anything, where most of what there is was promised first."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import initialize, precondition, rule
from pure_store import MIB
from test_restore_machine import CRASH, PHASES, PICK, ROOMY, SIZES, RestoreMachine

from jupyter_shm.store.extents import LARGE


class PendingMachine(RestoreMachine):
    @initialize(slots=st.sampled_from([7, 1000]))
    def begin(self, slots: int) -> None:
        super().begin(slots, ROOMY, 0, 16 * MIB)
        self.join(1)
        for pick in range(3):
            self.pend(pick, 0, is_held=True)
        if slots > 7:
            for client in self.clients:
                self.history.open_nursery(client, 4 * LARGE, 6)

    @precondition(lambda self: self._pendings())
    @rule(pick=PICK, nbytes=SIZES, other=PICK, crash=CRASH)
    def make_of_another(self, pick: int, nbytes: int, other: int, crash: int) -> None:
        """Which may still have to be made, and may contain it."""
        ids = self._pendings()
        known = list(self.store.ledger.objects)
        self.make(pick, nbytes, {known.index(ids[other % len(ids)])}, crash)

    @precondition(lambda self: self._pendings())
    @rule(pick=PICK, name=st.sampled_from(["a", ""]), other=PICK, crash=CRASH)
    def contain(self, pick: int, name: str, other: int, crash: int) -> None:
        ids = self._pendings()
        known = list(self.store.ledger.objects)
        self.put(pick, name, 300, {known.index(ids[other % len(ids)])}, crash)

    @precondition(lambda self: self._pendings() and self.history.nurseries)
    @rule(pick=PICK, nbytes=st.sampled_from([64, 300, LARGE]), inner=st.sets(PICK, max_size=2), crash=CRASH)
    def make_of_a_piece(self, pick: int, nbytes: int, inner: set[int], crash: int) -> None:
        """By the client that is to do it, if it has a nursery."""
        known = self.store.ledger.objects
        for nursery in list(self.history.nurseries.values()):
            mine = [id for id in self._pendings() if known[id].client == nursery.client.id]
            if mine and nursery.client in self._able():
                self.history.cut(nursery, nbytes)
                pieces = [piece for piece in self._open() if piece.nursery == nursery.id]
                self.crash_at = crash
                if pieces:
                    self.history.fulfil_with_piece(mine[pick % len(mine)], pieces[-1], self._inner(inner))
                return


TestPendingMachine = PendingMachine.TestCase
TestPendingMachine.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, report_multiple_bugs=False, phases=PHASES
)
