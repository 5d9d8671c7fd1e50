"""From a leased object in the heap to the object that its publisher put."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DeserializeError, InvalidModeError, ProtocolError
from ..protocol.messages import ObjectFacts
from ..serial.dtypes import dtype_from
from ..serial.meta import NDARRAY, PICKLE, Meta, decode_meta
from ..serial.unpack import copy_out, unpack
from ..tables.layout import DYING, LIVE, SPILLED, SPILLING, generation_of, slot_of
from ..tables.prefix import HEAD_SIZE, description_start, find_description, read_head, read_label
from .again import show
from .heap import Heap, Root
from .kinds import FIRST_LOOK, LARGE, known_array, remember
from .leases import Leased, Leases
from .spilled import AllLeases

_READABLE = ({LIVE, SPILLING, DYING}, {SPILLED, DYING})
"""States in which an object's bytes are in the heap, and those in which they are in the spill heap, if a moment before
they were."""

MODES = ("r", "c")
"""Read modes, named as numpy's ``mmap_mode``: a read-only view; a private copy-on-write view."""


def read(leases: Leases, leased: Leased, mode: str, copy: bool, key: str | int | None = None) -> Any:
    """Build the object.

    Args:
        leases: Of the session that the object was leased with.
        leased: The object; what is built holds its root for as long as it looks at the bytes.
        mode: ``"r"`` or ``"c"``.
        copy: An ordinary private copy instead.
        key: Name or id under which an array of it may be got again, as long as a view of it lives.

    Raises:
        InvalidModeError: This type cannot be read in this mode.
        DeserializeError: It cannot be rebuilt here.
        Forwarded: It stands for another one, which lives as long as the lease is held.
        Exception: It stands for this one, which was raised where it was to be made.
    """
    is_view = mode == "r" and not copy
    heap = leases.heap_of(leased)
    if is_view:
        array = known_array(heap, leases, leased, key)
        if array is not None:
            return array
    meta, start = read_meta(heap, leased)
    if meta.kind == NDARRAY and is_view:
        array = _array(leases, leased, meta, start, key)
        if array is not None:
            remember(heap, leased, meta, array)
            return array
    publisher = _publisher(leased) if meta.by_value else ""
    if copy:
        return copy_out(meta, _parts(heap, meta, leased, start), publisher)
    if mode == "r":
        return unpack(meta, _parts(heap, meta, leased, start), publisher)
    if meta.kind == PICKLE:
        raise InvalidModeError(
            f"mode='c' gives a private copy-on-write view of an ndarray; {_named(leased)} is a {meta.type}. Use "
            "copy=True for a private copy."
        )
    if meta.kind != NDARRAY:
        return unpack(meta, _parts(heap, meta, leased, start))  # which says what it is
    source, offset, nbytes = meta.parts[0]
    return unpack(meta, [leases.private(leased, offset if source else start + offset, nbytes)])


def _array(
    leases: Leases, leased: Leased, meta: Meta, start: int, key: str | int | None
) -> np.ndarray[Any, Any] | None:
    """An array straight over its root; ``None`` where something is unusual, or wrong and to be told."""
    spec, shape, root = meta.array, meta.shape, leased.root
    if spec is None or shape is None or len(meta.parts) != 1 or spec.order not in {"C", "F"}:
        return None
    ((source, offset, nbytes),) = meta.parts
    at = (offset if source else start + offset) - leased.base
    if not 0 <= at <= at + nbytes <= root.size:
        return None
    part = slice(at, at + nbytes) if len(shape) == 1 and nbytes else None
    array: np.ndarray[Any, Any]
    try:
        dtype = dtype_from(spec.descr)
        if part is not None:
            array = root[part].view(dtype)  # half of what np.ndarray() costs
        else:
            array = np.ndarray(shape, dtype, root, at, None, "C" if spec.order == "C" else "F")
    except (TypeError, ValueError, OverflowError):
        return None
    if array.shape != shape or array.nbytes != nbytes:
        return None
    if key is not None:
        strides = None if spec.order == "C" else array.strides
        show(leases, leased, key, array, at, part=part, strides=strides)
    return array


def read_privately(leases: AllLeases, leased: Leased) -> Any:
    """Build the object as whoever packed it had it: what was his own is writable, and a copy on write.

    What lay in the store before it was put is read-only, as it was to him.

    Args:
        leases: Of the session that the object was leased with.
        leased: The object; what is built holds its root for as long as it looks at the bytes.

    Raises:
        DeserializeError: It cannot be rebuilt here.
    """
    heap = leases.heap_of(leased)
    meta, start = read_meta(heap, leased)
    parts = _parts(heap, meta, leased, start)
    # Part 0 of what was pickled is the stream, of which nothing is kept.
    own = [
        at
        for at, (source, _, nbytes) in enumerate(meta.parts)
        if nbytes and not source and (at or meta.kind == NDARRAY)
    ]
    if own:
        first = meta.parts[own[0]][1]
        root = leases.private(leased, start + first, sum(meta.parts[own[-1]][1:]) - first)
        for at in own:
            _, offset, nbytes = meta.parts[at]
            parts[at] = root[offset - first : offset - first + nbytes]
    return unpack(meta, parts, _publisher(leased) if meta.by_value else "")


def read_meta(heap: Heap, leased: Leased) -> tuple[Meta, int]:
    """Read what an object says of itself, once for each root.

    Returns:
        The meta, and where in the heap its own data starts.

    Raises:
        DeserializeError: It cannot be read.
    """
    ref, record = leased.ref, leased.record
    if ref.meta is not None:
        return ref.meta  # type: ignore[return-value]
    at = record.offset - leased.base
    data = heap.read(record.offset, FIRST_LOOK) if record.nbytes >= LARGE else leased.root.data[at : at + record.nbytes]
    try:
        begin, end, start = find_description(data, record.nbytes)
    except ProtocolError as error:
        raise DeserializeError(f"{_named(leased)} cannot be read: {error}. Publish it again.") from error
    if end > len(data):
        data = heap.read(record.offset, end)
    ref.meta = found = decode_meta(data[begin:end]), record.offset + start
    return found


def peek_meta(leases: AllLeases, facts: ObjectFacts) -> Meta | None:
    """Read what an object says of itself, without keeping it, and even when it is no longer LIVE.

    Returns:
        ``None`` when it was gone meanwhile, or is still to be made, or was written by a release whose meta we cannot
        read.
    """
    if not facts.nbytes:
        return None
    heap, offset = leases.heap_at(facts.spilled), facts.spilled - 1 if facts.spilled else facts.offset
    try:
        count, size, label = read_head(heap.read(offset, HEAD_SIZE), facts.nbytes)
        data = heap.read(offset + description_start(count, label), size)
        # Only now: if it is not free yet, then what was read before was this object's.
        state = leases.index.state(slot_of(facts.id))
        is_there = state >> 8 == generation_of(facts.id) and state & 0xFF in _READABLE[bool(facts.spilled)]
        return decode_meta(data) if is_there else None
    except (ProtocolError, DeserializeError):
        return None


def check_mode(mode: str) -> None:
    """Refuse a read mode that does not exist, before anything is looked up."""
    if mode not in MODES:
        raise InvalidModeError(
            f"mode is {mode!r}; it is 'r' (a read-only view) or 'c' (a private copy-on-write view). For an ordinary "
            "copy use copy=True."
        )


def _bytes(leased: Leased) -> memoryview:
    at = leased.record.offset - leased.base
    return leased.root.data[at : at + leased.record.nbytes]


def _publisher(leased: Leased) -> str:
    data = _bytes(leased)
    count, _, label = read_head(data, data.nbytes)
    return read_label(data, count, label)


def _parts(heap: Heap, meta: Meta, leased: Leased, start: int) -> list[Root]:
    root, base, parts = leased.root, leased.base, []
    for source, offset, nbytes in meta.parts:
        at = (offset if source else start + offset) - base
        if 0 <= at <= at + nbytes <= root.nbytes:
            parts.append(root[at : at + nbytes])
        elif source and not heap.is_whole:
            # Another object's bytes, where only single objects can be mapped (RLIMIT_AS): a copy is what there can be.
            parts.append(np.frombuffer(heap.read(offset, nbytes), np.uint8))
        else:
            raise DeserializeError(
                f"a part of this {meta.type} ({nbytes} bytes at {offset}) is outside of it. It was damaged, or written "
                "by an incompatible release: publish it again."
            )
    return parts


def _named(leased: Leased) -> str:
    return repr(leased.record.key().decode(errors="replace")) if leased.record.name_nbytes else "the anonymous object"
