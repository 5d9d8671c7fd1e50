"""A store of one's own for the time of a test: nobody else's store is touched, and nothing is left over."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..client.store import Store

RUNTIME_DIR = "JUPYTER_SHM_RUNTIME_DIR"


@contextmanager
def private_folder() -> Iterator[str]:
    """A runtime folder of one's own, for this process and those it starts, as long as the block lasts.

    Yields:
        Its path; short, because socket paths hold 107 bytes.
    """
    before = os.environ.get(RUNTIME_DIR)
    folder = tempfile.mkdtemp(prefix="shm-", dir="/tmp")
    os.environ[RUNTIME_DIR] = folder
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[RUNTIME_DIR]
        else:
            os.environ[RUNTIME_DIR] = before
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def private_store(capacity: int | str = "256MiB", name: str | None = None) -> Iterator[Store]:
    """A store of one's own, started now and ended with the block, whoever is still connected.

    Args:
        capacity: As for ``connect``.
        name: As for ``connect``.

    Yields:
        A connection to it.  Processes started inside the block reach it with ``connect(name)``.
    """
    with private_folder():
        store = Store(name, capacity=capacity)
        try:
            yield store
        finally:
            # A test may have closed this connection, or ended the store.
            with Store(name) as last:
                last.shutdown(force=True)
            store.close()


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    """Wait for a condition instead of sleeping for luck.

    Args:
        condition: Called again and again until it is true.
        seconds: When to give up.

    Returns:
        Whether it became true.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
