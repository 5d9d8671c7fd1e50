"""A store and workers for one test alone."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest


@pytest.fixture
def workers(runtime_folder) -> Iterator[ModuleType]:
    """Two workers of this process; they end with the test, and so does the store."""
    import jupyter_shm as shm
    from jupyter_shm.client import default

    shm.init(workers=2)
    yield shm
    shm.shutdown()
    store = default._stores.pop("default", None)
    if store is not None:
        store.shutdown(force=True)
