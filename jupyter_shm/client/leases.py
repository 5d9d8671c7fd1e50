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
from typing import NamedTuple

from ..linux.maps import Map
from ..tables.index import IndexReader
from ..tables.layout import Record, generation_of, object_id, slot_of
from ..tables.leases import LeaseTable
from ..tables.prefix import HEAD_SIZE, read_contained
from .heap import Heap, Root
from .lock import is_mine, new_lock


class RootRef(weakref.ref[Root]):
    """Notices the end of a root."""

    __slots__ = ("alarm", "anchor", "id", "meta", "record", "window")

    id: int  # of the object; 0 for a private view, which has no lease of its own
    record: Record  # of the object
    window: Map | None  # to be closed with it
    anchor: Root | None  # the leased root that a private view stands on
    meta: object  # what the object says of itself and where its data starts, once somebody has read it
    alarm: weakref.ref[Root]  # calls Python code at the end, after this one was noted without any


class Leased(NamedTuple):
    """An object that this process holds a lease on."""

    id: int
    root: Root
    base: int  # where in the heap the root starts, in bytes
    record: Record
    ref: RootRef


class Leases:
    """The leases of one connection.

    Args:
        index: The store's index.
        table: This client's lease table.
        heap: The heap.
        on_hint: Called with the id of an object that is no longer LIVE when its last lease here is let go.
        on_drop: Called with the id of an anonymous object of ours when its last lease here is let go.
    """

    def __init__(
        self,
        index: IndexReader,
        table: LeaseTable,
        heap: Heap,
        on_hint: Callable[[int], None],
        on_drop: Callable[[int], None],
    ) -> None:
        self.index = index
        self.table = table
        self.heap = heap
        self.on_idle: Callable[[], None] | None = None
        self._on_hint = on_hint
        self._on_drop = on_drop
        self.lock = new_lock()
        self._held: dict[int, list[RootRef]] = {}  # by object id
        self._private: dict[int, RootRef] = {}  # by their own id()
        self.is_over = False  # the memory behind all this is gone, or about to go
        self._ended: deque[RootRef] = deque()
        self._told: deque[tuple[Callable[[int], None], int]] = deque()  # what the store is still to be told
        self._ours: set[int] = set()  # ids of anonymous objects that this client published
        self._unsettled: int | None = None  # id of an object whose word may not say what _held says
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
                found = None if self.is_over else self.index.find(name)
                return None if found is None else self._take(*found, count_read)
        finally:
            self.drain()

    def take_id(self, id: int, count_read: bool = True) -> Leased | None:
        """Take a lease on this very object, as ``take``."""
        slot = slot_of(id)
        try:
            with self.lock:
                if self.is_over:
                    return None
                record = self.index.live_record(slot)
                if record is None or record.generation != generation_of(id):
                    return self._take_dying(id)
                return self._take(slot, record, count_read)
        finally:
            self.drain()

    def private(self, leased: Leased, offset: int, nbytes: int) -> Root:
        """A copy-on-write view of a leased object's bytes; the lease is held for as long as the view lives.

        Args:
            leased: The object.
            offset: Where in the heap the bytes start; they are the object's, or those of one that it contains.
            nbytes: How many.
        """
        root, window = self.heap.private(offset, nbytes)
        ref = self._watch(root, 0, leased.record, window)
        ref.anchor = leased.root
        self._private[id(ref)] = ref
        return root

    def own(self, id: int) -> None:
        """An anonymous object is ours: the store is to be told when nothing here refers to it any more."""
        self._ours.add(id)

    def spans(self) -> list[tuple[int, int, int]]:
        """The bytes of the heap that we hold a lease on, and those that the objects in them contain.

        Returns:
            ``(start, end, id)`` of each object, by start.
        """
        with self.lock:
            held = {id: refs[-1].record for id, refs in self._held.items() if refs}
        spans = {(record.offset, record.offset + record.extent, id) for id, record in held.items()}
        for record in held.values():
            for id in self._contained(record):
                inner = self.index.record(slot_of(id))
                if inner is not None and inner.generation == generation_of(id):
                    spans.add((inner.offset, inner.offset + inner.extent, id))
        return sorted(spans)

    def _take(self, slot: int, record: Record, count_read: bool) -> Leased | None:
        """Steps 2 to 4; step 1 gave the record.  The lock is held."""
        if self._is_passive:
            return None
        id = object_id(slot, record.generation)
        refs = self._held.get(id)
        if refs:
            # The end of a root may be noted and not yet worked off: only a living one is shared.
            root = refs[-1]()
            if root is not None:
                self._note(slot, count_read, fresh=False)
                return self._leased(id, root, record, refs[-1])
        generation, count = self.table.entry(slot)
        if count and generation != record.generation:
            return None  # a lease of another generation is never replaced; the store knows what is true
        self._unsettled = id
        try:
            self.table.write(slot, record.generation, count + 1)
            if not self.index.is_live(slot, record.generation):
                self._unsettled = id  # a finalizer that fetched something may have settled its own meanwhile
                return None
            leased = self._make_root(id, record)
            self._unsettled = None
        except BaseException:
            self._unsettled = id
            raise
        finally:
            self._settle()
        self._note(slot, count_read, fresh=generation != record.generation)
        return leased

    def _take_dying(self, id: int) -> Leased | None:
        """An object that is no longer LIVE can be read for as long as a root of it lives here."""
        refs = self._held.get(id)
        root = refs[-1]() if refs else None
        record = self.index.record(slot_of(id))
        if root is None or refs is None or record is None:
            return None
        return self._leased(id, root, record, refs[-1])

    def _make_root(self, id: int, record: Record) -> Leased:
        if record.contained and self.heap.is_whole:
            # Its parts lie all over the heap: the root has to reach them.
            root, window, base = *self.heap.root(0, self.heap.nbytes), 0
        else:
            root, window = self.heap.root(record.offset, record.extent)
            base = record.offset
        ref = self._watch(root, id, record, window)
        self._held.setdefault(id, []).append(ref)
        return Leased(id, root, base, record, ref)

    def _watch(self, root: Root, id: int, record: Record, window: Map | None) -> RootRef:
        # No __init__ of its own: with one, every get costs half a microsecond more.
        # The younger reference is called first.
        alarm = weakref.ref(root, self._end)
        ref = RootRef(root, self._ended.append)
        ref.id, ref.record, ref.window, ref.anchor, ref.meta, ref.alarm = id, record, window, None, None, alarm
        return ref

    def _leased(self, id: int, root: Root, record: Record, ref: RootRef) -> Leased:
        is_all = root.nbytes == self.heap.nbytes
        return Leased(id, root, 0 if is_all else record.offset, record, ref)

    def _note(self, slot: int, count_read: bool, fresh: bool) -> None:
        if count_read or fresh:
            self.table.note_use(slot, time.monotonic_ns() // 1_000_000, fresh)

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
            while (self._ended or self._unsettled is not None) and lock.acquire(blocking=False):
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

    def _let_go(self, ref: RootRef) -> None:
        """What the end of a root means.  Doing it twice does no harm."""
        if ref.window is not None:
            ref.window.close()
        if not ref.id:
            self._private.pop(id(ref), None)
            ref.anchor = None
            return
        refs = self._held.get(ref.id, [])
        refs[:] = [other for other in refs if other is not ref]
        self._write(ref.id)
        if not refs:
            self._told.append((self._last_word(ref.id), ref.id))
            self._held.pop(ref.id, None)

    def _last_word(self, id: int) -> Callable[[int], None]:
        if id in self._ours:
            return self._drop
        return _nothing if self.index.is_live(slot_of(id), generation_of(id)) else self._on_hint

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
            count = len(self._held.get(id, ())) + (id in self._permanent)
            self.table.write(slot_of(id), generation_of(id), count)

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
                self.is_over = not (self._held or self._private or self._ended or self._told)
                lock.release()
        finally:
            if is_mine(lock):
                lock.release()
        return self.is_over

    def copy_to(self, table: LeaseTable) -> None:
        """Write all present leases into another table: that of a child about to be forked."""
        for id, refs in self._held.items():
            table.write(slot_of(id), generation_of(id), len(refs))

    def keep_for_ever(self) -> None:
        """A child without a connection of its own reads under our present leases: no release ends them any more."""
        self._permanent.update(self._held)
        for id in self._held:
            self._write(id)

    def move_to(self, table: LeaseTable | None) -> None:
        """We are the forked child.

        Args:
            table: From now on our leases are the words of this table; ``None``: they are our parent's, for ever.
        """
        self.lock = new_lock()
        self._ours.clear()
        self._permanent.clear()
        self._unsettled = None
        self._is_passive = table is None
        self.table = table or self.table


def _nothing(id: int) -> None:
    """A LIVE object needs nobody to know that one reader less looks at it."""
