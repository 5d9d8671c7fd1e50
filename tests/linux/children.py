"""Child processes for tests that kill, starve or limit a process.  Each gets a snippet of Python and ends by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 30.0
"""How long a child or a condition may take before the test fails; spent only then."""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start(code: str, *arguments: object, pass_fds: Sequence[int] = ()) -> subprocess.Popen[str]:
    """Start a child that runs ``code`` and can be talked to by its stdin and stdout."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment(), pass_fds=tuple(pass_fds), text=True)


def run(code: str, *arguments: object, pass_fds: Sequence[int] = ()) -> tuple[int, str]:
    """Run a child to its end; its return code (a signal's number negative) and what it printed."""
    with start(code, *arguments, pass_fds=pass_fds) as child:
        out, _ = child.communicate(timeout=SECONDS)
    return child.returncode, out.strip()


def eventually(condition: Callable[[], object]) -> None:
    """Wait until ``condition()`` is true."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {SECONDS:g} s"
        time.sleep(0.005)
