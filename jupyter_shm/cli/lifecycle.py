"""The verbs ``start`` and ``stop``, and how a store is ended that cannot be asked to: by signals.

A store of another wire version cannot be asked; one that hangs does not answer.  Its processes, the keeper and the
store, are those that hold its lock; the store is the one that the kernel sees at the socket's other end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StoreInUseError, StoreUnresponsiveError, WireVersionError
from ..linux.process import is_running_module, processes_with
from ..sizes import format_size
from .terminal import NotRunningError, complain, place, running_store, say

if TYPE_CHECKING:
    from ..client.info import StoreStats
    from ..linux.runtime import StorePaths

PATIENCE = 10.0
"""Seconds that a store has to end."""


def start(options: argparse.Namespace) -> None:
    """Start the store, or say that it runs already."""
    from ..client.store import Store

    name, paths = place(options)
    try:
        store, what = Store(name, start=False), "runs already"
    except FileNotFoundError:
        with warnings.catch_warnings():
            # If somebody starts it in between, Store warns in a form for Python; we say it ourselves below.
            warnings.simplefilter("ignore")
            store, what = Store(name, capacity=options.capacity), "started"
    with store:
        stats = store.stats()
    say(f"store {name!r} {what}")
    capacity = format_size(stats.capacity)
    for label, value in ("pid", stats.pid), ("socket", paths.socket), ("capacity", capacity), ("log", paths.log):
        say(f"  {label:9}{value}")
    if options.capacity not in (None, stats.capacity):
        asked = format_size(options.capacity)
        complain(
            f"warning: the {asked} asked for are not applied. `jupyter shm set capacity` changes it while it runs."
        )


def set_capacity(options: argparse.Namespace) -> None:
    """Change the capacity, and say what that leaves."""
    from ..client import capacity

    with running_store(options) as store:
        capacity.set_capacity(store, options.size)
        stats = store.stats()
    say(f"capacity {format_size(stats.capacity)}; {format_size(stats.used + stats.reserved)} are in use")
    if stats.used + stats.reserved > stats.capacity:
        say(
            "what nobody reads is being spilled to disk" if not stats.spill_reason else "puts are refused until it fits"
        )


def stop(options: argparse.Namespace) -> None:
    """End the store, and say what was lost with it."""
    try:
        with running_store(options) as store:
            stats = store.stats()
            store.shutdown(force=options.force)
    except StoreInUseError as error:
        raise StoreInUseError(f"{error} To force it: `jupyter shm stop --force`.") from None
    except WireVersionError:
        _end(options, "it speaks another wire version, so what it held could not be counted")
    except StoreUnresponsiveError:
        if not options.force:
            raise
        _end(options, "it did not answer, so what it held could not be counted")
    else:
        name, paths = place(options)
        if not _wait_for_lock(paths.lock, time.monotonic() + PATIENCE):
            raise StoreUnresponsiveError(f"the store (pid {stats.pid}) agreed to end, but still holds {paths.lock}")
        say(f"store {name!r} (pid {stats.pid}) stopped; {_lost(stats)}")


def _lost(stats: StoreStats) -> str:
    if not stats.objects:
        return "it held nothing"
    return f"lost: {stats.objects:,} object{'s' * (stats.objects != 1)}, {format_size(stats.payload)}"


# --- ending what cannot be asked to end ---------------------------------------------------------------------------


def _end(options: argparse.Namespace, why: str) -> None:
    name, paths = place(options)
    pid = _listener(paths)
    how = _signal(pid, paths.lock, options.force)
    say(f"store {name!r} (pid {pid}) {how}; {why}")


def _listener(paths: StorePaths) -> int:
    """The process behind the socket, by the kernel's word."""
    from ..client.launch import connect
    from ..linux.packets import peer_credentials

    try:
        sock = connect(paths)
    except StoreUnresponsiveError as error:
        raise StoreUnresponsiveError(
            f"nobody accepts connections at {paths.socket}, so the kernel does not tell who listens. "
            f"`fuser {paths.lock}` tells it; end that process."
        ) from error
    if sock is None:
        raise NotRunningError(f"the store behind {paths.socket} has just ended")
    with sock:
        pid = peer_credentials(sock).pid
    if pid <= 0:
        raise StoreUnresponsiveError(
            f"the store behind {paths.socket} runs in another container and cannot be reached from here. Stop it there."
        )
    return pid


def _signal(pid: int, lock: Path, force: bool) -> str:
    """Send SIGTERM to the store and its keeper and wait; then SIGKILL, if that is allowed.

    Args:
        pid: The store's process.
        lock: The store's lock, which both of them have open.
        force: May SIGKILL be sent?

    Returns:
        What it took.
    """
    with contextlib.ExitStack() as stack:
        # From here on these processes are meant, whatever becomes of their numbers.
        processes = [fd for other in _processes(pid, lock) if (fd := _pidfd(other, stack)) is not None]
        if not processes:
            return "had just ended"
        for number in (signal.SIGTERM, signal.SIGKILL)[: 1 + force]:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, number)
            if _wait_for_end(processes):
                return f"was ended by {'SIGTERM' if number == signal.SIGTERM else 'SIGTERM and SIGKILL'}"
    advice = f"Look who holds its lock: `fuser {lock}`." if force else "To kill it: `jupyter shm stop --force`."
    raise StoreUnresponsiveError(f"the store did not end within {PATIENCE:.0f} s of a signal. {advice}")


def _processes(pid: int, lock: Path) -> list[int]:
    """The keeper first: it would start another store.  Who waits to start one has the lock open, too, for a moment."""
    found = [other for other in processes_with(lock) if other == pid or is_running_module(other, "jupyter_shm.store")]
    if not found and is_running_module(pid, "jupyter_shm.store"):
        return [pid]  # a cleaner has removed the lock
    return sorted(found, key=pid.__eq__)


def _pidfd(pid: int, stack: contextlib.ExitStack) -> int | None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    stack.callback(os.close, fd)
    return fd


def _wait_for_end(processes: list[int]) -> bool:
    """Wait until all of these have ended."""
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return False
    return True


def _wait_for_lock(lock: Path, deadline: float) -> bool:
    """Wait until another store may start in this one's place."""
    from ..linux.runtime import take_lock

    while (held := take_lock(lock, wait=False)) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    os.close(held)
    return True
