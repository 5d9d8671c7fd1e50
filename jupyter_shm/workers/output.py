"""What tasks print: collected in the worker, and written where the call was made, under the cell that made it."""

from __future__ import annotations

import contextlib
import contextvars
import io
import sys
import threading
from collections.abc import Callable
from typing import Any

DELAY = 0.05
"""Seconds after which what was printed is on its way, if the task goes on."""

LIMIT = 16 << 10
"""Characters that are collected at most."""


class TaskStream(io.TextIOBase):
    """stdout or stderr of a worker.

    Args:
        printer: Sends what was collected.
        is_error: Is it stderr?
        original: What it stands for.
    """

    def __init__(self, printer: Printer, is_error: bool, original: Any) -> None:
        super().__init__()
        self._printer = printer
        self._is_error = is_error
        self._original = original

    encoding = "utf-8"
    errors = "replace"

    @property
    def name(self) -> str:
        """As that of the original."""
        return "<stderr>" if self._is_error else "<stdout>"

    def fileno(self) -> int:
        """That of the original: programs that a task starts print there."""
        return int(self._original.fileno())

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """No: a progress bar there is to draw plain lines."""
        return False

    def write(self, text: str, /) -> int:
        """Print."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._printer.add(self._is_error, text)
        return len(text)

    def flush(self) -> None:
        """Send what was collected."""
        if self._printer is not None:
            self._printer.flush()


class Printer:
    """Collects what a worker prints.

    Args:
        send: Sends a piece of text: is it for stderr, and what.
    """

    def __init__(self, send: Callable[[bool, str], None]) -> None:
        self._send = send
        self._lock = threading.RLock()
        self._texts: list[tuple[bool, str]] = []
        self._size = 0
        self._due = threading.Event()
        self._thread: threading.Thread | None = None

    def install(self) -> None:
        """From now on, this process prints here."""
        self._originals = sys.stdout, sys.stderr
        sys.stdout = TaskStream(self, False, sys.stdout)
        sys.stderr = TaskStream(self, True, sys.stderr)

    def remove(self) -> None:
        """From now on, this process prints where it did before."""
        sys.stdout, sys.stderr = self._originals

    def add(self, is_error: bool, text: str) -> None:
        """Collect some text."""
        with self._lock:
            self._texts.append((is_error, text))
            self._size += len(text)
            if self._size > LIMIT:
                self.flush()
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="jupyter-shm-output", daemon=True)
                self._thread.start()
        if not self._due.is_set():
            self._due.set()

    def flush(self) -> None:
        """Send all that was collected, in order."""
        if not self._texts:
            return
        with self._lock:
            texts, self._texts, self._size = self._texts, [], 0
            at = 0
            while at < len(texts):
                end = at
                while end < len(texts) and texts[end][0] == texts[at][0]:
                    end += 1
                self._send(texts[at][0], "".join(text for _, text in texts[at:end]))
                at = end

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._due.wait()
            pause.wait(DELAY)
            self._due.clear()
            self.flush()


class Origin:
    """Where a call was made: there its output goes.

    A notebook's streams know by a context variable which cell is running; so the context is kept, and they are written to
    in it.
    """

    __slots__ = ("_context", "_streams")

    def __init__(self) -> None:
        self._context = contextvars.copy_context()
        self._streams = sys.stdout, sys.stderr

    def write(self, is_error: bool, text: str) -> None:
        """Print there; if that stream is closed by now, where this process prints."""
        stream = self._streams[is_error]
        try:
            self._context.run(_write, stream, text)
        except Exception:
            with contextlib.suppress(Exception):
                _write((sys.stdout, sys.stderr)[is_error], text)


def _write(stream: Any, text: str) -> None:
    stream.write(text)
    stream.flush()
