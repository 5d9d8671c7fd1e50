"""What the index does not tell: the store is asked whether a name is published, and told to say so when it is.

A miss in the index may be due to a write under way, so it is never believed.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ..errors import GetTimeoutError, InvalidArgumentError, ObjectLostError, ObjectNotFoundError
from ..protocol import messages as m
from ..protocol.names import encode_name
from .connection import FOREVER, DeadlineError
from .leases import Leased
from .refs import ObjectRef
from .session import Session


def take_missed(session: Session, key: Any, deadline: float | None, *, is_told: bool = True) -> Leased:
    """Take a lease on what the index did not show.

    Args:
        session: In a call.
        key: A name, or an ObjectRef.
        deadline: How long to wait, in seconds of ``time.monotonic``; ``None``: not for a name, and for ever for what a
            reference means, which somebody will make.
        is_told: Somebody reads the error's text.

    Raises:
        ObjectNotFoundError: Nobody has published it, or the version that the reference means is gone.
        ObjectLostError: Who was to make it has ended.
        GetTimeoutError: Nobody published it in time.
    """
    if isinstance(key, ObjectRef):
        return _take_missed_ref(session, key, FOREVER if deadline is None else deadline)
    name = encode_name(key)
    while True:
        leased = session.leases.take_spilled(name)
        if leased is not None:
            return leased
        if deadline is None:
            _confirm(session, key, is_told)
        else:
            wait_for(session, (key,), 1, deadline)
        leased = session.leases.take(name)
        if leased is not None:
            return leased


def _take_missed_ref(session: Session, ref: ObjectRef, deadline: float) -> Leased:
    leases, id = session.leases, ref.id
    with contextlib.suppress(ObjectNotFoundError):
        leased, state = None, "pending"
        while state == "pending":
            _check_store(session, ref)
            leased = leases.take_spilled(None, id)
            if leased is None and leases.is_pending(id):
                wait_for(session, (), 1, deadline, ids=(id,))
                leased = leases.take_id(id)
            if leased is None:
                state = _ask_about(session, ref)  # its publisher may just have told of it
                leased = leases.take_id(id) or leases.take_spilled(None, id)
            if leased is not None:
                return leased
    raise ObjectNotFoundError(f"the object that {ref!r} means is gone: deleted, replaced, or its store ended")


def hold_missed(session: Session, ref: ObjectRef) -> object | None:
    """Take a lease on what the index did not show, or that is still to be made; do not wait for that.

    Args:
        session: Of its store.
        ref: Means an anonymous object.

    Raises:
        ObjectNotFoundError: It is gone.
    """
    leases, id = session.leases, ref.id
    leased = leases.take_spilled(None, id)
    if leased is None:
        session.connection.request(m.Info, "", id)
        leased = leases.take_id(id, count_read=False) or leases.take_spilled(None, id)
    return leased or leases.hold(id)


def _check_store(session: Session, ref: ObjectRef) -> None:
    if ref.store != session.welcome.store:
        raise ObjectNotFoundError("its store ended")


def _ask_about(session: Session, ref: ObjectRef) -> str:
    """What the store says of an object's state."""
    facts: m.ObjectFacts = session.connection.request(m.Info, "", ref.id).object
    if facts.state == "lost":
        raise ObjectLostError(
            f"the object that {ref!r} means is lost: {facts.label or 'the process'} that was to make it has ended first"
        )
    return facts.state


def unmade(session: Session, refs: list[ObjectRef]) -> dict[int, ObjectRef]:
    """Those of these whose objects are still to be made, or lost, by id."""
    leases, here = session.leases, session.welcome.store
    return {ref.id: ref for ref in refs if not ref.name and ref.store == here and leases.is_pending(ref.id)}


def still_unmade(session: Session, refs: dict[int, ObjectRef]) -> list[ObjectRef]:
    """Those of what ``unmade`` gave that are still to be waited for: not there by now, nor lost, nor gone."""
    if not refs:
        return []
    ready: m.Ready = session.connection.request(m.Wait, (), 0, 0, tuple(refs))
    return [refs[id] for id in refs.keys() - set(ready.ids)]


def is_published(session: Session, name: str) -> bool:
    """Does the name mean an object?"""
    if session.leases.index.find(encode_name(name)) is not None:
        return True
    try:
        session.connection.request(m.Look, name)
    except ObjectNotFoundError:
        return False
    return True


def is_newer(session: Session, name: str, version: int) -> bool:
    """Does the name mean an object of a version above this one?"""
    hit = session.leases.index.find(encode_name(name))
    if hit is not None:
        return hit[1].version > version
    try:
        facts: m.Facts = session.connection.request(m.Info, name, 0)
    except ObjectNotFoundError:
        return False
    return facts.object.version > version


def wait_for(
    session: Session,
    names: tuple[str, ...],
    count: int,
    deadline: float,
    newer_than: int = 0,
    ids: tuple[int, ...] = (),
) -> None:
    """Wait until so many of these names are published, and of these objects there, lost or gone.

    Args:
        session: In a call.
        names: The names, each once.
        count: How many of them.
        deadline: In seconds of ``time.monotonic``; ``FOREVER``: without a limit.
        newer_than: Only versions above this one count.
        ids: Of anonymous objects, each once.

    Raises:
        GetTimeoutError: They were not in time.
        InvalidArgumentError: So many cannot be waited for at once.
    """
    if len(names) > m.MAX_WAIT_NAMES:
        raise InvalidArgumentError(f"cannot wait for {len(names)} names at once; the limit is {m.MAX_WAIT_NAMES}")
    if len(ids) > m.MAX_WAIT_IDS:
        raise InvalidArgumentError(f"cannot wait for {len(ids)} objects at once; the limit is {m.MAX_WAIT_IDS}")
    try:
        session.connection.request(m.Wait, names, count, newer_than, ids, deadline=deadline)
    except DeadlineError:
        raise GetTimeoutError(_late(names, count, len(ids))) from None


def _late(names: tuple[str, ...], count: int, objects: int) -> str:
    if not objects:
        what = repr(names[0]) if len(names) == 1 else f"{count} of {len(names)} names"
        return f"nobody published {what} in time"
    if len(names) + objects == 1:
        return "the object that this reference means was not made in time; it is still to be made"
    return f"{count} of {len(names)} names and {objects} objects that are still to be made were not there in time"


def _confirm(session: Session, name: str, is_told: bool) -> None:
    try:
        session.connection.request(m.Look, name)
    except ObjectNotFoundError as error:
        if not is_told:
            raise
        raise ObjectNotFoundError(f"{error.text}{_alternatives(session, name)}") from None


def _alternatives(session: Session, name: str) -> str:
    """What the store does have: most misses are slips of the pen."""
    import difflib

    page = session.connection.request(m.List, 0, False)
    names = [facts.name for facts in page.objects]
    close = difflib.get_close_matches(name, names, n=3) or sorted(names)[:5]
    if not close:
        return ". The store is empty; pass timeout= to wait for it"
    return f". There is {', '.join(map(repr, close))}{', ...' if len(names) > len(close) else ''}"
