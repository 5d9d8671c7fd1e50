"""Puts of what is packed already: of parcels that turned out large, or have to leave their process after all."""

from __future__ import annotations

from ..serial.pack import Packed
from . import publishing
from .calls import Caller, once_more_if_lost
from .pending import pend
from .refs import ObjectRef
from .session import Session
from .terms import NO_TERMS
from .travel import Luggage
from .writing import Placed, place


class PackedPuts(Caller):
    """The methods of a store that put anonymous objects which somebody else has packed."""

    @once_more_if_lost
    def put_packed(self, packed: Packed, luggage: Luggage) -> ObjectRef:
        """Put an object; what lives in the store already is not copied.

        Args:
            packed: Its buffers.
            luggage: What was met while it was packed.
        """
        with self._call() as session:
            placed = place(packed, session.label, publishing.StoredBytes(session).find, luggage.contained(session))
            return publishing.publish(session, placed, "", overwrite=True, terms=NO_TERMS)

    @once_more_if_lost
    def pend(self) -> tuple[Session, ObjectRef]:
        """Ask for an object that this process will make: with which connection, and a reference to it."""
        with self._call() as session:
            return session, pend(session)

    @once_more_if_lost
    def put_placed(self, placed: Placed) -> ObjectRef:
        """Put an object that is laid out, and refers to no other one."""
        with self._call() as session:
            return publishing.publish(session, placed, "", overwrite=True, terms=NO_TERMS)
