"""What a client of the store without a process asks for and makes later: its end of PENDING objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pure_parts import Piece

from jupyter_shm.protocol import messages as m
from jupyter_shm.tables.prefix import pack_prefix

if TYPE_CHECKING:
    from pure_store import PureStore

CREATED = 1_700_000_000_000_000_000


class PureMaker:
    """Asks for PENDING objects, and makes them."""

    store: PureStore

    def ask(self, kind: type, *fields: object) -> Any:
        raise NotImplementedError

    def reserve(self, nbytes: int) -> m.Reserved:
        raise NotImplementedError

    def fill(self, reserved: m.Reserved, data: bytes, contained: tuple[int, ...] = ()) -> int:
        raise NotImplementedError

    def pend(self) -> int:
        """A PENDING object, which must be granted; its id."""
        answer = self.ask(m.Pend)
        assert isinstance(answer, m.Pended), answer
        return answer.id

    def fulfil(self, id: int, data: bytes = b"data", contained: tuple[int, ...] = ()) -> Any:
        """Reserve, fill, and make it of that; the answer."""
        reserved = self.reserve(len(pack_prefix(contained, b"")) + len(data))
        return self.fulfil_with(id, reserved, self.fill(reserved, data, contained))

    def fulfil_with(self, id: int, reserved: m.Reserved, nbytes: int) -> Any:
        return self.ask(m.Fulfil, id, reserved.id, nbytes, 8, CREATED)

    def fulfil_with_piece(self, id: int, piece: Piece) -> Any:
        """Make it of a piece of a nursery; the answer."""
        return self.ask(m.Fulfil, id, piece.nursery, piece.nbytes, 8, CREATED, piece.id, piece.offset)

    def wait_for(self, *ids: int, count: int = 1) -> int:
        """Wait for as many of these; the number of the request."""
        number: int = self.post(m.Wait, (), count, 0, ids)
        self.store.work()
        return number

    def post(self, kind: type, *fields: object) -> int:
        raise NotImplementedError
