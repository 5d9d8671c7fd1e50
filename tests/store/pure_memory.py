"""The memory of a store without a process: what its actions do to it, and what is to be seen there.

Whatever must be true of each single action is asserted here.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from jupyter_shm.store import actions as a
from jupyter_shm.store.extents import HUGE, PAGE
from jupyter_shm.tables.index import IndexReader, IndexWriter
from jupyter_shm.tables.layout import FREE, LIVE, PENDING, RESERVED, SPILLED, SPILLING, TERM_SPILLED, slot_of
from jupyter_shm.tables.terms import TermsTable

if TYPE_CHECKING:
    from jupyter_shm.store.core import Core
    from jupyter_shm.store.ledger import Ledger


class PureMemory:
    """Heap, spill heap and index, and those who work on them.

    Attributes:
        punched: Every range that was given back to the system.
        warming: Ranges that are to be warmed, and of which nobody has told yet what came of it.
        disk: Bytes that the spill heap may take; a test may change it.
        copying: What is to be copied into the spill heap, and of which nobody has told yet what came of it.
    """

    core: Core
    now: float
    heap: mmap.mmap
    spill: mmap.mmap
    index: IndexWriter
    reader: IndexReader
    terms: TermsTable
    disk: int
    copying: a.Spill | None
    warming: list[tuple[int, int]]
    punched: list[tuple[int, int]]

    @property
    def ledger(self) -> Ledger:
        return self.core.ledger

    def perform(self, actions: list[a.Action]) -> None:
        """Carry actions out."""
        raise NotImplementedError

    # --- actions --------------------------------------------------------------------------------------------------

    def _write_record(self, action: a.WriteRecord) -> None:
        assert self.reader.state(action.slot) & 0xFF == FREE, "facts are written only while the slot is FREE"
        self.index.write_record(action.slot, action.record)

    def _promise(self, action: a.Promise) -> None:
        assert self.reader.state(action.slot) & 0xFF == FREE, "a slot is promised only while it is FREE"
        self.index.promise(action.slot, action.generation, action.nursery)

    def _pend(self, action: a.Pend) -> None:
        assert self.reader.state(action.slot) & 0xFF == FREE, "a slot becomes PENDING only while it is FREE"
        self.index.promise(action.slot, action.generation, action.client, action.number, PENDING)

    def _publish(self, action: a.Publish) -> None:
        promised = {action.record.generation << 8 | state for state in (RESERVED, PENDING)}
        assert self.reader.state(action.slot) in promised, "an object is published in a slot that was promised for it"
        self.index.publish(action.slot, action.record)

    def _set_term(self, action: a.SetTerm) -> None:
        assert self.terms.get(action.slot, action.term) != action.value, "a word is written that stays as it is"
        self.terms.set(action.slot, action.term, action.value)

    def _warm(self, action: a.Warm) -> None:
        assert action.offset % HUGE == action.nbytes % HUGE == 0
        assert not self.warming, "one at a time"
        self.warming.append((action.offset, action.nbytes))

    def warmed(self, huge: int, present: int) -> None:
        """The warmer is done with what it was asked for: bytes in huge pages, and bytes in small ones."""
        self.warming.pop()
        self.perform(self.core.warmed(huge, present))

    def _spill(self, action: a.Spill) -> None:
        assert action.offset % PAGE == action.source % PAGE == 0
        assert self.copying is None, "one at a time"
        assert self.spill[action.offset : action.offset + action.nbytes].count(0) == action.nbytes, "it is another's"
        self.copying = action

    def copied(self, error: str = "") -> None:
        """The spiller is done with what it was asked for, or has failed."""
        do, self.copying = self.copying, None
        assert do is not None
        if do.spilled + do.nbytes > self.disk:
            error = "No space left on device"
        if not error:
            self.spill[do.offset : do.offset + do.nbytes] = self.heap[do.source : do.source + do.nbytes]
        self.perform(self.core.spilled(-1, error, self.disk, self.now))

    def _punch_spill(self, action: a.PunchSpill) -> None:
        assert action.offset % PAGE == action.nbytes % PAGE == 0
        end = action.offset + action.nbytes
        for object in self.ledger.objects.values():
            is_elsewhere = object.place < 0 or end <= object.place or object.place + object.extent <= action.offset
            assert is_elsewhere, "bytes are lost"
        self.spill[action.offset : end] = bytes(action.nbytes)

    def _punch(self, action: a.Punch) -> None:
        assert action.offset % PAGE == action.nbytes % PAGE == 0
        assert action.nbytes > 0
        self.heap[action.offset : action.offset + action.nbytes] = bytes(action.nbytes)
        self.punched.append((action.offset, action.nbytes))

    # --- what a reader sees ---------------------------------------------------------------------------------------

    def state_of(self, id: int) -> int:
        """The state of an object's slot."""
        return self.reader.state(slot_of(id)) & 0xFF

    def bytes_of(self, name: str) -> bytes | None:
        """What a reader finds under a name who asks nobody, but for what he would get at once if he did."""
        for state in (LIVE, SPILLING, SPILLED):
            hit = self.reader.look_up(name.encode(), state)
            if hit is not None:
                slot, record = hit[:2]
                place, memory = record.offset, self.heap
                if state == SPILLED:
                    place, memory = self.terms.get(slot, TERM_SPILLED) - 1, self.spill
                return bytes(memory[place : place + record.nbytes])
        return None

    def bytes_at(self, id: int) -> bytes:
        """The bytes of an object, wherever they are."""
        object = self.ledger.objects[id]
        place, memory = (object.place, self.spill) if object.is_spilled else (object.offset, self.heap)
        return bytes(memory[place : place + object.nbytes])
