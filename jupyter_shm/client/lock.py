"""Locks that know their owner.

``with lock:`` is safe against interrupts: taking the lock and entering the block are one step of the interpreter.
Where a lock must be taken without waiting there is no such step, so an interrupt can fall between taking and noting
it; the owner then finds out by asking, in a ``finally``, which is only the net: the usual way has released it before.
That is what an RLock is used for here.  Our own finalizers ask first and never enter a block twice; a user's finalizer
that calls the store in a collection under the lock does, where a plain lock would wait for itself for ever.
"""

from __future__ import annotations

import threading
from typing import Any

Lock = Any
"""What ``new_lock`` returns; ``threading.RLock`` is a function, not a type, before Python 3.13."""


def new_lock() -> Lock:
    """A lock that nobody holds."""
    return threading.RLock()


def is_mine(lock: Lock) -> bool:
    """Does this very thread hold the lock?"""
    return lock._is_owned()  # type: ignore[no-any-return] # noqa: SLF001 - what threading.Condition asks of it too
