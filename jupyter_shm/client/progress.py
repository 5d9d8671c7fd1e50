"""A progress bar for a copy that takes long; nothing is imported, and nothing shown, for one that does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE = 1.0
"""Seconds that a copy takes before a bar is shown."""


@contextmanager
def progress_of(nbytes: int, name: str | None) -> Iterator[Callable[[int], None] | None]:
    """Show how far a copy is.

    Args:
        nbytes: Bytes in all; 0: nothing is shown.
        name: What is copied, for people.

    Yields:
        What is to be told of each piece that was copied, in bytes; ``None`` when nothing is shown.
    """
    if not nbytes:
        yield None
        return
    progress = Progress(nbytes, f"put {name!r}" if name else "put")
    try:
        yield progress.told
    finally:
        progress.close()


class Progress:
    """One bar.

    Args:
        nbytes: Bytes in all.
        what: Stands before the bar.
    """

    def __init__(self, nbytes: int, what: str) -> None:
        self._nbytes = nbytes
        self._what = what
        self._done = 0
        self._start = time.monotonic()
        self._bar: Any = None

    def told(self, nbytes: int) -> None:
        """So many bytes more are copied."""
        self._done += nbytes
        if self._bar is not None:
            self._bar.update(nbytes)
        elif time.monotonic() > self._start + PATIENCE:
            self._show()

    def close(self) -> None:
        """It is over, one way or the other."""
        if self._bar is not None:
            self._bar.close()

    def _show(self) -> None:
        from tqdm.auto import tqdm

        scale = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        self._bar = tqdm(total=self._nbytes, initial=self._done, desc=self._what, leave=False, **scale)
