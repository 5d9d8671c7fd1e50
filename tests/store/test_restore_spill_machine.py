"""Any history in which objects leave for the spill heap, and a store that dies somewhere in the middle of each step."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import initialize, precondition, rule
from pure_store import MIB
from test_restore_machine import CRASH, NAMES, PHASES, PICK, ROOMY, NurseryMachine, RestoreMachine

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.extents import LARGE, PAGE
from jupyter_shm.store.reclaim import GRACE


class SpillMachine(RestoreMachine):
    @initialize(disk=st.sampled_from([3 * LARGE, 16 * MIB]))
    def begin(self, disk: int) -> None:
        super().begin(1000, 4 * LARGE // PAGE + 4, 0, disk)
        self.join(1)
        for name in ("a", "b", "c"):
            self.history.put(self.clients[0], name, LARGE)

    @rule(pick=PICK, name=st.sampled_from([*NAMES, "c", "d"]), nbytes=st.sampled_from([LARGE, 2 * LARGE]), crash=CRASH)
    def put_large(self, pick: int, name: str, nbytes: int, crash: int) -> None:
        """A put for which others leave, if they can."""
        client, self.crash_at = self._who(pick), crash
        known = set(self.store.ledger.reservations)
        if self.history.reserve(client, nbytes) is None:
            self.crash_at = crash
            self.history.advance(3 * GRACE)
        for id in self.store.ledger.reservations.keys() - known:
            if client in self._able() and self.store.ledger.reservations[id].client == client.id:
                self.crash_at = crash
                self.history.commit(client, id, name)

    @precondition(lambda self: self.store.core._spilling._leaving)
    @rule(crash=CRASH)
    def end_one_that_leaves(self, crash: int) -> None:
        self.crash_at = crash
        id = next(iter(self.store.core._spilling._leaving))
        object = self.store.ledger.objects[id]
        for client in self._able()[:1]:
            self.history.ask(client, m.Delete, object.name, id)

    @rule(pick=PICK, name=st.sampled_from(["c", "d"]))
    def lease_another(self, pick: int, name: str) -> None:
        client = self._who(pick)
        id = client.lease(name)
        self.leases += [] if id is None else [(client, id)]


class SpillNurseryMachine(NurseryMachine):
    """What leaves was cut out of nurseries, which are still open."""

    @initialize(left=st.sampled_from([4, 5, 6]))
    def begin(self, left: int) -> None:
        RestoreMachine.begin(self, 1000, ROOMY, 0, 16 * MIB)
        self.join(1)
        # Nurseries are for stores of some size: most of this one is somebody's.
        self.store.connect("big.ipynb").reserve(ROOMY * PAGE - left * LARGE)
        for client in self.clients:
            self.history.open_nursery(client, 2 * LARGE, 6)

    @rule(pick=PICK, name=st.sampled_from(NAMES), crash=CRASH)
    def put_large(self, pick: int, name: str, crash: int) -> None:
        """One is cut and published; the next reservation makes it leave."""
        self.crash_at = crash
        client = self._who(pick)
        nursery = next((one for one in self.history.nurseries.values() if one.client is client), None)
        if nursery is None:
            self.history.open_nursery(client, 2 * LARGE, 6)
            return
        self.history.cut(nursery, LARGE)
        mine = [piece for piece in self._open() if piece.nursery == nursery.id and piece.nbytes == LARGE]
        if mine:
            self.history.commit_piece(mine[-1], name)

    @rule(pick=PICK, nbytes=st.sampled_from([LARGE, 2 * LARGE]), crash=CRASH)
    def make_others_leave(self, pick: int, nbytes: int, crash: int) -> None:
        client, self.crash_at = self._who(pick), crash
        known = set(self.store.ledger.reservations)
        if self.history.reserve(client, nbytes) is None:
            self.crash_at = crash
            self.history.advance(3 * GRACE)
        for id in self.store.ledger.reservations.keys() - known:
            if client in self._able():
                self.crash_at = crash
                self.history.tell(client, m.Abandon(id))


TestSpillNurseryMachine = SpillNurseryMachine.TestCase
TestSpillNurseryMachine.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, report_multiple_bugs=False, phases=PHASES
)
TestSpillRestoreMachine = SpillMachine.TestCase
TestSpillRestoreMachine.settings = settings(
    max_examples=80, stateful_step_count=30, deadline=None, report_multiple_bugs=False, phases=PHASES
)
