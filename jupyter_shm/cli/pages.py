"""What of the package browsers show, and whether it is in this environment: for ``doctor``.

Kernels and JupyterLab may have environments of their own.  Both need the package: the kernels' for the magics and the
panel, JupyterLab's for the sidebar and the status bar.
"""

from __future__ import annotations

import site
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from ..linux.machine import Fact

LAB_EXTENSION = "share/jupyter/labextensions/jupyter-shm/package.json"
SERVER_EXTENSION = "etc/jupyter/jupyter_server_config.d/jupyter_shm.json"

HOW_TO_BUILD = (
    "It was not built when the package was installed from its sources. Install a wheel, or again from the sources with "
    "Node.js 20.19 or later on PATH, or with access to PyPI and npm: `JUPYTER_SHM_LABEXTENSION=force pip install .`"
)


def page_facts() -> list[Fact]:
    """The panel's page, and the extensions of JupyterLab and its server."""
    return [_panel(), _lab()]


def _panel() -> Fact:
    if (files("jupyter_shm") / "panel" / "static" / "widget.js").is_file():
        return Fact("panel in notebooks", "there", "ok")
    return Fact("panel in notebooks", "its page is missing", "warn", HOW_TO_BUILD)


def _lab() -> Fact:
    title = "JupyterLab"
    here = [f"{name} {found}" for name in ("jupyterlab", "notebook") if (found := _version(name))]
    if not here:
        advice = (
            "Where it runs, install jupyter_shm too: that shows the sidebar and the status bar. Here it is for kernels"
        )
        return Fact(title, "not in this environment", "ok", advice)
    missing = [what for what, path in _extensions().items() if not _is_installed(path)]
    if missing:
        return Fact(title, f"{', '.join(here)}, without {' and '.join(missing)}", "warn", HOW_TO_BUILD)
    return Fact(title, f"{', '.join(here)}, with the sidebar", "ok")


def _extensions() -> dict[str, str]:
    return {"the extension for the page": LAB_EXTENSION, "the one for the server": SERVER_EXTENSION}


def _is_installed(path: str) -> bool:
    return any((Path(prefix) / path).is_file() for prefix in (sys.prefix, site.getuserbase()))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
