"""Any history, and a store that dies somewhere in the middle of each of its steps: nothing is lost, nothing half done."""

from __future__ import annotations

import hypothesis.strategies as st
from histories import History
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from pure_store import MIB, PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.extents import LARGE, PAGE
from jupyter_shm.store.reclaim import GRACE, LAST_BACKOFF

NAMES = ("a", "b", "")
SIZES = st.sampled_from([64, 300, 2000, PAGE, LARGE])
PICK = st.integers(0, 1000)  # which of those that there are
CRASH = st.integers(0, 12)  # after which action of this step the store dies; 0: between two steps
# Not `shrink` and `explain`: a failing machine has to print its example within faulthandler's minute.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


class RestoreMachine(RuleBasedStateMachine):
    @initialize(slots=st.sampled_from([6, 1000]), pages=st.sampled_from([40, 1000]))
    def begin(self, slots: int, pages: int) -> None:
        self.crash_at = 0
        self.store = PureStore(pages * PAGE, 32 * MIB, slots)
        self.history = History(self.store, lambda action: action == self.crash_at)
        self.clients: list[PureClient] = []
        self.leases: list[tuple[PureClient, int]] = []
        self.join(1)

    def _able(self) -> list[PureClient]:
        """Those whose last request was answered: whatever else they send would have to wait."""
        return [client for client in self.clients if not client.unanswered]

    def _who(self, pick: int) -> PureClient:
        if not self._able():
            self.history.advance(5.0)
        able = self._able()
        return able[pick % len(able)]

    def _reserved(self) -> list[tuple[PureClient, int]]:
        able = {client.id: client for client in self._able()}
        entries = self.store.ledger.reservations
        return [(able[entry.client], id) for id, entry in entries.items() if entry.client in able]

    def _inner(self, picks: set[int]) -> tuple[int, ...]:
        known = list(self.store.ledger.objects)
        return tuple({known[pick % len(known)] for pick in picks}) if known else ()

    @precondition(lambda self: len(self.clients) < 4)
    @rule(crash=CRASH)
    def join(self, crash: int) -> None:
        self.crash_at = crash
        self.clients.append(self.store.connect(f"{len(self.clients)}.ipynb"))

    @precondition(lambda self: len(self.clients) > 1)
    @rule(pick=PICK, crash=CRASH)
    def hang_up(self, pick: int, crash: int) -> None:
        self.crash_at = crash
        client = self.clients[pick % len(self.clients)]
        self.clients.remove(client)
        self.leases = [lease for lease in self.leases if lease[0] is not client]
        self.history.hang_up(client)

    @rule(pick=PICK, nbytes=SIZES, crash=CRASH)
    def reserve(self, pick: int, nbytes: int, crash: int) -> None:
        self.crash_at = crash
        self.history.reserve(self._who(pick), nbytes)

    @rule(pick=PICK, name=st.sampled_from(NAMES), nbytes=SIZES, inner=st.sets(PICK, max_size=2), crash=CRASH)
    def put(self, pick: int, name: str, nbytes: int, inner: set[int], crash: int) -> None:
        self.crash_at = crash
        self.history.put(self._who(pick), name, nbytes, self._inner(inner))

    @precondition(lambda self: self._reserved())
    @rule(pick=PICK, name=st.sampled_from(NAMES), inner=st.sets(PICK, max_size=2), crash=CRASH)
    def commit(self, pick: int, name: str, inner: set[int], crash: int) -> None:
        self.crash_at = crash
        able = self._reserved()
        self.history.commit(*able[pick % len(able)], name, self._inner(inner))

    @precondition(lambda self: self._reserved())
    @rule(pick=PICK, crash=CRASH)
    def abandon(self, pick: int, crash: int) -> None:
        self.crash_at = crash
        able = self._reserved()
        client, id = able[pick % len(able)]
        self.history.tell(client, m.Abandon(id))

    @rule(pick=PICK, back=st.integers(0, 6), crash=CRASH)
    def cancel(self, pick: int, back: int, crash: int) -> None:
        client, self.crash_at = self._who(pick), crash
        self.history.tell(client, m.Cancel(max(0, client._number - back)))

    @rule(pick=PICK, name=st.sampled_from(NAMES), by_id=st.booleans(), crash=CRASH)
    def delete(self, pick: int, name: str, by_id: bool, crash: int) -> None:
        self.crash_at = crash
        known = list(self.store.ledger.objects)
        id = known[pick % len(known)] if known and (by_id or not name) else 0
        self.history.ask(self._who(pick), m.Delete, name, id)

    @precondition(lambda self: self.store.ledger.objects)
    @rule(pick=PICK, crash=CRASH)
    def drop(self, pick: int, crash: int) -> None:
        self.crash_at = crash
        known = list(self.store.ledger.objects.values())
        object = known[pick % len(known)]
        for client in self._able():
            if client.id == object.client:
                self.history.tell(client, m.Drop(object.id))

    @rule(pick=PICK, name=st.sampled_from(NAMES[:2]))
    def lease(self, pick: int, name: str) -> None:
        client = self._who(pick)
        id = client.lease(name)
        self.leases += [] if id is None else [(client, id)]

    @precondition(lambda self: self.leases)
    @rule(pick=PICK)
    def let_go(self, pick: int) -> None:
        client, id = self.leases.pop(pick % len(self.leases))
        client.let_go(id)

    @rule(seconds=st.sampled_from([GRACE / 2, GRACE, 1.0, 2 * LAST_BACKOFF]), crash=CRASH)
    def later(self, seconds: float, crash: int) -> None:
        self.crash_at = crash
        self.history.advance(seconds)

    def teardown(self) -> None:
        if hasattr(self, "history"):
            self.history.crash()


TestRestoreMachine = RestoreMachine.TestCase
TestRestoreMachine.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, report_multiple_bugs=False, phases=PHASES
)
