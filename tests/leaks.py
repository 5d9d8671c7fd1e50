"""What a process holds - descriptors, threads, children, segments - and what it holds more than before.

Nothing here knows of the store.  A store lets go asynchronously (it learns of a hang-up a moment later), so a
difference is a leak only if it is still there at a deadline.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

KINDS = ("descriptors", "threads", "children", "segments")
SECONDS = 10.0
"""How long a leak has to go away by itself.  Generous: it is spent only where a test fails."""

SEGMENTS = Path("/dev/shm")


@dataclass(frozen=True)
class Holdings:
    """What this process held at one moment: for each kind, facts as a person would read them."""

    descriptors: frozenset[str]
    threads: frozenset[str]
    children: frozenset[str]
    segments: frozenset[str]

    @classmethod
    def now(cls) -> Holdings:
        return cls(descriptors=descriptors(), threads=threads(), children=children(), segments=segments())

    def more_than(self, before: Holdings, kinds: tuple[str, ...] = KINDS) -> list[str]:
        """Every fact that is new since ``before``, as one line each."""
        return [f"{kind}: {fact}" for kind in kinds for fact in sorted(getattr(self, kind) - getattr(before, kind))]


def leaked_since(before: Holdings, kinds: tuple[str, ...] = KINDS, seconds: float = SECONDS) -> list[str]:
    """Wait until nothing is held that was not held before.

    Args:
        before: The holdings at the start.
        kinds: Which of ``KINDS`` to look at.
        seconds: When to give up waiting.

    Returns:
        One line for each thing that is still held; empty as soon as there is none.
    """
    deadline = time.monotonic() + seconds
    # Garbage in cycles is no leak; collecting it here also lays its ResourceWarnings at the right test's door.
    gc.collect()
    while True:
        leaked = Holdings.now().more_than(before, kinds)
        if not leaked or time.monotonic() > deadline:
            return leaked
        time.sleep(0.02)
        gc.collect()


def kinds_to_check(*may_leak: str, reason: str = "") -> tuple[str, ...]:
    """The kinds to check for a test marked ``may_leak(*kinds, reason=...)``.

    Raises:
        ValueError: The mark names no kind, one that does not exist, or gives no reason.
    """
    if not may_leak or set(may_leak) - set(KINDS) or not reason:
        raise ValueError(f"may_leak needs some of {KINDS} and a reason=, got {may_leak} and reason={reason!r}")
    return tuple(kind for kind in KINDS if kind not in may_leak)


def descriptors() -> frozenset[str]:
    """Open descriptors with what they point to, so that a number that was closed and used again shows."""
    found = set()
    trackers = {tracker._fd for tracker in resource_trackers()}
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = link.readlink()
        except FileNotFoundError:  # the descriptor of this very listing
            continue
        # One for the whole process, opened by the first spawn and closed at exit.
        if int(link.name) not in trackers:
            found.add(f"{link.name} -> {target}")
    return frozenset(found)


def resource_trackers() -> list[object]:
    """Those of multiprocessing and of loky: one for the whole process, started by the first spawn and ended at exit."""
    found = [resource_tracker._resource_tracker]
    if "loky.backend.resource_tracker" in sys.modules:
        found.append(sys.modules["loky.backend.resource_tracker"]._resource_tracker)
    return found


def threads() -> frozenset[str]:
    """Living threads of Python; those of C libraries are not ours to end."""
    return frozenset(
        f"{thread.name} (ident {thread.ident}{', daemon' if thread.daemon else ''})"
        for thread in threading.enumerate()
        if not isinstance(thread, threading._DummyThread)
    )


def children() -> frozenset[str]:
    """Child processes, the dead ones that nobody waited for included."""
    trackers = {tracker._pid for tracker in resource_trackers()}
    pids = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            pids |= {int(pid) for pid in (task / "children").read_text().split()}
        except FileNotFoundError:  # the thread has ended meanwhile
            continue
    return frozenset(f"pid {pid}: {command_line(pid)}" for pid in pids - trackers)


def command_line(pid: int) -> str:
    """What a process was started as; says so when it is dead or gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return "(gone)"
    return " ".join(word.decode(errors="replace") for word in words).strip() or "(dead, and nobody waited for it)"


def segments() -> frozenset[str]:
    """Shared memory: our user's files under /dev/shm, and the memfds that are mapped, with or without a descriptor."""
    found = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        # address permissions offset device inode path; one memfd may show as many ranges
        *_, inode, path = line.split(maxsplit=5) if "/memfd:" in line else ("", "")
        if path:
            found.add(f"map of {path.removeprefix('/')} (inode {inode})")
    for entry in os.scandir(SEGMENTS) if SEGMENTS.is_dir() else ():
        try:
            if entry.stat(follow_symlinks=False).st_uid == os.getuid() and not is_of_another(entry.name):
                found.add(entry.path)
        except FileNotFoundError:
            continue
    return frozenset(found)


def is_of_another(name: str) -> bool:
    """A semaphore that another process has made, or has died making."""
    # loky's lie there under the process id of whoever made them, and go in their own time.  A name without a dash is
    # glibc's, until the semaphore has its own: who is killed at that moment leaves it for ever.
    is_unfinished = name.startswith("sem.") and "-" not in name
    return is_unfinished or (name.startswith("sem.loky-") and not name.startswith(f"sem.loky-{os.getpid()}-"))


def parent_of(pid: int) -> int:
    """The process that has started it; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def report(leaked: list[str]) -> str:
    """The message of a failed check."""
    lines = "\n  ".join(leaked)
    return (
        f"still held {SECONDS:g} s after the test had ended:\n  {lines}\n"
        "Close it in the test, or say why not: @pytest.mark.may_leak('threads', reason='...')"
    )
