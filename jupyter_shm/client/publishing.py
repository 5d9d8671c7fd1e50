"""From a packed object to a published one: reserve, write, commit.  Nothing is left over, whatever interrupts it."""

from __future__ import annotations

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


def find(session: Session, buffer: memoryview) -> Found | None:
    """Where a buffer's bytes are in the store, if they are, under a lease of ours."""
    offset = session.heap.offset_of(buffer)
    if offset is None:
        return None
    leases = session.leases
    id = leases.holder_of(offset, buffer.nbytes) or leases.contained_holder(offset, buffer.nbytes)
    return None if id is None else (id, offset)
