"""What clients do, request by request, with a crash between any two actions: looked at, held against before and after."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from crashed import Crashed, check, facts, spend
from pure_store import PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.tables.layout import LIVE, generation_of, slot_of
from jupyter_shm.tables.prefix import pack_prefix


class Moment(NamedTuple):
    """What clients could tell of a store that has been restored."""

    names: frozenset[tuple[str, int]]  # with ids
    anonymous: frozenset[int]  # ids
    reserved: frozenset[tuple[int, int]]  # ids of client and reservation
    applied: dict[int, int]  # by id of the client, as the rows say when they have been raised


class History:
    """Clients of a store that could die after any action, and of which nothing may be lost.

    Args:
        store: Without a process.
        is_of_interest: Is the store to die after this action, the how manieth of this step it is?
    """

    def __init__(self, store: PureStore, is_of_interest: Callable[[int], bool] = lambda _: True) -> None:
        self.store = store
        self.is_of_interest = is_of_interest
        self.data: dict[int, bytes] = {}  # of every object that was ever committed, by id
        self.filled: dict[int, bytes] = {}  # by id of the reservation
        self.told: set[int] = set()  # every id that a client ever learned
        self.crashes = 0
        self._moments: list[Moment] = []
        self._actions = 0
        self._pending = b""  # what is being committed
        self._random = random.Random(1)
        store.on_action = self._look

    # --- what clients do --------------------------------------------------------------------------------------------

    def ask(self, client: PureClient, kind: type, *fields: object) -> Any:
        """One request: at every moment it has happened, or not, and its number says which."""
        number = client._number + 1
        answer = self._step(lambda: client.ask(kind, *fields))
        self._learn(answer)
        before, *between, after = (_seen_by(client, moment) for moment in self._moments)
        numbers = [moment.applied.get(client.id, 0) for moment in self._moments[1:]]
        for moment, applied in zip((*between, after), numbers, strict=True):
            assert moment in {before, after}, "half a request"
            if before != after:
                assert (applied >= number) == (moment == after), "its number says something else"
        return answer

    def put(self, client: PureClient, name: str, nbytes: int = 300, contained: tuple[int, ...] = ()) -> int | None:
        """Reserve, fill and commit; the id, or ``None`` when it was refused."""
        reserved = self.reserve(client, nbytes)
        return None if reserved is None else self.commit(client, reserved.id, name, contained)

    def reserve(self, client: PureClient, nbytes: int) -> m.Reserved | None:
        reserved = self.ask(client, m.Reserve, nbytes)
        return reserved if isinstance(reserved, m.Reserved) else None

    def commit(self, client: PureClient, id: int, name: str, contained: tuple[int, ...] = ()) -> int | None:
        entry = self.store.ledger.reservations[id]
        data = pack_prefix(contained, b"") + self.filled.pop(id)[64:]
        assert len(data) <= entry.extent, "these containment lists fit one line"
        self.store.heap[entry.offset : entry.offset + len(data)] = self._pending = data
        answer = self.ask(client, m.Commit, id, name, len(data), 8, 1, True)
        if not isinstance(answer, m.Committed):
            self.filled[id] = data
            return None
        return answer.id

    def tell(self, client: PureClient, message: m.Request) -> None:
        """A message that has no answer: what it ends, it ends once, and it changes no name."""
        self._step(lambda: client.send(message))
        self._check_endings()

    def hang_up(self, client: PureClient) -> None:
        """A client goes."""
        self._step(client.hang_up)
        self._check_endings()

    def advance(self, seconds: float) -> None:
        """Time goes on."""
        self._step(lambda: self.store.advance(seconds))
        for client in self.store.clients.values():
            answers, client.answers = client.answers, []
            for answer in answers:
                self._learn(answer)
        assert all(moment.names == self._moments[0].names for moment in self._moments)

    def _check_endings(self) -> None:
        names, anonymous, reserved, _ = self._moments[0]
        for moment in self._moments:
            assert moment.names == names
            assert moment.anonymous <= anonymous
            assert moment.reserved <= reserved
            _, anonymous, reserved, _ = moment

    def _learn(self, answer: object) -> None:
        if isinstance(answer, (m.Committed, m.Reserved)):
            self.told.add(answer.id)
        if isinstance(answer, m.Committed):
            self.data[answer.id] = self._pending
        if isinstance(answer, m.Reserved) and answer.id not in self.filled:
            nbytes = self.store.ledger.reservations[answer.id].extent
            self.filled[answer.id] = data = self._random.randbytes(nbytes)
            self.store.heap[answer.offset : answer.offset + nbytes] = data

    # --- crashes ----------------------------------------------------------------------------------------------------

    def _step(self, do: Callable[[], Any]) -> Any:
        self._moments, self._actions = [self.crash()], 0
        try:
            return do()
        finally:
            self._moments.append(self.crash())

    def _look(self, _action: a.Action) -> None:
        self._actions += 1
        if self.is_of_interest(self._actions):
            self._moments.append(self.crash())

    def crash(self) -> Moment:
        """Look what would be if the store died now."""
        self.crashes += 1
        crashed = Crashed(self.store)
        restored = check(crashed)
        ledger = restored.ledger
        for id, object in ledger.objects.items():
            data = self.data.get(id, self._pending)
            assert self.store.heap[object.offset : object.offset + object.nbytes] == data, "bytes were lost"
            known = self.store.ledger.objects.get(id)
            assert known is None or facts(known) == facts(object)
        for entry in ledger.reservations.values():
            data = self.filled.get(entry.id, b"")
            assert self.store.heap[entry.offset : entry.offset + len(data)] == data, "bytes were lost"
        for id in self.told:
            assert ledger._generations[slot_of(id)] >= generation_of(id), "an id would be given twice"
        welcomed = [client.id for client in self.store.clients.values() if client.welcome]
        assert restored.last_client >= max(welcomed, default=0)
        applied = dict(restored.applied)
        for client in self.store.core.clients:
            applied[client.id] = max(applied.get(client.id, 0), crashed.reader.row(client.row)[1])
        names = frozenset((name, object.id) for name, object in ledger.names.items())
        anonymous = frozenset(id for id, object in ledger.objects.items() if object.state == LIVE and not object.name)
        reserved = frozenset((entry.client, id) for id, entry in ledger.reservations.items())
        moment = Moment(names, anonymous, reserved, applied)
        spend(ledger, self._random.shuffle)
        return moment


def _seen_by(client: PureClient, moment: Moment) -> tuple[frozenset, ...]:
    """What a request of this client may change; others may be granted room that they have waited for."""
    mine = frozenset(id for owner, id in moment.reserved if owner == client.id)
    return moment.names, moment.anonymous, mine
