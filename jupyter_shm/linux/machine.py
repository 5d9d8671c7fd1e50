"""What this machine offers to a store, tried rather than looked up, and what to change.  For ``doctor`` and messages.

This module alone can be imported on any platform: what exists on Linux only is imported where it is used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import PeerRefusedError, SettingError, UnsupportedPlatformError
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


def require_linux(platform_name: str = sys.platform) -> None:
    """Refuse to go on where a store cannot work.

    Args:
        platform_name: As ``sys.platform``.

    Raises:
        UnsupportedPlatformError: This is not Linux, or Linux or the C library have no memfd.
    """
    if platform_name != "linux":
        raise UnsupportedPlatformError(
            f"jupyter_shm shares memory between processes by means that only Linux has; this is {platform_name!r}."
            " On another system, run it inside a Linux container or WSL 2."
        )
    # Missing at compile time (an old C library) and refused at run time (an old kernel, a sandbox) are the same to us.
    reason = "this Python was built without it" if not hasattr(os, "memfd_create") else _memfd_refusal()
    if reason:
        raise UnsupportedPlatformError(
            f"memfd_create does not work here ({reason}; kernel {platform.release()}), and a store lives in such a"
            " memory. It needs Linux 3.17 or later and a Python that was built against glibc 2.27 or later or musl."
        )


def _memfd_refusal() -> str:
    try:
        os.close(os.memfd_create("jupyter-shm-probe", os.MFD_CLOEXEC))
    except OSError as error:
        # Running out of descriptors is no property of the platform.
        return "" if error.errno in (errno.EMFILE, errno.ENFILE) else str(error.strerror)
    return ""


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
        *_advice_facts(),
        _shmem_enabled(),
        _barrier(),
        *_limit_facts(),
        _dev_shm(),
        _runtime_folder(),
    ]


def _kernel() -> Fact:
    value = f"{platform.system()} {platform.release()} on {platform.machine()}"
    return Fact("platform", value, "ok")


def _python() -> Fact:
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


def _advice_facts() -> list[Fact]:
    from . import libc

    collapse = "First puts are slower: huge pages need Linux 6.1 or later, or shmem_enabled set to advise."
    populate = "The warm reserve is filled more slowly: MADV_POPULATE_WRITE needs Linux 5.14 or later."
    return [
        _advice("MADV_COLLAPSE", libc.MADV_COLLAPSE, collapse),
        _advice("MADV_POPULATE_WRITE", libc.MADV_POPULATE_WRITE, populate),
    ]


def _advice(name: str, number: int, advice: str) -> Fact:
    """Try it on 2 MiB of which one byte was touched: on untouched memory collapsing always fails."""
    from . import libc, maps, memory

    with contextlib.ExitStack() as stack:
        try:
            fd = memory.create_memory("jupyter-shm-probe", memory.HUGE)
            stack.callback(os.close, fd)
            probe = stack.enter_context(maps.map_shared(fd, 0, memory.HUGE, writable=True))
            probe.view[0] = 1
            _patiently(lambda: libc.madvise(probe.address, memory.HUGE, number))
        except OSError as error:
            return Fact(name, str(error), "warn", advice)
    return Fact(name, "works", "ok")


def _patiently(call: Callable[[], None], attempts: int = 20) -> None:
    """Repeat what answers EAGAIN: collapsing does when a page is busy at that moment."""
    for _ in range(attempts - 1):
        try:
            return call()
        except BlockingIOError:
            continue
    return call()


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
        _address_space(resource.getrlimit(resource.RLIMIT_AS)[0]),
        _file_size(resource.getrlimit(resource.RLIMIT_FSIZE)[0]),
        _open_files(limits.open_files_limit()),
    ]


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
        value = format_size(shutil.disk_usage(_SHARED_MEMORY).total)
    except OSError:
        value = "absent"
    return Fact(str(_SHARED_MEMORY), f"{value} (not used by the store)", "ok")


def _runtime_folder() -> Fact:
    from . import runtime

    try:
        return Fact("runtime folder", str(runtime.runtime_folder()), "ok")
    except (PeerRefusedError, SettingError) as error:
        return Fact("runtime folder", "refused", "bad", str(error))
