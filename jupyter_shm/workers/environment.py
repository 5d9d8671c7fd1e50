"""What the environment of a worker process has besides ours."""

from __future__ import annotations

import os

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Where libraries look for the number of threads that they may use."""


def settings_for(threads: int) -> dict[str, str]:
    """So many threads of such libraries for each worker; what the user has set stays."""
    return {name: str(threads) for name in THREADS if name not in os.environ}
