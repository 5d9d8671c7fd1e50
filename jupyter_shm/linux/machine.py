"""What this machine offers to a store, tried rather than looked up, and what to change.  For ``doctor``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import PeerRefusedError, SettingError
from ..sizes import format_size

Verdict = Literal["ok", "warn", "bad"]

_FEW_FILES = 1024
_SHMEM_ENABLED = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
_SHARED_MEMORY = Path("/dev/shm")


class Fact(NamedTuple):
    """One thing that ``doctor`` reports."""

    name: str
    value: str
    verdict: Verdict
    advice: str = ""
    """What to do about it; empty when there is nothing to do."""


def machine_facts() -> list[Fact]:
    """Try everything that a store can make use of.  Takes some milliseconds; leaves the runtime folder behind.

    For Linux only: ``require_linux`` comes first.

    Returns:
        Facts in the order to show them.  "bad" means that no store can run, "warn" that it runs with less.
    """
    return [
        _kernel(),
        _python(),
        *_memory_facts(),
        *_huge_page_facts(),
        _shmem_enabled(),
        _barrier(),
        *_limit_facts(),
        _dev_shm(),
        _runtime_folder(),
    ]


def _kernel() -> Fact:
    import platform

    value = f"{platform.system()} {platform.release()} on {platform.machine()}"
    return Fact("platform", value, "ok")


def _python() -> Fact:
    import platform

    return Fact("python", f"{platform.python_implementation()} {platform.python_version()}", "ok")


def _memory_facts() -> list[Fact]:
    from . import memory

    try:
        fd = memory.create_memory("jupyter-shm-probe", memory.HUGE)
    except OSError as error:
        advice = "No store can run: allow memfd_create and fcntl seals in the sandbox, or use Linux 3.17 or later."
        return [Fact("memfd_create", str(error), "bad", advice)]
    try:
        return [Fact("memfd_create", "works", "ok"), _seals(fd), _read_only(fd)]
    finally:
        os.close(fd)


def _seals(fd: int) -> Fact:
    try:
        os.ftruncate(fd, 0)
    except PermissionError:
        return Fact("seals", "work", "ok")
    return Fact("seals", "not obeyed", "bad", "Sealed memory could be truncated under its readers; use another kernel.")


def _read_only(fd: int) -> Fact:
    from . import maps, memory

    try:
        read_only = memory.reopen_read_only(fd)
    except OSError as error:
        return Fact("read-only descriptors", str(error), "bad", "Mount /proc: the store opens its heap through it.")
    try:
        maps.map_shared(read_only, 0, memory.PAGE, writable=True).close()
    except PermissionError:
        return Fact("read-only descriptors", "enforced", "ok")
    finally:
        os.close(read_only)
    return Fact("read-only descriptors", "not enforced", "bad", "Readers could write to objects; use another kernel.")


def _huge_page_facts() -> list[Fact]:
    """Whether memory can be had in huge pages, by which way, and what would give more."""
    from . import warming

    ways = warming.what_is_possible()
    found = [way for way, reason in (("MADV_COLLAPSE", ways.collapse), ("MADV_HUGEPAGE", ways.hugepage)) if not reason]
    value = f"by {found[0]}" if found else f"none (MADV_COLLAPSE: {ways.collapse}; MADV_HUGEPAGE: {ways.hugepage})"
    advice = ways.advice and f"First puts are up to ten times slower. {ways.advice}"
    return [
        Fact("huge pages", value, "warn" if advice else "ok", advice),
        _populate(ways.populate, is_needed=not found),
    ]


def _populate(reason: str, *, is_needed: bool) -> Fact:
    if not reason:
        return Fact("MADV_POPULATE_READ", "works", "ok")
    if not is_needed:
        return Fact("MADV_POPULATE_READ", f"{reason} (not needed)", "ok")
    advice = "Memory is made ahead of demand page by page, which takes longer: use Linux 5.14 or later."
    return Fact("MADV_POPULATE_READ", reason, "warn", advice)


def _shmem_enabled() -> Fact:
    try:
        text = _SHMEM_ENABLED.read_text()
    except OSError:
        return Fact("shmem_enabled", "not told", "ok")
    # The file lists every choice, the one in force in brackets.
    chosen = text.partition("[")[2].partition("]")[0] or text.strip()
    if chosen == "deny":
        return Fact("shmem_enabled", chosen, "warn", f"Write 'advise' into {_SHMEM_ENABLED} (as root) for huge pages.")
    return Fact("shmem_enabled", chosen, "ok")


def _barrier() -> Fact:
    from . import barrier

    if barrier.membarrier_expedited():
        return Fact("membarrier", "works", "ok")
    return Fact("membarrier", "not available", "ok", "The grace time before memory is freed does without it.")


def _limit_facts() -> list[Fact]:
    import resource

    from . import limits

    group = limits.cgroup_limit()
    return [
        Fact("machine memory", format_size(limits.machine_memory()), "ok"),
        Fact("cgroup limit", "none" if group is None else format_size(group), "ok"),
        Fact("default capacity", format_size(limits.default_capacity()), "ok"),
        _reserve(),
        _spill(),
        _address_space(resource.getrlimit(resource.RLIMIT_AS)[0]),
        _file_size(resource.getrlimit(resource.RLIMIT_FSIZE)[0]),
        _open_files(limits.open_files_limit()),
    ]


def _reserve() -> Fact:
    from . import limits

    try:
        setting = limits.reserve_setting()
    except SettingError as error:
        return Fact("warm reserve", "refused", "bad", str(error))
    if setting is None:
        return Fact("warm reserve", f"{format_size(limits.default_reserve())} (default)", "ok")
    return Fact("warm reserve", f"{format_size(setting) if setting else 'off'} ({limits.RESERVE})", "ok")


def _spill() -> Fact:
    from . import limits, spillfile

    folder = limits.spill_setting()
    if not folder:
        return Fact("spill heap", f"off ({limits.SPILL})", "ok")
    try:
        descriptors = spillfile.open_spill(folder)
    except SettingError as error:
        advice = f"A full store refuses puts instead of spilling to disk. Let {limits.SPILL} name a folder on a disk."
        return Fact("spill heap", str(error), "warn", advice)
    try:
        limit = spillfile.spill_limit(descriptors[0], 0)
    finally:
        for fd in descriptors:
            os.close(fd)
    return Fact("spill heap", f"in {folder}, at most {format_size(limit)}", "ok")


def _address_space(limit: int) -> Fact:
    import resource

    if limit == resource.RLIM_INFINITY:
        return Fact("RLIMIT_AS", "unlimited", "ok")
    advice = "The heap is mapped in windows, which makes gets slower. Raise it: ulimit -v unlimited"
    return Fact("RLIMIT_AS", format_size(limit), "warn", advice)


def _file_size(limit: int) -> Fact:
    import resource

    if limit == resource.RLIM_INFINITY:
        return Fact("RLIMIT_FSIZE", "unlimited", "ok")
    from . import limits

    shown = format_size(limit)
    try:
        heap = format_size(limits.heap_nbytes())
    except SettingError as error:
        return Fact("RLIMIT_FSIZE", shown, "bad", str(error))
    return Fact("RLIMIT_FSIZE", shown, "warn", f"The heap can only have {heap}. Raise it: ulimit -f unlimited")


def _open_files(limit: int) -> Fact:
    if 0 <= limit < _FEW_FILES:
        advice = f"Each client costs the store some descriptors. Raise it: ulimit -n {_FEW_FILES} or more"
        return Fact("RLIMIT_NOFILE", str(limit), "warn", advice)
    return Fact("RLIMIT_NOFILE", "unlimited" if limit < 0 else str(limit), "ok")


def _dev_shm() -> Fact:
    try:
        found = os.statvfs(_SHARED_MEMORY)
        value = format_size(found.f_blocks * found.f_frsize)
    except OSError:
        value = "absent"
    return Fact(str(_SHARED_MEMORY), f"{value} (not used by the store)", "ok")


def _runtime_folder() -> Fact:
    from . import runtime

    try:
        return Fact("runtime folder", str(runtime.runtime_folder()), "ok")
    except (PeerRefusedError, SettingError) as error:
        return Fact("runtime folder", "refused", "bad", str(error))
