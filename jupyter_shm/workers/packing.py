"""Shipments: an object on its way to another process of this machine, its large parts through the store.

Small objects travel inside of the shipment.  Of a large one the shipment names an anonymous object that was put for it: there
is one for all of its parts, and what lives in the store already is referred to.  Nobody has asked for the store to be used,
so where it cannot be, the bytes travel.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from ..client.default import default_store
from ..client.handover import part_with, receive
from ..client.publishing import BytesOfAll, publish
from ..client.reading import read, read_privately
from ..client.store import Store
from ..client.terms import NO_TERMS
from ..client.travel import Luggage, reach, send
from ..client.writing import place
from ..errors import ObjectNotFoundError, ShmError, UnpicklableError
from ..serial.buffers import Buffer
from ..serial.pack import Packed, pack

PROTOCOL = 5

LARGE = 256 << 10
"""Bytes from which on an object goes through the store.

A call with an array of 64, 256, 512 or 1,024 KiB took 1.1, 1.4, 1.4 or 1.0 ms of all processes' time through the store, as
bytes 0.2, 0.9, 0.9 or 2.0; with such a result 1.4, 1.8, 1.5 or 1.9, as bytes 0.4, 1.2, 1.8 or 3.7 (2 cores, both busy).
"""


Content = tuple[bytes, list[bytearray]]
"""The pickle stream, and copies of the buffers that belong to it."""

Place = tuple[int, str, int, bool]
"""Id and name of the store, id of the object, and whether that is the receiver's alone."""

_PLAIN = {type(None), bool, int, float, complex}
_TEXT = {str, bytes}


class Shipment:
    """An object that is on its way.  Pickling it costs what it weighs.

    Attributes:
        content: The object; ``None`` where it is in the store.
        place: Where it is in the store; ``None`` where it is not.
        kept: What has to be held in this process until it has been opened; it stays here.
    """

    __slots__ = ("content", "kept", "place")

    def __init__(
        self,
        content: tuple[bytes, list[bytearray]] | None,
        place: tuple[int, str, int, bool] | None,
        kept: object = None,
    ) -> None:
        self.content = content
        self.place = place
        self.kept = kept

    def __reduce__(self) -> tuple[Any, ...]:
        return shipment, (self.content, self.place)

    @property
    def is_stored(self) -> bool:
        """Does the store have it?"""
        return self.place is not None


def shipment(content: Content | None, place: Place | None) -> Shipment:
    """What a pickled shipment is made by: a function is pickled faster than a class."""
    return Shipment(content, place)


def pack_up(obj: object, *, hand_over: bool = False, store: Store | None = None) -> Shipment:
    """Pack an object for another process of this user on this machine.

    Args:
        obj: Anything that cloudpickle can pickle.
        hand_over: The shipment will be opened once, and then is the opener's: nothing is held here.  Otherwise the shipment
            may be opened as often as one likes for as long as it, or its ``kept``, lives in this process.
        store: Where to; the default one, if it is needed, when left out.

    Raises:
        UnpicklableError: The text names the path to the culprit.
    """
    if is_plain(obj):
        return Shipment((pickle.dumps((obj,), PROTOCOL), []), None)
    luggage = Luggage()
    try:
        packed = pack((obj,), luggage.reducers)
    except UnpicklableError as error:
        raise _unpicklable(obj, error) from error.__cause__
    if packed.nbytes >= LARGE or (luggage.refs and hand_over):
        try:
            return _stored(store or default_store(), packed, luggage, hand_over)
        except ShmError:  # it is full, or cannot be had
            pass
    if hand_over:
        for ref in luggage.refs:
            send(ref)
    return Shipment(_content(packed), None, luggage.refs)


def is_plain(obj: object) -> bool:
    """Is it a number, or a short text: no pickle of it is anything but small?"""
    kind = type(obj)
    return kind in _PLAIN or (kind in _TEXT and len(obj) < LARGE)  # type: ignore[arg-type]


def open_up(shipment: Shipment, *, private: bool = True) -> Any:
    """Make the object of a shipment again.

    Args:
        shipment: It came from another process, or from this one.
        private: Arrays that were its packer's own are writable here, as those out of a pickle are; a page is copied when
            it is written to.  Otherwise they are read-only views.  Those that live in the store anyway are read-only.

    Raises:
        ObjectNotFoundError: It was in the store, and is gone.
        DeserializeError: It cannot be rebuilt here; out of a small shipment comes what pickle raises.
    """
    if shipment.content is not None:
        stream, buffers = shipment.content
        return pickle.loads(stream, buffers=buffers)[0]
    assert shipment.place is not None
    store, name, id, is_ours = shipment.place
    session = reach(store, name)
    if session is None:
        raise ObjectNotFoundError(
            f"what was sent through the store {name!r} cannot be had: that store has ended, or is not this user's on this "
            "machine"
        )
    leased = receive(session, id, is_last=is_ours)
    leases = session.leases
    return (read_privately(leases, leased) if private else read(leases, leased, "r", copy=False))[0]


def _stored(store: Store, packed: Packed, luggage: Luggage, hand_over: bool) -> Shipment:
    with store._call() as session:  # noqa: SLF001 - a put like those of the store itself
        placed = place(packed, session.label, BytesOfAll(session).find, luggage.contained(session))
        refs = [publish(session, placed, "", overwrite=True, terms=NO_TERMS)]
        where = session.welcome.store, session.name
        if hand_over:
            return Shipment(None, (*where, part_with(session, refs), True))
        return Shipment(None, (*where, refs[0].id, False), refs)


def _content(packed: Packed) -> tuple[bytes, list[bytearray]]:
    stream, *buffers = packed.buffers
    return stream.tobytes(), [_copy(buffer) for buffer in buffers]


def _copy(buffer: Buffer) -> bytearray:
    # Of an array that is not contiguous this is all elements in C order.
    return bytearray(buffer.tobytes()) if isinstance(buffer, np.ndarray) else bytearray(buffer)


def _unpicklable(obj: object, error: UnpicklableError) -> UnpicklableError:
    cause = error.__cause__
    if not isinstance(cause, Exception):
        return error
    from ..serial.culprit import explain  # only for who needs it

    return UnpicklableError(f"cannot send this to another process: {explain(obj, cause)}")
