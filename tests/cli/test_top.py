"""``jupyter shm top``: what it shows, when it looks again, and how it leaves the terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from datetime import datetime, timezone

import numpy as np
import pytest
from commands import CLI
from rich.console import Console

from jupyter_shm.cli import top
from jupyter_shm.cli.snapshot import Snapshot, format_age
from jupyter_shm.client.store import Store
from jupyter_shm.testing.private import eventually

SECONDS = 40
ALTERNATE, BACK = "\x1b[?1049h", "\x1b[?1049l"

IN_A_TERMINAL = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes the terminal the controlling one, so that its Ctrl-C is a signal."""


class Terminal:
    """A terminal of a size, and a program in it."""

    def __init__(self, words: list[str], lines: int = 24, columns: int = 120, stdin: int | None = None) -> None:
        self.ours, theirs = pty.openpty()
        self.resize(lines, columns)
        self.before = termios.tcgetattr(self.ours)
        self.said = ""
        start = [] if stdin is not None else [sys.executable, "-c", IN_A_TERMINAL]
        self.process = subprocess.Popen(
            [*start, *CLI, *words],
            stdin=theirs if stdin is None else stdin,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(theirs)

    def resize(self, lines: int, columns: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def look(self) -> str:
        """All that was said so far."""
        with contextlib.suppress(OSError):  # the program has closed it
            while select.select([self.ours], [], [], 0)[0] and (data := os.read(self.ours, 65536)):
                self.said += data.decode(errors="replace")
        return self.said

    def shows(self, *texts: str) -> bool:
        """Does it show all of these, sooner or later, from now on?"""
        start = len(self.look())
        return eventually(lambda: all(text in self.look()[start:] for text in texts), SECONDS)

    def end(self) -> int:
        """Wait for the end; the exit status."""
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            self.look()
            time.sleep(0.01)
        self.look()
        return self.process.wait(0)


@pytest.fixture
def terminal() -> Iterator[type]:
    started: list[Terminal] = []

    def start(*words: str, **options: int) -> Terminal:
        started.append(Terminal(list(words), **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        os.close(one.ours)


# --- In a terminal ----------------------------------------------------------------------------------------------------


def test_it_shows_usage_objects_and_holders_until_q_is_pressed(terminal, store: Store):
    store.put(np.zeros(10**6), "grid")
    held = store.get("grid")

    shown = terminal("top")

    assert shown.shows("of 64.0 MiB used", "1 object, 1 named", "grid", "7.6 MiB", "1: ", "q quits")
    shown.type(b"xq")
    assert shown.end() == 0
    assert shown.said.startswith(ALTERNATE)
    assert shown.said.rstrip().endswith(BACK) or BACK in shown.said[-40:]
    del held


def test_a_change_is_shown_by_itself(terminal, store: Store):
    shown = terminal("top")
    assert shown.shows("0 objects")

    store.put(np.zeros(10**6), "grid")
    assert shown.shows("1 object,", "grid")

    view = store.get("grid")
    assert shown.shows("1: ")

    store.delete("grid")
    assert shown.shows("grid (held)")

    del view
    assert shown.shows("0 objects")
    shown.type(b"q")
    assert shown.end() == 0


def test_the_time_goes_on_where_nothing_changes(terminal, store: Store):
    store.put(1, "x")
    shown = terminal("top")

    assert shown.shows(" 1 s ")
    assert shown.shows(" 3 s ")
    shown.type(b"Q")
    assert shown.end() == 0


@pytest.mark.parametrize("keys", [b"q", b"\x03"], ids=["q", "Ctrl-C"])
def test_the_terminal_is_left_as_it_was(terminal, store: Store, keys: bytes):
    shown = terminal("top")
    assert shown.shows("q quits")
    assert not termios.tcgetattr(shown.ours)[3] & termios.ICANON, "keys are read one by one"

    shown.type(keys)

    assert shown.end() == 0
    assert termios.tcgetattr(shown.ours) == shown.before
    assert "Traceback" not in shown.said
    assert BACK in shown.said


def test_the_terminal_is_left_as_it_was_when_it_is_asked_to_end(terminal, store: Store):
    shown = terminal("top")
    assert shown.shows("q quits")

    os.kill(shown.process.pid, signal.SIGTERM)

    assert shown.end() == 143
    assert termios.tcgetattr(shown.ours) == shown.before
    assert BACK in shown.said


def test_what_does_not_fit_is_counted_and_another_size_is_taken_up(terminal, store: Store):
    for n in range(30):
        store.put(n, f"name{n:02}")
    shown = terminal("top", lines=12)

    assert shown.shows("name00", "and 23 more")
    shown.resize(30, 120)
    assert shown.shows("name20", "and 5 more")

    shown.type(b"q")
    assert shown.end() == 0


def test_it_says_that_the_store_has_ended(terminal, store: Store):
    shown = terminal("top")
    assert shown.shows("q quits")

    store.shutdown(force=True)

    assert shown.end() == 3
    assert shown.said.partition(BACK)[2].strip().endswith("jupyter shm: the store 'default' has ended")
    assert termios.tcgetattr(shown.ours) == shown.before


def test_without_a_keyboard_it_goes_on_until_it_is_interrupted(terminal, store: Store):
    shown = terminal("top", stdin=subprocess.DEVNULL)
    assert shown.shows("objects")
    assert shown.shows("objects"), "it has looked again"

    os.kill(shown.process.pid, signal.SIGINT)

    assert shown.end() == 0


class Changing:
    """A store whose accounts change at the third look."""

    def __init__(self, store: Store) -> None:
        self.stats = iter([store.stats(), store.stats(), dataclasses.replace(store.stats(), objects=7)]).__next__


def test_it_looks_again_as_soon_as_the_accounts_have_changed(store: Store):
    tomorrow = time.monotonic() + 86_400

    assert top._wait(Changing(store), Console(), ([], []), tomorrow) is False


# --- Elsewhere --------------------------------------------------------------------------------------------------------


def test_without_a_terminal_it_is_shown_once(cli, store: Store):
    store.put(np.zeros(1000), "small")
    store.put(np.zeros(10**6), "a\x1b[31m red name that is longer than a line of a terminal " + "x" * 60)
    held = store.get("small")

    done = cli("top")

    usage, counts, empty, heading, large, small = done.stdout.splitlines()
    assert usage.startswith("default: 7.6 MiB of 64.0 MiB used (12 %), held 0 B, reserved ")
    assert counts.startswith("2 objects, 2 named; 2 clients; reserve ")
    assert empty == ""
    assert heading.split() == ["name", "size", "age", "publisher", "holders", "reads"]
    assert large.startswith(r"a\x1b[31m red name")
    assert "x" * 60 in large
    assert small.split()[:3] == ["small", "7.8", "KiB"]
    assert small.split()[-1] == "1"
    assert "1: " in small
    assert (done.returncode, done.stderr) == (0, "")
    del held


def test_without_a_store_it_says_so(cli):
    done = cli("top")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "jupyter shm: no store 'default' is running\n"


# --- One look ---------------------------------------------------------------------------------------------------------


def test_the_largest_come_first_and_every_holder_is_named_once(store: Store):
    store.put(np.zeros(10), "small")
    store.put(np.zeros(1000), "large")
    with Store() as other:
        views = [store.get("small"), other.get("small")]
        look = Snapshot(store.name, store.stats(), store.list(anonymous=True), datetime.now(timezone.utc))

    assert [row[0] for row in look.rows()] == ["large", "small"]
    assert [row[0] for row in look.rows(1)] == ["large"]
    label = store.info("small").owner
    assert look.rows()[1][3:5] == (label, f"2: {label}")
    del views


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.9, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_ages_are_shown_by_their_largest_unit(seconds: float, text: str):
    assert format_age(seconds) == text
