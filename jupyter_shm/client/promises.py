"""Promises: what an ObjectRef stands for before there is an object.  They live in this process, and know of no worker.

A promise is kept once: with a value that stays in this process, with a stored object, or with a failure.  Whoever keeps it
calls the callbacks, in its own thread; whoever waits sleeps in the kernel.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ..errors import GetTimeoutError
from .connection import FOREVER
from .refs import ObjectRef

if TYPE_CHECKING:
    from .store import Store

LONGEST = 1e6
"""Seconds that are waited in one go: a lock takes no more than a C long of nanoseconds."""


class Failure(Protocol):
    """Why there will be no object."""

    def error(self) -> BaseException:
        """An exception of its own for each that asks."""


class Value(Protocol):
    """An object that stays in this process."""

    def build(self, mode: str, copy: bool) -> Any:
        """The object, as a get of the store would give it."""

    def put(self, store: Store) -> ObjectRef:
        """Make it an anonymous object of the store."""


Outcome: TypeAlias = "Value | ObjectRef | Failure"
Callback: TypeAlias = "Callable[[Promise], object]"


class Promise:
    """A one-shot: pending, then kept for ever.  Any thread may use it.

    Args:
        what: Who will keep it, for people: the name of a function.
        cancel: Asks that the work be given up; any thread, at once, and without an answer.

    Attributes:
        value, stored, failure: What it was kept with; two of them are ``None``.
        is_kept: Is it?
        entered: The object of the store that others know it by, if it has left this process: see ``leaving``.
    """

    __slots__ = ("__weakref__", "_callbacks", "_cancel", "entered", "failure", "is_kept", "stored", "value", "what")

    def __init__(self, what: str = "", cancel: Callable[[Promise], object] | None = None) -> None:
        self.what = what
        self.is_kept = False
        self.value: Value | None = None
        self.stored: ObjectRef | None = None
        self.failure: Failure | None = None
        self.entered: ObjectRef | None = None
        self._callbacks: list[Callback] | None = None
        self._cancel = cancel

    def keep(self, value: Value | None = None, stored: ObjectRef | None = None, failure: Failure | None = None) -> bool:
        """Keep it, and tell everybody; ``False``: it was kept before, and nothing has changed."""
        with _lock:
            if self.is_kept:
                return False
            self.value, self.stored, self.failure = value, stored, failure
            self.is_kept = True
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback(self)
        return True

    def on_kept(self, callback: Callback) -> None:
        """Have this called once: when it is kept, by whoever keeps it; or now, if it is."""
        with _lock:
            if not self.is_kept:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        callback(self)

    def forget(self, callback: Callback) -> None:
        """Do not call it any more."""
        with _lock, contextlib.suppress(ValueError):
            if self._callbacks is not None:
                self._callbacks.remove(callback)

    def cancel(self) -> None:
        """Ask that the work be given up; the promise is then kept with a failure.  Nothing happens if it is kept."""
        if self._cancel is not None and not self.is_kept:
            self._cancel(self)

    @property
    def state(self) -> str:
        """``"pending"``, ``"ready"`` or ``"failed"``."""
        return "pending" if not self.is_kept else "ready" if self.failure is None else "failed"


_lock = threading.Lock()
"""Of all promises: what is done under it takes a microsecond."""


def promised(promise: Promise) -> ObjectRef:
    """A reference to what will be there."""
    ref = ObjectRef(0, 0, "", 1)
    ref.promise = promise
    return ref


# --- waiting ------------------------------------------------------------------------------------------------------------


class Latch:
    """Wakes one waiting thread up when so many promises were kept.

    Args:
        count: How many.
        stops_at_failure: One that has failed is enough.
    """

    __slots__ = ("_count", "_kept", "_lock", "_stops_at_failure")

    def __init__(self, count: int = 1, *, stops_at_failure: bool = False) -> None:
        self._count = count
        self._stops_at_failure = stops_at_failure
        self._kept: list[object] = []  # an append is one step, whatever thread makes it
        self._lock = threading.Lock()
        self._lock.acquire()

    def tell(self, promise: object) -> None:
        """One more is kept; from any thread."""
        self._kept.append(promise)
        if len(self._kept) >= self._count or (self._stops_at_failure and getattr(promise, "failure", None) is not None):
            self.open()

    def open(self) -> None:
        """Wake the thread up, whatever the count."""
        with contextlib.suppress(RuntimeError):
            self._lock.release()

    def wait(self, deadline: float) -> bool:
        """Until it is open, or a time of ``time.monotonic`` has passed: is it open?"""
        while True:
            left = min(deadline - monotonic(), LONGEST)
            if self._lock.acquire(True, max(0.0, left)):
                return True
            if monotonic() >= deadline:
                return False


Sleep: TypeAlias = "Callable[[Latch, float, list[Promise]], bool]"

sleeping: list[Sleep] = []
"""How a thread of this process waits at a latch for some promises, if not by sleeping: a worker has work to do meanwhile."""


def wait_for(promises: list[Promise], count: int, deadline: float) -> bool:
    """Wait until so many of these are kept; an interrupt cancels the others.

    Args:
        promises: Each once.
        count: How many.
        deadline: In seconds of ``time.monotonic``; ``FOREVER``.

    Returns:
        Whether they are.
    """
    pending = [promise for promise in promises if not promise.is_kept]
    missing = count - (len(promises) - len(pending))
    return missing <= 0 or wait_at(Latch(missing), pending, deadline)


def wait_at(latch: Latch, pending: list[Promise], deadline: float) -> bool:
    """Wait until a latch, which is told of these, is open; an interrupt cancels what is not kept.

    Args:
        latch: It may be told of other things, too.
        pending: The promises.
        deadline: In seconds of ``time.monotonic``; ``FOREVER``.

    Returns:
        Whether it is.
    """
    tell = latch.tell  # one object: it is looked for again
    try:
        for promise in pending:
            promise.on_kept(tell)
        return sleeping[0](latch, deadline, pending) if sleeping else latch.wait(deadline)
    except KeyboardInterrupt:
        for promise in pending:
            promise.cancel()
        raise
    finally:
        for promise in pending:
            promise.forget(tell)


# --- getting ------------------------------------------------------------------------------------------------------------


def get(store: Store, ref: ObjectRef, mode: str, copy: bool, deadline: float | None) -> Any:
    """Fetch what a promised reference means, when it is there.

    Args:
        store: Whose get this is; what lies in another one is fetched there.
        ref: The reference.
        mode: As for ``Store.get``.
        copy: The same.
        deadline: In seconds of ``time.monotonic``; ``None``: for ever.

    Raises:
        GetTimeoutError: It was not there in time.
        BaseException: What the task raised.
    """
    promise = promise_of(ref)
    if not promise.is_kept and not wait_for([promise], 1, FOREVER if deadline is None else deadline):
        raise GetTimeoutError(
            f"{promise.what or 'the task'} has not ended in time; it goes on. shm.cancel(ref) ends it"
        )
    if promise.failure is not None:
        raise promise.failure.error()
    if promise.value is not None:
        return promise.value.build(mode, copy)
    stored = promise.stored
    assert stored is not None
    if promise.entered is None:
        ref.mean(stored)
    if stored.store != store.session.welcome.store:
        store = _store_of(stored) or store
    return store.get(stored, mode=mode, copy=copy)


def promise_of(ref: ObjectRef) -> Promise:
    """The promise of a reference that has one."""
    assert ref.promise is not None
    return ref.promise


def _store_of(stored: ObjectRef) -> Store | None:
    from .default import store_of
    from .travel import session_of

    session = session_of(stored.store)
    return None if session is None else store_of(session)


# --- forks --------------------------------------------------------------------------------------------------------------


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - a thread that is not here may have held it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
