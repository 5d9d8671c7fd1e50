"""How the tests start the command line: as a process of this interpreter, whatever is on PATH."""

from __future__ import annotations

import sys

CLI = [sys.executable, "-m", "jupyter_shm.cli"]
