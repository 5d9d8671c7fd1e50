"""What stands in the books of the store: objects, and extents that are being filled.  No I/O here."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..tables.layout import LIVE
from ..tables.terms import NO_TERMS, Terms


@dataclass(eq=False, slots=True)
class Reservation:
    """An extent that a client is filling.  It has a slot of its own, in state RESERVED."""

    id: int
    slot: int
    generation: int
    client: int
    request: int
    offset: int
    extent: int  # bytes


@dataclass(eq=False, slots=True)
class Nursery(Reservation):
    """An extent that a client cuts objects out of, from its beginning on; what is left of it is told by the entry.

    The slots that the objects will live in were promised with it, and are in state RESERVED.
    """

    promised: dict[int, None] = field(default_factory=dict)  # ids
    gaps: list[tuple[int, int]] = field(default_factory=list)  # (start, end): passed over, and perhaps still written

    def spans(self) -> list[tuple[int, int]]:
        """All that is left: ``(start, end)`` of each part."""
        return [*self.gaps, (self.offset, self.offset + self.extent)]


@dataclass(eq=False, slots=True)
class Object:
    """A sealed object."""

    id: int
    slot: int
    generation: int
    sequence: int
    name: str  # "" when anonymous; stays what it was when the name is gone
    client: int
    request: int
    label: str | None  # who that is, for people; None: not read yet, see ``Ledger.label``
    offset: int
    extent: int  # bytes of the extent
    nbytes: int  # bytes covered, header included
    payload: int  # bytes of data
    created_ns: int
    version: int
    contained: tuple[int, ...] = ()
    state: int = LIVE
    containers: int = 0  # objects whose bytes refer to this one's
    reads: int = 0  # by clients that have hung up since
    due: float | None = None  # when to look whether a DYING one is still held; None while LIVE
    backoff: float = 0.0  # seconds between looks; 0 until the first one
    ender: tuple[int, int] | None = None  # client and number of the Delete that ended it
    is_held: bool = False  # a look found a lease, or a container
    terms: Terms = NO_TERMS  # changed by ``agreements.agree`` alone
    is_spilled: bool = False  # its bytes are in the spill heap, at ``place``, and its extent is another's
    is_pending: bool = False  # it is still to be made: it has no facts, and no extent
    is_lost: bool = False  # and the client that was to make it is gone
    used_at: float = 0.0  # when a client that has hung up since used it last, or it was published; seconds

    @property
    def was_pending(self) -> bool:
        """Is it an object that was PENDING, and has been made?"""
        return not self.version and not self.is_pending

    @property
    def place(self) -> int:
        """Offset in the spill heap; -1 while it has none."""
        return self.terms.spilled - 1
