"""From a packed object to a published one: reserve, write, commit.  Nothing is left over, whatever interrupts it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import TypeAlias

from ..errors import ShmError, StoreConnectionError
from ..protocol import messages as m
from ..tables.ring import COMMIT
from .cutting import Piece
from .refs import ObjectRef
from .session import Session, open_sessions
from .writing import Found, Placed, joined

How: TypeAlias = tuple[bool, tuple[int, int]]
"""May it overwrite, and on which terms is it published."""

SMALL = 64 << 10
"""Bytes up to which an object's parts are joined in memory and written with one call."""


def publish(
    session: Session,
    placed: Placed,
    name: str,
    overwrite: bool,
    terms: tuple[int, int],
    told: Callable[[int], None] | None = None,
) -> ObjectRef:
    """Reserve, write, commit.  Whatever interrupts it, the store takes back what nobody will know of.

    Args:
        session: Where to.
        placed: What.
        name: ``""`` for an anonymous object.
        overwrite: As for ``Store.put``.
        terms: Flags, and nanoseconds to live.
        told: Told of the progress of the copy, in bytes.
    """
    tickets: list[int] = []
    try:
        piece = session.cutter.cut(placed.nbytes)
        if piece is not None:
            return _publish_piece(session, piece, placed, name, (overwrite, terms), tickets)
        reserved: m.Reserved = session.connection.request(m.Reserve, placed.nbytes, ticket=tickets)
        write(session, reserved.offset, placed, reserved.huge, told)
        return _commit(session, reserved.id, placed, name, (overwrite, terms), tickets)
    except BaseException as error:
        for ticket in tickets:
            session.connection.cancel(ticket)
        if isinstance(error, ShmError) and error.reason == "full":
            error.text = f"cannot put {name or 'an anonymous object'!r}: {error.text}"
        raise


def put_small(session: Session, small: tuple[bytes, int, int]) -> ObjectRef | None:
    """Put a small array without a name, and without asking the store; ``None``: that needs the long way.

    Args:
        session: Where to.
        small: What, as ``small_array`` has laid it out.
    """
    data, payload, created_ns = small
    leases = session.leases
    try:
        # Under the lock: the session may be over at any other time, and its descriptors be somebody else's.
        with leases.lock:
            piece = session.cutter.cut_at_once(len(data)) if leases.has_room() else None
            if piece is None:
                return None
            session.heap.write_small(piece.offset, data)
            ref = ObjectRef(session.welcome.store, piece.id, "", 1)
            leases.announce(ref, (COMMIT, piece.id, piece.offset, len(data), payload, created_ns))
        if piece.nursery.is_low and session.cutter.is_low:
            session.cutter.ask_ahead(len(data))
        return ref
    finally:
        leases.drain()


def _publish_piece(
    session: Session, piece: Piece, placed: Placed, name: str, how: How, tickets: list[int]
) -> ObjectRef:
    write(session, piece.offset, placed, placed.nbytes if piece.nursery.is_huge else 0)
    leases = session.leases
    if not (name or placed.contained):
        try:
            with leases.lock:
                if leases.has_room():
                    ref = ObjectRef(session.welcome.store, piece.id, "", 1)
                    facts = (placed.nbytes, placed.payload, placed.created_ns)
                    leases.announce(ref, (COMMIT, piece.id, piece.offset, *facts))
                    return ref
        finally:
            leases.drain()
    return _commit(session, piece.nursery.id, placed, name, how, tickets, (piece.id, piece.offset))


def write(session: Session, offset: int, placed: Placed, huge: int, told: Callable[[int], None] | None = None) -> None:
    """Write an object into an extent that is ours.

    Args:
        session: In a call.
        offset: Where in the heap the extent is, in bytes.
        placed: What.
        huge: Bytes of the extent, from its beginning on, that lie in huge pages.
        told: As for ``publish``.
    """
    if placed.nbytes <= SMALL:
        session.heap.write_small(offset, joined(placed.buffers, placed.nbytes))
    else:
        session.heap.write(offset, placed.buffers, huge, told)


def _commit(
    session: Session,
    reservation: int,
    placed: Placed,
    name: str,
    how: How,
    tickets: list[int],
    piece: tuple[int, int] = (0, 0),
) -> ObjectRef:
    overwrite, terms = how
    facts = (name, placed.nbytes, placed.payload, placed.created_ns, overwrite, *piece, *terms)
    done: m.Committed = session.connection.request(m.Commit, reservation, *facts, ticket=tickets)
    lease = None
    if not name:
        session.leases.own(done.id)
        lease = session.leases.take_id(done.id, count_read=False)
        if lease is None:
            raise StoreConnectionError("the store lost an object that it has just committed; see its log")
    replaced = (done.replaced_version, done.replaced_label)
    return ObjectRef(session.welcome.store, done.id, name, done.version, replaced, lease)


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


class BytesOfAll:
    """The same, under the leases of every connection of this process to one store.

    Args:
        session: One of them, of which the object will be.
    """

    def __init__(self, session: Session) -> None:
        store = session.welcome.store
        self._all = [StoredBytes(one) for one in open_sessions() if one.welcome.store == store]

    def find(self, buffer: memoryview) -> Found | None:
        """As of ``StoredBytes``."""
        for one in self._all:
            found = one.find(buffer)
            if found is not None:
                return found
        return None
