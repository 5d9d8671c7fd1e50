"""A store and workers for one test alone, and a notebook for a module."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from magics.cells import Notebook
from store_processes import end_stores_of


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


@pytest.fixture(scope="module")
def kernel(request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """A notebook for a module, in which its ``PREPARE`` has run; its workers and its store end with it."""
    folder = Path(tempfile.mkdtemp(prefix="shm-", dir="/tmp"))
    house = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [house, os.environ.get("PYTHONPATH")]))
    notebook = Notebook.start({**os.environ, "JUPYTER_SHM_RUNTIME_DIR": str(folder), "PYTHONPATH": path})
    try:
        assert not notebook.run(request.module.PREPARE).errors
        yield notebook
    finally:
        notebook.end()
        killed = end_stores_of(folder)
        shutil.rmtree(folder)
    assert not killed, f"a store had to be killed: {killed}"
