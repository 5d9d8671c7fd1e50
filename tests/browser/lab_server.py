"""A real JupyterLab, with a profile, a folder and stores of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import nbformat
from store_processes import end_stores_of

TOKEN = "tests"
CAPACITY = "64MiB"
CONFIG = """
c.LabApp.news_url = None
c.LabApp.expose_app_in_browser = True
c.JupyterNotebookApp.expose_app_in_browser = True
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
c.ServerApp.port_retries = 0
c.ServerApp.open_browser = False
c.ShmExtensionApp.pause = 0.05
"""
NO_NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


class LabServer:
    """A server that runs until ``close``.

    Attributes:
        url: Where it answers; Notebook 7 too, at /notebooks.
        pid: Of the server's process.
        folder: Where its notebooks lie.
        runtime: The runtime folder of the stores that its kernels and it see; set it as JUPYTER_SHM_RUNTIME_DIR.
    """

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="shm-lab-", dir="/tmp"))
        self.runtime = self._home / "shm"
        self.runtime.mkdir(mode=0o700)
        self.folder = self._home / "notebooks"
        self.folder.mkdir()
        config = self._home / "config"
        (config / "labconfig").mkdir(parents=True)
        (config / "jupyter_lab_config.py").write_text(CONFIG)
        (config / "labconfig" / "page_config.json").write_text(json.dumps(NO_NEWS))
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = (self._home / "lab.log").open("wb")
        command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
        self._process = subprocess.Popen(
            [*command, f"--ServerApp.root_dir={self.folder}"],
            env=self._environment(config),
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = self._process.pid
        self._wait()

    def notebook(self, name: str, *cells: str) -> str:
        """Write a notebook; its path, as the server names it."""
        notebook = nbformat.v4.new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        )
        for number, cell in enumerate(notebook.cells):
            cell["id"] = f"cell-{number}"
        nbformat.write(notebook, self.folder / name)
        return name

    def log(self) -> str:
        """What the server has said."""
        return (self._home / "lab.log").read_text(errors="replace")

    def close(self) -> None:
        """End the server, its kernels, and all stores that they have started."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        killed = end_stores_of(self.runtime)
        shutil.rmtree(self._home, ignore_errors=True)
        assert not killed, killed

    def _environment(self, config: Path) -> dict[str, str]:
        own = {
            "JUPYTER_CONFIG_DIR": config,
            "JUPYTER_DATA_DIR": self._home / "data",
            "JUPYTER_RUNTIME_DIR": self._home / "runtime",
            "JUPYTERLAB_SETTINGS_DIR": self._home / "settings",
            "JUPYTERLAB_WORKSPACES_DIR": self._home / "workspaces",
            "IPYTHONDIR": self._home / "ipython",
            "JUPYTER_SHM_RUNTIME_DIR": self.runtime,
        }
        plain = {"JUPYTER_TOKEN": TOKEN, "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_SHM_CAPACITY": CAPACITY}
        return {**os.environ, **{name: str(path) for name, path in own.items()}, **plain}

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/api", timeout=1).close()
            except OSError:
                assert self._process.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)
            else:
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
