"""What makers do in the model of the whole store: ids for objects to come, and what becomes of them."""

from __future__ import annotations

import hypothesis.strategies as st
from actors import Actor, Kept
from core_model import NAMES
from core_reading import PICK, Readers
from hypothesis.stateful import precondition, rule

from jupyter_shm.protocol import messages as m


class Makers(Readers):
    """The rules of those who promise objects, and of those who wait for them."""

    @rule(pick=PICK, is_held=st.booleans())
    def pend(self, pick: int, is_held: bool) -> None:
        actor, has_room = self._who(pick), self.store.ledger.has_slots()
        number = self._post(actor, m.Pend)
        if not has_room:
            self._refused(actor, number, "full")
            return
        id = self._answer(actor, number).id
        assert id not in self.kept, "an id was given twice"
        self.kept[id] = Kept(b"", (), actor.end.id, number)
        self.pending[id] = actor.end.id
        actor.anonymous.add(id)
        if is_held and actor.taking is None and actor.end.lease_id(id):
            actor.leases.append(id)

    @precondition(lambda self: self.pending)
    @rule(pick=PICK)
    def hold_what_is_to_be_made(self, pick: int) -> None:
        actor, able = self.actors[pick % len(self.actors)], [id for id in self.pending if self._is_live(id)]
        if able and actor.taking is None and actor.end.lease_id(able[pick % len(able)]):
            actor.leases.append(able[pick % len(able)])

    @precondition(lambda self: self.pending)
    @rule(pick=PICK, other=PICK, is_its_own=st.booleans(), inner=st.sets(PICK, max_size=2))
    def fulfil(self, pick: int, other: int, is_its_own: bool, inner: set[int]) -> None:
        """Whoever is to make it does, or somebody who must not."""
        id = list(self.pending)[pick % len(self.pending)]
        actor = self._maker_of(id) if is_its_own else self._who(other)
        if actor is None:
            return
        self._flush(actor)
        before = set(actor.reserved)
        self._post(actor, m.Reserve, 300)
        self._collect()
        for reservation in actor.reserved.keys() - before:
            self._fulfil(actor, id, reservation, inner)

    def _maker_of(self, id: int) -> Actor | None:
        return next((one for one in self.actors if one.end.id == self.pending[id] and one.is_heard), None)

    def _fulfil(self, actor: Actor, id: int, reservation: int, inner: set[int]) -> None:
        reserved, data = actor.reserved[reservation]
        known = list(self.kept)
        contained = tuple({known[one % len(known)] for one in inner})
        expected = self._expected_of(actor, id, contained)
        data = self._write_prefix(reserved.offset, data, contained)
        actor.reserved[reservation] = (reserved, data)
        number = self._post(actor, m.Fulfil, id, reservation, len(data), 1, 2)
        if expected:
            self._refused(actor, number, expected)
            return
        del self.pending[id], actor.reserved[reservation]
        self.kept[id] = Kept(data, contained, actor.end.id, 0)
        assert self._answer(actor, number) == m.Done(number)

    def _expected_of(self, actor: Actor, id: int, contained: tuple[int, ...]) -> str:
        if not self._is_live(id):
            return "not-found"
        if id not in self.pending:
            return "fulfilled"
        if actor.end.id != self.pending[id]:
            return "invalid-argument"
        inside = set(contained).union(*map(self._all_inside, contained))
        return self._expected(actor, "", True, contained) or ("invalid-argument" if id in inside else "")

    @precondition(lambda self: any(not kept.data for kept in self.kept.values()) or len(self.kept) > 1)
    @rule(pick=PICK, other=PICK)
    def make_what_is_there(self, pick: int, other: int) -> None:
        actor, made = self._who(pick), [id for id in self._alive() if id not in self.pending]
        if made:
            id = made[other % len(made)]
            number = self._post(actor, m.Fulfil, id, 1, 1, 1, 1)
            self._refused(actor, number, "fulfilled")

    @precondition(lambda self: self.kept)
    @rule(pick=PICK, picks=st.sets(PICK, min_size=1, max_size=3), names=st.sets(st.sampled_from(NAMES)), data=st.data())
    def wait_for_what_is_to_be_made(self, pick: int, picks: set[int], names: set[str], data: st.DataObject) -> None:
        actor, known = self._who(pick), [*self.pending, *self.kept]
        ids = tuple({known[one % len(known)] for one in picks})
        count = data.draw(st.integers(0, len(ids) + len(names)))
        number = self._post(actor, m.Wait, tuple(names), count, 0, ids)
        actor.waits[number] = actor.pending[number]
        self.store.work()
        self._collect()
