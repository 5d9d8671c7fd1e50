"""Changing what a store that runs may use of the memory."""

from __future__ import annotations

from ..protocol import messages as m
from ..sizes import parse_size
from .store import Store


def set_capacity(store: Store, capacity: int | str) -> int:
    """Let a store use so much memory from now on; its next process will, too.

    Nothing is lost when it uses more already: what nobody reads is spilled to disk, the rest stays, and puts are refused
    until it fits.

    Args:
        store: Which.
        capacity: Bytes, or text such as ``"8GB"``.

    Returns:
        The capacity, in bytes.

    Raises:
        SettingError: It is no size, or more than the machine has.
    """
    nbytes = parse_size(capacity, "capacity")
    with store._call() as session:  # noqa: SLF001 - a verb of the store's, in a file of its own
        session.connection.request(m.SetCapacity, nbytes)
    return nbytes
