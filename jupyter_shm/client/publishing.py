"""From a packed object to a published one: reserve, write, commit.  Nothing is left over, whatever interrupts it."""

from __future__ import annotations

from bisect import bisect_right

from ..errors import ShmError, StoreConnectionError
from ..protocol import messages as m
from .refs import ObjectRef
from .session import Session
from .writing import Found, Placed, joined

SMALL = 64 << 10
"""Bytes up to which an object's parts are joined in memory and written with one call."""


def publish(session: Session, placed: Placed, name: str, overwrite: bool) -> ObjectRef:
    """Reserve, write, commit.  Whatever interrupts it, the store takes back what nobody will know of."""
    connection = session.connection
    tickets: list[int] = []
    try:
        reserved: m.Reserved = connection.request(m.Reserve, placed.nbytes, ticket=tickets)
        small = placed.nbytes <= SMALL and len(placed.buffers) > 1
        session.heap.write(reserved.offset, joined(placed.buffers, placed.nbytes) if small else placed.buffers)
        facts = (name, placed.nbytes, placed.payload, placed.created_ns, overwrite)
        done: m.Committed = connection.request(m.Commit, reserved.id, *facts, ticket=tickets)
        lease = None
        if not name:
            session.leases.own(done.id)
            lease = session.leases.take_id(done.id, count_read=False)
            if lease is None:
                raise StoreConnectionError("the store lost an object that it has just committed; see its log")
        replaced = (done.replaced_version, done.replaced_label)
        return ObjectRef(session.welcome.store, done.id, name, done.version, replaced, lease)
    except BaseException as error:
        for ticket in tickets:
            connection.cancel(ticket)
        if isinstance(error, ShmError) and error.reason == "full":
            error.text = f"cannot put {name or 'an anonymous object'!r}: {error.text}"
        raise


class StoredBytes:
    """Where the buffers of one put are in the store already, under leases of ours.

    The spans are collected once, when the first buffer turns out to lie in the heap: most puts never get there.

    Args:
        session: Whose leases.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._spans: list[tuple[int, int, int]] | None = None

    def find(self, buffer: memoryview) -> Found | None:
        """Id of the object whose bytes a buffer is, and where in the heap it starts; ``None`` if it is elsewhere."""
        offset = self._session.heap.offset_of(buffer)
        if offset is None:
            return None
        if self._spans is None:
            self._spans = self._session.leases.spans()
        at = bisect_right(self._spans, (offset, self._session.heap.nbytes, 0)) - 1
        if at < 0 or offset + buffer.nbytes > self._spans[at][1]:
            return None
        return self._spans[at][2], offset
