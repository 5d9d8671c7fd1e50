"""The browser of the tests: which one, how it is started, and what is missing for it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

WIDGET = Path(__file__).parents[1] / "jupyter_shm" / "panel" / "static" / "widget.js"
EXTENSION = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "jupyter-shm" / "package.json"

REQUIRED = "JUPYTER_SHM_TEST_BROWSER"
"""A variable: where it is ``required``, what is missing ends the run; else the tests that need it are skipped."""


def chromium() -> str | None:
    """The browser that is to be used."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)


def what_is_missing() -> str:
    """Why nothing can be tested in a browser; ``""`` where it can."""
    if chromium() is None:
        return "no Chromium was found: `apt install chromium`, or name one in the variable CHROMIUM"
    if not WIDGET.is_file():
        return f"the panel's page was not built ({WIDGET}): see hatch_build.py"
    if not EXTENSION.is_file():
        return f"the JupyterLab extension is not installed ({EXTENSION}): it was not built, see hatch_build.py"
    return ""


def is_required() -> bool:
    """Whether it is a failure that something is missing."""
    return os.environ.get(REQUIRED, "") == "required"
