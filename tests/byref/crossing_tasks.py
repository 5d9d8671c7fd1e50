"""What workers of the tests do.  In a file of its own: a spawned process imports it."""

from __future__ import annotations

import os

import numpy as np

from jupyter_shm.client.session import open_sessions


def is_in_store(array) -> bool:
    """Do the elements of an array lie in the heap of a store?"""
    address = array.__array_interface__["data"][0]
    return any(session.heap.offset_at(address, 1) is not None for session in open_sessions())


def look(array):
    """What a worker sees: class, shape, strides, dtype, sum, may it be written, does it live in the store, and where."""
    numbers = array if array.dtype.names is None else array[array.dtype.names[0]]
    facts = type(array).__name__, array.shape, array.strides, array.dtype, float(np.sum(numbers))
    return (*facts, array.flags.writeable, is_in_store(array), os.getpid())


def every_second(array):
    """A part of what came, to be sent back."""
    return array[::2]


def table_facts(table):
    """Type, sum of the column ``n``, and how many bytes of its columns live in the store."""
    import pyarrow as pa

    if not isinstance(table, pa.Table):
        return (
            type(table).__name__,
            int(table["n"].sum()),
            int(is_in_store(table["n"].to_numpy())),
            list(table["s"][:2]),
        )
    chunk = table.column("n").chunk(0)
    numbers = np.frombuffer(chunk.buffers()[1], np.int64)
    return "Table", int(sum(chunk.to_pylist())), int(is_in_store(numbers)), table.column("s").slice(0, 2).to_pylist()


def serve(inbox, outbox):
    """Answer with what ``look`` sees, until None comes."""
    while (array := inbox.get()) is not None:
        outbox.put(look(array))


def keep(inbox, outbox):
    """Keep what comes until the next thing does."""
    while (item := inbox.get()) is not None:
        outbox.put(float(item.sum()) if isinstance(item, np.ndarray) else None)


def look_into(outbox, array):
    outbox.put(look(array))


def integrated() -> list[str]:
    from jupyter_shm.workers import by_reference

    return [*by_reference.integrated]
