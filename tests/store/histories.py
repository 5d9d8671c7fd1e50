"""What clients do, request by request, with a crash between any two actions: looked at, held against before and after."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from crashed import Crashed, Revived, check, facts, nurseries_of, spend
from pure_parts import Nursery, Piece
from pure_store import PureClient, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store.entries import Object
from jupyter_shm.store.extents import rounded
from jupyter_shm.tables.layout import LIVE, PINNED, generation_of, slot_of
from jupyter_shm.tables.prefix import pack_prefix
from jupyter_shm.tables.terms import Terms


class Moment(NamedTuple):
    """What clients could tell of a store that has been restored."""

    names: frozenset[tuple[str, int]]  # with ids
    anonymous: frozenset[int]  # ids; when the rings have been read
    reserved: frozenset[tuple[int, int]]  # ids of client and reservation
    applied: dict[int, int]  # by id of the client, as the rows say when they have been raised
    terms: frozenset[tuple[int, int, int]]  # ids, flags and expiries of those that have a name
    pending: frozenset[int]  # those of the anonymous that are still to be made


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
        self.nurseries: dict[int, Nursery] = {}  # those that their clients still have, by id
        self.open: dict[int, tuple[Piece, bytes]] = {}  # cut, and not committed yet, by id
        self.alive: dict[int, PureClient] = {}  # ids that a ring has told of, and nobody has ended
        self.gone: set[int] = set()  # ids that a ring has dropped
        self.crashes = 0
        self._moments: list[Moment] = []
        self._actions = 0
        self._pending = b""  # what is being committed
        self._agreed: dict[int, Terms] = {}  # terms of all objects, before the step that is under way
        self._random = random.Random(1)
        store.on_action = self._look

    # --- what clients do --------------------------------------------------------------------------------------------

    def ask(self, client: PureClient, kind: type, *fields: object) -> Any:
        """One request: at every moment it has happened, or not, and its number says which."""
        number = client._number + 1
        self._let_go(client, kind(number, *fields))
        answer = self._step(lambda: client.ask(kind, *fields))
        self._learn(answer)
        before, *between, after = (_seen_by(client, moment) for moment in self._moments)
        numbers = [moment.applied.get(client.id, 0) for moment in self._moments[1:]]
        for moment, applied in zip((*between, after), numbers, strict=True):
            assert moment in {before, after}, "half a request"
            if before != after:
                is_done = moment == after
                # What is agreed is agreed again by the next store, which begins with that: it may be done already.
                is_done_again = kind in {m.Pin, m.Expire} and is_done
                assert (applied >= number) == is_done or is_done_again, "its number says something else"
        return answer

    def put(
        self,
        client: PureClient,
        name: str,
        nbytes: int = 300,
        contained: tuple[int, ...] = (),
        terms: tuple[int, int] = (0, 0),
    ) -> int | None:
        """Reserve, fill and commit; the id, or ``None`` when it was refused."""
        reserved = self.reserve(client, nbytes)
        return None if reserved is None else self.commit(client, reserved.id, name, contained, terms)

    def reserve(self, client: PureClient, nbytes: int) -> m.Reserved | None:
        reserved = self.ask(client, m.Reserve, nbytes)
        return reserved if isinstance(reserved, m.Reserved) else None

    def commit(
        self,
        client: PureClient,
        id: int,
        name: str,
        contained: tuple[int, ...] = (),
        terms: tuple[int, int] = (0, 0),
    ) -> int | None:
        entry = self.store.ledger.reservations[id]
        data = pack_prefix(contained, b"") + self.filled.pop(id)[64:]
        assert len(data) <= entry.extent, "these containment lists fit one line"
        self.store.heap[entry.offset : entry.offset + len(data)] = self._pending = data
        answer = self.ask(client, m.Commit, id, name, len(data), 8, 1, True, 0, 0, *(terms if name else (0, 0)))
        if not isinstance(answer, m.Committed):
            self.filled[id] = data
            return None
        return answer.id

    # --- what is made later -------------------------------------------------------------------------------------------

    def fulfil(self, client: PureClient, pending: int, id: int, contained: tuple[int, ...] = ()) -> bool:
        """Make a PENDING object of what is reserved: was it?"""
        entry = self.store.ledger.reservations[id]
        data = pack_prefix(contained, b"") + self.filled.pop(id)[64:]
        self.store.heap[entry.offset : entry.offset + len(data)] = self._pending = data
        is_made = isinstance(self.ask(client, m.Fulfil, pending, id, len(data), 8, 1), m.Done)
        if is_made:
            self.data[pending] = data
        else:
            self.filled[id] = data
        return is_made

    def fulfil_with_piece(self, pending: int, piece: Piece, contained: tuple[int, ...] = ()) -> bool:
        """The same, of a piece of a nursery."""
        client = self.nurseries[piece.nursery].client
        _, data = self.open.pop(piece.id)
        data = self._pending = pack_prefix(contained, b"") + data[64:]
        self.store.heap[piece.offset : piece.offset + len(data)] = data
        where = (piece.id, piece.offset)
        answer = self.ask(client, m.Fulfil, pending, piece.nursery, len(data), 8, 1, *where)
        if isinstance(answer, m.Done):
            self.data[pending] = data
            return True
        self.open[piece.id] = piece, data
        return False

    # --- nurseries and rings ------------------------------------------------------------------------------------------

    def open_nursery(self, client: PureClient, nbytes: int, slots: int) -> None:
        """Ask for a nursery, which may be refused."""
        answer = self.ask(client, m.ReserveNursery, nbytes, slots)
        if answer.id:
            self.nurseries[answer.id] = Nursery(client, answer)

    def cut(self, nursery: Nursery, nbytes: int) -> None:
        """Cut and fill a piece, if there is room.  From now on it is nobody else's, whatever dies."""
        data = pack_prefix((), b"") + self._random.randbytes(nbytes - 64)
        piece = nursery.try_cut(data)
        if piece is not None:
            self.open[piece.id] = piece, data
            self._step(lambda: None)

    def write(self, piece: Piece, is_told: bool) -> None:
        """Tell the ring of a piece, and perhaps the store of the ring: from now on it is there."""
        client = self.nurseries[piece.nursery].client

        def write() -> None:
            _, self.data[piece.id] = self.open.pop(piece.id)
            self.alive[client.write(piece)] = client
            if is_told:
                client.ring()

        self._step(write)
        assert self._moments[-1].anonymous == {*self._moments[0].anonymous, piece.id}

    def commit_piece(
        self, piece: Piece, name: str, contained: tuple[int, ...] = (), terms: tuple[int, int] = (0, 0)
    ) -> None:
        """Commit a piece by a message."""
        client = self.nurseries[piece.nursery].client
        _, data = self.open.pop(piece.id)
        data = self._pending = pack_prefix(contained, b"") + data[64:]
        self.store.heap[piece.offset : piece.offset + len(data)] = data
        facts = (name, len(data), 8, 1, True, piece.id, piece.offset, *(terms if name else (0, 0)))
        if not isinstance(self.ask(client, m.Commit, piece.nursery, *facts), m.Committed):
            self.open[piece.id] = piece, data

    def write_drop(self, id: int, is_told: bool) -> None:
        """Tell the ring that an object that it has told of is dropped: from now on it is not there."""
        client = self.alive.pop(id)

        def drop() -> None:
            client.write_drop(id)
            self.gone.add(id)
            if is_told:
                client.ring()

        self._step(drop)

    def warmed(self, huge: int, present: int) -> None:
        """The warmer is done: all of it huge, or small, or nothing."""
        nbytes = self.store.warming[0][1]
        self._step(lambda: self.store.warmed(huge * nbytes, present * nbytes))
        self._check_endings()

    def _let_go(self, client: PureClient, message: m.Request | None) -> None:
        """What a message, or a hang-up, may end is promised no more."""
        if isinstance(message, (m.Drop, m.Delete)):
            self.alive.pop(message.id, None)
        for id, nursery in tuple(self.nurseries.items()):
            ends = (
                message is None
                or (isinstance(message, m.Abandon) and message.reservation == id)
                or (isinstance(message, m.Cancel) and message.number == nursery.granted.number)
            )
            if nursery.client is client and ends:
                del self.nurseries[id]
                self.open = {one: entry for one, entry in self.open.items() if entry[0].nursery != id}
        if message is None:
            self.alive = {id: owner for id, owner in self.alive.items() if owner is not client}

    # --- messages without an answer ---------------------------------------------------------------------------------

    def tell(self, client: PureClient, message: m.Request) -> None:
        """A message that has no answer: what it ends, it ends once, and it changes no name."""
        self._let_go(client, message)
        self._step(lambda: client.send(message))
        self._check_endings()

    def hang_up(self, client: PureClient) -> None:
        """A client goes."""
        self._let_go(client, None)
        bound = frozenset((one.name, id) for id, one in client.store.core.clients[client.conn].bound.items())
        self._step(client.hang_up)
        self._check_endings(bound)
        assert not self._moments[-1].names & bound

    def advance(self, seconds: float) -> None:
        """Time goes on."""
        self._step(lambda: self.store.advance(seconds))
        for client in self.store.clients.values():
            answers, client.answers = client.answers, []
            for answer in answers:
                self._learn(answer)
        first, names = self._moments[0], self._moments[0].names
        over = {id for id, flags, expiry in first.terms if is_over(flags, expiry, self.store.now)}
        for moment in self._moments:
            assert moment.names <= names, "a name has come back"
            assert {id for _, id in first.names - moment.names} <= over, "a name has ended too early"
            names = moment.names
        assert not {id for _, id in names} & over, "a name has not ended"

    def _check_endings(self, bound: frozenset[tuple[str, int]] = frozenset()) -> None:
        first, before = self._moments[0], self._moments[0]
        for moment in self._moments:
            assert first.names - bound <= moment.names <= before.names
            assert moment.anonymous <= before.anonymous
            assert moment.pending <= before.pending
            assert moment.reserved <= before.reserved
            before = moment

    def _learn(self, answer: object) -> None:
        if isinstance(answer, (m.Committed, m.Reserved, m.Pended)):
            self.told.add(answer.id)
        if isinstance(answer, m.NurseryReserved) and answer.id:
            self.told.update((answer.id, *answer.ids))
        if isinstance(answer, m.Committed):
            self.data[answer.id] = self._pending
        if isinstance(answer, m.Reserved) and answer.id not in self.filled:
            nbytes = self.store.ledger.reservations[answer.id].extent
            self.filled[answer.id] = data = self._random.randbytes(nbytes)
            self.store.heap[answer.offset : answer.offset + nbytes] = data

    # --- crashes ----------------------------------------------------------------------------------------------------

    def _step(self, do: Callable[[], Any]) -> Any:
        self._agreed = {id: object.terms for id, object in self.store.ledger.objects.items()}
        self._moments, self._actions = [self.crash()], 0
        try:
            return do()
        finally:
            self._moments.append(self.crash())
            self.store.ledger.check()

    def _look(self, _action: a.Action) -> None:
        self._actions += 1
        if self.is_of_interest(self._actions):
            self._moments.append(self.crash())

    def _is_known_as(self, known: Object, object: Object) -> bool:
        """Is an object restored as it is?  In the middle of a step its terms may still be what they were before."""
        *lasting, terms = facts(object)
        before = self._agreed.get(known.id, known.terms)
        return lasting == [*facts(known)][:-1] and terms in {facts(known)[-1], before._replace(spilled=0)}

    def crash(self) -> Moment:
        """Look what would be if the store died now."""
        self.crashes += 1
        crashed = Crashed(self.store)
        restored = check(crashed)
        ledger = restored.ledger
        for id, object in ledger.objects.items():
            data = self.data.get(id, self._pending)
            place, memory = (object.place, self.store.spill) if object.is_spilled else (object.offset, self.store.heap)
            assert object.is_pending or memory[place : place + object.nbytes] == data, "bytes were lost"
            known = self.store.ledger.objects.get(id)
            assert known is None or object.is_pending != known.is_pending or self._is_known_as(known, object)
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
        revived = self._revive(crashed)
        terms = {one.id: one.terms for one in ledger.names.values()}
        over = {id for id, one in terms.items() if is_over(one.flags, one.expiry, self.store.now)}
        names = frozenset((name, object.id) for name, object in ledger.names.items() if object.id not in over)
        agreed = frozenset((id, one.flags, one.expiry) for id, one in terms.items() if id not in over)
        anonymous = anonymous_of(revived)
        reserved = frozenset((entry.client, id) for id, entry in ledger.reservations.items())
        pending = frozenset(id for id in anonymous if revived.ledger.objects[id].is_pending)
        assert all(revived.ledger.objects[id].is_lost == (not is_there(revived, id)) for id in pending)
        moment = Moment(names, anonymous, reserved, applied, agreed, pending)
        spend(ledger, self._random.shuffle)
        revived.end_all()
        return moment

    def _revive(self, crashed: Crashed) -> Revived:
        """The next store, when it has read the rings; it may die as often as it likes meanwhile."""
        revived = Revived(self.store, crashed)
        ends: list[frozenset[int]] = []
        if any(client.unread for client in self.store.clients.values() if client.welcome):
            revived.on_action = lambda _: ends.append(self._die_again(revived))
        revived.settle()
        revived.on_action = lambda _: None
        anonymous = anonymous_of(revived)
        assert ends == [anonymous] * len(ends), "another death comes to another end"
        assert anonymous >= {id for id, owner in self.alive.items() if owner.conn in revived.noted}, "an entry is lost"
        look = self.store.core.holders.look()
        referred = {id for id in anonymous if look.is_held(slot_of(id), generation_of(id))}
        referred |= {id for id in anonymous if revived.ledger.objects[id].containers}
        assert not anonymous & self.gone - referred, "an entry is done twice, or not at all"
        revived.ledger.check()
        self._check_open(revived)
        return revived

    def _die_again(self, revived: Revived) -> frozenset[int]:
        again = Crashed(revived)
        check(again)
        then = Revived(revived, again)
        then.settle()
        self._check_open(then)
        return anonymous_of(then)

    def _check_open(self, revived: Revived) -> None:
        """What clients are writing is theirs still: no two extents overlap, so it is enough that it is the nursery's."""
        nurseries = {nursery.id: nursery for nursery in nurseries_of(revived.ledger)}
        for piece, data in self.open.values():
            entry, end = nurseries[piece.nursery], piece.offset + rounded(piece.nbytes)
            assert piece.id in entry.promised, "a promise is broken"
            assert any(start <= piece.offset and end <= stop for start, stop in entry.spans()), "it is another's"
            assert self.store.heap[piece.offset : piece.offset + len(data)] == data, "bytes were lost"


def anonymous_of(store: PureStore) -> frozenset[int]:
    """Ids of all LIVE objects without a name."""
    return frozenset(id for id, one in store.ledger.objects.items() if one.state == LIVE and not one.name)


def _seen_by(client: PureClient, moment: Moment) -> tuple[frozenset, ...]:
    """What a request of this client may change; others may be granted room that they have waited for."""
    mine = frozenset(id for owner, id in moment.reserved if owner == client.id)
    return moment.names, moment.anonymous, mine, moment.terms, moment.pending


def is_there(store: PureStore, id: int) -> bool:
    """Is the client connected that is to make this object?"""
    owner = store.core.clients.by_id(store.ledger.objects[id].client)
    return owner is not None and id in owner.pending


def is_over(flags: int, expiry: int, now: float) -> bool:
    """Does the next store end this name as soon as it looks?"""
    return bool(expiry) and not flags & PINNED and expiry / 1e9 <= now
