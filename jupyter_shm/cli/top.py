"""The verb ``top``: what the store holds, and who holds that, live in a terminal.

It asks the store five times a second whether anything has changed, and looks at everything once a second at least: not
every change is one of the accounts.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
import warnings
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..errors import StoreLostWarning
from .snapshot import Snapshot
from .terminal import NotRunningError, place, running_store, say

if TYPE_CHECKING:
    from rich.console import Console

    from ..client.store import Store

LOOK_EVERY = 0.2
"""Seconds between two questions whether anything has changed, and until a change of the window's size is seen."""

SHOW_EVERY = 1.0
"""Seconds after which everything is looked at anew."""

MOST_OF_THE_TIME = 10
"""Looking at everything takes at most one part in so many of the time: it grows with the number of objects."""

QUIT = b"qQ"
ENDED = 128 + signal.SIGTERM


def top(options: argparse.Namespace) -> None:
    """Show the store until q or Ctrl-C is pressed; without a terminal, show it once."""
    with running_store(options) as store, warnings.catch_warnings():
        # Another store in the place of the one that ended is shown like any other change.
        warnings.simplefilter("ignore", StoreLostWarning)
        try:
            if sys.stdout.isatty():
                _live(store)
            else:
                say(str(_snapshot(store)))
        except FileNotFoundError:
            raise NotRunningError(f"the store {place(options)[0]!r} has ended") from None


def _live(store: Store) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with (
        contextlib.suppress(KeyboardInterrupt),  # one that came before ours is in place
        _interrupts() as interrupted,
        _keys() as keys,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        quits = False
        while not (quits or interrupted):
            began = time.monotonic()
            live.update(_snapshot(store).table(console.size.height), refresh=True)
            took = time.monotonic() - began
            quits = _wait(store, console, (keys, interrupted), began + max(SHOW_EVERY, MOST_OF_THE_TIME * took))


def _wait(store: Store, console: Console, ways_out: tuple[list[int], list[int]], end: float) -> bool:
    """Wait until there is something new to show; True when that is no more wanted.

    Args:
        store: That is looked at.
        console: Its size may change.
        ways_out: Descriptor of the keyboard, if there is one; what is no longer empty after a Ctrl-C.
        end: Time of ``time.monotonic`` at which to look anyway.
    """
    keys, interrupted = ways_out
    seen = _shape(store, console)
    while time.monotonic() < end and not interrupted:
        ready, _, _ = select.select(keys, [], [], min(LOOK_EVERY, max(0.0, end - time.monotonic())))
        if ready:
            pressed = os.read(ready[0], 64)
            if not pressed or any(key in QUIT for key in pressed):  # or the terminal is gone
                return True
        if _shape(store, console) != seen:
            return False
    return False


def _shape(store: Store, console: Console) -> tuple[Any, ...]:
    """What has changed when there is something new; the time that passed is not."""
    stats = store.stats()
    accounts = (stats.used, stats.held, stats.reserved, stats.reserve, stats.objects, stats.names, stats.payload)
    return (*accounts, stats.capacity, stats.clients, stats.pid, console.size)


def _snapshot(store: Store) -> Snapshot:
    return Snapshot(store.name, store.stats(), store.list(anonymous=True), datetime.now(timezone.utc))


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Note a Ctrl-C, and raise nothing: inside of a finalizer nobody could catch it, and it would be shown.

    Yields:
        Empty until there was one.
    """
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _keys() -> Iterator[list[int]]:
    """Let keys be read one by one and unseen, and leave the terminal as it was, also when we are asked to end.

    Yields:
        The descriptor to read from; none where the input is no terminal.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))
    try:
        if not sys.stdin.isatty():
            yield []
            return
        fd = sys.stdin.fileno()
        settings = termios.tcgetattr(fd)
        try:
            tty.setcbreak(fd)
            yield [fd]
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, settings)
    finally:
        signal.signal(signal.SIGTERM, before)
