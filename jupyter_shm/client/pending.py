"""Objects that are still to be made: an ObjectRef now, which others may be handed and wait for, and what it means later.

Whoever asks for one makes it, once: of a value, of another object that it is to stand for, or of an exception.  If its
connection ends first, the object is lost to all who wait.  Any thread may call; whatever is raised out of a call, what it
was to make is either made or as it was.
"""

from __future__ import annotations

from ..errors import InvalidArgumentError, ObjectNotFoundError, ShmError, StoreConnectionError
from ..protocol import messages as m
from ..serial.pack import Packed, pack
from . import publishing
from .calls import Call
from .refs import ObjectRef
from .session import Session
from .template import placed_as, small_array
from .travel import Luggage
from .writing import Placed, place


def pend(session: Session) -> ObjectRef:
    """Ask for an object that is to be made by this process.

    Args:
        session: To its store; the object is lost when the connection ends before it is made.

    Returns:
        A reference to it, which can be handed to others at once.  What nobody refers to needs not be made.

    Raises:
        StoreFullError: There are as many objects as there can be.
        StoreConnectionError: The connection is gone.
    """
    tickets: list[int] = []
    with _call(session):
        try:
            pended: m.Pended = session.connection.request(m.Pend, ticket=tickets)
            session.leases.own(pended.id)
            anchor = session.leases.hold(pended.id)
            if anchor is None:
                raise StoreConnectionError("the store lost an object that it has just promised; see its log")
            return ObjectRef(session.welcome.store, pended.id, "", 1, lease=anchor)
        except BaseException:
            for ticket in tickets:
                session.connection.cancel(ticket)
            raise


def fulfil(session: Session, ref: ObjectRef, obj: object) -> None:
    """Make an object of a value.

    Args:
        session: With which it was asked for.
        ref: What ``pend`` returned.
        obj: As for ``Store.put``.

    Raises:
        FulfilledError: It has been made already, perhaps by a call that was interrupted.
        ObjectNotFoundError: It is gone: its store ended.
        InvalidArgumentError: It was asked for with another connection, or would contain itself.
        UnpicklableError, StoreFullError: As for ``Store.put``.
        StoreConnectionError: The connection is gone, and the object with it.
    """
    small = small_array(obj, session.label)
    if small is not None:
        with _call(session):
            _make(session, ref, placed_as(small))
        return
    luggage = Luggage()
    _make_packed(session, ref, pack(obj, luggage.reducers), luggage)


def forward(session: Session, ref: ObjectRef, other: ObjectRef) -> None:
    """Let an object stand for another one, which may still have to be made: who gets the one gets the other, without a copy.

    Args:
        session: As for ``fulfil``.
        ref: The same.
        other: To an anonymous object of the same store; it lives as long as ``ref``'s does.

    Raises:
        InvalidArgumentError: ``other`` has a name, or is of another store, or the object would stand for itself.
        ShmError: As ``fulfil``.
    """
    from ..serial.outcome import pack_forward

    if other.name or other.store != session.welcome.store:
        raise InvalidArgumentError(
            f"{other!r} is no reference to an anonymous object of this store; fulfil with its value"
        )
    _make_packed(session, ref, pack_forward(other.id), Luggage(other))


def fail(session: Session, ref: ObjectRef, error: BaseException) -> None:
    """Let an object be an exception: who gets it has it raised, with the traceback of ``error`` as its cause.

    Args:
        session: As for ``fulfil``.
        ref: The same.
        error: Where it cannot be pickled, or not be rebuilt, its text is raised as ``TaskError``.

    Raises:
        ShmError: As ``fulfil``, but never for ``error``.
    """
    from ..serial.outcome import pack_failure

    luggage = Luggage()
    _make_packed(session, ref, pack_failure(error, luggage.reducers), luggage)


def _make_packed(session: Session, ref: ObjectRef, packed: Packed, luggage: Luggage) -> None:
    with _call(session):
        find = publishing.StoredBytes(session).find
        _make(session, ref, place(packed, session.label, find, luggage.contained(session)))


def _make(session: Session, ref: ObjectRef, placed: Placed) -> None:
    if ref.store != session.welcome.store:
        raise ObjectNotFoundError(f"the object that {ref!r} means is gone: its store ended")
    connection, tickets = session.connection, list[int]()
    facts = (placed.nbytes, placed.payload, placed.created_ns)
    try:
        piece = session.cutter.cut(placed.nbytes)
        if piece is None:
            reserved: m.Reserved = connection.request(m.Reserve, placed.nbytes, ticket=tickets)
            publishing.write(session, reserved.offset, placed, reserved.huge)
            connection.request(m.Fulfil, ref.id, reserved.id, *facts, ticket=tickets)
        else:
            nursery = piece.nursery
            publishing.write(session, piece.offset, placed, placed.nbytes if nursery.is_huge else 0)
            connection.request(m.Fulfil, ref.id, nursery.id, *facts, piece.id, piece.offset, ticket=tickets)
    except BaseException as error:
        for ticket in tickets:
            connection.cancel(ticket)
        if isinstance(error, ShmError) and error.reason == "full":
            error.text = f"cannot make what was promised: {error.text}"
        raise


def _call(session: Session) -> Call:
    session.leases.drain()
    session.connection.check()
    return Call(session)
