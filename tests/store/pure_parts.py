"""What a client of the store without a process has at its end: pieces of nurseries, and gets that are under way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from jupyter_shm.protocol import messages as m
from jupyter_shm.tables.alignment import alignment, rounded
from jupyter_shm.tables.layout import LIVE, SPILLED
from jupyter_shm.tables.prefix import pack_prefix

if TYPE_CHECKING:
    from pure_store import PureClient


class Piece(NamedTuple):
    """An extent that was cut out of a nursery and filled."""

    nursery: int  # its id
    id: int
    offset: int
    nbytes: int


class Nursery:
    """A nursery at its client's end."""

    def __init__(self, client: PureClient, granted: m.NurseryReserved) -> None:
        self.client = client
        self.granted = granted
        self.id = granted.id
        self.ids = list(granted.ids)
        self._at = granted.offset
        self._end = granted.offset + granted.nbytes

    def cut(self, data: bytes = b"data", contained: tuple[int, ...] = ()) -> Piece:
        """An object that is written, and of which nobody knows yet."""
        piece = self.try_cut(pack_prefix(contained, b"") + data)
        assert piece is not None, "the nursery is used up"
        return piece

    def try_cut(self, whole: bytes) -> Piece | None:
        """The same, of all its bytes; ``None``: the nursery is used up."""
        size = rounded(len(whole))
        offset = self._at + -self._at % alignment(size)
        if offset + size > self._end or not self.ids:
            return None
        self._at = offset + size
        self.client.store.heap[offset : offset + len(whole)] = whole
        return Piece(self.id, self.ids.pop(0), offset, len(whole))


class Lease:
    """The reader's half of the lease protocol, one step at a time: each ``next`` is one look or one store.

    Attributes:
        id: The object, once the lease is held.
        is_over: It is held, or was not to be had.
    """

    def __init__(self, client: PureClient, name: str) -> None:
        self.client = client
        self.name = name
        self.id: int | None = None
        self.is_over = False
        self._steps = self._take()

    def __iter__(self) -> Iterator[None]:
        return self

    def __next__(self) -> None:
        try:
            next(self._steps)
        except StopIteration:
            self.is_over = True
            raise

    def _take(self) -> Iterator[None]:
        reader, table = self.client.store.reader, self.client.table
        wanted = LIVE
        hit = reader.look_up(self.name.encode())
        yield
        if hit is None:
            wanted = SPILLED
            hit = reader.look_up(self.name.encode(), SPILLED)
            yield
        if hit is None:
            return
        slot, record = hit[:2]
        generation, count = table.entry(slot)
        if count and generation != record.generation:
            return
        table.write(slot, record.generation, count + 1)
        yield
        if reader.state(slot) == record.generation << 8 | wanted:
            self.id = record.generation << 20 | slot
        else:
            table.write(slot, record.generation, count)
