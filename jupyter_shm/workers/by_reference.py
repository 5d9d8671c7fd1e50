"""Arrays and buffers that live in the store, taken apart so that a message names them and carries no byte of them.

A message is read once: for each object that arrays of it are a part of, it has one of its own, which its reader takes
over (``client/handover.py``).  What cannot go so travels as its bytes: what is small, writable, private, on disk, or on its way to another machine or user.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

from ..client import origins
from ..client.handover import acknowledge, receive, send_bytes
from ..client.reading import read
from ..client.travel import reach, session_of
from ..errors import ObjectNotFoundError, ShmError

SMALLEST = 32 << 10
"""Bytes from which on an array goes by reference; a smaller one is copied faster than a reference is made and read."""

Reduced = tuple[Callable[..., Any], tuple[Any, ...]]
"""What ``object.__reduce__`` returns."""

integrated: list[str] = []
"""The libraries that arrays travel through by reference."""

KEEP = 600.0
"""Seconds after which what may be read more than once is no longer kept for that, when the next one is sent."""

_local = threading.local()
_lock = threading.RLock()
_lasting_ones: deque[tuple[float, tuple[int, int], Reference]] = deque()  # when it was made, of what, and it


class Reference(NamedTuple):
    """All bytes of an object in the store.  Where it is read, what the sender has integrated is integrated too, if that is a child.

    Attributes:
        store: Id of the store.
        store_name: Its name.
        id: Of the object that stands for it while it is on their way.
        libraries: What the sender has integrated.
    """

    store: int
    store_name: str
    id: int
    is_once: bool
    libraries: tuple[str, ...]


@contextmanager
def _within(fact: str, value: object) -> Iterator[None]:
    """Let something be so for this thread inside of the block."""
    before = getattr(_local, fact, None)
    setattr(_local, fact, value)
    try:
        yield
    finally:
        setattr(_local, fact, before)


@contextmanager
def towards(is_here: Callable[[], bool]) -> Iterator[None]:
    """What this thread pickles inside of the block goes to somebody who may not be here.

    Args:
        is_here: Is it a process of this user on this machine?  Asked only if it matters.
    """
    with _within("is_here", is_here):
        yield


@contextmanager
def copied() -> Iterator[None]:
    """What this thread pickles inside of the block may be read more than once, and by several."""
    with _within("is_copied", True):
        yield


@contextmanager
def message() -> Iterator[None]:
    """What this thread pickles inside of the block is one message; if it fails, it is never read."""
    sent: dict[tuple[int, int], Reference] = {}
    with _within("message", sent):
        try:
            yield
        except BaseException:
            for reference in sent.values():
                _withdraw(reference)
            raise


def refer_to_array(array: np.ndarray[Any, Any]) -> Reduced | None:
    """Take an array apart, whatever its strides; ``None``: it is to travel as bytes."""
    if array.nbytes < SMALLEST or array.flags.writeable or array.dtype.hasobject:
        return None
    found = origins.of_array(array)
    reference = None if found is None else _refer(found)
    if found is None or reference is None:
        return None
    return rebuild_array, (
        reference,
        found.offset - found.extent[0],
        array.shape,
        array.dtype,
        array.strides,
        type(array),
    )


def refers(buffer: Any) -> bool:
    """Is an Arrow buffer to travel by reference?"""
    return buffer.size >= SMALLEST and buffer.is_cpu and origins.of_buffer(memoryview(buffer)) is not None


def refer_to_buffer(buffer: Any) -> Reduced | None:
    """Take an Arrow buffer apart; ``None``: it is to travel as bytes."""
    if buffer.size < SMALLEST or not buffer.is_cpu:
        return None
    found = origins.of_buffer(memoryview(buffer))
    reference = None if found is None else _refer(found)
    if found is None or reference is None:
        return None
    return rebuild_buffer, (reference, found.offset - found.extent[0], buffer.size)


def rebuild_array(
    reference: Reference,
    offset: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strides: tuple[int, ...],
    kind: type[np.ndarray[Any, Any]],
) -> np.ndarray[Any, Any]:
    """Make an array again, over the very bytes; read-only.

    Args:
        reference: The object that it is a part of.
        offset: How many bytes of that lie before the element of index zero.
        shape: As of the array.
        dtype: The same.
        strides: The same.
        kind: The array's class.

    Raises:
        ObjectNotFoundError: The bytes cannot be had here.
    """
    array: np.ndarray[Any, Any] = np.ndarray(shape, dtype, _fetch(reference), offset, strides)
    return array if kind is np.ndarray else array.view(kind)


def rebuild_buffer(reference: Reference, offset: int, nbytes: int) -> Any:
    """Make an Arrow buffer again, over the very bytes; errors as ``rebuild_array``."""
    import pyarrow as pa

    return pa.py_buffer(_fetch(reference)[offset : offset + nbytes])


def _refer(origin: origins.Origin) -> Reference | None:
    is_here = getattr(_local, "is_here", None)
    if is_here is not None and not is_here():
        return None
    store = origin.session.welcome.store
    if getattr(_local, "is_copied", False):
        return _lasting(origin)
    sent: dict[tuple[int, int], Reference] | None = getattr(_local, "message", None)
    if sent is not None and (store, origin.id) in sent:
        return sent[store, origin.id]
    reference = _send(origin, is_once=True)
    if sent is not None and reference is not None:
        sent[store, origin.id] = reference
    return reference


def _lasting(origin: origins.Origin) -> Reference | None:
    """A reference that may be read again and again, for some minutes; the same one for all who are sent it meanwhile."""
    now = time.monotonic()
    key = (origin.session.welcome.store, origin.id)
    with _lock:
        while _lasting_ones and _lasting_ones[0][0] < now - KEEP:
            _withdraw(_lasting_ones.popleft()[2])
        for since, known, reference in reversed(_lasting_ones):
            if known == key and since > now - KEEP / 2 and session_of(reference.store) is not None:
                return reference
        made = _send(origin, is_once=False)
        if made is not None:
            _lasting_ones.append((now, key, made))
        return made


def withdraw_lasting() -> None:
    """Who has not read yet what may be read more than once, does not any more."""
    with _lock:
        while _lasting_ones:
            _withdraw(_lasting_ones.popleft()[2])


def _send(origin: origins.Origin, *, is_once: bool) -> Reference | None:
    # The connection that has the bytes in view may have been closed, and another one of this process be open.
    session = session_of(origin.session.welcome.store, origin.session)
    if session is None:
        return None
    try:
        id = send_bytes(origin._replace(session=session))
    except ShmError:  # whatever it is, the bytes are here
        return None
    return Reference(session.welcome.store, session.name, id, is_once, tuple(integrated))


def _begin_anew() -> None:
    """We are a forked child: what lasts is our parent's, and so is whoever has the lock."""
    global _lock  # noqa: PLW0603 - one for the process, and this is another one
    _lock = threading.RLock()
    _lasting_ones.clear()


os.register_at_fork(after_in_child=_begin_anew)


def _withdraw(reference: Reference) -> None:
    session = session_of(reference.store)
    if session is not None:
        with suppress(ShmError):
            acknowledge(session, reference.id)


def _fetch(reference: Reference) -> np.ndarray[Any, Any]:
    """The bytes of an object; they are held by whatever is made over them."""
    session = reach(reference.store, reference.store_name)
    if session is None:
        raise ObjectNotFoundError(
            f"an array that lives in the store {reference.store_name!r} (id {reference.store:x}) was sent by reference, and "
            "that store cannot be reached from here: it has ended, or this process is another user's, on another machine, "
            "or looks for it elsewhere (JUPYTER_SHM_RUNTIME_DIR). Send a copy: array.copy()"
        )
    leased = receive(session, reference.id, is_last=reference.is_once)
    data: np.ndarray[Any, Any] = read(session.leases, leased, "r", copy=False)
    if not {*reference.libraries} <= {*integrated}:
        from .integration import follow

        follow(reference.libraries)
    return data
