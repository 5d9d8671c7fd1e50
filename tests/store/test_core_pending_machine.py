"""The whole store against a dict once more, where most of what there is was promised first."""

from __future__ import annotations

import hypothesis.strategies as st
from core_model import NAMES
from hypothesis import settings
from hypothesis.stateful import initialize, precondition, rule
from pure_store import MIB
from test_core_machine import PHASES, PICK, CoreMachine

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.reclaim import GRACE


class PendingMachine(CoreMachine):
    @initialize(slots=st.sampled_from([7, 1000]))
    def begin(self, slots: int) -> None:
        super().begin(1000, slots, 0, 64 * MIB)
        self._join()
        for pick in range(3):
            self.promise(pick)

    @rule(pick=PICK)
    def promise(self, pick: int) -> None:
        """To somebody else, who holds it from now on."""
        known = set(self.pending)
        self.pend(pick, is_held=True)
        for id in self.pending.keys() - known:
            other = self.actors[(pick + 1) % len(self.actors)]
            if other.taking is None and other.end.lease_id(id):
                other.leases.append(id)

    @precondition(lambda self: self.pending)
    @rule(pick=PICK, inner=st.sets(PICK, max_size=2))
    def make(self, pick: int, inner: set[int]) -> None:
        self.fulfil(pick, 0, is_its_own=True, inner=inner)

    @precondition(lambda self: self.pending)
    @rule(pick=PICK, name=st.sampled_from([*NAMES, ""]))
    def contain(self, pick: int, name: str) -> None:
        """In what is put then, and may itself be contained in what is promised."""
        id = list(self.pending)[pick % len(self.pending)]
        self.put(pick, name, 300, {list(self.kept).index(id)})

    @precondition(lambda self: self.pending)
    @rule(pick=PICK, other=PICK)
    def stand_for_another(self, pick: int, other: int) -> None:
        ids = list(self.pending)
        self.fulfil(pick, 0, is_its_own=True, inner={list(self.kept).index(ids[other % len(ids)])})

    @precondition(lambda self: self.pending)
    @rule(pick=PICK)
    def ask_for_one_that_ends(self, pick: int) -> None:
        """Who holds it may just not have been seen: it comes back."""
        ending = [id for id in self.pending if id in self.store.ledger.objects and not self._is_live(id)]
        actor = self._who(pick)
        for id in ending:
            if not self._is_live(id) and id in self.store.ledger.objects:
                answer = self._answer(actor, self._post(actor, m.Info, "", id))
                assert isinstance(answer, m.Refused) or answer.object.state in {"pending", "lost"}

    @rule()
    def a_grace_later(self) -> None:
        self.store.advance(GRACE)
        self._collect()


TestPendingMachine = PendingMachine.TestCase
TestPendingMachine.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, report_multiple_bugs=False, phases=PHASES
)
