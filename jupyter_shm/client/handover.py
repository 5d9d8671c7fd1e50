"""Objects on their way to one receiver, who takes them over: the sender keeps them no longer than until then.

A pickled ``ObjectRef`` keeps its object for as long as its sender lives, since nobody tells him when it was read, and how
often.  A message is read once.  So what a message needs is an anonymous object that its sender does not hold, but says in
his lease table that it is on its way; and the receiver, as soon as he has his lease, deletes it.  It is gone for everybody
but for him, and with his last view its bytes are.  The sender is told nothing, and has nothing to forget: what his table
says is of an object that is no more.

If nobody receives it, it lives as long as the sender, and a while more, as what a pickled reference means.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Iterable

import numpy as np

from ..errors import ShmError
from ..protocol import messages as m
from ..serial.buffers import Buffer
from ..serial.meta import NDARRAY, Meta, encode_meta
from ..serial.pack import pack
from ..tables.layout import generation_of, slot_of
from ..tables.leases import SENT
from ..tables.prefix import pack_prefix
from .asking import take_missed
from .leases import Leased
from .origins import Origin
from .refs import ObjectRef
from .session import Session
from .writing import joined, place


def send_bytes(origin: Origin) -> int:
    """Make an object of the bytes of one that is in the store already, for one receiver.

    Args:
        origin: Bytes of that object; somebody in this process has them in view until this returns.

    Returns:
        Id of the new one: an array of all bytes of the old one, to be read by whoever takes it over.

    Raises:
        ShmError: They are gone, or there is no room for one object more.
    """
    start, end = origin.extent
    meta = Meta(
        kind=NDARRAY,
        type="numpy.ndarray",
        shape=(end - start,),
        dtype="uint8",
        nbytes=end - start,
        array=_BYTES,
        python=(0, 0),
        cloudpickle="",
        by_value=False,
        parts=((1, start, end - start),),
    )
    prefix = pack_prefix((origin.id,), encode_meta(meta), origin.session.label)
    return _publish(origin.session, [(0, memoryview(prefix))], len(prefix))


def send_refs(session: Session, ids: Iterable[int]) -> int:
    """Make an object that keeps others until it was received: they go on living, and it is only deleted.

    Args:
        session: Of the store that they are all in.
        ids: Of anonymous objects that this process holds until this returns.

    Returns:
        Id of the object, for ``receive`` or ``acknowledge``.
    """
    placed = place(pack(None), session.label, lambda _buffer: None, ids)
    return _publish(session, placed.buffers, placed.nbytes)


def part_with(session: Session, refs: list[ObjectRef]) -> int:
    """Let an anonymous object of ours go to one receiver; it is held here no longer.

    Args:
        session: That it was put through.
        refs: One reference, the only one that there is in this process; taken out of the list.

    Returns:
        Id of the object.
    """
    id = refs[0].id
    session.leases.send(id)
    refs.clear()
    session.leases.forget_sent(id)
    return id


def receive(session: Session, id: int, *, is_last: bool = True) -> Leased:
    """Take a lease on an object that was sent to us.

    Args:
        session: Of the store that it is in.
        id: Of the object.
        is_last: It was sent to nobody else, and is ours from now on.

    Raises:
        ObjectNotFoundError: It is gone: its store has ended, somebody has received it before, or its sender ended long
            ago.
    """
    leased = session.leases.take_id(id, count_read=False)
    if leased is None:
        leased = take_missed(session, ObjectRef(session.welcome.store, id, "", 1), None)
    if is_last and leased.place is not None:
        acknowledge(session, id)
    return leased


def acknowledge(session: Session, id: int) -> None:
    """Delete what was received, or what has kept what was; the answer is not waited for, as nothing depends on it."""
    connection = session.connection
    asked = _asked.setdefault(session, [])
    with contextlib.suppress(ShmError):  # the store has ended, and with it the object
        connection.ask(m.Delete, "", id, ticket=asked)
    while len(asked) > AHEAD:
        # It has come long ago.  If it was never read, the socket's queue would be full some day, and nobody served.
        number = asked.pop(0)
        with contextlib.suppress(ShmError, KeyError):  # it was another process's, or another thread was faster
            connection.answer(number)


AHEAD = 16
"""Answers that are not waited for at a time."""

_asked: weakref.WeakKeyDictionary[Session, list[int]] = weakref.WeakKeyDictionary()

# A child counts its requests anew: an answer to one of its own would be taken for one to its parent's.
os.register_at_fork(after_in_child=_asked.clear)

_BYTES = pack(np.empty(0, np.uint8)).array


def _publish(session: Session, buffers: list[tuple[int, Buffer]], nbytes: int) -> int:
    """Publish a small object that contains others; nobody here holds it, and it is on its way."""
    tickets: list[int] = []
    try:
        piece = session.cutter.cut(nbytes)
        if piece is not None:
            reservation, offset, where = piece.nursery.id, piece.offset, (piece.id, piece.offset)
        else:
            reserved: m.Reserved = session.connection.request(m.Reserve, nbytes, ticket=tickets)
            reservation, offset, where = reserved.id, reserved.offset, (0, 0)
        session.heap.write_small(offset, joined(buffers, nbytes))
        # Of no payload: its data is another object's, and it is a message, not something that somebody has put.
        facts = ("", nbytes, 0, time.time_ns(), False, *where, 0, 0)
        done: m.Committed = session.connection.request(m.Commit, reservation, *facts, ticket=tickets)
    except BaseException:
        for ticket in tickets:
            session.connection.cancel(ticket)
        raise
    with session.leases.lock:
        session.leases.table.write(slot_of(done.id), generation_of(done.id), SENT)
    return done.id
