"""Waits for promised references, alone or together with names: whichever comes first wakes the one thread that waits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import GetTimeoutError, ShmError
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
    names = [key for key in keys if isinstance(key, str)]
    promises = promises_in(keys)
    pending = [promise for promise in promises if not promise.is_kept]
    missing = count - (len(keys) - len(names) - len(pending))
    present: set[str] = set()
    if names and missing > 0:
        latch = Latch(missing)
        with _names_told(store, names, newer_than, latch, present):
            wait_at(latch, pending, deadline)
    elif missing > 0:
        wait_at(Latch(missing), pending, deadline)
    if names:
        present.update(store.wait(names, num_returns=1, newer_than=newer_than, timeout=0)[0])
    return [key for key in keys if (key in present if isinstance(key, str) else _is_there(key))]


def _is_there(ref: ObjectRef) -> bool:
    return ref.promise is None or ref.promise.is_kept


@contextlib.contextmanager
def _names_told(
    store: Store, names: list[str], newer_than: int | None, latch: Latch, present: set[str]
) -> Iterator[None]:
    """Have a thread tell the latch of each name that is published, as long as the block lasts."""
    other = type(store)(store.name)
    thread = threading.Thread(target=_tell_names, args=(other, names, newer_than, latch, present), daemon=True)
    thread.start()
    try:
        yield
    finally:
        other.is_closed = True  # first: it is not to connect anew
        other.session.connection.cut()
        thread.join()
        other.close()


def _tell_names(store: Store, names: list[str], newer_than: int | None, latch: Latch, present: set[str]) -> None:
    with contextlib.suppress(ShmError):  # it was cut off
        while len(present) < len(names):
            ready = store.wait(names, num_returns=len(present) + 1, newer_than=newer_than)[0]
            for name in set(ready) - present:
                present.add(name)
                latch.tell(name)
