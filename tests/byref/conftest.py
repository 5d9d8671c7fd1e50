"""Fixtures of what travels by reference: a store with a large array in it, and libraries that are integrated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import jupyter_shm as shm
from jupyter_shm.client import default
from jupyter_shm.client.store import Store

COUNT = 1 << 17
"""Numbers in the array ``x``: 1 MiB."""


@pytest.fixture
def store(runtime_folder: Path) -> Iterator[Store]:
    """A connection to a store that ends with the test; the array is published as ``x``."""
    with Store(capacity="256MiB") as store:
        store.put(np.arange(COUNT, dtype=float), "x")
        yield store
        for other in (*default._stores.values(), *default._joined.values()):
            other.close()
        default._stores.clear()
        default._joined.clear()


@pytest.fixture
def by_multiprocessing() -> Iterator[None]:
    with shm.integrate("multiprocessing"):
        yield


@pytest.fixture
def by_joblib() -> Iterator[None]:
    with shm.integrate("joblib"):
        yield
