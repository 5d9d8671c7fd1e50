"""Find and end the store processes that a test's runtime folder has started.

A store is not our child: it has a session of its own and outlives whoever started it.  What ties it to a test is
the folder in its environment, so no other store of this machine can be hit.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from leaks import command_line, parent_of

MODULE = "jupyter_shm.store"
SECONDS = 10.0

NO_FOLDER = "/dev/null/this-test-must-ask-for-the-fixture-runtime_folder"
"""Where JUPYTER_SHM_RUNTIME_DIR points by default: a test that forgets the fixture must not reach the store of the
person who runs it.  Nobody can make a folder below /dev/null, not even root, and the error shows the cure."""


def settings_in(environment: Iterable[str]) -> list[str]:
    """The package's settings among the names of an environment; what the Makefile tells the tests is none of them."""
    return [
        name for name in environment if name.startswith("JUPYTER_SHM_") and not name.startswith("JUPYTER_SHM_TEST_")
    ]


def stores_of(folder: Path) -> dict[int, str]:
    """The living store processes of one runtime folder, without their keepers: as ``processes_of``."""
    found = {pid: line for pid, line in processes_of(folder).items() if name_of(pid) == "shm-store"}
    # A child that a store has just forked calls itself as the store does, for a moment.
    return {pid: line for pid, line in found.items() if parent_of(pid) not in found}


def keepers_of(folder: Path) -> dict[int, str]:
    """The living keepers of one runtime folder: as ``processes_of``."""
    return {pid: line for pid, line in processes_of(folder).items() if name_of(pid) == "shm-keeper"}


def name_of(pid: int) -> str:
    """What a process calls itself; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def processes_of(folder: Path) -> dict[int, str]:
    """The living stores and keepers of one runtime folder.

    Args:
        folder: What JUPYTER_SHM_RUNTIME_DIR named when they were started.

    Returns:
        Command line by pid.
    """
    setting = f"JUPYTER_SHM_RUNTIME_DIR={folder}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        started_as_store = any(word.decode(errors="replace").split(".__main__")[0] == MODULE for word in words)
        if started_as_store and (setting in environment or os.fsencode(folder) in words):
            found[int(entry.name)] = command_line(int(entry.name))
    return found


def stores_left_of(folder: Path, seconds: float = SECONDS) -> dict[int, str]:
    """Wait until a folder has no store and no keeper any more.

    Args:
        folder: The runtime folder.
        seconds: When to give up waiting.

    Returns:
        What ``processes_of`` still finds then; empty as soon as there is none.
    """
    deadline = time.monotonic() + seconds
    while (living := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return living


def end_stores_of(folder: Path, seconds: float = SECONDS) -> list[str]:
    """Ask the stores of a folder to end, and kill those that do not.

    Args:
        folder: The runtime folder.
        seconds: How long they have to end by themselves.

    Returns:
        One line for each that had to be killed; empty when all went in peace.
    """
    _signal_all(folder, signal.SIGTERM)
    if not (stubborn := stores_left_of(folder, seconds)):
        return []
    _signal_all(folder, signal.SIGKILL)
    stores_left_of(folder, seconds)
    return [f"pid {pid} did not end within {seconds:g} s of SIGTERM: {line}" for pid, line in stubborn.items()]


def _signal_all(folder: Path, number: signal.Signals) -> None:
    for pid in processes_of(folder):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
