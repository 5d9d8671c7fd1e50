"""Who this process is, for people: the label that the store shows as publisher and holder."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from .. import __version__
from ..protocol.messages import MAX_LABEL, Hello

_CONNECTION_FILE = re.compile(r"kernel-([^/]+)\.json$")


def hello(watches: bool = False) -> Hello:
    """This process's first message.

    Args:
        watches: The connection is one that is told when something has happened.
    """
    kernel = kernel_id()
    return Hello(os.getpid(), label(kernel), kernel, sys.version.split()[0], __version__, watches)


def kernel_id() -> str:
    """The id of the Jupyter kernel that this process is, or ``""``."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    if kernel is None or not kernel.IPKernelApp.initialized():
        return ""
    found = _CONNECTION_FILE.search(kernel.IPKernelApp.instance().connection_file or "")
    return found[1] if found else ""


def label(kernel: str) -> str:
    """Notebook path where Jupyter tells it, else the kernel's id, else the script."""
    script = Path(sys.argv[0]).name if getattr(sys, "argv", None) else ""
    if script == "ipykernel_launcher.py":
        script = f"kernel of pid {os.getpid()}"  # started by something that gives kernels no id
    if script in {"", "-c", "-m"}:
        script = "python"
    text = os.environ.get("JPY_SESSION_NAME") or (f"kernel {kernel[:8]}" if kernel else "") or script
    return text.encode(errors="replace")[-MAX_LABEL:].decode(errors="ignore")
