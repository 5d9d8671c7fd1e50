"""The messages about objects that are still to be made.  No I/O here."""

from __future__ import annotations

from .message import Count, Message


class Pend(Message, frozen=True, tag="pend"):
    """Ask for the id of an object that this client will make.  Answered by ``Pended``; ``full`` when no slot is free."""

    number: Count


class Fulfil(Message, frozen=True, tag="fulfil"):
    """Let a PENDING object be what was written.  Answered by ``Done``, after the index shows it.

    Refused with ``not-found`` when it is gone, for nobody refers to it; with ``fulfilled`` when it has been made;
    with ``invalid-argument`` when it is another client's, or would contain itself.
    """

    number: Count
    pending: Count  # id of the PENDING object
    reservation: Count  # id of the reservation, from Reserved, or of the nursery
    nbytes: Count  # bytes of the extent that the object covers, header included
    payload: Count  # bytes of the object's own data, for people
    created_ns: Count  # nanoseconds since 1970
    id: Count = 0  # out of a nursery: that of the piece, one of those that were promised; no object will bear it
    offset: Count = 0  # out of a nursery: where the object is, in bytes from the start of the heap


class Pended(Message, frozen=True, tag="pended"):
    """There is a PENDING object of this client, anonymous as any other; it is lost when the connection ends first."""

    number: int
    id: int
