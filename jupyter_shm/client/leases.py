"""Taking and letting go of leases without asking the store: the reader's half of the lease protocol.

Steps 1 to 3 of a get run under one lock, so that two threads never write the same word.  A root's end may come in
any thread, at any instruction, even inside a garbage collection that began under that very lock: its release is
appended to a deque first, and whoever can have the lock without waiting works the deque off, also after unlocking.
Nothing is left for "the next call": an idle kernel pins no memory.

The lock knows its owner, for two reasons: a release that finds it held by its own thread must leave, not wait; and an
interrupt between taking it and noting so must not leave it taken.  A user's finalizer that fetches an object in a
collection that began under the lock enters it again; each such get is complete before the outer one goes on.
"""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..linux.maps import Map
from ..tables.alignment import rounded
from ..tables.index import IndexReader, Place
from ..tables.layout import ROW_TAIL, SLOT_BITS, Record, generation_of, slot_of
from ..tables.leases import SENT, LeaseTable
from ..tables.prefix import HEAD_SIZE, read_contained
from ..tables.ring import DROP, RING, Entry
from .heap import Heap, Root
from .lock import is_mine, new_lock

RING_ROOM = RING - 8
"""Entries that are in the ring at most: a few more may come before somebody looks again."""


class RootRef(weakref.ref[Root]):
    """Notices the end of a root."""

    __slots__ = ("alarm", "anchor", "id", "meta", "name", "record", "window")

    id: int  # of the object; 0 for a private view, which has no lease of its own
    record: Record  # of the object
    window: Map | None  # to be closed with it
    anchor: Root | None  # the leased root that a private view stands on
    meta: object  # what the object says of itself and where its data starts, once somebody has read it
    name: str | None  # under which it is shown
    alarm: weakref.ref[Root]  # calls Python code at the end, after this one was noted without any

    is_spilled: ClassVar[bool] = False  # True: it looks at the spill heap, and the record's offset means that


class KeptRef(weakref.ref[object]):
    """Notices the end of what keeps an anonymous object of ours: of its ObjectRef."""

    __slots__ = ("alarm", "entry", "id")

    id: int  # of the object
    entry: Entry | None  # as it stands in the ring; None: it is still to be made, and who keeps it is an anchor
    alarm: weakref.ref[object]  # as in RootRef


Shown = tuple[
    RootRef, int, int, int, int, int, "slice | None", tuple[int, ...], "np.dtype[Any]", int, "tuple[int, ...] | None"
]
"""What another array over the same root takes: the root; the five numbers of its place; for an array of one axis its
bytes in the root, which is the shortest way to it; shape, dtype, offset in the root in bytes, strides (``None``: C order).

It does not keep the root: see ``client/again.py``."""


class Leased(NamedTuple):
    """An object that this process holds a lease on."""

    id: int
    root: Root
    base: int  # where in the heap the root starts, in bytes
    record: Record
    ref: RootRef
    place: Place | None  # what said that it is meant; None: it is no longer LIVE


MakeRoot = Callable[[int, Record, "Place | None"], Leased]
"""Makes the root of an object on which the lease is held: id, facts, and what said that it is meant."""

# Leased(...) is a function in Python and costs twice as much.
_leased: Callable[[tuple[int, Root, int, Record, RootRef, Place | None]], Leased] = partial(tuple.__new__, Leased)


class Leases:
    """The leases of one connection.

    Args:
        index: The store's index.
        table: This client's lease table.
        heap: The heap.
        on_hint: Called with the id of an object that is no longer LIVE when its last lease here is let go.
        on_drop: Called with the id of an anonymous object of ours when its last lease here is let go, and the ring
            cannot tell of it.
        on_ring: Called, with any number, when the ring has an entry more.

    Attributes:
        shown: By name and by id, arrays whose root lives; an entry goes when its root ends.
    """

    def __init__(
        self,
        index: IndexReader,
        table: LeaseTable,
        heap: Heap,
        on_hint: Callable[[int], None],
        on_drop: Callable[[int], None],
        on_ring: Callable[[int], None],
    ) -> None:
        self.index = index
        self.table = table
        self.heap = heap
        self.on_idle: Callable[[], None] | None = None
        self._on_hint = on_hint
        self._on_drop = on_drop
        self._on_ring = on_ring
        self.row = 0  # first word of our row of the index
        self._has_ring = False  # the store knows of our ring
        self._kept: dict[int, KeptRef] = {}  # by id: anonymous objects of ours that an ObjectRef keeps
        self.lock = new_lock()
        self._held: dict[int, list[RootRef]] = {}  # by object id
        self._private: dict[int, RootRef] = {}  # by their own id()
        self.shown: dict[str | int, Shown] = {}
        self.is_over = False  # the memory behind all this is gone, or about to go
        self._ended: deque[RootRef | KeptRef] = deque()
        self._told: deque[tuple[Callable[[int], None], int]] = deque()  # what the store is still to be told
        self._ours: set[int] = set()  # ids of anonymous objects that this client published
        self._unsettled: int | None = None  # id of an object whose word may not say what _held says
        self._sent: set[int] = set()  # ids of anonymous objects of which a reference was pickled
        self._permanent: set[int] = set()  # ids that a child without a connection reads under our leases
        self._is_passive = False  # the words are another process's to write

    # --- taking ------------------------------------------------------------------------------------------------

    def take(self, name: bytes, count_read: bool = True) -> Leased | None:
        """Take a lease on the object that a name means.

        Args:
            name: The name.
            count_read: It is fetched, not only looked at.

        Returns:
            The object; ``None`` is a miss, which only the store can confirm.
        """
        try:
            with self.lock:
                hit = None if self.is_over else self.index.look_up(name)
                return None if hit is None else self._take(*hit, count_read)
        finally:
            if self._ended or self._told or self._unsettled is not None or self.on_idle is not None:
                self.drain()

    def take_id(self, id: int, count_read: bool = True) -> Leased | None:
        """Take a lease on this very object, as ``take``."""
        try:
            with self.lock:
                if self.is_over:
                    return None
                hit = self.index.look_at(slot_of(id))
                if hit is None or hit[1].generation != generation_of(id):
                    return self._take_dying(id)
                return self._take(*hit, count_read)
        finally:
            if self._ended or self._told or self._unsettled is not None or self.on_idle is not None:
                self.drain()

    def heap_of(self, _leased: Leased) -> Heap:
        """Where the bytes are that a leased object's record tells of."""
        return self.heap

    def private(self, leased: Leased, offset: int, nbytes: int) -> Root:
        """A copy-on-write view of a leased object's bytes; the lease is held for as long as the view lives.

        Args:
            leased: The object.
            offset: Where in its heap the bytes start; they are the object's, or those of one that it contains.
            nbytes: How many.
        """
        root, window = self.heap_of(leased).private(offset, nbytes)
        ref = self._watch(root, 0, leased.record, window)
        ref.anchor = leased.root
        self._private[id(ref)] = ref
        return root

    def own(self, id: int) -> None:
        """An anonymous object is ours: the store is to be told when nothing here refers to it any more."""
        self._ours.add(id)

    def send(self, id: int) -> None:
        """A reference to an anonymous object is being pickled: it lives as long as this connection, and a while more."""
        try:
            with self.lock:
                if not self.is_over:
                    self._unsettled = id
                    self._sent.add(id)
                    self._settle()
        finally:
            self.drain()

    def forget_sent(self, id: int) -> None:
        """Nothing here refers any more to an object that was sent: its word stays, and is all that there is of it."""
        self.drain()
        with self.lock:
            if id not in self._held and id not in self._kept:
                self._sent.discard(id)

    def has_room(self) -> bool:
        """Can an object be announced?  The lock is held."""
        if self.is_over or self._is_passive:
            return False
        return self.table.ring_head - self.index.words[self.row + ROW_TAIL] < RING_ROOM

    def announce(self, ref: object, entry: Entry) -> None:
        """Tell of an anonymous object of ours, which lives from now on as long as ``ref``, or a view of it.

        The lock is held, and ``has_room`` was asked.

        Args:
            ref: What keeps it.
            entry: For the ring; the object's bytes are written.
        """
        id = entry[1]
        alarm = weakref.ref(ref, self._end)  # the younger reference is called first
        kept = KeptRef(ref, self._ended.append)
        kept.id, kept.entry, kept.alarm = id, entry, alarm
        self._unsettled = id
        self._kept[id] = kept
        self._ours.add(id)
        self._settle()
        self._has_ring = True
        self.table.append(entry)
        self._told.append((self._on_ring, 0))

    def spans(self) -> list[tuple[int, int, int]]:
        """The bytes of the heap that we hold a lease on, and those that the objects in them contain.

        Returns:
            ``(start, end, id)`` of each object, by start.
        """
        with self.lock:
            held = {id: refs[-1].record for id, refs in self._held.items() if refs and not refs[-1].is_spilled}
        spans = {(record.offset, record.offset + record.extent, id) for id, record in held.items()}
        for record in held.values():
            for id in self._contained(record):
                inner = self.index.record(slot_of(id))
                if inner is not None and inner.generation == generation_of(id):
                    spans.add((inner.offset, inner.offset + inner.extent, id))
        return sorted(spans)

    def roots(self) -> list[tuple[int, Record, Root]]:
        """Every living root: the id of its object (of a private one 0, behind the one that it stands on), facts, root."""
        try:
            with self.lock:
                refs = [*(ref for held in self._held.values() for ref in held), *self._private.values()]
                return [(ref.id, ref.record, root) for ref in refs if (root := ref()) is not None]
        finally:
            self.drain()

    def _take(
        self, slot: int, record: Record, place: Place, count_read: bool, make: MakeRoot | None = None
    ) -> Leased | None:
        """Steps 2 to 4; step 1 gave record and place.  The lock is held."""
        if self._is_passive:
            return None
        id = record[0] << SLOT_BITS | slot
        refs = self._held.get(id)
        if refs:
            # The end of a root may be noted and not yet worked off: only a living one is shared.
            root = refs[-1]()
            if root is not None:
                if count_read:
                    self.table.note_use(slot, time.monotonic_ns() // 1_000_000, fresh=False)
                return self._share(id, root, place, refs[-1])
        self._unsettled = id
        try:
            fresh = self.table.add(slot, record[0])
            if fresh is None or self.index.words[place[0]] != place[1]:
                # The store knows what is true.  Said anew: a finalizer that fetched something may have settled its own.
                self._unsettled = id
                return None
            leased = (make or self._make_root)(id, record, place)
            self._unsettled = None
        except BaseException:
            self._unsettled = id
            raise
        finally:
            if self._unsettled is not None:
                self._settle()
        if count_read or fresh:
            self.table.note_use(slot, time.monotonic_ns() // 1_000_000, fresh)
        return leased

    def _take_dying(self, id: int) -> Leased | None:
        """An object that is no longer LIVE can be read for as long as a root of it lives here."""
        refs = self._held.get(id)
        root = refs[-1]() if refs else None
        if root is None or refs is None:
            kept = self._kept.get(id)
            return None if kept is None else self._take_kept(kept)
        return self._share(id, root, None, refs[-1])

    def _take_kept(self, kept: KeptRef) -> Leased | None:
        """An object of ours that the store has not read of yet; we have a lease on it."""
        if kept.entry is None:
            return None
        _, id, offset, nbytes, payload, created_ns = kept.entry
        record = Record(generation_of(id), 0, 0, 0, 0, offset, rounded(nbytes), nbytes, payload, created_ns, 1, 0, b"")
        self._unsettled = id
        leased = self._make_root(id, record, None)
        self._settle()
        return leased

    def _make_root(self, id: int, record: Record, place: Place | None) -> Leased:
        if record.contained and self.heap.is_whole:
            # Its parts lie all over the heap: the root has to reach them.
            root, window, base = *self.heap.root(0, self.heap.nbytes), 0
        else:
            base = record.offset
            root, window = self.heap.root(base, record.extent)
        ref = self._watch(root, id, record, window)
        # In one step: a collection in between may fetch this very object in a finalizer.
        self._held.setdefault(id, []).append(ref)
        return _leased((id, root, base, record, ref, place))

    def _watch(self, root: Root, id: int, record: Record, window: Map | None, kind: type[RootRef] = RootRef) -> RootRef:
        # No __init__ of its own: with one, every get costs half a microsecond more.
        # The younger reference is called first.
        alarm = weakref.ref(root, self._end)
        ref = kind(root, self._ended.append)
        ref.id, ref.record, ref.window, ref.alarm = id, record, window, alarm
        ref.anchor = ref.meta = ref.name = None
        return ref

    def _share(self, id: int, root: Root, place: Place | None, ref: RootRef) -> Leased:
        is_all = root.nbytes == self.heap.nbytes
        return _leased((id, root, 0 if is_all else ref.record.offset, ref.record, ref, place))

    def _contained(self, record: Record) -> tuple[int, ...]:
        if not record.contained:
            return ()
        return read_contained(self.heap.read(record.offset, HEAD_SIZE + 8 * record.contained), record.contained)

    # --- letting go --------------------------------------------------------------------------------------------
    # An interrupt can be raised after any call.  So: a root's end is noted by a callback that is not Python code; a
    # step that was interrupted is done again, and may be; a lock whose taking was interrupted is found by its owner.

    def _end(self, _ref: object) -> None:
        if not sys.is_finalizing():  # the process ends, and its leases with it
            self.drain()

    def drain(self) -> None:
        """Work off what has ended, unless somebody is at it: then they do, or they find it after unlocking."""
        try:
            self._drain()
        except BaseException:
            self._drain()  # nothing waits for the next call: there may be none for long
            raise

    def _drain(self) -> None:
        lock = self.lock
        if is_mine(lock):
            return  # a garbage collection under this very lock; whoever has it below us drains after unlocking
        try:
            while (self._ended or self._unsettled is not None) and lock.acquire(False):
                if self._unsettled is not None:
                    self._settle()
                while self._ended:
                    self._let_go(self._ended[0])
                    self._ended.popleft()
                lock.release()
        finally:
            if is_mine(lock):
                lock.release()
        while self._told:
            # Another thread may be here too.  What is told twice does no harm, what is never told does.
            with contextlib.suppress(IndexError, ValueError):
                tell, id = entry = self._told[0]
                tell(id)
                self._told.remove(entry)
        if self.on_idle is not None:
            self.on_idle()

    def _let_go(self, ref: RootRef | KeptRef) -> None:
        """What the end of a root, or of what keeps an object, means.  Doing it twice does no harm."""
        if isinstance(ref, KeptRef):
            if self._kept.get(ref.id) is ref:
                self._kept.pop(ref.id, None)
            self._let_go_of(ref.id, is_anonymous=True)
            return
        if ref.window is not None:
            ref.window.close()
        if not ref.id:
            self._private.pop(id(ref), None)
            ref.anchor = None
            return
        self._forget(ref)
        refs = self._held.get(ref.id, [])
        refs[:] = [other for other in refs if other is not ref]
        if not refs:
            self._held.pop(ref.id, None)
        self._let_go_of(ref.id, is_anonymous=not ref.record.name_nbytes)

    def _let_go_of(self, id: int, *, is_anonymous: bool) -> None:
        """There is one root less of an object, or nothing that keeps it."""
        self._write(id)
        if id not in self._held and id not in self._kept:
            last_word = self._last_word(id, is_anonymous)
            if last_word is not None:
                self._told.append((last_word, id))

    def _forget(self, ref: RootRef) -> None:
        for key in (ref.id, ref.name or ""):  # no name is empty
            shown = self.shown.get(key)
            if shown is not None and shown[0] is ref:
                self.shown.pop(key, None)

    def _last_word(self, id: int, is_anonymous: bool) -> Callable[[int], None] | None:
        """What the store is to be told.  A name needs nobody to know that one reader less looks at it."""
        if id in self._ours:
            if not (self._has_ring and self.has_room()):
                return self._drop
            self.table.append((DROP, id, 0, 0, 0, 0))
            self._ours.discard(id)
            return self._on_ring
        is_named = not is_anonymous and self.index.is_live(slot_of(id), generation_of(id))
        return None if is_named else self._on_hint

    def _drop(self, id: int) -> None:
        self._on_drop(id)
        self._ours.discard(id)

    def _settle(self) -> None:
        """Let the word say what _held says: an interrupt may have fallen between the two."""
        if self._unsettled is not None:
            self._write(self._unsettled)
            self._unsettled = None

    def _write(self, id: int) -> None:
        if not self._is_passive:
            slot, generation = slot_of(id), generation_of(id)
            count = len(self._held.get(id, ())) + (id in self._kept) + (id in self._permanent)
            others, other_count = self.table.entry(slot)
            if others == generation or count or not other_count:
                self.table.write(slot, generation, count | (SENT if id in self._sent else 0))

    # --- the end of the connection, and forks -------------------------------------------------------------------

    def finish(self) -> bool:
        """End for good, if no view is left.

        Returns:
            Whether it is over: the memory behind all this may go.
        """
        lock = self.lock
        if self.is_over or is_mine(lock):
            # Under the lock, in a garbage collection: who has it drains after unlocking, and comes here then.
            return self.is_over
        try:
            if lock.acquire(blocking=False):
                self.is_over = not (self._held or self._kept or self._private or self._ended or self._told)
                lock.release()
        finally:
            if is_mine(lock):
                lock.release()
        return self.is_over

    def copy_to(self, table: LeaseTable) -> None:
        """Write all present leases into another table: that of a child about to be forked."""
        for id in {*self._held, *self._kept}:
            count = len(self._held.get(id, ())) + (id in self._kept)
            table.write(slot_of(id), generation_of(id), count)

    def keep_for_ever(self) -> None:
        """A child without a connection of its own reads under our present leases: no release ends them any more."""
        self._permanent.update(self._held, self._kept)
        for id in self._permanent:
            self._write(id)

    def move_to(self, table: LeaseTable | None) -> None:
        """We are the forked child.

        Args:
            table: From now on our leases are the words of this table; ``None``: they are our parent's, for ever.
        """
        self.lock = new_lock()
        self._ours.clear()
        self._has_ring = False
        self._permanent.clear()
        self._sent.clear()
        self._unsettled = None
        self._is_passive = table is None
        self.table = table or self.table
