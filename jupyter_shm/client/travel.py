"""References on their way between processes: in pickles, and inside of stored objects.

A pickled reference names its store and its object, and nothing else.  While it is on its way nobody holds a lease for it,
so its sender says in its lease table that it may come; inside of a stored object it is listed as contained instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import ObjectNotFoundError, ShmError
from . import asking
from .refs import ObjectRef
from .session import Session, open_sessions

Taken = tuple[Callable[..., ObjectRef], tuple[int, str, int, str, int]]
"""What ``object.__reduce__`` returns."""


def send(ref: ObjectRef) -> Taken:
    """Take a reference apart for whoever will read the pickle, and keep its object for him."""
    session = session_of(ref.store)
    if session is not None and not ref.name:
        session.leases.send(ref.id)
    return _taken(ref, session)


def receive(store: int, store_name: str, id: int, name: str, version: int) -> ObjectRef:
    """Put a reference together again; to an anonymous object it holds a lease from now on.

    If the store, or the object, is gone, it is a reference all the same, and a get says what has happened.

    Args:
        store: Id of the store.
        store_name: Its name, to connect to it if this process has not.
        id: Of the object.
        name: As in the reference.
        version: The same.
    """
    from .leaving import came_back

    ours = came_back(store, id)
    if ours is not None:
        return ours
    ref = ObjectRef(store, id, name, version)
    session = None if name else reach(store, store_name)
    if session is not None:
        ref.lease = session.leases.take_id(id, count_read=False) or session.leases.hold(id)
        if ref.lease is None:
            with contextlib.suppress(ShmError):  # gone, or the store is; a get will tell
                ref.lease = asking.hold_missed(session, ref)
    return ref


async def fetch(ref: ObjectRef) -> Any:
    """Fetch the object of a reference, for code that runs in an event loop."""
    from .default import default_store, store_of

    if ref.promise is not None:
        return await default_store().aget(ref)
    session = session_of(ref.store)
    if session is None:
        raise ObjectNotFoundError(f"the object that {ref!r} means is gone: this process has no connection to its store")
    return await store_of(session).aget(ref)


class Luggage:
    """The references inside of one object that is put.

    Args:
        refs: Those that are known from the beginning.

    Attributes:
        refs: Those that are known, and those that were met.
        reducers: For ``pack``: it notes every reference that it meets.
    """

    def __init__(self, *refs: ObjectRef) -> None:
        self.refs = list(refs)
        # No method of ours: that would be a cycle, and hold the references until somebody collects garbage.
        self.reducers: dict[type, Callable[[Any], Taken]] = {ObjectRef: partial(_note, self.refs)}

    def __bool__(self) -> bool:
        return bool(self.refs)

    def contained(self, session: Session) -> list[int]:
        """Ids of the anonymous objects that the new one contains; those of another store are kept as if pickled."""
        here = session.welcome.store
        for ref in self.refs:
            if ref.store != here:
                send(ref)
        return [ref.id for ref in self.refs if ref.store == here and not ref.name]


def _note(refs: list[ObjectRef], ref: ObjectRef) -> Taken:
    ref.settle()
    refs.append(ref)
    return _taken(ref, session_of(ref.store))


def session_of(store: int, rather: Session | None = None) -> Session | None:
    """A connection of this process to the store of this id, that calls can go to.

    Args:
        store: Id of the store.
        rather: This one, if calls can go to it.
    """
    for session in (*([rather] if rather is not None else []), *open_sessions()):
        if session.welcome.store == store and session.connection.broken is None and not session.is_orphan:
            return session
    return None


def _taken(ref: ObjectRef, session: Session | None) -> Taken:
    return receive, (ref.store, session.name if session is not None else "", ref.id, ref.name, ref.version)


def reach(store: int, store_name: str) -> Session | None:
    """A connection of this process to the store of this id, made now if there is none yet.

    Args:
        store: Id of the store.
        store_name: Its name.

    Returns:
        ``None``: it has ended, or is another machine's, or another user's.
    """
    session = session_of(store)
    if session is None:
        from .default import join

        with contextlib.suppress(ShmError, OSError):  # it does not run, or not here
            join(store_name)
        session = session_of(store)
    return session
