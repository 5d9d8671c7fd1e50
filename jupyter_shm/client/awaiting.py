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
from .connection import FOREVER
from .promises import Promise
from .refs import ObjectRef
from .waiting import promises_in

if TYPE_CHECKING:
    from .store import Store


async def aget(store: Store, key: Any, *, mode: str, copy: bool, timeout: float | None, default: Any) -> Any:
    """``Store.get``, awaited; arguments, result and errors as there."""
    if mode == "r" and not copy and not store.is_closed:
        array = again(store.session, key)
        if array is not None:
            return array
    keys = list(key) if isinstance(key, (list, tuple)) else [key]
    if promises := [promise for promise in promises_in(keys) if not promise.is_kept]:
        await _wait_for(promises, timeout)
    keys = [one for one in keys if not (isinstance(one, ObjectRef) and one.promise)]
    if keys and ((timeout is not UNSET and not isinstance(key, ObjectRef)) or _is_unmade(store, keys)):
        deadline_of(timeout)  # a number, or an error
        is_there = await _wait(store, keys, None if timeout is UNSET else timeout)
        if not is_there and default is UNSET:
            raise GetTimeoutError(f"nobody published, or made, {key!r:.200} in time")
        timeout = UNSET if is_there else 0.0
    return await asyncio.to_thread(store.get, key, mode=mode, copy=copy, timeout=timeout, default=default)


def _is_unmade(store: Store, keys: list[Any]) -> bool:
    """Is something that this means still to be made?"""
    return bool(asking.unmade(store.session, [one for one in keys if isinstance(one, ObjectRef)]))


async def _wait_for(promises: list[Promise], timeout: float | None) -> None:
    """Wait until these are kept, without a thread; one that has failed ends it."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    left = [len(promises)]

    def tell(promise: Promise) -> None:
        left[0] -= 1
        if (not left[0] or promise.failure is not None) and not ready.done():
            ready.set_result(None)

    def pass_on(promise: Promise) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, promise)

    for promise in promises:
        promise.on_kept(pass_on)
    try:
        deadline = deadline_of(timeout)
        await asyncio.wait_for(ready, None if deadline in {None, FOREVER} else timeout)
    except asyncio.TimeoutError:
        raise GetTimeoutError(f"{left[0]} of {len(promises)} tasks have not ended in time; they go on") from None
    finally:
        for promise in promises:
            promise.forget(pass_on)


async def _wait(store: Store, keys: list[Any], timeout: float | None) -> bool:
    """Wait until all of these names are published: are they?"""
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
