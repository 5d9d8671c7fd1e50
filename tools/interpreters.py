"""Find the CPython interpreters of this machine that the suite can run on.  Standard library only.

``make test`` and ``make test-all`` call it before anything is installed.  A name on PATH proves nothing: version
managers put a ``python3.12`` there that only prints how to install one.  So every candidate is run, and counts only
if it answers with its own version and can make virtual environments.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 10)
"""``requires-python`` of pyproject.toml; a test holds the two together."""

PROBE_SECONDS = 30
"""An interpreter that has not answered by then is broken; a cold disk answers within a few."""

NAME = re.compile(r"python3(\.\d+)?")

# Runs inside the candidate, which may be any Python 3 at all: old syntax only.  ensurepip is asked for because
# Debian ships a venv module that cannot install pip, and no final release is asked for wheels that do not exist yet.
PROBE = """
import ensurepip, json, sys, sysconfig, venv
final = sys.version_info[3] == "final" and not sysconfig.get_config_var("Py_GIL_DISABLED")
base = getattr(sys, "_base_executable", None) or sys.executable
print(json.dumps([sys.implementation.name == "cpython" and final, list(sys.version_info[:2]), base]))
"""


@dataclass(frozen=True, order=True)
class Interpreter:
    """One interpreter that ran and answered."""

    version: tuple[int, int]
    executable: str  # absolute path; of the base interpreter where the candidate was a virtual environment

    def __str__(self) -> str:
        return f"{self.version[0]}.{self.version[1]} {self.executable}"


def probe(candidate: Path) -> Interpreter | None:
    """Run one candidate and believe only what it prints.

    Args:
        candidate: Path of something that is named like an interpreter.

    Returns:
        The interpreter, or None where it does not run, is too old, no final CPython release, or lacks ``venv``.
    """
    command = [str(candidate), "-I", "-c", PROBE]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True)
        usable, (major, minor), executable = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    if not usable or (major, minor) < OLDEST:
        return None
    return Interpreter((major, minor), executable)


def search_path(environ: dict[str, str]) -> list[Path]:
    """Folders that may hold interpreters, the user's own choice (PATH) first.

    Args:
        environ: The environment to read PATH, PYENV_ROOT and HOME from.

    Returns:
        Folders, which need not exist.
    """
    home = Path(environ.get("HOME", "/nonexistent"))
    pyenv = Path(environ.get("PYENV_ROOT", home / ".pyenv"))
    on_path = [Path(part) for part in environ.get("PATH", "").split(os.pathsep) if part]
    return [*on_path, *sorted(pyenv.glob("versions/*/bin")), Path("/usr/local/bin"), Path("/usr/bin")]


def candidates(folders: Iterable[Path]) -> Iterator[Path]:
    """Name every file that could be a Python 3, each real file once.

    Args:
        folders: Where to look, in this order.

    Yields:
        Paths as they were found: a version manager's shim must be called by its own name.
    """
    seen: set[Path] = set()
    for folder in folders:
        for path in sorted(folder.glob("python3*")):
            # Shims are one script under many names, so the name belongs to the identity.
            identity = path.resolve().with_name(path.name)
            if NAME.fullmatch(path.name) and identity not in seen and os.access(path, os.X_OK):
                seen.add(identity)
                yield path


def find(folders: Iterable[Path]) -> list[Interpreter]:
    """One interpreter of each minor version, the oldest first.

    Args:
        folders: Where to look. Of two interpreters of one version the earlier folder's wins, and the running one
            wins over both: it is what the user asked for with ``PYTHON=``.

    Returns:
        At least the running interpreter, unless that one cannot make virtual environments.
    """
    found: dict[tuple[int, int], Interpreter] = {}
    for path in [Path(sys.executable), *candidates(folders)]:
        interpreter = probe(path)
        if interpreter is not None:
            found.setdefault(interpreter.version, interpreter)
    return sorted(found.values())


def other(found: Iterable[Interpreter], version: tuple[int, int]) -> Interpreter | None:
    """The second interpreter for the tests in which two Python versions share an object.

    Args:
        found: What ``find`` returned.
        version: Major and minor version of the first interpreter.

    Returns:
        The oldest one of another version, because it differs most and because every dependency promises wheels for
        it; None where there is no other.
    """
    return min((one for one in found if one.version != version), default=None)


def main(arguments: list[str] | None = None) -> None:
    """Print one interpreter a line, as ``3.12 /path/of/python3.12``.

    Args:
        arguments: The command line without the program's name; ``sys.argv`` when omitted.
    """
    parser = argparse.ArgumentParser(description="Find the interpreters that the suite can run on.")
    parser.add_argument(
        "which", choices=["all", "other"], help="every minor version, or one that differs from the running one"
    )
    which = parser.parse_args(arguments).which
    found = find(search_path(dict(os.environ)))
    second = other(found, sys.version_info[:2])
    for interpreter in found if which == "all" else filter(None, [second]):
        print(interpreter)


if __name__ == "__main__":
    main()
