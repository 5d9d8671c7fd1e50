"""Which stored object some bytes in this process are: found from an array, or from any other buffer.

Only bytes that the common map of a heap shows are found.  Private copy-on-write views, objects on disk, and heaps that do
not fit into a limited address space are not: what lies there travels as bytes.
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from typing import Any, NamedTuple

import numpy as np

from ..tables.layout import Record, generation_of, slot_of
from ..tables.prefix import HEAD_SIZE, read_contained
from .leases import RootRef
from .session import Session, open_sessions


class Origin(NamedTuple):
    """Where bytes are.

    Attributes:
        session: A connection that has a lease on them.
        id: Of the object whose bytes they are; the lease is on it, or on one that contains it.
        offset: Where in the heap they start, in bytes.
        nbytes: How many.
    """

    session: Session
    id: int
    offset: int
    nbytes: int


def of_array(array: np.ndarray[Any, Any]) -> tuple[Origin, int] | None:
    """Where the elements of an array are, whatever its strides.

    Args:
        array: It is held meanwhile, and with it the lease.

    Returns:
        All bytes between its first and its last one, and how many of them lie before its element of index zero;
        ``None``: they are not in a store.
    """
    base: Any = array
    while type(base.base) is np.ndarray:
        base = base.base
    for ref in weakref.getweakrefs(base):
        if isinstance(ref, RootRef) and ref.id and not ref.is_spilled:
            before, behind = reach(array)
            start = array.__array_interface__["data"][0] - before
            found = _located(start, before + behind, ref)
            return None if found is None else (found, before)
    return None


def of_buffer(buffer: memoryview) -> Origin | None:
    """Where the bytes of a buffer are; ``None``: they are not in a store.

    It takes longer the more objects are held, for a buffer does not tell what it is a part of.

    Args:
        buffer: Contiguous.  It is held meanwhile, and with it the lease.
    """
    for session in open_sessions():
        offset = session.heap.offset_of(buffer)
        if offset is not None:
            spans = session.leases.spans()
            at = bisect_right(spans, (offset, session.heap.nbytes, 0)) - 1
            if at >= 0 and offset + buffer.nbytes <= spans[at][1]:
                return Origin(session, spans[at][2], offset, buffer.nbytes)
    return None


def reach(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    """How many bytes of an array's elements lie before its element of index zero, and how many from there on."""
    if not array.size:
        return 0, 0
    steps = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
    before = -sum(step for step in steps if step < 0)
    return before, sum(step for step in steps if step > 0) + array.itemsize


def _located(address: int, nbytes: int, ref: RootRef) -> Origin | None:
    for session in open_sessions():
        offset = session.heap.offset_at(address, nbytes)
        if offset is not None:
            return Origin(session, _innermost(session, ref.id, ref.record, offset), offset, nbytes)
    return None


def _innermost(session: Session, id: int, record: Record, offset: int) -> int:
    """The object that has these bytes itself: what goes to and fro would otherwise be contained in ever more others."""
    if record.contained and not record.offset <= offset < record.offset + record.extent:
        for inner in read_contained(
            session.heap.read(record.offset, HEAD_SIZE + 8 * record.contained), record.contained
        ):
            facts = session.leases.index.record(slot_of(inner))
            if (
                facts is not None
                and facts.generation == generation_of(inner)
                and facts.offset <= offset < facts.offset + facts.extent
            ):
                return inner
    return id
