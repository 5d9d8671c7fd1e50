"""What the model of the whole store knows: clients, and objects that were ever committed."""

from __future__ import annotations

from dataclasses import dataclass, field

from pure_store import Lease, PureClient

from jupyter_shm.protocol import messages as m


@dataclass
class Kept:
    """What the model knows of one object that was ever committed."""

    data: bytes
    contained: tuple[int, ...]
    client: int  # id
    request: int


@dataclass(eq=False)
class Actor:
    """One client, and what the model knows of it."""

    end: PureClient
    pending: dict[int, object] = field(default_factory=dict)  # request number: what was asked
    waits: dict[int, m.Wait] = field(default_factory=dict)
    reserved: dict[int, tuple[m.Reserved, bytes]] = field(default_factory=dict)  # by id, with what it is filled with
    anonymous: set[int] = field(default_factory=set)
    leases: list[int] = field(default_factory=list)  # ids, one for each count
    taking: Lease | None = None  # a get that is under way, under the client's lock

    @property
    def is_heard(self) -> bool:
        """Is what it sends now carried out now?  Not while the store has ended its connection, or it waits for room."""
        return not self.end.is_ended and not self.end.is_waiting
