"""The notebooks run against a store of their own, never against that of the person who runs them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from store_processes import end_stores_of, settings_in

FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the kernels in a runtime folder and with a profile of this run."""
    # Directly under /tmp: the path of a Unix socket holds 107 bytes.
    config.stash[FOLDER] = folder = Path(tempfile.mkdtemp(prefix="shm-", dir="/tmp"))
    for name in settings_in(os.environ):
        del os.environ[name]
    os.environ["JUPYTER_SHM_RUNTIME_DIR"] = str(folder)
    os.environ["IPYTHONDIR"] = str(folder / "ipython")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the store that the notebooks have started; one that must be killed fails the run."""
    if killed := end_stores_of(session.config.stash[FOLDER]):
        print("\nA store had to be killed:", *killed, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[FOLDER])
