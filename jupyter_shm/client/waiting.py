"""Waits for promised references, alone or together with names: whichever comes first wakes the one thread that waits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import GetTimeoutError, ShmError
from . import asking
from .connection import FOREVER
from .promises import Latch, Promise, wait_at
from .refs import ObjectRef

if TYPE_CHECKING:
    from .store import Store


def promises_in(keys: list[Any] | tuple[Any, ...]) -> list[Promise]:
    """The promises among some keys."""
    return [key.promise for key in keys if type(key) is ObjectRef and key.promise is not None]


def wait_all(keys: list[Any] | tuple[Any, ...], deadline: float | None) -> None:
    """Wait until all promises among some keys are kept; one that has failed ends it.

    Args:
        keys: The keys.
        deadline: In seconds of ``time.monotonic``; ``None``: for ever.

    Raises:
        GetTimeoutError: They were not in time.
        BaseException: What a task raised.
    """
    pending = list(dict.fromkeys(promise for promise in promises_in(keys) if not promise.is_kept))
    if not pending:
        return
    latch = Latch(len(pending), stops_at_failure=True)
    if not wait_at(latch, pending, FOREVER if deadline is None else deadline):
        missing = sum(not promise.is_kept for promise in pending)
        raise GetTimeoutError(f"{missing} of {len(keys)} tasks have not ended in time; they go on")
    for promise in pending:
        if promise.failure is not None:
            raise promise.failure.error()


def wait_mixed(store: Store, keys: list[Any], count: int, newer_than: int | None, deadline: float) -> list[Any]:
    """Wait for names and references, promised ones among them.

    Args:
        store: For the names.
        keys: All of them, each once.
        count: How many are to be there.
        newer_than: As for ``Store.wait``.
        deadline: In seconds of ``time.monotonic``.

    Returns:
        Those that are there.
    """
    refs = [key for key in keys if isinstance(key, ObjectRef) and key.promise is None]
    unmade = set(asking.unmade(store.session, refs).values())
    others = [key for key in keys if isinstance(key, str) or key in unmade]  # the store tells of these
    pending = [promise for promise in promises_in(keys) if not promise.is_kept]
    missing = count - (len(keys) - len(others) - len(pending))
    present: set[Any] = set()
    if others and missing > 0:
        latch = Latch(missing)
        with _others_told(store, others, newer_than, latch, present):
            wait_at(latch, pending, deadline)
    elif missing > 0:
        wait_at(Latch(missing), pending, deadline)
    if others:
        present.update(store.wait(others, num_returns=1, newer_than=newer_than, timeout=0)[0])
    waited = {*others, *(key for key in keys if isinstance(key, ObjectRef) and key.promise and not key.promise.is_kept)}
    return [key for key in keys if key in present or key not in waited]


@contextlib.contextmanager
def _others_told(
    store: Store, keys: list[Any], newer_than: int | None, latch: Latch, present: set[Any]
) -> Iterator[None]:
    """Have a thread tell the latch of each name that is published, and each object made, as long as the block lasts."""
    other = type(store)(store.name)
    thread = threading.Thread(target=_tell_others, args=(other, keys, newer_than, latch, present), daemon=True)
    thread.start()
    try:
        yield
    finally:
        other.is_closed = True  # first: it is not to connect anew
        other.session.connection.cut()
        thread.join()
        other.close()


def _tell_others(store: Store, keys: list[Any], newer_than: int | None, latch: Latch, present: set[Any]) -> None:
    with contextlib.suppress(ShmError):  # it was cut off
        while len(present) < len(keys):
            ready = store.wait(keys, num_returns=len(present) + 1, newer_than=newer_than)[0]
            for key in set(ready) - present:
                present.add(key)
                latch.tell(key)
