"""Any history, and a store that dies somewhere in the middle of each of its steps: nothing is lost, nothing half done."""

from __future__ import annotations

import hypothesis.strategies as st
from histories import History
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from pure_parts import Piece
from pure_store import MIB, PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.entries import Nursery
from jupyter_shm.store.extents import HUGE, LARGE, PAGE
from jupyter_shm.store.reclaim import GRACE, LAST_BACKOFF
from jupyter_shm.tables.layout import KERNEL_LIFETIME, PINNED, slot_of

NAMES = ("a", "b", "")
ROOMY = 17_000  # pages: from here on there are nurseries
SIZES = st.sampled_from([64, 300, 2000, PAGE, LARGE])
TTLS = st.sampled_from([0, 1, 5_000_000, 2_000_000_000, 10**18])  # nanoseconds
TERMS = st.tuples(st.integers(0, PINNED | KERNEL_LIFETIME), TTLS)
PICK = st.integers(0, 1000)  # which of those that there are
CRASH = st.integers(0, 12)  # after which action of this step the store dies; 0: between two steps
# Not `shrink` and `explain`: a failing machine has to print its example within faulthandler's minute.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


class RestoreMachine(RuleBasedStateMachine):
    @initialize(
        slots=st.sampled_from([6, 1000]),
        pages=st.sampled_from([40, 1000, ROOMY, ROOMY]),
        reserve=st.sampled_from([0, HUGE]),
        disk=st.sampled_from([0, 3 * LARGE, 16 * MIB]),
    )
    def begin(self, slots: int, pages: int, reserve: int, disk: int) -> None:
        self.crash_at = 0
        self.store = PureStore(pages * PAGE, 128 * MIB, slots, disk)
        self.store.ledger.warm.target = reserve
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
        plain = {id: entry for id, entry in self.store.ledger.reservations.items() if not isinstance(entry, Nursery)}
        return [(able[entry.client], id) for id, entry in plain.items() if entry.client in able]

    def _open(self) -> list[Piece]:
        """Pieces of clients who may send something."""
        nurseries, able = self.history.nurseries, self._able()
        return [piece for piece, _ in self.history.open.values() if nurseries[piece.nursery].client in able]

    def _nurseries(self) -> list[int]:
        able = self._able()
        return [id for id, nursery in self.history.nurseries.items() if nursery.client in able]

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

    @rule(pick=PICK, name=st.sampled_from(NAMES[:2]), terms=TERMS, crash=CRASH)
    def put_on_terms(self, pick: int, name: str, terms: tuple[int, int], crash: int) -> None:
        self.crash_at = crash
        client = self._who(pick)
        pieces = [one for one in self._open() if self.history.nurseries[one.nursery].client is client]
        if pieces and pick % 2:
            self.history.commit_piece(pieces[0], name, terms=terms)
        else:
            self.history.put(client, name, terms=terms)

    @rule(pick=PICK, name=st.sampled_from(NAMES[:2]), ttl=TTLS, is_pinned=st.none() | st.booleans(), crash=CRASH)
    def agree(self, pick: int, name: str, ttl: int, is_pinned: bool | None, crash: int) -> None:
        self.crash_at = crash
        kind, value = (m.Expire, ttl) if is_pinned is None else (m.Pin, is_pinned)
        self.history.ask(self._who(pick), kind, name, 0, value)

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

    # --- what is made later -------------------------------------------------------------------------------------------

    def _pendings(self) -> list[int]:
        """Ids of what is still to be made, and of one that is not."""
        known = self.store.ledger.objects
        return [id for id, one in known.items() if one.is_pending] + list(known)[:1]

    @rule(pick=PICK, crash=CRASH, is_held=st.booleans())
    def pend(self, pick: int, crash: int, is_held: bool) -> None:
        self.crash_at = crash
        client = self._who(pick)
        answer = self.history.ask(client, m.Pend)
        if is_held and isinstance(answer, m.Pended) and client.lease_id(answer.id):
            self.leases.append((client, answer.id))

    @precondition(lambda self: self._pendings())
    @rule(pick=PICK)
    def hold(self, pick: int) -> None:
        client, ids = self._who(pick), self._pendings()
        id = ids[pick % len(ids)] if ids else 0
        busy = {slot_of(held) for one, held in self.leases if one is client and held != id}
        if id and slot_of(id) not in busy and client.lease_id(id):
            self.leases.append((client, id))

    @precondition(lambda self: self._pendings() and self._reserved())
    @rule(pick=PICK, other=PICK, inner=st.sets(PICK, max_size=2), crash=CRASH)
    def fulfil(self, pick: int, other: int, inner: set[int], crash: int) -> None:
        self.crash_at = crash
        able, ids = self._reserved(), self._pendings()
        self.history.fulfil(
            able[pick % len(able)][0], ids[other % len(ids)], able[pick % len(able)][1], self._inner(inner)
        )

    @precondition(lambda self: self._pendings())
    @rule(pick=PICK, nbytes=SIZES, inner=st.sets(PICK, max_size=2), crash=CRASH)
    def make(self, pick: int, nbytes: int, inner: set[int], crash: int) -> None:
        """Whoever is to make one does so."""
        able = {client.id: client for client in self._able()}
        known = self.store.ledger.objects
        ids = [id for id in self._pendings() if known[id].client in able]
        if ids:
            client = able[known[ids[pick % len(ids)]].client]
            reserved = self.history.reserve(client, nbytes)
            self.crash_at = crash
            if reserved is not None:
                self.history.fulfil(client, ids[pick % len(ids)], reserved.id, self._inner(inner))

    @precondition(lambda self: self._pendings() and self._open())
    @rule(pick=PICK, other=PICK, inner=st.sets(PICK, max_size=2), crash=CRASH)
    def fulfil_with_piece(self, pick: int, other: int, inner: set[int], crash: int) -> None:
        self.crash_at = crash
        able, ids = self._open(), self._pendings()
        self.history.fulfil_with_piece(ids[other % len(ids)], able[pick % len(able)], self._inner(inner))

    # --- nurseries and rings ------------------------------------------------------------------------------------------

    @rule(pick=PICK, nbytes=st.sampled_from([LARGE, LARGE + 4 * PAGE]), slots=st.integers(1, 5), crash=CRASH)
    def open_nursery(self, pick: int, nbytes: int, slots: int, crash: int) -> None:
        self.crash_at = crash
        self.history.open_nursery(self._who(pick), nbytes, slots)

    @precondition(lambda self: self.history.nurseries)
    @rule(pick=PICK, sizes=st.lists(st.sampled_from([64, 300, PAGE, 3 * PAGE + 1]), min_size=1, max_size=3))
    def cut(self, pick: int, sizes: list[int]) -> None:
        nurseries = list(self.history.nurseries.values())
        for nbytes in sizes:
            self.history.cut(nurseries[pick % len(nurseries)], nbytes)

    @precondition(lambda self: self._open())
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), is_told=st.booleans(), crash=CRASH)
    def write(self, picks: list[int], is_told: bool, crash: int) -> None:
        for number, pick in enumerate(picks, 1):
            able = self._open()
            if able:
                self.crash_at = crash
                self.history.write(able[pick % len(able)], is_told and number == len(picks))

    @precondition(lambda self: self._open())
    @rule(pick=PICK, name=st.sampled_from(NAMES), inner=st.sets(PICK, max_size=2), crash=CRASH)
    def commit_piece(self, pick: int, name: str, inner: set[int], crash: int) -> None:
        self.crash_at = crash
        able = self._open()
        self.history.commit_piece(able[pick % len(able)], name, self._inner(inner))

    @precondition(lambda self: any(client in self._able() for client in self.history.alive.values()))
    @rule(pick=PICK, is_told=st.booleans(), crash=CRASH)
    def write_drop(self, pick: int, is_told: bool, crash: int) -> None:
        self.crash_at = crash
        able = self._able()
        ids = [id for id, client in self.history.alive.items() if client in able]
        self.history.write_drop(ids[pick % len(ids)], is_told)

    @precondition(lambda self: self._nurseries())
    @rule(pick=PICK, crash=CRASH)
    def abandon_nursery(self, pick: int, crash: int) -> None:
        self.crash_at = crash
        ids = self._nurseries()
        id = ids[pick % len(ids)]
        self.history.tell(self.history.nurseries[id].client, m.Abandon(id))

    @precondition(lambda self: self.store.warming)
    @rule(came=st.sampled_from([(1, 0), (0, 1), (0, 0)]), crash=CRASH)
    def warmed(self, came: tuple[int, int], crash: int) -> None:
        self.crash_at = crash
        self.history.warmed(*came)

    # --- ends ---------------------------------------------------------------------------------------------------------

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


class NurseryMachine(RestoreMachine):
    """The same, where everybody has a nursery, and most objects come out of one."""

    @initialize(reserve=st.sampled_from([0, HUGE, 4 * HUGE]))
    def begin(self, reserve: int) -> None:
        super().begin(1000, ROOMY, reserve, 16 * MIB)
        self.join(1)
        for client in self.clients:
            self.history.open_nursery(client, 4 * LARGE, 6)

    @rule(pick=PICK, nbytes=st.sampled_from([300, 3 * PAGE, LARGE]), left=st.integers(0, 2), crash=CRASH)
    def put_small(self, pick: int, nbytes: int, left: int, crash: int) -> None:
        """One is told of; some before it are not, or not yet."""
        self.crash_at = crash
        client = self._who(pick)
        nursery = next((one for one in self.history.nurseries.values() if one.client is client), None)
        if nursery is None:
            self.history.open_nursery(client, 4 * LARGE, 6)
            return
        for _ in range(left + 1):
            self.history.cut(nursery, nbytes)
        mine = [piece for piece in self._open() if piece.nursery == nursery.id]
        if mine:
            self.history.write(mine[-1], is_told=pick % 3 > 0)
        else:
            self.history.tell(client, m.Abandon(nursery.id))

    @precondition(lambda self: self.history.alive)
    @rule(crash=CRASH, seconds=st.sampled_from([0.0, GRACE]))
    def drop_all(self, crash: int, seconds: float) -> None:
        """What was freed is anybody's, and soon somebody's."""
        self.crash_at = crash
        able = self._able()
        for id, client in tuple(self.history.alive.items()):
            if client in able:
                self.history.write_drop(id, is_told=True)
        self.history.advance(seconds)
        if able:
            self.history.reserve(able[-1], LARGE)


TestRestoreMachine = RestoreMachine.TestCase
TestRestoreMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, report_multiple_bugs=False, phases=PHASES
)
TestNurseryMachine = NurseryMachine.TestCase
TestNurseryMachine.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, report_multiple_bugs=False, phases=PHASES
)
