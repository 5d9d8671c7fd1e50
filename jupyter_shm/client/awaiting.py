"""Gets for code that runs in an event loop: nothing here blocks it.

What waits for a name waits in a thread, on a connection of its own: a task that is cancelled cuts that off.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from ..errors import GetTimeoutError, ShmError
from .again import again
from .arguments import UNSET, deadline_of
from .refs import ObjectRef

if TYPE_CHECKING:
    from .store import Store


async def aget(store: Store, key: Any, *, mode: str, copy: bool, timeout: float | None, default: Any) -> Any:
    """``Store.get``, awaited; arguments, result and errors as there."""
    if mode == "r" and not copy and not store.is_closed:
        array = again(store.session, key)
        if array is not None:
            return array
    if timeout is not UNSET and not isinstance(key, ObjectRef):
        deadline_of(timeout)  # a number, or an error
        if not await _wait(store, key, timeout) and default is UNSET:
            raise GetTimeoutError(f"nobody published {key!r:.200} in time")
    return await asyncio.to_thread(store.get, key, mode=mode, copy=copy, default=default)


async def _wait(store: Store, key: Any, timeout: float | None) -> bool:
    """Wait until a name, or all of several, are published: are they?"""
    keys = list(key) if isinstance(key, (list, tuple)) else [key]
    if not keys:
        return True
    other = await asyncio.to_thread(type(store), store.name)
    waiting = asyncio.ensure_future(asyncio.to_thread(other.wait, keys, num_returns=len(keys), timeout=timeout))
    try:
        ready, _ = await asyncio.shield(waiting)
        return len(ready) == len(keys)
    except asyncio.CancelledError:
        other.is_closed = True  # first: it is not to connect anew
        other.session.connection.cut()
        with contextlib.suppress(ShmError):
            await waiting
        raise
    finally:
        other.close()
