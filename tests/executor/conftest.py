"""Fixtures of the executor: a store of the test's own, and a pool that is shut down with the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import jupyter_shm as shm
from jupyter_shm.client import default
from jupyter_shm.client.store import Store


@pytest.fixture
def store(runtime_folder: Path) -> Iterator[Store]:
    """A connection to a store that ends with the test; the default one of this process is closed with it."""
    with Store(capacity="256MiB") as store:
        yield store
        for other in (*default._stores.values(), *default._joined.values()):
            other.close()
        default._stores.clear()
        default._joined.clear()


@pytest.fixture
def pool(store: Store) -> Iterator[shm.Executor]:
    with shm.Executor(2) as pool:
        yield pool
