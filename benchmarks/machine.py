"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

HUGE = Path("/sys/kernel/mm/transparent_hugepage")


def machine() -> dict[str, str]:
    """Facts of this machine, by what they are called in the results."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / (1 << 30):.1f} GiB",
        "kernel": platform.release(),
        "huge pages": ", ".join(f"{name} {_setting(name)}" for name in ("enabled", "defrag", "shmem_enabled")),
        "Python": platform.python_version(),
    }


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""


def _setting(name: str) -> str:
    """The one in brackets of ``always [madvise] never``."""
    try:
        words = (HUGE / name).read_text().split()
    except OSError:
        return "unknown"
    return next((word.strip("[]") for word in words if word.startswith("[")), "unknown")
