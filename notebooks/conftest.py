"""The notebooks run against a store of their own, never against that of the person who runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the kernels in a runtime folder and with a profile of this run."""
    # Directly under /tmp: the path of a Unix socket holds 107 bytes.
    config.stash[FOLDER] = folder = Path(tempfile.mkdtemp(prefix="shm-", dir="/tmp"))
    for name in [name for name in os.environ if name.startswith("JUPYTER_SHM_")]:
        del os.environ[name]
    os.environ["JUPYTER_SHM_RUNTIME_DIR"] = str(folder)
    os.environ["IPYTHONDIR"] = str(folder / "ipython")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the store that the notebooks have started."""
    command = [str(Path(sys.executable).with_name("jupyter-shm")), "stop", "--force"]
    subprocess.run(command, check=True, timeout=60)
    shutil.rmtree(config.stash[FOLDER])
