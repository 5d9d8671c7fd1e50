"""An IPython in this process for what is fast, and two kernels for what only a kernel shows."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from cells import Notebook, Shell
from IPython.core.interactiveshell import InteractiveShell
from store_processes import end_stores_of
from traitlets.config import Config

from jupyter_shm.client import default


@pytest.fixture
def shell(runtime_folder: Path) -> Iterator[Shell]:
    """An IPython with our magics, a store of this test alone, and no history on disk."""
    config = Config()
    config.HistoryManager.enabled = False
    ip = InteractiveShell(config=config, user_module=ModuleType("a_notebook"))
    ip.run_line_magic("load_ext", "jupyter_shm")
    yield Shell(ip)
    ip.run_line_magic("unload_ext", "jupyter_shm")
    ip.displayhook.flush()
    for names in (ip.user_ns, ip.user_ns_hidden):
        names.clear()
    ip.last_execution_result = ip.InteractiveTB.tb = None
    sys.modules.pop("a_notebook", None)
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        sys.__dict__.pop(name, None)
    for store in default._stores.values():
        store.close()


@pytest.fixture(scope="module")
def kernels() -> Iterator[tuple[Notebook, Notebook]]:
    """Two kernels with our magics and a store of their own."""
    folder = Path(tempfile.mkdtemp(prefix="shm-", dir="/tmp"))
    house = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [house, os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "JUPYTER_SHM_RUNTIME_DIR": str(folder), "PYTHONPATH": path}
    started: list[Notebook] = []
    try:
        started.append(Notebook.start({**env, "JPY_SESSION_NAME": "one.ipynb"}))
        started.append(Notebook.start({**env, "JPY_SESSION_NAME": "two.ipynb"}))
        yield started[0], started[1]
    finally:
        for notebook in started:
            notebook.end()
        killed = end_stores_of(folder)
        shutil.rmtree(folder)
    assert not killed, f"a store had to be killed: {killed}"


@pytest.fixture
def notebook(kernels: tuple[Notebook, Notebook]) -> Iterator[Notebook]:
    """The first kernel, and an empty store."""
    yield kernels[0]
    for one in kernels:
        one.forget()


@pytest.fixture
def other(kernels: tuple[Notebook, Notebook], notebook: Notebook) -> Notebook:
    """The second kernel."""
    return kernels[1]
