"""What this machine, this cgroup and this process are allowed: read from the kernel, never changed here."""

from __future__ import annotations

import functools
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..durations import parse_duration
from ..errors import SettingError
from ..sizes import format_size, parse_size
from .memory import HUGE, PAGE, page_down

__all__ = [
    "available_memory",
    "capacity_setting",
    "cgroup_limit",
    "cgroup_room",
    "default_capacity",
    "default_reserve",
    "format_size",
    "heap_nbytes",
    "keep_setting",
    "linger_setting",
    "machine_memory",
    "memory_limit",
    "open_files_limit",
    "parse_size",
    "reserve_setting",
    "spill_setting",
]

CAPACITY = "JUPYTER_SHM_CAPACITY"
RESERVE = "JUPYTER_SHM_RESERVE"
KEEP = "JUPYTER_SHM_KEEP"
SPILL = "JUPYTER_SHM_SPILL_DIR"

_SPILL_FOLDER = "/var/tmp"
LINGER = "JUPYTER_SHM_LINGER"

_LARGEST_RESERVE = 512 << 20

_ROOT = Path("/")
_UNLIMITED = 1 << 60  # version 1 writes "no limit" as the largest multiple of a page below 2^63
_SMALLEST_HEAP = 64 << 30
_BELOW_FILE_LIMIT = 1 << 20


class _Group(NamedTuple):
    """One cgroup whose limits bind this process: its files, which differ between version 1 and 2."""

    limits: tuple[str, ...]
    current: str
    statistics: str
    reclaimable: bytes


def machine_memory() -> int:
    """Bytes of memory of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * PAGE


def cgroup_limit(root: Path = _ROOT) -> int | None:
    """The smallest memory limit of the cgroups above this process.

    Args:
        root: Where /proc and /sys are found; another folder in tests.

    Returns:
        Bytes; None when no cgroup limits it.  memory.high counts as well: beyond it the kernel brings every
        allocation nearly to a halt.
    """
    found = [limit for group in _groups(root) if (limit := _limit(group)) is not None]
    return min(found, default=None)


def cgroup_room(root: Path = _ROOT) -> int | None:
    """Bytes that can still be touched before a cgroup's limit is met, which means the OOM killer.

    Args:
        root: As for ``cgroup_limit``.

    Returns:
        The smallest of all cgroups above this process, never below 0; None when none is limited.  Cached file pages
        that the kernel can drop count as room.
    """
    found = []
    for group in _groups(root):
        limit = _limit(group)
        if limit is not None:
            used = _number(group.current) or 0
            found.append(limit - used + _entry(group.statistics, group.reclaimable))
    return max(min(found), 0) if found else None


def available_memory(root: Path = _ROOT) -> int:
    """Bytes that can be touched now without swapping or being killed.

    About 45 µs below three cgroups, of which none is limited; 20 µs more for each limited one.

    Args:
        root: As for ``cgroup_limit``.
    """
    available = _entry(f"{root}/proc/meminfo", b"MemAvailable:") * 1024
    room = cgroup_room(root)
    return available if room is None else min(available, room)


def _groups(root: Path) -> tuple[_Group, ...]:
    """Every memory cgroup from this process's own up to the top that is visible here."""
    return _groups_of(str(root).rstrip("/"), _read(f"{root}/proc/self/cgroup") or b"")


@functools.lru_cache(maxsize=4)
def _groups_of(root: str, membership: bytes) -> tuple[_Group, ...]:
    """The groups that a /proc/self/cgroup names.  Kept, because they change only when the process is moved."""
    found: list[_Group] = []
    for line in os.fsdecode(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found += [_version_2(folder) for folder in _upwards(f"{root}/sys/fs/cgroup", path)]
        elif "memory" in controllers.split(","):
            found += [_version_1(folder) for folder in _upwards(f"{root}/sys/fs/cgroup/memory", path)]
    return tuple(group for group in found if os.path.exists(group.limits[0]))


def _version_2(folder: str) -> _Group:
    limits = (f"{folder}/memory.max", f"{folder}/memory.high")
    return _Group(limits, f"{folder}/memory.current", f"{folder}/memory.stat", b"inactive_file ")


def _version_1(folder: str) -> _Group:
    limits = (f"{folder}/memory.limit_in_bytes",)
    return _Group(limits, f"{folder}/memory.usage_in_bytes", f"{folder}/memory.stat", b"total_inactive_file ")


def _upwards(base: str, path: str) -> Iterator[str]:
    """Folders from ``base/path`` up to ``base``.

    In a container without a cgroup namespace ``path`` is the host's, and only ``base`` exists: it is the container's
    own cgroup.  Not every folder named here exists.
    """
    parts = [part for part in path.split("/") if part]
    for depth in range(len(parts), -1, -1):
        yield "/".join([base, *parts[:depth]])


def _limit(group: _Group) -> int | None:
    found = [limit for path in group.limits if (limit := _number(path)) is not None and limit < _UNLIMITED]
    return min(found, default=None)


def _number(path: str) -> int | None:
    text = _read(path)
    return int(text) if text and text.strip().isdigit() else None


def _entry(path: str, key: bytes) -> int:
    """The number behind ``key`` at the beginning of a line; 0 when there is none."""
    text = b"\n" + (_read(path) or b"")
    at = text.find(b"\n" + key)
    if at < 0:
        return 0
    return int(text[at + 1 + len(key) :].split(None, 1)[0])


def _read(path: str) -> bytes | None:
    # Not open(): this is asked for before a put, and a buffered text file costs twice as much.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(fd, 64 * 1024)
    except OSError:
        return None
    finally:
        os.close(fd)


def default_capacity(root: Path = _ROOT) -> int:
    """Bytes a store may use unless it is told otherwise: half of the machine's memory, or of the cgroup's limit.

    Args:
        root: As for ``cgroup_limit``.
    """
    return page_down(memory_limit(root) // 2)


def default_reserve(root: Path = _ROOT) -> int:
    """Bytes of memory that a store makes ahead of demand unless it is told otherwise: 5 %, at most 512 MiB.

    Args:
        root: As for ``cgroup_limit``.

    Returns:
        Whole huge pages; 0 where there is too little memory for one.
    """
    return min(memory_limit(root) // 20, _LARGEST_RESERVE) // HUGE * HUGE


def memory_limit(root: Path = _ROOT) -> int:
    """Bytes of memory that the machine has, or the cgroup may use, if that is less.

    Args:
        root: As for ``cgroup_limit``.
    """
    return min(machine_memory(), cgroup_limit(root) or machine_memory())


def capacity_setting() -> int | None:
    """Bytes that ``$JUPYTER_SHM_CAPACITY`` asks for; None when it is not set.

    Raises:
        SettingError: It is not a size above 0.
    """
    text = os.environ.get(CAPACITY)
    return parse_size(text, what=CAPACITY) if text else None


def reserve_setting() -> int | None:
    """Bytes that ``$JUPYTER_SHM_RESERVE`` asks for, 0 for none at all; None when it is not set.

    Raises:
        SettingError: It is neither 0 nor a size.
    """
    text = os.environ.get(RESERVE)
    if not text:
        return None
    return 0 if text.strip() == "0" else parse_size(text, what=f"{RESERVE} ('0' turns it off)")


def keep_setting() -> float | None:
    """Seconds that ``$JUPYTER_SHM_KEEP`` says: how long a pickled reference keeps its object when its sender is gone.

    Raises:
        SettingError: It is neither 0 nor a duration.
    """
    text = os.environ.get(KEEP)
    if not text:
        return None
    return 0.0 if text.strip() == "0" else parse_duration(text, what=f"{KEEP} ('0' keeps nothing)")


def spill_setting() -> str:
    """The folder that ``$JUPYTER_SHM_SPILL_DIR`` names, ``/var/tmp`` if it is not set; "" where it turns spilling off."""
    text = os.environ.get(SPILL, "").strip()
    return "" if text.lower() in {"0", "off"} else text or _SPILL_FOLDER


def linger_setting() -> float | None:
    """Seconds that ``$JUPYTER_SHM_LINGER`` asks for; None when it is not set.

    Raises:
        SettingError: It is no duration.
    """
    text = os.environ.get(LINGER)
    return parse_duration(text, what=LINGER) if text else None


def heap_nbytes() -> int:
    """Bytes of address space for a heap: far more than memory, because addresses are free and fragments are not.

    Returns:
        Four times the machine's memory rounded up to a power of two, at least 64 GiB; less where RLIMIT_FSIZE allows
        no file of that size.  A multiple of ``PAGE``.

    Raises:
        SettingError: RLIMIT_FSIZE leaves no room for a heap at all.
    """
    wanted = max(1 << (4 * machine_memory() - 1).bit_length(), _SMALLEST_HEAP)
    allowed, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if allowed == resource.RLIM_INFINITY:
        return wanted
    # Just below: files that grow beside it, the log above all, must not be the ones to fail.
    granted = min(wanted, page_down(allowed - _BELOW_FILE_LIMIT))
    if granted < PAGE:
        raise SettingError(
            f"RLIMIT_FSIZE allows files of {format_size(allowed)} and a store needs more than"
            f" {format_size(_BELOW_FILE_LIMIT)}. Raise it: ulimit -f unlimited"
        )
    return granted


def open_files_limit() -> int:
    """How many descriptors this process may have open: the soft RLIMIT_NOFILE."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
