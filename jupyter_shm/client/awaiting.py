"""Gets for code that runs in an event loop: nothing here blocks it.

What waits for a name waits in a thread, on a connection of its own: a task that is cancelled cuts that off.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from ..errors import GetTimeoutError, ShmError
from . import asking
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
    if (timeout is not UNSET and not isinstance(key, ObjectRef)) or _is_unmade(store, key):
        deadline_of(timeout)  # a number, or an error
        is_there = await _wait(store, key, None if timeout is UNSET else timeout)
        if not is_there and default is UNSET:
            raise GetTimeoutError(f"nobody published, or made, {key!r:.200} in time")
        timeout = UNSET if is_there else 0.0
    return await asyncio.to_thread(store.get, key, mode=mode, copy=copy, timeout=timeout, default=default)


def _is_unmade(store: Store, key: Any) -> bool:
    """Is something that this means still to be made?"""
    keys = key if isinstance(key, (list, tuple)) else [key]
    return bool(asking.unmade(store.session, [one for one in keys if isinstance(one, ObjectRef)]))


async def _wait(store: Store, key: Any, timeout: float | None) -> bool:
    """Wait until a name, or all of several, are published: are they?"""
    keys = list(key) if isinstance(key, (list, tuple)) else [key]
    if not keys:
        return True
    other = await asyncio.to_thread(type(store), store.name)
    ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    # A thread of its own: a wait may take for ever, and the loop has only a handful of threads for everybody.
    threading.Thread(target=_wait_here, args=(other, keys, timeout, ready), daemon=True).start()
    try:
        return await ready
    except asyncio.CancelledError:
        other.is_closed = True  # first: it is not to connect anew
        other.session.connection.cut()
        raise


def _wait_here(store: Store, keys: list[Any], timeout: float | None, ready: asyncio.Future[bool]) -> None:
    """Wait, in this thread, and tell the loop what came of it; the connection is ours, and ends here."""
    result, error = False, None
    try:
        result = len(store.wait(keys, num_returns=len(keys), timeout=timeout)[0]) == len(keys)
    except ShmError as raised:
        error = raised
    finally:
        store.close()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            ready.get_loop().call_soon_threadsafe(_tell, ready, result, error)


def _tell(ready: asyncio.Future[bool], result: bool, error: ShmError | None) -> None:
    if ready.done():
        return
    if error is not None:
        ready.set_exception(error)
    else:
        ready.set_result(result)
