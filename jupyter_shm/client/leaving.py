"""How a promise leaves this process: as an object of the store, which others can wait for before it is there.

That is asked for when a reference is pickled, or put inside of another object, and not before: most results never leave.
What is there already is put then.  What is not becomes a PENDING object, and whoever keeps the promise makes it.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref

from ..errors import FulfilledError, ObjectNotFoundError, ShmError
from . import pending
from .promises import Promise, promise_of, promised
from .refs import ObjectRef
from .session import Session

_log = logging.getLogger("jupyter_shm")

_entering = threading.RLock()
"""Held while a promise becomes an object of the store, so that it does so once."""

_entered: weakref.WeakValueDictionary[tuple[int, int], Promise] = weakref.WeakValueDictionary()
"""By store and id, the promises of this process whose object may come back in a pickle."""


def came_back(store: int, id: int) -> ObjectRef | None:
    """The reference that one which comes out of a pickle is, if it was promised in this process."""
    promise = _entered.get((store, id)) if _entered else None
    if promise is None or promise.entered is None:
        return None
    ref = promised(promise)
    ref.mean(promise.entered)
    return ref


def settle(ref: ObjectRef) -> None:
    """Have a promised reference mean an object of the store: it is about to leave this process.

    Raises:
        StoreFullError: It does not fit.
        StoreConnectionError: The store is gone.
    """
    promise = promise_of(ref)
    with _entering:
        if promise.entered is None:
            promise.entered = _enter(promise)
            _entered[promise.entered.store, promise.entered.id] = promise
        ref.mean(promise.entered)


def _enter(promise: Promise) -> ObjectRef:
    from .default import default_store

    if promise.stored is not None:
        return promise.stored
    if promise.value is not None:
        promise.stored, promise.value = promise.value.put(default_store()), None
        return promise.stored
    session, entered = default_store().pend()
    promise.on_kept(lambda kept: _make(session, entered, kept))
    return entered


def _make(session: Session, entered: ObjectRef, promise: Promise) -> None:
    """A promise is kept that others wait for: in the thread of who keeps it."""
    try:
        if promise.failure is not None:
            pending.fail(session, entered, promise.failure.error())
        elif promise.stored is not None and promise.stored.store == entered.store:
            pending.forward(session, entered, promise.stored)
        elif promise.value is not None:
            pending.fulfil(session, entered, promise.value.build("r", False))
    except (FulfilledError, ObjectNotFoundError):
        pass  # nobody waits for it any more
    except ShmError as error:
        _give_up(session, entered, error)


def _give_up(session: Session, entered: ObjectRef, error: ShmError) -> None:
    """It does not fit, say: who waits is told why."""
    try:
        pending.fail(session, entered, error)
    except ShmError as reason:
        _log.warning("%r is not there for other processes: %s; and they cannot be told: %s", entered, error, reason)


def _after_fork() -> None:
    global _entering  # noqa: PLW0603 - a thread that is not here may have held it
    _entering = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
