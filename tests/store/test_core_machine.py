"""The whole store against a dict: whatever clients do, in any order and at any time, its promises hold after each step.

The model knows names, bytes, and who holds what.  It asks the store only one thing: which objects are not freed yet,
because when an object goes is the store's business, as long as nobody can tell the difference.
"""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
from actors import Actor, Kept
from core_making import Makers
from core_model import NAMES
from hypothesis import Phase, settings
from hypothesis.stateful import initialize, invariant, precondition, rule
from pure_store import MIB, PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store.admission import ROOM_PATIENCE
from jupyter_shm.store.extents import HUGE, PAGE
from jupyter_shm.store.history import FREED
from jupyter_shm.store.reclaim import GRACE, LAST_BACKOFF
from jupyter_shm.store.references import KEEP
from jupyter_shm.tables import layout
from jupyter_shm.tables.layout import DYING, FREE, KERNEL_LIFETIME, LIVE, PINNED, RESERVED, WORD_SLOTS, slot_of

BAD_NAMES = {"x\0y": "invalid-name", "x" * 129: "invalid-name", "\u20ac" * 43: "invalid-name"}
MAX_CONTAINED_HERE = 3  # so that every prefix is one line of 64 bytes
# Not `shrink` and `explain`: a failing machine has to print its example within faulthandler's minute.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
FLAGS = st.sampled_from([0, PINNED, KERNEL_LIFETIME, PINNED | KERNEL_LIFETIME])
TTLS = st.sampled_from([0, 1, 5_000_000, 2_000_000_000, 10**18])  # nanoseconds
SIZES = st.sampled_from([64, 65, 300, 2000, PAGE, PAGE + 1, 20_000, 66_000])
PICK = st.integers(0, 1000)  # which of those that there are


class CoreMachine(Makers):
    @initialize(
        pages=st.sampled_from([12, 40, 1000, 4000]),
        slots=st.sampled_from([7, 1000]),
        reserve=st.sampled_from([0, 3 * HUGE]),
        disk=st.sampled_from([0, 70_000, 64 * MIB, 64 * MIB]),
    )
    def begin(self, pages: int, slots: int, reserve: int, disk: int) -> None:
        self.store = PureStore(pages * PAGE, 32 * MIB, slots, disk)
        self.store.copies = False
        self.store.ledger.warm.target = reserve
        self.store.on_action = self._look
        self.store.on_settled = self._expire
        self.store.core.history.wall = lambda: 0.0  # nothing is ever too old
        self.seen_held: set[int] = set()  # ids of what was found to be read on without its name
        self._join()

    # --- coming and going -----------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.actors) < 4)
    @rule()
    def join(self) -> None:
        self._join()

    @rule(pick=PICK)
    def hang_up(self, pick: int) -> None:
        actor = self.actors[pick % len(self.actors)]
        self.actors.remove(actor)
        self._leave(actor)
        self._hear_out(actor)
        if not self.actors:
            self._join()

    @rule(pick=PICK, packet=st.sampled_from([b"garbage", b"\x92\xa5stats\x00", b"\x93\xa4look\x01"]))
    def break_the_protocol(self, pick: int, packet: bytes) -> None:
        """The connection ends, and its leases, reservations and objects stay until it hangs up."""
        actor = self._who(pick)
        actor.end.send_packet(packet)
        assert actor.end.is_ended

    # --- puts -----------------------------------------------------------------------------------------------------

    @rule(pick=PICK, nbytes=SIZES)
    def reserve(self, pick: int, nbytes: int) -> None:
        self._post(self._who(pick), m.Reserve, nbytes)
        self._collect()

    @rule(pick=PICK, name=st.sampled_from([*NAMES, ""]), nbytes=SIZES, inner=st.sets(PICK, max_size=2))
    def put(self, pick: int, name: str, nbytes: int, inner: set[int]) -> None:
        """Reserve and commit in one go, where there is room."""
        actor = self._who(pick)
        before = set(actor.reserved)
        self._post(actor, m.Reserve, nbytes)
        self._collect()
        for id in actor.reserved.keys() - before:
            self._commit(actor, id, name, overwrite=True, inner=inner)

    @precondition(lambda self: any(actor.reserved and actor.is_heard for actor in self.actors))
    @rule(pick=PICK, name=st.sampled_from([*NAMES, ""]), overwrite=st.booleans(), inner=st.sets(PICK, max_size=2))
    def commit(self, pick: int, name: str, overwrite: bool, inner: set[int]) -> None:
        able = [actor for actor in self.actors if actor.reserved and actor.is_heard]
        actor = able[pick % len(able)]
        id = list(actor.reserved)[pick % len(actor.reserved)]
        self._commit(actor, id, name, overwrite, inner)

    @rule(pick=PICK, name=st.sampled_from([*NAMES, ""]), flags=FLAGS, ttl=TTLS)
    def put_on_terms(self, pick: int, name: str, flags: int, ttl: int) -> None:
        actor = self._who(pick)
        before = set(actor.reserved)
        self._post(actor, m.Reserve, 64)
        self._collect()
        for id in actor.reserved.keys() - before:
            self._commit(actor, id, name, overwrite=True, inner=set(), terms=(flags, ttl))

    @rule(
        pick=PICK,
        name=st.sampled_from([*NAMES, ""]),
        by_id=st.booleans(),
        ttl=TTLS,
        is_pinned=st.none() | st.booleans(),
    )
    def agree(self, pick: int, name: str, by_id: bool, ttl: int, is_pinned: bool | None) -> None:
        """Pin, unpin, or let it expire at another time."""
        actor = self._who(pick)
        id = list(self.kept)[pick % len(self.kept)] if by_id and self.kept else 0
        meant = self.named.get(name) if name else id
        is_there = meant is not None and meant in self.named.values() and (not id or meant == id)
        is_nameless = not name and id and meant not in self.named.values() and self._is_live(id)
        kept = self.kept[meant] if is_there else None
        if kept and is_pinned is None:
            kept.expiry = int(self.store.now * 1e9) + ttl if ttl else 0
        elif kept:
            kept.flags = kept.flags & ~PINNED | (PINNED if is_pinned else 0)
        self.changing = dict.fromkeys(NAMES, kept.data) if kept else {}
        if is_pinned is None:
            number = self._post(actor, m.Expire, name, id, ttl)
        else:
            number = self._post(actor, m.Pin, name, id, is_pinned)
        if kept:
            self._note("ttl" if is_pinned is None else "pin" if is_pinned else "unpin", meant)
        if not kept:
            self._refused(actor, number, "invalid-argument" if is_nameless else "not-found")
            return
        self._expire()
        self.changing = {}
        assert self._answer(actor, number) == m.Done(number)

    def _commit(
        self,
        actor: Actor,
        id: int,
        name: str,
        overwrite: bool,
        inner: set[int],
        terms: tuple[int, int] = (0, 0),
    ) -> None:
        self._flush(actor)
        reserved, data = actor.reserved[id]
        known = list(self.kept)
        contained = tuple({known[one % len(known)] for one in inner}) if known else ()
        expected = self._expected(actor, name, overwrite, contained)
        data = self._write_prefix(reserved.offset, data, contained)
        actor.reserved[reserved.id] = (reserved, data)
        self.changing = {name: data}
        if any(terms) and not name:
            expected = "invalid-argument"
        number = self._post(actor, m.Commit, reserved.id, name, len(data), 1, 2, overwrite, 0, 0, *terms)
        if expected:
            self._refused(actor, number, expected)
            return
        expiry = int(self.store.now * 1e9) + terms[1] if terms[1] else 0
        self._committed(actor, name, Kept(data, contained, actor.end.id, number, terms[0], expiry))
        del actor.reserved[reserved.id]

    @precondition(lambda self: any(actor.reserved for actor in self.actors))
    @rule(pick=PICK)
    def commit_what_is_another_clients(self, pick: int) -> None:
        owners = [actor for actor in self.actors if actor.reserved]
        owner, thief = owners[pick % len(owners)], self._who(pick)
        if thief is not owner:
            reserved, data = next(iter(owner.reserved.values()))
            number = self._post(thief, m.Commit, reserved.id, "a", len(data), 1, 2, True)
            self._refused(thief, number, "bad-reservation")

    @precondition(lambda self: any(actor.reserved and actor.is_heard for actor in self.actors))
    @rule(pick=PICK, lie=st.sampled_from(["long", "unknown", "object", *BAD_NAMES]))
    def commit_a_lie(self, pick: int, lie: str) -> None:
        able = [actor for actor in self.actors if actor.reserved and actor.is_heard]
        actor = able[pick % len(able)]
        reserved, data = next(iter(actor.reserved.values()))
        actor.reserved[reserved.id] = (reserved, self._write_prefix(reserved.offset, data, ()))
        nbytes = self.store.ledger.reservations[reserved.id].extent + 1 if lie == "long" else len(data)
        id = {"unknown": (1 << 63) - 1, "object": next(iter(self.kept), 1)}.get(lie, reserved.id)
        name = lie if lie in BAD_NAMES else "a"
        number = self._post(actor, m.Commit, id, name, nbytes, 1, 2, True)
        self._refused(actor, number, BAD_NAMES.get(lie, "bad-reservation"))

    @precondition(lambda self: any(actor.reserved and actor.is_heard for actor in self.actors))
    @rule(pick=PICK, head=st.sampled_from([b"no magic", b"JSHMOBJ2\xff\xff\xff\xff"]))
    def commit_with_a_bad_header(self, pick: int, head: bytes) -> None:
        able = [actor for actor in self.actors if actor.reserved and actor.is_heard]
        actor = able[pick % len(able)]
        reserved, data = next(iter(actor.reserved.values()))
        data = head + data[len(head) :]
        self.store.heap[reserved.offset : reserved.offset + len(data)] = data
        actor.reserved[reserved.id] = (reserved, data)
        number = self._post(actor, m.Commit, reserved.id, "a", len(data), 1, 2, True)
        self._refused(actor, number, "bad-header")

    @precondition(lambda self: any(actor.reserved and actor.is_heard for actor in self.actors))
    @rule(pick=PICK)
    def abandon(self, pick: int) -> None:
        able = [actor for actor in self.actors if actor.reserved and actor.is_heard]
        actor = able[pick % len(able)]
        id = list(actor.reserved)[pick % len(actor.reserved)]
        del actor.reserved[id]
        actor.end.send(m.Abandon(id))

    # --- the warmer -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.store.warming)
    @rule(came=st.sampled_from([(1, 0), (0, 1), (0, 0)]))
    def warmed(self, came: tuple[int, int]) -> None:
        nbytes = self.store.warming[0][1]
        self.store.warmed(came[0] * nbytes, came[1] * nbytes)

    # --- the spiller ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.store.copying)
    @rule(error=st.sampled_from(["", "", "", "Input/output error"]))
    def copied(self, error: str) -> None:
        self.store.copied(error)
        self._collect()

    # --- the ends of names and objects ------------------------------------------------------------------------------

    @rule(pick=PICK, name=st.sampled_from([*NAMES, ""]), by_id=st.booleans())
    def delete(self, pick: int, name: str, by_id: bool) -> None:
        actor = self._who(pick)
        id = list(self.kept)[pick % len(self.kept)] if by_id and self.kept else 0
        meant = self.named.get(name) if name else id
        is_there = meant is not None and self._is_live(meant) and (not id or meant == id)
        is_unmade = is_there and meant in self.pending
        is_there = is_there and not is_unmade
        if is_there:
            self.deleted.add(meant)
            self._note("delete", meant)
            self._forget(meant)
            self.changing = dict.fromkeys(NAMES, self.kept[meant].data)
        number = self._post(actor, m.Delete, name, id)
        self.changing = {}
        if is_there:
            assert self._answer(actor, number) == m.Done(number)
        else:
            self._refused(actor, number, "invalid-argument" if is_unmade else "not-found")

    @precondition(lambda self: self.kept)
    @rule(pick=PICK)
    def drop(self, pick: int) -> None:
        actor = self._who(pick)
        id = list(self.kept)[pick % len(self.kept)]
        if id in actor.anonymous:
            self._forget(id)
        actor.end.send(m.Drop(id))

    @rule(pick=PICK, number=st.integers(1, 20))
    def cancel(self, pick: int, number: int) -> None:
        actor = self._who(pick)
        actor.pending.pop(number, None)
        actor.end.unanswered.discard(number)
        actor.waits.pop(number, None)
        actor.reserved = {id: entry for id, entry in actor.reserved.items() if entry[0].number != number}
        cancelled = {id for id in actor.anonymous if self.kept[id].request == number}
        actor.anonymous -= cancelled
        self.deleted |= cancelled
        for id in [id for id, nursery in actor.nurseries.items() if nursery.granted.number == number]:
            actor.close(id)
        actor.end.send(m.Cancel(number))

    # --- questions --------------------------------------------------------------------------------------------------

    @rule(pick=PICK, names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), data=st.data())
    def wait(self, pick: int, names: list[str], data: st.DataObject) -> None:
        actor = self._who(pick)
        count = data.draw(st.integers(1, len(names)))
        number = self._post(actor, m.Wait, tuple(names), count, data.draw(st.integers(0, 3)))
        actor.waits[number] = actor.pending[number]
        self.store.work()
        self._collect()

    @rule(pick=PICK, name=st.sampled_from(NAMES))
    def look_up(self, pick: int, name: str) -> None:
        actor = self._who(pick)
        answer = self._answer(actor, self._post(actor, m.Look, name))
        assert getattr(answer, "id", None) == self.named.get(name)

    @rule(pick=PICK)
    def ask_for_everything(self, pick: int) -> None:
        """The list, the facts of one object and the accounts all tell what the model knows."""
        actor = self._who(pick)
        page = self._answer(actor, self._post(actor, m.List, 0, True))
        told = {one.id: one for one in page.objects}
        assert {one.name: one.id for one in page.objects if one.name and one.state != "held"} == self.named
        live = {"live", "spilled", "pending", "lost"}
        makers = {one.end.id for one in self.actors}
        for id in self.pending.keys() & told.keys():
            assert told[id].state in {"held", "pending" if self.pending[id] in makers else "lost"}
        assert {id for id, one in told.items() if one.state in live} == {i for i in self.kept if self._is_live(i)}
        assert all((one.state == "spilled") <= bool(one.spilled) for one in page.objects)
        for one in page.objects:
            assert one.holders == self._holders(one.id)
            assert one.containers == sum(one.id in self.kept[id].contained for id in self._alive())
            facts = self._answer(actor, self._post(actor, m.Info, "", one.id))
            # Who asks for an anonymous object that is about to end has a reference: it comes back.
            assert facts.object == one or (facts.object.state in live and one.state == "held")
            if one.name and one.state == "live":
                assert (one.flags, one.expiry) == (self.kept[one.id].flags, self.kept[one.id].expiry)
        stats = self._answer(actor, self._post(actor, m.Stats))
        users = [one for one in self.actors if not self.store.core.clients[one.end.conn].hello.watches]
        assert (stats.names, stats.clients) == (len(self.named), len(users))
        assert stats.objects == len(self._alive())

    @rule(pick=PICK)
    def ask_what_happened(self, pick: int) -> None:
        actor = self._who(pick)
        past = self._answer(actor, self._post(actor, m.Events, m.MAX_COUNT))
        assert (past.events, past.has_more, past.is_lost) == ((), False, False)
        self._collect()
        actor.calls = 0

    @rule(pick=PICK, back=st.integers(1, 200))
    def ask_for_a_page_of_what_happened(self, pick: int, back: int) -> None:
        actor, last = self._who(pick), self.store.core.history.last
        after = last - min(back, len(self.store.core.history))
        past = self._answer(actor, self._post(actor, m.Events, after))
        told = [event.sequence for event in past.events]
        assert told == list(range(after + 1, after + 1 + len(told)))
        assert past.has_more or past.last >= last, "something is kept back"
        assert not past.has_more or past.last < self.store.core.history.last
        self._collect()
        actor.calls = 0

    @invariant()
    def what_happened_is_told(self) -> None:
        events = self.store.core.history.after(0, 100_000)[0]
        told = Counter((event.kind, event.name) for event in events if event.name and event.kind != FREED)
        assert told == self.happened

    @invariant()
    def the_end_of_what_was_read_on_is_told_once_and_not_before(self) -> None:
        objects = self.store.ledger.objects
        freed = [e.id for e in self.store.core.history.after(0, 100_000)[0] if e.kind == FREED and e.name]
        assert len(freed) == len(set(freed))
        assert not [id for id in freed if id in objects and objects[id].is_held]
        assert {id for id in self.seen_held if id not in objects} <= set(freed)
        self.seen_held |= {id for id, one in objects.items() if one.is_held and one.name and one.state == DYING}

    @invariant()
    def nobody_is_called_twice(self) -> None:
        for actor in self.actors:
            assert actor.calls + sum(isinstance(one, m.Changed) for one in actor.end.answers) <= 1

    # --- time -------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.001, GRACE / 2, GRACE, 2 * GRACE]))
    def a_little_later(self, seconds: float) -> None:
        self.store.advance(seconds)
        self._collect()

    @rule(seconds=st.sampled_from([ROOM_PATIENCE, 5.0, 2 * LAST_BACKOFF]))
    def much_later(self, seconds: float) -> None:
        self.store.copies = True
        self.store.advance(seconds)
        self.store.copies = False
        self._collect()
        assert not any(actor.pending.keys() - actor.waits.keys() for actor in self.actors), "never answered"
        for id in self._alive():
            if id not in self.deleted and not self.store.ledger.objects[id].name and self._is_referred(id):
                assert self._is_live(id), "somebody refers to it, and nobody could take a lease"

    @rule(seconds=st.sampled_from([GRACE, 1.0]))
    def the_store_sleeps(self, seconds: float) -> None:
        """Time goes on and the store is not let run: its next look is late."""
        self.store.now += seconds

    @rule()
    def settle_early(self) -> None:
        self.store.settle()
        self._collect()

    # --- promises ---------------------------------------------------------------------------------------------------

    @invariant()
    def the_books_balance(self) -> None:
        ledger = self.store.ledger
        ledger.check()
        warming = sum(nbytes for _, nbytes in self.store.warming)
        assert ledger.extents.pages_used * PAGE - warming <= ledger.capacity, "the reserve is given up for puts"
        assert ledger.used + ledger.reserved <= ledger.capacity
        assert ledger.used >= 0
        assert self.store.exit is None

    @invariant()
    def every_name_is_found_with_its_bytes_and_no_other(self) -> None:
        assert {name: self.store.bytes_of(name) for name in NAMES} == {name: self._meant(name) for name in NAMES}

    @invariant()
    def no_byte_that_somebody_may_see_ever_changes(self) -> None:
        self._hear()
        seen = [id for actor in self.actors for id in actor.leases]
        seen += [id for id in self.kept if self._is_live(id)]
        objects = self.store.ledger.objects
        for id in set(seen).union(*map(self._all_inside, seen)):
            assert id in objects
            assert self.store.bytes_at(id)[: len(self.kept[id].data)] == self.kept[id].data
        for actor in self.actors:
            for reserved, data in actor.reserved.values():
                assert self.store.heap[reserved.offset : reserved.offset + len(data)] == data
            for piece, data in actor.pieces.values():
                assert self.store.heap[piece.offset : piece.offset + len(data)] == data

    def _all_inside(self, id: int) -> set[int]:
        inside = set(self.kept[id].contained)
        return inside.union(*map(self._all_inside, inside))

    @invariant()
    def every_slot_is_in_its_state(self) -> None:
        self._hear()
        nurseries = [nursery for actor in self.actors for nursery in actor.nurseries.values()]
        states = dict.fromkeys(range(self.store.index.words[WORD_SLOTS]), FREE)
        states |= {slot_of(id): self._state(id) if self._is_live(id) else self._ending(id) for id in self._alive()}
        states |= {slot_of(id): RESERVED for actor in self.actors for id in actor.reserved}
        states |= {slot_of(nursery.id): RESERVED for nursery in nurseries}
        states |= {slot_of(id): RESERVED for nursery in nurseries for id in nursery.granted.ids if id not in self.kept}
        assert {slot: self.store.reader.state(slot) & 0xFF for slot in states} == states

    def _ending(self, id: int) -> int:
        return layout.DROPPED if id in self.pending else DYING

    def _state(self, id: int) -> int:
        if id in self.pending:
            return layout.PENDING
        if self._is_leaving(id):
            return layout.SPILLING
        return layout.SPILLED if self.store.ledger.objects[id].is_spilled else LIVE

    def _is_leaving(self, id: int) -> bool:
        return id in self.store.core._spilling._leaving

    @invariant()
    def what_was_agreed_is_in_the_index(self) -> None:
        for id in self.named.values():
            kept, slot = self.kept[id], slot_of(id)
            assert (self.store.terms.get(slot, 0), self.store.terms.get(slot, 1)) == (kept.flags, kept.expiry)
        for slot in range(self.store.index.words[WORD_SLOTS]):
            if self.store.reader.state(slot) & 0xFF in {FREE, RESERVED}:
                assert not any(self.store.terms.get(slot, term) for term in range(3))

    @invariant()
    def nobody_waits_for_what_is_there(self) -> None:
        self._collect()
        for actor in self.actors:
            for wait in actor.waits.values():
                assert len(self.newer(wait)) + len(self.over(wait)) < wait.count

    def teardown(self) -> None:
        """When all is deleted and let go of, nothing is used, reserved, covered or left unpunched."""
        if not hasattr(self, "store"):
            return
        for actor in self.actors:
            self._leave(actor)
        self.actors.clear()
        self._join()
        for name in list(self.named):
            self.delete(0, name, by_id=False)
        self.store.advance(KEEP + 1)
        ledger = self.store.ledger
        ledger.check()
        assert (ledger.objects, ledger.reservations, ledger.names) == ({}, {}, {})
        assert (ledger.used, ledger.reserved, ledger.held, ledger.payload, ledger.in_grace) == (0, 0, 0, 0, 0)
        assert ledger.extents.pages_used * PAGE == ledger.warm.nbytes
        if self.store.copying:
            self.store.copied()
        assert (ledger.spill.used, ledger.spilled) == (0, 0)
        assert self.store.spill[: 16 * MIB].count(0) == 16 * MIB, "a place in the spill heap was not punched"
        for offset, nbytes in ledger.extents.free_ranges():
            data = self.store.heap[offset : offset + min(nbytes, 3 * MIB)]
            assert data.count(0) == len(data), "a page that nothing covers was not punched"
        states = {slot: self.store.reader.state(slot) & 0xFF for slot in range(self.store.index.words[WORD_SLOTS])}
        assert states == dict.fromkeys(states, FREE)


TestCoreMachine = CoreMachine.TestCase
TestCoreMachine.settings = settings(
    max_examples=200, stateful_step_count=60, deadline=None, report_multiple_bugs=False, phases=PHASES
)
