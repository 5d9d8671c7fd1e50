"""What travels between a submitter and its workers, and stays out of the store where it is small.

A parcel is either the bytes of an object, laid out as in the heap or, for a number or a text, a pickle; or it names an
object of the store.  Who sends one keeps what it names until the other side has a reference of its own: no mark in the
lease table is needed for it, so nothing outlives the answer.
"""

from __future__ import annotations

import pickle
import time
from typing import Any, TypeAlias

import msgspec
import numpy as np

from ..errors import InvalidModeError
from ..serial.meta import NDARRAY, decode_meta
from ..serial.pack import pack
from ..serial.unpack import copy_out, unpack
from ..tables.prefix import find_description, read_head, read_label
from .default import default_store
from .identity import kernel_id, label
from .refs import ObjectRef
from .store import Store
from .template import small_array
from .travel import Luggage, receive, session_of
from .writing import Placed, joined, place

LIMIT = 64 << 10
"""Bytes up to which an object travels with the message.

Measured by a task that returns an array, and the get that follows, on two busy cores: 128 KiB took 0.24 ms with the message
and 0.9 ms through the store, 512 KiB 1.4 and 1.3 ms.  Half of the first, so that a worker's queue of tasks stays small.
"""

PLAIN, IMAGE, STORED = 0, 1, 2
"""A pickle of a built-in type; the bytes that the heap would hold; an object of the store."""

_PLAIN_TYPES = {type(None), bool, int, float, complex, str, bytes}


class Parcel(msgspec.Struct, array_like=True):
    """One object on its way, or arrived.

    Attributes:
        kind: ``PLAIN``, ``IMAGE`` or ``STORED``.
        data: Its bytes; for ``STORED`` the name of the store.
        store, id, version: Of ``STORED``, as in the reference.
        name: The same.
    """

    kind: int
    data: bytes
    store: int = 0
    id: int = 0
    version: int = 0
    name: str = ""

    def build(self, mode: str = "r", copy: bool = False) -> Any:
        """The object, anew for each who asks; its arrays look at these bytes, and are read-only."""
        if self.kind == PLAIN:
            if mode == "c":
                raise _no_view(type(pickle.loads(self.data)).__name__)
            return pickle.loads(self.data)
        begin, end, start = find_description(self.data, len(self.data))
        meta = decode_meta(self.data[begin:end])
        bytes_of = np.frombuffer(self.data, np.uint8)
        parts = [bytes_of[start + at : start + at + nbytes] for _, at, nbytes in meta.parts]
        publisher = ""
        if meta.by_value:
            count, _, size = read_head(self.data, len(self.data))
            publisher = read_label(self.data, count, size)
        if copy or (mode == "c" and meta.kind == NDARRAY):
            return copy_out(meta, parts, publisher)
        if mode == "c":
            raise _no_view(meta.type)
        return unpack(meta, parts, publisher)

    def put(self, store: Store) -> ObjectRef:
        """Make an anonymous object of it."""
        if self.kind == PLAIN:
            return store.put(self.build())
        begin, end, _ = find_description(self.data, len(self.data))
        payload = decode_meta(self.data[begin:end]).nbytes
        return store.put_placed(Placed(len(self.data), payload, time.time_ns(), [(0, memoryview(self.data))], ()))

    def ref(self) -> ObjectRef:
        """Of ``STORED``: a reference of our own, which holds a lease."""
        return receive(self.store, self.data.decode(), self.id, self.name, self.version)


Packing: TypeAlias = "tuple[Parcel, list[ObjectRef]]"
"""A parcel, and what its sender has to keep until it has arrived."""


def pack_parcel(obj: object, *, may_carry: bool = False) -> Packing:
    """Make a parcel of an object; what is large, or refers to stored objects, is put.

    Args:
        obj: Anything that cloudpickle can pickle.
        may_carry: Its sender keeps the references inside of it for as long as somebody may read it, so a small one
            need not be put because of them.

    Raises:
        UnpicklableError: The text names the path to the culprit.
        StoreFullError: It does not fit.
    """
    if type(obj) in _PLAIN_TYPES:
        data = pickle.dumps(obj, 5)
        if len(data) <= LIMIT:
            return Parcel(PLAIN, data), []
    who = _label()
    small = small_array(obj, who)
    if small is not None:
        return Parcel(IMAGE, small[0]), []
    luggage = Luggage()
    packed = pack(obj, luggage.reducers)
    if packed.nbytes <= LIMIT and (may_carry or not luggage):
        placed = place(packed, who, lambda _: None)
        return Parcel(IMAGE, joined(placed.buffers, placed.nbytes)), luggage.refs
    ref = default_store().put_packed(packed, luggage)
    return name_parcel(ref), [ref]


def plain_parcel(obj: object, *leaves: object) -> Parcel | None:
    """Make a parcel of tuples and dicts without cloudpickle; ``None``: one of their leaves is no built-in type."""
    for leaf in leaves:
        if type(leaf) not in _PLAIN_TYPES:
            return None
    data = pickle.dumps(obj, 5)
    return Parcel(PLAIN, data) if len(data) <= LIMIT else None


def name_parcel(ref: ObjectRef) -> Parcel:
    """Name a stored object; whoever holds the reference has to keep it until that has arrived."""
    session = session_of(ref.store)
    store = session.name if session is not None else ""
    return Parcel(STORED, store.encode(), ref.store, ref.id, ref.version, ref.name)


_labels: list[str] = []


def _label() -> str:
    if not _labels:
        _labels.append(label(kernel_id()))
    return _labels[0]


def _no_view(kind: str) -> InvalidModeError:
    return InvalidModeError(
        f"mode='c' gives a private copy-on-write view of an ndarray; this is a {kind}. Use copy=True for a private copy."
    )
