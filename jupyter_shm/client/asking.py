"""What the index does not tell: the store is asked whether a name is published, and told to say so when it is.

A miss in the index may be due to a write under way, so it is never believed.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ..errors import GetTimeoutError, InvalidArgumentError, ObjectNotFoundError
from ..protocol import messages as m
from ..protocol.names import encode_name
from .connection import DeadlineError
from .leases import Leased
from .refs import ObjectRef
from .session import Session


def take_missed(session: Session, key: Any, deadline: float | None, *, is_told: bool = True) -> Leased:
    """Take a lease on what the index did not show.

    Args:
        session: In a call.
        key: A name, or an ObjectRef.
        deadline: How long to wait for a name, in seconds of ``time.monotonic``; ``None``: do not.
        is_told: Somebody reads the error's text.

    Raises:
        ObjectNotFoundError: Nobody has published it, or the version that the reference means is gone.
        GetTimeoutError: Nobody published it in time.
    """
    if isinstance(key, ObjectRef):
        return _take_missed_ref(session, key)
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


def _take_missed_ref(session: Session, ref: ObjectRef) -> Leased:
    leased = None
    if ref.store == session.welcome.store:
        leased = session.leases.take_spilled(None, ref.id)
        with contextlib.suppress(ObjectNotFoundError):
            if leased is None:
                session.connection.request(m.Info, "", ref.id)  # its publisher may just have told of it
                leased = session.leases.take_id(ref.id) or session.leases.take_spilled(None, ref.id)
    if leased is None:
        raise ObjectNotFoundError(f"the object that {ref!r} means is gone: deleted, replaced, or its store ended")
    return leased


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
    session: Session, names: tuple[str, ...], count: int, deadline: float, newer_than: int = 0
) -> tuple[str, ...]:
    """Wait until so many of these names are published.

    Args:
        session: In a call.
        names: The names, each once.
        count: How many of them.
        deadline: In seconds of ``time.monotonic``; ``FOREVER``: without a limit.
        newer_than: Only versions above this one count.

    Returns:
        Those that are.

    Raises:
        GetTimeoutError: They were not in time.
        InvalidArgumentError: So many names cannot be waited for at once.
    """
    if len(names) > m.MAX_WAIT_NAMES:
        raise InvalidArgumentError(f"cannot wait for {len(names)} names at once; the limit is {m.MAX_WAIT_NAMES}")
    try:
        ready: m.Ready = session.connection.request(m.Wait, names, count, newer_than, deadline=deadline)
    except DeadlineError:
        what = repr(names[0]) if len(names) == 1 else f"{count} of {len(names)} names"
        raise GetTimeoutError(f"nobody published {what} in time") from None
    return ready.names


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
