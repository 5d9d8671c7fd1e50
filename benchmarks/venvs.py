"""One virtual environment for each peer, so that their pins do not fight.  Made once, kept in a cache folder.

``python -m benchmarks.venvs ray plasma`` makes them without measuring anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from .peers import Kind, chosen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

PATIENCE = 900
"""Seconds that one installation may take: Ray and its like are some hundred megabytes."""

Version = tuple[int, int]


class UnavailableError(Exception):
    """A peer that cannot be had here; the text says why, in one line."""


def cache_folder() -> Path:
    """Where the environments are: ``BENCH_CACHE``, or ``.bench-cache`` in the checkout."""
    return Path(os.environ.get("BENCH_CACHE") or ROOT / ".bench-cache")


def interpreter(kind: Kind) -> Path:
    """The interpreter of a peer's environment, which is made if it is not there.

    Args:
        kind: Which peer; us is measured in the interpreter that runs this.

    Raises:
        UnavailableError: No Python fits, or a package cannot be installed.
    """
    if kind.environment not in {path.stem for path in (HERE / "requirements").glob("*.txt")}:
        return Path(sys.executable)
    version, base = _base(kind)
    folder = cache_folder() / f"{kind.environment}-{version[0]}.{version[1]}"
    stamp, wanted = folder / "installed.txt", (HERE / "requirements" / f"{kind.environment}.txt").read_text()
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"Installing {kind.title} into {folder} ...", file=sys.stderr, flush=True)
        _make(folder, base, kind)
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def _base(kind: Kind) -> tuple[Version, str]:
    running = sys.version_info[:2]
    if kind.newest is None or running <= kind.newest:
        return running, sys.executable
    fitting = {version: path for version, path in _interpreters().items() if version <= kind.newest}
    if not fitting:
        raise UnavailableError(f"needs Python {kind.newest[0]}.{kind.newest[1]} or older, and none was found")
    return max(fitting.items())


@cache
def _interpreters() -> dict[Version, str]:
    command = [sys.executable, str(ROOT / "tools" / "interpreters.py"), "all"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = (line.split(" ", 1) for line in lines)
    return {tuple(map(int, version.split("."))): path for version, path in found}


def _make(folder: Path, base: str, kind: Kind) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    for command in (
        [base, "-m", "venv", str(folder)],
        [*pip, "-r", str(HERE / "requirements" / f"{kind.environment}.txt")],
    ):
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"its installation took more than {PATIENCE} s") from error
        if done.returncode:
            reasons = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]
            errors = [line for line in reasons if "rror" in line] or reasons
            raise UnavailableError(f"cannot be installed: {errors[0].strip()[:200]}")


if __name__ == "__main__":
    for one in chosen(",".join(sys.argv[1:])):
        try:
            print(one.title, interpreter(one))
        except UnavailableError as reason:
            print(one.title, reason)
