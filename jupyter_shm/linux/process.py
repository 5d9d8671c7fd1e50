"""Processes: starting one that outlives us, and what /proc tells of one.  Nothing here ends a process."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NAME_LENGTH = 60

# The intermediate process.  A fork of the caller itself is no way: the caller may have threads, and children must not
# run Python between a fork and an exec then.  The signal mask is reset because the calling thread may block some.
_STEP_ASIDE = """\
import os, signal, sys
if os.fork():
    os._exit(0)
os.setsid()
signal.pthread_sigmask(signal.SIG_SETMASK, ())
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def detach(argv: Sequence[str], *, log: Path, pass_fds: Sequence[int] = (), env: Mapping[str, str]) -> None:
    """Start a process that belongs to nobody: own session, cwd ``/``, not our child, nothing of ours inherited.

    Costs about 15 ms for the process in between, which the caller waits for; then the caller has no child to reap,
    whatever it does with SIGCHLD and however many threads it runs.

    Args:
        argv: The program and its arguments.  What it fails on is written to ``log``.
        log: Appended to with stdout and stderr; created with mode 0600 if absent.  stdin is /dev/null.
        pass_fds: Descriptors that it inherits under the same numbers; they stay the caller's here.
        env: Its whole environment.

    Raises:
        OSError: The log cannot be opened, or this interpreter cannot be started.
    """
    import subprocess  # a client that finds its store running needs none

    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # -I -S: nothing in the environment or in site-packages can hold up or break the process in between.
        step_aside = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _STEP_ASIDE, *argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=dict(env),
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
    finally:
        os.close(out)
    step_aside.wait()


def set_name(name: str) -> None:
    """Tell people apart what runs here: ``top`` and ``ps -o comm`` show it.

    Args:
        name: At most 15 bytes.
    """
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as file:
        file.write(name)


def process_name(pid: int) -> str:
    """A short command line for messages.  Never raises.

    Returns:
        Up to 60 characters, as "python -m ipykernel_launcher -f …"; "pid 123" for a process that is gone.
    """
    words = _proc(pid, "cmdline").decode(errors="replace").split("\0")
    line = " ".join([os.path.basename(words[0]), *words[1:]]).strip()
    line = line or _proc(pid, "comm").decode(errors="replace").strip() or f"pid {pid}"
    line = "".join(letter if letter.isprintable() else " " for letter in line)
    return line if len(line) <= _NAME_LENGTH else line[: _NAME_LENGTH - 1] + "…"


def _proc(pid: int | str, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def processes_with(path: Path) -> list[int]:
    """Processes that have a file open, as far as they can be seen from here: this user's, in this container.

    Args:
        path: The file; no process has it open if it is gone.
    """
    try:
        wanted = path.stat()
    except FileNotFoundError:
        return []
    with os.scandir("/proc") as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit() and _has_open(entry.path, wanted)]


def _has_open(process: str, wanted: os.stat_result) -> bool:
    try:
        with os.scandir(f"{process}/fd") as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(entry.stat(), wanted):
                        return True
    except OSError:
        pass  # it has ended, or is another user's
    return False


def is_running_module(pid: int, module: str) -> bool:
    """Was this process started as ``python -m module``?  False when it is gone."""
    return os.fsencode(module) in _proc(pid, "cmdline").split(b"\0")


def private_bytes(pid: int | str = "self") -> int:
    """Bytes of memory that belong to this process alone and can be shared with no other: anonymous pages.

    Not the ``Private_`` lines of smaps: they count a page of the store's heap, too, for as long as only one process
    happens to map it, although everybody else can.

    Walks the whole address space of the process, which takes milliseconds.

    Raises:
        OSError: The process is gone, belongs to another user, or the kernel (before 4.14) does not tell.
    """
    with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        return 1024 * sum(int(line.split()[1]) for line in file if line.startswith(b"Anonymous:"))


def descriptor_count(pid: int | str = "self") -> int:
    """How many descriptors a process has open.

    Raises:
        OSError: The process is gone or belongs to another user.
    """
    count = len(os.listdir(f"/proc/{pid}/fd"))
    # Listing our own folder needs a descriptor, which is in the list and closed again by now.
    return count - 1 if pid in ("self", os.getpid()) else count
