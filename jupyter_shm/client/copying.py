"""Copying into a map: in pieces, on several threads where that is faster, so that an interrupt is noticed in between.

numpy lets go of the GIL while it copies, so plain threads do.  They are joined before this returns, whatever happens:
the map that they write into is unmapped then.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

PIECE = 8 << 20
"""Bytes that are copied in one go."""

PARALLEL = 32 << 20
"""Bytes from which on several threads copy; below, starting them costs more than they save."""

MAX_THREADS = 4
"""More do not help: so many saturate the memory of most machines."""

Array = np.ndarray[Any, Any]
Told = Callable[[int], None]
"""Told, in the caller's thread, how many bytes more were copied by all of them."""

Piece = tuple[Array, Array]
"""Where to, and from where."""


def pieces(target: Array, source: Array) -> Iterator[Piece]:
    """Cut a copy into pieces of about ``PIECE`` bytes.

    Args:
        target: An array of the source's shape and dtype.
        source: Any array; it need not be contiguous.
    """
    if source.nbytes <= PIECE or source.ndim == 0 or source.shape[0] < 2:
        yield target, source
        return
    step = max(1, PIECE * source.shape[0] // source.nbytes)
    for at in range(0, source.shape[0], step):
        yield target[at : at + step], source[at : at + step]


def copy(parts: list[Piece], told: Told | None = None) -> None:
    """Copy.

    Args:
        parts: All of it; no two targets overlap.
        told: Told of the progress.
    """
    nbytes = sum(source.nbytes for _, source in parts)
    work = _Work([piece for part in parts for piece in pieces(*part)])
    helpers = [threading.Thread(target=work.help_out, daemon=True) for _ in range(_threads(nbytes) - 1)]
    try:
        for helper in helpers:
            helper.start()
        while work.copy_next():
            if told is not None:
                told(work.news())
    except BaseException:
        work.is_over = True
        raise
    finally:
        _join(helpers)
    if work.failures:
        raise work.failures.pop()
    if told is not None:
        told(work.news())


class _Work:
    """What is still to be copied, and what was, by all threads together."""

    def __init__(self, todo: list[Piece]) -> None:
        self.failures: list[BaseException] = []
        self.is_over = False
        self._todo = iter(todo)
        self._lock = threading.Lock()
        self._done = 0
        self._told = 0

    def copy_next(self) -> bool:
        """Copy one piece; False when there is none left, or somebody failed."""
        with self._lock:
            piece = None if self.failures or self.is_over else next(self._todo, None)
        if piece is None:
            return False
        np.copyto(*piece)
        with self._lock:
            self._done += piece[1].nbytes
        return True

    def help_out(self) -> None:
        """Copy until nothing is left."""
        try:
            while self.copy_next():
                pass
        except BaseException as error:
            self.failures.append(error)

    def news(self) -> int:
        """Bytes that were copied since this was asked last."""
        news, self._told = self._done - self._told, self._done
        return news


def _threads(nbytes: int) -> int:
    return min(MAX_THREADS, len(os.sched_getaffinity(0))) if nbytes >= PARALLEL else 1


def _join(helpers: list[threading.Thread]) -> None:
    """Wait for all of them; an interrupt is raised afterwards."""
    interrupt: BaseException | None = None
    for helper in helpers:
        while helper.is_alive():
            try:
                helper.join()
            except BaseException as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt
