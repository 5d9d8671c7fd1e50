"""The reader's half of the lease protocol over bytes in memory, as a client's end of a connection has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pure_parts import Lease

from jupyter_shm.protocol import messages as m
from jupyter_shm.tables.layout import LIVE, PENDING, generation_of, slot_of
from jupyter_shm.tables.leases import SENT, LeaseTable

if TYPE_CHECKING:
    from pure_store import PureStore


class PureReader:
    """Takes leases, lets go of them, and pickles references."""

    store: PureStore
    table: LeaseTable
    sent: set[int]

    def send(self, message: m.Request) -> None:
        raise NotImplementedError

    def lease(self, name: str) -> int | None:
        """Steps 1 to 3 of a get, with nothing in between; the object's id."""
        steps = self.lease_steps(name)
        for _ in steps:
            pass
        return steps.id

    def lease_steps(self, name: str) -> Lease:
        return Lease(self, name)

    def let_go(self, id: int) -> None:
        """The last view of an object ends."""
        generation, count = self.table.entry(slot_of(id))
        assert generation == generation_of(id)
        assert count > 0
        self.table.write(slot_of(id), generation, count - 1 | (SENT if id in self.sent else 0))
        record = self.store.reader.record(slot_of(id))
        is_named = record is not None and record.name_nbytes > 0
        if count == 1 and not (is_named and self.store.reader.is_live(slot_of(id), generation)):
            self.send(m.Hint(id))

    def lease_id(self, id: int) -> bool:
        """As ``lease``, of this very object, which may still have to be made: is it held?"""
        slot, generation = slot_of(id), generation_of(id)
        able = {generation << 8 | state for state in (LIVE, PENDING)}
        if self.store.reader.state(slot) not in able or self.table.add(slot, generation) is None:
            return False
        assert self.store.reader.state(slot) in able
        return True

    def send_ref(self, id: int) -> None:
        """A reference to an anonymous object is pickled."""
        generation, count = self.table.entry(slot_of(id))
        assert count
        assert generation == generation_of(id)
        self.sent.add(id)
        self.table.write(slot_of(id), generation, count | SENT)
