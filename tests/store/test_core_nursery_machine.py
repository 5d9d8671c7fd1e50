"""The whole store against a dict once more, where small objects come out of nurseries and are told of by rings.

What a ring says counts when the store has read it, which it tells in the client's row; before that, it is the client's.
"""

from __future__ import annotations

import hypothesis.strategies as st
from actors import Actor, Kept
from core_model import NAMES
from hypothesis import settings
from hypothesis.stateful import initialize, precondition, rule
from pure_parts import Nursery
from pure_store import MIB
from test_core_machine import PHASES, PICK, CoreMachine

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.extents import HUGE, LARGE, PAGE
from jupyter_shm.tables.prefix import pack_prefix
from jupyter_shm.tables.ring import COMMIT, DROP

ROOMY = 4400  # pages: from some 4096 on there are nurseries
SMALL = st.sampled_from([64, 65, 300, PAGE, 20_000])


class NurseryMachine(CoreMachine):
    @initialize(reserve=st.sampled_from([0, HUGE, 3 * HUGE]), left=st.sampled_from([0, 40, 80]))
    def begin(self, reserve: int, left: int) -> None:
        super().begin(ROOMY, 1000, reserve, 64 * MIB)
        if left:
            # Nurseries are for stores of some size; most of this one is somebody's, so that it can be full.
            self.reserve(0, (ROOMY - left) * PAGE)

    # --- nurseries and rings ----------------------------------------------------------------------------------------

    @rule(pick=PICK, sizes=st.lists(SMALL, min_size=1, max_size=3), is_told=st.booleans())
    def put_small(self, pick: int, sizes: list[int], is_told: bool) -> None:
        """What a put does: get a nursery if there is none, cut, and tell of the last one that was cut."""
        actor = self._who(pick)
        if not actor.nurseries:
            self.open_nursery(pick, LARGE, 6)
        if actor.nurseries and not self._cut(actor, next(iter(actor.nurseries.values())), sizes):
            self._abandon(actor, next(iter(actor.nurseries)))
        elif actor.pieces:
            self._write(actor, len(actor.pieces) - 1)
            if is_told:
                actor.end.ring()

    @rule(pick=PICK, nbytes=st.sampled_from([LARGE, LARGE + 2 * PAGE]), slots=st.integers(1, 6))
    def open_nursery(self, pick: int, nbytes: int, slots: int) -> None:
        actor = self._who(pick)
        answer = self._answer(actor, self._post(actor, m.ReserveNursery, nbytes, slots))
        assert isinstance(answer, m.NurseryReserved)
        if answer.id:
            actor.nurseries[answer.id] = Nursery(actor.end, answer)

    @precondition(lambda self: any(actor.nurseries for actor in self.actors))
    @rule(pick=PICK, sizes=st.lists(SMALL, min_size=1, max_size=3))
    def cut(self, pick: int, sizes: list[int]) -> None:
        able = [(actor, nursery) for actor in self.actors for nursery in actor.nurseries.values()]
        self._cut(*able[pick % len(able)], sizes)

    def _cut(self, actor: Actor, nursery: Nursery, sizes: list[int]) -> bool:
        """Cut and fill pieces; was there room for all?"""
        for nbytes in sizes:
            data = pack_prefix((), b"") + self._data(nbytes)[64:]
            piece = nursery.try_cut(data)
            if piece is None:
                return False
            actor.pieces[piece.id] = piece, data
        return True

    @precondition(lambda self: any(actor.pieces for actor in self.actors))
    @rule(picks=st.lists(PICK, min_size=1, max_size=3), is_told=st.booleans())
    def write_to_the_ring(self, picks: list[int], is_told: bool) -> None:
        able = [actor for actor in self.actors if actor.pieces]
        actor = able[picks[0] % len(able)]
        for pick in picks:
            if actor.pieces:
                self._write(actor, pick)
        if is_told and actor.is_heard:
            actor.end.ring()

    def _write(self, actor: Actor, pick: int) -> None:
        piece, data = actor.pieces.pop(list(actor.pieces)[pick % len(actor.pieces)])
        actor.rung.append((COMMIT, actor.end.write(piece), data))

    @precondition(lambda self: any(actor.droppable for actor in self.actors))
    @rule(pick=PICK, is_told=st.booleans())
    def drop_by_the_ring(self, pick: int, is_told: bool) -> None:
        able = [actor for actor in self.actors if actor.droppable and actor.end.table.ring_head]
        if not able:
            return
        actor = able[pick % len(able)]
        id = actor.droppable[pick % len(actor.droppable)]
        actor.end.write_drop(id)
        actor.rung.append((DROP, id, b""))
        if is_told and actor.is_heard:
            actor.end.ring()

    @precondition(lambda self: any(actor.pieces and actor.is_heard for actor in self.actors))
    @rule(pick=PICK, name=st.sampled_from([*NAMES, ""]), overwrite=st.booleans(), inner=st.sets(PICK, max_size=2))
    def commit_piece(self, pick: int, name: str, overwrite: bool, inner: set[int]) -> None:
        able = [actor for actor in self.actors if actor.pieces and actor.is_heard]
        actor = able[pick % len(able)]
        self._flush(actor)
        piece, data = actor.pieces[list(actor.pieces)[pick % len(actor.pieces)]]
        known = list(self.kept)
        contained = tuple({known[one % len(known)] for one in inner}) if known else ()
        expected = self._expected(actor, name, overwrite, contained)
        data = self._write_prefix(piece.offset, data, contained)
        actor.pieces[piece.id] = piece, data
        self.changing = {name: data}
        facts = (name, len(data), 1, 2, overwrite, piece.id, piece.offset)
        number = self._post(actor, m.Commit, piece.nursery, *facts)
        if expected:
            self._refused(actor, number, expected)
            return
        self._committed(actor, name, Kept(data, contained, actor.end.id, number))
        assert piece.id in self.kept, "the id that was promised"
        del actor.pieces[piece.id]

    @precondition(lambda self: any(actor.nurseries and actor.is_heard for actor in self.actors))
    @rule(pick=PICK)
    def abandon_nursery(self, pick: int) -> None:
        able = [actor for actor in self.actors if actor.nurseries and actor.is_heard]
        actor = able[pick % len(able)]
        self._abandon(actor, list(actor.nurseries)[pick % len(actor.nurseries)])

    def _abandon(self, actor: Actor, nursery: int) -> None:
        self._flush(actor)
        actor.close(nursery)
        actor.end.send(m.Abandon(nursery))


TestNurseryMachine = NurseryMachine.TestCase
TestNurseryMachine.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, report_multiple_bugs=False, phases=PHASES
)
