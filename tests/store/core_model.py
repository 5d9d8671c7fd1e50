"""What the model of the whole store knows, and what it expects of an answer; the rules are ``test_core_machine``'s."""

from __future__ import annotations

from collections import Counter

from actors import Actor, Kept
from hypothesis.stateful import RuleBasedStateMachine
from pure_store import PureStore

from jupyter_shm.protocol import messages as m
from jupyter_shm.store import actions as a
from jupyter_shm.store.reclaim import GRACE
from jupyter_shm.tables.layout import (
    DROPPED,
    DYING,
    FREE,
    KERNEL_LIFETIME,
    LIVE,
    PINNED,
    SPILLED,
    object_id,
    slot_of,
)
from jupyter_shm.tables.prefix import pack_prefix
from jupyter_shm.tables.ring import COMMIT

NAMES = ("a", "b", "\u20ac" * 42)


class CoreModel(RuleBasedStateMachine):
    """Clients, objects and names, and how they are asked."""

    store: PureStore

    def __init__(self) -> None:
        super().__init__()
        self.actors: list[Actor] = []
        self.named: dict[str, int] = {}
        self.kept: dict[int, Kept] = {}
        self.pending: dict[int, int] = {}  # ids of what is still to be made, and of the client that is to do it
        self.changing: dict[str, bytes] = {}  # names that the step under way may change, with their new bytes
        self.writes = 0
        self.done: list[a.Action] = []
        self.deleted: set[int] = set()
        self.dying: dict[int, float] = {}  # slot: since when
        self.happened: Counter[tuple[str, str]] = Counter()  # kinds of events, and of which names
        self.is_quiet = True  # no ring had anything to say when the last request was sent

    # --- the world ------------------------------------------------------------------------------------------------

    def _look(self, action: a.Action) -> None:
        """Between any two actions a reader finds under each name what it meant, or what it will mean, or nothing."""
        self.done.append(action)
        if isinstance(action, a.SetState) and action.state in {DYING, DROPPED}:
            self.dying[action.slot] = self.store.now
        elif isinstance(action, a.SetState) and action.state == FREE and action.slot in self.dying:
            assert self.store.now - self.dying.pop(action.slot) >= GRACE * 0.999, "a grace was cut short"
        elif isinstance(action, a.SetState) and action.state == SPILLED:
            self._note("spill", object_id(action.slot, action.generation))
        for name in NAMES:
            data = self.store.bytes_of(name)
            if data is not None:
                assert data in {self._meant(name), self.changing.get(name)}, "a reader saw what was never published"

    def _meant(self, name: str) -> bytes | None:
        return self.kept[self.named[name]].data if name in self.named else None

    def _alive(self) -> list[int]:
        return [id for id in self.kept if id in self.store.ledger.objects]

    def _is_live(self, id: int) -> bool:
        """What has a name, or a publisher; of other anonymous objects the store decides, see ``is_referred``."""
        object = self.store.ledger.objects.get(id)
        is_left = object is not None and not object.name and object.state == LIVE
        return is_left or id in self.named.values() or any(id in actor.anonymous for actor in self.actors)

    def _is_referred(self, id: int) -> bool:
        """Does anybody hold, or a stored object contain, an anonymous object?"""
        alive = {inner for other in self._alive() for inner in self.kept[other].contained}
        return id in alive or any(id in actor.leases or id in actor.end.sent for actor in self.actors)

    def _join(self) -> None:
        actor = Actor(self.store.connect(f"{len(self.actors)}.ipynb", watches=bool(len(self.actors) % 2)))
        assert actor.end.welcome is not None
        actor.end.answers.clear()
        self.actors.append(actor)

    def _expire(self) -> None:
        """The store has done what was due: what could end by now has ended."""
        for id in tuple(self.named.values()):
            kept = self.kept[id]
            if kept.expiry and not kept.flags & PINNED and kept.expiry / 1e9 <= self.store.now:
                self._note("expire", id)
                self._forget(id)

    def _note(self, kind: str, id: int) -> None:
        """Something happens to a name."""
        self.happened += Counter((kind, name) for name, meant in self.named.items() if meant == id)

    def _leave(self, actor: Actor) -> None:
        """A client hangs up: names that were to end with it end."""
        for name, id in tuple(self.named.items()):
            if self.kept[id].client == actor.end.id and self.kept[id].flags & KERNEL_LIFETIME:
                self.changing[name] = self.kept[id].data
                self._note("death", id)
                self._forget(id)
        actor.end.hang_up()
        self.changing = {}

    def _hear(self) -> None:
        """Note what the store has read of the rings, as their rows say."""
        for actor in self.actors:
            while len(actor.rung) > actor.end.unread:
                kind, id, data = actor.rung.pop(0)
                if kind == COMMIT:
                    self.kept[id] = Kept(data, (), actor.end.id, 0)
                    actor.anonymous.add(id)
                elif id in actor.anonymous:
                    self._forget(id)

    def _hear_out(self, actor: Actor) -> None:
        """Note what a ring had still to say when its client hung up: it has been, and is about to end."""
        for kind, id, data in actor.rung:
            if kind == COMMIT:
                self.kept[id] = Kept(data, (), actor.end.id, 0)

    def _flush(self, actor: Actor) -> None:
        """What a client's ring says counts before its next packet: let it be known what that changes."""
        if actor.rung:
            actor.end.send(m.Ring())
            assert not actor.end.unread
        self._hear()

    def _who(self, pick: int) -> Actor:
        """One of the clients that the store listens to."""
        able = [actor for actor in self.actors if actor.is_heard]
        if not able:
            self._join()
            able = self.actors[-1:]
        actor = able[pick % len(able)]
        self._flush(actor)
        return actor

    def _post(self, actor: Actor, kind: type, *fields: object) -> int:
        self._flush(actor)
        self.is_quiet = not any(other.rung for other in self.actors)
        self.done.clear()
        number = actor.end.post(kind, *fields)
        actor.pending[number] = kind(number, *fields)
        return number

    def _answer(self, actor: Actor, number: int) -> object:
        """The answer to a request that is answered without time going on."""
        self.store.work()
        answer = actor.end.take_answer(number)
        assert answer is not None, "not answered"
        del actor.pending[number]
        self._collect()
        self._hear()
        return answer

    def _refused(self, actor: Actor, number: int, reason: str) -> None:
        """It was refused, with this reason, and nothing was changed."""
        told = [type(action) for action in self.done]
        assert told == [a.SetRow, a.Send] or not self.is_quiet, "a refusal changed something"
        answer = self._answer(actor, number)
        assert isinstance(answer, m.Refused)
        assert answer.reason == reason

    def _collect(self) -> None:
        """Note what came without having been waited for."""
        for actor in self.actors:
            answers, actor.end.answers = actor.end.answers, []
            for answer in answers:
                if isinstance(answer, m.Changed):
                    actor.calls += 1
                    continue
                asked = actor.pending.pop(answer.number)
                if isinstance(asked, m.Reserve):
                    self._granted_or_full(actor, asked, answer)
                else:
                    assert isinstance(asked, m.Wait)
                    self._ready(actor, asked, answer)

    # --- what is expected --------------------------------------------------------------------------------------------

    def _granted_or_full(self, actor: Actor, asked: m.Reserve, answer: object) -> None:
        if isinstance(answer, m.Refused):
            assert answer.reason == "full"  # with figures that justify it: see PureClient
            return
        data = self._data(min(asked.nbytes, 100_000))
        self.store.heap[answer.offset : answer.offset + len(data)] = data
        actor.reserved[answer.id] = (answer, data)

    def _data(self, nbytes: int) -> bytes:
        """Bytes that nobody else writes."""
        self.writes += 1
        return (b"%08d" % self.writes * (nbytes // 8 + 1))[:nbytes]

    def _write_prefix(self, offset: int, data: bytes, contained: tuple[int, ...]) -> bytes:
        data = pack_prefix(contained, b"") + data[64:]
        self.store.heap[offset : offset + len(data)] = data
        return data

    def _expected(self, actor: Actor, name: str, overwrite: bool, contained: tuple[int, ...]) -> str:
        if name in self.named and not overwrite:
            return "exists"
        alive = self._alive()
        contained_by_any = {inner for id in alive for inner in self.kept[id].contained}
        for id in contained:
            if id in alive and self.store.ledger.objects[id].is_spilled:
                return "contained-gone"  # its bytes are not in the heap any more
            is_leased = id in actor.leases or (
                actor.taking is not None and id in alive and actor.end.table.holds(slot_of(id), id >> 20)
            )
            if not (self._is_live(id) or is_leased or (id in contained_by_any and id in alive)):
                return "contained-gone"
        return ""

    def _committed(self, actor: Actor, name: str, kept: Kept) -> None:
        answer = next(answer for answer in actor.end.answers if answer.number == kept.request)
        assert isinstance(answer, m.Committed), answer
        assert answer.id not in self.kept, "an id was given twice"
        kept.version = 1 + (self.kept[self.named[name]].version if name and name in self.named else 0)
        assert (answer.version, answer.replaced_version) == (kept.version, kept.version - 1)
        self.kept[answer.id] = kept
        if name:
            was_there = name in self.named
            self.named[name] = answer.id
            self._note("overwrite" if was_there else "publish", answer.id)
        else:
            actor.anonymous.add(answer.id)
        self.changing = {}
        assert self._answer(actor, kept.request) == answer

    def _forget(self, id: int) -> None:
        self.named = {name: other for name, other in self.named.items() if other != id}
        for actor in self.actors:
            actor.anonymous.discard(id)

    def _ready(self, actor: Actor, asked: m.Wait, answer: object) -> None:
        assert answer == m.Ready(asked.number, self.newer(asked), self.over(asked))
        assert len(answer.names) + len(answer.ids) >= asked.count
        del actor.waits[asked.number]

    def newer(self, wait: m.Wait) -> tuple[str, ...]:
        """The names of a wait that mean a version that is new enough."""
        return tuple(
            name for name in wait.names if name in self.named and self.kept[self.named[name]].version > wait.newer_than
        )

    def over(self, wait: m.Wait) -> tuple[int, ...]:
        """The objects of a wait that nobody is to make, or has to."""
        makers = {actor.end.id for actor in self.actors}
        return tuple(id for id in wait.ids if self.pending.get(id) not in makers or not self._is_live(id))

    def _holders(self, id: int) -> tuple[int, ...]:
        return tuple(one.end.id for one in self.actors if one.end.table.holds(slot_of(id), id >> 20))
