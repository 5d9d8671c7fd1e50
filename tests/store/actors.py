"""What the model of the whole store knows: clients, and objects that were ever committed."""

from __future__ import annotations

from dataclasses import dataclass, field

from pure_parts import Lease, Nursery, Piece
from pure_store import PureClient

from jupyter_shm.protocol import messages as m
from jupyter_shm.tables.ring import COMMIT, DROP


@dataclass
class Kept:
    """What the model knows of one object that was ever committed."""

    data: bytes
    contained: tuple[int, ...]
    client: int  # id
    request: int
    flags: int = 0
    expiry: int = 0  # nanoseconds
    version: int = 1


@dataclass(eq=False)
class Actor:
    """One client, and what the model knows of it."""

    end: PureClient
    pending: dict[int, object] = field(default_factory=dict)  # request number: what was asked
    waits: dict[int, m.Wait] = field(default_factory=dict)
    reserved: dict[int, tuple[m.Reserved, bytes]] = field(default_factory=dict)  # by id, with what it is filled with
    anonymous: set[int] = field(default_factory=set)
    leases: list[int] = field(default_factory=list)  # ids, one for each count
    nurseries: dict[int, Nursery] = field(default_factory=dict)  # by id
    pieces: dict[int, tuple[Piece, bytes]] = field(default_factory=dict)  # cut and filled, not committed, by id
    rung: list[tuple[int, int, bytes]] = field(default_factory=list)  # kind, id and bytes of what the ring says unread
    calls: int = 0  # how often it was called since it has asked what happened
    taking: Lease | None = None  # a get that is under way, under the client's lock

    def close(self, nursery: int) -> None:
        """A nursery is given back, and what was cut out of it and not committed."""
        del self.nurseries[nursery]
        self.pieces = {id: entry for id, entry in self.pieces.items() if entry[0].nursery != nursery}

    @property
    def droppable(self) -> list[int]:
        """Ids of anonymous objects that the ring does not say dropped, read or not."""
        dropped = {id for kind, id, _ in self.rung if kind == DROP}
        made = [id for kind, id, _ in self.rung if kind == COMMIT]
        return [id for id in (*sorted(self.anonymous), *made) if id not in dropped]

    @property
    def is_heard(self) -> bool:
        """Is what it sends now carried out now?  Not while the store has ended its connection, or it waits for room."""
        return not self.end.is_ended and not self.end.is_waiting
