"""What it costs to begin: the import, connecting to a store that runs, and starting one.  Of us only."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from statistics import median

from .measures import Figure, Plan
from .peers import OURS
from .session import session

IMPORT = "import time; start = time.perf_counter(); {0}; print(time.perf_counter() - start)"

# The package loads what it exports when that is first used: an import of its name alone would measure nothing.
NUMPY, OURSELVES = "import numpy", "import numpy; from jupyter_shm import Store, connect, get, put"


def import_seconds(statements: str, compiled: str) -> float:
    """How long a fresh interpreter takes for them, with byte code as an installer leaves it.

    Args:
        statements: Imports.
        compiled: Folder for the byte code: this environment may forbid to write any, and would compile all each time.
    """
    command = [sys.executable, "-c", IMPORT.format(statements)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def startup(plan: Plan) -> Iterator[Figure]:
    """The figures, each a median over fresh processes."""
    tries = 4 * plan.starts
    with tempfile.TemporaryDirectory(prefix="shm-bench-") as compiled:
        import_seconds(OURSELVES, compiled)
        pairs = [tuple(import_seconds(one, compiled) for one in (NUMPY, OURSELVES)) for _ in range(tries)]
    numpys, ours = map(median, zip(*pairs, strict=True))
    yield "import", ours - numpys
    yield "import numpy", numpys
    starts, joins = [], []
    for _ in range(plan.starts):
        with session(OURS, plan.capacity, JUPYTER_SHM_RESERVE="0") as one:
            starts.append(one.start_seconds)
            for _ in range(4):
                one.leave(one.reader())
            joins += one.join_seconds
    yield "start", median(starts)
    yield "connect", median(joins)
