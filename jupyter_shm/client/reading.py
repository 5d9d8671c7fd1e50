"""From a leased object in the heap to the object that its publisher put."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DeserializeError, InvalidModeError, ProtocolError
from ..protocol.messages import ObjectFacts
from ..serial.meta import NDARRAY, Meta, decode_meta
from ..serial.unpack import copy_out, unpack
from ..tables.layout import DYING, LIVE, generation_of, slot_of
from ..tables.prefix import HEAD_SIZE, data_start, description_start, read_head, read_label
from .heap import Heap, Root
from .leases import Leased, Leases

MODES = ("r", "c")
"""Read modes, named as numpy's ``mmap_mode``: a read-only view; a private copy-on-write view."""


def read(leases: Leases, leased: Leased, mode: str, copy: bool) -> Any:
    """Build the object.

    Args:
        leases: Of the session that the object was leased with.
        leased: The object; what is built holds its root for as long as it looks at the bytes.
        mode: ``"r"`` or ``"c"``.
        copy: An ordinary private copy instead.

    Raises:
        InvalidModeError: This type cannot be read in this mode.
        DeserializeError: It cannot be rebuilt here.
    """
    meta, start = read_meta(leased)
    publisher = _publisher(leased) if meta.by_value else ""
    if copy:
        return copy_out(meta, _parts(leases.heap, meta, leased, start), publisher)
    if mode == "r":
        return unpack(meta, _parts(leases.heap, meta, leased, start), publisher)
    if meta.kind != NDARRAY:
        raise InvalidModeError(
            f"mode='c' gives a private copy-on-write view of an ndarray; {_named(leased)} is a {meta.type}. Use "
            "copy=True for a private copy."
        )
    source, offset, nbytes = meta.parts[0]
    return unpack(meta, [leases.private(leased, offset if source else start + offset, nbytes)])


def read_meta(leased: Leased) -> tuple[Meta, int]:
    """Read what an object says of itself.

    Returns:
        The meta, and where in the heap its own data starts.

    Raises:
        DeserializeError: It cannot be read.
    """
    known = leased.ref.meta
    if known is not None:
        return known  # type: ignore[return-value]
    data = _bytes(leased)
    try:
        count, size, label = read_head(data, data.nbytes)
    except ProtocolError as error:
        raise DeserializeError(f"{_named(leased)} cannot be read: {error}. Publish it again.") from error
    begin = description_start(count, label)
    found = decode_meta(data[begin : begin + size]), leased.record.offset + data_start(count, size, label)
    leased.ref.meta = found
    return found


def peek_meta(leases: Leases, facts: ObjectFacts) -> Meta | None:
    """Read what an object says of itself, without keeping it, and even when it is no longer LIVE.

    Returns:
        ``None`` when it was gone meanwhile, or was written by a release whose meta we cannot read.
    """
    try:
        count, size, label = read_head(leases.heap.read(facts.offset, HEAD_SIZE), facts.nbytes)
        data = leases.heap.read(facts.offset + description_start(count, label), size)
        # Only now: if it is not free yet, then what was read before was this object's.
        state = leases.index.state(slot_of(facts.id))
        is_there = state >> 8 == generation_of(facts.id) and state & 0xFF in {LIVE, DYING}
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
    return leased.root[at : at + leased.record.nbytes].data


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
