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
        extent: Where in the heap the bytes of that object start, and end.
    """

    session: Session
    id: int
    offset: int
    extent: tuple[int, int]


def of_array(array: np.ndarray[Any, Any]) -> Origin | None:
    """Where the elements of an array are, whatever its strides.

    Args:
        array: It is held meanwhile, and with it the lease.

    Returns:
        Where its element of index zero is; ``None``: it is not in a store.
    """
    base: Any = array
    while type(base.base) is np.ndarray:
        base = base.base
    for ref in weakref.getweakrefs(base):
        if isinstance(ref, RootRef) and ref.id and not ref.is_spilled:
            return _located(array.__array_interface__["data"][0], ref)
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
                start, end, id = spans[at]
                return Origin(session, id, offset, (start, end))
    return None


def _located(address: int, ref: RootRef) -> Origin | None:
    for session in open_sessions():
        offset = session.heap.offset_at(address, 1)
        if offset is not None:
            return Origin(session, *_innermost(session, ref.id, ref.record, offset))
    return None


def _innermost(session: Session, id: int, record: Record, offset: int) -> tuple[int, int, tuple[int, int]]:
    """The object that has these bytes itself: what goes to and fro would otherwise be contained in ever more others."""
    extent = (record.offset, record.offset + record.extent)
    if record.contained and not extent[0] <= offset < extent[1]:
        head = session.heap.read(record.offset, HEAD_SIZE + 8 * record.contained)
        for inner in read_contained(head, record.contained):
            facts = session.leases.index.record(slot_of(inner))
            if facts is not None and facts.generation == generation_of(inner):
                within = (facts.offset, facts.offset + facts.extent)
                if within[0] <= offset < within[1]:
                    return inner, offset, within
    return id, offset, extent
