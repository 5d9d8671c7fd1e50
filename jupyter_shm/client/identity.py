"""Who this process is, for people: the label that the store shows as publisher and holder."""

from __future__ import annotations

import os
import re
import sys

from .. import __version__
from ..protocol.messages import MAX_LABEL, Hello

_CONNECTION_FILE = r"kernel-([^/]+)\.json$"


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
    found = re.search(_CONNECTION_FILE, kernel.IPKernelApp.instance().connection_file or "")
    return found[1] if found else ""


def label(kernel: str) -> str:
    """Notebook path where Jupyter tells it, else the kernel's id, else the script."""
    script = sys.argv[0].rstrip("/").rpartition("/")[2] if getattr(sys, "argv", None) else ""
    if script == "ipykernel_launcher.py":
        script = f"kernel of pid {os.getpid()}"  # started by something that gives kernels no id
    if script in {"", "-c", "-m"}:
        script = "python"
    text = os.environ.get("JPY_SESSION_NAME") or (_of_kernel(kernel) if kernel else "") or script
    return text.encode(errors="replace")[-MAX_LABEL:].decode(errors="ignore")


def notebook_of(label: str, kernel: str) -> str:
    """The path of the notebook that a process belongs to, where its label is one; else ``""``."""
    is_path = label.endswith(".ipynb") or (kernel and label != _of_kernel(kernel))
    return label if is_path else ""


def _of_kernel(kernel: str) -> str:
    return f"kernel {kernel[:8]}"
