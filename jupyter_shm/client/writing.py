"""Where each buffer of an object goes: in its own extent, or nowhere, because the store has the bytes already."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable

import msgspec

from ..serial.buffers import Buffer
from ..serial.meta import Meta, encode_meta
from ..serial.pack import Packed
from ..tables.prefix import ALIGN, pack_prefix

Found = tuple[int, int]
"""Where bytes already are: id of an object that this client holds a lease on, and the offset in the heap."""

SMALLEST_SHARED = 4096
"""Bytes from which on a buffer that is in the store already is referred to instead of copied.  A smaller one is
copied faster, and does not keep the other object's memory."""

_PYTHON = sys.version_info[:2]


class Placed(msgspec.Struct):
    """An object ready to be written into an extent.

    Attributes:
        nbytes: Bytes of extent that it takes.
        payload: Bytes of data, referred to ones included.
        created_ns: Now: nanoseconds since 1970.
        buffers: ``(bytes from the start of the extent, what to write there)``.
        contained: Ids of the objects whose bytes it refers to; their leases must be held until the commit is
            answered.
    """

    nbytes: int
    payload: int
    created_ns: int
    buffers: list[tuple[int, Buffer]]
    contained: tuple[int, ...]


def place(
    packed: Packed, publisher: str, find: Callable[[memoryview], Found | None], referred: Iterable[int] = ()
) -> Placed:
    """Lay an object out.

    Args:
        packed: The object's buffers.
        publisher: Label of this process.
        find: Where a buffer's bytes are in the store, if they are there and we hold a lease on them.
        referred: Ids of anonymous objects that references inside of it mean.

    Returns:
        What to write where.
    """
    contained: dict[int, int] = {}  # id to its number in the list, from 1
    parts: list[tuple[int, int, int]] = []
    own: list[tuple[int, Buffer]] = []
    end = 0
    for buffer in packed.buffers:
        found = find(buffer) if isinstance(buffer, memoryview) and buffer.nbytes >= SMALLEST_SHARED else None
        if found is not None:
            number = contained.setdefault(found[0], len(contained) + 1)
            parts.append((number, found[1], buffer.nbytes))
        else:
            end += -end % ALIGN
            parts.append((0, end, buffer.nbytes))
            own.append((end, buffer))
            end += buffer.nbytes
    for id in referred:  # behind those whose bytes are parts, which are numbered
        contained.setdefault(id, len(contained) + 1)
    meta = _meta(packed, tuple(parts))
    prefix = pack_prefix(tuple(contained), encode_meta(meta), publisher)
    start = len(prefix)
    buffers: list[tuple[int, Buffer]] = [(0, memoryview(prefix)), *((start + at, buffer) for at, buffer in own)]
    return Placed(start + end, meta.nbytes, time.time_ns(), buffers, tuple(contained))


def _meta(packed: Packed, parts: tuple[tuple[int, int, int], ...]) -> Meta:
    return Meta(
        kind=packed.kind,
        type=packed.type,
        shape=packed.shape,
        dtype=packed.dtype,
        nbytes=packed.nbytes,
        array=packed.array,
        python=(_PYTHON[0], _PYTHON[1]),
        cloudpickle=packed.cloudpickle,
        by_value=packed.by_value,
        parts=parts,
    )


def joined(buffers: list[tuple[int, Buffer]], nbytes: int) -> bytes:
    """Make one write of many: for a small object a copy in memory is cheaper than a system call for each part."""
    parts: list[bytes | memoryview] = []
    end = 0
    for at, buffer in buffers:
        if at > end:
            parts.append(bytes(at - end))
        parts.append(buffer if isinstance(buffer, memoryview) else buffer.tobytes())
        end = at + buffer.nbytes
    parts.append(bytes(nbytes - end))
    return b"".join(parts)
